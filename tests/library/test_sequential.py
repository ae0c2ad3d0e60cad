"""Torch models as networks of eq. (1): the same outputs and gradients, or refused by name."""

import pytest
import torch
from torch import nn

from pscore import ReLUNetwork, certify
from pscore.loss import gradient

DATA = torch.Generator().manual_seed(5)
X = torch.randn(9, 4, generator=DATA, dtype=torch.float64)


def linear(*shape, bias=False):
    return nn.Linear(*shape, bias=bias).double()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("last", [(), (nn.ReLU(),)])
def test_a_model_computes_what_its_network_computes(bias, last):
    model = nn.Sequential(nn.Flatten(), linear(4, 5, bias=bias), nn.ReLU())
    model = nn.Sequential(model, linear(5, 3), nn.ReLU(), linear(3, 2), *last)
    network, W = ReLUNetwork.from_sequential(model)
    assert network == ReLUNetwork((4 + bias, 5, 3, 2), output_relu=bool(last))
    inputs = torch.cat([X, torch.ones(9, 1)], 1) if bias else X
    torch.testing.assert_close(network(W, inputs), model(X))
    (model(X).square().sum() / 18).backward()
    G = gradient(network, W, inputs, torch.zeros(9, 2))
    torch.testing.assert_close(G[-1], model[-1 - len(last)].weight.grad.mT)
    first = model[0][1]
    expected = torch.cat([first.weight.grad.mT, *([first.bias.grad[None]] if bias else [])])
    torch.testing.assert_close(G[0], expected)


def test_leaky_models_have_their_slope():
    model = nn.Sequential(linear(4, 3), nn.LeakyReLU(0.2), linear(3, 1))
    network, W = ReLUNetwork.from_sequential(model)
    assert network.negative_slope == 0.2 and not network.output_relu
    torch.testing.assert_close(network(W, X), model(X).squeeze(1))


@pytest.mark.parametrize("bias", [False, True])
def test_a_model_is_certified_as_its_network_is(bias):
    model = nn.Sequential(linear(4, 3, bias=bias), nn.ReLU(), linear(3, 1))
    network, W = ReLUNetwork.from_sequential(model)
    inputs = torch.cat([X, torch.ones(9, 1)], 1) if bias else X
    expected = certify(network, W, inputs, torch.ones(9), 0.1)
    assert certify(model, None, X, torch.ones(9), 0.1) == expected
    assert certify(model, None, X, torch.ones(9), 0.2) != expected
    with pytest.raises(ValueError, match="weights must be None: the model has its own"):
        certify(model, W, X, torch.ones(9), 0.1)


def test_no_column_of_ones_takes_the_place_of_an_input_that_is_missing():
    model = nn.Sequential(linear(5, 3), nn.ReLU(), linear(3, 1))
    with pytest.raises(ValueError, match=r"inputs must have the shape \(N, 5\)"):
        certify(model, None, X, torch.ones(9), 0.1)


REFUSED = {
    r"must be an nn.Sequential, not Linear": linear(4, 1),
    r"layer 2 \(Linear\) has a bias: .* unit that is constantly 1": nn.Sequential(
        linear(4, 3), nn.ReLU(), linear(3, 1, bias=True)
    ),
    r"layer 0.1 \(Tanh\) does not fit: eq. \(1\)": nn.Sequential(
        nn.Sequential(linear(4, 3), nn.Tanh()), linear(3, 1)
    ),
    r"layer 1 \(Linear\): .* take turns": nn.Sequential(linear(4, 3), linear(3, 1)),
    r"layer 0 \(ReLU\): .* take turns": nn.Sequential(nn.ReLU(), linear(3, 1)),
    r"layer 0 \(Conv2d\) does not fit: a convolution shares": nn.Sequential(nn.Conv2d(1, 2, 3)),
    r"layer 1 \(BatchNorm1d\) does not fit: batch norm divides": nn.Sequential(
        linear(4, 3), nn.BatchNorm1d(3)
    ),
    r"layer 2 \(Dropout\) does not fit: dropout draws": nn.Sequential(
        linear(4, 3), nn.ReLU(), nn.Dropout()
    ),
    r"has 1 linear layers; at least two": nn.Sequential(linear(4, 1)),
    r"has 0 linear layers; at least two": nn.Sequential(),
    r"one slope; found \[0.0, 0.1\]": nn.Sequential(
        linear(4, 3), nn.ReLU(), linear(3, 3), nn.LeakyReLU(0.1), linear(3, 1)
    ),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_does_not_fit_is_named(words):
    with pytest.raises(ValueError, match=words):
        ReLUNetwork.from_sequential(REFUSED[words])
    with pytest.raises(ValueError, match=words):
        certify(REFUSED[words], None, X, torch.ones(9), 0.1)


NETWORK = ReLUNetwork((4, 3, 1))
W = (torch.ones(4, 3), torch.ones(3, 1))
WRONG = {
    "widths must .*not 3.5": lambda: ReLUNetwork((4, 3.5, 1)),
    "widths must .*not True": lambda: ReLUNetwork((4, True, 1)),
    "widths must .*a layer is missing": lambda: ReLUNetwork((4, 3)),
    "widths must .*NoneType": lambda: ReLUNetwork(None),
    "negative_slope must be a finite number, not 'leaky'": lambda: ReLUNetwork(
        (4, 3, 1), negative_slope="leaky"
    ),
    "negative_slope must be a finite number, not None": lambda: ReLUNetwork(
        (4, 3, 1), negative_slope=None
    ),
    "weights must be a sequence .* not NoneType": lambda: certify(NETWORK, None, X, X[:, 0], 0.1),
    "weights must be a sequence .*from_sequential": lambda: certify(
        NETWORK, nn.ReLU(), X, X[:, 0], 0.1
    ),
    "weights must hold real numbers, not torch.complex64": lambda: certify(
        NETWORK, (W[0].cfloat(), W[1]), X, X[:, 0], 0.1
    ),
    "inputs must hold real numbers": lambda: certify(NETWORK, W, "pixels", X[:, 0], 0.1),
    "targets is None: it must hold real numbers": lambda: certify(NETWORK, W, X, None, 0.1),
    "weight_decay must be positive and finite, not 'small'": lambda: certify(
        NETWORK, W, X, X[:, 0], "small"
    ),
    "weight_decay must be positive and finite, not None": lambda: certify(
        NETWORK, W, X, X[:, 0], None
    ),
    "network must be a ReLUNetwork, not NoneType": lambda: certify(None, W, X, X[:, 0], 0.1),
    "network must be a ReLUNetwork, not str": lambda: certify("LeNet", W, X, X[:, 0], 0.1),
}


@pytest.mark.parametrize("words", WRONG)
def test_what_is_wrong_is_said_by_the_argument_s_name(words):
    with pytest.raises(ValueError, match=words):
        WRONG[words]()
