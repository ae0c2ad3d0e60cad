"""Intervals and tests: a mean, treatments on the same seeds, shares."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats


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
