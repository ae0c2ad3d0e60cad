"""Second computations, which share nothing with what they check but the instance.

Second derivatives are read off values of the loss, norms are NumPy's, subgradients are limits of
gradients. At the end stand the constants of eqs (8) to (10), and where a plain descent ends.
"""

import numpy as np
import torch
from torch import Tensor

from evidence.instances import ball
from pscore.certificate import certify, curvature_bounds
from pscore.curvature import flatten, frozen_hessian, unflatten
from pscore.descent import descend
from pscore.instance import Instance
from pscore.loss import checked, frozen_loss, gradient, squared_norm
from pscore.network import ReLUNetwork, Switches, Weights, forward
from pscore.seeds import torch_generator

TOLERANCE = 1e-9  # of the larger side: what float64 may lose between the two computations


def exceeds(value: Tensor, bound: Tensor | float) -> Tensor:
    """Where a value is above its bound by more than rounding."""
    return value > bound + TOLERANCE * (1 + value.abs())


def second_derivative(stack: Instance, X: Weights, switches: Switches) -> Tensor:
    """Return ``d²/dt² φ(W + tX)`` at t = 0 from 2(H+1) + 1 values of φ, a tensor ``(T,)``."""
    network, W, a, f = stack
    degree = 2 * (network.depth + 1)
    nodes = np.cos(np.pi * np.arange(degree + 1) / degree)
    weights_of_values = 2 * np.linalg.inv(np.vander(nodes, increasing=True))[2]
    total = torch.zeros(len(W[0]), dtype=W[0].dtype)
    for t, weight in zip(nodes, weights_of_values, strict=True):
        moved = [w + t * x for w, x in zip(W, X, strict=True)]
        total = total + weight * frozen_loss(network, moved, a, f, switches)
    return total


def worst_direction(stack: Instance, switches: Switches) -> Weights:
    """Return the unit direction of each network's least curvature, by the exact Hessian."""
    hessian = frozen_hessian(*stack, switches=switches)
    return unflatten(stack.network, torch.linalg.eigh(hessian)[1][..., 0])


def outputs_and_targets(stack: Instance, switches: Switches | None = None) -> tuple[Tensor, Tensor]:
    """Return both as ``(T, N, n_{H+1})``, at the networks' own switches or frozen."""
    W, a, f = checked(*stack)
    held = None if switches is None else stack.network.checked_switches(switches)
    return forward(stack.network, W, a, held)[0][-1], f


def kappas(stack: Instance, switches: Switches | None = None) -> dict[str, Tensor]:
    """Return each set's κ for the loss at the networks' own switches, or frozen, ``(T,)`` each."""
    y, f = outputs_and_targets(stack, switches)
    return curvature_bounds(stack.network, stack.W, stack.a, y - f)


def both_sides(
    stack: Instance, switches: Switches | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return ``−φ''`` in the worst direction, and every bound on it."""
    held = stack.switches() if switches is None else switches
    curvature = second_derivative(stack, worst_direction(stack, held), held)
    return -curvature, kappas(stack, held)


def residual_and_radius(stack: Instance) -> tuple[Tensor, Tensor]:
    """Return ``√(2ℓ)`` and ``r`` of each network, in NumPy's arithmetic."""
    e = stack.residuals().numpy().reshape(*stack.a.shape[:2], -1)
    rms = np.sqrt(np.square(e).sum(-1).mean(-1))
    return torch.from_numpy(rms), torch.from_numpy(np.linalg.norm(stack.a.numpy(), axis=-1).max(-1))


SETS = ("paper", "sharp", "layerwise", "data")


def norms_in_numpy(stack: Instance) -> dict[str, np.ndarray]:
    """Return each network's κ for each of the sets, from NumPy's singular values alone."""
    H = stack.network.depth
    e = stack.residuals().numpy().reshape(*stack.a.shape[:2], stack.network.widths[-1])
    lengths, residuals = (np.linalg.norm(x, axis=-1) for x in (stack.a.numpy(), e))
    norms = np.stack([np.linalg.svd(W.numpy())[1][..., 0] for W in stack.W], axis=-1)
    root = lengths.max(-1) * np.sqrt(np.square(residuals).mean(-1))
    M = np.zeros((*norms.shape, H + 1))
    for j in range(H + 1):
        for k in range(H + 1):
            if j != k:
                M[..., j, k] = np.delete(norms, (j, k), axis=-1).prod(-1)
    top, star = np.linalg.eigvalsh(M)[..., -1], norms.max(-1) ** (H - 1)
    mean = (residuals * lengths).mean(-1)
    kappa = (H * (H + 1) * root * star, H * root * star, root * top, mean * top)
    return dict(zip(SETS, (stack.network.gain * k for k in kappa), strict=True))


def ball_counts(
    network: ReLUNetwork,
    a: Tensor,
    f: Tensor,
    weight_decay: float,
    radius: float,
    count: int = 2000,
    seed: int = 0,
) -> dict[str, int]:
    """Count how many of ``count`` uniform points of a ball of weight space lie in each set.

    Args:
        network: the architecture.
        a: inputs ``(N, n_0)``.
        f: targets.
        weight_decay: λ.
        radius: of the ball ``‖W‖ ≤ R``.
        count: how many points.
        seed: of the points.
    """
    W = ball(network, radius, count, torch_generator(seed, "initialization"))
    found = certify(network, W, a, f, weight_decay)
    return {name: int(torch.as_tensor(found[name].inside).sum()) for name in SETS}


ROUNDING = 1e-8  # what float64 may lose in a gradient, or at a point that descent found


def a_step_away(stack: Instance, draw: torch.Generator) -> Instance:
    """Return the networks 1e-7 away in random directions: on one of the pieces that meet at W."""
    step = [torch.randn(w.shape, generator=draw, dtype=w.dtype) for w in stack.W]
    return stack.at(tuple(w + 1e-7 * x for w, x in zip(stack.W, step, strict=True)))


def clarke_gradient(stack: Instance, weight_decay: float, draw: torch.Generator) -> Weights:
    """Return a random element of Clarke's subdifferential: a mixture of four limits of gradients.

    Each limit is the gradient at W of the loss frozen at the switches of a point `a_step_away`.
    """
    share = torch.rand(4, len(stack.a), generator=draw, dtype=torch.float64)
    share = share / share.sum(0)
    total = [torch.zeros_like(w) for w in stack.W]
    for part in share:
        S = a_step_away(stack, draw).switches()
        for i, g in enumerate(gradient(*stack, weight_decay, S)):
            total[i] = total[i] + part.reshape(-1, 1, 1) * g
    return tuple(total)


def share_of_bound(stack: Instance, G: Weights, weight_decay: float) -> Tensor:
    """Return ``(λ‖W‖² − ⟨G, W⟩) H / (D λ_max(M) ‖W‖²)``: at most 1, and 1 at equality."""
    square = squared_norm(stack.W)
    inner = (flatten(G) * flatten(stack.W)).sum(-1)
    kappa = torch.from_numpy(norms_in_numpy(stack)["data"])
    return (weight_decay * square - inner) * stack.network.depth / (kappa * square)


def paper_constant(depth: int) -> float:
    """Return ``c = (H(H+1))^{−2/H}``; the right-hand side of (8) is ``c λ^{1+1/H} / (2 r^{2/H})``.

    Args:
        depth: H, at least 1.
    """
    return (depth * (depth + 1)) ** (-2 / depth)


def best_constant(depth: int) -> float:
    """Return ``c = H² (H−1)^{−(H−1)/H}``, the largest for which 0 is the only global minimiser.

    Args:
        depth: H, at least 1; at H = 1 read 0⁰ as 1.
    """
    return depth**2 * (depth - 1) ** (-(depth - 1) / depth) if depth > 1 else 1.0


def needed_weight_decay(
    network: ReLUNetwork, loss_at_zero: float, radius: float, constant: float | None = None
) -> float:
    """Return the λ at which (10) turns true: it holds for all larger ones.

    Args:
        network: the architecture.
        loss_at_zero: ``ℓ(0)``, the left-hand side of (9) and (10).
        radius: r > 0.
        constant: c in the right-hand side of (8); by default the paper's.

    Returns:
        ``(2 ℓ(0) (gain · r)^{2/H} / c)^{H/(H+1)}``.
    """
    H = network.depth
    c = paper_constant(H) if constant is None else constant
    return (2 * loss_at_zero * (network.gain * radius) ** (2 / H) / c) ** (H / (H + 1))


def end_of_descent(at: Instance, decay: float, rate: float, steps: int) -> tuple[Weights, Tensor]:
    """Return where gradient descent with a learning rate ends, and ``ℓ_λ`` there, ``(T,)``."""
    problem, states = descend(*at, weight_decay=decay, learning_rate=rate, steps=steps)
    *_, last = states
    return last.W, problem.loss(last)


def inside(at: Instance, weight_decay: float, name: str = "paper") -> Tensor:
    """Return which networks of a stack are in a set, ``(T,)``."""
    return torch.as_tensor(certify(*at, weight_decay)[name].inside)


def numerical_rank(matrix: Tensor) -> Tensor:
    """Return how many singular values are not small, ``(…,)``."""
    return torch.linalg.matrix_rank(matrix, atol=TOLERANCE, rtol=TOLERANCE)
