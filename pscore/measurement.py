r"""The second derivative of a loss along its own gradient, at one point.

Along the gradient flow (15) the loss is a function of time alone,
:math:`\gamma(t) = \ell_\lambda(W(t))`, whose second derivative is, by (16),

.. math:: \ddot\gamma = 2\, g^T \mathbf{H} g, \qquad g = \nabla\ell_\lambda(W),
          \quad \mathbf{H} = \mathbf{H}(\ell_\lambda)(W),

and which (17) divides by :math:`\|g\|^2`. `measure` computes that quotient for one loss,
`measure_mean` for a mean of losses; what they cannot measure they refuse by name.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, distributed, nn

from pscore.arguments import not_negative, positive
from pscore.curvature import curvature_along
from pscore.twice import CheapTwice

# What torch says where it has no second derivative, and what to do.
REMEDIES = {
    "does not currently support double backward": "the model is compiled, and torch.compile makes "
    "no second derivatives: compute the loss by the model that was compiled (model._orig_mod), or "
    "compile it with backend='eager'",
    "is not implemented": "an operation has no second derivative in torch; for fused attention run "
    "the forward pass in probe.forward(), or under torch.nn.attention.sdpa_kernel(SDPBackend.MATH)",
    "incompatible with .grad()": "activations are checkpointed in the reentrant way, which knows "
    "loss.backward() alone: use checkpoint(..., use_reentrant=False)",
}


class Measurement(NamedTuple):
    r"""What is measured at one point W, for the regularised loss :math:`\ell_\lambda`.

    Attributes:
        loss: :math:`\ell_\lambda(W)`: the loss passed in, plus :math:`\frac\lambda2\|W\|^2`.
        squared_gradient_norm: :math:`\|g\|^2 = \|\nabla\ell_\lambda(W)\|^2`, which is
            :math:`-\dot\gamma`.
        curvature: the left-hand side of (17), :math:`2 g^T\mathbf{H}g / \|g\|^2`, in units of
            one over time; nan where g = 0.
    """

    loss: float
    squared_gradient_norm: float
    curvature: float


def measure(
    loss: Tensor,
    parameters: Sequence[Tensor],
    weight_decay: float | Sequence[float] = 0.0,
    *,
    scale: float = 1.0,
    retain_graph: bool = False,
    over_ranks: bool = False,
) -> tuple[Measurement, list[Tensor | None]]:
    r"""Measure the curvature (17) of a regularised loss along its own gradient.

    With :math:`\ell` the loss passed in, :math:`\ell_\lambda = \ell + \frac\lambda2\|W\|^2` and
    :math:`g = \nabla\ell + \lambda W`, weight decay adds :math:`\lambda I` to the Hessian, so

    .. math:: \frac{2\, g^T \mathbf{H}(\ell_\lambda)\, g}{\|g\|^2}
              = \frac{2\, g^T \mathbf{H}(\ell)\, g}{\|g\|^2} + 2\lambda

    exactly, where g is the gradient of the *regularised* loss in both quotients. The product
    :math:`\mathbf{H}(\ell)\, g` is the gradient of :math:`\nabla\ell^T v` with v held at g: half
    the gradient of :math:`\|\nabla\ell_\lambda\|^2` in (19), and like it one more
    backpropagation through the first. Both passes share one forward pass, so batch norm sees one
    batch, and dropout one mask.

    The regulariser runs over every parameter passed in. One that the loss does not reach counts
    with the gradient :math:`\lambda W` there. What requires no gradient is a constant, and is
    left out altogether.

    In half precision, of weights or under autocast, gradients and the product are rounded as the
    model rounds, and only the sums are made in float32.

    Args:
        loss: the scalar :math:`\ell(W)` with its graph, without the weight decay term. The graph
            is used up, as `loss.backward()` would.
        parameters: the weights W, leaf tensors of any shapes on one device.
        weight_decay: :math:`\lambda \ge 0`, of all parameters or one for each, in their order.
        scale: what the loss was multiplied by, as for mixed precision; it is divided out.
        retain_graph: keep the graph, for a ``loss.backward()`` to come.
        over_ranks: measure the mean of all processes' losses, whose parameters are the same, as
            distributed data parallel minimises it. All have to call this.

    Returns:
        The measurement, and the gradient of the loss passed in (not of :math:`\ell_\lambda`; scaled
        as it is), one tensor a parameter, None where the loss does not reach it.

    Raises:
        ValueError: if the loss is no scalar or has no graph, if no parameter requires a gradient,
            if one is passed twice, is complex, sharded or has a sparse gradient, or if torch has
            no second derivative of the loss.
        FloatingPointError: if the loss or a gradient is not finite.
    """
    free = free_of(parameters)
    decay = _decay(weight_decay, parameters)
    positive("scale", scale)
    check_loss(loss)
    value = loss.item() / scale
    with _differentiable_twice():
        gradients = torch.autograd.grad(loss, free, create_graph=True, allow_unused=True)
        if any(gradient is None for gradient in gradients):
            _check_reached(loss)
    weights, g = flat(free, free), flat(gradients, free) / scale
    if over_ranks:
        value, g = _mean_over_ranks(g.new_tensor([value])).item(), _mean_over_ranks(g)
    if not math.isfinite(value):
        raise FloatingPointError(f"the loss is {value}")
    g = g + decay * weights
    squared_norm = _squared_norm(g)
    product = flat(hessian_product(gradients, free, g, retain_graph), free) / scale
    if over_ranks:
        product = _mean_over_ranks(product)
    value += torch.dot(weights, decay * weights).item() / 2
    measurement = _measurement(value, squared_norm, g, product + decay * g)
    by_parameter = dict(zip(map(id, free), gradients, strict=True))
    found = [by_parameter.get(id(parameter)) for parameter in parameters]
    return measurement, [None if gradient is None else gradient.detach() for gradient in found]


def measure_mean(
    losses: Callable[[], Iterable[tuple[Tensor, float]]],
    model: nn.Module,
    weight_decay: float = 0.0,
) -> Measurement:
    r"""Measure the curvature (17) of a mean of losses that do not fit into memory together.

    ::

        def losses():
            for x, y in batches:
                yield loss_fn(model(x), y), len(y)

        measure_mean(losses, model, weight_decay=5e-4)

    The loss is :math:`\ell = \sum_b n_b \ell_b / \sum_b n_b`, the :math:`n_b` being the weights:
    that of a whole training set, taken in pieces. The pieces are gone through twice, once for the
    gradient and once for the Hessian times it. Both times torch's random numbers are the same,
    and with them dropout's masks and the order of a shuffled loader. Batch norm in training mode
    normalises every piece by itself, so there the pieces are part of what is measured.

    Nothing is left behind: neither ``.grad``, nor the model's buffers (batch norm's running
    means), nor the random state is changed.

    Args:
        losses: a function that goes through all pieces whenever it is called, giving the loss of
            each, with its graph, and its weight.
        model: the model whose parameters are meant; the regulariser runs over those that require a
            gradient.
        weight_decay: :math:`\lambda \ge 0`.

    Raises:
        ValueError: if there are no pieces, or a weight is not positive, or as in `measure`.
        FloatingPointError: if the loss or the gradient is not finite.
    """
    not_negative("weight_decay", weight_decay)
    free = free_of(list(model.parameters()))
    devices = {parameter.device for parameter in free if parameter.is_cuda}
    with kept(model.buffers()):
        with torch.random.fork_rng(devices):
            value, g = _mean_gradient(losses, free)
        weights = flat(free, free)
        g += weight_decay * weights
        if not math.isfinite(value):
            raise FloatingPointError(f"the loss is {value}")
        squared_norm = _squared_norm(g)
        with torch.random.fork_rng(devices), CheapTwice():
            hessian_g = _mean_hessian_product(losses, free, g) + weight_decay * g
    value += weight_decay / 2 * torch.dot(weights, weights).item()
    return _measurement(value, squared_norm, g, hessian_g)


@contextmanager
def kept(buffers: Iterable[Tensor]) -> Iterator[None]:
    """Give some tensors back the values that they had; those that kept them are not touched."""
    before = [(buffer, buffer.clone()) for buffer in buffers]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, values in before:
                if not torch.equal(buffer, values):
                    buffer.copy_(values)


def free_of(parameters: Sequence[Tensor]) -> list[Tensor]:
    """Return the parameters that require a gradient, each known to be there once."""
    if wrong := [item for item in parameters if not isinstance(item, Tensor)]:
        raise TypeError(
            f"parameters must be tensors, such as model.parameters(), not {type(wrong[0]).__name__}"
        )
    if len({id(parameter) for parameter in parameters}) < len(parameters):
        raise ValueError("parameters holds a tensor twice: pass each weight once")
    free = [parameter for parameter in parameters if parameter.requires_grad]
    if not free:
        raise ValueError(
            "parameters holds no tensor that requires a gradient"
            " (a generator such as model.parameters() can be read only once)"
        )
    if any(parameter.is_complex() for parameter in free):
        raise ValueError("parameters holds a complex tensor: pass its real and imaginary parts")
    if any(type(parameter).__name__ in ("DTensor", "FlatParameter") for parameter in free):
        raise ValueError("parameters holds shards of weights: measure the model before sharding it")
    return free


def check_loss(loss: Tensor) -> None:
    """Refuse what is no scalar with a graph."""
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        shape = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise ValueError(f"loss must be a scalar tensor, not {shape}: take its mean or its sum")
    if not loss.requires_grad:
        raise ValueError("loss has no graph: compute it from the model outside torch.no_grad()")


@contextmanager
def _differentiable_twice() -> Iterator[None]:
    """Say what to do where torch says only that it cannot."""
    try:
        yield
    except RuntimeError as error:
        for said, remedy in REMEDIES.items():
            if said in str(error):
                raise ValueError(f"the loss cannot be differentiated twice: {remedy}") from error
        raise


def _check_reached(loss: Tensor) -> None:
    """Refuse a graph that hides weights, which torch then takes for unused without a word."""
    nodes, seen = [loss.grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node.name() == "CheckpointFunctionBackward":
            raise RuntimeError("incompatible with .grad()")
        nodes.extend(further for further, _ in node.next_functions)


def _decay(weight_decay: float | Sequence[float], parameters: Sequence[Tensor]) -> float | Tensor:
    """Return λ, or the vector with each free parameter's λ at each of its entries."""
    if not isinstance(weight_decay, Sequence):
        not_negative("weight_decay", weight_decay)
        return weight_decay
    if len(weight_decay) != len(parameters):
        raise ValueError(
            f"weight_decay must be one number, or one for each of the {len(parameters)} "
            f"parameters; got {len(weight_decay)}"
        )
    for value in weight_decay:
        not_negative("weight_decay", value)
    pairs = zip(weight_decay, parameters, strict=True)
    free = [(value, parameter) for value, parameter in pairs if parameter.requires_grad]
    each = [torch.full_like(parameter, value) for value, parameter in free]
    return flat(each, each)


def _mean_over_ranks(values: Tensor) -> Tensor:
    distributed.all_reduce(values)
    return values / distributed.get_world_size()


def _squared_norm(g: Tensor) -> float:
    """Return ‖g‖², known to be finite before anything is differentiated once more."""
    squared_norm = torch.dot(g, g).item()
    if not math.isfinite(squared_norm):
        raise FloatingPointError(f"the squared norm of the gradient is {squared_norm}")
    return squared_norm


def _measurement(loss: float, squared_norm: float, g: Tensor, hessian_g: Tensor) -> Measurement:
    """Put together the regularised loss, its gradient and the Hessian times it."""
    return Measurement(loss, squared_norm, curvature_along(g, hessian_g).item())


def _mean_gradient(
    losses: Callable[[], Iterable[tuple[Tensor, float]]], parameters: Sequence[Tensor]
) -> tuple[float, Tensor]:
    """Return the weighted mean of the losses, and its gradient as one vector."""
    total, value, g = 0.0, 0.0, torch.zeros_like(flat(parameters, parameters))
    for loss, weight in losses():
        check_loss(loss)
        if not 0 < weight < math.inf:
            raise ValueError(f"losses gave the weight {weight}: it must be positive and finite")
        total += weight
        value += weight * loss.item()
        g += weight * flat(torch.autograd.grad(loss, parameters, allow_unused=True), parameters)
    if not total:
        raise ValueError("losses gave nothing: it must go through the pieces at every call")
    return value / total, g / total


def _mean_hessian_product(
    losses: Callable[[], Iterable[tuple[Tensor, float]]], parameters: Sequence[Tensor], v: Tensor
) -> Tensor:
    """Return the weighted mean of the losses' Hessians, times the flat vector v."""
    total, product = 0.0, torch.zeros_like(v)
    for loss, weight in losses():
        with _differentiable_twice():
            gradients = torch.autograd.grad(loss, parameters, create_graph=True, allow_unused=True)
        product += weight * flat(hessian_product(gradients, parameters, v, False), parameters)
        total += weight
    if not total:
        raise ValueError("losses gave nothing at its second call: it must start anew at each")
    return product / total


def hessian_product(
    gradients: Sequence[Tensor | None],
    parameters: Sequence[Tensor],
    v: Tensor,
    retain_graph: bool,
) -> Sequence[Tensor | None]:
    """Differentiate the gradients along the flat vector v: H v, one tensor a parameter."""
    pieces = torch.split(v.detach(), [parameter.numel() for parameter in parameters])
    pairs = [  # a gradient that does not depend on the weights adds nothing to H v
        (gradient, piece.view_as(gradient).to(gradient.dtype))
        for gradient, piece in zip(gradients, pieces, strict=True)
        if gradient is not None and gradient.requires_grad
    ]
    if not pairs:
        return [None] * len(parameters)
    outputs, directions = zip(*pairs, strict=True)
    with _differentiable_twice():
        return torch.autograd.grad(
            outputs, parameters, directions, retain_graph=retain_graph, allow_unused=True
        )


def flat(tensors: Sequence[Tensor | None], like: Sequence[Tensor]) -> Tensor:
    """Join the tensors into one vector without a graph, zeros standing for None.

    Half precision becomes float32, in which a sum of squares does not overflow.
    """
    if any(tensor is not None and tensor.layout != torch.strided for tensor in tensors):
        raise ValueError("a gradient is sparse: make the embedding with sparse=False")
    parts = [
        (torch.zeros_like(shape) if tensor is None else tensor).detach().reshape(-1)
        for tensor, shape in zip(tensors, like, strict=True)
    ]
    half = (torch.float16, torch.bfloat16)
    return torch.cat([part.float() if part.dtype in half else part for part in parts])
