"""The networks of the image experiments, with torch's default initialisation.

They have biases and pooling, and the loss behind them is a softmax cross-entropy: none is a network
of eq. (1), and the certificates do not speak of them.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional, init

from pscore.arguments import positive
from pscore.seeds import torch_generator


def lenet5(classes: int = 10, batch_norm: bool = False) -> nn.Sequential:
    """Return LeNet-5 with ReLU: 61,706 parameters for 10 classes.

    Two convolutions of 5 x 5, to 6 channels (padded, so that the size stays) and to 16, each
    followed by ReLU and by max pooling of 2 x 2; then linear layers of widths 400, 120, 84 and
    ``classes``. It maps images (N, 1, 28, 28) to logits (N, classes). LeCun and others (1998) had
    sigmoid-like units, trained subsampling and a sparse second convolution; this is the form that
    carries the name today, all weights trained and all piecewise linear.

    With ``batch_norm`` there is one before each ReLU, 452 parameters more. The layers keep their
    biases, which then change nothing but the weight decay: so both forms have the same first
    weights, batch norm drawing none.
    """
    layers: list[nn.Module] = []
    for inputs, outputs, padding in ((1, 6, 2), (6, 16, 0)):
        layers.append(nn.Conv2d(inputs, outputs, 5, padding=padding))
        layers += [nn.BatchNorm2d(outputs)] if batch_norm else []
        layers += [nn.ReLU(), nn.MaxPool2d(2)]
    layers.append(nn.Flatten())
    for inputs, outputs in ((16 * 5 * 5, 120), (120, 84)):
        layers.append(nn.Linear(inputs, outputs))
        layers += [nn.BatchNorm1d(outputs)] if batch_norm else []
        layers.append(nn.ReLU())
    return nn.Sequential(*layers, nn.Linear(84, classes))


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside the identity: ReLU(x + BN(conv(ReLU(BN(conv(x)))))).

    Args:
        width: the channels, of input and output alike.
        halve: whether the block ends in 2 x 2 average pooling, so that only what comes after it
            works at half the resolution.
        batch_norm: False leaves the batch norms BN out and gives the convolutions biases.
    """

    def __init__(self, width: int, halve: bool = False, batch_norm: bool = True) -> None:
        """Make the layers."""
        super().__init__()
        self.body = nn.Sequential(
            *_convolution_and_norm(width, width, 3, batch_norm),
            nn.ReLU(),
            *_convolution_and_norm(width, width, 3, batch_norm),
        )
        self.halve = halve

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, width, H, W) to the same, or to half the height and width."""
        out = functional.relu(x + self.body(x))
        return functional.avg_pool2d(out, 2) if self.halve else out


def resnet22(classes: int = 10, channels: int = 3, batch_norm: bool = True) -> nn.Sequential:
    """Return the residual network of 22 layers: 295,498 parameters for 10 classes.

    It maps images (N, channels, H, W), 32 x 32 in the experiments and at least 4 x 4, to logits
    (N, classes). A stem, a 3 x 3 convolution to 16 channels with a batch norm without weights of
    its own and ReLU; three stages of three blocks, of widths 16, 32 and 64; the mean over what is
    left of the image; a linear layer. The second and third stage begin with a 1 x 1 convolution to
    their width, batch norm and ReLU, and their first block ends in pooling. So there are
    1 + 18 + 2 + 1 layers with weights. The paper took its network from the code published with
    Finlay, Oberman and Abbasi (2018). These are the details of its first commit, cbe1470 of
    github.com/cfinlay/tulip (rewritten since, and kept by forks), but for the first weights of the
    1 x 1 convolutions, see `started`.

    Without ``batch_norm`` all of them are left out. The convolutions that had one get a bias in its
    place, which starts at zero as the batch norm's own does: so both forms have the same first
    weights. The factor of a batch norm has no successor, a convolution being able to do the same;
    294,730 parameters are left.
    """
    stem: list[nn.Module] = [nn.Conv2d(channels, 16, 3, padding=1)]
    stem += [nn.BatchNorm2d(16, affine=False)] if batch_norm else []
    stages: list[nn.Module] = []
    for narrow, width in ((16, 16), (16, 32), (32, 64)):
        wider = width > narrow
        if wider:
            stages += [*_convolution_and_norm(narrow, width, 1, batch_norm), nn.ReLU()]
        stages += [
            ResidualBlock(width, wider and first, batch_norm) for first in (True, False, False)
        ]
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes)
    return nn.Sequential(*stem, nn.ReLU(), *stages, *head)


def _convolution_and_norm(
    inputs: int, outputs: int, size: int, batch_norm: bool
) -> list[nn.Module]:
    """Return a convolution that keeps the resolution, and its batch norm or a bias at zero."""
    convolution = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False)
    if batch_norm:
        return [convolution, nn.BatchNorm2d(outputs)]
    convolution.bias = nn.Parameter(torch.zeros(outputs))  # drawn, it would shift all later draws
    return [convolution]


def initialized(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Build a model, in float64, whose weights depend on the seed alone.

    Torch's layers draw their first weights from the global generator. It is set to the seed's
    stream "initialization" while the model is built, on the CPU, and put back. The draws are made
    in float64 whatever the model is to be trained in, since in float32 processors disagree about
    the last digit, which training then magnifies: rounded afterwards, the weights are the same on
    any machine, and whatever ran before.
    """
    state, dtype = torch.get_rng_state(), torch.get_default_dtype()
    try:
        torch.set_rng_state(torch_generator(seed, "initialization").get_state())
        torch.set_default_dtype(torch.float64)
        return build()
    finally:
        torch.set_rng_state(state)
        torch.set_default_dtype(dtype)


INITIALIZATIONS = ("default", "he", "softmax")


def started(model: nn.Module, initialization: str) -> nn.Module:
    """Give a model other first weights than torch's, drawn like those from the global generator.

    Args:
        model: just built, changed in place: `initialized` is to build both.
        initialization: "default" leaves torch's; "he" draws the weights of all convolutions and
            linear layers normally with variance 2 over the fan-in, and has no biases; "softmax"
            takes the softmax over the inputs of each 1 x 1 convolution, as the code does that the
            paper took its ResNet22 from.

    Raises:
        ValueError: for another initialization.
    """
    if initialization not in INITIALIZATIONS:
        known = ", ".join(INITIALIZATIONS)
        raise ValueError(f"initialization must be one of {known}, not {initialization!r}")
    for layer in model.modules():
        if initialization == "he" and isinstance(layer, nn.Conv2d | nn.Linear):
            init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                init.zeros_(layer.bias)
        elif initialization == "softmax" and isinstance(layer, nn.Conv2d):
            if layer.kernel_size == (1, 1):
                layer.weight.data = layer.weight.data.softmax(1)
    return model


def rescaled(model: nn.Module, factor: float) -> nn.Module:
    """Multiply the weights and biases of all convolutions and linear layers but the last.

    Where each of them is followed by a batch norm, as with ``batch_norm=True``, the network maps
    as before, up to batch norm's ε. Otherwise the size of what it puts out changes with the factor.

    Args:
        model: a network of this module, changed in place.
        factor: a positive number.
    """
    positive("factor", factor)
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    with torch.no_grad():
        for layer in layers[:-1]:
            for weights in layer.parameters():
                weights *= factor
    return model
