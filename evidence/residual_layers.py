r"""Checks of weight decay towards a reference W⁰ instead of 0, as residual layers have it.

The penalised loss is ``ℓ(W) + λ/2 ‖W − W⁰‖²``. Its pieces have the Hessians of ``ℓ_λ``, so the sets
of `pscore.certificate` serve it as they are; what changes is where its critical points can be.
"""

import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from flint import arb
from torch import Tensor
from torch.nn import functional

from evidence.claims import Evidence, claim
from evidence.instances import (
    WIDTHS,
    near_equality,
    normal,
    on_boundaries,
    random_stack,
    uniform,
)
from evidence.measures import SETS, clarke_gradient, exceeds, kappas
from evidence.rational import exact_loss, exact_output, exactly, indices, moved
from pscore.certificate import certify, data_radius, star_norm
from pscore.curvature import flatten, frozen_hessian, least_eigenvalue, unflatten
from pscore.exact.gauss_newton import GaussNewton
from pscore.instance import Instance
from pscore.loss import (
    checked,
    gradient,
    residuals_and_gradient,
    squared_norm,
    training_error,
)
from pscore.network import ReLUNetwork, Weights
from pscore.seeds import torch_generator


def towards(at: Instance, reference: Weights, weight_decay: float) -> Tensor:
    """Return ``ℓ(W) + λ/2 ‖W − W⁰‖²`` for each network of a stack."""
    away = tuple(w - o for w, o in zip(at.W, reference, strict=True))
    return training_error(*at) + weight_decay / 2 * squared_norm(away)


def descend_towards(
    start: Instance, reference: Weights, weight_decay: float, *, rate: float, steps: int
) -> Instance:
    """Descend on the loss with the penalty ``λ/2 ‖W − W⁰‖²``, from a stack's weights."""
    W, a, f = checked(*start)
    for _ in range(steps):
        _, slope = residuals_and_gradient(start.network, W, a, f, 0.0)
        g = (s + weight_decay * (w - o) for s, w, o in zip(slope, W, reference, strict=True))
        W = tuple(w - rate * x for w, x in zip(W, g, strict=True))
    return start.at(W)


def reference_bound(depth: int, r: float, weight_decay: float, star: Tensor, R: Tensor) -> Tensor:
    """Return ``H(H+1) r √λ R (‖W⁰‖_* + R)^{H−1}``, which no κ exceeds where the loss is ``λR²/2``.

    Args:
        depth: H.
        r: the data radius.
        weight_decay: λ.
        star: ``‖W⁰‖_*``.
        R: ``(2/λ)^{1/2}`` times the square root of the loss.
    """
    return depth * (depth + 1) * r * math.sqrt(weight_decay) * R * (star + R) ** (depth - 1)


@claim(
    "residual-layers-reference",
    "Weight decay towards W⁰: the theory holds, and Lemma 4 is no longer empty",
    "certified",
    "Proved; W⁰ = I is the paper's residual re-parametrisation, W⁰ = 0 its Lemma 4.",
    hypotheses=("λ > 0", "a loss so small that the bound on κ is below λ"),
    uses=("paper-lemma-4", "paper-theorem-3", "second-derivative-vector-outputs"),
    variant="the condition of Lemma 4 itself, without the norm of W⁰",
    least=450,
)
def check_reference(seed: int) -> Evidence:
    """Check that weights with a small loss are in U, whatever the reference, 0 or I or 1.7 I.

    Loss and κ are from the network and its norms. Random weights near the reference, and the
    reference itself, with random data. The bound on κ has to hold also where it is above λ. And
    the fourth part, at I, where units with ReLUs have the input 0.
    """
    seen = Evidence()
    for kind in KINDS:
        _add_small_distances(seen, kind, seed)
    draw = torch_generator(seed, "shuffling")
    identity = torch.eye(3, dtype=torch.float64).expand(150, 3, 3)
    for H, scale in product((1, 2, 3), (0.0, 1.0, 1.7)):
        stack = random_stack(ReLUNetwork((3,) * (H + 2), output_relu=False), seed, 150, spread=0.3)
        origin = (scale * identity,) * (H + 1)
        size = 0.3 * uniform(draw, 150, 1, 1)
        size[:30] = 0
        W = tuple(o + size * w for o, w in zip(origin, stack.W, strict=True))
        a = stack.a / data_radius(stack.a)[:, None, None]
        f = stack.network(origin, stack.a) + 0.05 * stack.f
        at = Instance(stack.network, W, a, f)
        kappa = kappas(at)["paper"]
        for decay in (0.3, 3.0):
            R = (2 / decay * towards(at, origin, decay)).sqrt()
            bound = reference_bound(H, 1.0, decay, star_norm(origin), R)
            without = reference_bound(H, 1.0, decay, 0 * R, R)
            inside = kappa < decay
            seen.add(bound < decay, wrong=~inside, refuted=(without < decay) & ~inside)
            seen.add(wrong=exceeds(kappa, bound), ratio=kappa / bound)
    return seen


def _add_small_distances(seen: Evidence, kind: tuple[int, float], seed: int) -> None:
    """Compare the loss left at λ of order d² with ``d² ℓ(W⁰)``, for one direction and two d.

    Descents from I have to end in U at that λ, with ``ℓ ≤ λd²/2``, and the quotient must not grow
    as d falls.
    """
    quotients = []
    for d in (0.01, 0.001):
        unit = torch.ones(1, dtype=torch.float64)
        root = 2 * reference_bound(kind[0], 1.0, 1.0, unit, d * unit).item()
        start, end = from_identity(kind, d, root**2, seed, count=20, steps=200)
        left, before = training_error(*end), training_error(*start)
        low = towards(end, start.W, root**2) <= root**2 * d**2 / 2
        wrong = (left > root**2 * d**2 / 2) | (kappas(end)["paper"] >= root**2)
        seen.add(low, wrong=wrong)
        quotients.append(root**2 / 2 / before)
    seen.add(wrong=(quotients[1] > 1.2 * quotients[0]) & (quotients[0] < 1e4))


class Line(NamedTuple):
    """A critical point with equal layers ``1 + p``, for one input 1, in rational numbers.

    Attributes:
        target: f, such that the point is critical.
        error: e at the point.
        first: e at the reference.
        slopes: of the penalised loss in each layer, from its values.
        kappa: the paper's κ.
    """

    target: Fraction
    error: Fraction
    first: Fraction
    slopes: list[Fraction]
    kappa: Fraction


def on_line(depth: int, p: Fraction, weight_decay: Fraction) -> Line:
    """Return the problem with width one and ``W⁰ = (1, …, 1)`` that is critical at ``1 + p``."""
    s, one = 1 + p, Fraction(1)
    target = s ** (depth + 1) + weight_decay * p / s**depth
    W, data = [[[s]]] * (depth + 1), [([one], [target])]
    step = s / 2  # no switch changes, and the loss is of degree two in each layer

    def difference(k: tuple[int, int, int]) -> Fraction:
        up, down = (exact_loss(moved(W, t, k), data, False) for t in (step, -step))
        return (up - down) / (2 * step)

    error = exact_output(W, [one], False)[0] - target
    slopes = [difference(k) + weight_decay * p for k in indices(W)]
    kappa = depth * (depth + 1) * abs(error) * s ** (depth - 1)
    return Line(target, error, 1 - target, slopes, kappa)


@claim(
    "residual-layers-line",
    "Residual layers: critical points in U in closed form, as well fitted as one likes",
    "certified",
    "Proved; computed in rational numbers.",
    hypotheses=("width one, one data point", "W⁰ = (1, …, 1)", "λ > 0", "0 ≠ p > −1"),
    uses=("residual-layers-reference",),
    variant="nothing but the reference is critical in U",
    least=190,
)
def check_line(seed: int) -> Evidence:
    """Check the family of critical points in rational numbers, and by the code in floats.

    Slope zero; inside U exactly for p below ``1/(H² + H − 1)`` or, downwards, ``1/(H² + H + 1)``;
    membership by `certify`; the Hessian of the penalised loss, which is that of ``ℓ_λ``, positive
    definite; and the share of the error that is left, which goes to 0 with λ.
    """
    seen = Evidence()
    draw = np.random.default_rng(seed)
    one = torch.ones(1, 1, dtype=torch.float64)
    for _ in range(200):
        H = int(draw.integers(1, 5))
        p = Fraction(int(draw.integers(-120, 200)), 240)
        decay = Fraction(1, int(draw.integers(1, 2000)))
        if p == 0:
            continue
        point, later = on_line(H, p, decay), on_line(H, p, decay / 100)
        expected = p < Fraction(1, H * H + H - 1) if p > 0 else -p < Fraction(1, H * H + H + 1)
        wrong = any(point.slopes) or (point.kappa < decay) != expected
        network = ReLUNetwork((1,) * (H + 2), output_relu=False)
        at = Instance(network, (float(1 + p) * one,) * (H + 1), one, float(point.target) * one[0])
        if abs(point.kappa / decay - 1) >= 1e-9:  # or else rounding decides
            wrong |= certify(*at, float(decay))["paper"].inside != expected
        wrong |= expected and not bool(least_eigenvalue(frozen_hessian(*at, float(decay))) > 0)
        left, less = ((x.error / x.first) ** 2 for x in (point, later))
        wrong |= not less < min(left, Fraction(1, 100))
        seen.add(1, wrong=wrong, refuted=expected)
    return seen


@claim(
    "residual-layers-near",
    "A critical point in U is near its reference: layers move by less than 1/(H²+H−1) of another",
    "certified",
    "Proved; attained at width one. For W⁰ = 0 it says again that U holds no critical point but 0.",
    hypotheses=("λ > 0", "W is Clarke-critical", "for the distance: W ≠ W⁰ is in U(λ)"),
    uses=("residual-layers-line", "sharper-sets-nested"),
    variant="1/(H²+H), in place of 1/(H²+H−1)",
    least=2100,
)
def check_near(seed: int) -> Evidence:
    """Check how far critical points are from the reference that makes them critical.

    Clarke's subgradients of ℓ, on kinks too, against κ and NumPy's norms; then, with the reference
    ``W + G/λ`` and λ above κ, the largest distance of a layer against the others' norms in the
    reference. Width one with equal layers, for data that ask for more, is near equality.
    """
    seen, draw = Evidence(), torch_generator(seed, "shuffling")
    for H, widths in WIDTHS.items():
        network = ReLUNetwork(widths, output_relu=False)
        stacks = [random_stack(network, seed, 150), on_boundaries(network, seed, 150)]
        s = 0.3 + uniform(draw, 50)
        for stack in (*stacks, near_equality(H, s)):
            G, kappa = clarke_gradient(stack, 0.0, draw), kappas(stack)["paper"]
            pull = torch.stack([torch.linalg.matrix_norm(g) for g in G], dim=-1)
            allowed = kappa[:, None] / (H * (H + 1)) * least_of_others(stack.W)
            seen.add(stack.size, wrong=exceeds(pull, allowed).any(-1))
            use = pull.amax(-1) > 1e-9
            for share in (1.001, 2.0):
                decay = share * kappa[use]
                reference = tuple(
                    w[use] + g[use] / decay[:, None, None] for w, g in zip(stack.W, G, strict=True)
                )
                far, layer = (pull[use] / decay[:, None]).max(-1)
                other = least_of_others(reference).gather(1, layer[:, None])[:, 0]
                ratio = far * (H * H + H - 1) / other
                more = far >= other / (H * H + H)
                seen.add(len(far), wrong=~(ratio < 1), refuted=more, ratio=ratio)
    return seen


def least_of_others(W: Weights) -> Tensor:
    """Return for each layer the least operator norm of the other layers, ``(T, H + 1)``."""
    norms = np.stack([np.linalg.svd(w.numpy())[1][..., 0] for w in W], axis=-1)
    return torch.from_numpy(
        np.stack([np.delete(norms, k, axis=-1).min(-1) for k in range(len(W))], axis=-1)
    )


class Inside(NamedTuple):
    """A ball in U that holds exactly one critical point of the penalised loss, not the reference.

    Attributes:
        holds: whether all of it is proved; what follows is proved in any case.
        kappa: an upper bound of the paper's κ on the ball.
        distance: a lower bound of the distance from the reference to the critical point.
        fitted: a lower bound of the share of the training error at the reference that is gone.
    """

    holds: bool
    kappa: float
    distance: float
    fitted: float


def certified_inside(
    one: Instance, reference: Weights, weight_decay: float, radius: float
) -> Inside:
    """Certify a ball around one network's weights by the paper's bound alone, in ball arithmetic.

    Args:
        one: a network, without an axis in front.
        reference: W⁰.
        weight_decay: λ.
        radius: ρ.
    """
    around = GaussNewton(*one, weight_decay, reference)
    if not around.inside:  # some unit's input may be 0: nothing is proved
        return Inside(False, math.inf, 0.0, 0.0)
    H, gain = one.network.depth, arb(one.network.gain)
    grown = [norm + radius for norm in around.norms]
    growth = math.prod(grown, start=arb(1)) - math.prod(around.norms, start=arb(1))
    total, r, star = arb(0), arb(0), arb(0)
    for point in around.points:
        length = _length(point.x[0].entries())
        r = r.max(length)
        total += (_length(point.e.entries()) + gain * length * growth) ** 2
    for norm in grown:
        star = star.max(norm)
    mean = (total / len(around.points)).sqrt()
    kappa = H * (H + 1) * gain * r * mean * star ** (H - 1)
    away = _length([x for matrix in around.pulled for x in matrix.entries()]) - radius
    certain = [
        around.stays_in_cell(radius),
        kappa < weight_decay,
        around.gradient < (weight_decay - kappa) * radius,
        away > 0,
    ]
    W, data = exactly(one.at(reference))
    before = exact_loss(W, data, False, linear=one.network.negative_slope == 1)
    left = mean**2 / 2 / (arb(before.numerator) / before.denominator)
    return Inside(
        all(certain), float(kappa.upper()), float(away.lower()), float((1 - left).lower())
    )


def _length(entries: list[arb]) -> arb:
    return sum((x * x for x in entries), arb(0)).sqrt()


KINDS = ((1, 0.0), (1, 1.0), (2, 0.0), (2, 1.0))  # depth and slope: ReLU and linear


def from_identity(
    kind: tuple[int, float],
    size: float | Tensor,
    weight_decay: float,
    seed: int,
    *,
    count: int,
    steps: int,
    width: int = 3,
) -> tuple[Instance, Instance]:
    """Draw teachers ``I + V`` with ``‖V‖ = size``, and descend on what they teach, from I.

    Args:
        kind: the depth, and the slope of the units.
        size: of all teachers, or of each, ``(T, 1)``.
        weight_decay: λ, towards I.
        seed: of the draw.
        count: T.
        steps: of the descent.
        width: of all layers, inputs and outputs.

    Returns:
        the stack at its start, with ``W = W⁰ = I`` and six data points that the teacher fits
        exactly, ``r = 1``; and at its end.
    """
    depth, slope = kind
    network = ReLUNetwork((width,) * (depth + 2), output_relu=False, negative_slope=slope)
    draw = torch_generator(seed, "data")
    V = size * functional.normalize(normal(draw, count, network.parameter_count))
    identity = tuple(torch.eye(width).to(V).repeat(count, 1, 1) for _ in network.shapes)
    teacher = [i + v for i, v in zip(identity, unflatten(network, V), strict=True)]
    a = normal(draw, count, 6, width)
    a = a / data_radius(a)[:, None, None]
    start = Instance(network, identity, a, network(teacher, a))
    return start, descend_towards(start, identity, weight_decay, rate=0.8, steps=steps)


def residual_points(seed: int, count: int = 2) -> Iterator[tuple[Instance, Weights]]:
    """Yield the ends of descents at λ = 0.1, and their references.

    Each is one network with two units a layer, ``count`` of each kind.
    """
    for kind in KINDS:
        start, end = from_identity(kind, 0.08, 0.1, seed, count=count, steps=250, width=2)
        for k in range(count):
            yield end.one(k), start.one(k).W


@claim(
    "residual-layers-ball",
    "Residual networks whose critical point the paper's own bound certifies",
    "certified",
    "Computed in ball arithmetic, for ReLU and linear networks with H = 1 and 2.",
    hypotheses=(
        "no switch changes in the ball",
        "κ < λ on it",
        "the gradient at its centre below (λ − κ) ρ",
    ),
    uses=("residual-layers-reference", "certified-balls-cell"),
    variant="nothing but the reference is critical in U",
    least=5,
)
def check_residual(seed: int) -> Evidence:
    """Check certified balls in U around critical points that have learnt something.

    Points and Hessians in each ball by the other code, in float64: least eigenvalues at least
    ``λ − κ``, all four sets; and a descent from the ball's edge ends at its centre.
    """
    seen = Evidence(varies=True)
    decay, radius = 0.1, 1e-6
    draw = torch_generator(seed, "shuffling")
    for one, identity in residual_points(seed):
        proof = certified_inside(one, identity, decay, radius)
        learnt = proof.distance > 0.01 and proof.fitted > 0.1
        seen.add(proof.holds, refuted=proof.holds and learnt)
        if not proof.holds:
            continue
        step = functional.normalize(normal(draw, 20, one.network.parameter_count))
        centre = flatten([w[None] for w in one.W])
        around = one.at(unflatten(one.network, centre + radius * step))
        least = least_eigenvalue(frozen_hessian(*around, decay))
        again = descend_towards(around, identity, decay, rate=0.8, steps=50)
        wrong = (least < decay - proof.kappa) | ((flatten(again.W) - centre).norm(dim=-1) > radius)
        gone = 1 - training_error(*around) / training_error(*one.at(identity))
        wrong |= gone < proof.fitted
        for one_set in certify(*around, decay).values():
            wrong |= ~torch.as_tensor(one_set.inside)
        seen.add(wrong=wrong, ratio=(decay - proof.kappa) / least)
    return seen


def shares_inside(
    kind: tuple[int, float], sizes: Tensor, weight_decay: float, count: int
) -> tuple[list[dict[str, int]], Tensor, Tensor]:
    """Count how many descents from I end in each set, for several distances of the teacher.

    Returns:
        the counts for each size; the share of the training error at I that is gone, and whether
        the gradient has fallen below a thousandth of ``λ‖W − I‖``, ``(sizes, count)`` each.
    """
    each = sizes.to(torch.float64).repeat_interleave(count)[:, None]
    steps = round(12 / (0.8 * weight_decay))
    start, end = from_identity(kind, each, weight_decay, 0, count=len(each), steps=steps)
    inside = certify(*end, weight_decay)
    counts = [torch.as_tensor(inside[name].inside).reshape(-1, count).sum(1) for name in SETS]
    rows = [dict(zip(SETS, row, strict=True)) for row in torch.stack(counts, 1).tolist()]
    fitted = 1 - training_error(*end) / training_error(*start)
    away = flatten(end.W) - flatten(start.W)
    slope = flatten(gradient(*end, 0.0)) + weight_decay * away
    still = slope.norm(dim=-1) < 1e-3 * weight_decay * away.norm(dim=-1)
    return rows, fitted.reshape(-1, count), still.reshape(-1, count)


@claim(
    "fig-residual-layers",
    "How often descents from the identity end in the sets",
    "observed",
    "Random teachers near the identity, with Wilson intervals.",
    hypotheses=("an end as low as the teacher", "a distance d from I that meets the condition"),
    uses=("residual-layers-reference",),
    variant="every descent ends in U",
    least=190,
)
def check_residual_shares(seed: int) -> Evidence:
    """Check where descents end against the proposition, for teachers near the identity.

    Ends with ``ℓ + λ/2 ‖V‖² ≤ λd²/2``, d being the teacher's distance, have to be in U where the
    proposition's condition on d holds; that is counted as met. Its bound on κ has to hold at all
    ends as low as that.
    """
    seen = Evidence(varies=True)
    decay = 0.1
    for kind, size in product(KINDS, (0.02, 0.1, 0.4)):
        start, end = from_identity(kind, size, decay, seed, count=40, steps=120)
        low = towards(end, start.W, decay) <= decay * size**2 / 2
        bound = reference_bound(kind[0], 1.0, decay, torch.ones(1), torch.tensor(size))
        kappa = kappas(end)["paper"]
        outside = kappa >= decay
        seen.add(low & (bound < decay), wrong=outside, refuted=outside)
        seen.add(wrong=low & exceeds(kappa, bound), ratio=(kappa / bound)[low])
    return seen
