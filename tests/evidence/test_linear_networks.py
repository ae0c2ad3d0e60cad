"""Lemma 7, its second proof and what switches do to the first.

Critical points can't be drawn number by number, but for a family in closed form. So Lemma 7 itself
is tested on that family and on points that Newton's method finds from seeds; what its proof rests
on, the rotation and the slope away from the origin, on drawn networks.
"""

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import decays, instances, shares

from evidence import linear_networks as checks
from pscore import ReLUNetwork, certify
from pscore.curvature import flatten, frozen_hessian
from pscore.instance import Instance
from pscore.loss import gradient, regularized_loss, squared_norm


def test_critical_points_are_distinct_and_of_all_depths():
    for widths in checks.WIDTHS:
        at = checks.random_critical_points(widths, 40, seed=3).points
        assert at.size >= 10
        assert torch.pdist(at.a.flatten(1)).min() > 1e-3
        assert squared_norm(at.W).min() > 0.01


linear_instances = instances(outputs=2, slope=st.just(1.0), output_relu=False)


@given(st.data(), linear_instances, st.floats(-3.0, 3.0), decays)
def test_orthogonal_matrices_keep_the_loss_of_any_linear_network(data, instance, angle, decay):
    """Rotations, reflections and permutations of any hidden layer, single units included."""
    network, W, a, f = instance
    layer = data.draw(st.integers(1, network.depth))
    size = network.widths[layer]
    R = torch.eye(size, dtype=torch.float64)
    if size > 1:
        R = checks.plane_rotation(size, angle)
    R = R[data.draw(st.permutations(range(size)))]
    R = R * torch.tensor(
        data.draw(st.lists(st.sampled_from([1.0, -1.0]), min_size=size, max_size=size))
    )
    before = regularized_loss(network, W, a, f, decay).item()
    after = regularized_loss(network, checks.rotate_hidden(W, layer, R), a, f, decay).item()
    assert after == pytest.approx(before, rel=1e-9)


def kappa_without_factor(instance):
    """``√2 r ℓ^{1/2} ‖W‖_*^{H−1}``, by singular values and sums."""
    network, W, a, f = instance
    e = (network(W, a) - f).reshape(len(a), -1)
    r = max(row.norm().item() for row in a)
    star = max(torch.linalg.svdvals(matrix)[0].item() for matrix in W)
    power = star ** (network.depth - 1) if network.depth > 1 else 1.0
    return r * e.square().sum(-1).mean().sqrt().item() * power


@given(linear_instances, decays)
def test_slope_away_from_the_origin_of_any_linear_network(instance, decay):
    square = squared_norm(instance.W).item()
    slope = checks.radial_derivative(instance, decay).item()
    kappa = kappa_without_factor(instance)
    assert slope >= (decay - kappa) * square - 1e-10 * (decay + kappa) * square
    y, f = (x.reshape(len(instance.a), -1) for x in (instance.network(*instance[1:3]), instance.f))
    euler = (instance.network.depth + 1) * ((y - f) * y).sum().item() / len(y)
    assert slope == pytest.approx(euler + decay * square, rel=1e-7, abs=1e-9 * (1 + square))


@given(linear_instances, st.floats(1e-6, 1.0))
def test_loss_grows_outwards_at_every_member(instance, slack):
    """λ is chosen so that W is in U(λ); so no W ≠ 0 there is critical."""
    H, square = instance.network.depth, squared_norm(instance.W).item()
    assume(square > 0)
    decay = (1 + slack) * H * (H + 1) * kappa_without_factor(instance) + 1e-6
    assert certify(*instance, decay)["paper"].inside
    slope = checks.radial_derivative(instance, decay).item()
    assert slope >= decay * (1 - 1 / (H * (H + 1))) * square * (1 - 1e-9) > 0


@given(st.integers(1, 4), st.floats(0.1, 3.0), shares)
def test_critical_points_of_a_family_are_outside(H, size, share):
    """Width one, all weights ρ, a = 1, λ = eρ^{H−1}, f = ρ^{H+1} + e: critical, κ = H(H+1)λ."""
    one = torch.ones(1, 1, dtype=torch.float64)
    decay = share * size ** (H - 1)
    f = one[0] * (size ** (H + 1) + share)
    network, W = checks.linear_network((1,) * (H + 2)), (size * one,) * (H + 1)
    at = Instance(network, W, one, f)
    slope = flatten(gradient(*at, decay)).norm().item()
    assert slope < 1e-12 * (1 + size) ** (2 * H + 2)
    margin = certify(*at, decay)["paper"].margin
    assert margin == pytest.approx((1 - H * (H + 1)) * decay)


@given(st.data(), st.integers(1, 3), st.floats(0.3, 2.0), shares)
def test_aligned_layers_are_critical_on_one_data_point(data, H, size, share):
    """Rank one along random unit vectors, all of norm ρ, λ = r ‖e‖ ρ^{H−1}, for two outputs."""
    draw = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    units = [torch.randn(2, generator=draw, dtype=torch.float64) for _ in range(H + 2)]
    units = [u / u.norm() for u in units]
    W = tuple(size * torch.outer(u, v) for u, v in zip(units[:-1], units[1:], strict=True))
    f = (size ** (H + 1) + share) * units[-1][None]
    at = Instance(checks.linear_network((2,) * (H + 2)), W, units[0][None], f)
    decay = share * size ** (H - 1)
    assert flatten(gradient(*at, decay)).norm() < 1e-10 * (1 + size) ** (2 * H + 2)
    assert kappa_without_factor(at) == pytest.approx(decay)


@pytest.mark.parametrize("decay", [0.1, 0.5, 0.9])
def test_width_one_in_closed_form(decay):
    """``y = vwa`` with a = f = 1: critical at ``±√(1 − λ)``, where (√2 r ℓ^{1/2}) = λ exactly."""
    network, one = checks.linear_network((1, 1, 1)), torch.ones(1, 1, dtype=torch.float64)
    W = (one * (1 - decay) ** 0.5,) * 2
    at = Instance(network, W, one, one[0])
    assert abs(checks.radial_derivative(at, decay).item()) < 1e-12
    kappa = decay - certify(*at, decay)["paper"].margin
    assert kappa == pytest.approx(2 * decay)


def test_slope_by_automatic_differentiation_is_that_by_hand():
    """Zero at critical points, and beside them the same number from both."""
    at = checks.random_critical_points((2, 2, 3, 2), 20, seed=0).points
    assert checks.slope_by_autograd(at).max() < 1e-9
    moved = at.at(tuple(1.1 * w for w in at.W))
    by_hand = flatten(gradient(*moved, checks.DECAY)).norm(dim=-1)
    torch.testing.assert_close(checks.slope_by_autograd(moved), by_hand)


def test_newton_meets_saddles_too():
    at = checks.random_critical_points((2, 2, 2, 2, 1), 60, seed=0).points
    hessian = frozen_hessian(*at, checks.DECAY)
    assert (torch.linalg.eigvalsh(hessian)[:, 0] < -1e-6).any()


@given(st.floats(-0.7, 0.7))
def test_worked_example(t):
    W = (
        torch.tensor([[1.0, -1.0]], dtype=torch.float64),
        torch.ones(2, 1, dtype=torch.float64),
    )
    turned = checks.rotate_hidden(W, 1, checks.plane_rotation(2, t))
    a = torch.ones(1, 1, dtype=torch.float64)
    expected = torch.cos(torch.tensor(2 * t)).item()
    assert ReLUNetwork((1, 2, 1), False)(turned, a).item() == pytest.approx(expected, abs=1e-6)
    assert checks.linear_network((1, 2, 1))(turned, a).item() == pytest.approx(0.0, abs=1e-12)


def test_the_bound_is_attained_when_nothing_is_added():
    """A = 0: the gradient in each layer is E itself; in a plain network it is zero."""
    draw = torch.Generator().manual_seed(0)
    a, f = torch.randn(2, 6, 2, generator=draw, dtype=torch.float64)
    E = a.mT @ (a - f) / 6
    slope, floor = checks.first_slope(torch.zeros(3, 2, 2).to(a), a, f, 1.0)
    assert slope == pytest.approx(E.norm().item()) == floor
    assert checks.first_slope(torch.zeros(3, 2, 2).to(a), a, f, 0.0)[0] == 0
