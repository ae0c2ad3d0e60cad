"""Descents on two functions whose curvature is known: what a learning rate does to it."""

import numpy as np
from numpy.typing import NDArray


def shares(
    draw: np.random.Generator, slope: float, reshuffled: bool, runs: int = 400, steps: int = 4000
) -> NDArray[np.float64]:
    r"""Follow SGD on :math:`\frac12(w \mp 1)^2`, and return the whole gradient's share, run by run.

    The first tenth of the steps is left out.

    Args:
        draw: the batches are drawn by it.
        slope: ηh, the learning rate where h = 1.
        reshuffled: whether both batches are taken in each epoch, in a random order.
        runs: how many.
        steps: of each, an even number.
    """
    first = draw.choice([-1.0, 1.0], (steps, runs))
    if reshuffled:
        first[1::2] = -first[::2]
    w, wholes, squares = np.zeros(runs), np.zeros(runs), np.zeros(runs)
    for step, centre in enumerate(first):
        if 10 * step >= steps:
            wholes, squares = wholes + w**2, squares + (w - centre) ** 2
        w = w - slope * (w - centre)
    return wholes / squares


def two_weights(
    w: NDArray[np.float64], v: NDArray[np.float64], eta: float, steps: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Follow gradient descent on (wv − 1)²/2, and return the weights where it ends."""
    with np.errstate(over="ignore", invalid="ignore"):  # some descents blow up
        for _ in range(steps):
            rest = w * v - 1
            w, v = w - eta * rest * v, v - eta * rest * w
    return w, v
