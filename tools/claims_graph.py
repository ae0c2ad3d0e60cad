"""The graph of claims as a picture that is made of links: which proof uses what.

A chapter is a lane, in the book's order. Within it a claim stands at least a row below those that
its proof uses, so that every line leads downwards. A line that passes a row has a place of its own
there, between the boxes; all lines from one claim share it. What stands where in a row is found by
a few sweeps, each of which moves it towards the middle of what it is joined to.
"""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import accumulate, pairwise

from scipy.optimize import isotonic_regression

WIDTH, MARGIN = 900, 168  # of the picture, and of the chapters' names at its left
BOX, STEP, ROW = (70, 20), 80, 33  # a claim's box, and from one to the next
PASS = 14  # what a line takes that passes a row, where there is room
LINE, LANE = 12, 8  # of a chapter's name, and what a lane has above and below its rows
SWEEPS = 24


@dataclass(frozen=True)
class Node:
    """A claim as it is drawn.

    Attributes:
        label: of the claim.
        name: short, as it stands in the box: ``Lem. 3``.
        words: what is said of it: its full name, title and verdict.
        verdict: which decides about the box's colour and form.
        address: where its statement is.
        lane: of its chapter, counted from 0.
        uses: labels of the claims that its proof uses.
    """

    label: str
    name: str
    words: str
    verdict: str
    address: str
    lane: int
    uses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lane:
    """A chapter: its name with its number, and where it is."""

    name: str
    address: str


def rows(nodes: Sequence[Node]) -> list[list[Node]]:
    """Return the rows from top to bottom: lane by lane, each after those that it uses."""
    level: dict[str, int] = {}
    lane_of = {one.label: one.lane for one in nodes}
    waiting = list(nodes)
    while waiting:
        ready = [
            one
            for one in waiting
            if all(x in level for x in one.uses if lane_of.get(x) == one.lane)
        ]
        if not ready:
            raise ValueError("a circle of uses: " + ", ".join(one.label for one in waiting))
        for one in ready:
            within = [level[x] for x in one.uses if lane_of.get(x) == one.lane]
            level[one.label] = 1 + max(within, default=-1)
        waiting = [one for one in waiting if one.label not in level]
    grouped: dict[tuple[int, int], list[Node]] = {}
    for one in nodes:
        grouped.setdefault((one.lane, level[one.label]), []).append(one)
    most = (WIDTH - MARGIN) // STEP - 1  # and room for lines that pass
    return [
        part
        for key in sorted(grouped)
        for start in range(0, len(grouped[key]), most)
        for part in [grouped[key][start : start + most]]
    ]


@dataclass(frozen=True)
class Stop:
    """What has a place in a row: a claim's box, or the lines from a claim that pass."""

    label: str
    row: int
    box: bool


Joints = dict[Stop, list[Stop]]


def stops(stacked: Sequence[Sequence[Node]]) -> tuple[list[list[Stop]], Joints, Joints]:
    """Return what stands in each row, and to what each is joined above and below it."""
    row_of = {one.label: i for i, row in enumerate(stacked) for one in row}
    placed = [[Stop(one.label, i, True) for one in row] for i, row in enumerate(stacked)]
    above: Joints = {one: [] for row in placed for one in row}
    for row in stacked:
        for one in row:
            for used in (x for x in one.uses if x in row_of):
                lower = Stop(one.label, row_of[one.label], True)
                for i in range(lower.row - 1, row_of[used] - 1, -1):
                    upper = Stop(used, i, i == row_of[used])
                    if upper not in above:
                        above[upper] = []
                        placed[i].append(upper)
                    if upper not in above[lower]:
                        above[lower].append(upper)
                    lower = upper
    below: Joints = {one: [] for one in above}
    for lower, uppers in above.items():
        for upper in uppers:
            below[upper].append(lower)
    return placed, above, below


def spread(row: Sequence[Stop], wanted: Sequence[float]) -> list[float]:
    """Return the places in a row nearest to those wanted, in this order and without overlap."""
    boxes = sum(one.box for one in row)
    room = (WIDTH - MARGIN - STEP * boxes) / max(len(row) - boxes, 1)
    widths = [STEP if one.box else min(PASS, room) for one in row]
    gaps = [(one + two) / 2 for one, two in pairwise(widths)]
    offsets = list(accumulate(gaps, initial=0.0))
    # A line that goes straight is worth more than a box in the middle.
    weights = [1.0 if one.box else 4.0 for one in row]
    free = [x - offset for x, offset in zip(wanted, offsets, strict=True)]
    low, high = MARGIN + widths[0] / 2, WIDTH - widths[-1] / 2 - offsets[-1]
    near = isotonic_regression(free, weights=weights).x
    return [min(max(float(x), low), high) + y for x, y in zip(near, offsets, strict=True)]


def across(stacked: Sequence[Sequence[Node]]) -> dict[Stop, float]:
    """Return where in its row each box stands, and each line that passes."""
    placed, above, below = stops(stacked)
    middle = (MARGIN + WIDTH) / 2
    at = {one: middle for row in placed for one in row}
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for row in placed if down else reversed(placed):
            near = {}
            for one in row:
                joined = above[one] if down else below[one]
                if sweep >= SWEEPS - 4:  # in the end all of its neighbours count
                    joined = above[one] + below[one]
                ends = [at[x] for x in joined]
                near[one] = sum(ends) / len(ends) if ends else at[one]
            order = sorted(row, key=lambda x: (near[x], at[x]))
            at.update(zip(order, spread(order, [near[x] for x in order]), strict=True))
    return at


def layout(
    nodes: Sequence[Node], lanes: Sequence[Lane]
) -> tuple[dict[Stop, tuple[float, float]], list[tuple[float, float]]]:
    """Return the places of boxes and of passing lines, and top and height of each lane."""
    stacked = rows(nodes)
    at = across(stacked)
    height_of, bands, top = [0.0] * len(stacked), [], 0.0
    for lane, one in enumerate(lanes):
        mine = [i for i, row in enumerate(stacked) if row[0].lane == lane]
        height = LANE + max(ROW * len(mine), LINE * len(wrapped(one.name)) + LANE)
        start = top + (height - ROW * len(mine)) / 2
        for i, row in enumerate(mine):
            height_of[row] = start + ROW * (i + 0.5)
        bands.append((top, height))
        top += height
    return {one: (x, height_of[one.row]) for one, x in at.items()}, bands


def wrapped(name: str) -> list[str]:
    """Return a chapter's name in lines that fit beside its lane."""
    return textwrap.wrap(name, 28)


def outline(verdict: str, x: float, y: float) -> str:
    """Return a box whose form says the verdict, so that the picture can be read in grey."""
    left, top, (width, height) = x - BOX[0] / 2, y - BOX[1] / 2, BOX
    if verdict in ("inconclusive", "refuted"):  # six corners
        cut = height / 2
        corners = [(left + cut, top), (left + width - cut, top), (left + width, y)]
        corners += [(2 * x - a, 2 * y - b) for a, b in corners]
        points = " ".join(f"{a:g},{b:g}" for a, b in corners)
        return f'<polygon points="{points}"/>'
    rect = '<rect x="{:g}" y="{:g}" width="{:g}" height="{:g}" rx="{}"/>'
    radius = height / 2 if verdict == "observed" else 3
    drawn = rect.format(left, top, width, height, f"{radius:g}")
    if verdict == "corrected":  # twice framed
        drawn += rect.format(left + 3, top + 3, width - 6, height - 6, 1)
    return drawn


def line(points: Sequence[tuple[float, float]]) -> str:
    """Return the path from the lower edge of a box to the upper edge of another, past others."""
    half = BOX[1] / 2
    (x, y), parts = points[0], []
    y += half
    parts.append(f"M{x:.0f} {y:.0f}")
    for i, (to, middle) in enumerate(points[1:], start=2):
        upper, bend = middle - half, (middle - half - y) / 2
        parts.append(f"C{x:.0f} {y + bend:.0f} {to:.0f} {upper - bend:.0f} {to:.0f} {upper:.0f}")
        x, y = to, upper
        if i < len(points):
            y = middle + half
            parts.append(f"V{y:.0f}")
    return "".join(parts)


def route(
    used: str, user: str, places: Mapping[Stop, tuple[float, float]]
) -> list[tuple[float, float]]:
    """Return the points through which a line leads from a claim to one whose proof uses it."""
    ends = {one.label: one for one in places if one.box and one.label in (used, user)}
    first, last = ends[used], ends[user]
    passed = [places[Stop(used, i, False)] for i in range(first.row + 1, last.row)]
    return [places[first], *passed, places[last]]


def svg(nodes: Sequence[Node], lanes: Sequence[Lane], *, name: str, title: str, text: str) -> str:
    """Return the picture.

    Args:
        nodes: the claims, each with its lane.
        lanes: the chapters.
        name: what its ids begin with.
        title: of the picture.
        text: what it shows, in words.
    """
    places, bands = layout(nodes, lanes)
    boxes = {one.label: place for one, place in places.items() if one.box}
    height = sum(band[1] for band in bands)
    parts = [
        f'<svg class="claims-graph" role="group" viewBox="0 0 {WIDTH} {height:g}" '
        f'aria-labelledby="{name}-title" aria-describedby="{name}-text">',
        f'<title id="{name}-title">{escape(title)}</title>',
        f'<desc id="{name}-text">{escape(text)}</desc>',
        *(
            band_of(one, *band, odd)
            for odd, (one, band) in enumerate(zip(lanes, bands, strict=True))
        ),
    ]
    for one in nodes:
        for used in one.uses:
            if used in boxes:
                path = line(route(used, one.label, places))
                ends = f'data-from="{escape(used)}" data-to="{escape(one.label)}"'
                parts.append(f'<path class="edge" {ends} d="{path}"/>')
    parts += [box_of(one, *boxes[one.label]) for one in nodes]
    return "\n".join([*parts, "</svg>"])


def band_of(lane: Lane, top: float, height: float, odd: int) -> str:
    """Return a chapter's lane with its name."""
    lines = wrapped(lane.name)
    first = top + (height - LINE * (len(lines) - 1)) / 2 + 4
    said = "".join(
        f'<tspan x="8" y="{first + LINE * i:g}">{escape(x)}</tspan>' for i, x in enumerate(lines)
    )
    return (
        f'<rect class="lane{" odd" * (odd % 2)}" y="{top:g}" width="{WIDTH}" height="{height:g}"/>'
        f'<a class="chapter" href="{escape(lane.address)}"><text>{said}</text></a>'
    )


def box_of(node: Node, x: float, y: float) -> str:
    """Return a claim as a link to its statement."""
    return (
        f'<a class="claim {node.verdict}" href="{escape(node.address)}" '
        f'data-label="{escape(node.label)}" aria-label="{escape(node.words)}">'
        f"<title>{escape(node.words)}</title>{outline(node.verdict, x, y)}"
        f'<text x="{x:g}" y="{y + 4:g}">{escape(node.name)}</text></a>'
    )


def with_their_ground(labels: Iterable[str], uses: Mapping[str, Sequence[str]]) -> set[str]:
    """Return claims and all that their proofs use, directly or through others."""
    reached: set[str] = set()
    fresh = set(labels)
    while fresh:
        reached |= fresh
        fresh = {used for one in fresh for used in uses[one]} - reached
    return reached
