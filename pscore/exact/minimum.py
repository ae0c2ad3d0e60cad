r"""A proof that a minimum is beside a point, on kinks or off them, for one hidden layer.

Let z_k be the units' inputs that are zero at the minimum W*: the kinks K, pairs of a data point i
and a unit j. They are linear in the weights, z_k(W) = ⟨a_i, w_j⟩, so beside W* the loss is

.. math:: ℓ_λ(W) = F(W, t), \qquad t_k = \max(z_k(W), 0),

with a polynomial F: the outputs are ``y_i = Σ_j v_j S_ij z_ij + (1 − s) Σ_k v_j t_k``, s the slope,
with the switches S off on K. W* is critical on its kinks if ``∇F(W*, 0) + Σ μ_k ∇z_k = 0``. The
slope in t_k is ``c_k = (1 − s) ⟨e_i, v_j⟩ / N``, and the kink holds where ``0 < μ_k < c_k``. Along
a ray from W* the loss is a polynomial, since z_k and t_k grow in proportion. From it follows, for
all X of length at most ρ within which no other switch changes, and for all elements G of the
Clarke subdifferential,

.. math:: ⟨G, X⟩ ≥ θ ‖X‖² \quad\text{at } W^* + X,

if a quadratic form in (X, t) is at least θ ‖X‖²: see `Minimum.form`. Then W* is a strict local
minimum and the only critical point in the ball, the loss is above its value by ``θ/2 ‖X‖²``, and
the gradient flow comes to W* at the rate θ.

All of this is done in Arb's balls: the point W* is enclosed by the Newton–Kantorovich theorem for
the equations on the kinks, and the form is shown to be positive definite at every point enclosed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pscore.arguments import positive
from pscore.exact.balls import (
    Array,
    above,
    arb,
    arb_mat,
    below,
    exact_float,
    float_matrix,
    length_of,
    minus_identity,
    norm_above,
    precision,
)
from pscore.exact.form import Form
from pscore.exact.point import Point
from pscore.exact.problem import Critical, Problem, checked_problem, kernel, solve
from pscore.network import ReLUNetwork

_IDLE = "unit {} is zero: leave it out of the network, and try again"
_NEAR = (1e-12, 1e-9, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3)


@dataclass(frozen=True)
class MinimumCertificate:
    """What is certain about the minimum beside a point.

    Attributes:
        holds: whether everything is proved: a strict local minimum, the only Clarke-critical point
            within ``radius``, and the growth.
        reason: if not, the first step that could not be proved; else empty.
        kinks: ``(K, 2)``, data points and units whose input is exactly zero at the minimum.
        weights: a point in float64 that the minimum is within ``distance`` of.
        distance: from there; an upper bound. Infinite where no critical point is proved.
        moved: an upper bound of the distance from the point that was given.
        radius: ρ.
        growth: θ, with ``⟨G, W − W*⟩ ≥ θ ‖W − W*‖²`` for all G in ``∂ℓ_λ(W)`` within ρ.
        room: a lower bound of the distance at which another switch may change.
        margin: a lower bound of the least of all ``μ_k`` and ``c_k − μ_k``; infinite off kinks.
        loss: an enclosure of ``ℓ_λ(W*)``.
    """

    holds: bool
    reason: str
    kinks: Tensor
    weights: tuple[Tensor, ...] = ()
    distance: float = float("inf")
    moved: float = float("inf")
    radius: float = 0.0
    growth: float = 0.0
    room: float = 0.0
    margin: float = 0.0
    loss: tuple[float, float] = (0.0, float("inf"))


class Minimum:
    """One critical point on kinks, in ball arithmetic.

    Args:
        found: the point, in floats.

    Attributes:
        distance: radius of the ball around the point in which the equations have one solution.
        proved: whether that is so.
    """

    def __init__(self, found: Critical) -> None:
        """Enclose the solution by the Newton–Kantorovich theorem."""
        self.found, self.problem = found, found.problem
        with precision():
            self.a = float_matrix(self.problem.a)
            self.lengths = [length_of(row) for row in self.a.tolist()]
            self.spread = self._spread()
            self.distance = self._enclose()
            self.proved = bool(self.distance < arb("inf"))
            radius = float(above(self.distance)) if self.proved else 0.0
            self.at = Point(self.found, radius, self.a)

    def _spread(self) -> arb:
        """An upper bound of the largest eigenvalue of ``1/N Σ a_i a_iᵀ``, times ``max(1, s²)``."""
        gram = self.a.transpose() * self.a
        rows = (sum((abs(x) for x in row), arb(0)) for row in gram.tolist())
        largest = arb(0)
        for row in rows:
            largest = largest.max(row)
        steepest = max(1.0, abs(self.problem.slope))
        return arb((largest / len(self.lengths)).upper()) * arb(steepest) ** 2

    def _enclose(self) -> arb:
        r"""Radius of a ball around the float point with exactly one solution, or infinity.

        For the equations F with derivative D at the point and an approximate inverse Y of D, let
        ``η ≥ ‖Y F‖``, ``Z ≥ ‖I − Y D‖`` and ``L ≥ ‖Y‖`` times a Lipschitz constant of the
        derivative on the ball. If ``η + Z r + L r²/2 < r`` and ``Z + L r < 1``, then
        ``x ↦ x − Y F(x)`` maps the ball into itself and contracts. ``D³φ(X, X, X)`` is
        ``6/N Σ ⟨ẏ_i, q_i⟩``, with ``1/N Σ ‖q_i‖² ≤ M/4``.
        """
        k = len(self.found.kinks)
        point = Point(self.found, 0.0, self.a)
        A = float_matrix(self.problem.normals(self.found.kinks)) if k else None
        x = [arb(float(value)) for value in self.found.x]
        value = list(point.gradient)
        rows = point.hessian(arb(1), arb(0))
        if A is not None:
            pull = (A.transpose() * float_matrix(self.found.mu[:, None])).entries()
            value = [g + p for g, p in zip(value, pull, strict=True)]
            value += (A * arb_mat([[one] for one in x])).entries()
            normals = A.tolist()
            rows = [row + [normal[i] for normal in normals] for i, row in enumerate(rows)]
            rows += [normal + [arb(0)] * k for normal in normals]
        middle = np.array([[float(entry.mid()) for entry in row] for row in rows])
        try:
            inverse = float_matrix(np.linalg.inv(middle))
        except np.linalg.LinAlgError:
            return arb("inf")
        eta = norm_above(inverse * arb_mat([[one] for one in value]))
        Z = norm_above(minus_identity(inverse * arb_mat(rows)))
        r = arb((2 * eta).upper())
        steep = arb((point.squares.trace() / self.problem.sizes[0]).upper()).sqrt()
        L = norm_above(inverse) * 3 * self.spread.sqrt() * (steep + self.spread.sqrt() * r)
        fits = eta + Z * r + L * r * r / 2 < r and Z + L * r < 1
        return r if fits or (eta == 0 and Z < 1) else arb("inf")

    def room(self) -> tuple[float, tuple[int, int] | None]:
        """Return how far from W* no other switch changes, and which is undecided there, if any."""
        held, least = set(self.found.kinks), float("inf")
        z = self.at.z.tolist()
        for i, row in enumerate(z):
            for j, one in enumerate(row):
                if (i, j) in held or not self.lengths[i] > 0:
                    continue  # an input that is zero gives zero, whatever the weights
                if not (one > 0 if self.found.on[i, j] else one < 0):
                    return 0.0, (i, j)
                with precision():
                    least = min(least, below(abs(one) / self.lengths[i]))
        return least, None

    def multipliers(self) -> list[tuple[arb, arb]]:
        """Return enclosures of ``μ_k`` and ``c_k − μ_k`` at W*."""
        with precision():
            radius = float(above(self.distance))
            mu = [arb(float(value), radius) for value in self.found.mu]
            return [(one, c - one) for one, c in zip(mu, self.at.slopes, strict=True)]

    def form(self, growth: float) -> Form:
        r"""Return the form whose positive definiteness proves ``⟨G, X⟩ ≥ θ ‖X‖²`` within ρ.

        With ``ẏ_i`` the outputs' derivative along (X, t) and ``q_i`` half their second one,

        .. math:: ⟨G, X⟩ = Σ_k (c_k t_k - μ_k z_k) + \frac1N Σ_i \bigl( ‖ẏ_i‖² + 2⟨e_i, q_i⟩
            + 3⟨ẏ_i, q_i⟩ + 2‖q_i‖² \bigr) + λ‖X‖².

        The first sum is ``Σ (c_k − μ_k) t_k + μ_k (t_k − z_k)`` with both terms at least zero and
        ``t_k, t_k − z_k ≤ ‖a_k‖ ρ``, so it is at least ``Σ ((c_k − μ_k) t_k² + μ_k (t_k − z_k)²) /
        (‖a_k‖ ρ)``. And ``3⟨ẏ, q⟩ + 2‖q‖² ≥ −ν‖ẏ‖² − (9/(4ν) − 2)‖q‖²`` for 0 < ν ≤ 1, with
        ``1/N Σ ‖q_i‖² ≤ M ‖X‖⁴/4``. What remains is a form in (X, t).

        Args:
            growth: θ.
        """
        with precision():
            theta = arb(growth)
            return Form(
                self._joined(arb(1), theta),
                self._joined(arb(0), theta),
                self._held(),
                self.spread,
                self.problem.sizes[-1],
            )

    def _joined(self, share: arb, growth: arb) -> arb_mat:
        """The form without what depends on ρ, its squares ``‖ẏ‖²`` times ``share``."""
        rows = self.at.hessian(share, -growth)
        cross, among = self.at.kinks(share)
        lower = [[row[k] for row in cross] + more for k, more in enumerate(among)]
        return arb_mat([[*row, *more] for row, more in zip(rows, cross, strict=True)] + lower)

    def _held(self) -> arb_mat:
        """What holds the point on its kinks, times ρ."""
        _, d, n, _, m = self.problem.sizes
        size = m + len(self.found.kinks)
        held, a = [[arb(0)] * size for _ in range(size)], self.a.tolist()
        pairs = zip(self.found.kinks, self.multipliers(), strict=True)
        for k, ((i, j), (off, on)) in enumerate(pairs, start=m):
            off, on = off / self.lengths[i], on / self.lengths[i]
            held[k][k] += on + off
            for p in range(d):
                held[p * n + j][k] -= off * a[i][p]
                held[k][p * n + j] -= off * a[i][p]
                for q in range(d):
                    held[p * n + j][q * n + j] += off * a[i][p] * a[i][q]
        return arb_mat(held)


def certify_minimum(
    network: ReLUNetwork,
    weights: Sequence[Tensor],
    inputs: Tensor,
    targets: Tensor,
    weight_decay: float,
    *,
    growth: float | None = None,
    near: Sequence[float] = _NEAR,
) -> MinimumCertificate:
    """Prove that a strict local minimum of ``ℓ_λ`` is beside the weights, or say what fails.

    Args:
        network: with one hidden layer and no ReLU on the output; any slope.
        weights: of one network, near a minimum: where no Newton step leads, nothing is proved. A
            network that was trained is brought there by `finish`.
        inputs: ``(N, n_0)``. Whatever float they are is taken as exact, like the targets.
        targets: ``(N,)`` or ``(N, n_2)``.
        weight_decay: λ, positive.
        growth: θ that is asked for; if None, half of the least eigenvalue of the Hessian along the
            kinks.
        near: how near to zero a unit's input is held there; tried one after the other.

    Returns:
        the certificate, with the largest radius, but for a factor of two, that was found.

    Raises:
        ValueError: for another network, a stack, bad arrays, or λ = 0.
    """
    problem, x = checked_problem(network, weights, inputs, targets, weight_decay)
    if growth is not None:
        positive("growth", growth)
        growth = exact_float("growth", growth)
    given = problem.split(x)
    if (zero := [j for j in range(problem.units) if not given[0][:, j].any()]) != []:
        return _refused(_IDLE.format(zero[0]))
    z = np.abs(problem.a @ given[0])
    z[~problem.a.any(1)] = np.inf  # an input that is zero is no kink
    tried: dict[int, MinimumCertificate] = {}
    for limit in near:
        kinks = [(int(i), int(j)) for i, j in np.argwhere(z < limit)]
        if len(kinks) not in tried:
            tried[len(kinks)] = _proved(problem, x, kinks, growth)
            if tried[len(kinks)].holds:
                return tried[len(kinks)]
    # What fails last has come furthest.
    return next(iter(tried.values()))


def _proved(
    problem: Problem, x: Array, kinks: list[tuple[int, int]], growth: float | None
) -> MinimumCertificate:
    """Say what is certain of the critical point on some kinks."""
    said = torch.tensor(kinks, dtype=torch.long).reshape(-1, 2)
    for j in range(problem.units):
        rows = [i for i, unit in kinks if unit == j]
        if rows and np.linalg.matrix_rank(problem.a[rows]) < len(rows):
            return _refused(f"the inputs held at zero in unit {j} depend on each other", said)
    found = solve(problem, x, kinks)
    if not found.residual < 1e-9:
        return _refused("Newton's method finds no critical point with these kinks", said)
    lengths = np.linalg.norm(problem.split(found.x)[0], axis=0)
    if lengths.min() < 1e-9:
        return _refused(_IDLE.format(int(lengths.argmin())), said)
    if pair := _parallel(problem.split(found.x)[0]):
        return _refused(f"units {pair[0]} and {pair[1]} are parallel, and may share anew", said)
    basis = kernel(problem, kinks)
    least = float(
        np.linalg.eigvalsh(basis.T @ problem.derivatives(found.x, found.on)[3] @ basis)[0]
    )
    theta = least / 2 if growth is None else growth
    if not least > theta > 0:
        return _refused(
            f"the Hessian along the kinks has the eigenvalue {least:.3g}, too small for the growth",
            said,
        )
    minimum = Minimum(found)
    if not minimum.proved:
        return _refused("that a critical point is here could not be proved", said)
    multipliers = minimum.multipliers()
    for (i, j), (off, on) in zip(kinks, multipliers, strict=True):
        if not (off > 0 and on > 0):
            return _refused(
                f"the kink of unit {j} at data point {i} is not certain to hold: "
                f"its multiplier {float(off.mid()):.3g} is not inside (0, c)",
                said,
            )
    room, undecided = minimum.room()
    if undecided is not None:
        i, j = undecided
        return _refused(f"the sign of unit {j}'s input at data point {i} is not certain", said)
    form = minimum.form(theta)
    radius, share = form.largest(room)
    if not radius:
        return _refused("no radius is found at which the growth is certain", said)
    if not form.is_positive(radius, share):
        return _refused("the growth is not certain, though floats show it", said)
    W, V = problem.split(found.x)
    with precision():
        distance = above(minimum.distance)
        step = length_of(
            [arb(float(one)) - arb(float(two)) for one, two in zip(found.x, x, strict=True)]
        )
        moved = above(step + minimum.distance)
        margin = min((below(one) for pair in multipliers for one in pair), default=float("inf"))
        loss = minimum.at.loss()
    return MinimumCertificate(
        holds=True,
        reason="",
        kinks=said,
        weights=(torch.from_numpy(W.copy()), torch.from_numpy(V.copy())),
        distance=distance,
        moved=moved,
        radius=radius,
        growth=theta,
        room=room,
        margin=margin,
        loss=(below(loss), above(loss)),
    )


def _parallel(W: Array) -> tuple[int, int] | None:
    """Return two units whose weights have one direction, if there are any."""
    W = W / np.linalg.norm(W, axis=0)
    cosines = W.T @ W - 2 * np.eye(W.shape[1])
    j, k = np.unravel_index(np.argmax(cosines), cosines.shape)
    return (int(min(j, k)), int(max(j, k))) if cosines[j, k] > 1 - 1e-9 else None


def _refused(reason: str, kinks: Tensor | None = None) -> MinimumCertificate:
    none = torch.zeros((0, 2), dtype=torch.long)
    return MinimumCertificate(False, reason, none if kinks is None else kinks)
