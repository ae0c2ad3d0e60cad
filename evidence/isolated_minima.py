"""Checks of Theorem 2 and of Lemmas 5 and 6: minima in the certified set are strict and isolated.

Hardly anything but W = 0 meets the hypotheses of the three, so a search for violations inside
U(λ) alone would be empty. They are tested from three other sides:

- the *path argument*, on which all three rest, on functions glued of strongly convex pieces that
  are no loss of any network, and on networks inside U at points where switches change;
- the *contrapositive*, on critical points of networks found by a second-order method: one that
  is no strict minimum has to lie outside U(λ);
- W = 0 itself, on networks that have it inside U.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from evidence.claims import Evidence, claim
from evidence.instances import normal, normal_instance, normal_weights, uniform
from evidence.measures import kappas
from evidence.solvers.critical import critical_points, has_idle_unit
from pscore.certificate import certify
from pscore.curvature import flatten, frozen_hessian, least_eigenvalue
from pscore.instance import Instance
from pscore.loss import regularized_loss, squared_norm
from pscore.network import ReLUNetwork, Weights
from pscore.seeds import rng, torch_generator

_GLUED = (
    "continuous, and equal to one of finitely many functions on each of finitely many closed sets",
    "each of them θ-strongly convex near its set",
)


@dataclass(frozen=True)
class Glued:
    """A continuous function on the plane, glued of quadratics that all pass through one point.

    ``g(x) = min over groups of max over the group of φ_j``, ``φ_j(x) = p_j·x + x·A_j x/2``. The
    closed sets ``B_j = {g = φ_j}`` cover the plane, and all of them contain the origin.

    Attributes:
        slopes: the gradients ``p_j`` at the origin, ``(L, 2)``.
        curvatures: the Hessians ``A_j``, ``(L, 2, 2)``.
        groups: lists of indices j, together all of them.
    """

    slopes: np.ndarray
    curvatures: np.ndarray
    groups: tuple[tuple[int, ...], ...]

    def pieces(self, x: np.ndarray) -> np.ndarray:
        """Return every ``φ_j`` at points ``(…, 2)``, ``(…, L)``."""
        bent = np.einsum("...a,jab,...b->...j", x, self.curvatures, x, optimize=True) / 2
        return x @ self.slopes.T + bent

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return g at points ``(…, 2)``."""
        q = self.pieces(x)
        return np.min([q[..., list(group)].max(-1) for group in self.groups], axis=0)

    @property
    def theta(self) -> float:
        """The largest θ with which every piece is strongly convex; not positive if one is not."""
        return float(np.linalg.eigvalsh(self.curvatures).min())

    def derivatives(self, directions: np.ndarray) -> np.ndarray:
        """Return the one-sided derivatives of g at the origin, from the slopes, ``(T,)``."""
        along = directions @ self.slopes.T
        return np.min([along[:, list(group)].max(-1) for group in self.groups], axis=0)

    def touched_by_a_slope(self) -> bool:
        """Return whether a piece with a slope is met on small circles around the origin."""
        angles = np.linspace(0, 2 * math.pi, 2000, endpoint=False)
        circle = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        active = [
            np.abs(self.pieces(x) - self(x)[:, None]).argmin(-1)
            for x in (radius * circle for radius in (0.02, 0.1))
        ]
        return all(bool(self.slopes[one].any()) for one in active)

    def origin_is_minimum(self) -> bool:
        """Return whether every group has 0 in the convex hull of its slopes.

        With convex pieces that is so exactly when the origin is a local minimum: a maximum of
        convex functions that agree at a point is least there exactly if 0 is in that hull, and
        the least of several is locally least exactly if each is. Decided by angles: without a
        zero slope, 0 is in the hull unless some gap between neighbouring angles exceeds π.
        """
        return all(_surrounds_zero(self.slopes[list(group)]) for group in self.groups)


def draw_glued(seed: int, *, flat: float = 0.3) -> Glued:
    """Draw six pieces in three groups, a share ``flat`` of them with slope 0 at the origin.

    If it is 1, the function is differentiable at the origin, and critical there.
    """
    draw = rng(seed, "data")
    slopes = draw.normal(size=(6, 2)) * (draw.random((6, 1)) > flat)
    turn = np.linalg.qr(draw.normal(size=(6, 2, 2)))[0]
    sizes = draw.uniform(0.2, 3, size=(6, 2))
    curvatures = np.einsum("jab,jb,jcb->jac", turn, sizes, turn)
    return Glued(slopes, curvatures, groups=((0,), (1, 2), (3, 4, 5)))


def draw_touched(seed: int) -> Glued:
    """Draw pieces as `draw_glued`, differentiable and critical at the origin, some with a slope.

    Each group has a piece of slope 0, and piece 0, alone in its group, is more curved than those
    of the others. So g lies between multiples of ``|x|²``; pieces with a slope are met in cusps.
    """
    function = draw_glued(seed, flat=0.0)
    slopes, curvatures = function.slopes.copy(), function.curvatures.copy()
    slopes[[0, 1, 3]] = 0
    curvatures[0] += curvatures[1] + curvatures[3]
    return Glued(slopes, curvatures, function.groups)


def bend_one_piece(function: Glued, least: float) -> Glued:
    """Return the function with the least curvature of piece 0 set to ``least`` and its slope to 0.

    Piece 0 makes a group of its own, so g lies nowhere above it.
    """
    slopes, curvatures = function.slopes.copy(), function.curvatures.copy()
    values, vectors = np.linalg.eigh(curvatures[0])
    curvatures[0] = vectors @ np.diag([least, values[1]]) @ vectors.T
    slopes[0] = 0
    return Glued(slopes, curvatures, function.groups)


RADII = np.linspace(0.01, 2.0, 120)


def directions(function: Glued, count: int = 48) -> np.ndarray:
    """Return unit vectors: evenly spaced ones, the axes of all pieces, and along their kinks."""
    angles = np.linspace(0, 2 * math.pi, count, endpoint=False)
    axis = np.linalg.eigh(function.curvatures)[1][..., 0]
    along = function.slopes[:, ::-1] * np.array([-1.0, 1.0])
    length = np.linalg.norm(along, axis=1, keepdims=True)
    both = np.concatenate([axis, np.where(length > 0, along / np.maximum(length, 1e-300), axis)])
    even = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    return np.concatenate([both, -both, even])


def rays(function: Glued) -> np.ndarray:
    """Return g − g(0) along rays from the origin in all `directions`, ``(T, len(RADII))``."""
    steps = directions(function)[:, None] * RADII[:, None]
    return function(steps) - float(function(np.zeros(2)))


@claim(
    "minima-path",
    "along every ray from W the slope of the chord grows, at a rate of at least θ/2",
    "certified",
    "Proved for every continuous function glued of strongly convex pieces.",
    hypotheses=_GLUED,
    variant="one piece is not convex; a rate of θ",
    least=60,
)
def check_path(seed: int) -> Evidence:
    """The path argument on glued functions: slopes toward the origin grow, by θ/2 at least.

    ``(g(ρu) − g(0))/ρ − θρ/2`` must not decrease in ρ, whatever the origin is to g, and must not
    fall below the one-sided derivative, which is computed from the slopes of the pieces. The values
    are those of g alone: which piece is active where, on which the proof turns, is not asked. The
    kinks are all over the rays, and are stepped over.
    """
    seen = Evidence()
    for k in range(60):
        function = draw_glued(1000 * seed + k)
        least, half = growth(function), function.theta / 2
        not_convex = growth(bend_one_piece(function, -function.theta))
        derivative = function.derivatives(directions(function))[:, None]
        above = rays(function) >= RADII * derivative + half * RADII**2 - 1e-9
        seen.add(
            1,
            wrong=least < half - 1e-9 or not above.all(),
            refuted=(not_convex < -1e-9, least < 2 * half - 1e-9),
            ratio=half / least,
        )
    return seen


def growth(function: Glued) -> float:
    """Return the least rate at which the slope of the chord from the origin grows along a ray."""
    return float((np.diff(rays(function) / RADII) / np.diff(RADII)).min())


@claim(
    "paper-lemma-5",
    "a differentiable critical point in U is an isolated minimum",
    "certified",
    "Proved, in both senses of 'isolated'; the paper's proof shows 'strict'.",
    hypotheses=(*_GLUED, "differentiable at W, with gradient 0"),
    uses=("paper-theorem-3", "minima-path", "minima-stationary"),
    variant="one piece curves downwards along one axis; growth by θ|x|²",
    least=70,
)
def check_differentiable_points(seed: int) -> Evidence:
    """Lemma 5 on glued functions that are critical and differentiable at the origin.

    The functions that count are touched there by a piece whose own gradient is not 0, in a cusp
    as thin as one likes near the origin. The first variant leaves the origin differentiable and
    critical, and no minimum.
    """
    seen = Evidence()
    for k in range(120):
        function = draw_touched(1000 * seed + k)
        _look_around(seen, function, function.touched_by_a_slope(), -0.2)
    return seen


@claim(
    "paper-lemma-6",
    "a local minimum in U is an isolated minimum",
    "certified",
    "Proved, in both senses of 'isolated'; the paper's proof shows 'strict', and quotes (46) from "
    "inside a contradiction.",
    hypotheses=(*_GLUED, "W is a local minimum, on a kink or not"),
    uses=("paper-theorem-3", "minima-path", "minima-stationary"),
    variant="one piece is flat along one axis; growth by θ|x|²",
    least=44,
)
def check_local_minima(seed: int) -> Evidence:
    """Lemma 6 on glued functions with a local minimum, on a kink or not.

    That the origin is a minimum is decided from the slopes alone (`Glued.origin_is_minimum`), the
    conclusion from values along rays. In the variant it is a minimum that is neither strict nor
    isolated.
    """
    return _check_minima(seed, flat=0.6, least=0.0)


@claim(
    "minima-stationary",
    "where no direction leads down to first order, there is a strict and isolated minimum",
    "certified",
    "Proved from the path argument, with the rate of growth; it contains Lemmas 5 and 6.",
    hypotheses=(*_GLUED, "all one-sided derivatives at W are at least 0"),
    uses=("minima-path",),
    variant="one piece curves downwards along one axis; growth by θ|x|²",
    least=44,
)
def check_stationary(seed: int) -> Evidence:
    """That no direction leads down to first order makes a strict and isolated minimum.

    The functions are those of `check_local_minima`: the hypothesis is read off the slopes, the
    two inequalities off values along rays. The variant leaves the hypothesis as it is, and the
    origin no minimum.
    """
    return _check_minima(seed, flat=0.6, least=-0.2)


def _check_minima(seed: int, flat: float, least: float) -> Evidence:
    """Look around the origin of glued functions, where it is a minimum by their slopes alone.

    Args:
        seed: of the functions.
        flat: the share of pieces without a slope.
        least: the curvature of one piece in the falsified variant.
    """
    seen = Evidence()
    for k in range(120):
        function = draw_glued(1000 * seed + k, flat=flat)
        _look_around(seen, function, function.origin_is_minimum(), least)
    return seen


def _look_around(seen: Evidence, function: Glued, met: bool, least: float) -> None:
    """Compare g with ``θ|x|²/2``, and the steps of g along rays with those that leave one minimum.

    Both again with twice θ, and the first with one piece bent to a least curvature.
    """
    values, half = rays(function), function.theta / 2
    alone = np.diff(values) >= half * RADII[1:] * np.diff(RADII) - 1e-9
    seen.add(
        met,
        wrong=not ((values >= half * RADII**2 - 1e-9).all() and alone.all()),
        refuted=(
            met and bool((rays(bend_one_piece(function, least)) < 1e-9).any()),
            met and bool((values < 2 * half * RADII**2 - 1e-9).any()),
        ),
        ratio=(half * RADII**2 / values).max(),
    )


def _surrounds_zero(vectors: np.ndarray) -> bool:
    if (np.abs(vectors).max(-1) == 0).any():
        return True
    angles = np.sort(np.arctan2(vectors[:, 1], vectors[:, 0]))
    gaps = np.diff(np.append(angles, angles[0] + 2 * math.pi))
    return bool(gaps.max() <= math.pi + 1e-12)  # slopes that are opposite but for rounding, too


@claim(
    "minima-below",
    "behind a point that is no higher, the path runs strictly below the level",
    "certified",
    "Proved from the path argument; the paper's (46) is the same behind a t* < 1 that it refutes.",
    hypotheses=(
        "a glued function and a ray that comes back to its level, or below it",
        "or in U, two switch patterns along such a ray, with the bound of Lemma 3 below λ − θ for "
        "both",
    ),
    uses=("paper-theorem-3", "minima-path"),
    variant="one piece is not convex; twice as far below",
    least=500,
)
def check_below(seed: int) -> Evidence:
    """Rays that come back to the level of their start were below it on the way, by a known amount.

    At the distance ρ of a point at the level of W or lower, g at a distance ρ' < ρ on the way must
    be lower than at W by ``θρ'(ρ − ρ')/2``. On glued functions, and on ``ℓ_λ`` along segments in U
    that cross a switch boundary. By values alone.
    """
    seen = Evidence(varies=True)
    for k in range(60):
        function = draw_glued(1000 * seed + k)
        back, share = _depth(rays(function), RADII, function.theta)
        concave = function.curvatures - 4 * np.eye(2) * (np.arange(6) == 0)[:, None, None]
        bent = Glued(function.slopes, concave, function.groups)
        not_below = _depth(rays(bent), RADII, 0.0)[1] == math.inf
        seen.add(back, wrong=share > 1 + 1e-9, ratio=share)
        seen.add(refuted=(not_below, back & (share > 0.5)))
    for rho, rise, theta in _rays_in_networks(seed):
        back, share = _depth(rise[None], rho, theta)
        seen.add(back, wrong=share > 1 + 1e-9, ratio=share)
    return seen


def _depth(values: np.ndarray, radii: np.ndarray, theta: float) -> tuple[np.ndarray, np.ndarray]:
    """Which rays come back to the level 0, and the share of their depth before that is promised.

    The largest of ``θρ'(ρ − ρ')/2`` over how far the values are below 0 there; infinite where a
    value is not below.
    """
    back = (values <= 0).any(-1)
    last = np.where(back, values.shape[-1] - 1 - (values <= 0)[:, ::-1].argmax(-1), 0)
    before = np.arange(values.shape[-1]) < last[:, None]
    promised = theta / 2 * radii * (radii[last][:, None] - radii)
    shares = np.where(values < 0, promised / np.where(values < 0, -values, 1.0), math.inf)
    return back & (last > 0), np.where(before, shares, 0.0).max(-1)


def _rays_in_networks(seed: int) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
    """Yield rays in U that cross one switch boundary: distances, rises of ``ℓ_λ``, and θ.

    Both ends of a segment are on the boundary where a unit of the second hidden layer changes
    side for the first data point, and so the ray from the first end crosses it at the second: the
    boundary is curved. The ray starts downhill, and θ is what both patterns certify all along it.
    """
    network, weight_decay = ReLUNetwork((2, 2, 2, 1), output_relu=False), 4.0
    steps = torch.linspace(0.05, 2, 40, dtype=torch.float64)
    for k in range(150):
        draw = torch_generator(1000 * seed + k, "data")
        a, f = normal(draw, 3, 2), 0.2 * normal(draw, 3)
        W = [0.4 * w for w in normal_weights(network, draw)]
        V = [w + 0.1 * x for w, x in zip(W, normal_weights(network, draw), strict=True)]
        start = Instance(network, _onto_boundary(W, a[0]), a, f)
        X = [v - w for v, w in zip(_onto_boundary(V, a[0]), start.W, strict=True)]
        ray = start.at(tuple(w + steps[:, None, None] * x for w, x in zip(start.W, X, strict=True)))
        theta = _theta_along(start, ray, weight_decay)
        if theta is not None:
            rise = regularized_loss(*ray, weight_decay) - regularized_loss(*start, weight_decay)
            yield (steps * flatten(X).norm()).numpy(), rise.numpy(), theta


def _onto_boundary(W: Sequence[Tensor], a: Tensor) -> Weights:
    """The nearest second matrix for which the first unit of layer 2 has input 0 at a."""
    x = (W[0].mT @ a).relu()
    second = W[1].clone()
    if x.norm() > 0:
        second[:, 0] -= x * (x @ second[:, 0]) / (x @ x)
    return (W[0], second, W[2])


def _theta_along(start: Instance, ray: Instance, weight_decay: float) -> float | None:
    """The θ certified for both patterns along a ray, or None unless there are just two."""
    S = ray.switches()
    patterns = torch.cat([layer.flatten(-2) for layer in S], dim=-1)
    first = np.unique(patterns.numpy(), axis=0, return_index=True)[1].tolist()
    if len(first) != 2:
        return None
    held = [tuple(layer[row] for layer in S) for row in first]
    worst = max(float(kappas(at, one)["paper"].max()) for at in (start, ray) for one in held)
    return weight_decay - worst if worst < 0.9 * weight_decay else None


@claim(
    "minima-origin",
    "on a segment from 0 inside U(λ, θ) the loss grows, ⟨∇ℓ_λ(W), W⟩ ≥ θ‖W‖²",
    "certified",
    "Proved; the case of Theorem 2 whose hypotheses are met.",
    hypotheses=("the segment from 0 to W lies in U(λ, θ)",),
    uses=("paper-lemma-3",),
    variant="a hundredth more than θ; H in place of H + 1",
    least=2300,
)
def check_origin(seed: int) -> Evidence:
    """Theorem 2 at W = 0, on the segments from it that stay in U(λ, θ).

    The loss grows along every such segment, by differences of ``ℓ_λ`` at its end; they are
    compared with θ, and with the expression in the middle, made of outputs alone. θ is the least
    margin at 21 points of a segment, less a thousandth.
    """
    seen, weight_decay, h = Evidence(), 1.0, 1e-4
    t = torch.linspace(0, 1, 21, dtype=torch.float64)[:, None, None, None]
    for H, widths in enumerate(((2, 3, 1), (2, 3, 2, 1), (2, 2, 2, 2, 1)), start=1):
        network = ReLUNetwork(widths, output_relu=bool(seed % 2))
        draw = torch_generator(seed, "data")
        W = normal_weights(network, draw, 2000)
        size = 2 * uniform(draw, 2000, 1, 1) / squared_norm(W).sqrt()[:, None, None]
        W = tuple(size * w for w in W)
        a, f = normal(draw, 5, 2), 0.1 * normal(draw, 5)
        segments = tuple((t * w).flatten(0, 1) for w in W)
        margins = torch.as_tensor(certify(network, segments, a, f, weight_decay)["paper"].margin)
        theta = 0.999 * margins.view(len(t), -1).amin(0)
        outer, inner = (
            regularized_loss(network, tuple(s * w for w in W), a, f, weight_decay)
            for s in (1 + h, 1 - h)
        )
        slope, squares = (outer - inner) / (2 * h), squared_norm(W)
        y, inside = network(W, a), theta > 0
        pull = ((y - f) * y).mean(-1)
        differs = (slope - (H + 1) * pull - weight_decay * squares).abs()
        seen.add(
            inside,
            wrong=(slope < theta * squares - 1e-10) | (differs > 1e-6 * (squares + pull.abs())),
            refuted=(
                inside & (slope < 1.01 * theta * squares - 1e-10),
                inside & (differs < 0.5 * pull.abs()) & (pull.abs() > 1e-4),
            ),
            ratio=theta * squares / slope,
        )
    return seen


WIDTHS = ((2, 3, 1), (2, 1, 1), (2, 2, 2, 1), (2, 1, 1, 1), (2, 2, 2, 2, 1), (2, 1, 1, 1, 1))
DATA_SETS, STARTS = 20, 10


@lru_cache(maxsize=8)
def census(seed: int, weight_decay: float = 0.02) -> tuple[pd.DataFrame, int]:
    """Look for critical points for H = 1, 2, 3, with 1, 2 and 4 data points.

    Returns:
        a row for each start, and how many of them ended at W = 0. The columns are ``H``; the
        ``kind`` of the critical point that the start led to, see `kinds`; ``κ/λ`` there, above 1
        outside U(λ); and ``gradient``, the norm of ``∇ℓ_λ``. Without a point they are empty.
    """
    tables, zeros = [], 0
    for widths in WIDTHS:
        network = ReLUNetwork(widths, output_relu=False)
        for points in (1, 2, 4):
            draw = torch_generator(10 * seed + points, "data")
            W = normal_weights(network, draw, DATA_SETS * STARTS)
            a = normal(draw, DATA_SETS, points, widths[0]).repeat_interleave(STARTS, 0)
            f = 2 * normal(draw, DATA_SETS, points).repeat_interleave(STARTS, 0)
            starts = Instance(network, W, a, f)
            ends = critical_points(starts, weight_decay, least_norm=1e-3, sharing=STARTS)
            table = pd.DataFrame(
                {
                    "kind": kinds(ends.points, weight_decay),
                    "κ/λ": kappas(ends.points)["paper"] / weight_decay,
                    "gradient": ends.slope,
                },
                index=ends.kept.nonzero().flatten().tolist(),
            )
            tables.append(table.reindex(range(ends.starts)).assign(H=network.depth))
            zeros += ends.zeros
    return pd.concat(tables, ignore_index=True), zeros


def kinds(points: Instance, weight_decay: float) -> list[str]:
    """Say of critical points what they are, by the least eigenvalue of the Hessian.

    "saddle" where a piece that is active there curves downwards; "flat" where the eigenvalue is 0,
    to 1e-6 λ; "strict" where it is positive, a strict minimum; "idle" with an idle unit, where the
    frozen Hessian does not tell the kind of point.
    """
    least = least_eigenvalue(frozen_hessian(*points, weight_decay)) / weight_decay
    kind = np.select([least < -1e-6, least > 1e-6], ["saddle", "strict"], "flat")
    return np.where(has_idle_unit(points), "idle", kind).tolist()


@claim(
    "paper-theorem-2",
    "in U every differentiable critical point is a minimum, every minimum isolated",
    "certified",
    "Proved from Lemmas 5 and 6; of the critical points found, W = 0 alone meets its "
    "hypotheses, so the numbers test the contrapositive.",
    hypotheses=(
        "W ≠ 0",
        "‖∇ℓ_λ(W)‖ < 1e-10, and ℓ_λ is certain to be differentiable at W",
        "its value is not that of another point for the same data",
    ),
    uses=("paper-lemma-5", "paper-lemma-6"),
    variant="U replaced by the set κ < 1.01 H(H+1) λ",
    least=280,
)
def check_contrapositive(seed: int) -> Evidence:
    """Theorem 2 backwards: a critical point without quadratic growth is outside U(λ).

    In U the loss grows by ``θ/2`` times the squared distance around a critical point. It does not
    at a saddle, at a point with a zero eigenvalue and no idle unit, and at one with an idle unit,
    which ends an arc on which ``ℓ_λ`` is constant. The kind is read off the exact Hessian,
    membership of U off norms and the loss alone. Near to equality is the largest λ/κ at any of
    the points; inside U it would exceed 1.
    """
    table, seen = census(seed)[0], Evidence()
    ratio, H = table["κ/λ"].to_numpy(), table["H"].to_numpy()
    no_growth = table["kind"].isin(["saddle", "flat", "idle"]).to_numpy()
    seen.add(
        table["kind"].notna().to_numpy(),
        wrong=no_growth & (ratio < 1),
        refuted=no_growth & (ratio < 1.01 * H * (H + 1)),
        ratio=1 / ratio,
    )
    return seen


def share_out(W: Weights, layer: int, j: int, k: int, angle: float) -> Weights:
    """Return W with the weights of unit j of a hidden layer, 1 to H, shared out between j and k.

    Unit j keeps the factor cos(angle) of its weights, in and out, and unit k gets sin(angle) of
    them: what k had is lost. At angle 0 unit k is idle.
    """
    before, after = W[layer - 1].clone(), W[layer].clone()
    before[:, k], after[k] = math.sin(angle) * before[:, j], math.sin(angle) * after[j]
    before[:, j], after[j] = math.cos(angle) * before[:, j], math.cos(angle) * after[j]
    return (*W[: layer - 1], before, after, *W[layer + 1 :])


@claim(
    "minima-arc",
    "two collinear units of one layer trace an arc of constant loss",
    "certified",
    "Proved for every depth; such minima are outside U, and exist.",
    hypotheses=(
        "a unit that is not idle",
        "in its layer an idle one, or one with positive multiples of its weights, in and out",
    ),
    uses=("paper-lemma-6",),
    variant="a negative multiple",
    least=60,
)
def check_arc(seed: int) -> Evidence:
    """Two collinear units of one layer trace an arc along which ℓ_λ is constant.

    ``ℓ_λ`` at a random angle in [0, π/2] against that at 0, where one of the units is idle: the
    first by the whole network, the second by a network without that unit. No hypothesis on
    switches: positive homogeneity carries the arc over all of them. Beyond π/2 one unit's share
    is negative and the unit sits in the opposite cell.
    """
    seen = Evidence()
    for k in range(60):
        draw = torch_generator(1000 * seed + k, "data")
        widths = ((2, 3, 1), (2, 2, 3, 1), (3, 2, 2, 2, 1))[k % 3]
        network = ReLUNetwork(widths, output_relu=k % 2 == 1)
        W, a, f = normal_instance(network, draw, 6)[1:]
        layer = 1 + k % network.depth
        keep = [i for i in range(widths[layer]) if i != 1]
        fewer = ReLUNetwork((*widths[:layer], len(keep), *widths[layer + 1 :]), network.output_relu)
        small = (*W[: layer - 1], W[layer - 1][:, keep], W[layer][keep], *W[layer + 1 :])
        expected = regularized_loss(fewer, small, a, f, 0.1)
        angle = math.pi / 2 * uniform(draw, 1).item()
        on_arc, beyond = (
            regularized_loss(network, share_out(W, layer, 0, 1, t), a, f, 0.1)
            for t in (angle, angle + math.pi / 2)
        )
        wrong = (on_arc - expected).abs() > 1e-10 * (1 + expected)
        seen.add(1, wrong=wrong, refuted=(beyond - expected).abs() > 1e-3)
    return seen


@claim(
    "minima-scaling",
    "without weight decay no non-zero minimum is isolated",
    "certified",
    "Proved by scaling the weights into units against those out of them.",
    hypotheses=("λ = 0", "W is not 0"),
    variant="with weight decay",
    least=60,
)
def check_scaling(seed: int) -> Evidence:
    """Without weight decay no non-zero minimum is isolated: no training error changes.

    The weights into a unit times α, those out of it divided by α, with an α for each unit, leave
    the training error as it is; it is computed by the network itself. Switches do not change.
    """
    seen = Evidence()
    for k in range(60):
        draw = torch_generator(1000 * seed + k, "data")
        network = ReLUNetwork(((2, 3, 1), (2, 2, 3, 1))[k % 2], output_relu=False)
        at = normal_instance(network, draw, 6)
        alpha = 1.1 + uniform(draw, at.W[1].shape[-2])
        scaled = at.at((alpha * at.W[0], at.W[1] / alpha[:, None], *at.W[2:]))
        without, with_decay = (
            (regularized_loss(*scaled, decay) - regularized_loss(*at, decay)).abs()
            for decay in (0.0, 0.1)
        )
        seen.add(1, wrong=without > 1e-10, refuted=with_decay > 1e-4)
    return seen
