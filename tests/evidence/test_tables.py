"""Our trials beside the paper's Table 2: intervals against scipy's, margins, and the words."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from evidence.tables import (
    ALPHA,
    TABLE_2,
    Interval,
    Reported,
    beside_table_2,
    compare,
    compatible,
    difference,
    equivalence,
    predicted,
    spread_ratio,
)
from pscore.experiments.trials import Stored, stored


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


@pytest.mark.parametrize("values", [[], [1.0], [1.0, np.nan]])
def test_values_that_are_none_are_refused(values):
    with pytest.raises(ValueError, match="values must be finite numbers, and at least two"):
        difference(values, TABLE_2["mnist"]["loss_fraction"])


def test_ratio_s_interval_is_that_of_the_f_test_for_light_tails():
    """It excludes 1 just when the two-sided F-test of equal variances rejects."""
    generator = np.random.default_rng(0)
    for theirs in (0.7, 1.0, 1.5):
        a = generator.uniform(-1, 1, 30)  # a kurtosis below 3, which counts as 3
        b = Reported(0.0, theirs * a.std(ddof=1), 12)
        below = stats.f.cdf(theirs**-2, 29, 11)
        p_value = 2 * min(below, 1 - below)
        for level in (1 - 1.01 * p_value, 1 - 0.99 * p_value):
            found = spread_ratio(a, b, level)
            assert found.value == pytest.approx(1 / theirs)
            assert (found.low < 1 < found.high) == (level > 1 - p_value) or theirs == 1


@pytest.mark.parametrize("draw", ["standard_normal", "laplace"])
def test_ratio_s_interval_holds_the_quotient_for_heavy_tails_too(draw):
    """Where the plain F interval of Laplace's distribution would hold it in 0.82 of the cases."""
    generator, held, plain = np.random.default_rng(0), 0, 0
    quantile = stats.f.ppf(0.975, 99, 99) ** 0.5
    for _ in range(1000):
        a, b = (getattr(generator, draw)(size=100) for _ in range(2))
        found = spread_ratio(a, Reported(0.0, b.std(ddof=1), 100))
        held += found.low <= 1 <= found.high
        plain += 1 / quantile <= found.value <= quantile
    assert 0.92 < held / 1000 < 0.985
    assert plain / 1000 < 0.87 if draw == "laplace" else plain / 1000 > 0.93


def test_ratio_allows_for_rounding_at_its_widest():
    values = np.arange(10.0)
    rounded, lower, upper = (
        spread_ratio(values, Reported(0, s, 9, d)) for s, d in ((2.0, 0.2), (1.9, 0), (2.1, 0))
    )
    assert (rounded.low, rounded.high) == (upper.low, lower.high)
    never = spread_ratio(values, TABLE_2["cifar10"]["loss_fraction"])
    assert never.high == np.inf and never.low > 100


def test_one_more_trial_lies_in_its_interval_as_often_as_it_says():
    generator, held = np.random.default_rng(1), 0
    for _ in range(2000):
        one, b = generator.normal(0, 2), generator.normal(0, 2, 20)
        found = predicted(Reported(b.mean(), b.std(ddof=1), 20))
        held += found.low <= one <= found.high
    assert 0.935 < held / 2000 < 0.965
    exact, rounded = (predicted(Reported(1.0, s, 20, d)) for s, d in ((0.005, 0), (0.0, 0.01)))
    assert rounded.high == pytest.approx(exact.high + 0.005)


def test_equivalence_has_three_words():
    words = {(-2, 2): "equivalent", (-4, 2): "undecided", (2.5, 3.5): "undecided"}
    words |= {(3.5, 4): "different", (-9, -3.1): "different", (-3, 2): "undecided"}
    for ends, word in words.items():
        assert equivalence(Interval(0, *ends), -3, 3) == word


def test_a_table_s_rows_share_five_per_cent():
    assert ALPHA == 0.05 / 9


def sample(mean, deviation, count):
    """Values of exactly this mean and deviation."""
    values = stats.norm.ppf((np.arange(count) + 0.5) / count)
    return mean + deviation * (values - values.mean()) / values.std(ddof=1)


@pytest.mark.parametrize(
    ("mean", "deviation", "word"),
    [
        (10.0, 1.0, "equivalent"),
        (10.9, 1.0, "undecided"),
        (12.0, 1.0, "different"),
        (10.0, 0.7, "undecided"),
        (10.0, 0.3, "different"),
        (10.0, 3.0, "different"),
    ],
)
def test_the_verdict_is_on_mean_and_spread(mean, deviation, word):
    found = compare(sample(mean, deviation, 100), Reported(10.0, 1.0, 100), 1.0)
    assert found.verdict == word and found.within == 1.0
    assert found.gap.value == pytest.approx(mean - 10)
    assert found.ratio.value == pytest.approx(deviation)


def test_two_one_sided_tests_say_equivalent_when_scipy_s_do():
    reported = sample(0.0, 1.0, 40)
    for margin in (0.5, 0.7, 0.9):
        ours = sample(0.1, 1.1, 50)
        p_values = [
            stats.ttest_ind(ours + side, reported, equal_var=False, alternative=way).pvalue
            for side, way in ((-margin, "less"), (margin, "greater"))
        ]
        gap = compare(ours, Reported(0.0, 1.0, 40), margin).gap
        assert (equivalence(gap, -margin, margin) == "equivalent") == (max(p_values) < ALPHA)


@pytest.mark.parametrize(("value", "word"), [(10.5, "inside"), (14.0, "outside")])
def test_a_single_trial_is_inside_or_outside_and_nothing_more(value, word):
    found = compare([value], Reported(10.0, 1.0, 20), 1e-9)
    assert found.verdict == word and found.ratio is None
    assert found.within == pytest.approx(stats.t.ppf(1 - ALPHA / 2, 19) * (1 + 1 / 20) ** 0.5)


def batch(dataset, steps, seeds=3):
    paths = pd.DataFrame({"step": [0, 10, 20], "loss": [3.0, 2.0, 1.0], "curvature": [-1.0, 2, 4]})
    paths = pd.concat([paths.assign(seed=seed) for seed in range(seeds)])
    trials = pd.DataFrame({"seed": range(seeds), "steps": steps, "diverged": False})
    trials = trials.assign(test_accuracy=0.961, loss_fraction=0.9, curvature_p10=99.0, entry_step=1)
    trials = trials.assign(loss_initial=3.0, loss_entry=2.0, loss_final=1.0, time_fraction=0.5)
    return Stored(trials, paths, {"dataset": dataset, "parameters": {"log_every": 10}})


def test_the_table_reads_the_trajectories_and_not_the_stored_columns():
    table = beside_table_2(batch("mnist", 938), "mnist")
    assert table["here"].tolist() == ["96.10 ± 0.00", "2.20 ± 0.00", "0.50 ± 0.00"]
    assert set(table["trials"]) == {"3"} and set(table["verdict"]) == {"different"}
    assert table.loc["test accuracy (%)", "Table 2"] == "97.32 ± 1.00"
    later = beside_table_2(batch("mnist", 938), "mnist", period=20)
    assert later.loc["10th percentile", "here"] == "4.00 ± 0.00"


@pytest.mark.parametrize(("dataset", "steps"), [("mnist", 900), ("cifar100-subset", 938)])
def test_a_part_gets_no_verdict(dataset, steps):
    table = beside_table_2(batch(dataset, steps), "mnist")
    assert set(table["verdict"]) == {"a part: none"} and set(table["difference"]) == {""}


def test_what_the_chapters_say_of_the_nine_rows():
    """By other means: a bootstrap of our trials, and the paper's taken as normal."""
    words = beside_table_2(stored("mnist"), "mnist").verdict.tolist()
    assert words == ["undecided", "equivalent", "undecided"]
    words = beside_table_2(stored("cifar10"), "cifar10").verdict.tolist()
    assert words == ["inside", "inside", "outside"]
    generator, ours = np.random.default_rng(0), stored("mnist").trials.curvature_p10.to_numpy()
    again = generator.choice(ours, (2000, 100))
    theirs = generator.normal(21.19, 2.12, (2000, 100))
    gaps = again.mean(1) - theirs.mean(1)
    ratios = again.std(1, ddof=1) / theirs.std(1, ddof=1)
    low, high = 100 * ALPHA, 100 - 100 * ALPHA
    assert -2.119 < np.percentile(gaps, low) < np.percentile(gaps, high) < 2.119
    assert 1 / 1.5 < np.percentile(ratios, low) < np.percentile(ratios, high) < 1.5


def test_compatible_is_on_mean_and_spread():
    reported = Reported(10.0, 1.0, 100)
    for mean, deviation, word in ((10.0, 1.0, True), (10.8, 1.0, False), (10.0, 0.4, False)):
        assert compatible(sample(mean, deviation, 20), reported) == word
    assert compatible(sample(10.8, 1.0, 20), reported, 0.999)
