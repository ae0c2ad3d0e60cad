r"""Critical points of the regularised loss of small networks, by a second-order method.

Gradient descent finds minima, and slowly. To meet critical points of every kind, saddles too,
this solves ``∇ℓ_λ(W) = 0`` by the Levenberg–Marquardt method: with g the gradient and A the frozen
Hessian, the step is ``−(A² + μ I)^{-1} A g``, which is Newton's for μ → 0. A step is kept only if
it makes ``‖g‖`` smaller; the switches, and with them A, are those of the point reached. A whole
stack of networks, each with its own data if wanted, takes its steps together.

`critical_points` is the way from starts to the points that a check may count; `downhill` leads
some of the starts towards minima first.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pscore.curvature import flatten, frozen_hessian, unflatten
from pscore.instance import Instance
from pscore.loss import checked, gradient, regularized_loss, residuals_and_gradient
from pscore.network import ReLUNetwork, Weights, forward

_CONVERGED = 1e-13  # below this, rounding decides what a step does to the gradient
_ZERO = 1e-8  # a unit that is to be idle, with no weights at all, gets there only in the limit


class CriticalPoints(NamedTuple):
    """Non-zero critical points at which a loss is certain to be differentiable.

    Attributes:
        points: the networks, with their weights and data.
        slope: the norm of the gradient at each, ``(T,)``.
        kept: which of the starts led to them, a mask; a check adds it to its `Evidence`.
        zeros: how many starts ended at W = 0.
    """

    points: Instance
    slope: Tensor
    kept: Tensor
    zeros: int

    @property
    def starts(self) -> int:
        """How many runs there were."""
        return len(self.kept)


def critical_points(
    starts: Instance,
    weight_decay: float,
    *,
    steps: int = 30,
    least_norm: float = 1e-2,
    tolerance: float = 1e-6,
    sharing: int = 1,
    gradient_at: Callable[[Instance], Tensor] | None = None,
    hessian_at: Callable[[Instance], Tensor] | None = None,
) -> CriticalPoints:
    """Go from each start to a critical point, and keep those that count.

    Kept are points whose gradient's norm is below 1e-10, with ``‖W‖`` above ``least_norm`` and
    with a loss that is certain to be differentiable. Weights below 1e-8 are set to zero before.

    Args:
        starts: a stack of networks.
        weight_decay: λ, not negative.
        steps: how many of the second-order method to try.
        least_norm: what counts as not zero.
        tolerance: as for `is_differentiable`.
        sharing: how many starts in turn share their data. Of those one is kept for each value of
            ``ℓ_λ`` to 1e-8: points that differ in value are no copies of each other under
            exchanges of units or along a flat arc.
        gradient_at: of another loss than ``ℓ_λ``, ``(T, m)`` for a stack of T.
        hessian_at: its Hessian with switches held, ``(T, m, m)``.
    """
    network = starts.network
    slope_at = gradient_at or (lambda at: flatten(gradient(*at, weight_decay)))
    bend_at = hessian_at or (lambda at: frozen_hessian(*at, weight_decay))

    def at(point: Tensor, rows: Tensor | slice) -> Instance:
        return starts.rows(rows).at(unflatten(network, point))

    point, _ = stationary_points(
        flatten(starts.W),
        lambda point, rows: slope_at(at(point, rows)),
        lambda point, rows: bend_at(at(point, rows)),
        steps=steps,
    )
    ends = starts.at(unflatten(network, point.where(point.abs() > _ZERO, 0.0)))
    slope, norm = slope_at(ends).norm(dim=-1), flatten(ends.W).norm(dim=-1)
    smooth = torch.as_tensor(is_differentiable(network, ends.W, ends.a, tolerance))
    kept = (slope < 1e-10) & (norm > least_norm) & smooth
    if sharing > 1:
        kept = _distinct(kept, regularized_loss(*ends, weight_decay), sharing)
    return CriticalPoints(ends.rows(kept), slope[kept], kept, int((norm == 0).sum()))


def _distinct(kept: Tensor, values: Tensor, sharing: int) -> Tensor:
    """Keep only the first point of each value among as many rows in turn as share their data."""
    result = torch.zeros_like(kept)
    for i in kept.nonzero().flatten().tolist():
        same = slice(i - i % sharing, i)
        before = values[same][result[same]]
        result[i] = bool(((values[i] - before).abs() > 1e-8).all())
    return result


def downhill(
    starts: Instance,
    weight_decay: float,
    *,
    led: Tensor | None = None,
    steps: int = 150,
    gradient_at: Callable[[Instance], Tensor] | None = None,
) -> Instance:
    """Lead networks towards minima by gradient descent with the rate 0.1.

    No step is longer than 0.1: large gradients lead nowhere else.

    Args:
        starts: a stack of networks.
        weight_decay: λ, not negative.
        led: which of them move, ``(T,)``; all without it.
        steps: how many.
        gradient_at: as for `critical_points`.
    """
    slope_at = gradient_at or (lambda at: flatten(gradient(*at, weight_decay)))
    rate = 0.1 * (torch.ones(starts.size) if led is None else led).to(starts.a).unsqueeze(-1)
    at = starts
    for _ in range(steps):
        g = slope_at(at)
        step = rate / g.norm(dim=-1, keepdim=True).clamp(min=1) * g
        at = at.at(unflatten(at.network, flatten(at.W) - step))
    return at


def find_critical_points(
    network: ReLUNetwork,
    weights: Sequence[Tensor],
    inputs: Tensor,
    targets: Tensor,
    weight_decay: float,
    *,
    steps: int = 100,
) -> tuple[Weights, Tensor]:
    """Return where the stack ends, and the norm of the gradient there.

    Not every start leads to a critical point: ``‖∇ℓ_λ‖`` has other minima, and it jumps at switch
    boundaries, where a run can get stuck. Callers keep the runs whose norm is small enough.

    Args:
        network: the architecture.
        weights: a stack of starts, ``(T, n_i, n_{i+1})``.
        inputs: ``(N, n_0)`` or ``(T, N, n_0)``.
        targets: ``(N,)`` or ``(N, n_{H+1})``, or with an axis T in front.
        weight_decay: λ, not negative.
        steps: how many steps to try, at least 0.

    Returns:
        the weights, ``(T, n_i, n_{i+1})``, and ``‖∇ℓ_λ‖``, ``(T,)``.

    Raises:
        ValueError: for weights that are no stack, a negative number of steps, or bad arrays.
    """
    W, a, f = checked(network, weights, inputs, targets, weight_decay)
    if W[0].ndim != 3:
        raise ValueError("weights must be a stack of starts, with the shapes (T, n_i, n_{i+1})")
    if steps < 0:
        raise ValueError(f"steps must be at least 0; got {steps}")

    def gradient_at(point: Tensor, rows: Tensor | slice) -> Tensor:
        data = (_rows_of(a, rows), _rows_of(f, rows))
        stack = unflatten(network, point)
        return flatten(residuals_and_gradient(network, stack, *data, weight_decay)[1])

    def hessian_at(point: Tensor, rows: Tensor) -> Tensor:
        data = (_rows_of(a, rows), _rows_of(f, rows))
        return frozen_hessian(network, unflatten(network, point), *data, weight_decay)

    point, norm = stationary_points(flatten(W), gradient_at, hessian_at, steps=steps)
    return unflatten(network, point), norm


def stationary_points(
    point: Tensor,
    gradient_at: Callable[[Tensor, Tensor | slice], Tensor],
    hessian_at: Callable[[Tensor, Tensor], Tensor],
    *,
    steps: int,
) -> tuple[Tensor, Tensor]:
    """Solve ``g(W) = 0`` for a stack of problems by the method above, whatever their losses.

    Args:
        point: a stack of starts ``(T, m)``.
        gradient_at: g at weights ``(t, m)`` of the problems that the second argument picks.
        hessian_at: A there, ``(t, m, m)``, symmetric.
        steps: how many steps to try.

    Returns:
        where they end, ``(T, m)``, and ``‖g‖`` there, ``(T,)``.
    """
    point = point.clone()
    g = gradient_at(point, slice(None))
    damping = point.new_full((len(point), 1), 1e-2)
    for _ in range(steps):
        rows = (g.norm(dim=-1) > _CONVERGED).nonzero().flatten()
        if not len(rows):
            break
        here, mu = point[rows], damping[rows]
        values, vectors = torch.linalg.eigh(hessian_at(here, rows))
        along = (vectors.mT @ g[rows].unsqueeze(-1)).squeeze(-1) * values / (values**2 + mu)
        tried = here - (vectors @ along.unsqueeze(-1)).squeeze(-1)
        there = gradient_at(tried, rows)
        better = (there.norm(dim=-1) < g[rows].norm(dim=-1)).unsqueeze(-1)
        point[rows], g[rows] = torch.where(better, tried, here), torch.where(better, there, g[rows])
        damping[rows] = torch.where(better, mu / 10, mu * 4).clamp(1e-20, 1e8)
    return point, g.norm(dim=-1)


def _rows_of(data: Tensor, rows: Tensor | slice) -> Tensor:
    """Return the data of some networks of a stack, or those that all of them share."""
    return data[rows] if data.ndim == 3 else data


def is_differentiable(
    network: ReLUNetwork, weights: Sequence[Tensor], inputs: Tensor, tolerance: float = 1e-6
) -> bool | Tensor:
    """Return whether ``ℓ_λ`` is certain to be differentiable at W, whatever the targets.

    A linear network's is. Any other's is if at every data point each unit passes one of three
    tests: its input is not zero; or it is *idle*, all weights into it and out of it being zero, so
    that nearby it adds only something of second order; or everything that reaches it is zero,
    through units that pass.

    Args:
        network: the architecture.
        weights: matrices ``(n_i, n_{i+1})``, or ``(T, n_i, n_{i+1})`` for a stack.
        inputs: ``(N, n_0)``, or ``(T, N, n_0)``.
        tolerance: how far from zero an activation's input has to be, to count as not zero.

    Returns:
        a bool, or ``(T,)``. False decides nothing: the test is sufficient, not necessary.
    """
    W = network.checked_weights(weights)
    a = network.checked_inputs(inputs, W)
    layers = forward(network, W, a)[0]
    idle = idle_units(network, W)
    passed = []
    for i in range(network.depth + network.output_relu):
        z = layers[i] @ W[i]
        fed_nothing = (layers[i] == 0).all(-1, keepdim=True)
        test = (z.abs() > tolerance) | fed_nothing | (network.negative_slope == 1)
        if i < network.depth:
            test = test | idle[i].unsqueeze(-2)
        passed.append(test.flatten(-2).all(-1))
    result = torch.stack(passed).all(0)
    return bool(result) if result.ndim == 0 else result


def idle_units(network: ReLUNetwork, weights: Sequence[Tensor]) -> list[Tensor]:
    """Return for each hidden layer which units have only zero weights, ``(…, n_i)``."""
    W = network.checked_weights(weights)
    return [(W[i] == 0).all(-2) & (W[i + 1] == 0).all(-1) for i in range(network.depth)]


def has_idle_unit(at: Instance) -> Tensor:
    """Return which networks of a stack have a hidden unit with only zero weights, ``(T,)``."""
    return torch.stack([units.any(-1) for units in idle_units(at.network, at.W)]).any(0)
