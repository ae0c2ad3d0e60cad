"""The networks of the image experiments, with torch's default initialisation.

They have biases and pooling, and the loss behind them is a softmax cross-entropy: none is a network
of eq. (1), and the certificates do not speak of them.
"""

from collections.abc import Callable

import torch
from torch import nn

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
