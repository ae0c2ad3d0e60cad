r"""Checks of what biases, convolutions, skips and batch norm make of the theory.

Hessians of what is not a `ReLUNetwork` come from automatic differentiation, the bounds and formulas
that they are held against from NumPy or the Fourier transform. Random points are off the kinks with
probability one, and there the Hessian is that of the frozen loss.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.func import grad, jacrev
from torch.nn.functional import conv1d, pad

from evidence.claims import Evidence, claim
from evidence.instances import Biased, normal, uniform
from evidence.measures import TOLERANCE, kappas
from pscore.curvature import curvature_along, least_eigenvalue
from pscore.seeds import torch_generator


def hessian_of(f: Callable[[Tensor], Tensor], vector: Tensor) -> Tensor:
    """Return the Hessian of a function at one point."""
    return jacrev(grad(f))(vector)


def against_bounds(
    cases: Iterable[tuple[Any, Tensor]], bounds: Callable[[Any, Tensor], tuple[float, float]]
) -> Evidence:
    """Hold the downward curvature of problems at points against a bound, and a falsified one."""
    seen = Evidence()
    for problem, vector in cases:
        curvature = -least_eigenvalue(hessian_of(problem.loss, vector))
        claimed, falsified = bounds(problem, vector)
        wrong, refuted = (curvature > x * (1 + TOLERANCE) for x in (claimed, falsified))
        seen.add(1, wrong=wrong, refuted=refuted, ratio=curvature / claimed)
    return seen


def biased_bounds(problem: Biased, vector: Tensor) -> tuple[float, float]:
    """Return the sharp bound with a constant unit in each layer, and the one that ignores biases.

    The first is that of the network without biases that has one more unit in each layer; the second
    has r and ``‖W‖_*`` of the inputs and the matrices alone.
    """
    W = problem.split(vector)[0]
    e = problem.output(vector) - problem.f
    H, r = len(W) - 1, torch.linalg.vector_norm(problem.a, dim=-1).max()
    star = max(torch.linalg.matrix_norm(w, 2) for w in W) ** (H - 1)
    without = H * r * e.square().mean().sqrt() * star
    return float(kappas(problem.enlarged(vector))["sharp"]), float(without)


def biased_example(t: float, a: float) -> tuple[Biased, Tensor]:
    """One unit with the bias t and no weight from the input, ``v = t``, one data point, f = 1."""
    one = torch.ones(1, dtype=torch.float64)
    return Biased((1, 1, 1), a * one[:, None], one, 0.0), torch.tensor([0.0, t, t, 0.0]).to(one)


def biased_cases(seed: int) -> Iterator[tuple[Biased, Tensor]]:
    """Yield the example, and networks with inputs and parameters at scales of their own."""
    yield from (biased_example(t, 1e-3) for t in (0.5, 0.1, 0.02))
    draw = torch_generator(seed, "data")
    for instance in range(60):
        widths = ((2, 2, 1), (2, 2, 2, 1), (2, 2, 2, 2, 1))[instance % 3]
        of_inputs, of_weights = (normal(draw, 2) - 1).exp()
        a, f = of_inputs * normal(draw, 4, 2), normal(draw, 4)
        size = sum(n * (m + 1) for m, n in zip(widths, widths[1:], strict=False))
        yield Biased(widths, a, f, 0.0), of_weights * normal(draw, size)


@claim(
    "other-architectures-biases",
    "with biases Lemma 3 needs a constant unit in each layer, and is false without",
    "certified",
    "proved; the paper's networks have no biases, its image experiments do",
    hypotheses=("switches held",),
    uses=("sharper-bounds",),
    variant="with r and ‖W‖_* of inputs and weights alone",
    least=63,
)
def check_biases(seed: int) -> Evidence:
    """Check Lemma 3 with biases: with a constant unit in every layer, at H = 1, 2, 3.

    The least eigenvalue is that of a Hessian by automatic differentiation through a network with
    biases; the bound knows matrices alone.
    """
    return against_bounds(biased_cases(seed), biased_bounds)


class Convolutional(NamedTuple):
    """Circular convolutions in one dimension with ReLU between, ``y`` as long as the input.

    Attributes:
        shapes: of the kernels, ``(c_out, c_in, q)`` each.
        a: one input ``(c_0, n)``.
        f: its target ``(c_{H+1}, n)``.
    """

    shapes: tuple[tuple[int, int, int], ...]
    a: Tensor
    f: Tensor

    def kernels(self, vector: Tensor) -> list[Tensor]:
        """Return the kernels that a vector holds."""
        parts = vector.split([math.prod(shape) for shape in self.shapes])
        return [part.reshape(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def output(self, vector: Tensor) -> Tensor:
        """Return y."""
        x = self.a
        for k, kernel in enumerate(self.kernels(vector)):
            x = conv1d(pad(x, (0, kernel.shape[-1] - 1), mode="circular"), kernel)
            x = x if k == len(self.shapes) - 1 else x.relu()
        return x

    def loss(self, vector: Tensor) -> Tensor:
        """Return ``½ ‖y − f‖²``."""
        return (self.output(vector) - self.f).square().sum() / 2

    def dense_bound(self, vector: Tensor) -> float:
        """Return ``‖e‖ ‖a‖ λ_max(M)`` with operator norms from the Fourier transform."""
        length = self.a.shape[-1]
        spectra = [np.fft.fft(k.numpy(), n=length, axis=-1) for k in self.kernels(vector)]
        norms = [np.linalg.norm(np.moveaxis(s, -1, 0), 2, axis=(1, 2)).max() for s in spectra]
        e = (self.output(vector) - self.f).norm()
        M = np.prod(norms) / np.outer(norms, norms)
        np.fill_diagonal(M, 0)
        return float(e * self.a.norm() * np.linalg.eigvalsh(M)[-1])


def constant_convolution(H: int, taps: int, s: float) -> tuple[Convolutional, Tensor]:
    """One channel, constant signal of length one, target equal to it; all taps equal, sum s."""
    n = taps + 2
    a = torch.full((1, n), n**-0.5, dtype=torch.float64)
    vector = torch.full(((H + 1) * taps,), s / taps, dtype=torch.float64)
    return Convolutional(((1, 1, taps),) * (H + 1), a, a), vector


def convolutional_cases(seed: int) -> Iterator[tuple[Convolutional, Tensor]]:
    """Yield the constant signal, which comes near to equality, and random networks and signals."""
    yield from (constant_convolution(H, q, 0.1) for H in (1, 2, 3) for q in (2, 3))
    draw = torch_generator(seed, "data")
    for instance in range(36):
        H, q = 1 + instance % 2, 2 + instance % 3
        channels = (1, *(2,) * H, 1)
        shapes = tuple((o, i, q) for i, o in zip(channels, channels[1:], strict=False))
        a, f = normal(draw, 2, 1, 6)
        scale = (normal(draw, 1) - 1).exp()
        size = sum(math.prod(shape) for shape in shapes)
        yield Convolutional(shapes, a, f), scale * normal(draw, size)


def convolutional_bounds(problem: Convolutional, vector: Tensor) -> tuple[float, float]:
    """Return the bound of the dense matrices times the kernels' length, and without it."""
    dense = problem.dense_bound(vector)
    return problem.shapes[0][-1] * dense, dense


@claim(
    "other-architectures-convolution",
    "shared weights: the bound takes the factor q of a convolution's taps, and no less",
    "certified",
    "proved",
    hypotheses=("circular convolutions in one dimension", "switches held"),
    uses=("sharper-bounds", "second-derivative-equality"),
    variant="the bound of a dense layer, without the factor",
    least=42,
)
def check_convolution(seed: int) -> Evidence:
    """Check the bound for shared weights, with the factor q of q taps.

    Curvature by automatic differentiation through torch's convolution, operator norms by the
    Fourier transform.
    """
    return against_bounds(convolutional_cases(seed), convolutional_bounds)


class Skipping(NamedTuple):
    """A ReLU network with skips: ``x_{k+1} = σ(W_k^T x_k + Σ x_j)`` of width n, ``y = W_H^T x_H``.

    Attributes:
        skips: for each hidden layer ``k + 1`` the earlier ``j`` whose values are added to it.
        a: inputs ``(N, n)``.
        f: targets ``(N,)``.
    """

    skips: tuple[tuple[int, ...], ...]
    a: Tensor
    f: Tensor

    def matrices(self, vector: Tensor) -> list[Tensor]:
        """Return the matrices ``W_0, …, W_H`` that a vector holds."""
        n, H = self.a.shape[-1], len(self.skips)
        return [*vector[: H * n * n].reshape(H, n, n), vector[H * n * n :, None]]

    def output(self, vector: Tensor) -> Tensor:
        """Return y, ``(N,)``."""
        *hidden, last = self.matrices(vector)
        x = [self.a]
        for w, earlier in zip(hidden, self.skips, strict=True):
            x.append((x[-1] @ w + sum(x[j] for j in earlier)).relu())
        return (x[-1] @ last)[:, 0]

    def loss(self, vector: Tensor) -> Tensor:
        """Return the training error."""
        return (self.output(vector) - self.f).square().mean() / 2

    def growth(self, norms: Tensor) -> Tensor:
        """Return P at the layers' norms: how much longer the output can be than the input."""
        N = [torch.ones_like(norms[0])]
        for w, earlier in zip(norms[:-1], self.skips, strict=True):
            N.append(w * N[-1] + sum(N[j] for j in earlier))
        return norms[-1] * N[-1]


def skip_bounds(problem: Skipping, vector: Tensor) -> tuple[float, float]:
    """Return ``D λ_max(∇²P)``, and the right-hand side of (4) as printed."""
    norms = torch.stack([torch.linalg.matrix_norm(w, 2) for w in problem.matrices(vector)])
    M = hessian_of(problem.growth, norms)
    e, lengths = problem.output(vector) - problem.f, problem.a.norm(dim=-1)
    H, root = len(problem.skips), e.square().mean().sqrt() * lengths.max()
    bound = (e.abs() * lengths).mean() * torch.linalg.eigvalsh(M)[-1]
    return float(bound), float(H * (H + 1) * root * norms.max() ** (H - 1))


def skip_example(H: int, target: float) -> tuple[Skipping, Tensor]:
    """Width one, a skip over each hidden layer, one data point a = 1, all weights zero."""
    one = torch.ones(1, dtype=torch.float64)
    problem = Skipping(tuple((k,) for k in range(H)), one[:, None], target * one)
    return problem, torch.zeros(H + 1, dtype=torch.float64)


def skip_cases(seed: int) -> Iterator[tuple[Skipping, Tensor]]:
    """Yield the example, and random networks with skips over one layer, over two, and to all."""
    yield from (skip_example(H, 30.0) for H in (2, 3))
    draw = torch_generator(seed, "data")
    designs = ((0,), (1,)), ((), (0,), (), (2,)), ((0,), (0, 1), (0, 1, 2)), ((), (0,))
    for instance in range(60):
        skips, scale = designs[instance % 4], (normal(draw, 1) - 1).exp()
        a, f = normal(draw, 3, 2), normal(draw, 3)
        yield Skipping(skips, a, f), scale * normal(draw, 4 * len(skips) + 2)


@claim(
    "other-architectures-skips",
    "with skips Lemma 3 takes the polynomial of the paths in place of the product of norms",
    "certified",
    "proved; with the product alone it is false",
    hypotheses=("skips with factors of norm at most one", "switches held"),
    uses=("sharper-bounds",),
    variant="(4) as printed",
    least=62,
)
def check_skips(seed: int) -> Evidence:
    """Check Lemma 3 for networks with skips over one layer, over two, and from every layer.

    The least eigenvalue is that of a Hessian by automatic differentiation through the network; the
    bound knows norms alone.
    """
    return against_bounds(skip_cases(seed), skip_bounds)


def normalized_loss(
    U: Tensor,
    v: Tensor,
    a: Tensor,
    f: Tensor,
    eps: "float | Tensor" = 0.0,
    shift: float = 0.3,
    normalize: bool = True,
) -> Tensor:
    """Return the training error of ``v · σ(BN(Ua) + shift)``.

    Args:
        U: first matrix ``(n_0, n_1)``, or flattened.
        v: second ``(n_1,)``.
        a: inputs ``(N, n_0)``.
        f: targets ``(N,)``.
        eps: what batch norm adds to the variance.
        shift: its affine shift.
        normalize: or else leave batch norm out.
    """
    z = a @ U.reshape(a.shape[-1], -1)
    if normalize:
        z = (z - z.mean(0)) / (z.var(0, correction=0) + eps).sqrt()
    return ((z + shift).relu() @ v - f).square().mean() / 2


def downward(g: Tensor, H: Tensor, U: Tensor) -> Tensor:
    """Return ν: with free scale the least eigenvalue of the Hessian is at most −ν."""
    h = curvature_along(g, H @ g) / 2
    return torch.hypot(h / 2, g.norm() / U.norm()) - h / 2


@claim(
    "other-architectures-batch-norm",
    "batch norm without its ε: the Hessian is indefinite wherever the gradient is not zero",
    "certified",
    "proved, for ε = 0; with ε > 0 it is false near weights 0",
    hypotheses=("ℓ(cU, V) = ℓ(U, V)", "twice differentiable", "∇_U ℓ ≠ 0"),
    uses=("cifar-scale-invariance",),
    variant="likewise without batch norm",
    least=30,
)
def check_batch_norm(seed: int) -> Evidence:
    """Check that batch norm makes the training error's Hessian indefinite, and by how much.

    Gradient and Hessian by automatic differentiation; the bound is made of the gradient and of
    one second difference along it. Without batch norm the loss is convex within a cell, in the
    first layer alone.
    """
    seen = Evidence()
    draw = torch_generator(seed, "data")
    for _ in range(30):
        a, U, v, f = (normal(draw, *shape) for shape in ((6, 2), (6,), (3,), (6,)))
        normed, bare = (
            partial(normalized_loss, v=v, a=a, f=f, normalize=on) for on in (True, False)
        )
        g, H = grad(normed)(U), hessian_of(normed, U)
        least, predicted = least_eigenvalue(H), downward(g, H, U)
        wrong = not torch.allclose(H @ U, -g, atol=1e-8) or bool(least > -predicted * (1 - 1e-8))
        convex = least_eigenvalue(hessian_of(bare, U)) > -1e-9
        seen.add(1, wrong=wrong, refuted=convex, ratio=predicted / -least)
    return seen


def settled(
    a: Tensor, f: Tensor, eps: float, weight_decay: float, start: Tensor
) -> tuple[Tensor, Tensor]:
    """Return a minimiser (w, v) of ℓ_λ for one unit that batch norm with ε leaves on, shift 3."""

    def value(x: np.ndarray) -> tuple[float, np.ndarray]:
        at = torch.from_numpy(x).requires_grad_()
        loss = normalized_loss(at[:-1], at[-1:], a, f, eps, shift=3.0)
        loss = loss + weight_decay / 2 * at.square().sum()
        return loss.item(), torch.autograd.grad(loss, at)[0].numpy()

    x = minimize(value, start.numpy(), jac=True, options={"gtol": 1e-11}).x
    return torch.from_numpy(x[:-1]), torch.from_numpy(x[-1:])


@claim(
    "other-architectures-epsilon",
    "batch norm with its ε: ε is a factor of the weight decay, and a minimiser exists",
    "certified",
    "proved",
    hypotheses=("batch norm divides by (variance + ε)^½", "ε > 0"),
    uses=("global-minimisers-existence", "other-architectures-batch-norm"),
    variant="as with ε = 0: the Hessian at cU is c⁻² times that at U, and indefinite unless ∇ℓ = 0",
    least=30,
)
def check_epsilon(seed: int) -> Evidence:
    """Check how a batch norm with ε > 0 scales, its Hessian far out and at 0, and minimisers.

    Hessians and both gradients, in the weights and in ε, are automatic differentiation. Minimisers
    are found by a quasi-Newton method, in two weights and a factor; they count if they are not 0.
    """
    seen = Evidence()
    draw = torch_generator(seed, "data")
    for _ in range(30):
        a, U, v, f = (normal(draw, *shape) for shape in ((6, 2), (6,), (3,), (6,)))
        eps, c = (float(10**x) for x in (-3 * uniform(draw, 1), 1 - 2 * uniform(draw, 1)))
        loss = partial(normalized_loss, U, v, a, f)
        at = {e: partial(normalized_loss, v=v, a=a, f=f, eps=e) for e in (eps, eps / c**2, 0.0)}
        scaled = c**2 * hessian_of(at[eps], c * U)
        wrong = not torch.allclose(scaled, hessian_of(at[eps / c**2], U), rtol=1e-7, atol=1e-9)
        pull = -2 * eps * grad(loss)(torch.tensor(eps, dtype=torch.float64))
        wrong |= not torch.isclose(grad(at[eps])(U) @ U, pull, rtol=1e-7, atol=1e-9)
        g, H = grad(at[0.0])(U), hessian_of(at[0.0], U)
        far = 1e4 * eps**0.5
        least = least_eigenvalue(hessian_of(at[eps], far * U))
        wrong |= bool(least > -downward(g, H, U) / (2 * far**2))
        exact = torch.allclose(scaled, H, rtol=1e-2, atol=1e-4)
        g, H = at_zero(a, v, f, eps)
        d = a - a.mean(0)
        wrong |= not torch.allclose(H, v[0] ** 2 / eps * d.mT @ d / 6, rtol=1e-8)
        wrong |= not torch.allclose(g, v[0] / eps**0.5 * d.mT @ (3 * v[0] - f) / 6, rtol=1e-8)
        convex = least_eigenvalue(H) > 0 and g.norm() > 1e-3
        w, u = settled(a, f, eps, 0.01, torch.cat([U[:2], v[:1]]))
        by_eps = partial(normalized_loss, w, u, a, f, shift=3.0)
        pull = 2 * eps * grad(by_eps)(torch.tensor(eps, dtype=torch.float64))
        found = w.norm() > 1e-3
        wrong |= bool(found & ~torch.isclose(0.01 * w @ w, pull, rtol=1e-4))
        seen.add(1, wrong=wrong, refuted=(not exact, convex))
    return seen


def at_zero(a: Tensor, v: Tensor, f: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Return gradient and Hessian in w at w = 0, of one unit with the factor ``v_0``, shift 3."""
    loss = partial(normalized_loss, v=v[:1], a=a, f=f, eps=eps, shift=3.0)
    return grad(loss)(torch.zeros_like(a[0])), hessian_of(loss, torch.zeros_like(a[0]))
