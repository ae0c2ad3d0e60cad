"""The networks of the image experiments, with torch's default initialisation.

They have biases and pooling, and the loss behind them is a softmax cross-entropy: none is a network
of eq. (1), and the certificates do not speak of them.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from pscore.seeds import torch_generator


def lenet5(classes: int = 10) -> nn.Sequential:
    """Return LeNet-5 with ReLU: 61,706 parameters for 10 classes.

    Two convolutions of 5 x 5, to 6 channels (padded, so that the size stays) and to 16, each
    followed by ReLU and by max pooling of 2 x 2; then linear layers of widths 400, 120, 84 and
    ``classes``. It maps images (N, 1, 28, 28) to logits (N, classes). LeCun and others (1998) had
    sigmoid-like units, trained subsampling and a sparse second convolution; this is the form that
    carries the name today, all weights trained and all piecewise linear.
    """
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * 5 * 5, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, classes),
    )


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside the identity: ReLU(x + BN(conv(ReLU(BN(conv(x)))))).

    Args:
        width: the channels, of input and output alike.
        halve: whether the block ends in 2 x 2 average pooling, so that only what comes after it
            works at half the resolution.
    """

    def __init__(self, width: int, halve: bool = False) -> None:
        """Make the layers."""
        super().__init__()
        self.body = nn.Sequential(
            *_convolution_and_norm(width, width, 3),
            nn.ReLU(),
            *_convolution_and_norm(width, width, 3),
        )
        self.halve = halve

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, width, H, W) to the same, or to half the height and width."""
        out = functional.relu(x + self.body(x))
        return functional.avg_pool2d(out, 2) if self.halve else out


def resnet22(classes: int = 10, channels: int = 3) -> nn.Sequential:
    """Return the residual network of 22 layers: 295,498 parameters for 10 classes.

    It maps images (N, channels, H, W), 32 x 32 in the experiments and at least 4 x 4, to logits
    (N, classes). A stem, a 3 x 3 convolution to 16 channels with a batch norm without weights of
    its own and ReLU; three stages of three blocks, of widths 16, 32 and 64; the mean over what is
    left of the image; a linear layer. The second and third stage begin with a 1 x 1 convolution to
    their width, batch norm and ReLU, and their first block ends in pooling. So there are
    1 + 18 + 2 + 1 layers with weights. The paper took its network from the code published with
    Finlay, Oberman and Abbasi (2018), whose details these are.
    """
    stem = nn.Conv2d(channels, 16, 3, padding=1), nn.BatchNorm2d(16, affine=False), nn.ReLU()
    stages: list[nn.Module] = []
    for narrow, width in ((16, 16), (16, 32), (32, 64)):
        wider = width > narrow
        if wider:
            stages += [*_convolution_and_norm(narrow, width, 1), nn.ReLU()]
        stages += [ResidualBlock(width, halve=wider), ResidualBlock(width), ResidualBlock(width)]
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes)
    return nn.Sequential(*stem, *stages, *head)


def _convolution_and_norm(inputs: int, outputs: int, size: int) -> tuple[nn.Module, nn.Module]:
    """Return a convolution that keeps the resolution, without bias, and its batch norm."""
    convolution = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False)
    return convolution, nn.BatchNorm2d(outputs)


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
