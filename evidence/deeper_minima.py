"""Checks of critical points of deeper networks, without a closed form of the Hessian; a survey."""

import math
from functools import lru_cache

import numpy as np
import pandas as pd
import torch
from scipy.optimize import brentq
from torch import Tensor

from evidence.claims import Evidence, claim
from evidence.instances import problem_stack, uniform
from evidence.solvers.kinks import finish, settle
from evidence.solvers.smooth import DECAY, DEEPER, ONE_LAYER, reals, smooth_points, width_one_at
from pscore.curvature import flatten, frozen_hessian, least_eigenvalue
from pscore.instance import Instance
from pscore.loss import gradient, squared_norm
from pscore.network import ReLUNetwork
from pscore.seeds import torch_generator


def width_one_roots(H: int, weight_decay: float) -> list[float]:
    """Return the χ > 0 at which all weights χ are critical: width one, a = f = 1, rising.

    ``χ^{H−1} (1 − χ^{H+1}) = λ``: one solution for H = 1 and λ < 1, none or two (but at the
    maximum of the left side, which is not asked for) for H ≥ 2.
    """

    def excess(norm: float) -> float:
        return norm ** (H - 1) * (1 - norm ** (H + 1)) - weight_decay

    top = ((H - 1) / (2 * H)) ** (1 / (H + 1))
    if excess(top) <= 0:
        return []
    upper = float(brentq(excess, top, 1.0, xtol=1e-15))
    return [upper] if H == 1 else [float(brentq(excess, 0.0, top, xtol=1e-15)), upper]


def fold(H: int) -> float:
    """Return the weight decay up to which there are `width_one_roots`: the maximum, for H ≥ 2."""
    return 1.0 if H == 1 else ((H - 1) / (2 * H)) ** ((H - 1) / (H + 1)) * (H + 1) / (2 * H)


@claim(
    "deeper-minima-width-one",
    "width one, one data point: two critical points, a saddle and a minimum, if H ≥ 2",
    "certified",
    "Proved in closed form for every depth.",
    hypotheses=("all widths 1, a = f = 1", "λ below the fold"),
    uses=("nothing-but-the-origin",),
    variant="all of them are minima",
    least=108,
)
def check_width_one(seed: int) -> Evidence:
    """Check the closed Hessian of networks of width one against the exact frozen Hessian.

    Random depth and λ below the fold. Compared: the eigenvalues ``2λ``, H times, and
    ``(H+1)χ^{2H} − (H−1)λ``; and that the lower root is a saddle, the upper a minimum.
    """
    draw = torch_generator(seed, "data")
    seen = Evidence()
    for k in range(60):
        H = 1 + k % 5
        decay = fold(H) * (0.02 + 0.96 * float(torch.rand((), generator=draw)))
        for number, norm in enumerate(width_one_roots(H, decay)):
            at = width_one_at(H, norm)
            values = torch.linalg.eigvalsh(frozen_hessian(*at, decay))
            radial = (H + 1) * norm ** (2 * H) - (H - 1) * decay
            expected = reals(*[2 * decay] * H, radial).sort().values
            is_minimum = bool(values[0] > 0)
            wrong = (values - expected).abs().max() > 1e-10
            wrong |= flatten(gradient(*at, decay)).norm() > 1e-12
            wrong |= is_minimum != (H == 1 or number == 1)
            seen.add(1, wrong=wrong, refuted=not is_minimum)
    return seen


def two_sizes(decay: float) -> Instance:
    """Return a linear network of two hidden layers: a saddle that curves upwards along W.

    Each layer is diagonal; the first entries are those of the minimum of width one, the second
    those of its saddle.
    """
    saddle, minimum = width_one_roots(2, decay)
    a = math.sqrt(2) * torch.eye(2, dtype=torch.float64)
    W = (torch.diag(reals(minimum, saddle)),) * 3
    return Instance(ReLUNetwork((2, 2, 2, 2), output_relu=False, negative_slope=1.0), W, a, a)


@claim(
    "deeper-minima-sizes",
    "a saddle need not curve downwards along W",
    "certified",
    "An example, worked out from width one.",
    uses=("deeper-minima-width-one",),
    least=20,
)
def check_two_sizes(seed: int) -> Evidence:
    """Check the example for random λ: critical, curved downwards, but upwards along W."""
    seen, draw = Evidence(), torch_generator(seed, "data")
    for decay in (0.1, *(0.1 * uniform(draw, 19)).tolist()):
        at, (saddle, minimum) = two_sizes(decay), width_one_roots(2, decay)
        W, K = flatten(at.W), frozen_hessian(*at, decay)
        X = flatten([torch.diag(reals(0.0, 1.0))] * 3)
        wrong = flatten(gradient(*at, decay)).norm() > 1e-12
        wrong |= (X @ K @ X / 3 - (3 * saddle**4 - decay)).abs() > 1e-10
        radial = sum(3 * norm**2 * (3 * norm**4 - decay) for norm in (saddle, minimum))
        wrong |= ((W @ K @ W - radial).abs() > 1e-10) | (radial <= 0) | (3 * saddle**4 >= decay)
        seen.add(1, wrong=wrong)
    return seen


@claim(
    "deeper-minima-radial",
    "at every non-zero local minimum (H+1) mean‖y‖² ≥ (H−1)λχ²",
    "certified",
    "Proved from the second derivative along the ray through W.",
    hypotheses=("W ≠ 0 is a local minimum of ℓ_λ", "positively homogeneous activations"),
    uses=("nothing-but-the-origin",),
    variant="at all critical points",
    least=26,
)
def check_radial(seed: int) -> Evidence:
    """Check that outputs at non-zero minima are not small: ``(H+1) mean y² ≥ (H−1)λχ²``.

    Minima are the critical points found whose frozen Hessian is positive definite, and the
    upper points of width one. χ² is the mean of the layers' squared norms. The margin is the right
    side over the left.
    """

    def ratio_at(at: Instance, decay: float) -> Tensor:
        H, outputs = at.network.depth, at.outputs().square().mean(-1)
        return (H - 1) * decay * squared_norm(at.W) / ((H + 1) ** 2 * outputs)

    seen = Evidence()
    for setting in DEEPER:
        points, kept = smooth_points(seed, *setting)
        strict = least_eigenvalue(frozen_hessian(*points, DECAY)) > 1e-8
        ratio = ratio_at(points, DECAY)
        seen.add(kept.masked_scatter(kept, strict), refuted=ratio > 1 + 1e-6)
        seen.add(wrong=strict & (ratio > 1 + 1e-9), ratio=strict * ratio)
    for H in (2, 3, 4):
        for decay in (share * fold(H) for share in (0.5, 0.99, 0.9999)):
            ratio = ratio_at(width_one_at(H, width_one_roots(H, decay)[-1]), decay)
            seen.add(1, wrong=ratio > 1, ratio=ratio)
    return seen


@claim(
    "deeper-minima-decay",
    "at non-zero critical points no frozen Hessian has all its eigenvalues above 2λ",
    "certified",
    "Proved by making one layer longer and another shorter; attained at width one.",
    hypotheses=("W ≠ 0 is Clarke-critical", "positively homogeneous activations"),
    uses=("nothing-but-the-origin",),
    variant="at most λ",
    least=275,
)
def check_decay(seed: int) -> Evidence:
    """Check that the least eigenvalue at a non-zero critical point is at most 2λ.

    At the points found, minima and saddles, and at those of width one, where it is attained; the
    eigenvalues are those of `frozen_hessian`. The margin is the eigenvalue over 2λ.
    """
    seen = Evidence()
    for setting in (*ONE_LAYER, *DEEPER):
        points, kept = smooth_points(seed, *setting)
        seen.add(kept)
        ratio = least_eigenvalue(frozen_hessian(*points, DECAY)) / (2 * DECAY)
        seen.add(wrong=ratio > 1 + 1e-9, refuted=ratio > 0.5 + 1e-9, ratio=ratio)
    for H in (1, 2, 3, 4):
        decay = 0.5 * fold(H)
        at = width_one_at(H, width_one_roots(H, decay)[-1])
        ratio = least_eigenvalue(frozen_hessian(*at, decay)) / (2 * decay)
        seen.add(1, wrong=ratio > 1 + 1e-9, refuted=ratio > 0.5 + 1e-9, ratio=ratio)
    return seen


STARTS = 60
SURVEYED = ((2, 2, 1), (2, 1, 1, 1), (2, 2, 2, 1), (2, 2, 2, 2, 1))


@lru_cache(maxsize=8)
def survey(seed: int, widths: tuple[int, ...]) -> pd.DataFrame:
    """Descend from 60 random starts, with three data points each and λ = 0.1; sort the ends.

    The table has a row for each descent that did not end at W = 0. ``end`` says where it did: with
    zero neurons and on no kink (``idle``); on a ``kink``; elsewhere with a frozen Hessian that is
    positive definite (``strict``), has a zero eigenvalue and none below (``flat``), or has one
    below (``saddle``); or where it was not solved for to 1e-10 (``open``). The other columns:
    ``least``, the Hessian's least eigenvalue over λ; ``dependent``, whether the last hidden layer's
    features are; ``held``, whether the kink holds the point strictly, to first order; ``bent``,
    whether a piece that meets there is not convex; ``sagging``, whether the curvature along the
    kink is negative.
    """
    settled = settle(problem_stack(ReLUNetwork(widths, False), 100 + seed, 3, STARTS), 0.1)
    ends = finish(settled.rows(flatten(settled.W).norm(dim=-1) > 0.05), 0.1)
    least = least_eigenvalue(frozen_hessian(*ends.at, 0.1)) / 0.1
    features = ends.at.a
    for matrix in ends.at.W[:-1]:
        features = (features @ matrix).relu()
    pieces = [frozen_hessian(*ends.at, 0.1, ends.switches(on)) for on in (False, True)]
    kinds = {
        "open": ~ends.solved,
        "kink": ends.on_kink,
        "idle": ends.idle,
        "strict": least > 1e-6,
        "saddle": least < -1e-6,
    }
    return pd.DataFrame(
        {
            "end": np.select([mask.numpy() for mask in kinds.values()], list(kinds), "flat"),
            "least": least,
            "dependent": (torch.linalg.svdvals(features) > 1e-6).sum(-1) < widths[-2],
            "held": ends.held_strictly,
            "bent": least_eigenvalue(torch.stack(pieces)).amin(0) < -1e-7,
            "sagging": ends.reduced < -1e-7,
        }
    )
