"""Figures: one style, readable in grey, and explorers that move without a kernel."""

import io
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from html import escape
from itertools import product
from typing import Any

import numpy as np

try:
    import ipywidgets
    import matplotlib as mpl
    import matplotlib.pyplot as plt
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image
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


class Explorer(ipywidgets.VBox):
    """A picture that its reader moves, with or without a kernel; `explore` makes one.

    Its children are the slider, the second control if there is one, and a stack of frames, or of
    such stacks. A frame is HTML, a picture above its words. That is stored with a notebook, and
    the book makes of it a page that needs no widgets.
    """

    def __repr__(self) -> str:
        """Say what moves it."""
        controls = (f"{x.description}: {len(x.options)} values" for x in self.children[:-1])
        return f"Explorer({', '.join(controls)})"


def explore(
    draw: Callable[..., object],
    along: tuple[str, Sequence[Any]] | tuple[str, Sequence[Any], Sequence[str]],
    choose: tuple[str, Sequence[Any]] | None = None,
    *,
    describe: Callable[..., str],
    landmarks: Mapping[Any, str] | None = None,
    start: Any = None,
    figsize: tuple[float, float] = (6.4, 3.6),
    dpi: int = 100,
) -> Explorer:
    """Draw a picture for each of many values, and return it with a slider to move it by.

    The axes of all frames stand where those of the one shown first stand; give them limits, so
    that nothing moves but what is drawn.

    Args:
        draw: draws on an empty figure: ``draw(figure, value)``, or with ``choose``
            ``draw(figure, value, choice)``. It is called once for each frame: keep it quick.
        along: name and values of the slider, and their labels if these aren't the numbers.
        choose: name and values of a second control, two to six numbers or short words.
        describe: says in a sentence what the frame of a value, or of a value and a choice, shows.
        landmarks: a name for each value, or pair of value and choice, that deserves a button.
        start: the value, or pair of value and choice, shown first and printed.
        figsize: of a frame, in inches.
        dpi: pixels an inch.
    """
    name, values, *given = along
    known = [[_label(x) for x in some] for some in (values, *(choose[1:] if choose else ()))]
    labels = list(given[0]) if given else known[0]
    if len(set(known[0])) < max(2, len(values)) or len(labels) != len(values):
        raise ValueError(f"along: {name} needs two different values or more, and a label for each")
    if choose and not 2 <= len(choose[1]) == len(set(known[1])) <= 6:
        raise ValueError(f"choose: {choose[0]} needs two to six different values")
    at, chosen = _place("start", values[0] if start is None else start, known)
    names = {_place("landmarks", key, known): x for key, x in (landmarks or {}).items()}
    if not all(isinstance(x, str) and x for x in names.values()):
        raise ValueError(f"landmarks must have names, not {list(names.values())}")

    frames = [[(x, *y) for x in values] for y in product(*(choose[1:] if choose else ()))]
    figure = Figure(figsize=figsize, dpi=dpi, layout="constrained")
    look = {"layout": ipywidgets.Layout(), "style": ipywidgets.HTML().style}
    places = _places(figure, draw, frames[chosen or 0][at])
    slider = ipywidgets.SelectionSlider(options=labels, index=at, description=name)
    slider.layout.width = "min(100%, 36em)"
    stacks = []
    for j, pairs in enumerate(frames):
        shots = []
        for i, pair in enumerate(pairs):
            mark = names.get((i, j), names.get((i, None), ""))
            picture = _picture(figure, draw, pair, places)
            shots.append(ipywidgets.HTML(_frame(picture, describe(*pair), mark), **look))
        stacks.append(ipywidgets.Stack(shots, selected_index=at))
        ipywidgets.jslink((slider, "index"), (stacks[-1], "selected_index"))
    if not choose:
        return Explorer([slider, *stacks], _dom_classes=("explorer",))
    control = ipywidgets.Dropdown if isinstance(choose[1][0], str) else ipywidgets.SelectionSlider
    second = control(options=known[1], index=chosen or 0, description=choose[0])
    both = ipywidgets.Stack(stacks, selected_index=chosen or 0)
    ipywidgets.jslink((second, "index"), (both, "selected_index"))
    return Explorer([slider, second, both], _dom_classes=("explorer",))


def _label(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _place(what: str, key: Any, known: Sequence[Sequence[str]]) -> tuple[int, int | None]:
    """Return where a value, or a value and a choice, stand among the labels."""
    parts = [_label(x) for x in (key if isinstance(key, tuple) else (key,))]
    if len(parts) > len(known) or any(x not in y for x, y in zip(parts, known, strict=False)):
        raise ValueError(f"{what}: {key!r} is not among the values")
    return known[0].index(parts[0]), known[1].index(parts[1]) if parts[1:] else None


@mpl.rc_context(_STYLE)
def _places(figure: Figure, draw: Callable[..., object], pair: tuple) -> list:
    """Return where a frame's axes come to stand, and leave the figure without a layout engine."""
    draw(figure, *pair)
    FigureCanvasAgg(figure).draw()
    figure.set_layout_engine("none")
    return [axes.get_position(original=True) for axes in figure.axes]


@mpl.rc_context(_STYLE)
def _picture(figure: Figure, draw: Callable[..., object], pair: tuple, places: list) -> Image.Image:
    """Draw a frame in few colours, which makes its file a fifth as large."""
    figure.clear()
    draw(figure, *pair)
    for axes, place in zip(figure.axes, places, strict=False):
        axes.set_position(place)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.array(canvas.buffer_rgba()).view(np.uint32)[..., 0]
    codes, where, counts = np.unique(pixels, return_inverse=True, return_counts=True)
    colours = codes.view(np.uint8).reshape(-1, 4)[:, :3].astype(float)
    # One after the other the colour that is missed most, so that a thin line keeps its own.
    missed, chosen = np.full(len(colours), 2.0**18), []
    for _ in range(32):
        chosen.append(colours[np.argmax(counts * missed)])
        missed = np.minimum(missed, ((colours - chosen[-1]) ** 2).sum(-1))
    nearest = ((colours[:, None] - chosen) ** 2).sum(-1).argmin(1).astype(np.uint8)
    image = Image.fromarray(nearest[where].reshape(pixels.shape), "P")
    image.putpalette(np.uint8(chosen).tobytes())
    return image


def _frame(picture: Image.Image, words: str, mark: str) -> str:
    if not isinstance(words, str) or not words:
        raise ValueError(f"describe must return a sentence for each frame, not {words!r}")
    picture.save(buffer := io.BytesIO(), format="png", optimize=True)
    data, said, mark = b64encode(buffer.getvalue()).decode(), escape(words), escape(mark)
    size = f'width="{picture.width}" height="{picture.height}"'
    image = f'<img src="data:image/png;base64,{data}" {size} alt="{said}" data-landmark="{mark}">'
    return f"{image}<p>{f'<b>{mark}.</b> ' if mark else ''}{said}</p>"
