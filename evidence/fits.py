"""Data in fractions and a network's error on them: what the checks of exact fits share."""

from fractions import Fraction

import numpy as np

from evidence.solvers.memorization import as_fractions, exact_outputs
from pscore.seeds import rng

Matrices = tuple[np.ndarray, ...]  # W_0, …, W_H, of fractions


def data(seed: int, points: int, coordinates: int, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw distinct inputs ``(N, n)`` and targets ``(N, d)``, multiples of 1/64."""
    draw = rng(seed, "data")
    while True:
        inputs = draw.integers(-512, 513, size=(points, coordinates))
        if len(np.unique(inputs, axis=0)) == points:
            break
    targets = draw.integers(-256, 257, size=(points, outputs))
    return as_fractions(inputs) / 64, as_fractions(targets) / 64


def error(matrices: Matrices, a: np.ndarray, f: np.ndarray) -> Fraction:
    """Return the training error ``ℓ``, exactly."""
    e = exact_outputs(matrices, a)[0] - f
    return (e * e).sum() / (2 * len(f))


def one_weight_off(matrices: Matrices, draw: np.random.Generator) -> Matrices:
    """Change one weight of the outputs by a thousandth, not one of a unit that is always off."""
    last = matrices[-1].copy()
    row = int(draw.choice(np.flatnonzero(last[:, 0] != 0)))
    last[row, 0] *= Fraction(1001, 1000)
    return (*matrices[:-1], last)
