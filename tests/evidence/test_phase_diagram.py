"""The phase diagram: scaling as a property of the code, thresholds, and what its helpers make."""

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from strategies import decays, instances, stacked

from evidence import instances as made
from evidence import phase_diagram as diagram
from evidence.claims import Unsound
from evidence.solvers.exact import escape_threshold, line_threshold, threshold_constant
from pscore.certificate import certify
from pscore.descent import descend, initialize
from pscore.instance import Instance
from pscore.loss import regularized_loss
from pscore.network import ReLUNetwork

factors = st.floats(-1.5, 1.5).map(lambda x: 10**x)


@given(instances(outputs=2), factors, factors, decays)
def test_scaling(instance, c, b, decay):
    network, W, a, f = instance
    V, x, g, factor = made.scaled_problem(network, W, a, f, c, b)
    before = regularized_loss(network, W, a, f, decay)
    assert_allclose(regularized_loss(network, V, x, g, factor * decay), c**2 * before, rtol=1e-8)
    old, new = certify(network, W, a, f, decay), certify(network, V, x, g, factor * decay)
    for name in old:
        kappa = decay - old[name].margin
        size = factor * max(decay, kappa)
        assert_allclose(new[name].margin, factor * old[name].margin, atol=1e-8 * size)
        if abs(old[name].margin) > 1e-6 * max(decay, kappa):
            assert new[name].inside == old[name].inside


@given(instances(outputs=1, max_depth=3), factors, decays)
def test_a_wrong_exponent_is_noticed(instance, c, decay):
    network, W, a, f = instance
    assume(network.depth > 1 and abs(c - 1) > 0.1 and sum(w.square().sum() for w in W) > 0.1)
    V, x, g, _ = made.scaled_problem(network, W, a, f, c)
    before, weights = regularized_loss(network, W, a, f, decay), sum(w.square().sum() for w in W)
    assume(decay * weights > 1e-3 * before)
    wrong = regularized_loss(network, V, x, g, c * decay)
    assert abs(wrong / (c**2 * before) - 1) > 1e-6


# Many of the networks drawn put out nothing but 0, and don't count.
@settings(max_examples=12, suppress_health_check=[HealthCheck.filter_too_much])
@given(instances(output_relu=None, slope=st.just(0.0)))
def test_zero_is_beaten_below_the_threshold_only(instance):
    network, W, a, f = stacked(instance)
    assume(all(bool(w.any()) for w in W) and f.abs().max() > 0.05)
    size = f.square().mean().sqrt()
    y = network(W, a)
    assume(y.abs().max() > 0)
    W = (W[0] * size / y.abs().max(), *W[1:])  # of the size of the targets
    f, W = f / size, (W[0] / size, *W[1:])
    product = torch.stack([w.norm() for w in W]).prod()
    assume(1e-2 < product < 1e2)
    threshold = escape_threshold(network, W, a, f)
    assume(threshold > 1e-2)
    at = Instance(network, W, a, f)
    assert diagram.largest_gain(at, 1.05 * threshold) <= 1e-12
    assert diagram.largest_gain(at, 0.9 * threshold) > 0


def test_one_data_point_and_even_targets():
    for H in (1, 2, 3):
        assert line_threshold([1.0], [1.0], H) == pytest.approx(threshold_constant(H))
        wanted = threshold_constant(H) * 0.25 ** (1 / (H + 1))
        assert line_threshold([1, -1], [1, 1], H) == pytest.approx(wanted)


def test_the_network_of_two_sides_attains_the_threshold():
    f = torch.tensor([1.0, 0.5]).double()
    for H in (2, 3, 4):
        t = torch.linspace(0.001, 0.999, 999).double()
        at = diagram.cheapest_on_a_line(H, 3, t, 1 - t)
        assert at.residuals().abs().max() < 1e-12
        found = escape_threshold(*at._replace(f=f)).max().item()
        assert found == pytest.approx(line_threshold([1, -1], [1, 0.5], H), rel=1e-5)


def test_two_sided_data_are_normalised():
    for share in (0.5, 0.7, 1.0):
        for even in (False, True):
            a, f = diagram.two_sided(share, even)
            assert a.abs().max() == 1 and f.square().mean() == 1
            sides = [(f * (s * a[:, 0]).relu()).mean().abs().item() for s in (1, -1)]
            assert max(sides) == pytest.approx(share)


def test_the_stack_of_scaled_problems_tells_what_single_descents_do():
    weight_decays = torch.tensor([0.1, 0.6]).double()
    found = diagram.outcome(0.7, True, 2, weight_decays, depths=(2,), seeds=6)
    a, f = diagram.two_sided(0.7, True)
    network = ReLUNetwork((1, 2, 2, 1), False)
    for k, decay in enumerate(weight_decays.tolist()):
        W = initialize(network, range(6))
        problem, states = descend(
            network, W, a, f, weight_decay=decay, learning_rate=0.0125 / decay, steps=350
        )
        *_, last = states
        learnt = (problem.loss(last) < 0.5 - 1e-9).double().mean()
        assert found.learnt[0, k] == learnt
        inside = certify(network, W, a, f, decay)["paper"].inside.double().mean()
        assert found.start[0, k] == inside
    assert 0 < found.learnt[0, 0] and found.learnt[0, 1] == 0 and found.origin[0, 1] == 1


def test_a_threshold_that_is_too_high_is_noticed(monkeypatch):
    monkeypatch.setattr(
        diagram, "threshold_constant", lambda depth: 0.9 * threshold_constant(depth)
    )
    with pytest.raises(Unsound, match="violated"):
        diagram.check_unit(seed=2)
    with pytest.raises(Unsound, match="violated"):
        diagram.check_bounds(seed=2)


def test_the_better_side_is_the_line_s_threshold_of_one_side():
    x, f = torch.tensor([1.0, 2.0, -1.5]).double(), torch.tensor([1.0, 0.5, -2.0]).double()
    for H in (1, 2, 3):
        one = [line_threshold(y.tolist(), f.tolist(), H) for y in (x.clamp(min=0), x.clamp(max=0))]
        assert diagram.better_side(x, f, H) == pytest.approx(max(one))
