"""Lemma 3 and what sharpens it: by hand, at equality, and on drawn instances."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import held_switches, instances, stacked, weights

from evidence import instances as made
from evidence import measures
from evidence import second_derivative as bounds
from evidence.claims import Unsound
from pscore.certificate import star_norm
from pscore.curvature import frozen_hessian, least_eigenvalue
from pscore.instance import Instance
from pscore.loss import frozen_loss
from pscore.network import ReLUNetwork


def test_the_example_of_equality():
    """a = 1, f = −1, w = v = 0.7, ReLU on the output: the Hessian by hand is [[.49, 1.98], …]."""
    network = ReLUNetwork((1, 1, 1))
    hessian = frozen_hessian(network, [[[0.7]], [[0.7]]], [[1.0]], [-1.0])
    expected = torch.tensor([[0.49, 1.98], [1.98, 0.49]], dtype=torch.float64)
    torch.testing.assert_close(hessian, expected)
    assert least_eigenvalue(hessian).item() == pytest.approx(-1.49)


@pytest.mark.parametrize("H", [1, 2, 3])
def test_ratio_of_the_family_is_the_formula_of_the_proof(H):
    s = torch.linspace(0.05, 0.5, 7, dtype=torch.float64)
    least, kappa = measures.both_sides(made.near_equality(H, s))
    formula = 1 - (H + 1) * s ** (H + 1) / (H * (1 - s ** (H + 1)))
    torch.testing.assert_close(least / kappa["sharp"], formula, rtol=1e-6, atol=1e-9)


def test_layerwise_bound_is_attained_with_two_zero_layers():
    network = ReLUNetwork((1, 1, 1, 1), False, 1.0)
    W = [[[0.0]], [[0.0]], [[0.7]]]
    W = tuple(torch.tensor(w, dtype=torch.float64).unsqueeze(0) for w in W)
    one = torch.ones(1, 1, dtype=torch.float64)
    least, kappa = measures.both_sides(Instance(network, W, one.unsqueeze(0), one))
    assert least.item() == pytest.approx(0.7)
    assert kappa["layerwise"].item() == pytest.approx(0.7)


@pytest.mark.parametrize("H", [1, 2, 3])
def test_slope_minus_three_reaches_its_power(H):
    least, kappa = measures.both_sides(made.steep(H, -3.0))
    without = kappa["sharp"] / 3.0**H
    assert (least / without).item() == pytest.approx(3**H, rel=2e-2)


# ---- on instances that hypothesis draws number by number: kinks, ties, idle units and zero inputs


def downward(instance, switches=None):
    """How far the frozen loss curves downwards, and what its Hessian's rounding may be.

    By the exact Hessian, which knows no norm; the bounds know no Hessian.
    """
    hessian = frozen_hessian(*instance, switches=switches)
    return -least_eigenvalue(hessian).item(), 1e-10 * hessian.abs().sum().item()


def kappas(instance, switches=None):
    stack = Instance(*stacked(instance))
    held = stack.network.switches(stack.W, stack.a)
    if switches is not None:
        held = tuple(layer.unsqueeze(0) for layer in switches)
    return {name: kappa.item() for name, kappa in measures.kappas(stack, held).items()}


@given(instances(slope=st.just(0.0)))
def test_lemma_3_on_drawn_instances(instance):
    """The bound by hand, from singular values of NumPy and residuals, at the network's switches."""
    stack, H = Instance(*stacked(instance)), instance.network.depth
    residual, r = (x.item() for x in measures.residual_and_radius(stack))
    star = max(torch.linalg.svdvals(W)[0].item() for W in instance.W)
    paper = H * (H + 1) * r * residual * (star ** (H - 1) if H > 1 else 1.0)
    assert kappas(instance)["paper"] == pytest.approx(paper, rel=1e-9, abs=1e-12)
    least, rounding = downward(instance)
    assert least <= paper + rounding


@given(st.data(), instances(outputs=3, slope=st.just(0.0)))
def test_eq_4_in_any_direction_by_values_of_the_loss(data, instance):
    """``−φ''(W; X) ≤ κ ‖X‖²``, the left side from values of φ on a line alone."""
    X = data.draw(weights(instance.network))
    stack = Instance(*stacked(instance))
    held = stack.network.switches(stack.W, stack.a)
    along = tuple(x.unsqueeze(0) for x in X)
    second = measures.second_derivative(stack, along, held).item()
    size = tuple(w.abs() + x.abs() for w, x in zip(instance.W, X, strict=True))
    on = tuple(torch.ones(len(instance.a), n) for n in instance.network.widths[1:])
    largest = frozen_loss(instance.network, size, instance.a.abs(), -instance.f.abs(), on).item()
    square = sum(x.square().sum().item() for x in X)
    for kappa in kappas(instance).values():
        assert -second <= kappa * square + 1e-10 * largest


@given(st.data(), instances(outputs=3, slope=st.just(0.0)))
def test_chain_of_bounds_for_any_held_switches(data, instance):
    S = data.draw(held_switches(instance.network, len(instance.a)))
    kappa = kappas(instance, S)
    least, rounding = downward(instance, S)
    chain = [kappa["data"], kappa["layerwise"], kappa["sharp"], kappa["paper"]]
    assert least <= chain[0] + rounding
    for smaller, larger in zip(chain[:-1], chain[1:], strict=True):
        assert smaller <= larger * (1 + 1e-9)
    assert chain[-1] == pytest.approx((instance.network.depth + 1) * chain[2])


@given(instances(outputs=2))
def test_chain_of_bounds_for_any_slope(instance):
    steepest = max(1.0, abs(instance.network.negative_slope))
    factor = steepest ** (instance.network.depth + instance.network.output_relu)
    stack = Instance(*stacked(instance))
    residual, r = (x.item() for x in measures.residual_and_radius(stack))
    H, star = instance.network.depth, star_norm(instance.W).item()
    sharp = factor * H * r * residual * (star ** (H - 1) if H > 1 else 1.0)
    kappa = kappas(instance)
    assert kappa["sharp"] == pytest.approx(sharp, rel=1e-9, abs=1e-12)
    least, rounding = downward(instance)
    assert least <= kappa["data"] + rounding


@given(st.floats(0.01, 3.0), st.floats(0.0, 5.0), st.integers(2, 4), st.floats(0.02, 0.7))
def test_equality_of_the_family_and_its_distance_at_greater_depth(t, target, H, s):
    one = torch.ones(1, dtype=torch.float64)
    least, kappa = measures.both_sides(made.equality(t * one, -target * one))
    assert least.item() == pytest.approx(kappa["sharp"].item(), rel=1e-7)
    least, kappa = measures.both_sides(made.near_equality(H, s * one))
    ratio = 1 - (H + 1) * s ** (H + 1) / (H * (1 - s ** (H + 1)))
    assert (least / kappa["sharp"]).item() == pytest.approx(ratio, rel=1e-6, abs=1e-8)


@given(instances(outputs=2))
def test_network_is_the_product_with_each_switch_once(instance):
    network, W, a, _ = instance
    x = a
    for matrix, layer in zip(W, network.switches(W, a), strict=True):
        x = (x @ matrix) * layer
    torch.testing.assert_close(x.reshape(network(W, a).shape), network(W, a))


@pytest.mark.parametrize(
    "check",
    [
        bounds.check_lemma_3,
        bounds.check_sharper_bounds,
        bounds.check_equality,
        bounds.check_vector_outputs,
        bounds.check_leaky,
    ],
)
def test_a_check_sees_bounds_that_are_too_small(monkeypatch, check):
    def a_third(stack, switches=None):
        least, kappa = measures.both_sides(stack, switches)
        return least, {name: value / 3 for name, value in kappa.items()}

    monkeypatch.setattr(bounds, "both_sides", a_third)
    with pytest.raises(Unsound, match="violated"):
        check(0)


@pytest.mark.parametrize("factor", [0.97, 1.03])
@pytest.mark.parametrize("check", [bounds.check_lemma_3, bounds.check_equality])
def test_a_check_sees_a_constant_that_is_a_little_off(monkeypatch, check, factor):
    def scaled(stack, switches=None):
        least, kappa = measures.both_sides(stack, switches)
        return least, {name: factor * value for name, value in kappa.items()}

    monkeypatch.setattr(bounds, "both_sides", scaled)
    with pytest.raises(Unsound, match="violated"):
        check(0)


def test_a_check_sees_switches_that_stand_twice(monkeypatch):
    class Twice(Instance):
        def switches(self):
            return tuple(S**2 for S in super().switches())

    monkeypatch.setattr(bounds, "random_stack", lambda *args: Twice(*made.random_stack(*args)))
    with pytest.raises(Unsound, match="violated"):
        bounds.check_switches_twice(0)


@given(st.floats(0.2, 2), st.floats(-3, 3))
def test_the_smallest_gram_matrix(t, target):
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    network = ReLUNetwork((1, 1, 1), False)
    stack = Instance(network, (t * one, t * one), one, target * one[..., 0])
    J = bounds.jacobian(stack)
    assert (J @ J.mT).item() == pytest.approx(2 * t * t)
    values = torch.linalg.eigvalsh(frozen_hessian(*stack))[0].tolist()
    assert values == pytest.approx(sorted([3 * t * t - target, target - t * t]), abs=1e-9)
