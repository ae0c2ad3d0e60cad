"""Dropout noise and fixed output weights: exact gradients, and ranks by hand."""

from fractions import Fraction

import pytest
import torch

from evidence import noise_and_fixed_weights as checks
from evidence.claims import Unsound
from pscore.loss import frozen_loss
from pscore.network import ReLUNetwork


def test_the_exact_gradient_is_that_of_the_network_and_of_a_frozen_one_with_noise():
    network = ReLUNetwork((2, 2, 1), output_relu=False, negative_slope=0.5)
    a = torch.tensor([[float(x) for x in row] for row in checks.INPUTS], dtype=torch.float64)
    f = torch.tensor([float(x) for x in checks.TARGETS], dtype=torch.float64)
    noise = ((Fraction(1), Fraction(2)), (Fraction(1, 3), Fraction(1)), (Fraction(3), Fraction(1)))
    for net in (checks.STUCK, checks.SOLVED):
        w, v = net
        W = [
            torch.tensor([[float(x) for x in unit] for unit in w]).double().mT,
            torch.tensor([[float(x)] for x in v]).double(),
        ]
        W[1] = torch.tensor([[x.numerator / x.denominator] for x in v], dtype=torch.float64)
        V = [matrix.clone().requires_grad_() for matrix in W]
        factors = torch.tensor([[x.numerator / x.denominator for x in row] for row in noise])
        S = network.switches(W, a)
        held = (S[0] * factors.double(), S[1])
        loss = frozen_loss(network, V, a, f, held)
        error, slope = checks.noisy_gradient(net, noise)
        assert float(error) == pytest.approx(loss.item(), rel=1e-6)
        by_w, by_v = torch.autograd.grad(loss, V)
        expected = [*by_w[:, 0].tolist(), *by_w[:, 1].tolist(), *by_v[:, 0].tolist()]
        assert [float(x) for x in slope] == pytest.approx(expected, rel=1e-6)
    assert checks.noisy_gradient(checks.STUCK, checks.NO_NOISE) == (Fraction(1, 18), [0] * 6)


def test_two_opposite_pairs_have_dependent_features_in_every_dimension_and_one_has_not():
    at = checks.fixed_outputs((5, 2), 200, [0, 1, 2])
    few, _ = checks.nullities(checks.opposite_pairs(at, 2))
    assert (few == 5).all()  # one for each input
    assert (checks.nullities(checks.opposite_pairs(at, 1))[0] == 0).all()
    assert (checks.nullities(at)[0] == 0).all()


def test_a_gradient_that_forgets_the_factors_turns_the_check_red(monkeypatch):
    exact = checks.noisy_gradient
    monkeypatch.setattr(checks, "noisy_gradient", lambda net, noise: exact(net, checks.NO_NOISE))
    with pytest.raises(Unsound):
        checks.check_dropout(0)
