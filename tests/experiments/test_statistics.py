"""Intervals for means, pairs of trials and shares, against scipy and closed forms."""

import numpy as np
import pytest
from scipy import stats

from pscore.experiments.statistics import (
    paired,
    student,
    wilson,
)


def test_paired_interval_and_p_value_are_scipy_s():
    generator = np.random.default_rng(0)
    a, b = generator.normal(1, 2, (2, 9))
    found = paired(a, b)
    test = stats.ttest_rel(a, b)
    expected = test.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.pairs == 9 and found.mean == pytest.approx(a.mean() - b.mean())
    assert found.p_value == stats.wilcoxon(a, b).pvalue
    assert test.pvalue < 0.05 or found.effect_low < 0  # the two intervals hold zero together
    mirrored = paired(b, a)
    assert mirrored.effect_low == pytest.approx(-found.effect_high)


def test_standardised_effect_is_unbiased_and_its_interval_holds_it():
    generator, held, effects = np.random.default_rng(0), 0, []
    for _ in range(1000):
        found = paired(generator.normal(0.8, 1, 6), np.zeros(6))
        held += found.effect_low <= 0.8 <= found.effect_high
        effects.append(found.effect)
    assert 0.925 < held / 1000 < 0.975
    assert np.mean(effects) == pytest.approx(0.8, abs=4 * np.std(effects) / 1000**0.5)


def test_large_effects_and_differences_without_spread():
    spread = np.random.default_rng(0).normal(500, 1, 5)
    assert paired(spread, np.zeros(5)).effect_low > 100
    for shift, p_value in ((1.0, 0.125), (0.0, 1.0)):
        found = paired([shift] * 4, [0.0] * 4)
        assert (found.mean, found.low, found.high, found.p_value) == (shift, shift, shift, p_value)
        assert np.isnan([found.effect, found.effect_low, found.effect_high]).all()


@pytest.mark.parametrize(
    ("treated", "control", "message"),
    [([1.0, 2.0], [1.0, 2.0], "at least three"), ([1.0] * 3, [1.0, 2.0, np.nan], "finite")],
)
def test_pairs_that_are_none_are_refused(treated, control, message):
    with pytest.raises(ValueError, match=message):
        paired(treated, control)


def test_student_s_interval_is_that_of_scipy():
    values = np.random.default_rng(0).normal(3, 2, 9)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    mean, half = student(values, level=0.9)
    assert (mean - half, mean + half) == pytest.approx((expected.low, expected.high))


def test_wilson_s_interval_in_closed_form():
    z, n = stats.norm.ppf(0.975), 50
    for count in (0, 7, 50):
        p = count / n
        middle, half = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
        ends = (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)
        assert wilson(count, n) == pytest.approx(ends, abs=1e-12)
