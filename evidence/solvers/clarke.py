r"""Clarke-critical points of small networks, smooth ones and ones on kinks.

Clarke's subdifferential of ``ℓ_λ`` at W is the convex hull of the limits of gradients at points
that tend to W. A smooth critical point is found by a second-order method; one on a kink is made
from a smooth one of a problem with fewer directions.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from evidence.instances import WIDTHS, on_boundaries, problem_stack, random_stack
from evidence.solvers.critical import critical_points, downhill
from pscore.curvature import flatten
from pscore.descent import descend
from pscore.instance import Instance
from pscore.loss import gradient
from pscore.network import ReLUNetwork, Switches
from pscore.seeds import torch_generator

DECAY = 0.02


class ClarkePoints(NamedTuple):
    """Non-zero Clarke-critical points of one architecture, each of a problem of its own.

    Attributes:
        points: the networks with their weights and data.
        switches: one choice of held switches, ``(T, N, n_i)`` each; on a kink with an entry
            between 0 and 1, which makes the frozen gradient zero.
        kind: ``"one point"`` (N = 1), ``"smooth"`` (N > 1) or ``"kink"``.
        kept: which of the starts led to them.
    """

    points: Instance
    switches: Switches
    kind: str
    kept: Tensor


NETWORKS = (
    ReLUNetwork((2, 3, 1), False),
    ReLUNetwork((2, 2, 1), True),
    ReLUNetwork((2, 3, 2), False),
    ReLUNetwork((2, 2, 1), False, -0.5),
    ReLUNetwork((2, 2, 2, 1), False),
    ReLUNetwork((2, 1, 1, 1), False),
    ReLUNetwork((2, 3, 2, 2), True),
    ReLUNetwork((2, 2, 2, 1), True, 0.3),
    ReLUNetwork((2, 2, 2, 2, 1), False),
    ReLUNetwork((2, 1, 1, 1, 1), False),
    ReLUNetwork((2, 2, 2, 2, 1), False, 1.0),
)


KINKED = (
    ReLUNetwork((3, 1, 1), False),
    ReLUNetwork((3, 1, 2, 1), False),
    ReLUNetwork((3, 1, 1, 1), False),
    ReLUNetwork((3, 1, 2, 2, 1), False),
    ReLUNetwork((3, 1, 1, 1, 1), False),
)


@lru_cache(maxsize=4)
def clarke_points(seed: int) -> tuple[ClarkePoints, ...]:
    """Find non-zero critical points for H = 1, 2, 3, smooth ones and ones on kinks.

    Every start has random data of its own, so that no two points are copies of each other. ReLU,
    leaky and linear networks, activated outputs and two outputs are among them.
    """
    smooth = [smooth_points(network, seed, points) for network in NETWORKS for points in (1, 2, 4)]
    return (*smooth, *(kinked_points(network, seed) for network in KINKED))


def smooth_points(network: ReLUNetwork, seed: int, points: int, starts: int = 38) -> ClarkePoints:
    """Differentiable critical points; with four data points one input is zero."""
    stack = problem_stack(network, seed, points, starts)
    if points == 4:
        stack.a[:, 0] = 0
    found = critical_points(_prepared(stack), DECAY)
    kind = "one point" if points == 1 else "smooth"
    return ClarkePoints(found.points, found.points.switches(), kind, found.kept)


def _prepared(stack: Instance) -> Instance:
    """Lead two thirds of the starts downhill, towards minima; the rest go anywhere."""
    return downhill(stack, DECAY, led=torch.arange(stack.size) % 3 > 0)


def kinked_points(network: ReLUNetwork, seed: int, starts: int = 100) -> ClarkePoints:
    """Clarke-critical points on a kink: the one unit of the first layer has input 0 at ``a_1``.

    A critical point is found for the inputs' parts orthogonal to ``a_1``. There ``w · a_1 = 0``,
    and adding multiples of ``a_1`` to the other inputs changes no output, but makes the gradient
    a multiple of ``a_1``, as is the difference of the gradients on the two sides of the kink. The
    target of ``a_1``, which has no say on the side where the unit is off, is then chosen so that a
    given point between the two gradients is zero.
    """
    full = problem_stack(network, seed, 4, starts)
    axis = full.a[:, :1] / full.a[:, :1].norm(dim=-1, keepdim=True)
    flat = full.a - (full.a * axis).sum(-1, keepdim=True) * axis
    flat[:, 0] = 0
    found = critical_points(_prepared(full._replace(a=flat)), DECAY)
    W, axis = found.points.W, axis[found.kept]
    stack = full.rows(found.kept).at((W[0] - axis.mT @ (axis @ W[0]), *W[1:]))
    stack.f[:, 0] = 1.0
    off, on = (  # the switches on the two sides: the first layer moved along a_1
        stack.at((stack.W[0] + step * axis.mT, *stack.W[1:])).switches() for step in (-1e-7, 1e-7)
    )
    at_off, at_on = (flatten(gradient(*stack, DECAY, S)) for S in (off, on))
    jump = at_on - at_off
    draw = torch_generator(seed, "shuffling")
    share = 0.1 + 0.8 * torch.rand(len(jump), generator=draw, dtype=torch.float64)
    pull = jump.square().sum(-1)
    stack.f[:, 0] = -(at_off * jump).sum(-1) / (share * pull.clamp(min=1e-12))
    between = (off[0] + share.reshape(-1, 1, 1) * (on[0] - off[0]), *on[1:])
    good = (pull > 1e-8) & (stack.f[:, 0].abs() < 1e3)
    good &= at_off.norm(dim=-1) > 1e-4  # then neither side is critical
    kept = found.kept.clone()
    kept[found.kept] = good
    return ClarkePoints(stack.rows(good), tuple(S[good] for S in between), "kink", kept)


def mean_square_output(stack: Instance) -> Tensor:
    """Return ``(1/N) Σ ‖y_i‖²``, ``(T,)``."""
    return stack.outputs().square().flatten(1).sum(-1) / stack.a.shape[1]


def samples(seed: int) -> list[Instance]:
    """Return networks on boundaries and random ones, of every kind of activation and output."""
    stacks = []
    for widths in WIDTHS.values():
        for network in (
            ReLUNetwork(widths, False),
            ReLUNetwork(widths, True),
            ReLUNetwork((*widths[:-1], 2), True, -0.6),
        ):
            stacks += [on_boundaries(network, seed, 60), random_stack(network, seed, 60)]
    return stacks


def outward(stack: Instance, weight_decay: float) -> Tensor:
    """Return ``⟨∇ℓ_λ(W), W⟩``."""
    return (flatten(gradient(*stack, weight_decay)) * flatten(stack.W)).sum(-1)


def mean_product(stack: Instance) -> Tensor:
    """Return ``A = (1/N) Σ e_i · y_i`` from the outputs alone, ``(T,)``."""
    y = stack.outputs()
    return ((y - stack.f) * y).flatten(1).sum(-1) / stack.a.shape[1]


def aligned(H: int, seed: int, count: int = 60) -> Instance:
    """Return layers of rank one and one norm, inputs on one ray, outputs below their targets."""
    draw = torch_generator(seed, "data")

    def positive(*shape: int) -> Tensor:
        return 0.2 + torch.rand(count, *shape, generator=draw, dtype=torch.float64)

    network = ReLUNetwork((2,) * (H + 1) + (1,), output_relu=False)
    rays = [x / x.norm(dim=-1, keepdim=True) for x in (positive(2) for _ in range(H + 1))]
    rays.append(torch.ones(count, 1, dtype=torch.float64))
    size = positive(1, 1)
    W = tuple(size * u[:, :, None] * v[:, None] for u, v in zip(rays, rays[1:], strict=False))
    a = positive(3, 1) * rays[0][:, None]
    return Instance(network, W, a, network(W, a) + positive(3))


@lru_cache(maxsize=8)
def descents(seed: int) -> tuple[tuple[Instance, float], ...]:
    """Run gradient descent from random starts, and return where it ends, with each λ.

    H = 1, 2, 3; N = 3; weight decays at which some problems keep a non-zero minimum and some
    don't. Eight starts for each of ten problems.
    """
    ends = []
    for widths in WIDTHS.values():
        network = ReLUNetwork(widths, output_relu=False)
        _, W, a, f = problem_stack(network, seed, 3, 80)
        a, f = (x[::8].repeat_interleave(8, 0) / 2 for x in (a, f))
        starts = Instance(network, tuple(0.7 * w for w in W), a, f)
        for weight_decay in (0.06, 0.25, 1.0):
            _, states = descend(*starts, weight_decay=weight_decay, learning_rate=0.2, steps=600)
            *_, last = states
            ends.append((starts.at(last.W), weight_decay))
    return tuple(ends)
