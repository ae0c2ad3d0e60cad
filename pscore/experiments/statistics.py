"""Intervals and tests: a mean against a printed one, treatments on the same seeds, shares."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats


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


class Paired(NamedTuple):
    """How two treatments differ on the same seeds.

    Attributes:
        pairs: how many seeds.
        mean: the mean of the differences, treated less control.
        low: lower end of Student's interval for it.
        high: upper end.
        effect: the differences' mean in units of their standard deviation (Cohen's d_z), with
            Hedges' correction; nan if they do not scatter.
        effect_low: lower end of the interval for the standardised effect.
        effect_high: upper end.
        p_value: of Wilcoxon's signed-rank test; 1 if all differences are zero.
    """

    pairs: int
    mean: float
    low: float
    high: float
    effect: float
    effect_low: float
    effect_high: float
    p_value: float


def student(
    values: Sequence[float] | NDArray[np.float64], level: float = 0.95
) -> tuple[float, float]:
    """Return the mean of at least two values, and half the width of Student's interval for it."""
    array = np.asarray(values, dtype=float)
    error = float(array.std(ddof=1)) / math.sqrt(len(array))
    return float(array.mean()), float(stats.t.ppf((1 + level) / 2, len(array) - 1)) * error


def paired(treated: Sequence[float], control: Sequence[float], level: float = 0.95) -> Paired:
    r"""Compare two treatments that were each given to the same seeds.

    With differences :math:`d_i` of mean m and standard deviation s over n seeds, Student's
    interval is :math:`m \pm t s/\sqrt n`, exact for normal differences. The standardised effect is
    :math:`J m/s`, where Hedges' :math:`J = \Gamma(\nu/2) / (\sqrt{\nu/2}\,\Gamma((\nu-1)/2))` with
    :math:`\nu = n - 1` takes its bias away. Since :math:`m\sqrt n/s` has a noncentral t
    distribution, whose parameter is :math:`\sqrt n` times the true effect, the parameters at which
    the observed value is just not too large or too small are the ends of the effect's interval.
    The signed-rank test asks for no normality, only for a symmetric distribution when nothing
    differs; with n pairs its p-value is never below :math:`2^{1-n}`.

    Args:
        treated: one value a seed.
        control: those of the same seeds in the same order.
        level: how often the intervals are to hold the true value.

    Raises:
        ValueError: if there are fewer than three pairs, or a value is not finite.
    """
    if np.shape(treated) != np.shape(control) or np.size(treated) < 3:
        raise ValueError("treated and control must be as many values, one a seed, at least three")
    d = np.asarray(treated, dtype=float) - np.asarray(control, dtype=float)
    if not np.isfinite(d).all():
        raise ValueError(f"treated and control must be finite, not {d} apart")
    n, mean, spread = len(d), float(d.mean()), float(d.std(ddof=1))
    if spread <= 1e-12 * abs(mean):
        p_value = 1.0 if mean == 0 else 2.0 ** (1 - n)
        return Paired(n, mean, mean, mean, math.nan, math.nan, math.nan, p_value)
    half = student(d, level)[1]
    ratio = math.sqrt(n) * mean / spread
    freedom = (n - 1) / 2
    bias = math.exp(special.gammaln(freedom) - special.gammaln(freedom - 0.5)) / freedom**0.5
    low, high = (
        _noncentrality(ratio, n - 1, (1 + sign * level) / 2) / math.sqrt(n) for sign in (1, -1)
    )
    effect, p_value = bias * mean / spread, float(stats.wilcoxon(d).pvalue)
    return Paired(n, mean, mean - half, mean + half, effect, low, high, p_value)


def _noncentrality(ratio: float, freedom: int, level: float) -> float:
    """The parameter of the noncentral t distribution that puts ``level`` below ``ratio``."""
    if ratio < 0:
        return -_noncentrality(-ratio, freedom, 1 - level)

    def excess(parameter: float) -> float:
        below = float(stats.nct.cdf(ratio, freedom, parameter))
        # Far out in a tail scipy's series can fail; what it should say there is known.
        return (float(parameter < ratio) if math.isnan(below) else below) - level

    return float(optimize.brentq(excess, -10, 10 + 4 * ratio))


def wilson(count: int, of: int, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's interval for a share, of which ``count`` in ``of`` were seen."""
    ends = stats.binomtest(count, of).proportion_ci(level, method="wilson")
    return float(ends.low), float(ends.high)
