"""The figures of an even log, stored or not, and what two batches are compared by."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pscore.experiments.comparison import (
    MEASURES,
    beside_each_other,
    on_even_log,
    path_measures,
)
from pscore.experiments.trials import Stored, load, stored

RESULTS = Path(__file__).resolve().parents[2] / "results"
IMAGES = [
    path.parent.relative_to(RESULTS).as_posix()
    for path in sorted(RESULTS.rglob("trials.parquet"))
    if load(path.parent).provenance["experiment"] in ("mnist", "cifar", "batch-norm")
]


def test_figures_of_an_even_log_are_read_off_the_trajectories():
    """A dense beginning is left out; a trial that diverged stays as it was."""
    step = np.r_[0:10, 10:60:10]
    curvature = np.r_[-1.0, np.full(9, 50.0), -1.0, 4.0, 6.0, 8.0, 10.0]
    path = pd.DataFrame({"step": step, "loss": 60.0 - step, "curvature": curvature})
    trials = pd.DataFrame(
        {"seed": [1, 0, 2], "entry_step": pd.array([1, 1, None], dtype="Int64")}
    ).assign(diverged=[False, False, True], test_accuracy=[0.1, 0.2, np.nan])
    for name in ("loss_initial", "loss_entry", "loss_final", "loss_fraction", "time_fraction"):
        trials[name] = 7.0
    trials["curvature_p10"] = 7.0
    paths = [path.assign(seed=0), path.assign(seed=1, curvature=-1.0), path.assign(seed=2)]
    batch = Stored(trials, pd.concat(paths), {"parameters": {"log_every": 10}})
    table = on_even_log(batch)
    assert table.seed.tolist() == [1, 0, 2] and table.test_accuracy.tolist()[:2] == [0.1, 0.2]
    row = table.loc[1]
    assert (row.entry_step, row.loss_entry, row.loss_final) == (20, 40.0, 10.0)
    assert (row.loss_fraction, row.time_fraction) == (0.6, 0.6)
    assert row.curvature_p10 == np.percentile([4, 6, 8, 10], 10)
    assert str(table.entry_step.dtype) == "Int64" and table.entry_step.isna().tolist()[0]
    assert table.loc[0, "loss_fraction"] == 0 and np.isnan(table.loc[0, "curvature_p10"])
    assert table.loc[2].equals(trials.loc[2])
    assert trials.loss_fraction.eq(7.0).all()  # the batch itself is left alone
    assert on_even_log(batch, 20).loc[1, "entry_step"] == 20
    with pytest.raises(ValueError, match="lacks steps of a log with period 10 from 5"):
        on_even_log(batch, 10, 5)


@pytest.mark.parametrize("name", IMAGES)
def test_stored_figures_are_those_of_the_even_log(name):
    batch = stored(name)
    pd.testing.assert_frame_equal(on_even_log(batch), batch.trials, check_exact=True)


def test_path_measures_of_a_path_that_is_known():
    curvature = np.r_[-1.0, 2.0, -1.0, 4.0, np.arange(5.0, 13.0)]
    path = pd.DataFrame({"step": range(12), "loss": np.arange(12.0)[::-1], "curvature": curvature})
    outside = path.assign(curvature=-1.0, seed=1)
    trials = pd.DataFrame({"seed": [1, 0], "test_accuracy": [0.1, 0.9]})
    table = path_measures(trials, pd.concat([path.assign(seed=0), outside]), period=2)
    assert list(table.columns) == list(MEASURES)
    row = table.loc[0]
    assert row.entry_step == 4 and row.test_accuracy == 0.9
    assert row.loss_fraction == pytest.approx((7 - 1) / (11 - 1))
    assert row.negative == pytest.approx(2 / 6)  # steps 0 and 2 of 0, 2, ..., 10
    assert row.curvature_p10 == np.percentile([5, 7, 9, 11], 10)
    never = table.loc[1]
    assert never.entry_step == 12 and never.loss_fraction == 0 and np.isnan(never.curvature_p10)


def test_batches_are_compared_on_the_seeds_they_share():
    seeds = pd.Index(range(6), name="seed")
    base = pd.DataFrame({name: np.arange(6.0) ** 2 for name in MEASURES}, index=seeds)
    treated = base[::-1] + pd.DataFrame({n: [1.0, 2, 3, 4, 5, 6] for n in MEASURES}, index=seeds)
    treated.loc[5, "curvature_p10"] = np.nan
    table = beside_each_other(treated.drop(index=0), base)
    assert table.loc["entry_step", "mean"] == 4.0  # the mean of 2, ..., 6
    assert table.pairs.to_dict() == {**dict.fromkeys(MEASURES, 5), "curvature_p10": 4}
    assert table.loc["curvature_p10", "mean"] == 3.5
    few = beside_each_other(treated[treated.curvature_p10.notna()][:2], base)
    assert few.loc["curvature_p10", "pairs"] == 2 and np.isnan(few.loc["curvature_p10", "mean"])
