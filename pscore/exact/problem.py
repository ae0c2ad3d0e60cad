"""A regularised loss with one hidden layer in floats: its pieces, its kinks, Newton's method.

Weights are one flat vector x, as `pscore.curvature.flatten` makes it. The kinks are pairs of a data
point i and a unit j whose input ``z_ij = ⟨a_i, w_j⟩`` is held at zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pscore.exact.balls import Array, exact_float, in_float64
from pscore.loss import checked
from pscore.network import ReLUNetwork


@dataclass(frozen=True)
class Problem:
    """Data, and what does not depend on the weights. Float arrays; they hold the given numbers.

    Attributes:
        a: inputs ``(N, d)``.
        f: targets ``(N, o)``.
        units: n.
        decay: λ.
        slope: s.
    """

    a: Array
    f: Array
    units: int
    decay: float
    slope: float = 0.0

    @property
    def sizes(self) -> tuple[int, int, int, int, int]:
        """N, d, n, o and the number of weights m."""
        (N, d), n, o = self.a.shape, self.units, self.f.shape[1]
        return N, d, n, o, n * (d + o)

    def split(self, x: Array) -> tuple[Array, Array]:
        """Return the two matrices of a flat vector of weights."""
        _, d, n, o, _ = self.sizes
        return x[: d * n].reshape(d, n), x[d * n :].reshape(n, o)

    def normals(self, kinks: Sequence[tuple[int, int]]) -> Array:
        """Return ``∇z_k``, ``(K, m)``: a_i in the place of w_j."""
        _, d, n, _, m = self.sizes
        rows = np.zeros((len(kinks), m))
        for row, (i, j) in zip(rows, kinks, strict=True):
            row[j : d * n : n] = self.a[i]
        return rows

    def gains(self, on: NDArray[np.bool_]) -> Array:
        """Return S: 1 where a unit is on, s where it is not, ``(N, n)``."""
        return np.where(on, 1.0, self.slope)

    def loss(self, x: Array) -> float:
        """Return the regularised loss."""
        W, V = self.split(x)
        z = self.a @ W
        e = (z * self.gains(z > 0)) @ V - self.f
        return float((e**2).sum() / (2 * len(e)) + self.decay / 2 * x @ x)

    def slope_along(self, x: Array, on: NDArray[np.bool_], direction: Array, t: float) -> float:
        """Return the derivative of the frozen loss along a direction, at ``x + t`` times it."""
        (W, V), S = self.split(x + t * direction), self.gains(on)
        dW, dV = self.split(direction)
        h = (self.a @ W) * S
        along = ((self.a @ dW) * S) @ V + h @ dV
        e = h @ V - self.f
        return float((e * along).sum() / len(e) + self.decay * (x + t * direction) @ direction)

    def derivatives(self, x: Array, on: NDArray[np.bool_]) -> tuple[Array, Array, Array, Array]:
        """Return units' inputs, residuals, gradient and Hessian of the frozen loss, in floats."""
        N, d, n, o, m = self.sizes
        (W, V), S = self.split(x), self.gains(on)
        z = self.a @ W
        h = z * S
        e = h @ V - self.f
        J = self.jacobian(S, h, V)
        gradient = np.einsum("iom,io->m", J, e) / N + self.decay * x
        flat = J.reshape(N * o, m)
        hessian = flat.T @ flat / N + self.decay * np.eye(m)
        mixed = np.einsum("ip,ij,io->pjo", self.a, S, e) / N
        block = np.zeros((d, n, n, o))
        block[:, np.arange(n), np.arange(n)] = mixed
        hessian[: d * n, d * n :] += block.reshape(d * n, n * o)
        hessian[d * n :, : d * n] += block.reshape(d * n, n * o).T
        return z, e, gradient, hessian

    def jacobian(self, S: Array, h: Array, V: Array) -> Array:
        """Return the outputs' derivatives, ``(N, o, m)``."""
        N, d, n, o, m = self.sizes
        J = np.zeros((N, o, m))
        J[:, :, : d * n] = np.einsum("ip,ij,jo->iopj", self.a, S, V).reshape(N, o, d * n)
        for k in range(o):
            J[:, k, d * n + k :: o] = h
        return J


@dataclass
class Critical:
    """A point that solves the equations on some kinks, in floats.

    Attributes:
        problem: the data.
        x: the weights, flat.
        on: the switches, ``(N, n)``; off on the kinks.
        kinks: data points and units.
        mu: the multipliers.
        residual: of the equations, their length.
    """

    problem: Problem
    x: Array
    on: NDArray[np.bool_]
    kinks: list[tuple[int, int]]
    mu: Array = field(default_factory=lambda: np.zeros(0))
    residual: float = float("inf")

    @property
    def slopes(self) -> Array:
        """Return ``c_k``."""
        _, V = self.problem.split(self.x)
        e = self.problem.derivatives(self.x, self.on)[1]
        factor = (1 - self.problem.slope) / len(e)
        return np.array([factor * e[i] @ V[j] for i, j in self.kinks])


def kernel(problem: Problem, kinks: Sequence[tuple[int, int]]) -> Array:
    """Return an orthonormal basis of the directions along the kinks, ``(m, m − K)``."""
    _, d, n, o, m = problem.sizes
    columns = []
    for j in range(n):
        rows = [i for i, unit in kinks if unit == j]
        basis = np.eye(d)
        if rows:
            basis = np.linalg.qr(problem.a[rows].T, mode="complete")[0][:, len(rows) :]
        block = np.zeros((m, basis.shape[1]))
        block[j : d * n : n] = basis
        columns.append(block)
    last = np.zeros((m, n * o))
    last[d * n :] = np.eye(n * o)
    return np.concatenate([*columns, last], axis=1)


def solve(problem: Problem, x: Array, kinks: list[tuple[int, int]], steps: int = 12) -> Critical:
    """Solve for the critical point on given kinks by Newton's method, in floats.

    Args:
        problem: the data.
        x: where to start.
        kinks: held at zero.
        steps: at most.
    """
    m, k, A = problem.sizes[-1], len(kinks), problem.normals(kinks)
    on = problem.a @ problem.split(x)[0] > 0
    for pair in kinks:
        on[pair] = False
    found = Critical(problem, x, on, kinks, np.zeros(k))
    for _ in range(steps):
        _, _, gradient, hessian = problem.derivatives(found.x, on)
        value = np.concatenate([gradient + A.T @ found.mu, A @ found.x])
        length = float(np.linalg.norm(value))
        if not length < found.residual / 2 and length < 1e-12:
            break
        found.residual = length
        matrix = np.block([[hessian, A.T], [A, np.zeros((k, k))]])
        try:
            step = np.linalg.solve(matrix, value)
        except np.linalg.LinAlgError:
            break
        found.x, found.mu = found.x - step[:m], found.mu - step[m:]
    return found


def checked_problem(
    network: ReLUNetwork,
    weights: Sequence[Tensor],
    inputs: Tensor,
    targets: Tensor,
    weight_decay: float,
) -> tuple[Problem, Array]:
    """Check the arguments, and return them as float arrays."""
    if network.depth != 1 or network.output_relu:
        raise ValueError(
            "network must have one hidden layer and no ReLU on the output (output_relu=False); "
            "balls around minima of deeper networks, off the kinks, are `GaussNewton`'s"
        )
    given = [in_float64("weights", one) for one in weights]
    data = in_float64("inputs", inputs), in_float64("targets", targets)
    W, a, f = checked(network, given, *data, weight_decay)
    if W[0].ndim != 2:
        raise ValueError("weights must be one network's, matrices (n_i, n_{i+1})")
    decay = exact_float("weight_decay", weight_decay)
    if not decay > 0:
        raise ValueError("weight_decay must be positive: without it no minimum is strict")
    slope = exact_float("negative_slope", network.negative_slope)
    problem = Problem(a.numpy(), f.reshape(len(a), -1).numpy(), network.widths[1], decay, slope)
    return problem, torch.cat([one.flatten() for one in W]).numpy()
