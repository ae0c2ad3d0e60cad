"""The paper's Table 2, and how a batch of our own trials differs from it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats


class Reported(NamedTuple):
    """A mean over trials as a paper prints it, with the standard deviation over the trials."""

    mean: float
    deviation: float
    trials: int


class Difference(NamedTuple):
    """Our mean less the reported one, with the ends of its confidence interval."""

    value: float
    low: float
    high: float


# Table 2, shares and accuracies as fractions; the numbers of trials are Table 1's.
TABLE_2 = {
    "mnist": {
        "test_accuracy": Reported(0.9732, 0.0100, 100),
        "curvature_p10": Reported(21.19, 2.12, 100),
        "loss_fraction": Reported(0.80, 0.09, 100),
    },
    "cifar10": {
        "test_accuracy": Reported(0.8493, 0.0035, 20),
        "curvature_p10": Reported(8.82, 2.80, 20),
        "loss_fraction": Reported(1.00, 0.00, 20),
    },
    "cifar100": {
        "test_accuracy": Reported(0.5401, 0.0053, 20),
        "curvature_p10": Reported(11.80, 0.27, 20),
        "loss_fraction": Reported(1.00, 0.02, 20),
    },
}


def difference(values: Sequence[float], reported: Reported, level: float = 0.95) -> Difference:
    r"""Compare the mean of our trials with a reported mean, by Welch's interval.

    With means :math:`m_1, m_2`, standard deviations :math:`s_1, s_2` and trials
    :math:`n_1, n_2`, the interval is :math:`m_1 - m_2 \pm t\,\sqrt{v_1 + v_2}`,
    :math:`v_i = s_i^2/n_i`, where t is the quantile of Student's distribution with
    :math:`(v_1+v_2)^2 / (v_1^2/(n_1-1) + v_2^2/(n_2-1))` degrees of freedom. It takes the trials
    to be independent, and their means to be nearly normal. That the reported figures are rounded
    is not in it.

    Args:
        values: one a trial, in the reported figure's unit.
        reported: the figure to compare with.
        level: how often the interval is to hold the true difference.

    Raises:
        ValueError: if there are fewer than two trials, or a value is not finite.
    """
    ours = np.asarray(values, dtype=float)
    if ours.size < 2 or not np.isfinite(ours).all():
        raise ValueError(f"values must be at least two finite numbers, not {ours}")
    value = float(ours.mean()) - reported.mean
    v1, v2 = ours.var(ddof=1) / ours.size, reported.deviation**2 / reported.trials
    if v1 + v2 == 0:
        return Difference(value, value, value)
    freedom = (v1 + v2) ** 2 / (v1**2 / (ours.size - 1) + v2**2 / (reported.trials - 1))
    half = float(stats.t.ppf((1 + level) / 2, freedom) * np.sqrt(v1 + v2))
    return Difference(value, value - half, value + half)
