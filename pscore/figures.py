"""Figures: one style, readable in grey, and explorers that move without a kernel."""

import io
from collections.abc import Callable, Mapping, Sequence

import numpy as np

try:
    import ipywidgets
    import matplotlib as mpl
    import matplotlib.pyplot as plt
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
except ImportError as error:
    raise ImportError(f"figures: {error}; pip install 'pscore[book]'") from error

# Dark to light, so that the order survives without colour; used with one line style each.
INK, BLUE, ORANGE, PALE = "#1a1a1a", "#1f5fa8", "#d9822b", "#c9d6e4"
LINES = ("-", "--", "-.", ":")

_STYLE = {
    "figure.figsize": (6.4, 3.6),
    "figure.constrained_layout.use": True,
    "figure.dpi": 110,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": mpl.cycler(color=[INK, BLUE, ORANGE, "#7a7a7a"])
    + mpl.cycler(linestyle=LINES),
    "axes.titlesize": 10,
    "legend.frameon": False,
    "image.cmap": "Greys",
}


def use_style() -> None:
    """Set the book's matplotlib style for the rest of a notebook."""
    mpl.rcParams.update(_STYLE)


def share_histogram(axes: Axes, shares: Sequence[float], *, bins: int = 20) -> None:
    """Draw the distribution of loss shares over trials, with its mean (Figures 1 and 2, left).

    Args:
        axes: where to draw.
        shares: fractions in [0, 1].
        bins: how many bars from 0 to 1.
    """
    values = np.asarray(shares, dtype=float)
    axes.hist(values, bins=np.linspace(0, 1, bins + 1).tolist(), color=PALE, edgecolor=INK)
    axes.axvline(values.mean(), color=INK, linestyle="--", label=f"mean {values.mean():.1%}")
    axes.set(xlabel="share of the change in loss", ylabel="trials", xlim=(0, 1))
    axes.legend(loc="upper left")


def draw_path(path: pd.DataFrame, entry_step: int | None, *, cut: float = 10.0) -> Figure:
    """Draw the loss and the curvature (17) of one trial against its steps (Figure 2, right).

    Args:
        path: the columns ``step``, ``loss`` and ``curvature``.
        entry_step: t_0, drawn as a dotted line; None if there is none.
        cut: where the curvature is cut off.
    """
    figure, (above, below) = plt.subplots(2, sharex=True)
    above.plot(path["step"], path["loss"])
    above.set(ylabel="loss of the mini-batch", ylim=(0, None))
    below.axhline(0, color="0.6", linewidth=0.8)
    below.plot(path["step"], path["curvature"].clip(upper=cut))
    below.set(xlabel="step", ylabel=f"curvature,\ncut off at {cut:g}")
    if entry_step is not None:
        for axes in (above, below):
            axes.axvline(entry_step, color="0.6", ls=":", label="$t_0$")
        above.legend(loc="upper right")
    return figure


def share_curves(
    axes: Axes,
    values: Sequence[float],
    rows: Sequence[Mapping[str, int]],
    of: int,
    interval: Callable[[int, int], tuple[float, float]],
) -> None:
    """Draw how often each of several things was seen, as shares with their intervals.

    Args:
        axes: where to draw.
        values: of what is varied, one for each row.
        rows: counts by name, at most four of them.
        of: how many were looked at for each row.
        interval: of a share, from a count and how many were looked at.
    """
    for name, line, marker in zip(rows[0], LINES, "osD^", strict=False):
        middle = np.array([row[name] / of for row in rows])
        bars = np.abs(np.array([interval(row[name], of) for row in rows]).T - middle)
        axes.errorbar(values, middle, bars, marker=marker, ls=line, ms=3.5, capsize=2, label=name)
    axes.set_ylim(-0.04, 1.04)


def logarithmic(axes: Axes, ticks: Sequence[float]) -> None:
    """Give the horizontal axis a logarithmic scale with these ticks alone."""
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_xticks(ticks, [f"{x:g}" for x in ticks])


def explorer(
    draw: Callable[[Axes, float, float], None],
    rows: tuple[str, Sequence[float]],
    columns: tuple[str, Sequence[float]],
    *,
    figsize: tuple[float, float] = (4.6, 4.2),
    describe: Callable[[float, float], str],
) -> ipywidgets.VBox:
    """Return a picture with two sliders that works in a page without a kernel.

    Every frame is drawn beforehand; the sliders only choose which one is shown. They can be moved
    by mouse, by touch and with the arrow keys.

    Args:
        draw: draws the picture of two values on given axes.
        rows: name and values of the first slider.
        columns: name and values of the second slider.
        figsize: of one frame, in inches.
        describe: says in words what the frame of two values shows, for those who can't see it.
    """
    (row_name, row_values), (column_name, column_values) = rows, columns
    row_slider = _slider(row_name, row_values)
    column_slider = _slider(column_name, column_values)
    stacks = []
    for row in row_values:
        frames = [
            ipywidgets.VBox(
                [
                    ipywidgets.Image(value=_png(draw, row, column, figsize), format="png"),
                    ipywidgets.HTML(f"<p>{describe(row, column)}</p>"),
                ]
            )
            for column in column_values
        ]
        stack = ipywidgets.Stack(frames, selected_index=0)
        ipywidgets.jslink((column_slider, "index"), (stack, "selected_index"))
        stacks.append(stack)
    outer = ipywidgets.Stack(stacks, selected_index=0)
    ipywidgets.jslink((row_slider, "index"), (outer, "selected_index"))
    return ipywidgets.VBox([row_slider, column_slider, outer])


def _slider(name: str, values: Sequence[float]) -> ipywidgets.SelectionSlider:
    return ipywidgets.SelectionSlider(
        options=[(f"{value:g}", i) for i, value in enumerate(values)],
        value=0,
        description=name,
        continuous_update=True,
    )


def _png(
    draw: Callable[[Axes, float, float], None],
    row: float,
    column: float,
    figsize: tuple[float, float],
) -> bytes:
    figure = Figure(figsize=figsize, layout="constrained")
    draw(figure.subplots(), row, column)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90, metadata={"Software": None})
    plt.close("all")
    return buffer.getvalue()
