r"""Exact solutions to compare with: when the zero network is optimal, linear networks, H = 1.

Three problems about ``ℓ_λ`` can be solved without descending in weight space. Along the rays from
the origin, which gives the λ at which a network begins to beat the zero network. For linear
networks with whitened inputs, one singular value at a time. And for one hidden layer of ReLUs on
inputs in the plane, by a convex programme over the cells of `solvers.patterns`, whose dual gives a
lower bound on ``ℓ_λ`` that is computed in rational numbers, without rounding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt

import numpy as np
import torch
from torch import Tensor

from evidence.rational import exact_loss, exactly
from evidence.solvers.patterns import Vector, dot, exact, lines, unit_patterns
from pscore.certificate import data_radius
from pscore.instance import Instance
from pscore.loss import squared_norm
from pscore.network import ReLUNetwork


def threshold_constant(depth: int) -> float:
    """Return ``λ̂_H = H^{−2H/(H+1)} (H−1)^{(H−1)/(H+1)}``, and 1 at H = 1.

    ``p ↦ −pA + p²B/2 + (λ/2)(H+1) p^{2/(H+1)}`` is negative somewhere on p > 0 exactly for
    ``λ < λ̂_H (A^{2H} / B^{H−1})^{1/(H+1)}``, with A, B > 0.

    Args:
        depth: H, at least 1.

    Raises:
        ValueError: for a depth below 1.
    """
    if depth < 1:
        raise ValueError(f"depth counts hidden layers and must be at least 1; got {depth}")
    last = (depth - 1) ** ((depth - 1) / (depth + 1)) if depth > 1 else 1.0
    return depth ** (-2 * depth / (depth + 1)) * last


def weight_decay_unit(inputs: Tensor, targets: Tensor, depth: int) -> Tensor:
    """Return ``λ_0 = r^{2/(H+1)} (2ℓ(0))^{H/(H+1)}``, the unit in which λ is a pure number.

    Args:
        inputs: ``(…, N, n_0)``.
        targets: ``(…, N)``.
        depth: H, at least 1.
    """
    r, square = data_radius(inputs), targets.square().mean(-1)
    return r ** (2 / (depth + 1)) * square ** (depth / (depth + 1))


def escape_threshold(
    network: ReLUNetwork, weights: Sequence[Tensor], inputs: Tensor, targets: Tensor
) -> Tensor:
    """Return for each network the λ below which it, with its layers rescaled, beats zero.

    ``λ̂_H (A^{2H} / (B^{H−1} P²))^{1/(H+1)}`` with ``A = (1/N) Σ f_i y_i``, ``B = (1/N) Σ y_i²`` and
    P the product of the layers' Euclidean norms; 0 where A is not positive.

    Args:
        network: the architecture, with a scalar output.
        weights: a stack ``(T, n_i, n_{i+1})``.
        inputs: ``(N, n_0)`` or ``(T, N, n_0)``.
        targets: ``(N,)`` or ``(T, N)``.

    Returns:
        ``(T,)``.
    """
    H, y = network.depth, network(weights, inputs)
    A, B = (targets * y).mean(-1), y.square().mean(-1)
    P = torch.stack([squared_norm((W,)).sqrt() for W in weights]).prod(0)
    reached = A > 0
    A, B, P = (torch.where(reached, x, 1.0) for x in (A, B, P))
    value = threshold_constant(H) * (A ** (2 * H) / (B ** (H - 1) * P**2)) ** (1 / (H + 1))
    return torch.where(reached, value, 0.0)


def line_threshold(inputs: Sequence[float], targets: Sequence[float], depth: int) -> float:
    r"""Return the λ from which 0 is optimal for inputs on a line, at any width of two or more.

    ``λ̂_H max_t (A_t^{2H} / B_t^{H−1})^{1/(H+1)}`` over ``0 ≤ t ≤ 1``, with
    ``A_t = t A_+ + (1−t) A_−`` and ``B_t = t² B_+ + (1−t)² B_−``, where ``A_± = |mean f x^±|`` and
    ``B_± = mean (x^±)²``. It is exact for H = 1, and if ``mean f x^+`` and ``mean f x^−`` have one
    sign; else an upper bound.

    Args:
        inputs: N numbers.
        targets: N numbers.
        depth: H, at least 1.
    """
    x, f, H = np.asarray(inputs, float), np.asarray(targets, float), depth
    sides = np.maximum(x, 0), np.maximum(-x, 0)
    A = [abs(np.mean(f * side)) for side in sides]
    B = [np.mean(side**2) for side in sides]
    A_t, B_t = np.poly1d([A[0] - A[1], A[1]]), np.poly1d([B[0] + B[1], -2 * B[1], B[1]])
    stationary = np.roots(2 * H * A_t.deriv() * B_t - (H - 1) * A_t * B_t.deriv())
    real = stationary.real[np.abs(stationary.imag) < 1e-9]
    t = np.concatenate([[0.0, 1.0], real[(real > 0) & (real < 1)]])
    good = (A_t(t) > 0) & (B_t(t) > 0)
    values = A_t(t[good]) ** (2 * H) / B_t(t[good]) ** (H - 1)
    return threshold_constant(H) * float(values.max(initial=0.0)) ** (1 / (H + 1))


def shrink(values: Tensor, weight_decay: float, depth: int) -> Tensor:
    """Return the minimisers over t ≥ 0 of ``½ (t − s)² + (λ/2)(H+1) t^{2/(H+1)}``.

    For H = 1 that is soft thresholding, ``max(s − λ, 0)``; for larger H it jumps at the s where
    both 0 and a positive t are minimisers, and returns 0 there.

    Args:
        values: s, not negative.
        weight_decay: λ > 0.
        depth: H, at least 1.
    """
    H = depth
    if H == 1:
        return (values - weight_decay).clamp(min=0)
    power = (H - 1) / (H + 1)
    kept = threshold_constant(H) * values ** (2 * H / (H + 1)) > weight_decay
    s = torch.where(kept, values, values.new_tensor(max(1.0, 10 * weight_decay)))
    t = s
    for _ in range(60):  # Newton from the right on a convex function: down to its larger zero
        t = t - (t - s + weight_decay * t**-power) / (1 - power * weight_decay * t ** (-power - 1))
    return torch.where(kept, t, 0.0)


def linear_minimum(
    inputs: Tensor, targets: Tensor, weight_decay: float, depth: int, rank: int
) -> tuple[Tensor, float]:
    """Return the best linear network of a depth, as one matrix, and its ``ℓ_λ``.

    Args:
        inputs: ``(N, n_0)`` with ``(1/N) Σ a_i a_iᵀ`` the identity.
        targets: ``(N, n_{H+1})``.
        weight_decay: λ > 0.
        depth: H, at least 1.
        rank: the narrowest width.

    Returns:
        the matrix X with ``y(a) = Xᵀ a``, ``(n_0, n_{H+1})``, and ``min ℓ_λ``.

    Raises:
        ValueError: for inputs that are not whitened.
    """
    count, identity = len(inputs), torch.eye(inputs.shape[1]).to(inputs)
    if not torch.allclose(inputs.mT @ inputs / count, identity, atol=1e-9):
        raise ValueError("inputs must be whitened, so that (1/N) Σ a_i a_iᵀ is the identity")
    U, s, V = torch.linalg.svd(inputs.mT @ targets / count, full_matrices=False)
    t = shrink(s, weight_decay, depth)
    t[rank:] = 0
    penalty = weight_decay / 2 * (depth + 1) * (t[t > 0] ** (2 / (depth + 1))).sum()
    value = targets.square().sum() / (2 * count) - (s * t).sum() + t.square().sum() / 2 + penalty
    return U @ torch.diag(t) @ V, value.item()


@dataclass(frozen=True)
class ConvexSolution:
    """What the convex programme for one hidden layer returns.

    Attributes:
        at: a network of one hidden layer, as wide as the solution has units, and the data; its
            weights are balanced, ``‖w_j‖ = |v_j|``.
        value: ``ℓ_λ`` there, exactly.
        bound: a number that no network of one hidden layer, of any width, goes below.
    """

    at: Instance
    value: Fraction
    bound: Fraction

    @property
    def gap(self) -> float:
        """The difference of value and bound, rounded once."""
        return float(self.value - self.bound)


def convex_minimum(
    inputs: Tensor, targets: Tensor, weight_decay: float, *, steps: int = 20000
) -> ConvexSolution:
    """Minimise ``ℓ_λ`` over networks of one hidden layer of any width, as a convex programme.

    The unknowns are two vectors in each closed cell of the arrangement of ``a_i^⊥``, one for
    positive and one for negative output weights. An accelerated proximal gradient method shrinks
    each towards 0 after projecting it onto its cell. The result's value and bound are computed in
    rational numbers: they hold whatever the method did.

    Args:
        inputs: ``(N, n_0)`` with n_0 = 1 or 2, not all zero.
        targets: ``(N,)``.
        weight_decay: λ > 0.
        steps: of the method at most; it stops when the gap is 1e-13.

    Raises:
        ValueError: for inputs that are all zero, or of another dimension.
    """
    cells = _Cells.of(inputs)
    f, N = targets.double().numpy(), len(inputs)
    M = np.concatenate([cells.maps, -cells.maps])  # (2C, N, 2): sign of the output weight
    flat = M.transpose(1, 0, 2).reshape(N, -1)
    rate = N / np.linalg.norm(flat, 2) ** 2
    x = ahead = np.zeros((len(M), 2))
    momentum = 1.0
    for step in range(1, steps + 1):
        e = flat @ ahead.ravel() - f
        new = cells.project(ahead - rate / N * (flat.T @ e).reshape(-1, 2))
        length = np.linalg.norm(new, axis=1, keepdims=True)
        new = new * np.maximum(1 - rate * weight_decay / np.maximum(length, 1e-300), 0)
        if ((ahead - new) * (new - x)).sum() > 0:  # restart where the momentum points uphill
            momentum = 1.0
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = new + (momentum - 1) / following * (new - x)
        x, momentum = new, following
        if step % 1000 == 0 and _solution(x, inputs, targets, weight_decay).gap < 1e-13:
            break
    return _solution(x, inputs, targets, weight_decay)


def _solution(
    x: np.ndarray, inputs: Tensor, targets: Tensor, weight_decay: float
) -> ConvexSolution:
    """The network of the vectors of the cells, ``(2C, 2)``, with its exact value and bound."""
    length = np.linalg.norm(x, axis=1)
    on = length > 1e-9
    if not on.any():
        on[0] = True  # a network has a unit, and this one has weights 0
    root = np.sqrt(length[on])
    sign = np.repeat([1.0, -1.0], len(x) // 2)[on]
    w = np.where(root > 0, x[on].T / np.maximum(root, 1e-300), 0.0)[: inputs.shape[1]]
    W = (torch.from_numpy(w), torch.from_numpy(sign * root)[:, None])
    network = ReLUNetwork((inputs.shape[1], int(on.sum()), 1), output_relu=False)
    at = Instance(network, W, inputs, targets)
    value = exact_loss(*exactly(at), False, weight_decay=Fraction(weight_decay))
    return ConvexSolution(at, value, dual_bound(inputs, targets, weight_decay, -at.residuals()))


@dataclass(frozen=True)
class _Cells:
    """The full cells of the arrangement, in floats; on a line, with a coordinate 0 added."""

    maps: np.ndarray  # (C, N, 2), the rows a_i of those inputs at which the cell's units are on
    signs: np.ndarray  # (C, N, 2), a_i or −a_i: a cell is where none of the products is negative
    rays: np.ndarray  # (C, 2, 2), the two unit vectors along its edges

    @classmethod
    def of(cls, inputs: Tensor) -> "_Cells":
        padded = _in_the_plane(inputs)
        if not padded.any():
            raise ValueError("inputs must not all be zero: then every network is zero on them")
        full = [cell for cell in unit_patterns(padded) if cell.dimension == 2]
        on = np.array([cell.on for cell in full])[:, :, None]
        a = padded.numpy()
        rays = np.array(
            [[[float(x) for x in g] for g in (c.generators[0], c.generators[-1])] for c in full]
        )
        rays = rays / np.linalg.norm(rays, axis=2, keepdims=True)
        return cls(on * a, np.where(on, a, -a), rays)

    def project(self, x: np.ndarray) -> np.ndarray:
        """The nearest points of the cells, ``(2C, 2)``: the first C rows, then the cells again."""
        signs, rays = np.concatenate([self.signs] * 2), np.concatenate([self.rays] * 2)
        inside = (np.einsum("cnk,ck->cn", signs, x) >= 0).all(1, keepdims=True)
        along = np.einsum("crk,ck->cr", rays, x)
        nearest = along.argmax(1)
        rows = np.arange(len(x))
        edge = np.maximum(along[rows, nearest], 0)[:, None] * rays[rows, nearest]
        return np.where(inside, x, edge)


def _in_the_plane(inputs: Tensor) -> Tensor:
    given = inputs.double()
    if given.ndim != 2 or given.shape[1] not in (1, 2):
        raise ValueError(
            f"inputs must be (N, 1) or (N, 2), one row a data point; got {tuple(given.shape)}"
        )
    return given if given.shape[1] == 2 else torch.nn.functional.pad(given, (0, 1))


def correlation(inputs: Tensor, targets: Tensor) -> float:
    """Return ``Λ = max_{|u|=1} |(1/N) Σ f(a_i) σ(u · a_i)|``, from its exact square.

    Args:
        inputs: ``(N, n_0)`` with n_0 = 1 or 2.
        targets: ``(N,)``.
    """
    return float(squared_correlation(inputs, targets)) ** 0.5


def squared_correlation(inputs: Tensor, numbers: Tensor) -> Fraction:
    r"""Return the square of ``max_{|u|=1} |(1/N) Σ ν_i σ(u · a_i)|``, exactly.

    In a cell the sum is linear, ``g · u``, with its maximum at ``g / ‖g‖`` if that is in the cell,
    and on an edge otherwise. With ``ν_i = f(a_i)`` this is ``Λ²``.

    Args:
        inputs: ``(N, n_0)`` with n_0 = 1 or 2.
        numbers: ν, ``(N,)``.
    """
    points, nu = exact(_in_the_plane(inputs)), [Fraction(n) for n in numbers.tolist()]
    N, zero, best = len(points), Fraction(0), Fraction(0)
    for cell in unit_patterns(_in_the_plane(inputs)):
        g: Vector = tuple(
            sum((n * a[k] for n, a, on in zip(nu, points, cell.on, strict=True) if on), zero) / N
            for k in range(2)
        )
        signed = [(dot(g, a), on) for a, on in zip(points, cell.on, strict=True)]
        for s in (1, -1):
            if all(s * z >= 0 if on else s * z <= 0 for z, on in signed):
                best = max(best, dot(g, g))
    for ray in lines(points):
        h = sum((n * max(dot(ray, a), zero) for n, a in zip(nu, points, strict=True)), zero)
        best = max(best, h * h / (N * N * dot(ray, ray)))
    return best


def dual_bound(inputs: Tensor, targets: Tensor, weight_decay: float, numbers: Tensor) -> Fraction:
    r"""Return a lower bound on ``ℓ_λ`` over one hidden layer of ReLUs of any width, exactly.

    It is ``(1/N) Σ f_i ν_i − 1/(2N) Σ ν_i²`` for a multiple of the given numbers that is small
    enough to have ``max_{|u|=1} |(1/N) Σ ν_i σ(u · a_i)| ≤ λ``; nothing else is asked of them.

    Args:
        inputs: ``(N, n_0)`` with n_0 = 1 or 2.
        targets: ``(N,)``.
        weight_decay: λ > 0.
        numbers: ``(N,)``; the best are those of a global minimiser, ``f_i − y_i``, but any will do.
    """
    square, decay = squared_correlation(inputs, numbers), Fraction(weight_decay)
    scale = Fraction(1) if square <= decay**2 else _root_below(decay**2 / square)
    f, nu = ([Fraction(x) for x in values.tolist()] for values in (targets, numbers))
    return (scale * dot(f, nu) - scale**2 * dot(nu, nu) / 2) / len(f)


def _root_below(number: Fraction) -> Fraction:
    """A rational number at most the root of a number in (0, 1], and within 2^−80 of it."""
    return Fraction(isqrt(number.numerator * 2**160 // number.denominator), 2**80)
