r"""Checks of what the chapter on the reviews proves itself.

Two functions of two variables, biases, convolutions, skips and batch norm, the pieces of U, the
Gram matrix beside the Hessian, the existence of minimisers, points of zero training error, and
linear residual networks.

Hessians of what is not a `ReLUNetwork` come from automatic differentiation, the bounds and formulas
that they are held against from NumPy, fractions or the Fourier transform. Random points are off the
kinks with probability one, and there the Hessian is that of the frozen loss.
"""

from collections.abc import Callable

import numpy as np
import torch
from scipy.linalg import qr
from torch import Tensor
from torch.func import grad, jacrev

from evidence.claims import Evidence, claim
from evidence.instances import normal, random_stack, uniform
from evidence.measures import TOLERANCE, kappas
from pscore.instance import Instance
from pscore.loss import regularized_loss, squared_norm, training_error
from pscore.network import ReLUNetwork, Weights
from pscore.seeds import torch_generator

Scalar = Callable[[Tensor], Tensor]


def hessian_of(f: Scalar, vector: Tensor) -> Tensor:
    """Return the Hessian of a function at one point."""
    return jacrev(grad(f))(vector)


# ---- f(x, y) = x²y², in fractions ----------------------------------------------------------------


# ---- strongly convex along its gradient paths ----------------------------------------------------


# ---- other architectures -------------------------------------------------------------------------


# ---- the pieces of U -----------------------------------------------------------------------------


# ---- the Gram matrix beside the Hessian ----------------------------------------------------------


# ---- minimisers, and points of zero training error -----------------------------------------------


@claim(
    "reviews-fitted",
    "points of zero training error have the margin λ and are not critical for ℓ_λ",
    "certified",
    "proved; so the paper's remark is true and says nothing of minima of ℓ_λ",
    hypotheses=("ℓ(W) = 0", "W ≠ 0", "λ > 0"),
    uses=("paper-definition-2", "minima-scaling"),
    variant="such points are local minima of ℓ_λ",
    least=300,
)
def check_fitted(seed: int) -> Evidence:
    """Check points of zero training error: inside every set, with margin λ, and not critical.

    Targets are the network's own outputs. The slope is a difference of values of ℓ_λ, on kinks
    too: some inputs are orthogonal to a unit's weights. Points on the ray to 0 refute the variant.
    """
    seen = Evidence()
    decay, h = 0.3, 1e-4
    for k, widths in enumerate(((2, 3, 1), (2, 3, 2, 1), (1, 2, 2, 2, 1))):
        network = ReLUNetwork(widths, bool(k % 2))
        stack = random_stack(network, 10 * seed + k, count=100, points=3, spread=0.3)
        if widths[0] == 2:  # the first data point on the first unit's kink
            w = stack.W[0][..., 0]
            stack.a[:, 0] = torch.stack([-w[:, 1], w[:, 0]], -1)
        at, size = stack._replace(f=stack.outputs()), squared_norm(stack.W)
        nearer, here, further = (
            regularized_loss(*at.at(tuple(t * w for w in at.W)), decay) for t in (1 - h, 1, 1 + h)
        )
        slope = (further - nearer) / (2 * h)
        wrong = (slope - decay * size).abs() > 1e-3 * (decay * size + at.f.square().amax(-1))
        wrong |= kappas(at)["paper"] > 1e-9
        seen.add(len(slope), wrong=wrong, refuted=nearer < here)
    return seen


def interpolating(a: Tensor, f: Tensor, draw: torch.Generator) -> Weights:
    """Return a network of width N without biases that fits N inputs, no two of them collinear."""
    directions = normal(draw, 200, a.shape[-1])
    features = (a @ directions.mT).relu()
    _, order = qr(features.numpy(), mode="r", pivoting=True)  # independent columns first
    chosen = torch.from_numpy(order[: len(a)]).long()
    v = torch.linalg.solve(features[:, chosen], f)
    return directions[chosen].mT, v[:, None]


def best_on_a_ray(a: Tensor, c: float, f: Tensor) -> Instance:
    """Return the best network for inputs a and ca: one path, by least squares on the ray."""
    s = float(f[0] + c * f[1]) / (1 + c * c)
    first = torch.outer(a / a.square().sum(), torch.tensor([1.0, 0.0]).to(a))
    W = (first, torch.tensor([[s], [0.0]]).to(a))
    return Instance(ReLUNetwork((2, 2, 1), False), W, torch.stack([a, c * a]), f)


@claim(
    "reviews-zero-error",
    "zero error without biases: impossible on one ray, possible if no ray is shared",
    "certified",
    "proved",
    hypotheses=("no biases", "for the bound: two inputs on one ray", "to fit: none on another's"),
    variant="two collinear inputs can be fitted",
    least=1320,
)
def check_zero_error(seed: int) -> Evidence:
    """Check when zero training error can be had without biases.

    Two inputs on one ray: the bound at random networks, and at the best one for the two, which
    attains it. No two collinear: a network of width N, made by solving N linear equations, whose
    error is then computed from its weights.
    """
    seen = Evidence()
    draw = torch_generator(seed, "data")
    for k in range(60):
        c = float(torch.rand(1, generator=draw)) + 0.2
        a, f = normal(draw, 2, 2), normal(draw, 2)
        floor = float((f[1] - c * f[0]) ** 2) / (4 * (1 + c * c))
        best = best_on_a_ray(a[0], c, f)
        least = training_error(*best)
        missed = (least - floor).abs() > 1e-6 * floor + 1e-12
        seen.add(1, wrong=missed, refuted=floor > 1e-3, ratio=floor / least)
        stack = random_stack(ReLUNetwork((2, 2, 2, 1), False), 1000 * seed + k, count=20, points=2)
        error = training_error(stack.network, stack.W, best.a, f)
        seen.add(20, wrong=error < floor * (1 - TOLERANCE))
        points, targets = normal(draw, 5, 3), normal(draw, 5)
        network = ReLUNetwork((3, 5, 1), False)
        error = training_error(network, interpolating(points, targets, draw), points, targets)
        seen.add(1, wrong=error > 1e-12)
    return seen


def first_slope(A: Tensor, a: Tensor, f: Tensor, identity: float) -> tuple[float, float]:
    """Return the gradient's norm in the first layer ``cI + A_0``, and the bound of the statement.

    Args:
        A: the matrices ``(H+1, n, n)``.
        a: inputs ``(N, n)``.
        f: targets ``(N, n)``.
        identity: c.
    """
    leaf = A.clone().requires_grad_()
    x = a
    for matrix in leaf:
        x = identity * x + x @ matrix
    error = (x - f).square().sum(-1).mean() / 2
    slope = torch.autograd.grad(error, leaf)[0][0].norm().item()
    norms = np.linalg.norm(A.numpy(), 2, axis=(1, 2))
    moments = a.numpy().T @ (x - f).detach().numpy() / len(a)
    return slope, float(np.prod(1 - norms[1:]) * np.linalg.norm(moments))


@claim(
    "reviews-residual",
    "linear residual networks: critical with all norms below 1 is a global minimum",
    "certified",
    "proved; the theorem is Hardt and Ma's, here for any data",
    hypotheses=("square layers I + A_k", "‖A_k‖_2 < 1", "λ = 0"),
    variant="likewise for the product of the A_k",
    least=120,
)
def check_residual(seed: int) -> Evidence:
    """Check linear residual networks: the gradient of one layer against the least-squares slope.

    The gradient is automatic differentiation through the product, the right side norms and a
    matrix of moments in NumPy.
    """
    seen = Evidence()
    draw = torch_generator(seed, "data")
    for instance in range(120):
        n, depth = 2 + instance % 2, 2 + instance % 3
        A = normal(draw, depth, n, n)
        size = 0.05 + 0.9 * uniform(draw, depth)
        A = A * (size / torch.linalg.matrix_norm(A, 2))[:, None, None]
        a, f = normal(draw, 2, 6, n)
        (slope, floor), (plain, plain_floor) = (first_slope(A, a, f, c) for c in (1.0, 0.0))
        seen.add(
            1,
            wrong=slope < floor * (1 - TOLERANCE),
            refuted=plain < plain_floor * (1 - TOLERANCE),
            ratio=floor / slope,
        )
    return seen
