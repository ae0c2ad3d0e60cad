"""Checks of the constructions of `solvers.memorization`, in rational arithmetic where it can be.

The networks are evaluated by products of matrices of fractions, which know nothing of parts, ramps
and kinks; errors are compared with 0, not with a tolerance. Where nothing else is said, an instance
is a data point.
"""

from fractions import Fraction

import numpy as np
import torch

from evidence.claims import Evidence, claim
from evidence.fits import Matrices, data, error, one_weight_off
from evidence.solvers.carrier import one_carrier, parts
from evidence.solvers.memorization import (
    UNIT_ROUNDOFF,
    Memorizer,
    as_fractions,
    block_shape,
    exact_outputs,
    extended,
    memorize,
    one_hidden_layer,
)
from pscore.network import ReLUNetwork
from pscore.seeds import rng

# points, coordinates, outputs
SIZES = ((1, 1, 1), (2, 3, 1), (3, 1, 2), (8, 2, 1), (13, 4, 3), (30, 2, 1), (60, 3, 2))


def refuses(a: np.ndarray, f: np.ndarray, **options: tuple[int, ...]) -> bool:
    """Return whether the construction says that it can't be built like that."""
    try:
        memorize(a, f, **options)
    except ValueError:
        return True
    return False


@claim(
    "memorization-zigzag",
    "one hidden layer: a zigzag passes through any N d numbers with N d units",
    "certified",
    "Proved; errors are zero in rational arithmetic.",
    hypotheses=("inputs are distinct", "no ReLU on the output"),
    variant="the zigzag with one weight of the output changed by a thousandth",
    least=117,
)
def check_one_layer(seed: int) -> Evidence:
    """Build the zigzag, with N units for each output, and compute its error in fractions."""
    seen = Evidence()
    for number, (N, n, d) in enumerate(SIZES):
        a, f = data(20 * seed + number, N, n, d)
        net = one_hidden_layer(a, f)
        seen.add(
            N,
            wrong=(error(net.matrices, a, f) != 0) | (net.units != N * d),
            refuted=error(one_weight_off(net.matrices, rng(number, "data")), a, f) > 0,
        )
    return seen


@claim(
    "memorization-two-layers",
    "two hidden layers: 2p − 1 + dq units with pq ≥ N, at most 2√(2dN) + d + 1",
    "certified",
    "Proved; errors are zero in rational arithmetic.",
    hypotheses=("inputs are distinct", "no ReLU on the output", "pq ≥ N"),
    uses=("memorization-zigzag",),
    variant="the network with one weight of the output changed by a thousandth",
    least=117,
)
def check_two_layers(seed: int) -> Evidence:
    """Build two hidden layers, compute their error in fractions, and count their units.

    Given the widths of the result, the construction fits as well; with one unit less in a layer
    it refuses where pq < N follows, and only there. The ratio is that of the units to their bound.
    """
    seen = Evidence()
    for number, (N, n, d) in enumerate(SIZES):
        a, f = data(20 * seed + number, N, n, d)
        net = memorize(a, f)
        d1, d2 = (len(layer) - 1 for layer in net.roles)
        wrong = (error(net.matrices, a, f) != 0) | ((d1 + 1) // 2 * (d2 // d) < N)
        wrong |= memorize(a, f, widths=(d1, d2)).units > net.units
        for fewer in ((d1 - 1, d2), (d1, d2 - 1)):
            fits = (fewer[0] + 1) // 2 * (fewer[1] // d) >= N
            wrong |= refuses(a, f, widths=fewer) == fits
        seen.add(
            N,
            wrong=wrong,
            refuted=error(one_weight_off(net.matrices, rng(number, "data")), a, f) > 0,
            ratio=net.units / (2 * (2 * d * N) ** 0.5 + d + 1),
        )
    return seen


def sawtooth(first: int, second: int) -> Matrices:
    """Return a network of these widths, besides constant units, that turns d_1 d_2 times on (t, 1).

    The first layer makes a zigzag z between 0 and 1 with d_1 slopes on ``0 ≤ t ≤ d_1``, and the
    second turns at d_2 − 1 levels of z.
    """
    zigzag = [1, *(2 * (-1) ** k for k in range(1, first))]
    levels = [1, *(Fraction(-j, second) for j in range(1, second))]
    W0 = np.array([[1] * first + [0], [-k for k in range(first)] + [1]], dtype=object)
    W1 = np.array([[z] * second + [0] for z in zigzag] + [[*levels, 1]], dtype=object)
    W2 = np.array([[1], *([2 * (-1) ** j] for j in range(1, second)), [0]], dtype=object)
    return W0, W1, W2


def pieces_seen(outputs: np.ndarray) -> int:
    """Return how many linear pieces there are at least between outputs at evenly spaced inputs."""
    bends = np.diff(outputs, 2)
    bent = np.abs(bends) > 1e-9 * np.abs(outputs).max()
    return int((bent[1:] & ~bent[:-1]).sum() + bent[0]) + 1


def alternations(first: int, second: int) -> int:
    """Return how many pieces rise and fall in turn between d_1 d_2 + 1 values of a `sawtooth`."""
    t = as_fractions(np.arange(first * second + 1)[:, None]) / second
    rises = np.diff(exact_outputs(sawtooth(first, second), t)[0][:, 0]) > 0
    return 1 + int((rises[1:] != rises[:-1]).sum())


@claim(
    "memorization-lower-bound",
    "two hidden layers need (d_1+1)(d_2+1) ≥ N − 1 on a line, and Nd parameters",
    "certified",
    "Proved by counting pieces and parameters; networks with d_1 d_2 turns exist.",
    hypotheses=("inputs on a line", "no ReLU on the output", "for some targets"),
    variant="at most d_1 + d_2 + 1 pieces with two hidden layers",
    least=84,
)
def check_lower_bound(seed: int) -> Evidence:
    """Count pieces of random networks on a fine grid, and of `sawtooth` networks exactly."""
    seen = Evidence()
    grid = extended(torch.linspace(-3, 3, 6001, dtype=torch.float64)[:, None])
    draw = rng(seed, "initialization")
    for first, second in ((2, 3), (5, 2), (6, 6), (12, 9)):
        one_layer = ReLUNetwork((2, first, 1), output_relu=False)
        deep = ReLUNetwork((2, first + 1, second, 1), output_relu=False)
        bounds = {one_layer: first + 1, deep: (first + 1) * (second + 1)}
        for network, bound in bounds.items():
            for _ in range(10):
                W = [torch.from_numpy(draw.normal(size=shape)) for shape in network.shapes]
                if network is deep:
                    W[0][:, -1] = torch.tensor([0.0, 1.0])  # the constant unit bends nowhere
                pieces = pieces_seen(network(W, grid).numpy())
                seen.add(1, wrong=pieces > bound, ratio=pieces / bound)
        pieces = alternations(first, second)
        seen.add(
            1,
            wrong=(pieces > bounds[deep]) | (pieces != first * second),
            refuted=pieces > first + second + 1,
            ratio=pieces / bounds[deep],
        )
    return seen


@claim(
    "memorization-rounding",
    "in float64 an error of at most 481 ν eps c f_∞ (R/g)², g the least gap on the line",
    "certified",
    "Proved by forward error analysis, barring underflow and overflow.",
    hypotheses=(
        "no ReLU on the output",
        "weights are rounded once, inputs not at all",
        "sums of products in any order",
        "no overflow and no underflow",
    ),
    uses=("memorization-two-layers",),
    variant="the targets' size in place of the weights'",
    least=1038,
)
def check_rounding(seed: int) -> Evidence:
    """Hold outputs in float64 to the bound by the weights, and that to the bound by conditioning.

    Random inputs, evenly spaced ones, and pairs that are nearly the same, which make weights
    steep. The bound by conditioning is computed from the projections alone.
    """
    seen = Evidence()
    draw = rng(seed, "data")
    for N, n, gap in ((3, 1, 0.0), (30, 4, 0.0), (300, 3, 0.0), (200, 1, 1e-6), (500, 1, 0.0)):
        a = draw.normal(size=(N, n)) if n > 1 else np.arange(N)[:, None] / N
        a = np.concatenate([a, a[:5] + gap]) if gap else a
        f = draw.normal(size=len(a))
        net = memorize(a, f)
        inputs, targets = extended(torch.from_numpy(a)), torch.from_numpy(f)
        off = (net.network(net.weights, inputs) - targets).abs()
        bound = net.error_bound(inputs)
        seen.add(
            len(a),
            wrong=(off > bound) | (bound > conditioning(net, a, f)),
            refuted=off > net.roundings * UNIT_ROUNDOFF * targets.abs().max(),
            ratio=off / bound,
        )
    return seen


def conditioning(net: Memorizer, a: np.ndarray, f: np.ndarray) -> float:
    """Return ``480.5 ν eps c f_∞ (R/g)²``, which bounds errors for two layers, scalar targets."""
    w = net.direction.astype(np.float64)
    g = float(np.diff(np.sort(a @ w)).min()) * (1 - 1e-6)
    R = float((np.abs(a) @ np.abs(w)).max()) + g
    c = net.roles[1].count("kink")
    return 480.5 * net.roundings * UNIT_ROUNDOFF * c * float(np.abs(f).max()) * (R / g) ** 2


GROUPS = (((5, 7), None), ((9, 1, 4), None), ((6, 6, 6), (2, 5, 7)), ((10, 10, 10, 10), None))


@claim(
    "memorization-depth",
    "groups of data fitted at several depths, and what has to be carried between them",
    "certified",
    "Proved; errors are zero in rational arithmetic.",
    hypotheses=(
        "inputs are distinct",
        "no ReLU on the output",
        "l_{j+1} ≥ l_j + 2",
        "p_j q_j ≥ N_j",
    ),
    uses=("memorization-two-layers",),
    variant="blocks that don't end with their group, and disturb those to the right",
    least=168,
)
def check_depth(seed: int) -> Evidence:
    """Fit groups over depth: compute the error in fractions, and compare widths with the table.

    Given these widths the construction fits as well; with one unit less in the last layer it
    refuses.
    """
    seen = Evidence()
    for number, (groups, first_layers) in enumerate(GROUPS):
        for d in (1, 2):
            a, f = data(20 * seed + number, sum(groups), 3, d)
            net = memorize(a, f, groups=groups, first_layers=first_layers)
            starts = first_layers or tuple(range(1, 2 * len(groups), 2))
            widths = tuple(len(layer) - 1 for layer in net.roles)
            again = memorize(a, f, groups=groups, first_layers=first_layers, widths=widths)
            fewer = (*widths[:-1], d * (1 + (len(groups) > 1)) - 1)
            wrong = (error(net.matrices, a, f) != 0) | (again.units > net.units)
            wrong |= widths != widths_by_formula(groups, starts, d)
            wrong |= not refuses(a, f, groups=groups, first_layers=starts, widths=fewer)
            seen.add(len(f), wrong=wrong, refuted=error(unclosed(net, starts[0]), a, f) > 0)
    return seen


def widths_by_formula(groups: tuple[int, ...], starts: tuple[int, ...], d: int) -> tuple[int, ...]:
    """Return the widths of the proposition's table, with the best p and c for each group."""
    widths = [
        (layer <= starts[-1]) + d * (layer >= starts[0] + 2) for layer in range(1, starts[-1] + 2)
    ]
    for points, layer in zip(groups, starts, strict=True):
        p, c = block_shape(points, d)
        widths[layer - 1] += 2 * p - 2 * (layer == starts[-1])
        widths[layer] += d * c
    return tuple(widths)


def unclosed(net: Memorizer, layer: int) -> Matrices:
    """Return the matrices without what the last ramp of a block hands on."""
    matrices = list(net.matrices)
    ramps = [i for i, role in enumerate(net.roles[layer - 1]) if role == "ramp"]
    changed = matrices[layer].copy()
    changed[ramps[-2:]] = Fraction(0)
    matrices[layer] = changed
    return tuple(matrices)


CARRIED = (
    ((5, 7), (1, 3)),
    ((9, 1, 4), (1, 3, 5)),
    ((6, 6, 6), (2, 5, 7)),
    ((3, 12, 5, 8), (1, 3, 6, 8)),
)


@claim(
    "memorization-carry",
    "scalar targets: one unit carries all, none at first, so more are the construction's own",
    "certified",
    "Proved; errors are zero in rational arithmetic. Whether one is needed is open.",
    hypotheses=(
        "inputs are distinct",
        "d = 1, no ReLU on the output",
        "l_{j+1} ≥ l_j + 2",
        "p_j c_j ≥ N_j, c_1 odd, c_j even for 1 < j < m",
    ),
    uses=("memorization-two-layers",),
    variant="without that unit in the layers l_j + 1, j > 1",
    least=72,
)
def check_carry(seed: int) -> Evidence:
    """Fit groups with one carrying unit: error in fractions, and widths by the table."""
    seen = Evidence()
    for number, (groups, starts) in enumerate(CARRIED):
        a, f = data(20 * seed + number, sum(groups), 1, 1)
        t, f = np.sort(a[:, 0]), f[:, 0]
        matrices, widths = one_carrier(t, f, groups, starts)
        expected = [1] * (starts[-1] + 1)
        for j, (points, layer) in enumerate(zip(groups, starts, strict=True)):
            p, c = parts(points, j, j == len(groups) - 1)
            expected[layer - 1 : layer + 1] = 2 * p - 1, c + (j > 0)
        wrong = (error(matrices, t[:, None], f[:, None]) != 0) | (widths != tuple(expected))
        cut = list(matrices)
        for layer in starts[1:]:
            cut[layer] = cut[layer].copy()
            cut[layer][:, 1] = Fraction(0)
        seen.add(len(f), wrong=wrong, refuted=error(tuple(cut), t[:, None], f[:, None]) > 0)
    return seen
