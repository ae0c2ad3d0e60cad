"""Checks around points of zero training error: what is flat there, and what SGD does near them.

The networks are teachers of their own data, so that the training error is zero by construction, or
have idle copies of a unit beside one that fits the data. Where a proposition bounds a descent, its
constants come from `evidence.descents.zero_error`, the descent from `pscore.descent`, and neither
knows of the other.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse.csgraph import connected_components
from torch import Tensor
from torch.autograd.functional import jacobian

from evidence.claims import Evidence, claim, unchecked
from evidence.descents.zero_error import Constants, constants, scaling_directions, zero_error_points
from evidence.instances import normal
from evidence.measures import numerical_rank
from pscore.curvature import (
    curvature_along,
    flatten,
    frozen_hessian,
    frozen_jacobian,
    least_eigenvalue,
    unflatten,
)
from pscore.descent import descend_shuffled
from pscore.instance import Instance, joined
from pscore.loss import gradient, regularized_loss, squared_norm
from pscore.network import ReLUNetwork
from pscore.seeds import rng, torch_generator

ARCHITECTURES = (((3, 4, 1), 5), ((3, 4, 1), 20), ((2, 3, 3, 1), 6), ((3, 3, 2, 2), 4))
DECAY = 0.3
SMALL = 1e-9


def zero_error(
    kind: str, widths: tuple[int, ...], points: int, seed: int, count: int, draws: int = 1
) -> Instance:
    """Draw teachers, or copies, from seeds of their own."""
    seeds = [1000 * seed + t for t in range(count)]
    return zero_error_points(kind, widths, seeds, points, draws=draws)


def live_teachers(
    widths: tuple[int, ...], points: int, seed: int, count: int, draws: int = 1
) -> Instance:
    """Draw teachers of which some unit is on for some data point, so that J is not zero."""
    at = zero_error("teacher", widths, points, seed, count, draws)
    return at.rows(frozen_jacobian(*at[:3]).flatten(1).any(-1))


def interpolants(
    widths: tuple[int, int], points: int, seed: int, count: int, draws: int = 1
) -> Instance:
    """Draw networks with one hidden layer, and normal targets that they fit.

    The weights into hidden units are random, those out of them the shortest that fit; the targets
    are then what the network makes of it, the same up to rounding. Of ``draws`` the one is kept for
    which the proposition on SGD reaches farthest.
    """
    network, kept = ReLUNetwork((*widths, 1), output_relu=False), []
    for t in range(count):
        draw = torch_generator(1000 * seed + t, "data")
        W0 = normal(draw, draws, *widths) / math.sqrt(widths[0])
        a, f = normal(draw, draws, points, widths[0]), normal(draw, draws, points, 1)
        W1 = torch.linalg.pinv((a @ W0).clamp(min=0)) @ f
        found = network((W0, W1), a)
        at = Instance(network, (W0, W1), a, found)
        reach = constants(at).reach(1) * ((found - f[..., 0]).abs().amax(-1) < SMALL)
        kept.append(at.rows(reach.argmax()[None]))
    return joined(kept)


def idle_copies(seed: int, count: int) -> Instance:
    """Draw six units of which five are idle copies, at which the rank of J drops."""
    return zero_error("copies", (2, 6, 1), 12, seed, count, draws=64)


def at_distance(at: Instance, distance: Tensor, u: Tensor) -> Instance:
    """Return the networks at the given distance, ``(T,)``, in the directions u, ``(T, m)``."""
    return at.at(unflatten(at.network, flatten(at.W) + distance.unsqueeze(-1) * u))


def directions(at: Instance, seed: int) -> Tensor:
    """Return unit vectors, random for even networks of the stack, in the kernel of J for odd."""
    u = normal(torch_generator(seed, "initialization"), len(at.a), at.network.parameter_count)
    J = frozen_jacobian(*at[:3])
    inside = u - pulled_back(J, (J @ u.unsqueeze(-1)).squeeze(-1))
    u = torch.where(odd(at), inside, u)
    return u / u.norm(dim=-1, keepdim=True)


def pulled_back(J: Tensor, e: Tensor) -> Tensor:
    """Return the shortest vectors that J takes as near to e as it can, ``(T, m)``."""
    return (torch.linalg.pinv(J, rtol=SMALL) @ e.unsqueeze(-1)).squeeze(-1)


def odd(at: Instance) -> Tensor:
    """Return which networks of the stack have an odd number, ``(T, 1)``."""
    return torch.arange(at.size).unsqueeze(-1) % 2 == 1


def turn_odd(at: Instance, distance: Tensor, u: Tensor, times: int) -> Tensor:
    """Turn the odd directions, of the kernel, by what a descent would correct of them, or twice."""
    e = at_distance(at, distance, u).residuals()
    turned = u - times * pulled_back(frozen_jacobian(*at[:3]), e) / distance.unsqueeze(-1)
    return torch.where(odd(at), turned / turned.norm(dim=-1, keepdim=True), u)


def descent(
    start: Instance, origin: Instance, rate: Tensor, batch_size: int, epochs: int
) -> tuple[Tensor, Tensor]:
    """Return the loss and the distance from a point after each epoch, ``(epochs + 1, T)`` each."""
    problem, states = descend_shuffled(
        *start,
        weight_decay=0.0,
        learning_rate=rate,
        batch_size=batch_size,
        epochs=epochs,
        seeds=list(range(start.size)),
    )
    point = flatten(origin.W)
    rows = [(problem.loss(x), (flatten(x.W) - point).norm(dim=-1)) for x in states]
    loss, distance = zip(*rows, strict=True)
    return torch.stack(loss), torch.stack(distance)


# ---- what is flat


def plain_outputs(one: Instance, vector: Tensor) -> Tensor:
    """Return the ReLU network written once more, for automatic differentiation, in a row."""
    *hidden, last = unflatten(one.network, vector)
    x = one.a
    for matrix in hidden:
        x = torch.relu(x @ matrix)
    return (x @ last).flatten()


@claim(
    "near-memorization-kernel",
    "at zero error the Hessian is JᵀJ/N, with m − rank J flat directions",
    "certified",
    "Proved; the exact Hessian compared with J by automatic differentiation.",
    hypotheses=("training error 0", "no unit's input 0", "no ReLU on the output"),
    variant="the Hessian is JᵀJ/N at points of positive error as well",
    least=60,
)
def check_kernel(seed: int, count: int = 15) -> Evidence:
    """Compare `frozen_hessian` with ``JᵀJ/N``, J by automatic differentiation of the ReLU network.

    Also the number of its zero eigenvalues with ``m − rank J ≥ m − N n_{H+1}``, what ``ℓ_λ`` has
    in the kernel of J.
    """
    seen = Evidence()
    for widths, points in ARCHITECTURES:
        at = zero_error("teacher", widths, points, seed, count)
        H, m = frozen_hessian(*at), at.network.parameter_count
        decayed = frozen_hessian(*at, DECAY)
        noise = normal(torch_generator(seed, "shuffling"), *at.f.shape)
        missed = frozen_hessian(*at._replace(f=at.f + noise))
        for t in range(count):
            one = at.one(t)
            vector = flatten(one.W)
            J = jacobian(partial(plain_outputs, one), vector)
            square = J.mT @ J / points
            kernel = torch.linalg.svd(J)[2][int(numerical_rank(J)) :]
            nullity = int((torch.linalg.eigvalsh(H[t]).abs() < SMALL).sum())
            wrong = (H[t] - square).abs().max() > 1e-10
            wrong |= not nullity == len(kernel) >= m - len(J)
            wrong |= (kernel @ decayed[t] - DECAY * kernel).abs().max() > 1e-10
            seen.add(1, wrong=wrong, refuted=(missed[t] - square).abs().max() > 1e-6)
    return seen


@claim(
    "near-memorization-scaling",
    "the scalings of hidden units span as many flat directions as there are units, less those "
    "cut off",
    "certified",
    "Proved; the rank of the directions compared with a count of components of a graph.",
    hypotheses=("ReLUs, leaky or not", "no ReLU on the output", "any switches"),
    uses=("minima-scaling",),
    variant="the scalings always span as many as there are hidden units",
    least=60,
)
def check_scaling(seed: int, count: int = 15) -> Evidence:
    """Compare the rank of the scaling directions with a count of components of a graph.

    Networks with random weights of which many are zero; the graph has the units, inputs and
    outputs as vertices and the non-zero weights as edges. J annihilates the directions, with the
    switches of the point and with random ones.
    """
    seen = Evidence()
    draw = torch_generator(seed, "initialization")
    for widths, points in ARCHITECTURES:
        at = zero_error("teacher", widths, points, seed, count)
        at = at.at(tuple(w * (normal(draw, *w.shape) > 0.25) for w in at.W))
        D = scaling_directions(at.network, at.W)
        S = tuple((normal(draw, count, points, width) > 0).double() for width in widths[1:])
        moved = torch.cat([frozen_jacobian(*at[:3], held) @ D.mT for held in (None, S)])
        not_flat = (moved.abs() > 1e-12).flatten(1).any(-1).reshape(2, count).any(0)
        hidden, spanned = sum(widths[1:-1]), numerical_rank(D)
        isolated = torch.tensor([cut_off([w[t] for w in at.W]) for t in range(count)])
        wrong = (spanned != hidden - isolated) | not_flat
        seen.add(count, wrong=wrong, refuted=spanned != hidden)
    return seen


def cut_off(weights: list[Tensor]) -> int:
    """Count the components of the graph of non-zero weights without an input or output unit."""
    sizes = [weights[0].shape[0], *(w.shape[1] for w in weights)]
    starts = np.cumsum([0, *sizes])
    edges = np.zeros((starts[-1], starts[-1]))
    for k, w in enumerate(weights):
        edges[starts[k] : starts[k + 1], starts[k + 1] : starts[k + 2]] = w.numpy() != 0
    count, label = connected_components(edges, directed=False)
    return count - len({*label[: sizes[0]], *label[starts[-2] :]})


@claim(
    "near-memorization-along",
    "along a scaling ℓ_λ has the curvature λ at zero error, and ℓ none",
    "certified",
    "Proved; the exact Hessian compared with units' shares of the output.",
    hypotheses=("no unit's input 0", "no ReLU on the output"),
    uses=("near-memorization-scaling",),
    variant="no curvature of ℓ along a scaling where the error is positive either",
    least=120,
)
def check_along(seed: int, count: int = 15) -> Evidence:
    """Compare the second derivative along scalings with the units' shares of the output.

    ``λ|D|² − (2/N) Σ e_i · c_ij``: c is found by switching the unit's way out off in the frozen
    network. At zero error the loss is also followed along the curve itself.
    """
    seen = Evidence()
    for widths, points in ARCHITECTURES:
        at = zero_error("teacher", widths, points, seed, count)
        noise = normal(torch_generator(seed, "shuffling"), *at.f.shape)
        D, shares = scaling_directions(at.network, at.W), output_shares(at)
        for error in (0 * noise, noise):
            missed = at._replace(f=at.f + error)
            bare, whole = (
                torch.einsum("tup,tpq,tuq->tu", D, frozen_hessian(*missed, decay), D)
                for decay in (0.0, DECAY)
            )
            e = missed.residuals().reshape(count, 1, -1)
            expected = DECAY * D.square().sum(-1) - 2 / points * (e * shares).sum(-1)
            wrong = ((whole - expected).abs() > 1e-9).any(-1)
            if error is not noise:
                wrong |= (bare.abs() > 1e-10).any(-1) | off_curve(at)
            refuted = (bare.abs() > 1e-3).any(-1) if error is noise else False
            seen.add(count, wrong=wrong, refuted=refuted)
    return seen


def output_shares(at: Instance) -> Tensor:
    """Return what each hidden unit contributes to the outputs, ``(T, units, N n_{H+1})``."""
    network, W, a, _ = at
    S = network.switches(W, a)
    whole, rows = network.frozen(W, a, S), []
    for k in range(network.depth):
        for j in range(network.widths[k + 1]):
            without = [matrix.clone() for matrix in W]
            without[k + 1][:, j] = 0
            rows.append((whole - network.frozen(without, a, S)).flatten(1))
    return torch.stack(rows, dim=1)


def off_curve(at: Instance, s: float = 0.4) -> Tensor:
    """Return where ``ℓ_λ`` with unit 0 scaled by ``e^s`` is not ``λ/2 |W(s)|²``, ``(T,)``."""
    W = [matrix.clone() for matrix in at.W]
    W[0][..., 0] *= math.exp(s)
    W[1][:, 0] *= math.exp(-s)
    before, after = at.W[0][..., 0].square().sum(-1), at.W[1][:, 0].square().sum(-1)
    rest = squared_norm(at.W) - before - after
    norm = rest + math.exp(2 * s) * before + math.exp(-2 * s) * after
    return (regularized_loss(at.network, W, at.a, at.f, DECAY) - DECAY / 2 * norm).abs() > 1e-10


# ---- the ball


@claim(
    "near-memorization-radius",
    "with one hidden layer the switches hold exactly up to min |w_j · a_i| / |a_i|",
    "certified",
    "Proved; for deeper networks a lower bound in ball arithmetic.",
    hypotheses=("no unit's input 0", "one hidden layer for equality", "no ReLU on the output"),
    variant="the switches hold up to 1.001 times that, with one hidden layer",
    least=800,
)
def check_radius(seed: int, count: int = 15, tries: int = 40) -> Evidence:
    """Look for switch changes within ``ρ_s``, at random and in the direction of the nearest one.

    With one hidden layer the nearest is known: one unit's weights are moved straight at the
    boundary of one data point. With two the bound is certified in ball arithmetic, and no direction
    is known. An instance is a point and a direction; the ratio is that of ρ_s to the way to the
    nearest boundary of the first layer.
    """
    seen = Evidence()
    for widths, points in (((3, 5, 1), 6), ((2, 3, 2, 1), 4)):
        size = count if len(widths) == 3 else count // 3
        at = zero_error("teacher", widths, points, seed, size)
        radius, draw = constants(at).radius, torch_generator(seed, "shuffling")
        u = normal(draw, tries, size, at.network.parameter_count)
        u[0] = toward = to_nearest_boundary(at)
        u = u / u.norm(dim=-1, keepdim=True)
        changed = torch.stack([changes(at, 0.999 * radius, direction) for direction in u])
        refuted = changes(at, 1.001 * radius, u[0]) if at.network.depth == 1 else False
        seen.add(
            changed.numel(), wrong=changed, refuted=refuted, ratio=radius / toward.norm(dim=-1)
        )
    return seen


def changes(at: Instance, distance: Tensor, u: Tensor) -> Tensor:
    """Return which networks have other switches at this distance in the direction u, ``(T,)``."""
    both = zip(at_distance(at, distance, u).switches(), at.switches(), strict=True)
    return torch.stack([(new != old).flatten(1).any(-1) for new, old in both]).any(0)


def to_nearest_boundary(at: Instance) -> Tensor:
    """Return the shortest displacement of first-layer weights to a boundary, ``(T, m)``."""
    squares = at.a.square().sum(-1, keepdim=True)
    z = at.a @ at.W[0]
    nearest = (z.abs() / squares.sqrt()).flatten(1).argmin(-1)
    moved = [torch.zeros_like(w) for w in at.W]
    for t, index in enumerate(nearest.tolist()):
        i, j = divmod(index, z.shape[-1])
        moved[0][t, :, j] = -z[t, i, j] / squares[t, i, 0] * at.a[t, i]
    return flatten(moved)


# ---- SGD


@claim(
    "near-memorization-epoch",
    "an epoch of contractions, in any order, shortens by 2/(n(n+1)) of their sum",
    "certified",
    "Proved; random matrices.",
    hypotheses=("A_k symmetric", "0 ≤ A_k ≤ I"),
    variant="without the factor 2/(n(n+1))",
    least=300,
)
def check_epoch(seed: int, count: int = 300) -> Evidence:
    """Compare the loss of length in an epoch of contractions with the bound.

    Products of ``I − A_k``, with random matrices of random rank.
    """
    seen, draw = Evidence(), rng(seed, "data")
    for _ in range(count):
        n, size = draw.integers(1, 6), draw.integers(1, 4)
        B = draw.normal(size=(n, 5, size)) * draw.uniform(0.1, 1, size=(n, 1, 1))
        A = B @ B.transpose(0, 2, 1)
        A /= np.maximum(np.linalg.norm(A, 2, axis=(1, 2)), draw.uniform(0.2, 1.0))[:, None, None]
        delta = first = draw.normal(size=5)
        for matrix in A:
            delta = delta - matrix @ delta
        lost, all_of_it = first @ first - delta @ delta, first @ A.sum(0) @ first
        lost += 1e-12 * first @ first  # rounding of the difference
        ratio = 2 / (n * (n + 1)) * all_of_it / lost
        seen.add(1, wrong=ratio > 1, refuted=all_of_it > lost, ratio=ratio)
    return seen


SGD = (((8, 16, 1), 4, 4), ((8, 16, 1), 4, 2), ((3, 2, 1), 12, 12), ((4, 4, 4, 1), 2, 2))


def near_points(seed: int, count: int) -> Iterator[tuple[Instance, int]]:
    """Yield points of zero error with batch sizes: teachers, and fits of targets at random."""
    for widths, points, batch_size in SGD:
        draws = 1 if len(widths) > 3 else 16
        yield live_teachers(widths, points, seed, count, draws=draws), batch_size
    for batch_size in (4, 2):
        yield interpolants((8, 16), 4, seed, count, draws=16), batch_size


@claim(
    "near-memorization-sgd",
    "from risk O(ε²), shuffled SGD reaches O(ε⁴) in O(log 1/ε) epochs within 2ε",
    "certified",
    "Proved, with constants; descents run for as many epochs as it asks for.",
    hypotheses=(
        "training error 0 at W*",
        "scalar output",
        "B divides N",
        "ξ ≤ 1",
        "2ε < ρ_s",
        "η ≤ B / max |J_B|²",
    ),
    uses=("near-memorization-epoch", "near-memorization-kernel"),
    variant="SGD never ends farther from W* than it started",
    least=25,
)
def check_sgd(seed: int, count: int = 8) -> Evidence:
    """Run the epochs that the proposition asks for, and compare with its three bounds.

    Teachers, and networks that fit targets at random. Half of the starts are in a random direction,
    the others near the kernel of J, in one in which the descent overshoots. An instance counts if
    400 epochs are enough.
    """
    seen = Evidence()
    for at, batch_size in near_points(seed, count):
        points = at.a.shape[-2]
        largest, least, _, batch, K, _ = consts = constants(at, batch_size)
        n = points // batch_size
        distance = 0.5 * consts.reach(n)
        start = at_distance(at, distance, turn_odd(at, distance, directions(at, seed), times=2))
        zeta = least / (batch * n * (n + 1))  # for the step B / max |J_B|²
        xi = 8 * largest.sqrt() * K * n**2 * (n + 1) * distance / least
        epochs = torch.ceil((1 / xi).log() / zeta)
        usable, epochs = epochs <= 400, epochs.clamp(max=400).long()
        loss, far = descent(start, at, batch_size / batch, batch_size, int(epochs.max()))
        end, ending = (record.gather(0, epochs[None])[0] for record in (loss, far))
        on_the_way = torch.arange(len(far))[:, None] <= epochs
        low = 2 * K**2 * (1 + 8 * largest / least * n**2 * (n + 1)) ** 2
        ratios = torch.stack(
            [
                loss[0] / (0.57 * largest * distance**2 / points),
                end / (low * distance**4 / points),
                (far * on_the_way).amax(0) / (distance * (1 + xi * (1 - xi.log()))),
            ]
        ).amax(0)
        farther = usable & (ending > distance * (1 + 1e-11))
        seen.add(usable, wrong=ratios > 1, refuted=farther, ratio=ratios)
    return seen


class PointLoss(NamedTuple):
    """A loss g of the distance t of an output from its target, least at 0, with g''(0) = 1.

    Attributes:
        value: g.
        slope: g', written out by hand.
        bend: τ, with ``|g''(t) − 1| ≤ τ|t|`` for ``|t| ≤ 0.1``.
    """

    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]
    bend: float


POINT_LOSSES = (
    PointLoss(lambda t: t.cosh().log(), torch.tanh, 4 / math.sqrt(27)),
    PointLoss(lambda t: t.expm1() - t, torch.expm1, math.exp(0.1)),
)


@claim(
    "near-memorization-losses",
    "the same for losses with g'' > 0 at the targets, with constants",
    "certified",
    "Proved; descents on two losses with a factor for each data point, one of them lopsided.",
    hypotheses=(
        "error 0 at W*, scalar output, B divides N",
        "|g_i''(f_i + t) − γ_i| ≤ τ|t| for |t| ≤ t_0, γ_i > 0",
        "ξ ≤ 1",
        "2ε < ρ_s and 17|J|ε ≤ 8 t_0",
        "η ≤ B / max |Γ^½ J_B|²",
    ),
    uses=("near-memorization-sgd",),
    variant="the bounds of the squared error",
    least=40,
)
def check_losses(seed: int, count: int = 8) -> Evidence:
    """Run shuffled SGD on other losses, and compare with the three bounds.

    Half of the starts are where the risk is largest, in the others the descent overshoots. The
    variant is the first bound without the largest factor, which is 3.
    """
    seen, draw = Evidence(), torch_generator(seed, "shuffling")
    for (at, batch_size), loss in zip(near_points(seed, count), POINT_LOSSES * 3, strict=True):
        N = at.a.shape[-2]
        n, factor = N // batch_size, 0.5 + 2.5 * (torch.arange(N) % 2)
        J, K, radius = frozen_jacobian(*at[:3]), *constants(at)[4:]
        largest, top = torch.linalg.matrix_norm(J, ord=2), factor.max()
        weighted = factor.sqrt()[:, None] * J
        singular = torch.linalg.svdvals(weighted).square()
        least = torch.where(singular > 1e-16 * singular[:, :1], singular, torch.inf).amin(-1)
        rows = weighted.square().sum(-1).sort(descending=True).values[:, :batch_size].sum(-1)
        batch = torch.minimum(rows, singular[:, 0])
        L = top * K + 0.5 * top * loss.bend * largest**2
        per_distance = 8 * largest * L * n**2 * (n + 1) / least
        distance = 0.5 * torch.stack([radius / 2, 1 / per_distance, 0.8 / 17 / largest]).amin(0)
        xi, zeta = per_distance * distance, least / (batch * n * (n + 1))
        epochs = torch.ceil((1 / xi).log() / zeta)
        usable, epochs = epochs <= 400, epochs.clamp(max=400).long()
        steepest = torch.linalg.svd(weighted)[2][:, 0]
        overshoot = turn_odd(at, distance, directions(at, seed), times=2)
        start = at_distance(at, distance, torch.where(odd(at), overshoot, steepest))
        risk, far = descent_on(
            loss, factor, start, at, batch_size / batch, batch_size, epochs, draw
        )
        C = K + 8 * largest**2 * L * n**2 * (n + 1) / least
        ratios = torch.stack(
            [
                risk[0] / (0.57 * top * largest**2 * distance**2 / N),
                risk.gather(0, epochs[None])[0] / (2.2 * top * C**2 * distance**4 / N),
                (far * (torch.arange(len(far))[:, None] <= epochs)).amax(0)
                / (distance * (1 + xi * (1 - xi.log()))),
            ]
        ).amax(0)
        plain = risk[0] > 0.57 * largest**2 * distance**2 / N
        seen.add(usable, wrong=~(ratios <= 1), refuted=usable & plain, ratio=ratios)
    return seen


def descent_on(
    loss: PointLoss,
    factor: Tensor,
    start: Instance,
    origin: Instance,
    rate: Tensor,
    batch_size: int,
    epochs: Tensor,
    draw: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Return the risk and the distance from a point after each epoch of shuffled SGD."""
    rows, point, W = [], flatten(origin.W), start.W
    for _ in range(int(epochs.max()) + 1):
        t = start.at(W).residuals().reshape(start.a.shape[:-1])
        far = (flatten(W) - point).norm(dim=-1)
        rows.append(((factor * loss.value(t)).mean(-1), far))
        order = torch.randperm(start.a.shape[-2], generator=draw)
        for batch in order.split(batch_size):
            part = Instance(start.network, W, start.a[:, batch], start.f[:, batch])
            t = part.residuals().reshape(len(rate), -1)
            slope = (factor[batch] * loss.slope(t)).unsqueeze(-1)
            g = (frozen_jacobian(*part[:3]).mT @ slope)[..., 0] / batch_size
            W = unflatten(start.network, flatten(W) - rate[:, None] * g)
    risk, far = zip(*rows, strict=True)
    return torch.stack(risk), torch.stack(far)


@claim(
    "near-memorization-exact",
    "where J has full row rank, gradient descent converges to error 0 at a linear rate",
    "certified",
    "Proved, with constants; the risk compared with its bound at every step.",
    hypotheses=("rank J = N", "ε + 4|e_0|/σ < min(ρ_s, σ/2K)", "η ≤ N/(3|J|²)"),
    variant="the same rate, with the least positive singular value, whatever the rank of J",
    least=18,
)
def check_exact(seed: int, count: int = 8, steps: int = 100) -> Evidence:
    """Compare the risk with its geometric bound at every step, and the way with ``4|e_0|/σ``.

    Only while the risk is far above rounding. The variant is tried at copies, in the kernel of J.
    """
    seen = Evidence()
    sizes = ((8, 16, 1), 4), ((6, 10, 1), 3), ((4, 4, 4, 1), 2)
    teachers = [live_teachers(widths, points, seed, count) for widths, points in sizes]
    for at in (*teachers, interpolants((8, 16), 4, seed, count)):
        consts = constants(at)
        ratio = torch.maximum(*against_geometric(at, consts, seed, steps))
        seen.add(consts.rank == at.a.shape[-2], wrong=ratio > 1, ratio=ratio)
    copies = idle_copies(seed, count)
    seen.add(refuted=against_geometric(copies, constants(copies), seed, 600)[0] > 1)
    return seen


def against_geometric(
    at: Instance, consts: Constants, seed: int, steps: int
) -> tuple[Tensor, Tensor]:
    """Return the largest ratio of the risk to its bound after step 0, and of the way to its."""
    points, sigma = at.a.shape[-2], consts.least.sqrt()
    room = torch.minimum(consts.radius, sigma / (2 * consts.lipschitz))
    distance = 0.9 * room / (1 + 4.5 * consts.largest.sqrt() / sigma)
    start = at_distance(at, distance, directions(at, seed))
    rate = points / (3 * consts.largest)
    loss, way = descent(start, start, rate, points, steps)
    t = torch.arange(1, steps + 1)[:, None]
    above = loss[1:] / (loss[0] * (1 - rate * consts.least / (4 * points)) ** t)
    limit = 4 * (2 * points * loss[0]).sqrt() / sigma
    return (above * (loss[1:] > 1e-26)).amax(0), way.amax(0) / limit


@claim(
    "near-memorization-shuffled",
    "where the rank of J is constant, shuffled SGD converges to error 0 at a linear rate, too",
    "certified",
    "Proved, with constants; the risk compared with its bound after every epoch.",
    hypotheses=(
        "rank J(V) constant for |V − W*| < ρ ≤ min(ρ_s, σ/2K)",
        "B divides N",
        "η ≤ 4B/(9|J|²)",
        "ε ≤ ζρ/10 and ε ≤ σ²/(96 n²(n+1)|J|K)",
    ),
    uses=("near-memorization-epoch", "near-memorization-generic"),
    variant="the same where the rank drops at W*, at copies",
    least=35,
)
def check_shuffled(seed: int, count: int = 8, epochs: int = 60) -> Evidence:
    """Compare the risk with its bound after every epoch, and the way with 5ε/ζ.

    Teachers, some with more data than J has rank, and fits of targets at random, with one, two and
    four batches. The variant is tried at copies, in the kernel of J, for as many epochs as refute
    it.
    """
    seen = Evidence()
    more = live_teachers((2, 3, 1), 12, seed, count, draws=16), 6
    for at, batch_size in (*near_points(seed, count), more):
        ratio, same = against_linear(at, batch_size, directions(at, seed), seed, epochs)
        seen.add(same, wrong=ratio > 1, ratio=ratio)
    copies = idle_copies(seed, count)
    u = directions(copies, seed)[1::2]  # those in the kernel of J
    late, _ = against_linear(copies.rows(slice(1, None, 2)), 12, u, seed, 6000)
    seen.add(refuted=late > 1)
    return seen


def against_linear(
    at: Instance, batch_size: int, u: Tensor, seed: int, epochs: int
) -> tuple[Tensor, Tensor]:
    """Return the largest ratio to the bounds, and whether J has the same rank at points around."""
    largest, least, rank, _, K, radius = consts = constants(at)
    points = at.a.shape[-2]
    n, norm, sigma = points // batch_size, largest.sqrt(), least.sqrt()
    rate = 4 * batch_size / (9 * largest)
    zeta = rate * least / (4 * batch_size * n * (n + 1))
    room = torch.minimum(radius, sigma / (2 * K))
    distance = torch.minimum(zeta * room / 10, least / (96 * n**2 * (n + 1) * norm * K))
    start = at_distance(at, distance, u)
    loss, far = descent(start, start, rate, batch_size, epochs)
    E = torch.arange(epochs + 1)[:, None]
    bound = 9 * largest / (8 * points) * (1 - zeta / 2) ** (2 * E) * distance**2
    above = torch.where(loss > 1e-28, loss / bound, 0.0).amax(0)
    around = at_distance(at, 0.9 * room, directions(at, seed + 1))
    same = rank_at(frozen_jacobian(*around[:3]), consts) == rank
    return torch.maximum(above, far.amax(0) * zeta / (5 * distance)), same


@claim(
    "near-memorization-generic",
    "near almost every zero-error point no exponent is special: the risk goes to 0",
    "certified",
    "Proved; the ratio of gradient and error compared with σ.",
    hypotheses=("rank J constant near W*", "e(W) ≠ 0"),
    uses=("near-memorization-exact",),
    variant="|Jᵀe| ≥ 0.9 σ |e| also where the rank of J drops at W*, at copies",
    least=30,
)
def check_generic(seed: int, count: int = 10) -> Evidence:
    """Compare ``|Jᵀe| / |e|`` near teachers with σ, in the kernel's directions and others.

    More data than J has rank, in half of the cases; and the rank of J at points around. An instance
    counts if the error is far above rounding.
    """
    seen = Evidence()
    teachers = [live_teachers(widths, points, seed, count) for widths, points in ARCHITECTURES]
    for at in (*teachers, copies := idle_copies(seed, count)):
        consts, u = constants(at), directions(at, seed)
        sigma = consts.least.sqrt()
        distance = 0.05 * torch.minimum(consts.radius, sigma / consts.lipschitz)
        nearby = at_distance(
            at, distance, turn_odd(at, distance, u, times=1) if at is copies else u
        )
        J, e = frozen_jacobian(*nearby[:3]), nearby.residuals().flatten(1)
        ratio = 0.9 * sigma * e.norm(dim=-1) / (J.mT @ e.unsqueeze(-1)).squeeze(-1).norm(dim=-1)
        far = e.norm(dim=-1) > 1e-12
        if at is copies:
            seen.add(refuted=(ratio > 1) & far)
        else:
            seen.add(far, wrong=(ratio > 1) | (rank_at(J, consts) != consts.rank), ratio=ratio)
    return seen


def rank_at(J: Tensor, consts: Constants) -> Tensor:
    """Return how many singular values are above a tenth of σ, ``(T,)``."""
    return (torch.linalg.svdvals(J) > 0.1 * consts.least.sqrt().unsqueeze(-1)).sum(-1)


@claim(
    "near-memorization-stall",
    "where second-order terms leave the range of J, the risk stays of order ε⁴ for c/ε² steps",
    "certified",
    "Proved for any order of the batches, with constants; shuffled descents at copied units.",
    hypotheses=("those of the proposition on SGD", "u in the kernel of J", "ξ ≤ c_0/(16K)"),
    uses=("near-memorization-sgd",),
    variant="the risk stays wherever second-order terms are not zero, at teachers",
    least=20,
)
def check_stall(seed: int, count: int = 24) -> Evidence:
    """Follow shuffled SGD at copies for the steps that the proposition gives, 1500 at most.

    c_0 is measured from the outputs at the start, projected on the left kernel of J; for the
    variant, at teachers, without the projection. The risk has to stay between its two bounds.
    """
    seen = Evidence()
    copies = idle_copies(seed, count)
    teachers = live_teachers((8, 16, 1), 4, seed, count, draws=64)
    for every, batch_size in ((copies, 12), (copies, 6), (teachers, 4)):
        at, u = every.rows(slice(1, None, 2)), directions(every, seed)[1::2]  # in the kernel of J
        largest, least, _, batch, K, radius = constants(at, batch_size)
        points, norm = at.a.shape[-2], largest.sqrt()
        n, project = points // batch_size, every is copies
        J = frozen_jacobian(*at[:3])
        per_distance = 8 * norm * K * n**2 * (n + 1) / least
        # c_0 hardly depends on ε, as e is of second order: from it the largest ε allowed
        near = 0.01 * torch.minimum(radius, 1 / per_distance)
        level = _left_of_range(at_distance(at, near, u), J, project) / near**2
        distance = 0.9 * torch.minimum(radius / 2, level / (16 * K) / per_distance)
        start = at_distance(at, distance, u)
        level = _left_of_range(start, J, project) / distance**2
        met = per_distance * distance <= level / (16 * K)
        rate, C = batch_size / batch, 2 * K * (1 + norm * per_distance / K)
        steps = level * batch_size / (16 * rate * K**2 * C * distance**2)
        epochs = (steps / n).floor().clamp(max=1500 // n).long()
        loss, _ = descent(start, at, rate, batch_size, int(epochs.max()))
        within = torch.arange(len(loss))[:, None] <= epochs
        lowest = torch.where(within, loss, torch.inf).amin(0)
        ratio = level**2 * distance**4 / (8 * points) / lowest
        high = (torch.where(within, loss, 0.0) > C**2 * distance**4 / (2 * points)).any(0)
        if project:
            seen.add(met, wrong=(ratio > 1) | high, ratio=ratio)
        else:
            seen.add(refuted=ratio > 1)
    return seen


def _left_of_range(at: Instance, J: Tensor, project: bool) -> Tensor:
    """Return ``|Πe|``, with Π on the left kernel of J, or ``|e|`` without the projection."""
    e = at.residuals()
    kept = e - (J @ pulled_back(J, e).unsqueeze(-1)).squeeze(-1) if project else e
    return kept.norm(dim=-1)


@claim(
    "near-memorization-path",
    "along the gradient the loss is convex near zero error, though its Hessian is singular",
    "certified",
    "Proved; the exact Hessian along the exact gradient.",
    hypotheses=("W in the ball of ρ_s around a zero-error point", "∇ℓ(W) ≠ 0", "a positive bound"),
    uses=("eq-17", "near-memorization-kernel"),
    variant="the same bound in every direction",
    least=40,
)
def check_path(seed: int, count: int = 20) -> Evidence:
    """Compare the curvature along the gradient, in the exact Hessian, with its lower bound.

    At random points of the ball; where the bound is not positive, or the rank of J has changed, an
    instance does not count.
    """
    seen = Evidence()
    for widths, points in (((8, 16, 1), 4), ((3, 4, 1), 20), ((4, 4, 4, 1), 2)):
        at = live_teachers(widths, points, seed, count)
        consts = constants(at)
        distance = 0.3 * torch.minimum(consts.radius, consts.least.sqrt() / consts.lipschitz)
        nearby = at_distance(at, distance, directions(at, seed))
        J, e = frozen_jacobian(*nearby[:3]), nearby.residuals().flatten(1)
        least = torch.linalg.svdvals(J).gather(1, (consts.rank - 1)[:, None])[:, 0]
        bound = (least.square() - consts.lipschitz * e.norm(dim=-1)) / points
        H, g = frozen_hessian(*nearby), flatten(gradient(*nearby))
        along = curvature_along(g, torch.einsum("tpq,tq->tp", H, g)) / 2
        use = (bound > 0) & (rank_at(J, consts) == consts.rank)
        seen.add(
            use,
            wrong=along < bound * (1 - 1e-9),
            refuted=use & (least_eigenvalue(H) < bound - 1e-9),
            ratio=bound / along,
        )
    return seen


unchecked(
    __name__,
    "fig-near-memorization",
    "measured exponents of the risk before and after, against N and B",
    "observed",
    "Twenty zero-error points, seven distances over three decades, for each setting.",
    uses=("near-memorization-sgd",),
)
