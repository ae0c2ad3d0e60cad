"""Checks of minima that can be computed: linear networks, one hidden layer, activated outputs.

Kinks play no part: the claims are about values of ``ℓ_λ``, which is continuous, and about norms.
"""

from functools import lru_cache
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from evidence.claims import Evidence, claim
from evidence.instances import normal, normal_stack, zero_weights
from evidence.measures import end_of_descent
from evidence.solvers.critical import find_critical_points
from evidence.solvers.exact import (
    ConvexSolution,
    convex_minimum,
    correlation,
    escape_threshold,
    linear_minimum,
    shrink,
)
from pscore.instance import Instance
from pscore.loss import regularized_loss
from pscore.network import ReLUNetwork, Weights
from pscore.seeds import torch_generator

ROUNDING = 1e-9


def linear_problem(inputs: int, outputs: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw eight whitened inputs, and targets whose singular values are of order one."""
    a = torch.linalg.qr(normal(draw, 8, inputs))[0] * 8**0.5
    f = normal(draw, 8, outputs)
    return a, a @ normal(draw, inputs, outputs) + 0.1 * f


def balanced_factors(network: ReLUNetwork, X: Tensor) -> Weights:
    """Return weights of layers of equal norm whose product is X, ``(n_0, n_{H+1})``."""
    U, s, V = torch.linalg.svd(X, full_matrices=False)
    # Singular values that are 0 come out as 1e-16. The least norm is so steep there that this
    # would add (H+1) · 1e-16^{2/(H+1)} to ‖W‖², at H = 3 some 1e-8.
    root = torch.where(s > 1e-12 * s[0], s, 0.0) ** (1 / (network.depth + 1))
    k = min(len(s), *network.widths)
    W = zero_weights(network)
    for w in W:
        w[:k, :k] = torch.diag(root[:k])
    W[0][:, :k] = U[:, :k] * root[:k]
    W[-1][:k] = root[:k, None] * V[:k]
    return W


def not_minimal(t: Tensor, s: Tensor, decay: float, depth: int) -> Tensor:
    """Return where some singular value on a grid in [0, s] costs less than t, by 1e-6."""

    def cost(t: Tensor) -> Tensor:
        return (t - s).square() / 2 + decay / 2 * (depth + 1) * t ** (2 / (depth + 1))

    grid = torch.linspace(0, 1, 20001, dtype=torch.float64)[:, None] * s
    return cost(t) > cost(grid).amin(0) + 1e-6


# Both values are sums of a few terms of order one, and the minimum is stationary in t, so that
# only the sums' rounding, some 1e-15, is between them.
ATTAINED = 1e-12


@claim(
    "exact-minima-linear",
    "Linear networks with whitened inputs: one singular value at a time",
    "certified",
    "Proved from two inequalities between singular values that are cited.",
    hypotheses=("λ > 0", "linear units", "whitened inputs"),
    uses=("phase-diagram-threshold",),
    variant="soft thresholding at every depth",
    least=590,
)
def check_linear(seed: int) -> Evidence:
    """Check that no weights of linear networks go below the minimum; its factors attain it.

    The minimum is from singular values; the values from the network, at random weights, where
    descents from them end, and at the factors of the minimiser. One-dimensional problems are
    compared with a grid.
    """
    draw = torch_generator(seed, "data")
    seen = Evidence()
    for widths in ((2, 2, 2), (2, 3, 1), (3, 1, 2), (2, 2, 2, 2), (3, 3, 2, 1), (2, 2, 3, 2, 2)):
        network, H = ReLUNetwork(widths, False, 1.0), len(widths) - 2
        for decay in (0.05, 0.3, 1.0):
            a, f = linear_problem(widths[0], widths[-1], draw)
            X, least = linear_minimum(a, f, decay, H, min(widths))
            at = Instance(network, normal_stack(network, draw, 20, 1).W, a, f)
            best = at.at(balanced_factors(network, X))
            ends = end_of_descent(at, decay, 0.02, 100)[1]
            values = torch.cat([regularized_loss(*at, decay), ends])
            values = values[torch.isfinite(values)]
            there = regularized_loss(*best, decay)
            seen.add(len(values), wrong=values < least - ATTAINED, ratio=least / values)
            seen.add(1, wrong=(there - least).abs() > ATTAINED, ratio=least / there)
            s = torch.linalg.svdvals(a.mT @ f / len(a))
            soft = (s - decay).clamp(min=0)
            wrong = not_minimal(shrink(s, decay, H), s, decay, H)
            seen.add(wrong=wrong, refuted=not_minimal(soft, s, decay, H))
    return seen


class BothWays(NamedTuple):
    """One problem, solved as a convex programme and by descents.

    Attributes:
        a: inputs ``(N, 2)``.
        f: targets ``(N,)``.
        weight_decay: λ.
        share: ``λ / Λ``.
        solution: of the convex programme.
        values: ``ℓ_λ`` where the descents end, with a Newton method after them.
    """

    a: Tensor
    f: Tensor
    weight_decay: float
    share: float
    solution: ConvexSolution
    values: Tensor


@lru_cache(maxsize=2)
def solved_both_ways(seed: int) -> tuple[BothWays, ...]:
    """Solve six problems of three to five points in the plane, for λ/Λ from .05 to 1.05."""
    draw = torch_generator(seed, "data")
    results = []
    network = ReLUNetwork((2, 6, 1), False)
    for k in range(6):
        a = normal(draw, 3 + k % 3, 2)
        f = normal(draw, len(a))
        for share in (0.05, 0.3, 0.8, 1.05):
            decay = share * correlation(a, f)
            at = Instance(network, normal_stack(network, draw, 16, 1).W, a, f)
            W, before = end_of_descent(at, decay, 0.1, int(150 + 20 / share))
            W = find_critical_points(*at.at(W), decay, steps=15)[0]
            values = torch.minimum(regularized_loss(*at.at(W), decay), before)
            solution = convex_minimum(a, f, decay, steps=3000)
            results.append(BothWays(a, f, decay, share, solution, values))
    return tuple(results)


@claim(
    "exact-minima-convex",
    "One hidden layer: a lower bound for all widths, attained by a convex programme",
    "certified",
    "Proved; value and bound computed in rational numbers.",
    hypotheses=("λ > 0", "H = 1", "ReLU, none on the output", "the gap is below 1e-9"),
    uses=("toy-zero-optimal",),
    variant="the dual constraint at the inputs' directions only",
    least=20,
)
def check_convex(seed: int) -> Evidence:
    """Check that no network of one hidden layer goes below the bound, which the programme attains.

    Bound and value are computed from the data in rational numbers; the networks are where
    descents of width six end.
    """
    seen = Evidence()
    for one in solved_both_ways(seed):
        a, f, decay, share, solution, values = one
        bound, value = float(solution.bound), float(solution.value)
        is_zero = abs(value - f.square().mean().item() / 2) < 1e-12 and solution.gap == 0
        e = -solution.at.residuals()
        u = normalize(torch.cat([a, -a]))
        scale = decay / ((e @ (a @ u.mT).relu()).abs().max() / len(e))
        otherwise = scale * (f * e).mean() - scale**2 * e.square().mean() / 2
        seen.add(solution.gap < 1e-9, refuted=otherwise > value + 1e-6, ratio=bound / value)
        seen.add(wrong=values < bound - 1e-12, ratio=bound / values)
        seen.add(wrong=solution.gap < 0 or is_zero != (share > 1))
    return seen


NEGATIVE = (torch.tensor([[1.0]]).double(), torch.tensor([-1.0]).double())
THREE = (
    torch.tensor([[-2.0, -1.0], [-2.0, 2.0], [0.0, 2.0]]).double(),
    torch.tensor([-2.0, 2.0, -3.0]).double(),
)
BEYOND = (
    torch.tensor([[-67.0, 148.0], [-67.0, 72.0], [1.0, 77.0], [98.0, 7.0]]).double(),
    torch.tensor([-143.0, 97.0, 209.0, -50.0]).double(),
)


def beyond_example() -> Instance:
    """Return a network of two units, its output activated, that is 0 on two of `BEYOND`."""
    w, v = torch.tensor([[-1.0, 0.0], [0.0, 1.0]]).double(), torch.tensor([-148.0, 67.0]).double()
    size = v.abs().rsqrt()
    return Instance(ReLUNetwork((2, 2, 1), True), (w / size, (v * size)[:, None]), *BEYOND)


def output_example(units: int) -> Instance:
    """Return a network of 2 or 3 units, its output activated, that is 0 on two of `THREE`."""
    w, v = {  # columns w_j, and v_j: the units σ(w_j · a) v_j
        2: ([[-1.0, 1.0], [2.0, 1.0]], [1.0, -2.0]),
        3: ([[-1.0, 1.0, -1.0], [1.0, 1.0, -1.0]], [1.0, -1.0, -1 / 3]),
    }[units]
    w, v = torch.tensor(w).double(), torch.tensor(v).double()
    size = (w.norm(dim=0) / v.abs()).sqrt()
    return Instance(ReLUNetwork((2, units, 1), True), (w / size, (v * size)[:, None]), *THREE)


@claim(
    "exact-minima-output",
    "With an activated output the threshold depends on the width, and Λ is not it",
    "certified",
    "Proved, with three data sets; Λ of the third in rational numbers.",
    hypotheses=("H = 1", "ReLU on the output"),
    uses=("phase-diagram-threshold", "phase-diagram-bounds"),
    variant="λ* is at least Λ; at most Λ; at most the one-sided maximum",
    least=3603,
)
def check_output(seed: int) -> Evidence:
    """Check the three examples by random networks and by hand.

    Networks of one unit never beat zero on `THREE`, nor of any width on `NEGATIVE`; thresholds stay
    below ``Λ_+``. That λ* ≥ Λ is refuted on `NEGATIVE` by every λ < Λ = 1 at which nothing beats
    zero, that λ* ≤ Λ on `BEYOND` by the network made for it, and the one-sided maximum, 0 on
    `THREE`, by every network that does.
    """
    draw = torch_generator(seed, "data")
    built = {(id(THREE), 2): output_example(2), (id(THREE), 3): output_example(3)}
    built[id(BEYOND), 2] = beyond_example()
    seen = Evidence()
    for data, units in product((NEGATIVE, THREE, BEYOND), (1, 2, 3, 6)):
        a, f = data
        most, Lambda = correlation(a, f.clamp(min=0)), correlation(a, f)
        network = ReLUNetwork((a.shape[1], units, 1), True)
        W = normal_stack(network, draw, 300, 1).W
        if (id(data), units) in built:
            more = built[id(data), units].W
            W = tuple(torch.cat([x, y[None]]) for x, y in zip(W, more, strict=True))
        t = escape_threshold(network, W, a, f)
        never = data is NEGATIVE or (data is THREE and units == 1)
        limit, above = 1e-12 if never else most, t > Lambda * (1 + ROUNDING)
        refuted = (False, above, (t > 1e-3) & (data is THREE))
        seen.add(len(t), wrong=t > limit, refuted=refuted, ratio=None if never else t / most)
        if (id(data), units) in built:
            seen.add(wrong=bool(above[-1]) != (data is BEYOND))
        for decay in (0.01, 0.1, 0.5):
            beaten = regularized_loss(network, W, a, f, decay) < f.square().mean() / 2
            optimal = data is NEGATIVE and not beaten.any()
            wrong = beaten if never else beaten & (t < decay)
            seen.add(wrong=wrong, refuted=(optimal, False, False))
    return seen
