"""Groups of points fitted over depth with one unit that carries all, in fractions.

What is carried is a place on the line for a point that is not fitted yet, and from then on its
target. Before a block the targets lie below all places still to come.
"""

from fractions import Fraction
from typing import NamedTuple

import numpy as np

from evidence.fits import Matrices
from evidence.solvers.memorization import block_shape


def one_carrier(
    t: np.ndarray, f: np.ndarray, groups: tuple[int, ...], starts: tuple[int, ...]
) -> tuple[Matrices, tuple[int, ...]]:
    """Fit groups over depth with one unit to carry all there is: places not yet fitted, or targets.

    Args:
        t: increasing fractions ``(N,)``, the inputs on their line.
        f: targets ``(N,)``.
        groups: how many points each block of two layers fits.
        starts: each block's first layer.

    Returns:
        the matrices, for inputs (t, 1), and the widths, without the units that hand on the 1.
    """
    largest, ends = max(abs(f).max(), Fraction(1, 64)), np.cumsum(groups).tolist()
    shift = (np.diff(t).min() if len(t) > 1 else Fraction(1)) - t[0]
    v, line, one = t + shift, {0: Fraction(1), 1: shift}, 1
    layers: list[list[dict[int, Fraction]]] = []
    for j, (layer, lo, hi) in enumerate(zip(starts, [0, *ends], ends, strict=False)):
        while len(layers) < layer - 1:  # nothing to do but to carry on
            layers.append([{one: Fraction(1)}, line])
            line, one = {1: Fraction(1)}, 0
        block = _zigzag(v, f + 2 * largest, lo, hi, 3 * largest if j else Fraction(0), largest)
        ramps = [{**line, one: line.get(one, 0) - end} for ramp in block.ramps for end in ramp]
        kinks = [_kink_of(block.ramps, places) for places in block.kinks]
        kept = [{1: Fraction(1)}] if j else []
        layers += [[{one: Fraction(1)}, line, *ramps], [{0: Fraction(1)}, *kept, *kinks]]
        line = dict(enumerate(block.weights, start=1 + len(kept)))
        line |= {1: Fraction(1)} if kept else {}
        v, one = block.values, 0
    layers.append([{**line, 0: line.get(0, 0) - 2 * largest}])
    matrices, rows = [], 2
    for units in layers:
        matrix = np.full((rows, len(units)), Fraction(0), dtype=object)
        for column, incoming in enumerate(units):
            for row, weight in incoming.items():
                matrix[row, column] = weight
        matrices.append(matrix)
        rows = len(units)
    return tuple(matrices), tuple(len(units) - 1 for units in layers[:-1])


class Zigzag(NamedTuple):
    """A block that turns places into targets, and keeps targets and the order of what follows.

    Attributes:
        ramps: start and end of each, between the parts.
        kinks: τ, a row of p places for each kink.
        weights: of the kinks in what is carried on.
        values: what is carried on, at each input.
    """

    ramps: list[tuple[Fraction, Fraction]]
    kinks: np.ndarray
    weights: list[Fraction]
    values: np.ndarray


def parts(points: int, j: int, last: bool) -> tuple[int, int]:
    """Return p and c for the j-th group, c odd for the first and even for those that follow.

    The slope behind the group then rises; behind the last group it need not.
    """
    c = block_shape(points)[1]
    c += 0 if last or c % 2 == (j == 0) else 1
    return -(-points // c), c


def _zigzag(
    v: np.ndarray, h: np.ndarray, lo: int, hi: int, start: Fraction, largest: Fraction
) -> Zigzag:
    """The block for the points lo, …, hi − 1; what was carried so far lies below ``start``."""
    (p, c), sign = parts(hi - lo, int(start > 0), hi == len(v)), -1 if start else 1
    gap = np.diff(v, prepend=start, append=v[-1] + 1)  # gap[i] lies before the point i
    gap[lo], heads = v[lo] - start, range(lo, hi, c)
    base = v if start else 0 * v  # what is there without the kinks
    drops = [abs(h[i] - (base[i] if i in heads else h[i - 1])) for i in range(lo, hi)]
    s = max([6 * largest / gap[hi], *(2 * drop / gap[i] for i, drop in enumerate(drops, lo))])
    kinks = np.full((c, p), v[hi - 1] + gap[hi] / 4, dtype=object)
    for i in range(lo, hi):
        k, m = divmod(i - lo, c)
        middle = (v[i - 1] + v[i]) / 2 + (h[i] - h[i - 1]) / (-2 * sign * s * (-1) ** m)
        kinks[m, k] = middle if m else v[i] - abs(h[i] - base[i]) / (s + (start > 0))
    weights = [sign * (s + (start > 0)), *(2 * sign * s * (-1) ** m for m in range(1, c))]
    bent = sum(
        w * np.maximum(v[hi:] - place, 0) for w, place in zip(weights, kinks[:, -1], strict=True)
    )
    ramps = [(v[i - 1] + gap[i] / 4, v[i] - gap[i] / 4) for i in heads[1:]]
    return Zigzag(ramps, kinks, weights, np.concatenate([h[:hi], base[hi:] + bent]))


def _kink_of(ramps: list[tuple[Fraction, Fraction]], places: np.ndarray) -> dict[int, Fraction]:
    """What a kink reads off the layer before: ``v − T(v)``, with T through the given places."""
    incoming = {0: -places[0], 1: Fraction(1)}
    for k, (b, c) in enumerate(ramps):
        rise = (places[k + 1] - places[k]) / (c - b)
        incoming |= {2 + 2 * k: -rise, 3 + 2 * k: rise}
    return incoming
