"""Lemma 4 and eqs (8) to (10): closed forms, and drawn instances."""

import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.optimize import minimize
from strategies import decays, instances, shares

from evidence import global_minimisers as checks
from evidence import instances as made
from evidence import measures
from pscore import ReLUNetwork, certify
from pscore.loss import regularized_loss, squared_norm, training_error

positive = st.floats(0.1, 10.0)


def radius(a):
    return max(row.norm().item() for row in a)


@given(instances(slope=st.sampled_from([0.0, 0.1, 1.0])), shares)
def test_every_point_below_the_level_is_certified(instance, share):
    """λ is doubled until ℓ_λ(W) is below the level, which grows faster; θ is by the formula."""
    network, W, a, f = instance
    assume(radius(a) > 0)
    decay = share
    while True:
        value = regularized_loss(network, W, a, f, decay).item()
        level = checks.loss_level(network, decay, radius(a))
        if value < level:
            break
        decay *= 2
    theta = decay * (1 - (value / level) ** (network.depth / 2))
    margin = certify(network, W, a, f, decay)["paper"].margin
    assert margin >= theta - 1e-9 * decay


@given(instances(), decays)
def test_loss_at_zero_is_half_the_mean_square_of_the_targets(instance, decay):
    network, W, a, f = instance
    zero = tuple(0 * matrix for matrix in W)
    squares = sum(x * x for x in f.tolist())
    at_zero = regularized_loss(network, zero, a, f, decay).item()
    assert at_zero == pytest.approx(squares / (2 * len(a)))


@given(instances(slope=st.sampled_from([0.0, 0.1, 1.0])), st.floats(1.0, 2.0))
def test_nothing_beats_zero_below_the_best_constant(instance, enlarged):
    """λ is the least that the best constant allows for the data, or more; any W, kinks included."""
    network, W, a, f = instance
    at_zero = training_error(network, tuple(0 * w for w in W), a, f).item()
    assume(radius(a) > 0 and at_zero > 0)
    best = measures.best_constant(network.depth)
    decay = enlarged * measures.needed_weight_decay(network, at_zero, radius(a), best)
    assume(decay < 1e6)
    assert regularized_loss(network, W, a, f, decay).item() >= at_zero * (1 - 1e-9)
    direct = decay / 2 * squared_norm(W).item() + training_error(network, W, a, f).item()
    assert direct >= at_zero * (1 - 1e-9)


@given(st.integers(1, 6), positive, positive)
def test_level_is_as_printed(H, decay, r):
    network = ReLUNetwork((1,) * (H + 2))
    logarithm = (1 + 1 / H) * math.log(decay) - 2 / H * math.log(H * (H + 1) * r)
    assert checks.loss_level(network, decay, r) == pytest.approx(math.exp(logarithm) / 2)


@pytest.mark.parametrize("H", [1, 2, 3, 4])
def test_share_is_the_maximum_of_the_product(H):
    error = torch.linspace(0, 1, 200_001, dtype=torch.float64)  # ℓ / v; the rest is λ‖W‖²/2
    product = error.sqrt() * (1 - error) ** ((H - 1) / 2)
    assert checks.sublevel_share(H) == pytest.approx(product.max().item(), rel=1e-6)


@given(st.integers(1, 6), positive, positive)
def test_needed_weight_decay_inverts_the_level(H, loss, r):
    network = ReLUNetwork((1,) * (H + 2), output_relu=False, negative_slope=-2.0)
    decay = measures.needed_weight_decay(network, loss, r)
    assert checks.loss_level(network, decay, r) == pytest.approx(loss)
    steep = ReLUNetwork((1,) * (H + 2), output_relu=False)
    assert decay == pytest.approx(measures.needed_weight_decay(steep, loss, 2.0**H * r))


@pytest.mark.parametrize("H, gain", [(1, 4.0), (2, 24.0), (3, 29.7), (4, 31.4)])
def test_gain_over_the_paper(H, gain):
    assert measures.best_constant(H) / measures.paper_constant(H) == pytest.approx(gain, abs=0.05)


@pytest.mark.parametrize("H", [2, 3, 4])
def test_critical_problem_has_two_minimisers(H):
    """At equality the W of the proof ties with 0, and its output is ``F_c (H−1)/H``."""
    network = ReLUNetwork((1,) + (2,) * H + (1,))
    f = torch.tensor([math.sqrt(measures.best_constant(H))], dtype=torch.float64)
    a, product = torch.ones(1, 1, dtype=torch.float64), f * (H - 1) / H
    W = made.aligned_network(network, a[0], product)
    assert network(W, a).item() == pytest.approx(product.item())
    tie = regularized_loss(network, W, a, f, 1.0).item()
    assert tie == pytest.approx(f.item() ** 2 / 2, rel=1e-12)
    assert not certify(network, W, a, f, 1.0)["paper"].inside


@pytest.mark.parametrize("decay", [0.2, 1e-2, 1e-4])
def test_the_exponential_loss_of_the_smallest_network(decay):
    """e^{-vw} + λ/2 (v² + w²) by a minimiser of scipy's, against √log(1/λ), within the ball."""

    def loss(z):
        return math.exp(-z[0] * z[1]) + decay / 2 * (z[0] ** 2 + z[1] ** 2)

    best = minimize(loss, [1.0, 2.0], tol=1e-12).x
    assert best == pytest.approx([math.sqrt(math.log(1 / decay))] * 2, rel=1e-4)
    assert best @ best <= 2 / decay
