"""The paper's Tables 1 and 2, and how a batch of our own trials differs from it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats


class Reported(NamedTuple):
    """A mean over trials as a paper prints it.

    Attributes:
        mean: the mean.
        deviation: the standard deviation over the trials.
        trials: how many there were.
        digit: one unit of the last digit that both are printed to; 0 if they are exact.
    """

    mean: float
    deviation: float
    trials: int
    digit: float = 0.0


class Difference(NamedTuple):
    """Our mean less the reported one, with the ends of its confidence interval."""

    value: float
    low: float
    high: float


# Table 1: what the experiments share is a batch of 128 images, which the text says.
TABLE_1 = {
    "mnist": {
        "model": "LeNet-5",
        "epochs": 2,
        "batch norm": "no",
        "λ": 5e-4,
        "trials": 100,
        "η": "0.05",
    },
    "cifar10": {
        "model": "ResNet22",
        "epochs": 65,
        "batch norm": "yes",
        "λ": 1e-6,
        "trials": 20,
        "η": "0.1, then 0.02",
    },
    "cifar100": {
        "model": "ResNet22",
        "epochs": 65,
        "batch norm": "yes",
        "λ": 1e-7,
        "trials": 20,
        "η": "0.1, then 0.02",
    },
}

# Table 2, shares and accuracies as fractions; the numbers of trials are Table 1's.
TABLE_2 = {
    "mnist": {
        "test_accuracy": Reported(0.9732, 0.0100, 100, 1e-4),
        "curvature_p10": Reported(21.19, 2.12, 100, 0.01),
        "loss_fraction": Reported(0.80, 0.09, 100, 0.01),
    },
    "cifar10": {
        "test_accuracy": Reported(0.8493, 0.0035, 20, 1e-4),
        "curvature_p10": Reported(8.82, 2.80, 20, 0.01),
        "loss_fraction": Reported(1.00, 0.00, 20, 0.01),
    },
    "cifar100": {
        "test_accuracy": Reported(0.5401, 0.0053, 20, 1e-4),
        "curvature_p10": Reported(11.80, 0.27, 20, 0.01),
        "loss_fraction": Reported(1.00, 0.02, 20, 0.01),
    },
}


# What a row of Table 2 is called, and the unit that it is printed in.
ROWS = {
    "test_accuracy": ("test accuracy (%)", 100),
    "curvature_p10": ("10th percentile", 1),
    "loss_fraction": ("loss share", 1),
}


def difference(values: Sequence[float], reported: Reported, level: float = 0.95) -> Difference:
    r"""Compare the mean of our trials with a reported mean, by Welch's interval.

    With means :math:`m_1, m_2`, standard deviations :math:`s_1, s_2` and trials
    :math:`n_1, n_2`, the interval is :math:`m_1 - m_2 \pm t\,\sqrt{v_1 + v_2}`,
    :math:`v_i = s_i^2/n_i`, where t is the quantile of Student's distribution with
    :math:`(v_1+v_2)^2 / (v_1^2/(n_1-1) + v_2^2/(n_2-1))` degrees of freedom. It takes the trials
    to be independent, and their means to be nearly normal. A single trial has no spread of its
    own: it is taken to scatter as the reported ones do, :math:`s_1 = s_2`, with
    :math:`n_2 - 1` degrees of freedom.

    Reported figures are rounded. The interval allows for that at its widest: half a unit of the
    last digit is added to :math:`s_2`, and to the interval at both ends.

    Args:
        values: one a trial, in the reported figure's unit.
        reported: the figure to compare with.
        level: how often the interval is to hold the true difference.

    Raises:
        ValueError: if there are no trials, or a value is not finite.
    """
    ours = np.asarray(values, dtype=float)
    if not ours.size or not np.isfinite(ours).all():
        raise ValueError(f"values must be finite numbers, and at least one, not {ours}")
    value = float(ours.mean()) - reported.mean
    deviation = reported.deviation + reported.digit / 2
    own = deviation if ours.size == 1 else float(ours.std(ddof=1))
    v1, v2 = own**2 / ours.size, deviation**2 / reported.trials
    half = reported.digit / 2
    if v1 + v2 > 0:
        if ours.size == 1:
            freedom = reported.trials - 1.0
        else:
            freedom = (v1 + v2) ** 2 / (v1**2 / (ours.size - 1) + v2**2 / (reported.trials - 1))
        half += float(stats.t.ppf((1 + level) / 2, freedom) * np.sqrt(v1 + v2))
    return Difference(value, value - half, value + half)


def beside_table_2(trials: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Return Table 2's rows for one data set beside the same figures of our trials.

    Args:
        trials: one row a trial, with the columns ``test_accuracy``, ``curvature_p10`` and
            ``loss_fraction``.
        dataset: "mnist", "cifar10" or "cifar100".

    Returns:
        One row a figure: the paper's, ours, the difference with its interval, and whether that
        holds zero.
    """
    rows = {}
    for name, (words, unit) in ROWS.items():
        paper, ours = TABLE_2[dataset][name], trials[name]
        gap, low, high = (unit * end for end in difference(ours, paper))
        spread = f" ± {unit * ours.std():.2f}" if len(ours) > 1 else ""
        rows[words] = {
            "Table 2": f"{unit * paper.mean:.2f} ± {unit * paper.deviation:.2f}",
            "here": f"{unit * ours.mean():.2f}{spread}",
            "difference": f"{gap:+.2f}",
            "95 % interval": f"{low:+.2f} to {high:+.2f}",
            "agrees": "yes" if low <= 0 <= high else "no",
        }
    return pd.DataFrame(rows).T
