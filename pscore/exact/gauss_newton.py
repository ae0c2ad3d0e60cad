r"""A certificate that keeps the Gauss–Newton term: balls around minima, in ball arithmetic.

Lemma 3 drops the squares ``(dỹ/dt)²``, and no certificate without them holds at a non-zero minimum.
This one keeps them. With the switches held, the frozen loss φ_λ has the Hessian of ``ℓ_λ`` in
the open cell of switches around W. Let μ be its least eigenvalue at W, and L(ρ) a bound for
``|D³φ_λ|`` on the ball of radius ρ. If the ball stays in the cell, then

.. math:: ∇²ℓ_λ ≥ (μ - L(ρ) ρ) I \quad\text{on the ball},

and if also ``‖∇ℓ_λ(W)‖ < (μ − L(ρ) ρ/2) ρ``, the ball holds exactly one critical point.

All numbers are enclosures (Arb's balls, through python-flint): floats go in as the rational numbers
they are, each array in its own precision, every rounding is accounted for, and a comparison holds
only if it holds for every number enclosed. Written for networks of a few dozen weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from torch import Tensor

from pscore.arguments import positive
from pscore.exact.balls import (
    above,
    arb,
    arb_mat,
    below,
    diagonal,
    exact_float,
    exact_matrix,
    in_float64,
    least_eigenvalue_bound,
    length_of,
    norm_bound,
    precision,
)
from pscore.loss import checked
from pscore.network import ReLUNetwork


@dataclass(frozen=True)
class BallCertificate:
    """What is certain about the ball of one radius around W.

    Attributes:
        holds: whether everything is proved: one cell of switches, strong convexity, exactly one
            critical point, which is a strict local minimum.
        reason: if not, the first step that could not be proved; else empty.
        radius: ρ.
        curvature: μ, a lower bound of the frozen Hessian's eigenvalues at W; 0 if none was found.
        lipschitz: L(ρ), an upper bound.
        gradient: an upper bound of ``‖∇ℓ_λ(W)‖``.
        distance: an upper bound of the distance from W to the minimum; infinite if none is proved.
        convexity: θ, a lower bound of ``μ − L(ρ) ρ``, with which ``ℓ_λ`` is strongly convex on the
            ball; not positive if that is not proved.
    """

    holds: bool
    reason: str
    radius: float
    curvature: float
    lipschitz: float
    gradient: float
    distance: float
    convexity: float


class _DataPoint(NamedTuple):
    """One data point's way through the network, in balls; columns are n×1 matrices."""

    x: list[arb_mat]  # the layers' outputs, the input first
    z: list[arb_mat]  # the inputs to the activations
    S: list[list[arb]]  # the switches
    e: arb_mat
    certain: bool  # whether all switches are; if not, the lists end where they are not


class GaussNewton:
    """The frozen loss of one network around one point, in ball arithmetic.

    Args:
        network: the architecture.
        weights: matrices ``(n_i, n_{i+1})``, of one network.
        inputs: ``(N, n_0)``, of any floating type: nothing is rounded to that of the weights.
        targets: ``(N,)`` or ``(N, n_{H+1})``, likewise.
        weight_decay: λ, not negative.
        reference: W⁰, in the shapes of the weights, for the penalty ``λ/2 ‖W − W⁰‖²``; without it,
            0. It moves the gradient and leaves the Hessian alone.

    Raises:
        ValueError: for a stack of networks, bad arrays, or numbers that no float64 is equal to.
    """

    def __init__(
        self,
        network: ReLUNetwork,
        weights: Sequence[Tensor],
        inputs: Tensor,
        targets: Tensor,
        weight_decay: float,
        reference: Sequence[Tensor] | None = None,
    ) -> None:
        """Take the point, and compute all that does not depend on a radius."""
        given = [in_float64("weights", matrix) for matrix in weights]
        data = in_float64("inputs", inputs), in_float64("targets", targets)
        W, a, f = checked(network, given, *data, weight_decay)
        if W[0].ndim != 2:
            raise ValueError("weights must be one network's, matrices (n_i, n_{i+1})")
        self.network, self.weight_decay = network, exact_float("weight_decay", weight_decay)
        with precision():
            self.W = [exact_matrix(matrix) for matrix in W]
            self.pulled = list(self.W)
            if reference is not None:
                origin = network.checked_weights([in_float64("reference", w) for w in reference])
                self.pulled = [w - exact_matrix(o) for w, o in zip(self.W, origin, strict=True)]
            self.slope = arb(network.negative_slope)
            self.steepest = arb(max(1.0, abs(network.negative_slope)))
            self.points = [self._forward(a[[i]].mT, f[[i]].mT) for i in range(len(a))]
            self.norms = [norm_bound(matrix) for matrix in self.W]
            self.inside = all(point.certain for point in self.points)
            self.curvature, self.gradient = arb(0), arb("inf")
            if self.inside:
                gradient, hessian = self._derivatives()
                self.hessian = hessian
                self.gradient = length_of(gradient)
                self.curvature = least_eigenvalue_bound(hessian)

    def _activated(self, layer: int) -> bool:
        return layer < self.network.depth or self.network.output_relu

    def _forward(self, a: Tensor, f: Tensor) -> _DataPoint:
        x, zs, switches = [exact_matrix(a)], list[arb_mat](), list[list[arb]]()
        for layer, matrix in enumerate(self.W):
            z = matrix.transpose() * x[-1]
            fed_nothing = all(entry == 0 for entry in x[-1].entries())
            S: list[arb] = []
            for entry in z.entries():
                if not self._activated(layer) or entry > 0:
                    S.append(arb(1))
                elif entry < 0 or fed_nothing:
                    S.append(self.slope)
                else:
                    return _DataPoint(x, zs, switches, z, certain=False)
            switches.append(S)
            zs.append(z)
            x.append(arb_mat([[s * entry] for s, entry in zip(S, z.entries(), strict=True)]))
        return _DataPoint(x, zs, switches, x[-1] - exact_matrix(f), certain=True)

    def _derivatives(self) -> tuple[list[arb], arb_mat]:
        """The gradient and the Hessian of the frozen regularised loss, as `curvature` has it."""
        shapes = self.network.shapes
        starts = np.cumsum([0, *(rows * columns for rows, columns in shapes)]).tolist()
        m, N = starts[-1], len(self.points)
        gradient = [arb(0)] * m
        hessian = [[arb(0)] * m for _ in range(m)]
        for x, _, S, e, _ in self.points:
            leaving = [diagonal(S[-1])]
            for k in range(len(shapes) - 1, 0, -1):
                leaving.insert(0, leaving[0] * self.W[k].transpose() * diagonal(S[k - 1]))
            jacobian = [
                [
                    x[k][p, 0] * leaving[k][o, q]
                    for k in range(len(shapes))
                    for p, q in np.ndindex(*shapes[k])
                ]
                for o in range(self.network.widths[-1])
            ]
            for o, row in enumerate(jacobian):
                for s in range(m):
                    gradient[s] += e[o, 0] * row[s] / N
                    for t in range(m):
                        hessian[s][t] += row[s] * row[t] / N
            for j in range(len(shapes)):
                way = diagonal(S[j])
                for k in range(j + 1, len(shapes)):
                    pull = e.transpose() * leaving[k]
                    for p, q in np.ndindex(*shapes[j]):
                        for u, v in np.ndindex(*shapes[k]):
                            s = starts[j] + p * shapes[j][1] + q
                            t = starts[k] + u * shapes[k][1] + v
                            value = x[j][p, 0] * way[u, q] * pull[0, v] / N
                            hessian[s][t] += value
                            hessian[t][s] += value
                    way = diagonal(S[k]) * self.W[k].transpose() * way
        flat = [entry for matrix in self.pulled for entry in matrix.entries()]
        for s in range(m):
            gradient[s] += self.weight_decay * flat[s]
            hessian[s][s] += self.weight_decay
        return gradient, arb_mat(hessian)

    def lipschitz(self, radius: float) -> arb:
        """Return L(ρ), a bound of ``|D³φ_λ|`` on the ball of radius ρ around W.

        ``D³φ_λ(X,Y,Z) = 1/N Σ ỹ_X·ỹ_YZ + ỹ_Y·ỹ_XZ + ỹ_Z·ỹ_XY + ẽ·ỹ_XYZ``, each factor bounded by
        products of the layers' operator norms, no larger than ``s_k = ‖W_k‖_2 + ρ`` on the ball.
        """
        radius = exact_float("radius", radius)
        with precision():
            s = [norm + radius for norm in self.norms]
            layers = range(len(s))
            gain = self.steepest ** (self.network.depth + self.network.output_relu)
            first = length_of([_product(s, {k}) for k in layers])
            second = _row_sum([[_product(s, {j, k}) for k in layers if k != j] for j in layers])
            third = length_of(
                [
                    _row_sum(
                        [
                            [_product(s, {j, k, i}) for i in layers if i not in (j, k)]
                            for k in layers
                            if k != j
                        ]
                    )
                    for j in layers
                ]
            )
            growth = _product(s, set()) - _product(self.norms, set())
            total = arb(0)
            for x, _, _, e, _ in self.points:
                length = length_of(x[0].entries())
                residual = length_of(e.entries()) + gain * length * growth
                total += 3 * (gain * length) ** 2 * first * second
                total += residual * gain * length * third
            return total / len(self.points)

    def stays_in_cell(self, radius: float) -> bool:
        """Return whether it is certain that no switch changes within the ball of radius ρ.

        Within the cell, a layer's output moves by at most ``δ_0 = 0``,
        ``δ_{k+1} = c (ρ |x_k| + (‖W_k‖_2 + ρ) δ_k)``, and the input to an activation by at most
        ``ρ |x_k| + (|w| + ρ) δ_k``, w being that unit's weights. If this is less than its size for
        all units and all data, no switch can be the first to change.
        """
        if not self.inside:
            return False
        radius = exact_float("radius", radius)
        with precision():
            return all(self._one_stays(point, radius) for point in self.points)

    def _one_stays(self, point: _DataPoint, radius: float) -> bool:
        delta = arb(0)
        for layer, matrix in enumerate(self.W):
            if all(entry == 0 for entry in point.x[layer].entries()) and delta == 0:
                continue  # fed nothing, in the whole cell
            length = length_of(point.x[layer].entries())
            if self._activated(layer):
                columns = matrix.transpose().tolist()
                for z, w in zip(point.z[layer].entries(), columns, strict=True):
                    if not abs(z) > radius * length + (length_of(w) + radius) * delta:
                        return False
            if all(entry == 0 for entry in point.S[layer]):
                delta = arb(0)  # all units are off, and stay so
            else:
                delta = self.steepest * (radius * length + (self.norms[layer] + radius) * delta)
        return True

    def cell_radius(self, steps: int = 30) -> float:
        """Return the largest radius, by bisection, of a ball that is certain to stay in the cell.

        It is less than ``‖W_0‖``, at which distance all switches of the first layer are undecided.

        Args:
            steps: of the bisection; each halves the doubt.
        """
        with precision():
            low, high = 0.0, above(length_of(self.W[0].entries()))
        for _ in range(steps):
            middle = (low + high) / 2
            low, high = (middle, high) if self.stays_in_cell(middle) else (low, middle)
        return low

    def ball(self, radius: float) -> BallCertificate:
        """Say what is certain about the closed ball of radius ρ around W.

        Args:
            radius: ρ, positive.

        Raises:
            ValueError: for a radius that is not a positive number.
        """
        positive("radius", radius)
        radius = exact_float("radius", radius)
        L = self.lipschitz(radius) if self.inside else arb("inf")
        with precision():
            mean, least = self.curvature - L * radius / 2, self.curvature - L * radius
            checks = {
                "a switch changes at the point, or too near to tell": self.inside,
                "the frozen Hessian is not certain to be positive definite": self.curvature > 0,
                "the ball may leave the cell of switches": self.stays_in_cell(radius),
                "the curvature may vanish in the ball": least > 0,
                "the gradient may be too large for a critical point": self.gradient < mean * radius,
            }
            reason = next((words for words, certain in checks.items() if not certain), "")
            convex = all(list(checks.values())[:-1])  # whatever the gradient is
            return BallCertificate(
                holds=not reason,
                reason=reason,
                radius=radius,
                curvature=below(self.curvature),
                lipschitz=above(L),
                gradient=above(self.gradient),
                distance=float("inf") if reason else above(self.gradient / mean),
                convexity=below(least) if convex else 0.0,
            )

    def largest_ball(self, steps: int = 30) -> BallCertificate:
        """Return the certificate with the largest radius that a bisection finds.

        Args:
            steps: of the bisection, at least 1; each halves the doubt about the radius' logarithm.

        Returns:
            a certificate that holds; or, if none is found, one that does not.
        """
        best = self.ball(1e-6)
        low, high = (1e-6, 1e3) if best.holds else (1e-12, 1e-6)
        for _ in range(steps):
            middle = (low * high) ** 0.5
            tried = self.ball(middle)
            if tried.holds:
                best, low = tried, middle
            else:
                high = middle
        return best


def _product(factors: Sequence[arb], without: set[int]) -> arb:
    result = arb(1)
    for k, factor in enumerate(factors):
        if k not in without:
            result *= factor
    return result


def _row_sum(rows: Sequence[Sequence[arb]]) -> arb:
    """The largest row sum of a matrix without negative entries: no eigenvalue exceeds it."""
    largest = arb(0)
    for row in rows:
        largest = largest.max(sum(row, arb(0)))
    return largest
