"""Checks of where the loss is strongly convex: at non-zero minima, with the Gauss–Newton term.

Three groups: one hidden layer, where the Hessian at critical points has a closed form; deeper
networks, where it has not; and the certificate of `pscore.gauss_newton`, which is compared with
float64 Hessians, computed from other code, at points of the balls that it certifies.
"""

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.optimize import brentq
from torch import Tensor

from evidence.claims import Evidence, claim
from evidence.instances import normal, normal_weights, problem_stack, uniform, zero_weights
from evidence.solvers.critical import critical_points, downhill, has_idle_unit
from evidence.solvers.kinks import finish, settle
from pscore.curvature import flatten, frozen_hessian, least_eigenvalue, unflatten
from pscore.gauss_newton import BallCertificate, GaussNewton
from pscore.instance import Instance
from pscore.loss import frozen_loss, gradient, regularized_loss, squared_norm
from pscore.network import ReLUNetwork, Switches
from pscore.seeds import torch_generator

_ONE = "one hidden layer of ReLUs, no output activation, λ > 0"
_CRITICAL = "ℓ_λ is differentiable at W with gradient 0, and no neuron is zero"

DECAY = 0.05

ONE_LAYER = (((2, 1, 1), 2), ((2, 2, 1), 2), ((2, 2, 1), 3), ((2, 3, 1), 2), ((2, 3, 1), 3))
DEEPER = (((2, 1, 1, 1), 2), ((2, 2, 2, 1), 2), ((2, 1, 1, 1, 1), 2), ((2, 2, 2, 2, 1), 2))


@lru_cache(maxsize=16)
def smooth_points(seed: int, widths: tuple[int, ...], points: int) -> tuple[Instance, Tensor]:
    """Look for differentiable critical points without zero neurons from 220 starts.

    For one hidden layer all starts, otherwise half of them, are led towards a minimum first.
    Returned are the points, each with data of its own, and which of the starts led to them.
    """
    starts = problem_stack(ReLUNetwork(widths, output_relu=False), seed, points, 220)
    led = torch.arange(220) % min(starts.network.depth, 2) == 0
    ends = critical_points(downhill(starts, DECAY, led=led), DECAY, steps=25, tolerance=1e-5)
    busy = ~has_idle_unit(ends.points)
    return ends.points.rows(busy), ends.kept.masked_scatter(ends.kept, busy)


def one_layer(seed: int) -> Iterator[tuple[Instance, Tensor]]:
    """Yield `smooth_points` of networks with one hidden layer."""
    return (smooth_points(seed, *setting) for setting in ONE_LAYER)


def _tensor(*rows: object) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def crossing(seed: int, count: int = 40) -> Instance:
    """Make critical points with three units in three cells, and features that are dependent.

    Two inputs, at 120°, with residuals ``e_i = ∓2λ/|a_i|``. Then ``−mean e σ'(u · a) a / λ`` is a
    unit vector, along one input or their sum, in each of the cells {1}, {2}, {1, 2}, and lies in
    it. Turned, stretched and weighted at random; the targets follow.
    """
    draw = torch_generator(seed, "shuffling")
    angle = 2 * math.pi * (uniform(draw, count, 1) + _tensor(0, 1 / 3))
    unit = torch.stack([angle.cos(), angle.sin()], dim=-1)
    length, p = 0.5 + 1.5 * uniform(draw, count, 2), 0.1 + uniform(draw, count, 3)
    a, sign = unit * length.unsqueeze(-1), uniform(draw, count, 1).sub(0.5).sign()
    u = torch.cat([unit, unit.sum(1, keepdim=True)], dim=1).mT
    W = (u * p.sqrt().unsqueeze(1), (sign * p.sqrt()).unsqueeze(-1))
    network = ReLUNetwork((2, 3, 1), output_relu=False)
    return Instance(network, W, a, network(W, a) + 2 * DECAY * sign / length)


# ---- one hidden layer


class Units(NamedTuple):
    """The hidden units of a stack of networks with one hidden layer."""

    size: Tensor  # s_j = ‖w_j‖, (T, n_1)
    direction: Tensor  # u_j, (T, n_0, n_1)
    sign: Tensor  # of v_j, (T, n_1)
    features: Tensor  # h_j = σ(u_j · a_i) over the data, (T, N, n_1)
    on: Tensor  # the switches, (T, N, n_1)

    @property
    def rank(self) -> Tensor:
        """Of the features, ``(T,)``."""
        return (torch.linalg.svdvals(self.features) > 1e-6).sum(-1)


def units_of(at: Instance) -> Units:
    """Return sizes, directions, signs and features of the hidden units."""
    size = at.W[0].norm(dim=-2)
    direction = at.W[0] / size.unsqueeze(-2)
    z = at.a @ direction
    return Units(size, direction, at.W[1].squeeze(-1).sign(), z.relu(), (z > 0).to(z))


def sum_of_squares(at: Instance) -> Tensor:
    """Return the Hessian of {prf:ref}`strong-minima-hessian`, made of squares alone.

    ``mean(ỹ')² + λ Σ_j |x_j − sgn_j ξ_j u_j|²`` as a matrix: no residual enters it.
    """
    units, v = units_of(at), at.W[1].squeeze(-1)
    of_w = torch.einsum("tnj,tj,tnp->tpjn", units.on, v, at.a).flatten(1, 2)
    of_v = torch.einsum("tnj,tj->tjn", units.features, units.size)
    jacobian = torch.cat([of_w, of_v], dim=1)
    x = torch.eye(of_w.shape[1]).to(v).expand(len(v), -1, -1)
    xi = -torch.diag_embed(units.sign.unsqueeze(1) * units.direction).movedim(-1, 1).flatten(-2)
    gaps = torch.cat([x, xi], dim=1)
    return jacobian @ jacobian.mT / at.a.shape[1] + DECAY * gaps @ gaps.mT


@claim(
    "strong-minima-balance",
    "neuron by neuron: |v| = ‖w‖ and mean e σ(u·a) sgn v = −λ at critical points",
    "certified",
    "Proved for Clarke-critical points by Euler's identity for one neuron.",
    hypotheses=(_ONE, "W is Clarke-critical", "the neuron is not zero"),
    uses=("origin-euler",),
    variant="at the points where gradient descent began",
    least=450,
)
def check_balance(seed: int) -> Evidence:
    """Check that neuron by neuron the weights in and out have one length, and what fixes it.

    Each unit of each critical point (of gradient below 1e-10) is an instance; the residuals are
    those of the whole network.
    """
    seen = Evidence()
    for points, kept in one_layer(seed):
        seen.add(kept.repeat(points.network.widths[1]))
        start = problem_stack(points.network, seed, points.a.shape[1], len(kept))
        seen.add(wrong=imbalance(points) > 1e-7, refuted=imbalance(start) > 1e-3)
    return seen


def imbalance(at: Instance) -> Tensor:
    """Return how far each unit is from ``|v| = ‖w‖``, or from ``mean e σ(u·a) sgn v = −λ``."""
    units = units_of(at)
    pull = (at.residuals().unsqueeze(-1) * units.features).mean(1) * units.sign
    lengths = (at.W[1].squeeze(-1).abs() - units.size).abs()
    return torch.maximum(lengths, (pull + DECAY).abs())


@claim(
    "strong-minima-hessian",
    "the Hessian at critical points is a sum of squares, of nullity n_1 − rank(h_1, …)",
    "certified",
    "Proved; compared with exact Hessians at over 200 points of gradient below 1e-10.",
    hypotheses=(
        _ONE,
        _CRITICAL,
        "eigenvalues, and singular values of the features, are clearly zero or clearly not",
    ),
    uses=("strong-minima-balance",),
    variant="the nullity is n_1 less the number of cells that the units lie in",
    least=260,
)
def check_hessian(seed: int) -> Evidence:
    """Check the Hessian at critical points, and its nullity, against exact frozen Hessians.

    `frozen_hessian` has a residual term and knows nothing of balance; the sum of squares has no
    residuals. Compared are the matrices, by their eigenvalues, and the number of eigenvalues that
    are zero with ``n_1 − rank(h_1, …)``.
    """
    seen = Evidence()
    family = crossing(seed)
    for points, kept in (*one_layer(seed), (family, torch.ones(family.size).bool())):
        values = torch.linalg.eigvalsh(frozen_hessian(*points, DECAY))
        squares = torch.linalg.eigvalsh(sum_of_squares(points))
        units, width = units_of(points), points.network.widths[1]
        both = torch.cat([values.abs(), torch.linalg.svdvals(units.features)], dim=-1)
        clear = ~((both > 1e-9) & (both < 1e-4)).any(-1)
        nullity = (values.abs() < 1e-6).sum(-1)
        cells = torch.tensor([len(on.unique(dim=0)) for on in units.on.mT], dtype=torch.long)
        wrong = ((values - squares).abs().amax(-1) > 1e-8) | (nullity != width - units.rank)
        seen.add(kept.masked_scatter(kept, clear))
        seen.add(wrong=wrong & clear, refuted=(nullity != width - cells) & clear)
    return seen


@claim(
    "strong-minima-lowest",
    "a critical point without zero neurons is a global minimum of its frozen loss",
    "certified",
    "Proved by a convex problem in the products v_j w_j; strict iff features are independent.",
    hypotheses=(_ONE, _CRITICAL),
    uses=("strong-minima-balance", "strong-minima-hessian", "strong-minima-polytope"),
    variant="W = 0, where all neurons are zero",
    least=230,
)
def check_frozen_minimum(seed: int) -> Evidence:
    """Check that a critical point without zero neurons is lowest of all for its own switches.

    The frozen loss is computed along descents on it from random starts: it is nowhere lower. The
    margin is the least value reached, below which there is nothing. W = 0 is a critical point of
    the same frozen loss.
    """
    seen = Evidence()
    for points, kept in one_layer(seed):
        S, draw = points.switches(), torch_generator(seed, "shuffling")
        start = points.at(tuple(normal(draw, *matrix.shape) for matrix in points.W))
        reached, least = least_on_the_way(start, S), frozen_loss(*points, S, DECAY)
        origin = points.at(zero_weights(points.network, points.size))
        lower = least < frozen_loss(*origin, S, DECAY) - 1e-6
        seen.add(kept)
        seen.add(wrong=reached < least - 1e-10, refuted=lower, ratio=least / reached)
    return seen


def least_on_the_way(at: Instance, switches: Switches, steps: int = 200) -> Tensor:
    """Return the least value that the frozen loss takes in a descent on it, ``(T,)``."""
    reached = torch.full((at.size,), torch.inf).to(at.a)
    for _ in range(steps):
        reached = torch.minimum(reached, frozen_loss(*at, switches, DECAY))
        at = downhill(
            at, DECAY, steps=1, gradient_at=lambda at: flatten(gradient(*at, DECAY, switches))
        )
    return reached


def along_polytope(at: Instance, share: float) -> tuple[Instance, Tensor]:
    """Move critical points along their flat polytopes, and say how far, ``(T,)``.

    With ``p_j = s_j²``, and ``c`` such that ``Σ_j sgn_j c_j h_j = 0``, the units keep directions
    and signs and get the sizes ``(p_j + t c_j)^½``; t runs to the end of the polytope, where the
    first of them is 0, for share = 1. Beyond, sizes that would be imaginary are 0.
    """
    units = units_of(at)
    signed = units.features * units.sign.unsqueeze(1)
    c = torch.linalg.svd(signed)[2][:, -1]
    p = units.size.square()
    c = c * torch.where((c < 0).any(-1, keepdim=True), 1.0, -1.0)
    end = torch.where(c < 0, -p / c, math.inf).amin(-1)
    size = (p + share * end.unsqueeze(-1) * c).clamp(min=0).sqrt()
    W = (units.direction * size.unsqueeze(-2), (units.sign * size).unsqueeze(-1))
    return at.at(W), (flatten(W) - flatten(at.W)).norm(dim=-1)


@claim(
    "strong-minima-polytope",
    "through a critical point runs a polytope of points of the same loss",
    "certified",
    "Proved, with its dimension and that it is bounded; on kinks and beside zero neurons too.",
    hypotheses=(_ONE, "W ≠ 0 is Clarke-critical", "the features are dependent"),
    uses=("strong-minima-balance",),
    variant="also at 1.2 of the way to the polytope's end",
    least=120,
)
def check_polytope(seed: int) -> Evidence:
    """Check that the loss is constant on the flat polytope, up to its boundary and not beyond.

    ``ℓ_λ`` and its gradient are the network's own, at half the way to the end and, the loss, at the
    end, where a neuron is zero. On kinks and beside zero neurons, where descents of wide networks
    end, there is no gradient to compare.
    """
    seen = Evidence()
    for points, kept in one_layer(seed):
        dependent = units_of(points).rank < points.network.widths[1]
        seen.add(kept.masked_scatter(kept, dependent))
        changed, refuted = along(points.rows(dependent))
        middle, moved = along_polytope(points.rows(dependent), 0.5)
        slope = flatten(gradient(*middle, DECAY)).norm(dim=-1)
        seen.add(wrong=changed | (slope > 1e-8) | (moved == 0), refuted=refuted)
    for ends, kept in (wide_ends(seed, *setting) for setting in WIDE):
        parts = [busy_part(ends.one(t)) for t in range(ends.size)]
        flat = [bool(units_of(part).rank < part.network.widths[1]) for part in parts]
        seen.add(kept.masked_scatter(kept, torch.tensor(flat)))
        for part in (part for part, one in zip(parts, flat, strict=True) if one):
            changed, refuted = along(part)
            seen.add(wrong=changed, refuted=refuted)
    return seen


def along(points: Instance) -> tuple[Tensor, Tensor]:
    """Say where the loss changes on the polytope, half-way or at its end, and where beyond."""
    half, whole, more = (
        regularized_loss(*along_polytope(points, share)[0], DECAY)
        - regularized_loss(*points, DECAY)
        for share in (0.5, 1.0, 1.2)
    )
    return (half.abs() > 1e-10) | (whole.abs() > 1e-10), more > 1e-8


WIDE = (((2, 3, 1), 2), ((2, 4, 1), 3))


@lru_cache(maxsize=4)
def wide_ends(seed: int, widths: tuple[int, ...], points: int) -> tuple[Instance, Tensor]:
    """Return where 40 descents of networks wider than N end, on kinks and beside zero neurons too.

    Kept are non-zero ends solved for to 1e-10; on a kink 0 is strictly between the gradients. Which
    of the starts led to them is returned too.
    """
    starts = problem_stack(ReLUNetwork(widths, output_relu=False), 300 + seed, points, 40)
    ends = finish(settle(starts, DECAY), DECAY)
    kept = ends.solved & ends.held_strictly & (flatten(ends.at.W).norm(dim=-1) > 0.05)
    return ends.at.rows(kept), kept


def busy_part(at: Instance) -> Instance:
    """Leave out one network's zero neurons, and return it as a stack of one."""
    on = at.W[0].norm(dim=0) > 0
    network = ReLUNetwork((at.network.widths[0], int(on.sum()), 1), output_relu=False)
    W = (at.W[0][:, on].unsqueeze(0), at.W[1][on].unsqueeze(0))
    return Instance(network, W, at.a.unsqueeze(0), at.f.unsqueeze(0))


def another(at: Instance, share: float) -> Instance:
    """Return another point of the same loss, for a network wider than N or with a zero neuron.

    A zero neuron takes over a share of another one, along an arc; without one, the network moves
    along its polytope.
    """
    zero = at.W[0].norm(dim=0) == 0
    if not zero.any():
        return along_polytope(busy_part(at), share)[0].one(0)
    idle, busy = int(zero.nonzero()[0]), int((~zero).nonzero()[0])
    w, v = (matrix.clone() for matrix in at.W)
    sine, cosine = math.sin(share * math.pi / 2), math.cos(share * math.pi / 2)
    w[:, idle], v[idle] = sine * w[:, busy], sine * v[busy]
    w[:, busy], v[busy] = cosine * w[:, busy], cosine * v[busy]
    return at.at((w, v))


def one_cell_each(points: int, draw: torch.Generator) -> Instance:
    """Return a network with as many neurons as data points, each on for one of them alone.

    All angles between inputs are obtuse, and neuron j points along ``a_j``: a strict minimum.
    """
    a = 1.3 * torch.eye(points, dtype=torch.float64) - 0.3
    u, length = a / a.norm(dim=-1, keepdim=True), 0.5 + uniform(draw, points)
    p, sign = 0.1 + uniform(draw, points), (uniform(draw, points) - 0.5).sign()
    W = (u.mT * p.sqrt(), (sign * p.sqrt()).unsqueeze(-1))
    network = ReLUNetwork((points, points, 1), output_relu=False)
    inputs = u * length.unsqueeze(-1)
    return Instance(network, W, inputs, network(W, inputs) + points * DECAY * sign / length)


@claim(
    "strong-minima-wide",
    "if n_1 > N, no non-zero local minimum is strict, on a kink or not",
    "certified",
    "Proved by the flat polytope; with n_1 = N there are strict ones for every N.",
    hypotheses=(_ONE, "W ≠ 0 is Clarke-critical", "n_1 > N, or a neuron is zero"),
    uses=("strong-minima-polytope", "strong-minima-lowest"),
    variant="n_1 ≥ N in place of n_1 > N",
    least=105,
)
def check_wide(seed: int) -> Evidence:
    """Check that next to each end of a descent of a wide network there are others of its loss.

    A hundredth of the way along an arc or a polytope, and half of it. The ends, on kinks or off,
    are those of `wide_ends`, and critical points of the same networks by a second-order method. For
    n_1 = N, `one_cell_each`: critical, off the kinks, and with a positive definite Hessian.
    """
    seen, draw = Evidence(), torch_generator(seed, "shuffling")
    for setting in WIDE:
        found = [wide_ends(seed, *setting)]
        if setting in ONE_LAYER:
            found.append(smooth_points(seed, *setting))
        seen.add(torch.cat([kept for _, kept in found]))
        for at in (stack.one(t) for stack, _ in found for t in range(stack.size)):
            here = regularized_loss(*at, DECAY)
            for share in (0.01, 0.5):
                there = another(at, share)
                wrong = (regularized_loss(*there, DECAY) - here).abs() > 1e-12
                wrong |= not 0 < (flatten(there.W) - flatten(at.W)).norm() < 100 * share
                seen.add(wrong=wrong)
    for points in (1, 2, 3, 4) * 5:
        at = one_cell_each(points, draw)
        strict = bool(least_eigenvalue(frozen_hessian(*at, DECAY)) > 1e-6)
        wrong = (flatten(gradient(*at, DECAY)).norm() > 1e-12) | ((at.a @ at.W[0]).abs() < 1e-3)
        seen.add(1, wrong=wrong.any() | (not strict), refuted=strict)
    return seen


def strongest_pull(at: Instance) -> tuple[Tensor, Tensor]:
    """Return ``mean e σ(u · a)`` where it is largest in absolute value, and that unit vector u.

    For inputs in the plane. In a cell the mean is ``g · u``: it is largest along g or −g, if they
    are in the cell, else on an edge.
    """
    e, N = at.residuals(), at.a.shape[1]
    angle = torch.atan2(at.a[..., 1], at.a[..., 0]).unsqueeze(-1)
    edge = torch.cat([angle + math.pi / 2, angle - math.pi / 2], dim=1) % (2 * math.pi)
    edge = edge.sort(dim=1)[0]
    after = torch.cat([edge[:, 1:], edge[:, :1] + 2 * math.pi], dim=1)
    middle, edges = (torch.cat([x.cos(), x.sin()], dim=-1) for x in ((edge + after) / 2, edge))
    g = ((middle @ at.a.mT > 0) * e.unsqueeze(1)) @ at.a / N
    u = torch.cat([torch.nn.functional.normalize(g, dim=-1), edges], dim=1)
    u = torch.cat([u, -u], dim=1)
    pull = (e.unsqueeze(1) * (u @ at.a.mT).relu()).mean(-1)
    best = pull.abs().argmax(-1, keepdim=True)
    return pull.gather(1, best)[:, 0], u.gather(1, best.unsqueeze(-1).expand(-1, -1, 2))[:, 0]


@claim(
    "strong-minima-global",
    "critical with |mean e σ(u·a)| ≤ λ for all u: a global minimum for every width",
    "certified",
    "Proved, an argument of Haeffele and Vidal's; the converse where a neuron is zero.",
    hypotheses=(_ONE, "W is Clarke-critical", "|mean e σ(u·a)| ≤ λ for all unit vectors u"),
    uses=("strong-minima-balance",),
    variant="the maximum over u exceeds λ",
    least=105,
)
def check_global(seed: int) -> Evidence:
    """Check when a critical point is a global minimum, of networks of any width.

    No descent of a network of twice the width, on the same data, from a random start, ends lower.
    The margin is the value at the point over the least that a descent reached. Where the maximum
    over u exceeds λ, a small unit in that direction, of the right sign, always lowers the loss.
    """
    seen = Evidence()
    for points, kept in one_layer(seed):
        value = regularized_loss(*points, DECAY)
        pull, u = strongest_pull(points)
        optimal, not_optimal = pull.abs() <= DECAY * (1 + 1e-6), pull.abs() > DECAY * 1.01
        wide = ReLUNetwork((2, 2 * points.network.widths[1], 1), output_relu=False)
        draw = torch_generator(seed, "shuffling")
        start = Instance(wide, normal_weights(wide, draw, points.size), points.a, points.f)
        reached = regularized_loss(*downhill(start, DECAY, steps=400), DECAY)
        lower = regularized_loss(*with_unit(points, u, pull.sign()), DECAY) < value - 1e-11
        seen.add(kept.masked_scatter(kept, optimal), refuted=lower & not_optimal)
        seen.add(wrong=optimal & (reached < value - 1e-9), ratio=optimal * value / reached)
        seen.add(wrong=(lower & optimal) | (~lower & not_optimal))
    return seen


def with_unit(at: Instance, u: Tensor, sign: Tensor, step: float = 1e-3) -> Instance:
    """Add a small unit in the directions u, ``(T, 2)``, with outputs against the given signs."""
    W = (
        torch.cat([at.W[0], step * u.unsqueeze(-1)], dim=-1),
        torch.cat([at.W[1], -step * sign[:, None, None]], dim=-2),
    )
    network = ReLUNetwork((2, at.network.widths[1] + 1, 1), output_relu=False)
    return Instance(network, W, at.a, at.f)


# ---- the counterexamples, all of them with λ = 0.1


def distinct_cells() -> Instance:
    """Return three units in three cells whose features are dependent: a flat minimum."""
    a = _tensor((1, 0), (-0.5, math.sqrt(3) / 2))
    root = _tensor(0.3, 0.4, 0.5).sqrt()
    u = torch.stack([a[0], a[1], a[0] + a[1]], dim=-1)
    W = (u * root, root.unsqueeze(-1))
    return Instance(ReLUNetwork((2, 3, 1), output_relu=False), W, a, _tensor(0.75, 0.85))


def kink() -> Instance:
    """Return one unit on a switch boundary: a strict minimum of pieces that are not convex."""
    a = torch.stack([_tensor(0, 1), _tensor(1, 1) / math.sqrt(2)])
    W = (_tensor((0.2,), (0.0,)), _tensor((0.2,)))
    f = _tensor(-1.0, 0.22 * math.sqrt(2))
    return Instance(ReLUNetwork((2, 1, 1), output_relu=False), W, a, f)


def kink_pieces() -> tuple[Switches, Switches]:
    """Return the switches of the pieces that meet in `kink`: the unit off at ``a_1``, and on."""
    ones = torch.ones(2, 1, dtype=torch.float64)
    return (_tensor((0.0,), (1.0,)), ones), (ones, ones)


def idle_unit() -> Instance:
    """Return a zero neuron beside another: a flat minimum, its frozen Hessian positive definite."""
    W = (_tensor((math.sqrt(0.8), 0.0)), _tensor((math.sqrt(0.8),), (0.0,)))
    network = ReLUNetwork((1, 2, 1), output_relu=False)
    return Instance(network, W, _tensor((1.0,), (-1.0,)), _tensor(1.0, 0.0))


@claim(
    "strong-minima-cells",
    "distinct cells do not make a minimum strongly convex",
    "certified",
    "An example, worked out.",
    uses=("strong-minima-polytope",),
    least=1,
)
def check_distinct_cells(seed: int) -> Evidence:
    """Check the example of three cells: critical, all cells distinct, flat along (−½, −½, 1).

    The gradient is the network's, the eigenvalues those of `frozen_hessian`, and the loss is
    followed along the direction in p. The seed plays no part.
    """
    at = distinct_cells()
    units = units_of(at)
    values = torch.linalg.eigvalsh(frozen_hessian(*at, 0.1))
    p = units.size**2 + 0.5 * _tensor(-0.5, -0.5, 1)
    there = at.at((units.direction * p.sqrt(), p.sqrt().unsqueeze(-1)))
    change = regularized_loss(*there, 0.1) - regularized_loss(*at, 0.1)
    wrong = (flatten(gradient(*at, 0.1)).norm() > 1e-14) | (change.abs() > 1e-14)
    wrong |= (values[:3] - _tensor(0, 0.0445, 0.1)).abs().max() > 1e-4
    seen = Evidence()
    seen.add(1, wrong=wrong | (len(units.on.mT.unique(dim=0)) != 3))
    return seen


@claim(
    "strong-minima-kink",
    "a strict minimum on a kink between two pieces that are not convex",
    "certified",
    "An example, worked out.",
    least=4002,
)
def check_kink(seed: int) -> Evidence:
    """Check the example on a kink: strict by its values around, with pieces that are not convex.

    In 4000 random directions, at distances to 0.01: the loss exceeds that at W by 0.01 times the
    squared distance. The Hessians of both pieces come from `frozen_hessian` with held switches.
    """
    at, draw = kink(), torch_generator(seed, "data")
    X = normal(draw, 4000, 3)
    distance = 0.01 * uniform(draw, 4000, 1)
    X = distance * X / X.norm(dim=-1, keepdim=True)
    there = at.at(unflatten(at.network, flatten(at.W) + X))
    rise = regularized_loss(*there, 0.1) - regularized_loss(*at, 0.1)
    seen = Evidence()
    seen.add(len(X), wrong=rise < 0.01 * distance.squeeze() ** 2)
    for S in kink_pieces():
        seen.add(1, wrong=least_eigenvalue(frozen_hessian(*at, 0.1, S)) > -0.01)
    return seen


@claim(
    "strong-minima-idle",
    "a minimum that is not strict although the frozen Hessian is positive definite",
    "certified",
    "An example, worked out; the unit that is idle has more than one cell to go to.",
    uses=("strong-minima-global",),
    least=2051,
)
def check_idle_unit(seed: int) -> Evidence:
    """Check the example with a zero neuron: its Hessian, and the arc through the minimum.

    The eigenvalues are those of `frozen_hessian`; the loss is that of the network at 50 random
    points of the arc, and at random weights elsewhere it is nowhere lower.
    """
    at, draw = idle_unit(), torch_generator(seed, "data")
    values = torch.linalg.eigvalsh(frozen_hessian(*at, 0.1))
    angle = math.pi / 2 * uniform(draw, 50, 1, 1)
    units = math.sqrt(0.8) * torch.cat([angle.cos(), angle.sin()], dim=-1)
    elsewhere = at.at(normal_weights(at.network, draw, 2000))
    here = regularized_loss(*at, 0.1)
    seen = Evidence()
    seen.add(50, wrong=(regularized_loss(*at.at((units, units.mT)), 0.1) - here).abs() > 1e-14)
    seen.add(2000, wrong=regularized_loss(*elsewhere, 0.1) < here)
    seen.add(1, wrong=(values - _tensor(0.1, 0.1, 0.2, 0.8)).abs().max() > 1e-12)
    return seen


def two_outputs() -> Instance:
    """Return a saddle without a zero neuron, of one hidden unit and two outputs."""
    root = math.sqrt(0.5)
    U, Z = _tensor((root, -root), (root, root)), torch.eye(2, dtype=torch.float64)
    a = math.sqrt(2) * torch.eye(2, dtype=torch.float64)
    f = a @ (2 * torch.outer(U[0], Z[0]) + torch.outer(U[1], Z[1]))
    W = (math.sqrt(0.9) * U[1].unsqueeze(-1), math.sqrt(0.9) * Z[1].unsqueeze(0))
    return Instance(ReLUNetwork((2, 1, 2), output_relu=False), W, a, f)


@claim(
    "strong-minima-outputs",
    "with two outputs there are saddles without zero neurons, at one hidden layer",
    "certified",
    "An example, worked out.",
    least=1,
)
def check_two_outputs(seed: int) -> Evidence:
    """Check the example with two outputs: critical, its unit on, and curved downwards by −1.

    The seed plays no part.
    """
    at = two_outputs()
    values, vectors = torch.linalg.eigh(frozen_hessian(*at, 0.1))
    wrong = (flatten(gradient(*at, 0.1)).norm() > 1e-14) | (at.a @ at.W[0] < 0.1).any()
    wrong |= (values - _tensor(-1.0, 0.2, 1.8, 3.0)).abs().max() > 1e-12
    there = at.at(unflatten(at.network, flatten(at.W) + 0.01 * vectors[:, 0]))
    wrong |= regularized_loss(*there, 0.1) >= regularized_loss(*at, 0.1)
    seen = Evidence()
    seen.add(1, wrong=wrong)
    return seen


# ---- deeper networks


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


def width_one_at(H: int, norm: float) -> Instance:
    """Return a network of width one with all weights χ, and a = f = 1."""
    one = torch.ones(1, 1, dtype=torch.float64)
    return Instance(ReLUNetwork((1,) * (H + 2), False), (norm * one,) * (H + 1), one, one[0])


@claim(
    "strong-minima-width-one",
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
            expected = _tensor(*[2 * decay] * H, radial).sort().values
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
    W = (torch.diag(_tensor(minimum, saddle)),) * 3
    return Instance(ReLUNetwork((2, 2, 2, 2), output_relu=False, negative_slope=1.0), W, a, a)


@claim(
    "strong-minima-sizes",
    "a saddle need not curve downwards along W",
    "certified",
    "An example, worked out from width one.",
    uses=("strong-minima-width-one",),
    least=20,
)
def check_two_sizes(seed: int) -> Evidence:
    """Check the example for random λ: critical, curved downwards, but upwards along W."""
    seen, draw = Evidence(), torch_generator(seed, "data")
    for decay in (0.1, *(0.1 * uniform(draw, 19)).tolist()):
        at, (saddle, minimum) = two_sizes(decay), width_one_roots(2, decay)
        W, K = flatten(at.W), frozen_hessian(*at, decay)
        X = flatten([torch.diag(_tensor(0.0, 1.0))] * 3)
        wrong = flatten(gradient(*at, decay)).norm() > 1e-12
        wrong |= (X @ K @ X / 3 - (3 * saddle**4 - decay)).abs() > 1e-10
        radial = sum(3 * norm**2 * (3 * norm**4 - decay) for norm in (saddle, minimum))
        wrong |= ((W @ K @ W - radial).abs() > 1e-10) | (radial <= 0) | (3 * saddle**4 >= decay)
        seen.add(1, wrong=wrong)
    return seen


@claim(
    "strong-minima-radial",
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
    "strong-minima-decay",
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


# ---- the certificate


class CertifiedBall(NamedTuple):
    """A point next to a minimum, and the largest ball that was certified around it."""

    at: Instance
    around: GaussNewton
    ball: BallCertificate


NETWORKS = (((1, 1, 1), 1), *ONE_LAYER[:3], ((1, 1, 1, 1), 1), *DEEPER[:2])


@lru_cache(maxsize=4)
def certified_balls(seed: int) -> tuple[CertifiedBall, ...]:
    """Certify balls around the first two minima found of each network, H = 1 and H = 2."""
    result = []
    for setting in NETWORKS:
        points, _ = smooth_points(seed, *setting)
        minima = points.rows(least_eigenvalue(frozen_hessian(*points, DECAY)) > 1e-3)
        for at in (minima.one(t) for t in range(min(2, minima.size))):
            around = GaussNewton(*at, DECAY)
            ball = around.largest_ball(16)
            if ball.holds:
                result.append(CertifiedBall(at, around, ball))
    return tuple(result)


def directions(at: Instance, seed: int = 0) -> Tensor:
    """Return unit vectors in weight space.

    60 random ones, both ways along each eigenvector of the Hessian, and straight to each boundary.
    """
    vectors = torch.linalg.eigh(frozen_hessian(*at, DECAY))[1].mT
    anywhere = normal(torch_generator(seed, "shuffling"), 60, vectors.shape[-1])
    anywhere = anywhere / anywhere.norm(dim=-1, keepdim=True)
    return torch.cat([anywhere, vectors, -vectors, straight_to_boundaries(at)[1]])


def straight_to_boundaries(at: Instance) -> tuple[Tensor, Tensor]:
    """For each unit and data point: the distance to a switch, and the way there.

    Only that unit's weights move, along what feeds it; a lower layer stays as it is, and so the
    distance is exact on this way, and an upper bound of the shortest.

    Returns:
        distances ``(K,)`` and unit vectors in weight space ``(K, m)``.
    """
    x, distances, ways = at.a, [], []
    for layer, matrix in enumerate(at.W[:-1]):
        for fed in x[x.norm(dim=-1) > 0]:
            for unit, z in enumerate(fed @ matrix):
                step = zero_weights(at.network)
                step[layer][:, unit] = -z.sign() * fed / fed.norm()
                distances.append(z.abs() / fed.norm())
                ways.append(flatten(step))
        x = (x @ matrix).relu()
    return torch.stack(distances), torch.stack(ways)


def moved(at: Instance, steps: Tensor) -> tuple[Instance, Tensor]:
    """Go the steps ``(T, m)`` from W, and say at which ends the switches are those of W."""
    there = at.at(unflatten(at.network, flatten(at.W) + steps))
    same = [
        (S == T).flatten(1).all(-1) for S, T in zip(there.switches(), at.switches(), strict=True)
    ]
    return there, torch.stack(same).all(0)


def least_around(at: Instance, radius: float) -> tuple[Tensor, Tensor]:
    """The least eigenvalues at distance ``radius``, and whether the switches are those of W.

    Both by float64 code that the certificate does not use, in each of `directions`.
    """
    there, same = moved(at, radius * directions(at))
    return least_eigenvalue(frozen_hessian(*there, DECAY)), same


@claim(
    "strong-minima-ball",
    "a ball of strong convexity that holds exactly one critical point, a minimum",
    "certified",
    "Proved; its hypotheses are verified in ball arithmetic at each minimum shown.",
    hypotheses=(
        "the ball stays in the cell",
        "μ > L(ρ)ρ",
        "‖∇ℓ_λ(W)‖ < (μ − L(ρ)ρ/2)ρ",
    ),
    uses=("strong-minima-lipschitz", "strong-minima-cell"),
    variant="a radius ten times as large; L left out; a quarter of L in the last hypothesis",
    least=2100,
)
def check_balls(seed: int) -> Evidence:
    """Check the certified balls on their surface and inside, in float64.

    At distances 0.1, 0.5 and 1 of the radius, in each of `directions`: the switches are those of W,
    and the frozen Hessian's least eigenvalue is at least μ − L times the distance. The gradient of
    ``ℓ_λ`` points outward on the surface. A ball of ten times the radius, which the certificate
    refuses, is a counterexample where it has points with other switches or an eigenvalue that is
    not positive. Without L the ball would reach to the nearest switch, with eigenvalues of at least
    μ. The networks of `pulled` have a gradient just below what the last hypothesis allows, or just
    above; then there is no critical point in the ball. The margin is the fall of the eigenvalue
    over its bound, or the distance of the minimum over its own.
    """
    seen = Evidence()
    for at, around, ball in certified_balls(seed):
        for share in (0.1, 0.5, 1.0):
            distance = 0.999999 * share * ball.radius
            least, same = least_around(at, distance)
            low = least < ball.curvature - ball.lipschitz * distance - 1e-12
            fall = (ball.curvature - least) / (ball.lipschitz * distance)
            seen.add(len(least), wrong=~same | low, ratio=fall)
        u = directions(at)
        outward = (flatten(gradient(*moved(at, distance * u)[0], DECAY)) * u).sum(-1)
        seen.add(wrong=outward <= 0)
        least, same = least_around(at, 10 * ball.radius)
        widest, _ = least_around(at, 0.999 * around.cell_radius())
        too_far, too_low = bool((~same | (least <= 0)).any()), widest < 0.99 * ball.curvature
        refuted = too_far, too_low.any(), False
        seen.add(wrong=around.ball(10 * ball.radius).holds, refuted=refuted)
    draw = torch_generator(seed, "data")
    for share, part in product((0.5, 0.9), (0.98, 1.02)):
        for _ in range(20):
            ball, limits, distance = pulled(share, part, draw)
            met, inside = part < 1, distance <= ball.radius
            wrong = ball.holds != met or inside != met or (met and distance > ball.distance)
            quarter = not met and ball.gradient < limits[1] and not inside
            ratio = distance / ball.distance if met else None
            seen.add(1, wrong=wrong, refuted=(False, False, quarter), ratio=ratio)
    return seen


def pulled(
    share: float, part: float, draw: torch.Generator
) -> tuple[BallCertificate, tuple[float, float], float]:
    """Certify a ball around ``w = v``, a = 1, where a reference pulls with any force along (1, 1).

    The least curvature is in that direction, and falls in it as fast as L says, nearly.

    Args:
        share: ρ in units of ``μ/L(ρ)``.
        part: the gradient in units of ``(μ − Lρ/2) ρ``.
        draw: of w and λ.

    Returns:
        the certificate; ``(μ − Lρ/2) ρ``, and the same with a quarter for the half; and how far
        the nearest critical point on the line is, infinite if there is none.
    """
    s, decay = (0.5 + uniform(draw, 2)).tolist()
    mu, f = 0.02 * s**2, 2.98 * s**2 + decay
    at = width_one_at(1, s)._replace(f=_tensor(f))
    plain = GaussNewton(*at, decay)
    radius = 0.0
    for _ in range(40):
        L = float(plain.lipschitz(radius))
        radius = share * mu / L
    limits = ((mu - L * radius / 2) * radius, (mu - L * radius / 4) * radius)
    origin = s - (part * limits[0] / math.sqrt(2) - (s**2 - f) * s) / decay
    reference = tuple(torch.full_like(matrix, origin) for matrix in at.W)
    slope = np.poly1d([1.0, 0.0, decay - f, -decay * origin])  # by w = v, half of it
    steps = [math.sqrt(2) * (s - x.real) for x in slope.roots if abs(x.imag) < 1e-9]
    ball = GaussNewton(*at, decay, reference).ball(radius)
    return ball, limits, min((t for t in steps if t > 0), default=math.inf)


def random_points(seed: int, errors: float = 1.0) -> list[tuple[Instance, GaussNewton]]:
    """Draw random points of random networks, deep and shallow, no minima: one data set each."""
    result = []
    for number, widths in enumerate(((1, 1, 1), (2, 3, 1), (2, 2, 2, 1), (2, 2, 2, 2, 1))):
        network = ReLUNetwork(widths, output_relu=False)
        stack = problem_stack(network, 17 * seed + number, 2, 12)
        stack = stack._replace(f=errors * stack.f)
        result += [(at, GaussNewton(*at, DECAY)) for at in map(stack.one, range(12))]
    return result


def lipschitz_terms(at: Instance, radius: float) -> tuple[float, float]:
    """Return the two terms of L(ρ), of the squares and of the residuals, in NumPy."""
    norms = np.array([np.linalg.svd(matrix.numpy())[1][0] for matrix in at.W])
    s, layers = norms + radius, range(len(norms))

    def others(*left_out: int) -> float:
        return float(np.delete(s, left_out).prod()) if len({*left_out}) == len(left_out) else 0.0

    b = np.array([others(k) for k in layers])
    M = np.array([[others(j, k) for k in layers] for j in layers])
    T = np.array([[[others(j, k, m) for m in layers] for k in layers] for j in layers])
    a, e = (x.norm(dim=-1).numpy() for x in (at.a, at.residuals().unsqueeze(-1)))
    moved = e + a * (s.prod() - norms.prod())
    squares = 3 * (a**2).mean() * np.linalg.norm(b) * M.sum(1).max()
    return float(squares), float((moved * a).mean() * np.linalg.norm(T.sum(2).max(1)))


@claim(
    "strong-minima-lipschitz",
    "a Lipschitz constant of the frozen Hessian on a ball, from the layers' norms",
    "certified",
    "Proved; at H = 1 and width one nothing smaller would do.",
    hypotheses=("switches held at values in [−1, 1]",),
    variant="1 in place of the factor 3; or without the residuals' term",
    least=2880,
)
def check_lipschitz(seed: int) -> Evidence:
    """Check L against differences of frozen Hessians, computed in float64, at random points.

    The switches are held, so any radius will do: 0.001, 0.1 and 1. For each, the Hessian's change
    over the distance, in the operator norm, in random directions and in the one that changes all
    layers alike; for residuals of order one, and for large ones, which make the second term count.
    L by the certificate is compared with its two terms in NumPy. The margin is the change over the
    bound; at H = 1 and width one it comes near 1.
    """
    seen = Evidence()
    for at, around in (*random_points(seed), *random_points(seed, errors=100.0)):
        start, S = flatten(at.W), at.switches()
        X = normal(torch_generator(seed, "shuffling"), 8, len(start))
        X = torch.cat([start[None], torch.ones_like(start)[None], X])
        X = X / X.norm(dim=-1, keepdim=True)
        here = frozen_hessian(*at, DECAY, S)
        for radius in (0.001, 0.1, 1.0):
            there = frozen_hessian(*moved(at, radius * X)[0], DECAY, S)
            change = torch.linalg.matrix_norm(there - here, 2) / radius
            squares, residuals = lipschitz_terms(at, radius)
            bound = squares + residuals
            wrong = change > bound * (1 + 1e-9) + 1e-8
            wrong |= abs(float(around.lipschitz(radius)) / bound - 1) > 1e-8
            low = change > squares / 3 + residuals + 1e-8, change > squares + 1e-8
            seen.add(len(X), wrong=wrong, refuted=low, ratio=change / bound)
    return seen


@claim(
    "strong-minima-cell",
    "a radius within which no switch changes",
    "certified",
    "Proved; exact for one hidden layer.",
    hypotheses=("no activation's input is 0, but where nothing feeds it",),
    variant="a radius ten times as large",
    least=1760,
)
def check_cell(seed: int) -> Evidence:
    """Check that no switch changes within the radius that is certain to stay in the cell.

    Random points of random networks; switches by the network itself, at that radius in random
    directions and straight towards each boundary. The margin is the radius over the distance to
    the nearest boundary on these ways; 1 at H = 1, where the bound is exact.
    """
    seen = Evidence()
    for at, around in random_points(seed):
        radius = around.cell_radius()
        distances, ways = straight_to_boundaries(at)
        X = normal(torch_generator(seed, "shuffling"), 40, ways.shape[-1])
        X = torch.cat([X / X.norm(dim=-1, keepdim=True), ways])
        same, farther = (moved(at, factor * radius * X)[1] for factor in (0.999999, 10.0))
        seen.add(len(X), wrong=~same, refuted=~farther.all(), ratio=radius / distances.min())
    return seen
