r"""Checks of larger regions: the basins of two-layer networks, and where (17) holds.

The certified set is measured against the basins of two-layer networks and against the regions in
which the loss is convex or curves upwards along its own descent.
"""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from evidence.claims import Evidence, claim
from evidence.instances import (
    WIDTHS,
    ball,
    canonical_radius,
    normal,
    normal_stack,
    random_planar,
    random_stack,
    width_one,
)
from evidence.measures import exceeds, inside, kappas, second_derivative
from evidence.rational import exact_loss
from evidence.solvers.basins import Basins, basin_minimum, basins, convex_loss
from pscore.curvature import curvature_along, flatten, frozen_hessian, least_eigenvalue, unflatten
from pscore.descent import descend
from pscore.instance import Instance
from pscore.loss import gradient, regularized_loss
from pscore.network import ReLUNetwork, Weights
from pscore.seeds import rng, torch_generator

# ---- basins of two-layer networks --------------------------------------------------------------


def balanced(at: Basins, u: Tensor) -> Weights:
    """Return the weights with ``|v_j| w_j = u_j`` and ``|v_j| = ‖w_j‖``."""
    root = u.norm(dim=-1, keepdim=True).sqrt()
    return (u / root.clamp(min=1e-300)).mT, at.signs[..., None] * root


def without_weight_decay(w: Sequence[Fraction], v: Fraction) -> Fraction:
    """Return ℓ of one unit, ``y = v σ(w · a)``, for the data ``(1, 0) ↦ 1`` and ``(0, 1) ↦ −1``."""
    one, zero = Fraction(1), Fraction(0)
    data = [([one, zero], [one]), ([zero, one], [-one])]
    return exact_loss([[[x] for x in w], [[v]]], data, output_relu=False)


@claim(
    "larger-regions-basins",
    "Two layers with weight decay: every basin leads down to its own minimum",
    "certified",
    "Proved, with weight decay; without it a zero output weight is an exception.",
    hypotheses=(
        "H = 1",
        "no output ReLU",
        "λ > 0",
        "for ends of descents: a differentiable critical point without zero units",
    ),
    uses=("strong-minima-balance",),
    variant="the loss is convex on segments of weights in a basin",
    least=610,
)
def check_basins(seed: int) -> Evidence:
    """Check the path from any weights to the bottom of their basin, and where descents end.

    The first part balances each unit, the second is a straight line in u. ``ℓ_λ`` by the network
    must not increase along either, and on the second must be G, and convex. Where descents end at
    differentiable critical points without zero units, ``ℓ_λ`` has to be the basin's least value.
    And the example without weight decay, in rational numbers.
    """
    seen = Evidence(varies=True)
    decay = 0.1
    for part in range(3):
        stack = random_planar(10 * seed + part, 200)
        wrong, refuted = way_down(stack, decay)
        seen.add(200, wrong=wrong, refuted=refuted)

        _, states = descend(*stack, weight_decay=decay, learning_rate=0.5, steps=500)
        *_, last = states
        at = stack.at(last.W)
        basin = basins(at.W, at.a)
        off_kinks = (at.W[0].mT @ at.a.mT).abs().amin((-1, -2)) > 1e-6
        critical = flatten(last.gradient).norm(dim=-1) < 1e-7
        least = convex_loss(basin, basin_minimum(basin, at.f, decay), at.f, decay)
        higher = (regularized_loss(*at, decay) - least).abs() > 1e-6
        no_zero_unit = (basin.u.norm(dim=-1) > 1e-3).all(-1)
        seen.add(critical & off_kinks & no_zero_unit, wrong=higher)
    half, near = Fraction(1, 2), rng(seed, "shuffling").integers(1, 50, size=(60, 3))
    for x, y, p in near.tolist():  # w near (1/10, 1), and v near 0 in the basin
        w, v = [Fraction(x, 500) + Fraction(1, 20), Fraction(75 + y, 100)], Fraction(p, 100)
        seen.add(wrong=without_weight_decay(w, v) < half)
    seen.add(wrong=without_weight_decay([Fraction(1), Fraction(0)], Fraction(1)) >= half)
    return seen


def way_down(stack: Instance, weight_decay: float) -> tuple[Tensor, Tensor]:
    """Follow the path of the proof from each network of a stack to the bottom of its basin.

    Returns:
        where ``ℓ_λ`` increases, or on the straight part is not convex or not G; and where it is
        not convex on a segment of weights, from twice ``w_j`` and half ``v_j`` to the reverse.
    """
    W, at, f = stack.W, basins(stack.W, stack.a), stack.f
    bottom = basin_minimum(at, f, weight_decay)
    ratio = (W[0].norm(dim=1) / W[1][..., 0].abs()).sqrt()

    def losses(path: list[Weights]) -> Tensor:
        return torch.stack([regularized_loss(*stack.at(V), weight_decay) for V in path])

    def unbalanced(t: float) -> Weights:
        return W[0] * (ratio**-t)[:, None, :], W[1] * (ratio**t)[..., None]

    line = [(1 - k / 20) * at.u + k / 20 * bottom for k in range(21)]
    straight = losses([balanced(at, u) for u in line])
    both = torch.cat([losses([unbalanced(k / 10) for k in range(11)]), straight])
    G = torch.stack([convex_loss(at, u, f, weight_decay) for u in line])
    wrong = (both.diff(dim=0) > 1e-9).any(0) | (straight.diff(n=2, dim=0) < -1e-9).any(0)
    wrong |= ((straight - G).abs() > 1e-9).any(0)
    chord = [((2 - 1.5 * t) * W[0], (0.5 + 1.5 * t) * W[1]) for t in np.linspace(0, 1, 21)]
    return wrong, (losses(chord).diff(n=2, dim=0) < -1e-6).any(0)


@claim(
    "larger-regions-saddle",
    "w²v² is the loss on a basin: good, and nowhere convex",
    "certified",
    "Proved; determinants checked in rational numbers.",
    hypotheses=("width one", "one data point a = 1, f = 0", "w > 0", "for ℓ_λ: |v| = w"),
    uses=("larger-regions-basins", "sharper-sets-nested"),
    variant="ℓ_λ is convex on the basin",
    least=60,
)
def check_saddle(seed: int) -> Evidence:
    """Check in rational numbers that w²v² is a basin's loss, and how curved ``ℓ_λ`` is there.

    For w > 0, ``ℓ = v²w²/2``. Its Hessian's determinant, by differences of exact values, is
    ``−3v²w²``, and that of ``ℓ_λ`` on |v| = w = s is ``(λ + 3s²)(λ − s²)``, negative exactly
    outside U_sharp.
    """
    seen = Evidence()
    draw = np.random.default_rng(seed)
    network, one = ReLUNetwork((1, 1, 1), output_relu=False), torch.ones(1, 1, dtype=torch.float64)
    for _ in range(60):
        s, decay = (Fraction(int(k), 32) for k in draw.integers(1, 65, size=2))
        w, v = s, s * (1 if draw.integers(2) else -1)
        ww, vv, wv = second_differences(w, v, decay)
        determinant = ww * vv - wv**2
        wrong = determinant != (decay + 3 * s**2) * (decay - s**2)
        wrong |= (ww - decay) * (vv - decay) - wv**2 != -3 * v**2 * w**2
        weights = (float(w) * one, float(v) * one)
        held = inside(Instance(network, weights, one, 0 * one[0]), float(decay), "sharp")
        wrong |= s**2 != decay and bool(held) != (determinant > 0)
        seen.add(1, wrong=wrong, refuted=determinant < 0)
    return seen


def second_differences(w: Fraction, v: Fraction, decay: Fraction) -> tuple[Fraction, ...]:
    """Return the second derivatives of ``ℓ_λ`` in w, in v, in both, for ``y = v σ(w)`` and f = 0.

    They are exact: the loss is of degree two in each variable for w > 0.
    """
    one, zero, h = Fraction(1), Fraction(0), w / 2

    def loss(i: int, j: int) -> Fraction:
        return exact_loss([[[w + i * h]], [[v + j * h]]], [([one], [zero])], False, False, decay)

    here = 2 * loss(0, 0)
    ww, vv = loss(1, 0) - here + loss(-1, 0), loss(0, 1) - here + loss(0, -1)
    wv = (loss(1, 1) - loss(1, -1) - loss(-1, 1) + loss(-1, -1)) / 4
    return ww / h**2, vv / h**2, wv / h**2


class Compared(NamedTuple):
    """Uniform points of the canonical ball, their basins, and where descents from them end.

    Attributes:
        start: the points.
        bottom: the least ``ℓ_λ`` of each point's basin, ``(T,)``.
        end: ``ℓ_λ`` where the descent from it ends.
        stayed: whether it ends in the basin that it started in.
        best: the least of all ends and bottoms.
    """

    start: Instance
    bottom: Tensor
    end: Tensor
    stayed: Tensor
    best: float


def compared(weight_decay: float, seed: int = 0, *, count: int, steps: int) -> Compared:
    """Draw points of the canonical ball; solve for the bottom of each one's basin, and descend."""
    problem = random_planar(seed, 1, units=2)
    R = canonical_radius(problem.f, weight_decay)
    draw = torch_generator(seed, "initialization")
    start = problem.at(ball(problem.network, R, count, draw))
    at = basins(start.W, start.a)
    lowest = basin_minimum(at, start.f, weight_decay)
    bottom = convex_loss(at, lowest, start.f, weight_decay)
    rate = min(0.5, 1.5 / R**2)
    _, states = descend(*start, weight_decay=weight_decay, learning_rate=rate, steps=steps)
    *_, last = states
    end = regularized_loss(*start.at(last.W), weight_decay)
    stayed = (basins(last.W, start.a).maps == at.maps).flatten(1).all(1)
    return Compared(start, bottom, end, stayed, min(end.min().item(), bottom.min().item()))


@claim(
    "fig-larger-regions-basins",
    "Good basins and U, counted at the same points of one ball",
    "observed",
    "One two-layer network on five points, with Wilson intervals.",
    hypotheses=("H = 1", "no output ReLU", "λ > 0"),
    uses=("larger-regions-basins", "how-large-canonical"),
    variant="descents end no lower than the minimum of the basin that they start in",
    least=900,
)
def check_compared(seed: int) -> Evidence:
    """Check the sampled comparison of basins and U on one data set.

    No descent that stayed in its basin may end below the basin's least value, and κ and the points
    in U are computed again in NumPy from residuals.
    """
    seen = Evidence(varies=True)
    for decay in (0.1, 0.3, 3.0):
        start, bottom, end, stayed, _ = compared(decay, seed, count=300, steps=120)
        e, lengths = start.residuals().numpy(), np.linalg.norm(start.a.numpy(), axis=-1)
        kappa = 2 * np.sqrt(np.square(e).mean(-1)) * lengths.max()
        wrong = (stayed & (end < bottom - 1e-6)).numpy()
        wrong |= inside(start, decay).numpy() != (kappa < decay)
        wrong |= np.abs(kappas(start)["paper"].numpy() / kappa - 1) > 1e-9
        seen.add(300, wrong=wrong, refuted=end < bottom - 1e-3)
    return seen


# ---- where the loss curves upwards along its own descent ---------------------------------------

REGIONS = ("paper", "data", "convex", "path")


def regions(stack: Instance, weight_decay: float) -> dict[str, Tensor]:
    """Return, for each network of a stack, in which of four regions its weights are.

    Returns:
        ``"paper"`` and ``"data"``, the smallest and the largest set; ``"convex"``, where the frozen
        Hessian of ``ℓ_λ`` is positive definite; ``"path"``, where ``gᵀHg > 0``.
    """
    hessian = frozen_hessian(*stack, weight_decay)
    g = flatten(gradient(*stack, weight_decay))
    return {
        "paper": inside(stack, weight_decay),
        "data": inside(stack, weight_decay, "data"),
        "convex": least_eigenvalue(hessian) > 0,
        "path": curvature_along(g, (hessian @ g[..., None])[..., 0]) > 0,
    }


_PATH = (
    "λ > 0",
    "ℓ_λ twice differentiable at W",
    "for the limits: H = 1, width one, one data point",
)


_ELSEWHERE = "γ̈ > 0 only where the loss is convex; a smooth loss has its frozen loss's Hessian"


@claim(
    "larger-regions-path",
    "(17) holds wherever U is, with C = 2θ; at width one nearly everywhere far out",
    "certified",
    "Proved; the limits for width one and one data point.",
    hypotheses=_PATH,
    uses=("paper-lemma-8", "sharper-bounds", "sharper-sets-theory"),
    variant=_ELSEWHERE,
    least=17000,
)
@claim(
    "fig-larger-regions-path",
    "A map of U, of convexity and of (17), and their shares",
    "observed",
    "By a grid for two weights and by sampling for more.",
    hypotheses=_PATH,
    uses=("larger-regions-path", "how-large-canonical"),
    variant=_ELSEWHERE,
    least=17000,
)
def check_path(seed: int) -> Evidence:
    """Check how the four regions lie in each other, (17) in U, and the shares of large discs.

    For random networks, and at `smooth_kinks` and units that are all off, second derivatives along
    the gradient and at random are read off values of the loss, and are at least λ − κ_data. For
    width one and one data point: shares of a disc of radius 300, by sampling, against their limits
    ½ and 1, on both sides of λ = 2|f|; and the sign at w = v near 0, on both sides of λ = f.
    """
    seen, draw = Evidence(), torch_generator(seed, "shuffling")
    for widths in WIDTHS.values():
        stack = random_stack(ReLUNetwork(widths, output_relu=False), seed, 150, spread=0.5)
        for decay in (0.3, 3.0, 30.0):
            among = regions(stack, decay)
            wrong = [among[small] & ~among[large] for small, large in pairwise(REGIONS)]
            refuted = (among["path"] & ~among["convex"], False)
            seen.add(150, wrong=torch.stack(wrong).any(0), refuted=refuted)
            for X in _directions(stack, decay, draw):
                held = second_derivative(stack, unflatten(stack.network, X), stack.switches())
                seen.add(150, wrong=exceeds(decay - kappas(stack)["data"], held + decay))
    off = width_one(1, 0.01, seed)
    off = off.at((-off.W[0], off.W[1]))._replace(f=0.01 * off.f)
    for stack, decay in product((off, smooth_kinks(seed, 150)), (0.3, 3.0)):
        frozen = frozen_hessian(stack.network, stack.W, stack.a, stack.f, decay)
        for X in _directions(stack, decay, draw):
            bend, least = bend_of_values(stack, X, decay), decay - kappas(stack)["data"]
            other = (torch.einsum("tp,tpq,tq->t", X, frozen, X) - bend).abs() > 1e-3
            ratio = torch.where(least > 0, least / bend.abs(), 0)
            wrong = bend < least - 1e-8 * (1 + bend.abs())
            seen.add(stack.size, wrong=wrong, refuted=(False, other), ratio=ratio)
    _add_shares(seen, seed)
    return seen


def _add_shares(seen: Evidence, seed: int) -> None:
    """Compare shares of a large disc with their limits, and signs near 0 with that of λ − f."""
    one, network = torch.ones(1, 1, dtype=torch.float64), ReLUNetwork((1, 1, 1), output_relu=False)
    for decay, f in ((0.3, 1.0), (3.0, 1.0), (0.3, 0.0), (0.3, -0.149), (0.3, 0.151), (2.0, 0.98)):
        W = ball(network, 300.0, 3000, torch_generator(seed, "data"))
        among = regions(Instance(network, W, one, f * one[0]), decay)
        limits = {"path": 1.0, "convex": 0.5, "paper": 0.5 if 2 * abs(f) < decay else 0.0}
        off = [abs(among[name].double().mean().item() - x) > 0.04 for name, x in limits.items()]
        seen.add(3000, wrong=any(off))
    small = torch.tensor([1e-4, 1e-3], dtype=torch.float64)[:, None, None]
    for decay in (0.1, 0.3, 0.9, 0.99, 1.01):
        among = regions(Instance(network, (small, small), one, one[0]), decay)
        seen.add(wrong=among["path"] != (decay > 1))


def smooth_kinks(seed: int, count: int) -> Instance:
    """Draw units with w = 0, whose input is 0 for all data, at which the loss is smooth.

    Inputs come in pairs ``±a`` with targets ``±f``, and ``(vσ(w·a) − f)² + (vσ(−w·a) + f)²`` is
    ``v²(w·a)² − 2vf w·a + 2f²``.
    """
    network, draw = ReLUNetwork((3, 1, 1), output_relu=False), torch_generator(seed, "data")
    (w, v), a, f = normal_stack(network, draw, count, 2)[1:]
    a, f = torch.cat([a, -a], dim=1), torch.cat([f, -f], dim=1)
    return Instance(network, (0 * w, 2 * v), a, 0.1 * f)


def _directions(stack: Instance, decay: float, draw: torch.Generator) -> list[Tensor]:
    """Return unit vectors: along each network's gradient, and a random one."""
    g = flatten(gradient(*stack, decay))
    return [functional.normalize(X) for X in (g, normal(draw, *g.shape))]


def bend_of_values(stack: Instance, X: Tensor, decay: float, step: float = 0.01) -> Tensor:
    """Return ``d²/dt² ℓ_λ(W + tX)`` at 0 from five values, exact for polynomials of degree 5."""
    shares, total = (-1.0, 16.0, -30.0, 16.0, -1.0), torch.zeros(stack.size, dtype=X.dtype)
    for k, share in enumerate(shares):
        at = stack.at(unflatten(stack.network, flatten(stack.W) + (k - 2) * step * X))
        total = total + share * regularized_loss(*at, decay)
    return total / (12 * step**2)
