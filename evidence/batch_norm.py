"""The chapter on batch norm: how the scale decides the sign, and the verdict on stored pairs."""

from functools import partial

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.functional import hessian, jacobian

from evidence.claims import Evidence, claim
from evidence.instances import Normalised, draw_normalised
from pscore.curvature import curvature_along
from pscore.experiments.comparison import path_measures
from pscore.experiments.statistics import paired, student
from pscore.experiments.trials import stored
from pscore.probe import measure
from pscore.seeds import rng, torch_generator

# The stored batches, and the period of each one's even log.
BATCHES = {"batch-norm-mnist": 10, "batch-norm-cifar10": 5}


@claim(
    "batch-norm-scale",
    "with batch norm, the scale of the weights before it can decide the sign of the curvature",
    "certified",
    "Proved for ε = 0; the quotient compared with two backpropagations at other scales.",
    hypotheses=("ℓ(cU, V) = ℓ(U, V) for c > 0", "ℓ twice differentiable at W", "a, d ≠ 0", "U ≠ 0"),
    uses=("cifar-scale-invariance", "eq-17"),
    variant="c⁻² times the curvature, as for U alone",
    least=16,
)
def check_scale_and_sign(seed: int, problems: int = 20) -> Evidence:
    """Compare the curvature at (cU, V) with the proposition's quotient.

    The networks normalise the outputs of their first layer, as batch norm does. The curvature at
    (cU, V) comes from two backpropagations there, the coefficients from an explicit Hessian at
    (U, V) and nothing at (cU, V). Also the limits are tried, at c = 1e-3 and c = 1e3, to a relative
    1e-3. An instance counts if both gradients are not small and no unit's outputs are all alike.
    """
    seen, draw = Evidence(), torch_generator(seed, "data")
    for index in range(problems):
        one = draw_normalised(draw, index)
        scale = float(10 ** (2 * torch.rand((), generator=draw) - 1))
        rows = one.U.numel()
        loss, W = partial(joint_loss, one), torch.cat([one.U.flatten(), one.V.flatten()])
        g, H = jacobian(loss, W), hessian(loss, W)
        size, first = H.norm(), torch.arange(len(W)) < rows
        measured, wrong = {}, torch.tensor(False)
        for c in (scale, 1e-3, 1e3):
            W_c = torch.where(first, c * W, W).requires_grad_()
            measured[c] = measure(loss(W_c), [W_c])[0].curvature
            off = abs(measured[c] - curvature_at_scale(g, H, rows, c))
            wrong |= off > 1e-8 * size * max(1, c**-2)
        small, large = (curvature_along(g[k], H[k][:, k] @ g[k]) for k in (first, ~first))
        wrong |= abs(1e-6 * measured[1e-3] - small) > 1e-3 * size
        wrong |= abs(measured[1e3] - large) > 1e-3 * size
        alone = curvature_at_scale(g, H, rows, 1.0) / scale**2
        use = min(g[first].norm(), g[~first].norm()) >= 1e-2 and one.spread >= 1e-3
        seen.add(bool(use), wrong=wrong, refuted=use & (abs(measured[scale] - alone) > 1e-2 * size))
    return seen


def joint_loss(one: Normalised, W: Tensor) -> Tensor:
    """Return the loss at U and V, one after the other in a flat vector."""
    U, V = W.split((one.U.numel(), one.V.numel()))
    return one.loss(U.view_as(one.U), V.view_as(one.V))


def curvature_at_scale(g: Tensor, H: Tensor, rows: int, c: float) -> Tensor:
    """Return the proposition's quotient at (cU, V), from gradient and Hessian at (U, V)."""
    a, d = g[:rows], g[rows:]
    A, B, D = a @ H[:rows, :rows] @ a, a @ H[:rows, rows:] @ d, d @ H[rows:, rows:] @ d
    s = c**-2
    return 2 * (s**2 * A + 2 * s * B + D) / (s * (a @ a) + d @ d)


def stored_pairs(name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the measures of a stored batch with and without batch norm, on the seeds of both."""
    both = [stored(f"{name}/{form}") for form in ("with", "without")]
    kept, left_out = (
        path_measures(batch.trials, batch.trajectories, BATCHES[name]) for batch in both
    )
    seeds = kept.index.intersection(left_out.index)
    return kept.loc[seeds], left_out.loc[seeds]


def effect_gone(
    differences: NDArray[np.float64], draw: np.random.Generator, times: int
) -> NDArray[np.bool_]:
    """Say whether Student's interval for the mean is not below zero, with labels by chance.

    Each time, a fair coin for each pair says whether it gets the other label, and its difference
    the other sign. What is seen in the pairs as they are should then be gone, but for the few times
    when hardly a coin says so.

    Args:
        differences: one a pair.
        draw: what tosses the coins.
        times: how often it is tried.
    """
    signs = draw.choice([-1.0, 1.0], size=(times, len(differences)))
    intervals = (student(row) for row in signs * differences)
    return np.array([mean + error >= 0 for mean, error in intervals], dtype=bool)


def smaller_with_batch_norm(name: str, column: str, seed: int, relabellings: int = 50) -> Evidence:
    """Say whether a measure is smaller with batch norm, in each stored pair and in the mean.

    The paired interval has to lie below zero; with labels by chance it should not.
    """
    kept, left_out = (table[column].to_numpy() for table in stored_pairs(name))
    not_below = paired(kept.tolist(), left_out.tolist()).high >= 0
    refuted = effect_gone(kept - left_out, rng(seed, "data"), relabellings)
    seen = Evidence()
    seen.add(len(kept), wrong=(kept >= left_out) | not_below, refuted=refuted)
    return seen


@claim(
    "fig-batch-norm",
    "LeNet-5 on MNIST: with batch norm, t_0 comes sooner",
    "observed",
    "Ten pairs from the same weights on the same batches, at the paper's settings.",
    hypotheses=("a pair of stored trials",),
    uses=("eq-17", "batch-norm-scale"),
    variant="the same with labels by chance: a coin for each pair says whether they are exchanged",
    least=10,
)
def check_lenet5_enters_sooner(seed: int) -> Evidence:
    """Compare :math:`t_0`, the step from which on the logged curvature stays positive."""
    return smaller_with_batch_norm("batch-norm-mnist", "entry_step", seed)


@claim(
    "fig-batch-norm-loss",
    "LeNet-5 on MNIST: with batch norm, the curvature is smaller, not larger",
    "observed",
    "The same ten pairs: the path's median, and at equal loss below 2.",
    hypotheses=("a pair of stored trials",),
    uses=("eq-17", "batch-norm-scale"),
    variant="the same with labels by chance: a coin for each pair says whether they are exchanged",
    least=10,
)
def check_lenet5_is_less_curved(seed: int) -> Evidence:
    """Compare the median of the curvature over the whole path."""
    return smaller_with_batch_norm("batch-norm-mnist", "curvature_median", seed)


@claim(
    "fig-batch-norm-cifar10",
    "ResNet22 on 5,120 images of CIFAR10: with batch norm, t_0 comes sooner",
    "observed",
    "Five pairs; both forms start inside, and without batch norm the curvature falls "
    "below zero again now and then. The curvature's median is larger with batch norm here.",
    hypotheses=("a pair of stored trials",),
    uses=("eq-17", "batch-norm-scale"),
    variant="the same with labels by chance: a coin for each pair says whether they are exchanged",
    least=5,
)
def check_resnet22_enters_sooner(seed: int) -> Evidence:
    """Compare :math:`t_0`, the step from which on the logged curvature stays positive."""
    return smaller_with_batch_norm("batch-norm-cifar10", "entry_step", seed)
