"""The checks at points of zero training error, and what they are made of."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from evidence import exact_fits as checks
from evidence.claims import Unsound
from evidence.fits import data, error, one_weight_off
from evidence.solvers.memorization import as_fractions, exact_outputs, extended, memorize
from pscore import ReLUNetwork, certify
from pscore.curvature import frozen_hessian, unflatten


def test_inside_for_every_weight_decay_and_outside_after_a_step():
    network, W, a, f = checks.on_whole_numbers(12)
    for decay in (1e-12, 1e-3, 1e6):
        assert certify(network, W, a, f, decay)["paper"].margin == decay
    moved = (*W[:-1], W[-1] * 1.01)
    assert not certify(network, moved, a, f, 1e-3)["paper"].inside


def test_jacobian_and_nullity_agree_with_torch_s():
    a, f = data(3, 6, 1, 1)
    net = memorize(a, f)
    inputs, targets = extended(torch.from_numpy(a.astype(float))), torch.from_numpy(f.astype(float))
    flat = torch.cat([matrix.flatten() for matrix in net.weights])

    def outputs(w):
        x = inputs
        *hidden, last = unflatten(net.network, w)
        for matrix in hidden:
            x = torch.relu(x @ matrix)
        return (x @ last)[:, 0]

    J = torch.autograd.functional.jacobian(outputs, flat)
    ours = torch.from_numpy(checks.jacobian(net.matrices, a).astype(float))
    torch.testing.assert_close(ours, J, rtol=1e-9, atol=1e-9)
    W = [matrix[None] for matrix in net.weights]
    H = frozen_hessian(net.network, W, inputs, targets[:, 0])[0]
    scale = H.abs().max()
    torch.testing.assert_close(H / scale, J.mT @ J / len(a) / scale, rtol=0, atol=1e-9)


def test_scaling_layers_changes_nothing():
    a, f = data(4, 10, 2, 2)
    W = list(memorize(a, f).matrices)
    for alpha in (Fraction(2), Fraction(1, 7), Fraction(1000)):
        for k in range(len(W) - 1):
            V = [*W]
            V[k], V[k + 1] = W[k] * alpha, W[k + 1] / alpha
            assert error(tuple(V), a, f) == 0
        other = (W[0] * alpha, *W[1:])
        assert error(other, a, f) > 0


def test_slopes_from_values_are_those_of_the_jacobian_and_zero_nowhere_else():
    a, f = data(5, 4, 1, 1)
    W = one_weight_off(memorize(a, f).matrices, np.random.default_rng(0))
    X = tuple(as_fractions(np.ones(matrix.shape, dtype=int)) for matrix in W)
    e = exact_outputs(W, a)[0] - f
    along = checks.jacobian(W, a) @ np.concatenate([V.ravel() for V in X])
    assert checks.slope(W, X, a, f) == (e.ravel() * along).sum() / len(a) != 0


def test_a_construction_that_misses_its_targets_turns_the_checks_red(monkeypatch):
    def off(a, f, **options):
        net = memorize(a, f, **options)
        return replace(net, matrices=one_weight_off(net.matrices, np.random.default_rng(0)))

    monkeypatch.setattr(checks, "memorize", off)
    with pytest.raises(Unsound, match="violated"):
        checks.check_inside(0)


def test_the_largest_kappa_on_the_way_down_is_where_the_proposition_says():
    for depth, f in ((2, 0.3), (3, 2.0)):
        s = np.linspace(0, f ** (1 / (depth + 1)), 100_001)
        kappa = depth * (depth + 1) * (f - s ** (depth + 1)) * s ** (depth - 1)
        assert kappa.max() == pytest.approx(checks.stays_from(depth, f), rel=1e-8)


def test_a_threshold_that_is_too_low_turns_the_check_red(monkeypatch):
    right = checks.stays_from
    monkeypatch.setattr(checks, "stays_from", lambda depth, f: 0.9 * right(depth, f))
    with pytest.raises(Unsound, match="violated"):
        checks.check_leaves(0)


def test_margin_at_a_fitted_point_is_the_weight_decay():
    draw = torch.Generator().manual_seed(3)
    network = ReLUNetwork((2, 4, 3, 1))
    W = [torch.randn(*shape, generator=draw, dtype=torch.float64) for shape in network.shapes]
    a = torch.randn(5, 2, generator=draw, dtype=torch.float64)
    for one in certify(network, W, a, network(W, a), 0.2).values():
        assert one.margin == pytest.approx(0.2)


def test_collinear_inputs_leave_a_singular_matrix():
    a = torch.tensor([[1.0, 2.0], [2.0, 4.0], [0.0, -1.0]], dtype=torch.float64)
    draw = torch.Generator().manual_seed(0)
    features = (a @ torch.randn(2, 50, generator=draw, dtype=torch.float64)).relu()
    assert torch.linalg.matrix_rank(features) == 2


def test_a_fit_that_is_none_is_noticed(monkeypatch):
    fit = checks.interpolating
    monkeypatch.setattr(checks, "interpolating", lambda *at: [1.1 * w for w in fit(*at)])
    with pytest.raises(Unsound, match="violated"):
        checks.check_zero_error(0)


def test_a_point_of_positive_error_is_noticed(monkeypatch):
    loss = checks.regularized_loss
    assert not checks.missed_on_kinks((2, 3, 1), 0).any()
    monkeypatch.setattr(
        checks, "regularized_loss", lambda net, W, a, f, decay: loss(net, W, a, f + 1, decay)
    )
    assert checks.missed_on_kinks((2, 3, 1), 0).any()
