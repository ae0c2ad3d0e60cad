"""Checks of where the loss is strongly convex around minima of networks with one hidden layer.

The Hessian at critical points has a closed form there; the counterexamples are a few numbers each.
"""

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from evidence.claims import Evidence, claim
from evidence.instances import normal, normal_weights, problem_stack, uniform, zero_weights
from evidence.solvers.critical import downhill
from evidence.solvers.kinks import finish, settle
from evidence.solvers.smooth import DECAY, ONE_LAYER, reals, smooth_points
from pscore.curvature import flatten, frozen_hessian, least_eigenvalue, unflatten
from pscore.instance import Instance
from pscore.loss import frozen_loss, gradient, regularized_loss
from pscore.network import ReLUNetwork, Switches
from pscore.seeds import torch_generator

_ONE = "one hidden layer of ReLUs, no output activation, λ > 0"
_CRITICAL = "ℓ_λ is differentiable at W with gradient 0, and no neuron is zero"


def one_layer(seed: int) -> Iterator[tuple[Instance, Tensor]]:
    """Yield `smooth_points` of networks with one hidden layer."""
    return (smooth_points(seed, *setting) for setting in ONE_LAYER)


def crossing(seed: int, count: int = 40) -> Instance:
    """Make critical points with three units in three cells, and features that are dependent.

    Two inputs, at 120°, with residuals ``e_i = ∓2λ/|a_i|``. Then ``−mean e σ'(u · a) a / λ`` is a
    unit vector, along one input or their sum, in each of the cells {1}, {2}, {1, 2}, and lies in
    it. Turned, stretched and weighted at random; the targets follow.
    """
    draw = torch_generator(seed, "shuffling")
    angle = 2 * math.pi * (uniform(draw, count, 1) + reals(0, 1 / 3))
    unit = torch.stack([angle.cos(), angle.sin()], dim=-1)
    length, p = 0.5 + 1.5 * uniform(draw, count, 2), 0.1 + uniform(draw, count, 3)
    a, sign = unit * length.unsqueeze(-1), uniform(draw, count, 1).sub(0.5).sign()
    u = torch.cat([unit, unit.sum(1, keepdim=True)], dim=1).mT
    W = (u * p.sqrt().unsqueeze(1), (sign * p.sqrt()).unsqueeze(-1))
    network = ReLUNetwork((2, 3, 1), output_relu=False)
    return Instance(network, W, a, network(W, a) + 2 * DECAY * sign / length)


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


def distinct_cells() -> Instance:
    """Return three units in three cells whose features are dependent: a flat minimum."""
    a = reals((1, 0), (-0.5, math.sqrt(3) / 2))
    root = reals(0.3, 0.4, 0.5).sqrt()
    u = torch.stack([a[0], a[1], a[0] + a[1]], dim=-1)
    W = (u * root, root.unsqueeze(-1))
    return Instance(ReLUNetwork((2, 3, 1), output_relu=False), W, a, reals(0.75, 0.85))


def kink() -> Instance:
    """Return one unit on a switch boundary: a strict minimum of pieces that are not convex."""
    a = torch.stack([reals(0, 1), reals(1, 1) / math.sqrt(2)])
    W = (reals((0.2,), (0.0,)), reals((0.2,)))
    f = reals(-1.0, 0.22 * math.sqrt(2))
    return Instance(ReLUNetwork((2, 1, 1), output_relu=False), W, a, f)


def kink_pieces() -> tuple[Switches, Switches]:
    """Return the switches of the pieces that meet in `kink`: the unit off at ``a_1``, and on."""
    ones = torch.ones(2, 1, dtype=torch.float64)
    return (reals((0.0,), (1.0,)), ones), (ones, ones)


def idle_unit() -> Instance:
    """Return a zero neuron beside another: a flat minimum, its frozen Hessian positive definite."""
    W = (reals((math.sqrt(0.8), 0.0)), reals((math.sqrt(0.8),), (0.0,)))
    network = ReLUNetwork((1, 2, 1), output_relu=False)
    return Instance(network, W, reals((1.0,), (-1.0,)), reals(1.0, 0.0))


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
    p = units.size**2 + 0.5 * reals(-0.5, -0.5, 1)
    there = at.at((units.direction * p.sqrt(), p.sqrt().unsqueeze(-1)))
    change = regularized_loss(*there, 0.1) - regularized_loss(*at, 0.1)
    wrong = (flatten(gradient(*at, 0.1)).norm() > 1e-14) | (change.abs() > 1e-14)
    wrong |= (values[:3] - reals(0, 0.0445, 0.1)).abs().max() > 1e-4
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
    seen.add(1, wrong=(values - reals(0.1, 0.1, 0.2, 0.8)).abs().max() > 1e-12)
    return seen


def two_outputs() -> Instance:
    """Return a saddle without a zero neuron, of one hidden unit and two outputs."""
    root = math.sqrt(0.5)
    U, Z = reals((root, -root), (root, root)), torch.eye(2, dtype=torch.float64)
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
    wrong |= (values - reals(-1.0, 0.2, 1.8, 3.0)).abs().max() > 1e-12
    there = at.at(unflatten(at.network, flatten(at.W) + 0.01 * vectors[:, 0]))
    wrong |= regularized_loss(*there, 0.1) >= regularized_loss(*at, 0.1)
    seen = Evidence()
    seen.add(1, wrong=wrong)
    return seen
