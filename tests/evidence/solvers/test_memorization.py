"""The constructions of zero training error: exact, within bounds, and refused with reasons."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence.fits import error, one_weight_off
from evidence.memorization import conditioning
from evidence.rational import exact_loss, exactly
from evidence.solvers.memorization import (
    as_fractions,
    block_shape,
    exact_outputs,
    extended,
    memorize,
    one_hidden_layer,
    separating_direction,
)
from pscore.instance import Instance

numbers = st.one_of(st.integers(-3, 3), st.fractions(-5, 5, max_denominator=12))


@st.composite
def data_sets(draw, most=60):
    """Distinct rational inputs with rational targets: near to each other, far, collinear, equal."""
    n, d = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    points = draw(st.lists(st.tuples(*[numbers] * n), min_size=1, max_size=most, unique=True))
    targets = [draw(st.tuples(*[numbers] * d)) for _ in points]
    return as_fractions(np.array(points, dtype=object)), as_fractions(
        np.array(targets, dtype=object)
    )


@settings(max_examples=30)
@given(data_sets())
def test_any_data_are_fitted_exactly(data):
    a, f = data
    net, flat = memorize(a, f), one_hidden_layer(a, f)
    assert error(net.matrices, a, f) == error(flat.matrices, a, f) == 0
    assert net.units <= 2 * np.sqrt(2 * f.size) + f.shape[1] + 1
    assert flat.units == f.size


def test_over_a_hundred_points_of_three_outputs_are_fitted_exactly():
    draw = np.random.default_rng(0)
    a, f = draw.normal(size=(120, 5)), draw.normal(size=(120, 3))
    net = memorize(a, f)
    assert (exact_outputs(net.matrices, a)[0] == as_fractions(f)).all()
    assert net.units < 2 * np.sqrt(2 * 360) + 4


@settings(max_examples=30)
@given(data_sets(most=20), st.data())
def test_any_groups_over_any_layers_are_fitted_exactly(data, draw):
    a, f = data
    cuts = draw.draw(st.sets(st.integers(1, len(a)), max_size=3)) | {0, len(a)}
    groups = np.diff(sorted(cuts)).tolist()
    jumps = draw.draw(st.lists(st.integers(2, 4), min_size=len(groups), max_size=len(groups)))
    first_layers = (np.cumsum(jumps) - 1).tolist()
    net = memorize(a, f, groups=groups, first_layers=first_layers)
    assert error(net.matrices, a, f) == 0
    assert net.network.depth == first_layers[-1] + 1


@settings(max_examples=30)
@given(data_sets(most=12), st.sampled_from([None, 2]))
def test_no_input_is_on_a_boundary(data, parts):
    a, f = data
    groups = None if parts is None or len(a) < 2 else (1, len(a) - 1)
    matrices = memorize(a, f, groups=groups).matrices
    _, layers = exact_outputs(matrices, a)
    first = np.hstack([a, as_fractions(np.ones((len(a), 1)))])
    for x, W in zip([first, *layers], matrices[:-1], strict=False):
        assert (x @ W != 0).all()


def test_a_changed_weight_is_noticed():
    a, f = np.arange(10)[:, None], np.arange(10) % 3
    net = memorize(a, f)
    assert error(net.matrices, as_fractions(a), as_fractions(f)[:, None]) == 0
    other = one_weight_off(net.matrices, np.random.default_rng(0))
    assert error(other, as_fractions(a), as_fractions(f)[:, None]) > 0


def test_the_network_is_one_of_the_book_and_exact_where_nothing_is_rounded():
    a, f = np.arange(-6, 7)[:, None], np.tile([1.0, -1.0, -1.0], 5)[:13]
    net = memorize(a, f)
    inputs, targets = extended(torch.from_numpy(a).double()), torch.from_numpy(f)
    assert (net.network(net.weights, inputs) == targets).all()
    assert exact_loss(*exactly(Instance(net.network, net.weights, inputs, targets)), False) == 0
    for matrix, weight in zip(net.matrices, net.weights, strict=True):
        assert matrix.shape == tuple(weight.shape)
    assert [len(layer) for layer in net.roles] == list(net.network.widths[1:-1])


@pytest.mark.parametrize("kind", ["even", "random"])
def test_ten_thousand_points_are_fitted_within_the_bound(kind):
    draw, N = np.random.default_rng(1), 10_000
    a = np.arange(N)[:, None] / N if kind == "even" else draw.normal(size=(N, 4))
    f = draw.uniform(-1, 1, size=N)
    net = memorize(a, f)
    inputs = extended(torch.from_numpy(a))
    off = (net.network(net.weights, inputs) - torch.from_numpy(f)).abs()
    bound = net.error_bound(inputs)
    assert net.units == 282
    assert (off <= bound).all()
    assert bound.max() <= conditioning(net, a, f)
    assert off.max() < (1e-4 if kind == "even" else 0.5)


def test_the_bound_grows_with_the_conditioning():
    bounds = []
    for gap in (1e-1, 1e-3, 1e-5):
        a = np.array([[0.0], [1.0], [1.0 + gap], [2.0], [3.0]])
        net = memorize(a, [0.0, 1.0, -1.0, 1.0, 0.0])
        bounds.append(net.error_bound(extended(torch.from_numpy(a))).max().item())
    assert 30 * bounds[0] < bounds[1] and 30 * bounds[1] < bounds[2]


@given(st.integers(1, 400), st.integers(1, 4))
def test_block_shapes_hold_all_points_and_none_is_smaller(N, d):
    p, q = block_shape(N, d)
    assert p * q >= N
    others = [2 * -(-N // k) + d * k for k in range(1, N + 1)]
    assert 2 * p + d * q == min(others)


def test_one_unit_less_is_refused():
    a, f = np.arange(12)[:, None], np.arange(12) % 5
    assert memorize(a, f, widths=(5, 4)).units == 9
    for widths in ((4, 4), (5, 3), (0, 12), (5,)):
        with pytest.raises(ValueError, match="are too small.*give them more units"):
            memorize(a, f, widths=widths)
    deep = memorize(a, f, groups=(4, 8))
    widths = [len(layer) - 1 for layer in deep.roles]
    assert memorize(a, f, groups=(4, 8), widths=widths).units == deep.units
    for layer in range(4):
        fewer = [w - (i == layer) for i, w in enumerate(widths)]
        with pytest.raises(ValueError, match="are too small"):
            memorize(a, f, groups=(4, 8), widths=fewer)


def test_a_row_twice():
    a, f = np.array([[1, 2], [3, 4], [1, 2]]), [1, 2, 1]
    assert error(memorize(a, f).matrices, as_fractions(a), as_fractions(np.array(f))[:, None]) == 0
    with pytest.raises(ValueError, match="rows 0 and 2 .* drop one"):
        memorize(a, [1, 2, 3])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"direction": [1, 1]}, "direction projects the distinct inputs"),
        ({"groups": (1, 1)}, "groups must be positive and add up to 3"),
        ({"groups": (3, 0)}, "groups must be positive"),
        ({"groups": (1, 2), "first_layers": (1, 2)}, "first_layers must name"),
        ({"first_layers": (0,)}, "first_layers must name"),
        (
            {"groups": (1, 2), "first_layers": (1, 4), "widths": (9, 9, 1, 9, 9)},
            "widths must leave room",
        ),
        ({"targets": [1, 2]}, "one row each"),
        ({"inputs": np.zeros((0, 2)), "targets": []}, "one row each"),
        ({"inputs": [[1.0, np.nan], [0, 0], [1, 0]]}, "finite"),
    ],
)
def test_bad_input_is_refused(options, message):
    given_data = {"inputs": [[0, 1], [1, 0], [2, 5]], "targets": [1, 2, 3], **options}
    with pytest.raises(ValueError, match=message):
        memorize(**given_data)


def test_directions_separate_and_are_repeatable():
    a = as_fractions(np.random.default_rng(0).integers(0, 3, size=(300, 8)))
    a = np.array(sorted(set(map(tuple, a.tolist()))), dtype=object)
    u = separating_direction(a)
    assert len(set((a @ u).tolist())) == len(a)
    assert (u == separating_direction(a)).all()
    assert all(isinstance(x, Fraction) for x in u)
