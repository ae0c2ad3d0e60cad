r"""The certified set U(λ, θ), eq. (6), and three sharper ones.

Lemma 3 bounds the negative curvature of the frozen loss φ at W from below, ``φ'' ≥ −κ(W) ‖X‖²``.
Weight decay adds ``λ ‖X‖²``, so the frozen regularised loss is θ-strongly convex where
``κ(W) < λ − θ``. Each set here is such a condition, with its own κ, largest first:

========== ========================================== =========================================
name       κ(W), times ``ReLUNetwork.gain``           source
========== ========================================== =========================================
paper      ``√2 H(H+1) r ℓ^{1/2} ‖W‖_*^{H−1}``          eqs (4), (6)
sharp      ``√2 H r ℓ^{1/2} ‖W‖_*^{H−1}``               H in place of H(H+1); ours
layerwise  ``√2 r ℓ^{1/2} λ_max(M)``                    ``M_ij = ∏_{k≠i,j} ‖W_k‖_2``, 0 for i = j
data       ``(1/N) Σ ‖e_i‖ ‖a_i‖ λ_max(M)``             the data's own mean for ``√2 r ℓ^{1/2}``
========== ========================================== =========================================

so that U = U_paper ⊂ U_sharp ⊂ U_layerwise ⊂ U_data. At H = 1 read ``‖W‖_*^0`` as 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pscore.arguments import not_negative, positive
from pscore.loss import checked, mean_square
from pscore.network import ReLUNetwork, Weights, forward
from pscore.sequential import with_constant


@dataclass(frozen=True)
class Certificate:
    """What one set says of one network, or of each network of a stack.

    Attributes:
        margin: ``λ − κ(W)``, the supremum of the θ with W in the set; not positive outside.
            A float, or a tensor ``(T,)`` for a stack.
        inside: whether W lies in the set for some θ > 0. A bool, or a tensor ``(T,)``.
    """

    margin: float | Tensor
    inside: bool | Tensor


def certify(
    network: ReLUNetwork | nn.Sequential,
    weights: Sequence[Tensor] | None,
    inputs: Tensor,
    targets: Tensor,
    weight_decay: float,
) -> dict[str, Certificate]:
    """Ask of a network whether its weights lie in each of the certified sets.

    Args:
        network: the architecture; or a torch model that `ReLUNetwork.from_sequential` takes.
        weights: matrices ``(n_i, n_{i+1})``, or ``(T, n_i, n_{i+1})`` for a stack; of a torch model
            None, which has its own.
        inputs: ``(N, n_0)``, or ``(T, N, n_0)``; the column of ones for the bias of a torch
            model's first layer is added here.
        targets: ``(N,)`` or ``(N, n_{H+1})``, or with an axis T in front.
        weight_decay: λ > 0, of all weights and that bias.

    Returns:
        the sets' names ``"paper"``, ``"sharp"``, ``"layerwise"``, ``"data"``, from the smallest
        set to the largest, each with its `Certificate`. Rounding is not accounted for: a margin
        below the precision of the arithmetic decides nothing.

    Raises:
        ValueError: for λ ≤ 0, arrays of wrong shapes, or numbers that are not finite.
    """
    positive("weight_decay", weight_decay)
    if isinstance(network, nn.Module):
        if weights is not None:
            raise ValueError("weights must be None: the model has its own")
        model = network
        network, weights = ReLUNetwork.from_sequential(model)
        inputs = with_constant(model, inputs)
    W, a, f = checked(network, weights, inputs, targets, weight_decay)
    bounds = curvature_bounds(network, W, a, forward(network, W, a)[0][-1] - f)
    certificates = {}
    for name, bound in bounds.items():
        margin = weight_decay - bound
        one = margin.ndim == 0
        certificates[name] = Certificate(
            margin=margin.item() if one else margin,
            inside=bool(margin > 0) if one else margin > 0,
        )
    return certificates


def in_certified_set(
    network: ReLUNetwork,
    weights: Sequence[Tensor],
    inputs: Tensor,
    targets: Tensor,
    weight_decay: float,
    theta: float,
) -> bool | Tensor:
    """Return whether W lies in U(λ, θ), eq. (6).

    Args:
        network: the architecture.
        weights: as for `certify`.
        inputs: as for `certify`.
        targets: as for `certify`.
        weight_decay: λ.
        theta: θ with 0 < θ < λ.

    Raises:
        ValueError: unless 0 < θ < λ, or for bad arrays.
    """
    require_theta(weight_decay, theta)
    margin = certify(network, weights, inputs, targets, weight_decay)["paper"].margin
    return margin > theta


def loss_threshold(
    network: ReLUNetwork,
    weight_decay: float,
    theta: float,
    data_radius: float,
    norm_bound: float = 1.0,
) -> float:
    """Return the threshold form, the right-hand side of (7), for the training error itself.

    Every W with ``‖W‖_* ≤ R`` and ``ℓ(W)`` below this number lies in U(λ, θ). It is the *square*
    of (7)'s right-hand side, which bounds ``ℓ^{1/2}``: ``((λ − θ) / (√2 H(H+1) r R^{H−1}))²``.

    Args:
        network: the architecture.
        weight_decay: λ.
        theta: θ with 0 < θ < λ; or 0 for the threshold of U(λ), the union over θ, eq. (14).
        data_radius: r, with ‖a_i‖ ≤ r for every input; 0 if all inputs are 0.
        norm_bound: R, the radius of the norm ball; it has no say at H = 1.

    Returns:
        the threshold; infinite if ``r R^{H−1} = 0``, where nothing bounds the training error.
    """
    if theta:
        require_theta(weight_decay, theta)
    positive("weight_decay", weight_decay)
    not_negative("data_radius", data_radius)
    not_negative("norm_bound", norm_bound)
    H = network.depth
    slope = math.sqrt(2) * H * (H + 1) * network.gain * data_radius * norm_bound ** (H - 1)
    return math.inf if slope == 0 else ((weight_decay - theta) / slope) ** 2


def curvature_bounds(network: ReLUNetwork, W: Weights, a: Tensor, e: Tensor) -> dict[str, Tensor]:
    """Return each set's κ(W): the frozen loss has ``φ'' ≥ −κ ‖X‖²`` in every direction X.

    Whatever switches gave the residuals e, the bound is for the loss frozen at those switches.
    Nothing is checked: `certify` is for arrays that come from outside.

    Args:
        network: the architecture.
        W: the weights.
        a: inputs ``(…, N, n_0)``.
        e: residuals ``ỹ(a_i, W) − f(a_i)``, ``(…, N, n_{H+1})``.

    Returns:
        the sets' names, each with a scalar or a tensor ``(T,)``.
    """
    H = network.depth
    residuals, lengths = torch.linalg.vector_norm(e, dim=-1), torch.linalg.vector_norm(a, dim=-1)
    root = math.sqrt(2) * network.gain * mean_square(e).sqrt() * lengths.amax(-1)
    mean = network.gain / a.shape[-2] * torch.linalg.vecdot(residuals, lengths)
    if H == 1:  # no layer lies between the two that a second derivative moves
        return {"paper": 2 * root, "sharp": root, "layerwise": root, "data": mean}
    norms = spectral_norms(W)
    powers, coupling = norms.amax(-1) ** (H - 1), layer_coupling(norms)
    return {
        "paper": H * (H + 1) * root * powers,
        "sharp": H * root * powers,
        "layerwise": root * coupling,
        "data": mean * coupling,
    }


def spectral_norms(W: Weights) -> Tensor:
    """Return the operator norms ``‖W_0‖_2, …, ‖W_H‖_2``, a tensor ``(…, H+1)``."""
    return torch.stack([_spectral_norm(matrix) for matrix in W], dim=-1)


def _spectral_norm(matrix: Tensor) -> Tensor:
    """The largest singular value; of a row or a column it is the Euclidean length."""
    if 1 in matrix.shape[-2:]:
        return torch.linalg.vector_norm(matrix, dim=(-2, -1))
    return torch.linalg.matrix_norm(matrix, ord=2)


def star_norm(W: Weights) -> Tensor:
    """Return ``‖W‖_* = max_i ‖W_i‖_2``, Definition 1; ``(T,)`` for a stack."""
    return spectral_norms(W).amax(-1)


def data_radius(a: Tensor) -> Tensor:
    """Return the smallest r with ``‖a_i‖ ≤ r`` for all inputs ``(…, N, n_0)``, eq. (5)."""
    return torch.linalg.vector_norm(a, dim=-1).amax(-1)


def layer_coupling(norms: Tensor) -> Tensor:
    r"""Return ``λ_max(M)`` for ``M_ij = ∏_{k≠i,j} ‖W_k‖_2`` (i ≠ j) and ``M_ii = 0``.

    ``|ỹ''| ≤ ‖a‖ Σ_{i≠j} ‖X_i‖ ‖X_j‖ M_ij``, so its largest eigenvalue bounds the curvature of the
    output in a direction of unit length. All norms equal to s give ``H s^{H−1}``.

    Args:
        norms: the layers' operator norms ``(…, H+1)``.
    """
    count = norms.shape[-1]
    M = norms.new_zeros(*norms.shape, count)
    for i in range(count):
        for j in range(i):
            others = [k for k in range(count) if k not in (i, j)]
            M[..., i, j] = M[..., j, i] = norms[..., others].prod(-1)
    return torch.linalg.eigvalsh(M)[..., -1]


def require_theta(weight_decay: float, theta: float) -> None:
    """Refuse θ outside (0, λ)."""
    positive("weight_decay", weight_decay)
    if not 0 < theta < weight_decay:
        raise ValueError(f"theta must lie in (0, weight_decay) = (0, {weight_decay}); got {theta}")
