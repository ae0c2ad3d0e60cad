"""A torch model read as a network of eq. (1), or refused by the name of what does not fit."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

# What is looked through, and what other layers would need.
THROUGH = (nn.Identity, nn.Flatten)
NEEDS = {
    nn.Conv2d: "a convolution shares weights, and is not the matrix of free weights of eq. (1)",
    nn.Dropout: "dropout draws a network a step: call model.eval() and leave it out",
    nn.modules.batchnorm._BatchNorm: "batch norm divides by what the whole batch gives",
    nn.MaxPool2d: "a maximum is no switch of one unit",
}


def read(kind: Any, model: nn.Sequential) -> tuple[Any, tuple[Tensor, ...]]:
    """Return the network of a model, and its weights; see `ReLUNetwork.from_sequential`."""
    if not isinstance(model, nn.Sequential):
        raise ValueError(f"model must be an nn.Sequential, not {type(model).__name__}")
    layers = list(_layers(model))
    linear = [layer for _, layer in layers if isinstance(layer, nn.Linear)]
    activations = [layer for _, layer in layers if not isinstance(layer, nn.Linear)]
    for k, (name, layer) in enumerate(layers):
        if isinstance(layer, nn.Linear) == bool(k % 2):
            raise ValueError(
                f"layer {name} ({type(layer).__name__}): linear layers and activations must take "
                "turns, beginning with a linear layer, as in eq. (1)"
            )
    if len(linear) < 2:
        raise ValueError(f"the model has {len(linear)} linear layers; at least two are needed")
    for name, layer in layers[1:]:
        if isinstance(layer, nn.Linear) and layer.bias is not None:
            raise ValueError(
                f"layer {name} (Linear) has a bias: the theory's layers have none. In the first "
                "layer it is one more input that is constantly 1; in a later one it would need a "
                "unit that is constantly 1 and whose weights do not move"
            )
    slopes = {getattr(layer, "negative_slope", 0.0) for layer in activations}
    if len(slopes) > 1:
        raise ValueError(f"all activations must have one slope; found {sorted(slopes)}")
    weights = tuple(layer.weight.detach().mT for layer in linear)
    if linear[0].bias is not None:
        weights = (torch.cat([weights[0], linear[0].bias.detach()[None]]), *weights[1:])
    widths = (weights[0].shape[0], *(layer.out_features for layer in linear))
    return kind(widths, len(activations) == len(linear), slopes.pop()), weights


def with_constant(model: nn.Sequential, inputs: Tensor) -> Tensor:
    """Return the inputs with a last column of ones, if the model's first layer has a bias."""
    first = next(layer for _, layer in _layers(model))
    a = torch.as_tensor(inputs)
    if first.bias is None or a.ndim != 2 or a.shape[1] != first.in_features:
        return inputs
    return torch.cat([a, a.new_ones(len(a), 1)], 1)


def _layers(model: nn.Sequential, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Go through the layers that compute something, by name, or refuse one."""
    for name, layer in model.named_children():
        name = f"{path}{name}"
        if isinstance(layer, nn.Sequential):
            yield from _layers(layer, f"{name}.")
        elif isinstance(layer, nn.Linear | nn.ReLU | nn.LeakyReLU):
            yield name, layer
        elif not isinstance(layer, THROUGH):
            why = next((said for kind, said in NEEDS.items() if isinstance(layer, kind)), None)
            why = why or "eq. (1) has linear layers, ReLU and leaky ReLU alone"
            raise ValueError(f"layer {name} ({type(layer).__name__}) does not fit: {why}")
