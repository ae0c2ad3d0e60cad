"""The figures of a batch's even log, and two batches pair by pair."""

import math

import pandas as pd

from pscore.experiments.share import even_log, loss_share
from pscore.experiments.statistics import Paired, paired
from pscore.experiments.trials import Stored


def on_even_log(batch: Stored, period: int | None = None, offset: int = 0) -> pd.DataFrame:
    """Return a batch's trials with the figures of an even log, read off their trajectories.

    Args:
        batch: as it is stored, one row a trial.
        period: steps between two entries; by default the batch's ``log_every``.
        offset: the first step that is logged.

    Returns:
        Its trials; the attributes of `Share` are columns. A trial that diverged stays as it was.
    """
    steps = batch.provenance["parameters"]["log_every"] if period is None else period
    trials = batch.trials.set_index("seed", drop=False)
    for seed, path in batch.trajectories.groupby("seed"):
        if not trials.loc[seed, "diverged"]:
            share = loss_share(even_log(path, steps, offset))
            trials.loc[seed, list(share._fields)] = [
                math.nan if value is None else value for value in share
            ]
    return trials.astype({"entry_step": "Int64"}).reset_index(drop=True)


# What a path is summed up by when batches are compared pair by pair, and its words.
MEASURES = {
    "entry_step": "t_0 (step)",
    "loss_fraction": "loss share",
    "time_fraction": "time share",
    "negative": "share of steps with curvature ≤ 0",
    "curvature_p10": "10th percentile after t_0",
    "curvature_median": "median of the curvature",
    "test_accuracy": "test accuracy",
}


def path_measures(trials: pd.DataFrame, trajectories: pd.DataFrame, period: int) -> pd.DataFrame:
    """Sum up the paths of a batch by their even logs, one row a seed.

    A log may be denser at the start; what is beside the even log is left out.

    Args:
        trials: one row a trial, with ``seed`` and ``test_accuracy``.
        trajectories: ``seed``, ``step``, ``loss`` and ``curvature``.
        period: steps between two entries of the even log.

    Returns:
        The columns `MEASURES`. A path without a :math:`t_0` has the step after its last one, and
        no 10th percentile.
    """
    rows = {}
    for seed, path in trajectories.groupby("seed"):
        even = even_log(path, period)
        share = loss_share(even)
        rows[seed] = {
            "entry_step": path.step.iloc[-1] + 1 if share.entry_step is None else share.entry_step,
            "loss_fraction": share.loss_fraction,
            "time_fraction": share.time_fraction,
            "negative": (even.curvature <= 0).mean(),
            "curvature_p10": share.curvature_p10,
            "curvature_median": even.curvature.median(),
        }
    table = pd.DataFrame(rows).T.rename_axis("seed")
    return table.assign(test_accuracy=trials.set_index("seed").test_accuracy)[list(MEASURES)]


def beside_each_other(treated: pd.DataFrame, control: pd.DataFrame) -> pd.DataFrame:
    """Compare two batches measure by measure on the seeds that they share, see `paired`.

    Args:
        treated: as `path_measures` makes it.
        control: likewise. A pair of which one has no value is left out of that row.

    Returns:
        One row a measure: both means, and the columns of `Paired`, with nan where fewer than three
        pairs are left.
    """
    rows = {}
    for name in MEASURES:
        pair = pd.concat({"treated": treated[name], "control": control[name]}, axis=1).dropna()
        row = {"pairs": len(pair)}
        if len(pair) > 2:
            row = paired(pair.treated.tolist(), pair.control.tolist())._asdict()
        rows[name] = {**pair.mean(), **row}
    return pd.DataFrame(rows).T.reindex(columns=["treated", "control", *Paired._fields])
