"""Welch's interval against scipy's own, which wants both samples whole."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pscore.comparison import TABLE_2, Reported, beside_table_2, difference


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
    assert difference([1.0, 1.0], Reported(1.0, 0.0, 20)) == (0.0, 0.0, 0.0)


def test_rounding_is_allowed_for_at_its_widest():
    """1.00 ± 0.00 may stand for 0.995 ± 0.005, so that 0.992 is no contradiction and 0.98 is."""
    rounded = TABLE_2["cifar10"]["loss_fraction"]
    exact = Reported(rounded.mean, 0.005, 20)
    for values in ([0.99, 0.994], [0.98, 0.98]):
        found, expected = difference(values, rounded), difference(values, exact)
        assert found.value == expected.value
        assert found.low == pytest.approx(expected.low - 0.005)
        assert found.high == pytest.approx(expected.high + 0.005)
    assert difference([0.99, 0.994], rounded).high > 0
    assert difference([0.98, 0.98], rounded).high < 0


def test_a_single_trial_is_taken_to_scatter_as_the_reported_ones():
    """Its interval holds the difference as often as it says: a prediction interval."""
    generator, held = np.random.default_rng(1), 0
    for _ in range(2000):
        one, b = generator.normal(0, 2), generator.normal(0, 2, 20)
        found = difference([one], Reported(b.mean(), b.std(ddof=1), 20))
        held += found.low <= 0 <= found.high
    assert 0.935 < held / 2000 < 0.965


def test_table_says_what_agrees():
    trials = pd.DataFrame(
        {
            "test_accuracy": [0.96, 0.962, 0.961],
            "curvature_p10": [20.0, 21.0, 22.5],
            "loss_fraction": [0.8, 0.9, 0.7],
        }
    )
    table = beside_table_2(trials, "mnist")
    assert table["agrees"].tolist() == ["no", "yes", "yes"]
    assert table.loc["test accuracy (%)", "Table 2"] == "97.32 ± 1.00"
    assert table.loc["test accuracy (%)", "here"] == "96.10 ± 0.10"
    assert table.loc["10th percentile", "difference"] == "-0.02"
    assert beside_table_2(trials[:1], "cifar10").loc["loss share", "here"] == "0.80"


@pytest.mark.parametrize("values", [[], [1.0, np.nan]])
def test_values_that_are_none_are_refused(values):
    with pytest.raises(ValueError, match="values must be finite numbers, and at least one"):
        difference(values, TABLE_2["mnist"]["loss_fraction"])
