r"""How much of a path lies in its piecewise convex part: :math:`t_0` and the share (20).

A path is a loss :math:`\gamma` and a curvature :math:`\ddot\gamma/\|g\|^2` at the steps of a log,
from 0 to the last one, :math:`t_1`. Its convex part begins at the *entry step* :math:`t_0`: for a
measured path the first step from which on every curvature is positive; for a descent in a
certified set the step at which it first is inside.
"""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray


def entry_index(curvature: ArrayLike) -> int:
    """Return the first index from which on every curvature is positive, itself included.

    Args:
        curvature: at the steps of a log. One that is nan, as at a critical point, is not positive.

    Returns:
        the index; the length of the log if its last curvature is not positive.
    """
    outside = np.flatnonzero(~(np.asarray(curvature) > 0))
    return int(outside[-1]) + 1 if outside.size else 0


def loss_fraction(
    initial: ArrayLike, at_entry: ArrayLike, final: ArrayLike, entry_step: ArrayLike
) -> NDArray[np.float64]:
    r"""Return the share of the fall in loss that lies after :math:`t_0`, (20).

    .. math:: \frac{\gamma(t_0) - \gamma(t_1)}{\gamma(0) - \gamma(t_1)}

    It is 1 for a path that starts inside, whatever its loss does, and 0 for one that never enters.
    Otherwise it is nan if the loss does not fall from 0 to :math:`t_1`. Where noise takes it out
    of [0, 1], with the loss at :math:`t_0` above the first or below the last one, it counts as the
    nearer end.

    Args:
        initial: :math:`\gamma(0)`, a number, or an array with one for each path.
        at_entry: :math:`\gamma(t_0)`; it is not looked at without a :math:`t_0`.
        final: :math:`\gamma(t_1)`.
        entry_step: :math:`t_0`; nan if there is none.
    """
    first, entry, last = (np.asarray(loss, dtype=float) for loss in (initial, at_entry, final))
    step = np.asarray(entry_step, dtype=float)
    fall = np.where(first > last, first - last, np.nan)
    share = np.clip((entry - last) / fall, 0.0, 1.0)
    return np.where(step == 0, 1.0, np.where(np.isnan(step), 0.0, share))


def time_fraction(entry_step: ArrayLike, last_step: ArrayLike) -> NDArray[np.float64]:
    r"""Return :math:`(t_1 - t_0) / t_1`; 1 for a path that starts inside, 0 without a :math:`t_0`.

    Args:
        entry_step: :math:`t_0`, a number, or an array with one for each path; nan if there is none.
        last_step: :math:`t_1`.
    """
    step, last = np.asarray(entry_step, dtype=float), np.asarray(last_step, dtype=float)
    left = (last - step) / np.where(last > 0, last, np.nan)
    return np.where(step == 0, 1.0, np.nan_to_num(left))


def tenth_percentile(step: ArrayLike, curvature: ArrayLike, entry_step: ArrayLike) -> float:
    r"""Return the 10th percentile of one path's curvature from :math:`t_0` on.

    Between two values it goes linearly with the rank. A curvature that is nan is left out.

    Args:
        step: the steps of the log.
        curvature: at these steps.
        entry_step: :math:`t_0`; nan if there is none, and then the percentile is nan too.
    """
    curvature = np.asarray(curvature, dtype=float)
    after = np.asarray(step) >= np.asarray(entry_step, dtype=float)
    kept = curvature[after & ~np.isnan(curvature)]
    return float(np.percentile(kept, 10)) if kept.size else math.nan


class Share(NamedTuple):
    r"""How much of a measured path lies in its piecewise convex part.

    Attributes:
        loss_initial: :math:`\gamma(0)`, the first logged loss.
        loss_entry: :math:`\gamma(t_0)`; nan if there is no :math:`t_0`.
        loss_final: :math:`\gamma(t_1)`, the last logged loss.
        loss_fraction: (20), see `loss_fraction`.
        time_fraction: see `time_fraction`.
        curvature_p10: see `tenth_percentile`.
        entry_step: :math:`t_0`, or None.
    """

    loss_initial: float
    loss_entry: float
    loss_final: float
    loss_fraction: float
    time_fraction: float
    curvature_p10: float
    entry_step: int | None


def even_log(trajectory: pd.DataFrame, period: int, offset: int = 0) -> pd.DataFrame:
    """Return what a log of every ``period``-th step keeps of a path, from step ``offset`` on.

    The offset is below the period.

    Raises:
        ValueError: if the path was not logged at one of these steps.
    """
    kept = trajectory[trajectory["step"] % period == offset]
    if not np.array_equal(kept["step"], np.arange(offset, trajectory["step"].max() + 1, period)):
        raise ValueError(f"the trajectory lacks steps of a log with period {period} from {offset}")
    return kept


def loss_share(trajectory: pd.DataFrame) -> Share:
    r"""Find where a measured path becomes piecewise convex, and the share (20) after it.

    All of these figures depend on which steps were logged. Those that are reported are of an
    `even_log`, with the batch's ``log_every`` as its period: not of a log with a denser beginning.

    Args:
        trajectory: the columns ``step``, ``loss`` and ``curvature``, in the order of the steps. A
            path whose beginning was left out is taken from its first step on.

    Raises:
        ValueError: if the trajectory is empty.
    """
    if trajectory.empty:
        raise ValueError("trajectory is empty: log at least one step")
    step, loss, curvature = (trajectory[name].to_numpy() for name in ("step", "loss", "curvature"))
    index = entry_index(curvature)
    if index == len(step):
        return Share(float(loss[0]), math.nan, float(loss[-1]), 0.0, 0.0, math.nan, None)
    entered = step[index] - step[0]
    return Share(
        loss_initial=float(loss[0]),
        loss_entry=float(loss[index]),
        loss_final=float(loss[-1]),
        loss_fraction=float(loss_fraction(loss[0], loss[index], loss[-1], entered)),
        time_fraction=float(time_fraction(entered, step[-1] - step[0])),
        curvature_p10=tenth_percentile(step, curvature, step[index]),
        entry_step=int(step[index]),
    )


def share_of_trial(trajectory: pd.DataFrame, period: int, diverged: bool) -> Share:
    """Return a trial's share, read off its even log; of one that diverged the first loss alone."""
    if diverged:
        first = trajectory["loss"].head(1).tolist() or [math.nan]
        return Share._make([*first, *[math.nan] * 5, None])
    return loss_share(even_log(trajectory, period))
