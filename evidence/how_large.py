r"""Checks of how large the certified set is: balls of weight space, digits, long descents.

The sets are those of `pscore.certificate`.
"""

import math
from itertools import product

import numpy as np
import pandas as pd
import torch
from scipy.optimize import brentq
from torch import Tensor

from evidence.claims import Evidence, claim
from evidence.descents import parity
from evidence.instances import (
    WIDTHS,
    ball,
    canonical_radius,
    normal,
    normal_weights,
    random_planar,
    random_stack,
    scaled_problem,
    sphere_data,
    zero_weights,
)
from evidence.measures import (
    SETS,
    ball_counts,
    inside,
    kappas,
    needed_weight_decay,
)
from evidence.solvers.exact import threshold_constant, weight_decay_unit
from pscore.certificate import curvature_bounds, data_radius, spectral_norms, star_norm
from pscore.curvature import flatten
from pscore.descent import descend, initialize
from pscore.experiments.trials import stored
from pscore.instance import Instance
from pscore.loss import squared_norm, training_error
from pscore.network import ReLUNetwork, Weights
from pscore.seeds import torch_generator

# ---- balls of weight space ---------------------------------------------------------------------


def worst_layers(depth: int, radius: float, name: str) -> tuple[float, float]:
    """Return the norms of the first and of all other layers at which κ is largest in a ball."""
    equal = radius / math.sqrt(depth + 1)
    if name in ("layerwise", "data"):
        return equal, equal
    first = np.linspace(equal, radius, 4001)
    others = np.sqrt((radius**2 - first**2).clip(min=0) / depth)
    most = np.argmax(first ** (depth - 1) * (1 + first * others**depth))
    return float(first[most]), float(others[most])


def largest_kappa(depth: int, radius: float, name: str = "paper") -> float:
    """Return a set's largest κ on the ball ``‖W‖ ≤ R``, over all data with ``r = 2ℓ(0) = 1``."""
    first, others = worst_layers(depth, radius, name)
    sharp = depth * first ** (depth - 1) * (1 + first * others**depth)
    return (depth + 1) * sharp if name == "paper" else sharp


def inner_radius(depth: int, unit_decay: float, name: str = "paper") -> float:
    """Return the radius of the largest ball around 0 that is in the set for all data.

    In units of ``(2ℓ(0)/r²)^{1/(2(H+1))}``, with λ in units of ``λ_0``; 0 if the set need not hold
    the origin, as at H = 1 for small λ.
    """
    if largest_kappa(depth, 0.0, name) >= unit_decay:
        return 0.0
    top = 1.0
    while largest_kappa(depth, top, name) < unit_decay:
        top *= 2
    return brentq(lambda R: largest_kappa(depth, R, name) - unit_decay, 0.0, top, xtol=1e-13)


def worst_point(depth: int, radius: float, name: str = "paper") -> Instance:
    """Return a network of width one with ``‖W‖ = R`` at which `largest_kappa` is attained."""
    first, others = worst_layers(depth, radius, name)
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    network = ReLUNetwork((1,) * (depth + 2), output_relu=False)
    return Instance(network, (first * one, *(others * one,) * depth), one, -one[..., 0])


@claim(
    "how-large-inner",
    "The largest ball around 0 that is in a set for all data",
    "certified",
    "Proved, and attained at width one with one data point.",
    hypotheses=("λ > 0", "‖W‖ below the inner radius"),
    uses=("sharper-sets-nested", "phase-diagram-scaling"),
    variant="a ball whose radius is larger by a twentieth",
    least=3840,
)
def check_inner(seed: int) -> Evidence:
    """Check that the inner ball is in the set for all data, and that no larger one is.

    Networks with their own data, on the sphere of radius 0.999 times the inner one, two thirds of
    them near a single layer or near equal layers of rank one; and `worst_point`, which has to have
    κ = λ on the sphere itself, and more on that of the variant.
    """
    seen = Evidence()
    for (H, widths), output_relu in product(WIDTHS.items(), (False, True)):
        stack = random_stack(ReLUNetwork(widths, output_relu), seed, 60)
        scale = (stack.f.square().mean(-1) / data_radius(stack.a) ** 2) ** (1 / (2 * (H + 1)))
        unit = weight_decay_unit(stack.a, stack.f, H)
        for unit_decay, name in product((0.3, 2.5, 9.0), SETS):
            R = inner_radius(H, unit_decay, name)
            if not R:
                continue
            at = stack.at(_on_sphere(stack, 0.999 * R * scale))
            ratio = kappas(at)[name] / (unit_decay * unit)
            seen.add(len(ratio), wrong=ratio >= 1, ratio=ratio)
            worst, beyond = (
                kappas(worst_point(H, c * R, name))[name].item() / unit_decay for c in (1, 1.05)
            )
            seen.add(wrong=abs(worst - 1) > 1e-5, refuted=beyond > 1, ratio=min(worst, 1.0))
    return seen


def _on_sphere(stack: Instance, size: Tensor) -> Weights:
    """Each network's weights, some with one layer only or with equal layers, at ``‖W‖ = size``."""
    kind = torch.arange(len(size)) % 3
    W = []
    for k, w in enumerate(stack.W):
        unit = w / torch.linalg.matrix_norm(w)[:, None, None]
        rank_one = torch.zeros_like(w)
        rank_one[:, 0, 0] = 1.0
        factor = torch.where(kind == 1, 1.0 if k == 0 else 0.01, 1.0)[:, None, None]
        W.append(torch.where((kind == 2)[:, None, None], rank_one, factor * unit))
    length = squared_norm(tuple(W)).sqrt()
    return tuple(w * (size / length)[:, None, None] for w in W)


@claim(
    "how-large-bounded",
    "When U is bounded: H ≥ 2 and data that can't be fitted",
    "certified",
    "Proved; the set of (7) is bounded by its definition.",
    hypotheses=(
        "λ > 0",
        "for no bound: data that W fits, or H ≥ 3 and a single layer; and ‖W‖ > 300",
        "for the bound: H ≥ 2, inf ℓ > 0, and W in U",
    ),
    uses=("paper-definition-2", "sharper-sets-nested"),
    variant="U is bounded, whatever the data",
    least=320,
)
def check_bounded(seed: int) -> Evidence:
    """Check where U is bounded, at which H, for which data.

    Data that a network fits: its weights, moved along ``(tW_0, W_1/t, …)`` to ``‖W‖ > 300``, are
    in U. Data that no network fits (each input twice, with two targets): every point of U, among
    random ones with layers of very unequal sizes, has ``‖W‖_*`` below the bound. And for H ≥ 3 a
    single layer of any size is in U_data, for H = 2 a large one is not.
    """
    seen = Evidence()
    decay, draw = 2.0, torch_generator(seed, "data")
    for H, widths in WIDTHS.items():
        stack = random_stack(ReLUNetwork(widths, output_relu=False), seed, 100, spread=0.3)
        first, second, *others = stack.W
        far = stack._replace(W=(1e3 * first, second / 1e3, *others), f=stack.outputs())
        large, fitted = squared_norm(far.W).sqrt() > 300, inside(far, decay)
        seen.add(large, wrong=~fitted, refuted=large & fitted)

        a, f = stack.a.repeat(1, 2, 1), torch.cat([stack.f, stack.f + 0.5], dim=1)
        sizes = 0.3 * normal(draw, 100, H + 1).exp().T[..., None, None]
        W = tuple(size * w for size, w in zip(sizes, stack.W, strict=True))
        at = Instance(stack.network, W, a, f)
        if H > 1:
            least = 0.5 * 0.25**2  # of the training error, between two targets 0.5 apart
            slope = math.sqrt(2 * least) * H * (H + 1) * data_radius(a)
            ratio = star_norm(W) / (decay / slope) ** (1 / (H - 1))
            seen.add(inside(at, decay), wrong=ratio > 1, ratio=ratio)
        *before, last = stack.W
        alone = inside(at.at((*(0 * w for w in before), 1e4 * last)), decay, "data")
        if H >= 3:
            seen.add(len(alone), wrong=~alone)
        elif H == 2:
            seen.add(wrong=alone)
    return seen


@claim(
    "how-large-limits",
    "The share of a ball goes from 1 to 0 with its radius, but for H = 1",
    "certified",
    "Proved.",
    hypotheses=("λ > 0", "no output ReLU", "data that are not all zero"),
    uses=("how-large-inner",),
    variant="the share goes to 0 at H = 1 as well",
    least=3600,
)
def check_limits(seed: int) -> Evidence:
    """Check that rays leave the sets, and what is left of the ball at H = 1.

    Along random rays κ(Ru) is computed at R = 10⁵: it has to be above λ in all four sets, except
    at H = 1 on rays on which all outputs are zero, where it has to be κ(0).
    """
    seen = Evidence()
    for H, widths in WIDTHS.items():
        stack = random_stack(ReLUNetwork((2, *widths[1:]), output_relu=False), seed, 300, points=3)
        decay = 3 * weight_decay_unit(stack.a, stack.f, H)
        norm = squared_norm(stack.W).sqrt()[:, None, None]
        far = stack.at(tuple(1e5 * w / norm for w in stack.W))
        kappa, at_zero = kappas(far), kappas(stack.at(zero_weights(stack.network, 300)))
        dead = (far.outputs() == 0).all(-1) & (H == 1)
        for name in SETS:
            there = kappa[name] < decay
            moved = (kappa[name] - at_zero[name]).abs() > 1e-9 * decay
            seen.add(len(dead), wrong=torch.where(dead, moved, there), refuted=dead & there)
    return seen


def expected_norm_bound(network: ReLUNetwork, radius: float) -> float:
    """Return a bound of the mean of ``Σ_k ‖W_k‖_2`` over the ball ``‖W‖ ≤ R``; of ``‖W‖_*`` too."""
    m = network.parameter_count
    sums = sum(math.sqrt(rows) + math.sqrt(columns) for rows, columns in network.shapes)
    return radius * sums * math.sqrt(m + 1) / m


@claim(
    "how-large-width",
    "At H ≥ 2 the share of a ball goes to 1 as the layers get wide",
    "certified",
    "Proved from a cited bound for Gaussian matrices; false at H = 1.",
    hypotheses=("W uniform in a ball", "for shares: H ≥ 2, hidden widths in proportion"),
    uses=("how-large-limits",),
    variant="the share goes to 1 at H = 1 as well",
    least=360,
)
def check_width(seed: int) -> Evidence:
    """Check the mean of ``‖W‖_*`` in a ball against its bound, which falls like width^{-1/2}.

    And the share of the ball in U: at 96 units more than at 6, for H = 2 and 3. At H = 1 it has to
    stay 0 where 0 is not in U, which is what the variant overlooks.
    """
    seen = Evidence()
    a, f = sphere_data(10, seed)
    for H, unit_decay in ((1, 1.0), (2, 5.0), (3, 5.0)):
        radius, held = math.sqrt(H + 1), []
        for width in (6, 96):
            network = ReLUNetwork((4, *(width,) * H, 1), output_relu=False)
            W = ball(network, radius, 60, torch_generator(seed, "initialization"))
            ratio = spectral_norms(W).sum(-1).mean() / expected_norm_bound(network, radius)
            seen.add(60, wrong=ratio > 1, ratio=ratio)
            held.append(inside(Instance(network, W, a, f), unit_decay))
        narrow, wide = held
        if H == 1:
            seen.add(wrong=wide, refuted=~wide)
        else:
            seen.add(wrong=wide.sum() <= narrow.sum())
    return seen


def zero_from(a: Tensor, f: Tensor, depth: int) -> float:
    """Return a λ from which 0 is the best network for these data, without output ReLU.

    It is the upper bound of the chapter on phases, for inputs of any dimension, with its maximum
    over directions u replaced by ``½(‖mean f a‖ + (mean f² · λ_max(mean a aᵀ))^{1/2})``, with |f|
    for f at H > 1.
    """
    target = f if depth == 1 else f.abs()
    square = f.square().mean()
    spread = square * torch.linalg.eigvalsh(a.mT @ a / len(a))[-1]
    most = ((target[:, None] * a).mean(0).norm() + spread.sqrt()) / 2
    power = (most**2 * square ** (depth - 1)) ** (1 / (depth + 1))
    return threshold_constant(depth) * power.item()


_CANONICAL = (
    "λ > 0",
    "for shares: architecture and data fixed, up to scaling",
    "for the whole ball: all data with r = 2ℓ(0) = 1",
)
_OTHER_BALLS = "shares of a ball of one fixed radius; a ball with 0.99 of the radius"


@claim(
    "how-large-canonical",
    "No weights outside the ball of radius (2ℓ(0)/λ)^½ are as good as 0",
    "certified",
    "Proved; all of it is in U for all data from the λ of (10) on, at H = 1 from (1 + √2)λ_0.",
    hypotheses=_CANONICAL,
    uses=("phase-diagram-scaling", "how-large-limits", "how-large-inner"),
    variant=_OTHER_BALLS,
    least=3450,
)
@claim(
    "fig-how-large-ball",
    "Shares of that ball against λ, depth, width and data",
    "observed",
    "By sampling, with Wilson intervals.",
    hypotheses=_CANONICAL,
    uses=("how-large-canonical",),
    variant=_OTHER_BALLS,
    least=3450,
)
def check_canonical(seed: int) -> Evidence:
    """Check the three parts: what is outside the ball, its shares, and when all of it is in U.

    Networks that fit their data, with λ so that ‖W‖ is just within the ball or just outside, have
    to be better than 0 or worse. Counts for a problem and for its scaled copy, with the same draws,
    have to agree, and at a tiny λ nothing is inside. A thousandth above the threshold all points of
    the ball's surface are inside, a thousandth below it `worst_point` is not.
    """
    seen, draw = Evidence(), np.random.default_rng(seed)
    for H, widths in WIDTHS.items():
        fitted = random_stack(ReLUNetwork(widths, output_relu=False), seed, 100)
        fitted = fitted._replace(f=fitted.outputs())
        fitted = fitted.rows(fitted.f.any(-1))
        square, at_zero = squared_norm(fitted.W), fitted.f.square().mean(-1) / 2
        for share in (0.99, 1.01):  # of ‖W‖² in the square of the ball's radius
            decay = share * 2 * at_zero / square
            better = training_error(*fitted) + decay / 2 * square < at_zero
            outside = square > 2 * at_zero / decay
            small = square > 0.99**2 * 2 * at_zero / decay
            seen.add(fitted.size, wrong=better == outside, refuted=(False, better & small))
        a, f = sphere_data(12, seed)
        network = ReLUNetwork((4, *(4,) * H, 1), output_relu=False)
        for decay in (1.0, 3.0, 6.0):
            R = canonical_radius(f, decay)
            b, c = np.exp(draw.normal(size=2)).tolist()
            W = normal_weights(network, torch_generator(seed, "data"), 1)
            _, x, g, factor = scaled_problem(network, W, a, f, c, b)
            before, after, fixed = (
                np.array([*ball_counts(network, *problem, radius, 300, seed).values()])
                for problem, radius in (
                    ((a, f, decay), R),
                    ((x, g, factor * decay), canonical_radius(g, factor * decay)),
                    ((x, g, factor * decay), R),
                )
            )
            seen.add(300, wrong=before != after, refuted=(before != fixed, False))
        few = ball_counts(network, a, f, 1e-4, canonical_radius(f, 1e-4), 300, seed)
        seen.add(wrong=any(few.values()))
        seen.add(90, wrong=_whole_ball(H, seed))
    return seen


def _whole_ball(depth: int, seed: int) -> bool:
    """Say whether the threshold of the proposition, and that of (10), puts a wrong ball in U."""
    network = ReLUNetwork(WIDTHS[depth], output_relu=False)
    stack = random_stack(network, seed, 90)
    a = stack.a / data_radius(stack.a)[:, None, None]
    f = stack.f / stack.f.square().mean(-1, keepdim=True).sqrt()
    threshold = (depth * (depth + 1)) ** (2 / (depth + 1)) if depth > 1 else 1 + math.sqrt(2)
    above, below = 1.001 * threshold, 0.999 * threshold
    sphere = _on_sphere(stack, torch.full((90,), above**-0.5, dtype=torch.float64))
    wrong = not inside(Instance(network, sphere, a, f), above).all()
    wrong |= not inside(worst_point(depth, above**-0.5), above).all()
    wrong |= bool(inside(worst_point(depth, below**-0.5), below).any())
    from_10 = needed_weight_decay(network, 0.5, 1.0)
    return wrong or (depth > 1 and abs(from_10 / threshold - 1) > 1e-9)


# ---- digits ------------------------------------------------------------------------------------

DIGITS = "how-large-digits"


@claim(
    "fig-how-large-digits",
    "Test accuracy against λ, and the λ that would put the network in U",
    "observed",
    "Stored trials on scikit-learn's digits, even against odd, H = 1 and 2.",
    hypotheses=("a stored trial with ‖W‖ > 10⁻³ and ‖g‖ < λ‖W‖",),
    uses=("how-large-time", "phase-diagram-bounds"),
    variant="a network that classifies is in U at its own λ",
    least=98,
)
def check_digits(seed: int) -> Evidence:
    """Check the stored trials against the theorem, and one kind of them by runs of their own.

    ``⟨g, W⟩ ≥ (λ − κ_data/H) ‖W‖²`` makes ``κ_data ≥ H (λ − ‖g‖/‖W‖)``, critical or not; a trial
    with a positive right-hand side is met. `outside_by_gradient` says where it proves W outside U,
    up to rounding. Those in U have outputs that decide nothing, or are on their way there; whoever
    classifies has an accuracy above 0.8.
    """
    seen = Evidence()
    trials = stored(DIGITS).trials
    least = trials.depth * (trials.decay - trials.gradient / trials.norm.clip(lower=1e-300))
    ratio = (least / trials.kappa_data).to_numpy()
    applies = ((least > 0) & (trials.norm > 1e-3)).to_numpy()
    seen.add(applies, wrong=ratio > 1 + 1e-9, ratio=ratio)
    held, classifies = trials.kappa_paper < trials.decay, trials.test_accuracy > 0.8
    seen.add(wrong=(outside_by_gradient(trials) & held).to_numpy())
    decides = classifies | (trials.norm < 1e-5) & (trials.test_accuracy != 0.5)
    seen.add(wrong=(held & decides).to_numpy(), refuted=(classifies & ~held).to_numpy())
    again, _ = parity.run_parity(1, 0.01, range(seed, seed + 2), train=200, steps=40, log_every=20)
    far_outside = again.kappa_paper >= 2 * again.decay
    seen.add(wrong=(~again.test_accuracy.between(0.7, 1) | ~far_outside).to_numpy())
    return seen


def outside_by_gradient(trials: pd.DataFrame) -> pd.Series:
    """Say for which stored trials a bound on ``‖g‖/‖W‖`` alone puts the network outside U.

    ``κ ≥ (H + 1) κ_data ≥ H(H + 1)(λ − ‖g‖/‖W‖)``, and outside is κ ≥ λ.
    """
    steepness = trials.gradient / trials.norm.clip(lower=1e-300)
    least = trials.depth * (trials.depth + 1) * (trials.decay - steepness)
    return (trials.norm > 1e-3) & (least >= trials.decay)


@claim(
    "how-large-time",
    "In the long run a descent is in U always or never",
    "certified",
    "Proved, for descents that converge; so loss share and time share are two numbers.",
    hypotheses=("λ > 0", "a descent that converges to a Clarke-critical point"),
    uses=("nothing-but-the-origin", "origin-inside"),
    variant="a descent that has been in U ends in U",
    least=136,
)
def check_time(seed: int) -> Evidence:
    """Check where long descents stand for the rest of their time, in U or out of it.

    Descents for one data point from random starts, and for five points from weights that fit them
    exactly, which are in U. Those that end at a non-zero critical point have to be out of all four
    sets in the last fifth of the steps, with ``κ_data ≥ Hλ``; those that end at 0 with H ≥ 2 are in
    all of them.
    """
    seen = Evidence(varies=True)
    plane, unit = random_planar(seed, 1).a, torch.tensor([[0.6, 0.8]], dtype=torch.float64)
    for H, fitted in product((1, 2), (False, True)):
        network = ReLUNetwork((2, *(3,) * H, 1), output_relu=False)
        W = initialize(network, range(60), "normal(0.7)")
        decay, a = (0.05, plane) if fitted else (0.2, unit)
        f = network(W, a) if fitted else torch.ones(1).to(a)
        problem, states = descend(
            network, W, a, f, weight_decay=decay, learning_rate=0.2, steps=700
        )
        been, late = torch.zeros(60, dtype=torch.bool), []
        for state in states:
            if state.step % 35 == 0:
                margins = torch.stack(list(problem.margins(state).values()))
                been |= margins[0] > 0
                late += [margins > 0.01 * decay] if state.step >= 560 else []
        always, ever = torch.stack(late).all(0).all(0), torch.stack(late).any(0).any(0)
        norm = squared_norm(state.W).sqrt()
        still = flatten(state.gradient).norm(dim=-1) < 1e-3 * decay * norm
        critical, zero = still & (norm > 1e-2), norm < 1e-2
        kappa = curvature_bounds(network, state.W, problem.a, state.residuals)["data"]
        ratio = H * decay / kappa
        wrong = critical & ((ratio > 1 / 0.99) | ever) | zero & ~always & (H >= 2)
        # At the end of a finite run κ may be below its bound by a hair.
        nearest = torch.where(critical, ratio.clamp(max=1), 0.0)
        seen.add(critical | zero, wrong=wrong, refuted=critical & been, ratio=nearest)
    return seen
