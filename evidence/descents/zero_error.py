r"""Points of zero training error, and SGD near them.

At such a point the frozen Hessian of the training error is ``JᵀJ / N``, with J the derivatives of
all outputs by all weights. How SGD behaves around it depends on the extreme positive eigenvalues of
``JᵀJ = Σ J_iᵀ J_i``, on a Lipschitz constant K of J, and on the radius ρ_s of a ball in which no
switch changes. They are computed here, and descents that start in that ball are recorded.
"""

import math
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pscore.certificate import layer_coupling, spectral_norms
from pscore.curvature import curvature_along, flatten, frozen_hessian, frozen_jacobian, unflatten
from pscore.descent import Problem, State, descend_shuffled
from pscore.exact.gauss_newton import GaussNewton
from pscore.experiments.watch import Columns, EntryWatch, long_table, trial_table
from pscore.instance import Instance, joined
from pscore.network import ReLUNetwork, Weights
from pscore.seeds import torch_generator

KINDS = ("teacher", "copies")
_ZERO = 1e-9  # singular values below this share of the largest count as zero


class Constants(NamedTuple):
    """What the behaviour near zero-error points depends on, each ``(T,)``.

    Attributes:
        largest: the largest eigenvalue of ``Σ ν_i ν_iᵀ``, that is ``|J|²``.
        least: the least positive one, ``σ²``.
        rank: of J.
        batch: a bound of ``|J_B|²`` over all batches B.
        lipschitz: K, with ``|J(V) − J(W)| ≤ K |V − W|`` in the ball; J is that of all data.
        radius: ρ_s; no switch changes in the open ball. Exact for one hidden layer, else a
            certified lower bound.
    """

    largest: Tensor
    least: Tensor
    rank: Tensor
    batch: Tensor
    lipschitz: Tensor
    radius: Tensor

    def reach(self, batches: int) -> Tensor:
        """The largest distance ε at which the proposition on SGD speaks of n batches an epoch."""
        slope = 8 * self.largest.sqrt() * self.lipschitz * batches**2 * (batches + 1)
        return torch.minimum(self.radius / 2, self.least / slope)

    def level(self, distance: Tensor | float, points: int) -> Tensor:
        """``K² ε⁴ / (8N)``: the risk that the second-order remainder can have at distance ε."""
        return self.lipschitz.square() * distance**4 / (8 * points)


def zero_error_points(
    kind: str, widths: Sequence[int], seeds: Sequence[int], points: int, *, draws: int = 1
) -> Instance:
    """Draw networks with normal weights and inputs; the targets are their own outputs.

    Args:
        kind: ``"teacher"`` for that, or ``"copies"``: one hidden layer, of which only the first
            unit has weights out of it; all others have the same weights into them, and are on for
            n_0 points at least at which the first is off.
        widths: ``(n_0, …, n_{H+1})``.
        seeds: one for each network.
        points: N.
        draws: networks drawn for each seed; the one with the largest `Constants.reach` is kept.

    Raises:
        ValueError: for an unknown kind, copies in more than one hidden layer, or too few draws to
            find such copies.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}; got {kind!r}")
    network = ReLUNetwork(tuple(widths), output_relu=False)
    if kind == "copies" and network.depth != 1:
        raise ValueError(f"widths must have one hidden layer for copies; got {network.widths}")
    drawn = []
    for seed in seeds:
        draw = torch_generator(seed, "data")
        a = torch.randn(draws, points, network.widths[0], generator=draw, dtype=torch.float64)
        W = [
            torch.randn(draws, *shape, generator=draw, dtype=a.dtype) / math.sqrt(shape[0])
            for shape in network.shapes
        ]
        if kind == "copies":
            W[0][..., 2:] = W[0][..., 1:2]
            W[1][..., 1:, :] = 0
        candidates = Instance(network, tuple(W), a, network(W, a))
        if kind == "copies":
            on = (a @ W[0])[..., :2] > 0
            alone = (on[..., 1] & ~on[..., 0]).sum(-1) >= network.widths[0]
            candidates = candidates.rows(alone.nonzero()[:, 0])
            if not alone.any():
                raise ValueError(f"draws or points must be larger to find copies; got {draws}")
        best = constants(candidates).reach(1).argmax() if draws > 1 else 0
        drawn.append(candidates.rows(torch.tensor([int(best)])))
    return joined(drawn)


def constants(at: Instance, batch_size: int | None = None) -> Constants:
    """Compute the constants of zero-error points; see `Constants`.

    Args:
        at: the points, with a scalar output if the batches are smaller than the data.
        batch_size: B; by default N.
    """
    J = frozen_jacobian(at.network, at.W, at.a)
    singular = torch.linalg.svdvals(J)
    positive = singular > _ZERO * singular[:, :1]
    rank = positive.sum(-1)
    squares = singular.square()
    largest, least = squares[:, 0], squares.gather(1, (rank - 1).clamp(min=0)[:, None])[:, 0]
    rows = J.square().sum(-1).sort(descending=True).values
    batch = torch.minimum(largest, rows[:, : batch_size or rows.shape[1]].sum(-1))
    radius = cell_radius(at)
    return Constants(largest, least, rank, batch, jacobian_lipschitz(at, radius), radius)


def jacobian_lipschitz(at: Instance, radius: Tensor) -> Tensor:
    """Return K, a Lipschitz constant of the frozen J on balls of the given radii, ``(T,)``."""
    gain = at.network.gain
    if at.network.depth == 1:
        return gain * torch.linalg.matrix_norm(at.a, ord=2)
    norms = spectral_norms(at.W) + radius.unsqueeze(-1)
    return gain * torch.linalg.matrix_norm(at.a) * layer_coupling(norms)


def cell_radius(at: Instance) -> Tensor:
    """Return ρ_s: in the open ball of this radius around W no switch changes, ``(T,)``.

    With one hidden layer this is the distance to the nearest change, ``min |w_j · a_i| / |a_i|``.
    With more, a lower bound, certified in ball arithmetic, that a bisection cannot improve.
    """
    if at.network.depth == 1:
        z = (at.a @ at.W[0]).abs() / at.a.norm(dim=-1, keepdim=True)
        return z.amin((-2, -1))
    certain = [GaussNewton(*at.one(t), 0.0).cell_radius() for t in range(at.size)]
    return at.a.new_tensor(certain)


def scaling_directions(network: ReLUNetwork, weights: Sequence[Tensor]) -> Tensor:
    """Return the directions in which one hidden unit is scaled: ``(w, −v)`` for each.

    The weights into a unit times α and those out of it by α leave the output as it is; this is
    the derivative at α = 1.

    Args:
        network: with ReLUs, leaky or not.
        weights: matrices ``(n_i, n_{i+1})``, or a stack of them.

    Returns:
        ``(…, n_1 + … + n_H, m)``, unit by unit, layer by layer; columns as `flatten` orders them.
    """
    W = network.checked_weights(weights)
    rows = []
    for k in range(network.depth):
        for j in range(network.widths[k + 1]):
            moved = [torch.zeros_like(matrix) for matrix in W]
            moved[k][..., :, j] = W[k][..., :, j]
            moved[k + 1][..., j, :] = -W[k + 1][..., j, :]
            rows.append(flatten(moved))
    return torch.stack(rows, dim=-2)


def starts(at: Instance, distances: Tensor, seeds: Sequence[int]) -> Weights:
    """Return points at given distances, in one random direction for each seed.

    Args:
        at: T zero-error points.
        distances: ``(D,)``.
        seeds: T of them.

    Returns:
        a stack of T D, all distances of the first point first.
    """
    flat = flatten(at.W)
    u = torch.stack(
        [
            torch.randn(
                flat[0].shape, generator=torch_generator(s, "initialization"), dtype=flat.dtype
            )
            for s in seeds
        ]
    )
    u = u / u.norm(dim=-1, keepdim=True)
    return unflatten(at.network, (flat[:, None] + distances[:, None] * u[:, None]).flatten(0, 1))


def run_near(
    seeds: Sequence[int],
    *,
    kind: str = "teacher",
    widths: Sequence[int] = (8, 16, 1),
    points: int = 8,
    batch_size: int = 8,
    step_share: float = 1.0,
    epochs: int = 1000,
    nearest: float = 1e-6,
    farthest: float = 1e-3,
    distances: int = 7,
    draws: int = 64,
    rows: int = 60,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Start shuffled SGD, without weight decay, near zero-error points, and record the risk.

    Args:
        seeds: the trials' seeds; one point and one direction for each.
        kind: as `zero_error_points` takes it.
        widths: likewise.
        points: N.
        batch_size: B, a divisor of N.
        step_share: the step is this share of ``B / max |J_B|²``, below which no step of the
            linearised SGD lengthens the way to the point.
        epochs: how long each descent is.
        nearest: the least ε.
        farthest: the largest ε.
        distances: how many ε, in geometric progression.
        draws: as `zero_error_points` takes it.
        rows: of a trajectory, about; epochs in geometric progression.

    Returns:
        one row for each seed and ε, with the columns that `trials` names, where *entry* is t*, the
        end of the first epoch with a risk of at most ``K² ε⁴ / (8N)``; and ``distance``
        (ε), ``level``, ``loss_least``, the distances from the point at t*, at the end and at most,
        ``same_switches``, whether no switch was seen to change, and the `Constants`. The
        trajectories have the distance from the point as well.

    Raises:
        ValueError: for bad parameters.
        FloatingPointError: if a descent diverges.
    """
    if not 0 < nearest <= farthest < math.inf or distances < 1:
        raise ValueError(f"nearest and farthest must be 0 < ε ≤ ε'; got {nearest} and {farthest}")
    started = time.perf_counter()
    at = zero_error_points(kind, widths, seeds, points, draws=draws)
    given = constants(at, batch_size)
    epsilon = torch.from_numpy(np.geomspace(nearest, farthest, distances)).to(at.a)
    each = torch.arange(len(seeds)).repeat_interleave(distances)
    many, wide = at.rows(each), Constants(*(value[each] for value in given))
    problem, states = descend_shuffled(
        at.network,
        starts(at, epsilon, seeds),
        many.a,
        many.f,
        weight_decay=0.0,
        learning_rate=step_share * batch_size / wide.batch,
        batch_size=batch_size,
        epochs=epochs,
        seeds=[seeds[int(t)] for t in each],
    )
    distance = epsilon.repeat(len(seeds))
    level = wide.level(distance, points)
    logged = {0, *np.geomspace(1, max(epochs, 1), rows).astype(int).tolist(), epochs}
    columns, log = _follow(problem, many, states, level, logged)
    labels = {"seed": [seeds[int(t)] for t in each], "start": list(range(distances)) * len(seeds)}
    trajectories = long_table(labels, log)
    more = {"distance": distance, "level": level, **wide._asdict()}
    table = trial_table(labels, {**columns, **more}, trajectories)
    table["seconds"] = (time.perf_counter() - started) / len(table)
    if not np.isfinite(table["loss_final"]).all():
        raise FloatingPointError(f"a descent diverged; choose a step_share below {step_share}")
    return table, trajectories


def _follow(
    problem: Problem, at: Instance, states: Iterable[State], level: Tensor, logged: set[int]
) -> tuple[Columns, list[Columns]]:
    """Follow the descents from near W: the columns of the trials, and a row a logged epoch."""
    watch = EntryWatch()
    rows: list[Columns] = []
    least, largest = torch.full_like(level, math.inf), torch.zeros_like(level)
    same = torch.ones_like(level, dtype=torch.bool)
    point, switches = flatten(at.W), at.switches()
    for epoch, state in enumerate(states):
        loss, far = problem.loss(state), (flatten(state.W) - point).norm(dim=-1)
        watch.look(state.step, loss <= level, loss=loss, far=far)
        least, largest = torch.minimum(least, loss), torch.maximum(largest, far)
        if epoch in logged:
            now = at.at(state.W)
            for S, before in zip(now.switches(), switches, strict=True):
                same &= (S == before).flatten(1).all(-1)
            g = flatten(state.gradient)
            curvature = curvature_along(g, torch.einsum("tpq,tq->tp", frozen_hessian(*now), g))
            rows.append({"step": state.step, "loss": loss, "curvature": curvature, "far": far})
    columns = {
        "loss_initial": rows[0]["loss"],
        "loss_entry": watch.measured["loss"],
        "loss_final": loss,
        "test_accuracy": math.nan,
        "entry_step": watch.step,
        "loss_least": least,
        "far_entry": watch.measured["far"],
        "far_final": far,
        "far_largest": largest,
        "same_switches": same,
        "steps": state.step,
    }
    return columns, rows


def slopes(table: pd.DataFrame, column: str) -> pd.Series:
    """Return for each seed the slope of a column against ε, both logarithmic, by least squares."""
    return pd.Series(
        {
            seed: np.polyfit(np.log(rows["distance"]), np.log(rows[column]), 1)[0]
            for seed, rows in table.groupby("seed")
        }
    )
