r"""From where training ends to the minimum beside it, on kinks or off them, for one hidden layer.

Gradient descent comes near a kink and goes to and fro across it. Here the units' inputs that it has
brought near zero are held at zero, and Newton's method is used along the kinks. A step ends where
the loss begins to rise: inside a piece, or at the kink of a unit, which is held from then on. Where
a multiplier is outside (0, c), the loss falls on one side of its kink, and it is let go that way.
So the loss never rises, and where nothing is left to do the point is a critical one; whether it is
a minimum, `pscore.exact.minimum.certify_minimum` proves.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pscore.exact.balls import Array
from pscore.exact.problem import Critical, Problem, checked_problem, kernel
from pscore.network import ReLUNetwork


@dataclass(frozen=True)
class Finished:
    """Where `finish` came to.

    Attributes:
        weights: in float64.
        solved: whether all conditions of a minimum hold there, in floats.
        kinks: how many inputs are zero.
        steps: taken.
        loss: the regularised loss.
    """

    weights: tuple[Tensor, Tensor]
    solved: bool
    kinks: int
    steps: int
    loss: float


def finish(
    network: ReLUNetwork,
    weights: Sequence[Tensor],
    inputs: Tensor,
    targets: Tensor,
    weight_decay: float,
    *,
    near: float = 1e-4,
    steps: int = 1000,
) -> Finished:
    """Go from the end of training to a minimum, in float64.

    Args:
        network: with one hidden layer and no ReLU on the output.
        weights: of one network.
        inputs: ``(N, n_0)``.
        targets: ``(N,)`` or ``(N, n_2)``.
        weight_decay: λ, positive.
        near: a unit's input counts as zero below it, to begin with.
        steps: at most.

    Raises:
        ValueError: as for `certify_minimum`.
    """
    problem, x = checked_problem(network, weights, inputs, targets, weight_decay)
    path = _Path(problem, x, near)
    count = 0
    while count < steps and not path.done:
        path.step()
        count += 1
    W, V = problem.split(path.at.x)
    return Finished(
        (torch.from_numpy(W.copy()), torch.from_numpy(V.copy())),
        path.done,
        len(path.at.kinks),
        count,
        problem.loss(path.at.x),
    )


class _Path:
    """A point that moves along kinks, and what is held there."""

    def __init__(self, problem: Problem, x: Array, near: float) -> None:
        z = problem.a @ problem.split(x)[0]
        kinks = independent(problem, z, near)
        if kinks:  # onto the kinks, by the shortest way
            A = problem.normals(kinks)
            x = x - A.T @ np.linalg.lstsq(A @ A.T, A @ x, rcond=None)[0]
            z = problem.a @ problem.split(x)[0]
        on = z > 0
        for pair in kinks:
            on[pair] = False
        self.problem, self.done, self.alone = problem, False, False
        self.at = Critical(problem, x, on, kinks)

    def step(self) -> None:
        """Take a Newton step along the kinks, or let kinks go that do not hold."""
        at, problem = self.at, self.problem
        z, _, gradient, hessian = problem.derivatives(at.x, at.on)
        basis = kernel(problem, at.kinks)
        reduced, pull = basis.T @ hessian @ basis, basis.T @ gradient
        values, vectors = np.linalg.eigh(reduced)
        if np.linalg.norm(pull) < 1e-10 and values[0] > 0:
            self.let_go(gradient)
            return
        size = np.maximum(np.abs(values), 1e-8)
        direction = -basis @ (vectors @ ((vectors.T @ pull) / size))
        self.move(z, direction)

    def let_go(self, gradient: Array) -> None:
        """Release the kinks that do not hold: all at once, or the worst alone after that failed."""
        at = self.at
        A = self.problem.normals(at.kinks)
        at.mu = -np.linalg.lstsq(A.T, gradient, rcond=None)[0] if at.kinks else np.zeros(0)
        off, over = at.mu, at.slopes - at.mu
        inside = np.minimum(off, over)
        bad = np.flatnonzero(inside <= 0)
        if not len(bad):
            self.done = True
            return
        chosen = {int(bad[np.argmin(inside[bad])])} if self.alone else {int(k) for k in bad}
        self.alone = not self.alone
        for k in chosen:
            at.on[at.kinks[k]] = over[k] < off[k]
        at.kinks = [pair for k, pair in enumerate(at.kinks) if k not in chosen]

    def move(self, z: Array, direction: Array) -> None:
        """Go along a direction to where the loss begins to rise, at most the whole step."""
        at, problem = self.at, self.problem
        change = problem.a @ problem.split(direction)[0]
        free = np.ones_like(at.on)
        for pair in at.kinks:
            free[pair] = False
        leaves = free & np.where(at.on, change < 0, change > 0)
        times = np.full(z.shape, np.inf)
        times[leaves] = np.maximum(-z[leaves] / change[leaves], 0.0)
        order = np.argsort(times, axis=None)
        on, reached, held = at.on.copy(), 0.0, None
        for place in order:
            pair = divmod(int(place), z.shape[1])
            until = min(float(times[pair]), 1.0)
            if problem.slope_along(at.x, on, direction, until) >= 0:
                reached = self._bottom(on, direction, reached, until)
                break
            reached = until
            if times[pair] >= 1.0:
                break
            on[pair] = not on[pair]
            if problem.slope_along(at.x, on, direction, until) >= 0:
                held = pair
                break
        at.x, at.on = at.x + reached * direction, on
        if held is not None and self._adds(held):
            at.kinks = [*at.kinks, held]
            at.on[held] = False

    def _adds(self, pair: tuple[int, int]) -> bool:
        """Whether a kink's input is independent of those held in its unit."""
        rows = [i for i, j in self.at.kinks if j == pair[1]] + [pair[0]]
        return int(np.linalg.matrix_rank(self.problem.a[rows])) == len(rows)

    def _bottom(self, on: Array, direction: Array, low: float, high: float) -> float:
        """Where the slope along a direction changes its sign, by bisection."""
        start = high
        for _ in range(50):
            middle = (low + high) / 2
            rises = self.problem.slope_along(self.at.x, on, direction, middle) >= 0
            low, high = (low, middle) if rises else (middle, high)
        return start if start - high < 1e-6 * start else low


def independent(problem: Problem, z: Array, near: float) -> list[tuple[int, int]]:
    """Return the pairs whose input is near zero, the nearest first, while they are independent."""
    found = []
    for j in range(problem.units):
        rows: list[int] = []
        for i in np.argsort(np.abs(z[:, j])):
            if not abs(z[i, j]) < near:
                break
            if np.linalg.matrix_rank(problem.a[[*rows, i]]) == len(rows) + 1:
                rows.append(int(i))
        found += [(i, j) for i in rows]
    return found
