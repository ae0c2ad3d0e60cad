"""The paper's Tables 1 and 2 beside our own trials: intervals, margins, and the words they deserve.

Trials of one batch are independent. "equivalent" is said of a row only if its mean and its spread
both lie within margins that were chosen for what would matter, and not for what came out.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from pscore.experiments.comparison import on_even_log
from pscore.experiments.trials import Stored


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


class Interval(NamedTuple):
    """An estimate, with the ends of the interval around it."""

    value: float
    low: float
    high: float


def difference(values: Sequence[float], reported: Reported, level: float = 0.95) -> Interval:
    r"""Compare the mean of our trials with a reported mean, by Welch's interval.

    With means :math:`m_1, m_2`, standard deviations :math:`s_1, s_2` and trials
    :math:`n_1, n_2`, the interval is :math:`m_1 - m_2 \pm t\,\sqrt{v_1 + v_2}`,
    :math:`v_i = s_i^2/n_i`, where t is the quantile of Student's distribution with
    :math:`(v_1+v_2)^2 / (v_1^2/(n_1-1) + v_2^2/(n_2-1))` degrees of freedom. It takes the trials
    to be independent, and their means to be nearly normal.

    Reported figures are rounded. The interval allows for that at its widest: half a unit of the
    last digit is added to :math:`s_2`, and to the interval at both ends.

    Args:
        values: one a trial, in the reported figure's unit.
        reported: the figure to compare with.
        level: how often the interval is to hold the true difference.

    Raises:
        ValueError: if there are fewer than two trials, or a value is not finite.
    """
    ours, half = _trials(values), reported.digit / 2
    value = float(ours.mean()) - reported.mean
    v1 = float(ours.var(ddof=1)) / ours.size
    v2 = (reported.deviation + half) ** 2 / reported.trials
    if v1 + v2 > 0:
        freedom = (v1 + v2) ** 2 / (v1**2 / (ours.size - 1) + v2**2 / (reported.trials - 1))
        half += float(stats.t.ppf((1 + level) / 2, freedom) * np.sqrt(v1 + v2))
    return Interval(value, value - half, value + half)


def spread_ratio(values: Sequence[float], reported: Reported, level: float = 0.95) -> Interval:
    r"""Compare the standard deviation of our trials with a reported one, by their quotient.

    For normal trials :math:`(s_1/s_2)^2` over the quotient of the true variances has Fisher's
    distribution with :math:`n_1 - 1` and :math:`n_2 - 1` degrees of freedom. With a kurtosis
    :math:`\kappa > 3` a variance is known worse than that, as if both numbers were
    :math:`2/(\kappa - 1)` times as large (Box and Andersen): κ is that of our trials, if there are
    four, and taken for the reported ones as well. Rounding is allowed for at its widest.

    Args:
        values: as for `difference`.
        reported: likewise.
        level: how often the interval is to hold the true quotient.

    Raises:
        ValueError: as for `difference`.
    """
    ours, half = _trials(values), reported.digit / 2
    own, least = float(ours.std(ddof=1)), max(reported.deviation - half, 0.0)
    kurtosis = stats.kurtosis(ours, fisher=False, bias=False) if ours.size > 3 and own else 3.0
    known = min(1.0, 2 / (float(kurtosis) - 1)) if kurtosis > 1 else 1.0
    freedom = known * (ours.size - 1), known * (reported.trials - 1)
    low, high = (float(stats.f.ppf((1 + sign * level) / 2, *freedom)) ** 0.5 for sign in (1, -1))
    ends = own / (reported.deviation + half) / low, own / least / high if least else math.inf
    return Interval(own / reported.deviation if reported.deviation else math.inf, *ends)


def predicted(reported: Reported, level: float = 0.95) -> Interval:
    r"""Return the interval that one more trial would lie in: :math:`m \pm t s\sqrt{1 + 1/n}`.

    It takes trials to be normal and independent, t being Student's quantile with n - 1 degrees of
    freedom, and allows for rounding as `difference` does.
    """
    half, n = reported.digit / 2, reported.trials
    width = float(stats.t.ppf((1 + level) / 2, n - 1)) * (reported.deviation + half)
    width = width * math.sqrt(1 + 1 / n) + half
    return Interval(reported.mean, reported.mean - width, reported.mean + width)


def equivalence(interval: Interval, low: float, high: float) -> str:
    """Say whether an interval lies between two margins.

    "equivalent" is what two one-sided tests say, each at half of what the interval's level leaves;
    "different" lies beyond a margin, with all of it; "undecided" is what holds one.
    """
    if low < interval.low and interval.high < high:
        return "equivalent"
    return "different" if interval.high < low or high < interval.low else "undecided"


def compatible(values: Sequence[float], reported: Reported, level: float = 0.95) -> bool:
    """Say whether trials exclude neither a reported mean nor its spread: no sign of being alike."""
    gap, ratio = (f(values, reported, level) for f in (difference, spread_ratio))
    return gap.low <= 0 <= gap.high and ratio.low <= 1 <= ratio.high


def _trials(values: Sequence[float]) -> NDArray[np.float64]:
    ours = np.asarray(values, dtype=float)
    if ours.size < 2 or not np.isfinite(ours).all():
        raise ValueError(f"values must be finite numbers, and at least two, not {ours}")
    return ours


# Table 1: what the experiments share is a batch of 128 images, which the text says.
_COLUMNS = ("model", "epochs", "batch norm", "λ", "trials", "η")
TABLE_1: dict[str, dict[str, Any]] = {
    dataset: dict(zip(_COLUMNS, row, strict=True))
    for dataset, row in {
        "mnist": ("LeNet-5", 2, "no", 5e-4, 100, "0.05"),
        "cifar10": ("ResNet22", 65, "yes", 1e-6, 20, "0.1, then 0.02"),
        "cifar100": ("ResNet22", 65, "yes", 1e-7, 20, "0.1, then 0.02"),
    }.items()
}

# Table 2, shares and accuracies as fractions; the numbers of trials are Table 1's.
TABLE_2 = {
    "mnist": {
        "test_accuracy": Reported(0.9732, 0.0100, 100, 1e-4),
        "curvature_p10": Reported(21.19, 2.12, 100, 0.01),
        "loss_fraction": Reported(0.80, 0.09, 100, 0.01),
    },
    "cifar10": {
        "test_accuracy": Reported(0.8493, 0.0035, 20, 1e-4),
        "curvature_p10": Reported(8.82, 2.80, 20, 0.01),
        "loss_fraction": Reported(1.00, 0.00, 20, 0.01),
    },
    "cifar100": {
        "test_accuracy": Reported(0.5401, 0.0053, 20, 1e-4),
        "curvature_p10": Reported(11.80, 0.27, 20, 0.01),
        "loss_fraction": Reported(1.00, 0.02, 20, 0.01),
    },
}


# What a row of Table 2 is called, and the unit that it is printed in.
ROWS = {
    "test_accuracy": ("test accuracy (%)", 100),
    "curvature_p10": ("10th percentile", 1),
    "loss_fraction": ("loss share", 1),
}

# How far two means may lie apart and still count as the same: half a per cent of the test images;
# a tenth of the paper's figure, which is a rate whose size has no meaning to more digits than one;
# half a bar of the paper's histogram. And by which factor two spreads may differ.
MARGINS: dict[str, Callable[[float], float]] = {
    "test_accuracy": lambda mean: 0.005,
    "curvature_p10": lambda mean: 0.1 * mean,
    "loss_fraction": lambda mean: 0.05,
}
SPREAD_MARGIN = 1.5

# Nine rows are nine tests: by Bonferroni each is made at a ninth of five per cent.
ALPHA = 0.05 / sum(map(len, TABLE_2.values()))


def steps_of(dataset: str) -> int:
    """Return the steps of one of the paper's trials, all images in batches of 128."""
    images = 60_000 if dataset == "mnist" else 50_000
    return int(TABLE_1[dataset]["epochs"]) * math.ceil(images / 128)


def is_whole(batch: Stored, dataset: str) -> bool:
    """Say whether a batch's trials were made on all of a data set, to the paper's last step."""
    return batch.provenance["dataset"] == dataset and set(batch.trials.steps) == {steps_of(dataset)}


class Comparison(NamedTuple):
    """Our trials beside a figure of Table 2.

    Attributes:
        gap: our mean less the paper's; for several trials with Welch's interval.
        within: how far it may reach for the verdict to be good.
        ratio: our standard deviation over the paper's; None for a single trial.
        verdict: for several trials "equivalent" if mean and spread both are, "different" if one of
            them is, else "undecided"; for a single one whether it lies "inside" or "outside" of
            where one more of the paper's trials would, which is all that it can say.
    """

    gap: Interval
    within: float
    ratio: Interval | None
    verdict: str


def compare(values: Sequence[float], reported: Reported, margin: float) -> Comparison:
    """Compare trials with a figure of Table 2, on mean and on spread.

    Args:
        values: one a trial.
        reported: the paper's figure.
        margin: how far the means may lie apart.
    """
    if len(values) == 1:
        usual, value = predicted(reported, 1 - ALPHA), values[0] - reported.mean
        within = usual.high - usual.value
        inside = "inside" if abs(value) <= within else "outside"
        return Comparison(Interval(value, value, value), within, None, inside)
    gap = difference(values, reported, 1 - 2 * ALPHA)
    ratio = spread_ratio(values, reported, 1 - 2 * ALPHA)
    of_spread = equivalence(ratio, 1 / SPREAD_MARGIN, SPREAD_MARGIN)
    both = {equivalence(gap, -margin, margin), of_spread}
    word = next(word for word in ("different", "undecided", "equivalent") if word in both)
    return Comparison(gap, margin, ratio, word)


def beside_table_2(
    batch: Stored, dataset: str, period: int | None = None, offset: int = 0
) -> pd.DataFrame:
    """Return Table 2's rows for one data set beside the same figures of our trials.

    Args:
        batch: our trials.
        dataset: "mnist", "cifar10" or "cifar100".
        period: of the log, as `on_even_log` takes it.
        offset: likewise.

    Returns:
        One row a figure: the paper's, ours and on how many trials it rests, and their `Comparison`.
        Trials on a part of the data, or of fewer steps, get none.
    """
    trials, rows = on_even_log(batch, period, offset), {}
    for name, (words, unit) in ROWS.items():
        paper, ours = TABLE_2[dataset][name], trials[name].astype(float)
        spread = f" ± {unit * ours.std():.2f}" if len(ours) > 1 else ""
        row = rows[words] = {
            "Table 2": f"{unit * paper.mean:.2f} ± {unit * paper.deviation:.2f}",
            "here": f"{unit * ours.mean():.2f}{spread}",
            "trials": str(len(ours)),
            **dict.fromkeys(("difference", "may reach", "ratio of spreads"), ""),
            "verdict": "a part: none",
        }
        if not is_whole(batch, dataset):
            continue
        gap, within, ratio, row["verdict"] = compare(
            ours.tolist(), paper, MARGINS[name](paper.mean)
        )
        row["difference"], row["may reach"] = f"{unit * gap.value:+.2f}", f"±{unit * within:.2f}"
        if ratio is not None:
            row["difference"] += f" ({unit * gap.low:+.2f} to {unit * gap.high:+.2f})"
            row["ratio of spreads"] = f"{ratio.value:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"
    return pd.DataFrame(rows).T
