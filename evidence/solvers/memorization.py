r"""Points of zero training error, built and not trained: as many units as the root of the data.

Inputs are projected on a line. There, with the points in order ``t_1 < t_2 < …``, a function that
zigzags with slopes ±s passes through every target, one kink between two neighbours:

.. math:: \tau = \tfrac12 (t_i + t_{i+1}) \pm (f_{i+1} - f_i) / (2s).

One hidden layer needs a unit for each kink. Two need fewer. Cut the line into p parts of c points.
The second layer has c units for each output, the *kinks*, which compute ``σ(t − T_j(t))`` with
``T_j`` the place of the part's j-th kink, constant on each part. These c functions are combinations
of the same units of the first layer: *ramps*, two for each gap between parts, which rise from 0 to
1 between the neighbours there, and the *line* itself. With groups of data at several depths, one
unit carries the line on and one for each output, the *sum*, what the groups before have added up.

All is computed in rational numbers, and in the terms of eq. (1): the inputs have a last coordinate
1, and each hidden layer has a unit *one* that hands it on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import accumulate
from math import lcm

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from pscore.network import ReLUNetwork, Weights
from pscore.seeds import rng

Unit = tuple[str, dict[int, Fraction]]  # what it is for, and its incoming weights

UNIT_ROUNDOFF = 2.0**-53
as_fractions = np.vectorize(Fraction, otypes=[object])


@dataclass(frozen=True, eq=False)
class Memorizer:
    """A network that passes through every target, without output ReLU.

    Attributes:
        matrices: ``W_0, …, W_H`` of eq. (1), ``(n_i, n_{i+1})``, arrays of fractions.
        roles: for each hidden layer what its units are for: ``"one"``, ``"line"``, ``"sum"``,
            ``"ramp"`` or ``"kink"``.
        direction: w, on which inputs are projected.
    """

    matrices: tuple[np.ndarray, ...]
    roles: tuple[tuple[str, ...], ...]
    direction: np.ndarray

    @property
    def units(self) -> int:
        """How many hidden units there are, besides those that hand on the constant."""
        return sum(len(layer) - layer.count("one") for layer in self.roles)

    @property
    def roundings(self) -> int:
        """``ν = Σ (n_i + 1)``, how often rounding can touch a term of the output in float64."""
        return sum(len(matrix) + 1 for matrix in self.matrices)

    @property
    def network(self) -> ReLUNetwork:
        """The architecture, for `extended` inputs."""
        widths = (len(self.matrices[0]), *(matrix.shape[1] for matrix in self.matrices))
        return ReLUNetwork(widths, output_relu=False)

    @cached_property
    def weights(self) -> Weights:
        """The matrices in float64, each entry rounded once, to nearest."""
        return tuple(torch.from_numpy(matrix.astype(np.float64)) for matrix in self.matrices)

    def error_bound(self, inputs: Tensor) -> Tensor:
        """Return how far outputs in float64 can be from the exact ones, ``(N,)`` or ``(N, d)``.

        ``ν eps |W_H|ᵀ ⋯ |W_0|ᵀ |a|`` with ν the `roundings`, eps = 2⁻⁵³, and 0.1 % on top for terms
        of higher order and the rounding of the bound itself.

        Args:
            inputs: `extended`, ``(N, n_0)``, floats.
        """
        size = self.network(tuple(matrix.abs() for matrix in self.weights), inputs.abs())
        return 1.001 * UNIT_ROUNDOFF * self.roundings * size


def extended(inputs: Tensor) -> Tensor:
    """Return inputs ``(N, n)`` with a last coordinate 1, ``(N, n + 1)``."""
    return torch.nn.functional.pad(inputs, (0, 1), value=1.0)


def exact_outputs(
    matrices: Sequence[np.ndarray], inputs: ArrayLike
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the outputs ``(N, d)`` of a network without output ReLU, and all hidden layers'.

    Args:
        matrices: arrays of fractions, as in `Memorizer`.
        inputs: ``(N, n)`` numbers, without the coordinate 1.
    """
    a = as_fractions(inputs)
    layers = [np.hstack([a, as_fractions(np.ones((len(a), 1)))])]
    for matrix in matrices[:-1]:
        layers.append(np.maximum(layers[-1] @ matrix, Fraction(0)))
    return layers[-1] @ matrices[-1], layers[1:]


def block_shape(points: int, outputs: int = 1) -> tuple[int, int]:
    """Return p and c with ``p c ≥ N`` and ``2p + dc`` least: parts, and points in a part.

    ``2p − 1 + dc ≤ 2 √(2dN) + d + 1``.
    """
    choices = [(-(-points // c), c) for c in range(1, points + 1)]
    return min(choices, key=lambda shape: 2 * shape[0] + outputs * shape[1])


def memorize(
    inputs: ArrayLike,
    targets: ArrayLike,
    *,
    groups: Sequence[int] | None = None,
    first_layers: Sequence[int] | None = None,
    widths: Sequence[int] | None = None,
    direction: ArrayLike | None = None,
) -> Memorizer:
    """Return a network with training error zero: two hidden layers, or two for each group of data.

    Args:
        inputs: ``(N, n)``, floats or fractions. Rows that occur twice are taken once.
        targets: ``(N,)`` or ``(N, d)``.
        groups: ``N_1, …, N_m``, how many points each block of two layers fits, counted along the
            line after rows that occur twice are taken once; by default one group of all.
        first_layers: ``l_1 < … < l_m``, the first layer of each block, at least two apart;
            1, 3, 5, … by default.
        widths: how many units, not counting the constant ones, each hidden layer may have; by
            default as many as make each block smallest.
        direction: w, integers or fractions, on which the inputs are projected.

    Raises:
        ValueError: for one input with two targets, a direction that does not separate the inputs,
            groups that don't add up, or widths that are too small.
    """
    a, f = _checked(inputs, targets)
    w = separating_direction(a) if direction is None else as_fractions(np.asarray(direction))
    along, f = _in_order(a, f, w)
    least = (along[1:] - along[:-1]).min() if len(along) > 1 else Fraction(1)
    t = along - (along[0] - least)  # positive, so that a ReLU hands it on
    starts, ends = _layout(len(t), groups, first_layers)
    size = np.abs(f).max() or Fraction(1)
    blocks = {}
    for j, (layer, lo, hi) in enumerate(zip(starts, [0, *ends], ends, strict=False)):
        c = _points_in_a_part(hi - lo, f.shape[1], widths, layer, j > 0, hi < len(t))
        blocks[layer] = _block(t, f + 2 * size, lo, hi, c)
    net = _assemble(blocks, w, least - along[0], size, f.shape[1])
    needed = [len(layer) - 1 for layer in net.roles]
    if widths is not None and (
        len(widths) != len(needed)
        or any(width < n for width, n in zip(widths, needed, strict=True))
    ):
        raise ValueError(
            f"widths must leave room for {needed} units in {len(needed)} hidden layers, what is "
            f"carried on included; got {list(widths)}"
        )
    return net


def one_hidden_layer(inputs: ArrayLike, targets: ArrayLike) -> Memorizer:
    """Return a network of one hidden layer with training error zero: a unit for each number.

    Args:
        inputs: as for `memorize`.
        targets: as for `memorize`.
    """
    a, f = _checked(inputs, targets)
    flat = memorize(a, f, widths=(1, f.size))  # one part: its kinks read the line alone
    first, second, last = flat.matrices
    keep = [flat.roles[0].index("one"), flat.roles[0].index("line")]
    return Memorizer((first[:, keep] @ second[keep], last), flat.roles[1:], flat.direction)


def separating_direction(inputs: ArrayLike, *, seed: int = 0, tries: int = 32) -> np.ndarray:
    """Return integers ``(n,)`` on which the inputs' projections all differ.

    The best of some random ones: least gap over spread is largest. Two distinct inputs agree for
    at most one in 2B of the vectors with entries up to B, so the search ends.

    Args:
        inputs: ``(N, n)``, distinct rows.
        seed: of the draw.
        tries: how many to choose from, at least.
    """
    exact = as_fractions(inputs)
    if exact.shape[1] == 1 or len(exact) == 1:
        return as_fractions(np.ones(exact.shape[1], dtype=int))
    points, draw, most = exact.astype(np.float64), rng(seed, "initialization"), 2**10
    while True:
        candidates = draw.integers(-most, most + 1, size=(tries, exact.shape[1]))
        projected = np.sort(points @ candidates.T, axis=0)
        spread = np.maximum(projected[-1] - projected[0], 1e-300)
        best = as_fractions(candidates[(np.diff(projected, axis=0).min(0) / spread).argmax()])
        if len(set(_projected(exact, best).tolist())) == len(exact):
            return best
        most *= 4


def _projected(inputs: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Return ``w · a`` exactly, ``(N,)``: in whole numbers over a common denominator, for speed."""
    scale = lcm(*(t.denominator for t in inputs.flat))
    whole = np.frompyfunc(lambda t: t.numerator * (scale // t.denominator), 1, 1)(inputs)
    if all(t.denominator == 1 for t in direction):
        direction = np.array([int(t) for t in direction], dtype=object)
    return as_fractions(whole @ direction) / scale


def _in_order(a: np.ndarray, f: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the inputs' places on the line, in order, and the targets in the same order."""
    along = _projected(a, w)
    order = np.argsort(along, kind="stable")
    along, f = along[order], f[order]
    if (same := np.flatnonzero(along[1:] == along[:-1])).size:
        first, second = a[order[same[0]]].tolist(), a[order[same[0] + 1]].tolist()
        raise ValueError(
            f"direction projects the distinct inputs {first} and {second} on one point: choose "
            "another, or none"
        )
    return along, f


def _layout(
    points: int, groups: Sequence[int] | None, first_layers: Sequence[int] | None
) -> tuple[list[int], list[int]]:
    """Return each block's first layer, and the number of points up to its group's last."""
    ends = list(accumulate(groups or (points,)))
    if ends[-1] != points or min(groups or (1,)) < 1:
        raise ValueError(f"groups must be positive and add up to {points} inputs; got {groups}")
    starts = list(first_layers or range(1, 2 * len(ends), 2))
    if len(starts) != len(ends) or min(np.diff([-1, *starts])) < 2:
        raise ValueError(
            f"first_layers must name a layer for each of the {len(ends)} groups, from 1 on and at "
            f"least two apart; got {starts}"
        )
    return starts, ends


@dataclass(frozen=True)
class _Block:
    """What two layers have to know to fit one group: places on the line.

    Attributes:
        ramps: start and end of each ramp; with ``closed`` the last one ends the block's work.
        kinks: ``τ``, one row of p places for each of the d c units.
        slopes: ``±s, ±2s``, their outgoing weights.
        closed: whether points lie to the right of the group.
    """

    ramps: list[tuple[Fraction, Fraction]]
    kinks: np.ndarray
    slopes: list[Fraction]
    closed: bool


def _block(t: np.ndarray, f: np.ndarray, lo: int, hi: int, c: int) -> _Block:
    """The block for the points lo, …, hi − 1 of all; targets f are positive."""
    heads = list(range(lo, hi, c))
    padded = np.concatenate([[Fraction(0)], t, [t[-1] + t[0]]])
    gaps = padded[1:] - padded[:-1]  # gaps[i] lies before the point i
    rises = np.abs(np.diff(f, axis=0, prepend=f[:1] * 0)).max(1)
    rises[heads] = f[heads].max(1)
    s = 2 * _power_of_two_above((rises[lo:hi] / gaps[lo:hi]).max())
    closed = hi < len(t)
    seams = [*heads[1:], hi] if closed else heads[1:]
    ramps = [(padded[i] + gaps[i] / 4, padded[i + 1] - gaps[i] / 4) for i in seams]
    idle = padded[hi] + gaps[hi] / 4
    kinks = np.full((f.shape[1], c, len(heads)), idle, dtype=object)
    for i in range(lo, hi):
        k, j = divmod(i - lo, c)
        turn = s if j % 2 else -s  # of the line through the point before
        middle = (t[i - 1] + t[i]) / 2 + (f[i] - f[i - 1]) / (2 * turn) if j else t[i] - f[i] / s
        kinks[:, j, k] = middle
    slopes = [s, *(2 * s * (-1) ** j for j in range(1, c))]
    return _Block(ramps, kinks.reshape(-1, len(heads)), slopes, closed)


def _assemble(
    blocks: dict[int, _Block], w: np.ndarray, shift: Fraction, lift: Fraction, outputs: int
) -> Memorizer:
    """Write the units of each layer down, then their weights as matrices."""
    last = max(blocks)
    # The layer before: where the constant is, how the line is read off, and who adds to each sum.
    one, line = len(w), {**dict(enumerate(w)), len(w): shift}
    adders: list[dict[int, Fraction]] = [{} for _ in range(outputs)]
    layers: list[list[Unit]] = []
    for layer in range(1, last + 2):
        units: list[Unit] = [("one", {one: Fraction(1)})]
        if layer <= last:
            units.append(("line", line))
        if any(adders):
            units += [("sum", adder) for adder in adders]
        carried = len(units) - outputs if any(adders) else None
        if (block := blocks.get(layer)) is not None:
            first_ramp = len(units)
            for place in (end for ramp in block.ramps for end in ramp):
                units.append(("ramp", {**line, one: line.get(one, Fraction(0)) - place}))
        adders = [{} if carried is None else {carried + o: Fraction(1)} for o in range(outputs)]
        if layer == min(blocks) + 1:  # keeps a sum positive where nothing was added yet
            adders = [{0: lift} for _ in range(outputs)]
        if (block := blocks.get(layer - 1)) is not None:
            c = len(block.slopes)
            for index, places in enumerate(block.kinks):
                adders[index // c][len(units)] = block.slopes[index % c]
                units.append(("kink", _kink(block, places, first_ramp)))
        layers.append(units)
        one, line = 0, {1: Fraction(1)}
    layers.append([("output", {**adder, 0: adder.get(0, 0) - 3 * lift}) for adder in adders])
    matrices, rows = [], len(w) + 1
    for units in layers:
        matrix = np.full((rows, len(units)), Fraction(0), dtype=object)
        for column, (_, incoming) in enumerate(units):
            for row, weight in incoming.items():
                matrix[row, column] = weight
        matrices.append(matrix)
        rows = len(units)
    roles = tuple(tuple(role for role, _ in units) for units in layers[:-1])
    return Memorizer(tuple(matrices), roles, w)


def _kink(block: _Block, places: np.ndarray, first_ramp: int) -> dict[int, Fraction]:
    """What a kink reads off the layer before: ``t − T(t)``, with T through the given places."""
    incoming = {0: -places[0], 1: Fraction(1)}
    for k, (start, end) in enumerate(block.ramps):
        closing = block.closed and k == len(block.ramps) - 1  # from end on t − T is start − end
        rise = (2 * end - start if closing else places[k + 1]) - places[k]
        incoming[first_ramp + 2 * k] = -rise / (end - start)
        incoming[first_ramp + 2 * k + 1] = rise / (end - start) - closing
    return incoming


def _points_in_a_part(
    points: int,
    outputs: int,
    widths: Sequence[int] | None,
    layer: int,
    carries_sum: bool,
    carries_line: bool,
) -> int:
    """Return c for a block, or a refusal if its two layers are too narrow for all its points."""
    if widths is None:
        return block_shape(points, outputs)[1]
    first, second = [*widths, 0, 0][layer - 1 : layer + 1]
    p = (first - 1 - outputs * carries_sum) // 2 + (not carries_line)
    c = (second - carries_line - outputs * carries_sum) // outputs
    if p < 1 or c < 1 or p * c < points:
        raise ValueError(
            f"widths {tuple(widths)} are too small: with layers {layer} and {layer + 1} of "
            f"{first} and {second} units the construction fits {max(p, 0) * max(c, 0)} points, "
            f"not {points}; give them more units"
        )
    return min(c, points)


def _checked(inputs: ArrayLike, targets: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs ``(N, n)`` and targets ``(N, d)`` as fractions, each input once."""
    given = [np.asarray(values) for values in (inputs, targets)]
    if any(values.dtype.kind == "f" and not np.isfinite(values).all() for values in given):
        raise ValueError("inputs and targets must be finite; found nan or infinite entries")
    a, f = map(as_fractions, given)
    f = f[:, None] if f.ndim == 1 else f
    if a.ndim != 2 or f.ndim != 2 or len(a) != len(f) or not a.size or not f.size:
        raise ValueError(
            "inputs must be (N, n) and targets (N,) or (N, d), one row each for every data point; "
            f"got {a.shape} and {f.shape}"
        )
    first: dict[tuple, int] = {}
    for row, point in enumerate(map(tuple, a.tolist())):
        before = first.setdefault(point, row)
        if (f[before] != f[row]).any():
            raise ValueError(
                f"inputs in the rows {before} and {row} are the same and their targets differ: no "
                "network can fit both; drop one, or give both the same target"
            )
    rows = list(first.values())
    return a[rows], f[rows]


def _power_of_two_above(value: Fraction) -> Fraction:
    """Return the least power of two that is at least a positive number."""
    power = Fraction(2) ** (value.numerator.bit_length() - value.denominator.bit_length())
    return power if power >= value else 2 * power
