r"""Training error, regularised loss, frozen loss, and the exact gradient.

The training error is ``ℓ(W) = 1/(2N) Σ_i ‖f(a_i) − y(a_i, W)‖²``, the regularised loss
``ℓ_λ(W) = ℓ(W) + λ/2 ‖W‖²`` with the Euclidean norm of all weights. All functions take one network
or a stack of T; see `pscore.network` for the shapes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from pscore.arguments import not_negative
from pscore.network import ReLUNetwork, Switches, Weights, forward, product


def training_error(
    network: ReLUNetwork, weights: Sequence[Tensor], inputs: Tensor, targets: Tensor
) -> Tensor:
    """Return ``ℓ(W)``, a scalar, or ``(T,)`` for a stack.

    Args:
        network: the architecture.
        weights: matrices ``(n_i, n_{i+1})``, or ``(T, n_i, n_{i+1})``.
        inputs: ``(N, n_0)``, or ``(T, N, n_0)`` for a stack with a data set each.
        targets: ``(N,)`` for a scalar output, else ``(N, n_{H+1})``; or with an axis T in front.

    Raises:
        ValueError: for arrays of other shapes, or with numbers that are not finite.
    """
    return regularized_loss(network, weights, inputs, targets, 0.0)


def regularized_loss(
    network: ReLUNetwork,
    weights: Sequence[Tensor],
    inputs: Tensor,
    targets: Tensor,
    weight_decay: float,
) -> Tensor:
    """Return ``ℓ_λ(W)``, a scalar, or ``(T,)`` for a stack.

    Args:
        network: the architecture.
        weights: as for `training_error`.
        inputs: as for `training_error`.
        targets: as for `training_error`.
        weight_decay: λ, not negative.
    """
    W, a, f = checked(network, weights, inputs, targets, weight_decay)
    return mean_square(forward(network, W, a)[0][-1] - f) + weight_decay / 2 * squared_norm(W)


def frozen_loss(
    network: ReLUNetwork,
    weights: Sequence[Tensor],
    inputs: Tensor,
    targets: Tensor,
    switches: Switches,
    weight_decay: float = 0.0,
) -> Tensor:
    """Return ``φ_λ(W)``: the loss with the switches held constant (Lemma 3, Theorem 3).

    With ``weight_decay`` it is the ``φ_i`` of Theorem 3, which agrees with ``ℓ_λ`` wherever the
    network's own switches are the given ones, and is smooth everywhere.

    Args:
        network: the architecture.
        weights: as for `training_error`.
        inputs: as for `training_error`.
        targets: as for `training_error`.
        switches: as `ReLUNetwork.switches` returns them, taken at any weights.
        weight_decay: λ, not negative; 0 gives the ``φ`` of Lemma 3.
    """
    W, a, f = checked(network, weights, inputs, targets, weight_decay)
    outputs = forward(network, W, a, network.checked_switches(switches))[0][-1]
    return mean_square(outputs - f) + weight_decay / 2 * squared_norm(W)


def gradient(
    network: ReLUNetwork,
    weights: Sequence[Tensor],
    inputs: Tensor,
    targets: Tensor,
    weight_decay: float = 0.0,
    switches: Switches | None = None,
) -> Weights:
    """Return ``∇ℓ_λ(W)`` by backpropagation through the frozen network.

    Where ``ℓ_λ`` is differentiable this is its gradient. At a switch boundary it is the gradient
    of the frozen loss of the side on which the input to the ReLU is not positive.

    Args:
        network: the architecture.
        weights: as for `training_error`.
        inputs: as for `training_error`.
        targets: as for `training_error`.
        weight_decay: λ, not negative.
        switches: those to freeze the loss at, as `ReLUNetwork.switches` returns them; without
            them, the network's own at W.

    Returns:
        one tensor of the shape of each weight matrix.
    """
    W, a, f = checked(network, weights, inputs, targets, weight_decay)
    S = None if switches is None else network.checked_switches(switches)
    return residuals_and_gradient(network, W, a, f, weight_decay, S)[1]


def residuals_and_gradient(
    network: ReLUNetwork,
    W: Weights,
    a: Tensor,
    f: Tensor,
    weight_decay: float,
    switches: Switches | None = None,
) -> tuple[Tensor, Weights]:
    """Return ``y − f`` and ``∇ℓ_λ(W)`` from one forward pass; the arguments are not checked.

    With switches both are those of the loss frozen at them.
    """
    layers, S = forward(network, W, a, switches)
    e = layers[-1] - f
    points = e.shape[-2]
    delta = e * S[-1] if network.output_relu else e
    gradients = [layers[-2].mT @ delta / points + weight_decay * W[-1]]
    for i in range(network.depth - 1, -1, -1):
        delta = product(delta, W[i + 1].mT).mul_(S[i])
        gradients.append(layers[i].mT @ delta / points + weight_decay * W[i])
    return e, tuple(reversed(gradients))


def checked(
    network: ReLUNetwork,
    weights: Sequence[Tensor] | None,
    inputs: Tensor,
    targets: Tensor,
    weight_decay: float = 0.0,
) -> tuple[Weights, Tensor, Tensor]:
    """Return weights, inputs ``(…, N, n_0)`` and targets ``(…, N, n_{H+1})``, all of one dtype.

    Raises:
        ValueError: naming the argument that is wrong.
    """
    if not isinstance(network, ReLUNetwork):
        raise ValueError(f"network must be a ReLUNetwork, not {type(network).__name__}")
    not_negative("weight_decay", weight_decay)
    W = network.checked_weights(weights)
    a = network.checked_inputs(inputs, W)
    return W, a, network.checked_targets(targets, a, W)


def mean_square(e: Tensor) -> Tensor:
    """Return ``1/(2N) Σ_i ‖e_i‖²`` of residuals ``(…, N, n_{H+1})``."""
    return torch.linalg.vecdot(e, e, dim=-2).sum(-1) / (2 * e.shape[-2])


def squared_norm(weights: Weights) -> Tensor:
    """Return ``‖W‖²``, the sum of the squares of all weights; ``(T,)`` for a stack."""
    return torch.stack([W.square().sum(dim=(-2, -1)) for W in weights]).sum(0)
