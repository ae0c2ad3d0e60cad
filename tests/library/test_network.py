"""Eqs (1) and (2) against torch's own layers, and what bad input is told."""

import numpy as np
import pytest
import torch
from instances import ARCHITECTURES, as_sequential, random_instance

from pscore.network import ReLUNetwork


@pytest.mark.parametrize(("widths", "output_relu", "slope"), ARCHITECTURES)
def test_output_is_that_of_torch_layers(widths, output_relu, slope):
    network, W, a, _ = random_instance(widths, points=20, output_relu=output_relu, slope=slope)
    with torch.no_grad():
        expected = as_sequential(network, W)(a)
    torch.testing.assert_close(network(W, a), expected.squeeze(-1) if widths[-1] == 1 else expected)


@pytest.mark.parametrize(("widths", "output_relu", "slope"), ARCHITECTURES)
def test_stack_answers_for_each_of_its_networks(widths, output_relu, slope):
    network, W, a, _ = random_instance(widths, output_relu=output_relu, slope=slope, stack=(4,))
    together = network(W, a)
    for t in range(4):
        alone = network(tuple(matrix[t] for matrix in W), a)
        torch.testing.assert_close(together[t], alone)
    own_data = torch.stack([a + t for t in range(4)])
    torch.testing.assert_close(
        network(W, own_data)[3], network(tuple(matrix[3] for matrix in W), a + 3)
    )


def test_switches_are_the_indicator_of_positive_inputs():
    network = ReLUNetwork((2, 3, 1))
    W = ([[1.0, -1.0, 0.0], [0.0, 1.0, 0.0]], [[1.0], [2.0], [3.0]])
    hidden, output = network.switches(W, [[1.0, 0.5], [-1.0, 0.0], [0.0, 0.0]])
    assert hidden.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]  # an input of 0 is switched off
    assert output.tolist() == [[1], [1], [0]]


def test_switches_of_a_leaky_network_are_its_slopes():
    hidden, output = ReLUNetwork((1, 2, 1), negative_slope=-0.25).switches(
        ([[1.0, -1.0]], [[1.0], [1.0]]), [[2.0], [-2.0]]
    )
    assert hidden.tolist() == [[1, -0.25], [-0.25, 1]]
    assert output.tolist() == [[1], [1]]


def test_without_output_relu_the_last_switch_is_the_identity():
    network, W, a, _ = random_instance((2, 3, 1), points=50)
    assert network.switches(W, a)[-1].eq(1).all()
    assert (network((W[0], -W[1].abs()), a) < 0).any()


@pytest.mark.parametrize(("widths", "output_relu", "slope"), ARCHITECTURES)
def test_frozen_form_agrees_at_its_own_switches_and_is_linear_in_each_layer(
    widths, output_relu, slope
):
    network, W, a, _ = random_instance(widths, output_relu=output_relu, slope=slope)
    S = network.switches(W, a)
    torch.testing.assert_close(network.frozen(W, a, S), network(W, a))
    for i in range(len(W)):
        moved = (*W[:i], -2 * W[i], *W[i + 1 :])  # far outside the region of these switches
        torch.testing.assert_close(network.frozen(moved, a, S), -2 * network(W, a))


def test_dtype_and_lists():
    network, W, a, _ = random_instance((2, 3, 1))
    single = tuple(matrix.float() for matrix in W)
    assert network(single, a).dtype == torch.float32
    assert network([matrix.numpy() for matrix in W], a.numpy()).dtype == torch.float64
    assert network([matrix.tolist() for matrix in W], a.tolist()).dtype == torch.float64
    assert network([np.ones((2, 3), int), np.ones((3, 1), int)], a).dtype == torch.float64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(weights=lambda W: W[:1]), "weights must have the shapes"),
        (dict(weights=lambda W: (W[0].mT, W[1])), "weights must have the shapes"),
        (dict(weights=lambda W: (W[0][None], W[1])), "weights must have the shapes"),
        (dict(weights=lambda W: (W[0] * float("nan"), W[1])), "weights must be finite"),
        (dict(inputs=lambda a: a[:, :1]), r"inputs must have the shape \(N, 2\)"),
        (dict(inputs=lambda a: a[0]), r"inputs must have the shape \(N, 2\)"),
        (dict(inputs=lambda a: a[:0]), "inputs is an empty data set"),
        (dict(inputs=lambda a: a / 0), "inputs must be finite"),
    ],
)
def test_bad_arrays_are_named(change, message):
    network, W, a, _ = random_instance((2, 3, 1))
    weights = change.get("weights", lambda W: W)(W)
    inputs = change.get("inputs", lambda a: a)(a)
    with pytest.raises(ValueError, match=message):
        network(weights, inputs)


@pytest.mark.parametrize("widths", [(2, 1), (2,), (2, 0, 1), ()])
def test_bad_widths_are_refused(widths):
    with pytest.raises(ValueError, match="widths must name"):
        ReLUNetwork(widths)


def test_bad_slope_and_switches_are_refused():
    with pytest.raises(ValueError, match="negative_slope must be a finite number"):
        ReLUNetwork((1, 1, 1), negative_slope=float("nan"))
    network, W, a, _ = random_instance((2, 3, 1))
    with pytest.raises(ValueError, match="switches must have the widths"):
        network.frozen(W, a, network.switches(W, a)[::-1])


def test_architecture():
    network = ReLUNetwork([3, 4, 5, 2], negative_slope=-3.0)
    assert (network.depth, network.parameter_count, network.gain) == (2, 42, 27)
    assert ReLUNetwork((3, 4, 5, 2), False, -3.0).gain == 9
    assert network.shapes == ((3, 4), (4, 5), (5, 2))
