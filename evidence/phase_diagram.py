r"""Checks of the phase diagram: its scaling, the exact threshold of the zero network, exact minima.

Kinks play no part: the claims are about values of ``ℓ_λ``, which is continuous, and about norms.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from evidence.claims import Evidence, claim
from evidence.instances import (
    aligned_network,
    normal,
    normal_instance,
    normal_stack,
    scaled_problem,
    uniform,
    zero_weights,
)
from evidence.measures import best_constant, end_of_descent, kappas, needed_weight_decay
from evidence.solvers.exact import (
    correlation,
    escape_threshold,
    line_threshold,
    threshold_constant,
    weight_decay_unit,
)
from pscore.certificate import certify
from pscore.curvature import flatten
from pscore.descent import initialize
from pscore.instance import Instance
from pscore.loss import regularized_loss, squared_norm
from pscore.network import ReLUNetwork
from pscore.seeds import torch_generator

ROUNDING = 1e-9


@claim(
    "phase-diagram-scaling",
    "Two factors of the data can be absorbed by weights and weight decay",
    "certified",
    "Proved; loss, bounds and descents compared in both problems.",
    hypotheses=("c > 0", "b > 0", "positively homogeneous activations"),
    uses=("sharper-sets-nested",),
    variant="λ times c b at every depth",
    least=1000,
)
def check_scaling(seed: int) -> Evidence:
    """Check the scaled problem's loss, its four bounds and a descent in it, against the original's.

    Everything is computed in both problems from their own weights and data; nothing is rescaled
    but the results. The scaled descent has the step ``η λ/λ'``.
    """
    draw = torch_generator(seed, "data")
    seen = Evidence()
    for network in (
        ReLUNetwork((2, 3, 1), False),
        ReLUNetwork((2, 3, 2), True, -0.5),
        ReLUNetwork((2, 3, 2, 1), True),
        ReLUNetwork((3, 2, 2, 2, 1), False),
        ReLUNetwork((1, 2, 2, 2, 2, 1), False, 1.0),
    ):
        at = normal_stack(network, draw, 40, 4)
        for _ in range(5):
            c, b, decay = (10 ** torch.empty(3).uniform_(-1.5, 1.5, generator=draw)).tolist()
            V, x, g, factor = scaled_problem(*at, c, b)
            scaled = Instance(network, V, x, g)
            expected = c**2 * regularized_loss(*at, decay)
            wrong = (regularized_loss(*scaled, factor * decay) / expected - 1).abs() > ROUNDING
            there = kappas(scaled)
            for name, kappa in kappas(at).items():
                wrong |= (there[name] / (factor * kappa) - 1).abs() > ROUNDING
            rate, size = 1e-3 / decay, (c / b) ** (1 / (network.depth + 1))
            end = flatten(end_of_descent(at, decay, rate, 3)[0])
            image = flatten(end_of_descent(scaled, factor * decay, rate / factor, 3)[0]) / size
            usual = end.norm(dim=-1) < 10 * flatten(at.W).norm(dim=-1)  # no step too long
            wrong |= usual & ((image - end).norm(dim=-1) > 1e-6 * end.norm(dim=-1))
            otherwise = regularized_loss(*scaled, c * b * decay)
            seen.add(at.size, wrong=wrong, refuted=(otherwise / expected - 1).abs() > 1e-3)
    return seen


@claim(
    "phase-diagram-unit",
    "λ in units of r^{2/(H+1)} (2ℓ(0))^{H/(H+1)}: the thresholds are numbers",
    "certified",
    "Proved.",
    hypotheses=("r > 0", "ℓ(0) > 0"),
    uses=("phase-diagram-scaling", "eq-10", "global-minimisers-best", "origin-inside"),
    variant="(2ℓ(0))^{1/2} at every depth",
    least=200,
)
def check_unit(seed: int) -> Evidence:
    """Check that thresholds in units of ``λ_0`` are numbers: (10), its best form, the origin in U.

    The thresholds come from the closed form of the chapter on Lemma 4 and, for H = 1, from
    `certify` at zero weights; λ_0 knows neither.
    """
    draw = torch_generator(seed, "data")
    seen = Evidence()
    for H in range(1, 6):
        network = ReLUNetwork((2,) * (H + 1) + (1,), False)
        numbers = (H * (H + 1)) ** (2 / (H + 1)), threshold_constant(H)
        for _ in range(40):
            size = 10 ** torch.empty(2).uniform_(-1, 1, generator=draw).double()
            a, f = size[0] * normal(draw, 5, 2), size[1] * normal(draw, 5)
            unit = weight_decay_unit(a, f, H).item()
            r, zero = a.norm(dim=-1).max().item(), f.square().mean().item() / 2
            both = [needed_weight_decay(network, zero, r, c) for c in (None, best_constant(H))]
            wrong = not np.allclose(both, [x * unit for x in numbers], rtol=1e-10)
            origin = zero_weights(network)
            inside = [
                certify(network, origin, a, f, s * 2 * unit)["paper"].inside for s in (0.99, 1.01)
            ]
            wrong |= inside != ([False, True] if H == 1 else [True, True])
            otherwise = numbers[0] * r ** (2 / (H + 1)) * (2 * zero) ** 0.5
            seen.add(1, wrong=wrong, refuted=abs(otherwise / both[0] - 1) > 1e-3)
    return seen


SCALES = torch.logspace(-1.7, 1.3, 150, dtype=torch.float64)


def largest_gain(at: Instance, decay: Tensor) -> Tensor:
    """Return the largest ``ℓ(0) − ℓ_λ`` over a grid of multiples of the layers made equal.

    Args:
        at: a stack with a scalar output, no layer zero.
        decay: λ for each, ``(T,)``.
    """
    W = tuple(w / flatten([w]).norm(dim=-1)[:, None, None] for w in at.W)
    best = torch.full_like(decay, -torch.inf)
    for s in SCALES:
        V = tuple(s * w for w in W)
        value = regularized_loss(*at.at(V), 0.0) + decay / 2 * squared_norm(V)
        best = torch.maximum(best, at.f.square().mean(-1) / 2 - value)
    return best


@claim(
    "phase-diagram-threshold",
    "The exact λ from which the zero network is optimal, at any depth",
    "certified",
    "Proved, as a maximum over weights of norm one that does not depend on λ.",
    hypotheses=(
        "λ > 0",
        "scalar output",
        "positively homogeneous activations",
        "the network's own threshold is 0, or above 0.01, which the grid of sizes resolves",
    ),
    variant="the same without λ̂_H",
    least=310,
)
def check_threshold(seed: int) -> Evidence:
    """Check that a network, its layers rescaled, beats zero for λ below its threshold only.

    The threshold is in closed form; the check evaluates ``ℓ_λ`` at 150 sizes of the weights, five
    per cent below it and above. The variant is right at H = 1.
    """
    draw = torch_generator(seed, "data")
    seen = Evidence()
    for H in (1, 2, 3, 4):
        for output_relu in (False, True):
            at = normal_stack(ReLUNetwork((2,) + (3,) * H + (1,), output_relu), draw, 60, 4)
            at = at._replace(f=at.f / at.f.square().mean(-1, keepdim=True).sqrt())
            threshold = escape_threshold(*at)
            clear = threshold > 1e-2
            lost = clear & (largest_gain(at, 0.95 * threshold) <= 0)
            without = 0.95 * threshold / threshold_constant(H)
            refuted = clear & (largest_gain(at, without) <= 0)
            seen.add(clear | (threshold == 0), wrong=lost, refuted=refuted)
            seen.add(wrong=largest_gain(at, 1.05 * threshold + 1e-6) > 1e-12)
    return seen


def upper_bound(a: Tensor, f: Tensor, depth: int, output_relu: bool = False) -> float:
    """Return ``λ̂_H (Λ̄² (2ℓ(0))^{H−1})^{1/(H+1)}``, from which on 0 is the only minimiser.

    Args:
        a: inputs ``(N, n_0)``, n_0 = 1 or 2.
        f: targets ``(N,)``.
        depth: H.
        output_relu: whether negative targets are out of reach.
    """
    targets = f.clamp(min=0) if output_relu else f if depth == 1 else f.abs()
    mean = targets.square().mean().item()
    power = correlation(a, targets) ** 2 * mean ** (depth - 1)
    return threshold_constant(depth) * power ** (1 / (depth + 1))


@claim(
    "phase-diagram-bounds",
    "The exact threshold between two numbers of the data",
    "certified",
    "Proved; the upper one is attained by one data point.",
    hypotheses=("λ > 0", "scalar output", "ReLU", "the network beats zero for some λ > 0"),
    uses=("phase-diagram-threshold",),
    variant="an upper bound a tenth smaller",
    least=830,
)
def check_bounds(seed: int) -> Evidence:
    """Check that no network's threshold is above the bound; one path on one data point attains it.

    The threshold is from outputs and norms; the bound from the data alone, by enumeration of the
    cells in rational numbers. Half of the networks are taken where descents end.
    """
    draw = torch_generator(seed, "data")
    seen = Evidence()
    for H in (1, 2, 3):
        for output_relu in (False, True):
            network = ReLUNetwork((2,) + (3,) * H + (1,), output_relu)
            for points in (1, 3, 4):
                _, _, a, f = normal_instance(network, draw, points)
                f = f.abs() if points == 1 else f
                W = normal_stack(network, draw, 60, 1).W
                stacks = [W, end_of_descent(Instance(network, W, a, f), 0.01, 0.03, 100)[0]]
                if points == 1:
                    stacks.append(aligned_network(network, a[0], torch.ones(1).double()))
                t = torch.cat([escape_threshold(network, W, a, f) for W in stacks])
                t = t[torch.isfinite(t)]
                bound = upper_bound(a, f, H, output_relu)
                limit = bound * (1 + ROUNDING)
                seen.add(t > 0, wrong=t > limit, refuted=t > 0.9 * limit, ratio=t / bound)
    return seen


ENDS = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)


def cheapest_on_a_line(depth: int, width: int, right: Tensor, left: Tensor) -> Instance:
    """Return the cheapest networks with given ``y(1)`` and ``y(−1)``, both positive, at ±1.

    Args:
        depth: H, at least 2.
        width: of every hidden layer, at least 2.
        right: ``y(1)``, ``(T,)``.
        left: ``y(−1)``, ``(T,)``.
    """
    network = ReLUNetwork((1,) + (width,) * depth + (1,), False)
    W = zero_weights(network, len(right))
    layer = (right + left) ** (1 / (depth + 1))  # the norm of each
    share = (right / (right + left)).sqrt(), (left / (right + left)).sqrt()
    for unit, (sign, part) in enumerate(zip((1, -1), share, strict=True)):
        W[0][:, 0, unit] = sign * layer * part
        W[1][:, unit, 0] = layer * part
    for w in W[2:]:
        w[:, 0, 0] = layer
    return Instance(network, W, ENDS, torch.stack([right, left], dim=-1))


@claim(
    "phase-diagram-line",
    "Inputs on a line: the threshold for any depth in closed form",
    "certified",
    "Proved; exact if both sides want outputs of one sign, else an upper bound.",
    hypotheses=("n_0 = 1", "no output ReLU"),
    uses=("phase-diagram-threshold",),
    variant="the threshold of the better side alone",
    least=4600,
)
def check_line(seed: int) -> Evidence:
    """Check that ``|y(1)| + |y(−1)|`` is at most the product of the norms, and what follows.

    Outputs by the network, norms from the weights, random ones and the cheapest; the threshold of
    each against `line_threshold`, which knows the data only. The two sides want outputs of one
    sign, or of opposite ones. What is said to be attained is: by a path on the better side, and by
    the cheapest networks if both want one sign.
    """
    draw = torch_generator(seed, "data")
    seen = Evidence()
    for H in (1, 2, 3, 4, 5):
        for width in (1, 2, 4):
            network = ReLUNetwork((1,) + (width,) * H + (1,), False)
            W = normal_stack(network, draw, 100, 1).W
            if H > 1 and width > 1:
                cheapest = cheapest_on_a_line(H, width, *uniform(draw, 2, 100))
                W = tuple(torch.cat(pair) for pair in zip(W, cheapest.W, strict=True))
                seen.add(wrong=cheapest.residuals().abs() > ROUNDING)
            product = torch.stack([flatten([w]).norm(dim=-1) for w in W]).prod(0)
            ratio = network(W, ENDS).abs().sum(-1) / product
            x = normal(draw, 4)
            x[:2] = torch.stack([x[0].abs(), -x[1].abs()])  # something on either side
            for even in (True, False):
                f = x.abs() if even else x  # A₊A₋ > 0, or A₊A₋ < 0
                threshold = escape_threshold(network, W, x[:, None], f)
                limit, one_side = line_threshold(x.tolist(), f.tolist(), H), better_side(x, f, H)
                both = torch.maximum(ratio, threshold / (limit if width > 1 else one_side))
                refuted = even & (threshold > one_side * (1 + ROUNDING))
                seen.add(len(both), wrong=both > 1 + ROUNDING, refuted=refuted, ratio=both)
                path = paths(network, x, f)
                reached = escape_threshold(*path).max().item() / one_side
                exact = H > 1 or abs(one_side / limit - 1) < ROUNDING
                seen.add(wrong=abs(reached - 1) > ROUNDING or not exact)
                if even and H > 1 and width > 1:
                    t = torch.linspace(0.0005, 0.9995, 1000, dtype=torch.float64)
                    there = cheapest_on_a_line(H, width, t, 1 - t)
                    best = escape_threshold(network, there.W, x[:, None], f).max() / limit
                    seen.add(wrong=best < 0.999)
    return seen


def better_side(x: Tensor, f: Tensor, depth: int) -> float:
    """Return the larger of the values of `line_threshold` at t = 0 and t = 1, in closed form."""
    sides = torch.stack([x, -x]).clamp(min=0)
    A, B = (f * sides).mean(-1).abs(), sides.square().mean(-1)
    values = (A ** (2 * depth) / B ** (depth - 1)) ** (1 / (depth + 1))
    return threshold_constant(depth) * values.max().item()


def paths(network: ReLUNetwork, x: Tensor, f: Tensor) -> Instance:
    """Return the four networks of one path of weights ±1: two sides, two signs of the output."""
    W = zero_weights(network, 4)
    for w in W:
        w[:, 0, 0] = 1.0
    W[0][:, 0, 0], W[-1][:, 0, 0] = torch.tensor([[1, 1, -1, -1], [1, -1, 1, -1]]).double()
    return Instance(network, W, x[:, None], f)


class Outcome(NamedTuple):
    """What descents from the default initialisation do in one problem, ``(depths, decays)`` each.

    Attributes:
        origin: share that ends where flows provably go to the origin.
        learnt: share that ends below ``ℓ(0)``, from where no flow goes to the origin.
        start: share that starts inside U(λ).
    """

    origin: Tensor
    learnt: Tensor
    start: Tensor


def two_sided(share: float, even: bool, points: int = 10) -> tuple[Tensor, Tensor]:
    """Return inputs 1 and −1, a share of them 1, with targets 1 and ±1: ``r = 2ℓ(0) = 1``.

    Args:
        share: at least ½, a multiple of 1/points; it is Λ.
        even: whether the targets at −1 are 1, not −1.
        points: N.
    """
    x = torch.ones(points, dtype=torch.float64)
    x[round(share * points) :] = -1
    return x[:, None], torch.ones_like(x) if even else x


def outcome(
    share: float,
    even: bool,
    width: int,
    decays: Tensor,
    *,
    depths: Sequence[int] = (1, 2, 3, 4, 5),
    seeds: int = 10,
    steps: int = 350,
    speed: float = 0.0125,
) -> Outcome:
    """Descend for all λ at once: by scaling, every problem of the stack has λ = 1.

    Args:
        share: as for `two_sided`.
        even: likewise.
        width: of every hidden layer.
        decays: the λ of the normalised problems, ``(K,)``.
        depths: values of H.
        seeds: how many starts for each λ.
        steps: of descent.
        speed: λ times the learning rate.
    """
    a, f = two_sided(share, even)
    rows = []
    for H in depths:
        network = ReLUNetwork((1,) + (width,) * H + (1,), False)
        start = initialize(network, range(seeds))
        inside = [certify(network, start, a, f, x)["paper"].inside for x in decays.tolist()]
        c = (decays ** (-(H + 1) / (2 * H))).repeat_interleave(seeds)
        size = c[:, None, None] ** (1 / (H + 1))
        W = tuple(size * w.repeat(len(decays), 1, 1) for w in start)
        at = Instance(network, W, a, c[:, None] * f)
        W, values = end_of_descent(at, 1.0, speed, steps)
        learnt = at.f.square().mean(-1) / 2 - values > 1e-9 * c**2
        if H == 1:
            small = (share <= decays).repeat_interleave(seeds)
        else:
            small = squared_norm(W) < (H + 1) * at.f.abs().mean(-1) ** (-2 / (H - 1))
        parts = small & ~learnt, learnt, torch.cat(inside)
        rows.append(torch.stack(parts).double().unflatten(1, (len(decays), seeds)).mean(-1))
    return Outcome(*torch.stack(rows, 1))
