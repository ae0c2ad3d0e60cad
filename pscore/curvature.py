r"""Exact Hessians of the frozen loss of small networks.

With the switches held constant the output ``ỹ`` is a polynomial of degree at most one in each
weight matrix, so its second derivatives couple different layers only, and each is a product of
three factors: what reaches the earlier weight, the way between the two, and what leaves the later
one. The Hessian of the frozen loss ``φ_λ = 1/(2N) Σ ‖f − ỹ‖² + λ/2 ‖W‖²`` is

.. math:: H(φ_λ) = (1/N) Σ_i (∇ỹ_i ∇ỹ_i^T + ẽ_i ∇²ỹ_i) + λ I,

the Gauss–Newton term, which is never negative, the residual term, which Lemma 3 bounds, and the
weight decay. Where ``ℓ_λ`` is twice differentiable it is the Hessian of ``ℓ_λ``.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from pscore.loss import checked
from pscore.network import ReLUNetwork, Switches, Weights, forward


def frozen_hessian(
    network: ReLUNetwork,
    weights: Sequence[Tensor],
    inputs: Tensor,
    targets: Tensor,
    weight_decay: float = 0.0,
    switches: Switches | None = None,
) -> Tensor:
    """Return the Hessian of the frozen regularised loss.

    Args:
        network: the architecture.
        weights: matrices ``(n_i, n_{i+1})``, or ``(T, n_i, n_{i+1})`` for a stack.
        inputs: ``(N, n_0)``, or ``(T, N, n_0)``.
        targets: ``(N,)`` or ``(N, n_{H+1})``, or with an axis T in front.
        weight_decay: λ, not negative.
        switches: hold these constant; by default the network's own at ``weights``.

    Returns:
        ``(m, m)``, or ``(T, m, m)``, rows and columns in the order of `flatten`. Memory grows as
        ``T N m``: meant for networks of at most a few hundred weights.
    """
    W, a, f = checked(network, weights, inputs, targets, weight_decay)
    held = None if switches is None else network.checked_switches(switches)
    layers, S = forward(network, W, a, held)
    e = layers[-1] - f
    leaving = _sensitivities(network, W, S)
    jacobian = _jacobian(layers, leaving)
    gauss_newton = jacobian.mT @ jacobian
    hessian = (gauss_newton + _residual_term(network, W, S, layers, leaving, e)) / e.shape[-2]
    return hessian + weight_decay * torch.eye(network.parameter_count).to(hessian)


def frozen_jacobian(
    network: ReLUNetwork,
    weights: Sequence[Tensor],
    inputs: Tensor,
    switches: Switches | None = None,
) -> Tensor:
    """Return the derivatives of all outputs of the frozen network by all weights.

    Args:
        network: the architecture.
        weights: matrices ``(n_i, n_{i+1})``, or ``(T, n_i, n_{i+1})`` for a stack.
        inputs: ``(N, n_0)``, or ``(T, N, n_0)``.
        switches: hold these constant; by default the network's own at ``weights``.

    Returns:
        ``(N n_{H+1}, m)``, or ``(T, N n_{H+1}, m)``: a row for each data point and output, those
        of one data point together; columns in the order of `flatten`.
    """
    W = network.checked_weights(weights)
    a = network.checked_inputs(inputs, W)
    held = None if switches is None else network.checked_switches(switches)
    layers, S = forward(network, W, a, held)
    return _jacobian(layers, _sensitivities(network, W, S))


def _jacobian(layers: list[Tensor], leaving: list[Tensor]) -> Tensor:
    """``∂ỹ/∂W``, ``(…, N n_{H+1}, m)``."""
    return torch.cat(
        [
            torch.einsum("...np,...noq->...nopq", x, dy).flatten(-2)
            for x, dy in zip(layers, leaving, strict=False)
        ],
        dim=-1,
    ).flatten(-3, -2)


def _sensitivities(network: ReLUNetwork, W: Weights, S: Switches) -> list[Tensor]:
    """``∂ỹ/∂z_{i+1}`` for the input of each activation, ``(…, N, n_{H+1}, n_{i+1})``."""
    leaving = [torch.eye(network.widths[-1]).to(W[0]) * S[-1].unsqueeze(-2)]
    for i in range(network.depth - 1, -1, -1):
        before = torch.einsum("...noq,...pq->...nop", leaving[-1], W[i + 1])
        leaving.append(before * S[i].unsqueeze(-2))
    return leaving[::-1]


def _residual_term(
    network: ReLUNetwork,
    W: Weights,
    S: Switches,
    layers: list[Tensor],
    leaving: list[Tensor],
    e: Tensor,
) -> Tensor:
    """``Σ_i e_i ∇²ỹ_i``, block by block: layers i < j, zero within a layer."""
    sizes = [rows * columns for rows, columns in network.shapes]
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    m = network.parameter_count
    total = W[0].new_zeros(*W[0].shape[:-2], m, m)
    for i in range(len(W)):
        way = torch.diag_embed(S[i])
        for j in range(i + 1, len(W)):  # way: from z_{i+1} to layer j, (…, N, n_{i+1}, n_j)
            pull = torch.einsum("...noq,...no->...nq", leaving[j], e)
            block = torch.einsum("...np,...nqu,...nv->...pquv", layers[i], way, pull)
            block = block.flatten(-4, -3).flatten(-2, -1)
            rows = slice(starts[i], starts[i] + sizes[i])
            columns = slice(starts[j], starts[j] + sizes[j])
            total[..., rows, columns] = block
            total[..., columns, rows] = block.mT
            way = torch.einsum("...nqu,...uv->...nqv", way, W[j]) * S[j].unsqueeze(-2)
    return total


def curvature_along(g: Tensor, hessian_g: Tensor) -> Tensor:
    r"""Return the left-hand side of (17), :math:`2 g^T\mathbf{H}g / \|g\|^2`.

    Along the gradient flow it is :math:`\ddot\gamma / \|\dot W\|^2`, eq. (16); along the path's
    arc length the second derivative of the loss, times two.

    Args:
        g: gradients ``(…, m)``.
        hessian_g: the Hessian times each, ``(…, m)``.

    Returns:
        ``(…,)``; nan where g = 0.
    """
    return 2 * torch.linalg.vecdot(g, hessian_g) / torch.linalg.vecdot(g, g)


def least_eigenvalue(hessian: Tensor) -> Tensor:
    """Return the least eigenvalue of a symmetric matrix ``(…, m, m)``."""
    return torch.linalg.eigvalsh(hessian)[..., 0]


def flatten(weights: Sequence[Tensor]) -> Tensor:
    """Return all weights in one vector ``(…, m)``, layer by layer, each row by row."""
    return torch.cat([W.flatten(-2) for W in weights], dim=-1)


def unflatten(network: ReLUNetwork, vector: Tensor) -> Weights:
    """Return the matrices that `flatten` made the vector ``(…, m)`` of."""
    sizes = [rows * columns for rows, columns in network.shapes]
    return tuple(
        part.unflatten(-1, shape)
        for part, shape in zip(vector.split(sizes, dim=-1), network.shapes, strict=True)
    )
