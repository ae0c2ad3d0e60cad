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
from torch import Tensor
from torch.func import grad, jacrev

from evidence.claims import Evidence, claim
from evidence.instances import normal, uniform
from evidence.measures import TOLERANCE
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
