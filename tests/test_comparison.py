"""Welch's interval against scipy's own, which wants both samples whole."""

import numpy as np
import pytest
from scipy import stats

from pscore.comparison import TABLE_2, Reported, difference


@pytest.mark.parametrize(("ours", "theirs"), [(5, 100), (40, 3), (10, 10)])
def test_interval_is_that_of_scipy_for_the_two_samples(ours, theirs):
    generator = np.random.default_rng(ours)
    a, b = generator.normal(2, 3, ours), generator.normal(1, 0.5, theirs)
    reported = Reported(b.mean(), b.std(ddof=1), theirs)
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.9)
    found = difference(a, reported, level=0.9)
    assert found.value == pytest.approx(a.mean() - b.mean())
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_interval_holds_the_difference_as_often_as_it_says():
    generator, held = np.random.default_rng(0), 0
    for _ in range(2000):
        a, b = generator.normal(0, 1, 8), generator.normal(0, 2, 20)
        found = difference(a, Reported(b.mean(), b.std(ddof=1), 20))
        held += found.low <= 0 <= found.high
    assert 0.935 < held / 2000 < 0.965


def test_without_any_spread_the_interval_is_a_point():
    assert difference([1.0, 1.0], TABLE_2["cifar10"]["loss_fraction"]) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, np.nan]])
def test_too_few_values_are_refused(values):
    with pytest.raises(ValueError, match="values must be at least two finite numbers"):
        difference(values, TABLE_2["mnist"]["loss_fraction"])
