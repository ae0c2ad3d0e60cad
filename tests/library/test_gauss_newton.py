"""Ball arithmetic against float64, and what it refuses."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from flint import arb, arb_mat, ctx
from instances import ARCHITECTURES, random_instance

from pscore.curvature import flatten, frozen_hessian, unflatten
from pscore.exact.balls import (
    above,
    below,
    is_positive_definite,
    least_eigenvalue_bound,
    norm_bound,
)
from pscore.exact.gauss_newton import GaussNewton
from pscore.loss import gradient
from pscore.network import ReLUNetwork


@pytest.mark.parametrize(("widths", "output_relu", "slope"), ARCHITECTURES)
def test_hessian_and_gradient_are_those_of_the_float_code(widths, output_relu, slope):
    network, W, a, f = random_instance(
        widths, output_relu=output_relu, slope=slope, points=3, seed=3
    )
    around = GaussNewton(network, W, a, f, 0.1)
    assert around.inside
    rows = [[float(x) for x in row] for row in around.hessian.tolist()]
    enclosed = torch.tensor(rows, dtype=torch.float64)
    expected = frozen_hessian(network, W, a, f, 0.1)
    torch.testing.assert_close(enclosed, expected, rtol=1e-12, atol=1e-12)
    norm = flatten(gradient(network, W, a, f, 0.1)).norm().item()
    assert float(around.gradient) == pytest.approx(norm, rel=1e-12)


def test_enclosures_hold_the_exact_gradient_and_are_narrow():
    network = ReLUNetwork((1, 1, 1), output_relu=False)
    one = torch.ones(1, 1, dtype=torch.float64)
    around = GaussNewton(network, (0.5 * one, 3 * one), one, one[0], 0.25)
    # e = 1/2; (e v + λ w, e w + λ v) = (13/8, 1)
    assert around.gradient.overlaps((arb(13) ** 2 / 64 + 1).sqrt())
    assert float(around.gradient.rad()) < 1e-30
    # v² + λ, w² + λ, wv + e
    exact = [[9.25, 2.0], [2.0, 0.5]]
    assert all(around.hessian[i, j].contains(arb(exact[i][j])) for i in range(2) for j in range(2))


def test_eigenvalue_bound_is_below_and_near():
    matrix = arb_mat([[2, 1], [1, 2]])
    bound = least_eigenvalue_bound(matrix)
    assert arb(1) - 1e-8 < bound < 1
    assert is_positive_definite(matrix)
    for scale in (2.0**-40, 2.0**40):
        assert float(least_eigenvalue_bound(scale * matrix)) == pytest.approx(scale)
    assert least_eigenvalue_bound(arb_mat([[1, 2], [2, 1]])) == 0
    assert not is_positive_definite(arb_mat([[1, 1], [1, 1]]))  # semidefinite
    assert not is_positive_definite(arb_mat([[arb(0, 1e-30)]]))  # not certain


def test_norm_bound_is_above_and_near():
    for rows in ([[3, 0], [0, 4], [0, 0]], [[1, 2, 3]], [[1, 1], [1, 1]]):
        values = torch.tensor(rows, dtype=torch.float64)
        exact = torch.linalg.matrix_norm(values, 2).item()
        bound = float(norm_bound(arb_mat(rows)))
        assert exact * (1 - 1e-15) < bound < exact * (1 + 1e-9)
    assert norm_bound(arb_mat([[0, 0]])) == 0


def test_a_layer_that_nothing_feeds_is_no_obstacle():
    """Both units of layer 1 are off at the second data point: layer 2 is fed nothing there."""
    network = ReLUNetwork((1, 1, 1, 1), output_relu=False)
    one = torch.ones(1, 1, dtype=torch.float64)
    a, f = torch.tensor([[1.0], [-1.0]]).double(), torch.tensor([1.0, 0.0]).double()
    around = GaussNewton(network, (one, one, one), a, f, 0.1)
    assert around.inside
    assert around.stays_in_cell(0.3)
    assert not around.stays_in_cell(1.1)


def test_the_cell_s_radius_is_the_distance_to_a_switch_of_one_layer_and_less_of_more():
    generator = torch.Generator().manual_seed(0)
    for widths in ((2, 3, 1), (2, 2, 2, 1)):
        network, W, a, f = random_instance(widths, points=3, seed=4)
        around = GaussNewton(network, W, a, f, 0.0)
        radius = around.cell_radius()
        first = ((a @ W[0]).abs() / a.norm(dim=-1, keepdim=True)).min().item()
        if len(widths) == 3:
            assert radius == pytest.approx(first, rel=1e-7)
        assert 0 < radius <= first
        assert around.cell_radius(steps=3) <= radius
        assert around.stays_in_cell(radius) and not around.stays_in_cell(radius * (1 + 1e-6))
        X = torch.randn(200, network.parameter_count, generator=generator, dtype=torch.float64)
        V = flatten(W) + radius * X / X.norm(dim=-1, keepdim=True)
        there = network.switches(unflatten(network, V), a)
        assert all((S == T).all() for S, T in zip(network.switches(W, a), there, strict=True))


def test_a_cell_has_no_radius_at_its_boundary():
    network = ReLUNetwork((2, 1, 1), output_relu=False)
    W = (torch.tensor([[0.2], [0.0]]).double(), torch.tensor([[0.2]]).double())
    a, f = torch.tensor([[0.0, 1.0]]).double(), torch.zeros(1).double()
    assert GaussNewton(network, W, a, f, 0.1).cell_radius() == 0


def test_points_on_a_boundary_are_refused():
    network = ReLUNetwork((2, 1, 1), output_relu=False)
    W = (torch.tensor([[0.2], [0.0]]).double(), torch.tensor([[0.2]]).double())
    a, f = torch.tensor([[0.0, 1.0]]).double(), torch.zeros(1).double()
    ball = GaussNewton(network, W, a, f, 0.1).largest_ball()
    assert not ball.holds
    assert "a switch changes at the point" in ball.reason
    assert ball.distance == ball.gradient == float("inf")
    assert ball.curvature == pytest.approx(0) and ball.convexity == 0
    more = GaussNewton(network, W, torch.eye(2).double(), torch.zeros(2).double(), 0.1)
    assert not more.inside  # of two data points one is on the boundary


def test_a_hessian_that_is_not_positive_is_refused():
    ball = GaussNewton(*width_one(1.0, 5.0), 0.1).ball(1e-3)
    assert not ball.holds
    assert ball.reason == "the frozen Hessian is not certain to be positive definite"
    assert ball.curvature == pytest.approx(0)


def test_a_cell_is_open_and_may_reach_beyond_the_later_layers_norms():
    """One unit with w = (4, 0), v = 1/10 and the input (1, 0): a switch changes at distance 4."""
    network = ReLUNetwork((2, 1, 1), output_relu=False)
    W = (torch.tensor([[4.0], [0.0]]), torch.tensor([[0.1]]))
    around = GaussNewton(network, W, torch.tensor([[1.0, 0.0]]), torch.zeros(1), 0.1)
    assert not around.stays_in_cell(4.0) and around.stays_in_cell(4.0 - 1e-12)
    assert around.cell_radius() == pytest.approx(4)


def test_a_large_gradient_is_refused():
    network = ReLUNetwork((1, 1, 1), output_relu=False)
    one = torch.ones(1, 1, dtype=torch.float64)
    ball = GaussNewton(network, (one, one), one, one[0], 0.5).ball(0.01)
    assert not ball.holds
    assert "gradient" in ball.reason


@pytest.mark.parametrize("radius", [0.0, -1.0, float("nan"), float("inf")])
def test_a_bad_radius_is_refused(radius):
    network, W, a, f = random_instance((1, 1, 1))
    with pytest.raises(ValueError, match="radius must be positive"):
        GaussNewton(network, W, a, f, 0.1).ball(radius)


def test_stacks_are_refused():
    network, W, a, f = random_instance((1, 1, 1), stack=(3,))
    with pytest.raises(ValueError, match="weights must be one network's"):
        GaussNewton(network, W, a, f, 0.1)


def width_one(a, f, dtype=torch.float64):
    """One unit, w = v = 1 in a type of its own, one data point in float64."""
    one = torch.ones(1, 1, dtype=dtype)
    data = torch.tensor([[a]], dtype=torch.float64), torch.tensor([f], dtype=torch.float64)
    return ReLUNetwork((1, 1, 1), output_relu=False), (one, one), *data


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_data_stay_what_they_are_whatever_the_type_of_the_weights(dtype):
    """In exact arithmetic e = a − f is 1e-9, which float32 takes for 0."""
    a = 1 + 1e-9
    around = GaussNewton(*width_one(a, 1.0, dtype), 0.0)
    e = Fraction(a) - 1
    exact = e * Fraction(a)  # the derivative by each of the two weights
    assert float(around.gradient) == pytest.approx(2**0.5 * float(exact), rel=1e-12)
    entry = around.hessian[0, 1]  # wv a² + e a
    with ctx.workprec(256):
        assert entry.contains(arb(a) ** 2 + (arb(a) - 1) * a)
    assert float(entry.rad()) < 1e-30


def test_a_switch_that_rounding_would_turn_is_seen():
    """w · a = 1e-9 − 1e-9 (1 + 1e-9) < 0; with the second input in float32 it would be 0."""
    network = ReLUNetwork((2, 1, 1), output_relu=False)
    W = (torch.tensor([[1.0], [-1.0]]), torch.ones(1, 1))
    a = torch.tensor([[1.0, 1.0 + 1e-9]], dtype=torch.float64)
    around = GaussNewton(network, W, a, torch.zeros(1, dtype=torch.float64), 0.1)
    assert around.inside
    assert 0 < around.cell_radius(steps=60) < 1e-9
    assert GaussNewton(network, W, a.float(), torch.zeros(1), 0.1).cell_radius() == 0


def test_layers_and_a_reference_of_several_types_are_not_rounded_to_the_first():
    one, third = torch.ones(1, 1), torch.tensor([[1 / 3]], dtype=torch.float64)
    network = ReLUNetwork((1, 1, 1), output_relu=False)
    around = GaussNewton(network, (one, third), one, one[0], 1.0, (one, third))
    assert around.W[1][0, 0] == arb(1 / 3)
    assert all(entry == 0 for matrix in around.pulled for entry in matrix.entries())


def test_numbers_without_a_float_are_refused():
    network, W, a, f = width_one(1.0, 1.0)
    big = torch.tensor([[2**53 + 1]])
    with pytest.raises(ValueError, match="inputs must be numbers that a float64"):
        GaussNewton(network, W, big, f, 0.1)
    with pytest.raises(ValueError, match="weight_decay must be a number that a float"):
        GaussNewton(network, W, a, f, Fraction(1, 10))
    with pytest.raises(ValueError, match="radius must be a number that a float"):
        GaussNewton(network, W, a, f, 0.1).ball(Fraction(1, 10))
    assert GaussNewton(network, W, a, f, np.float32(0.1)).weight_decay == float(np.float32(0.1))


def test_convexity_is_below_the_exact_difference_and_next_to_it():
    """μ − L(ρ) ρ as a difference of the floats that are printed is above it for some radii."""
    network, W, a, f = width_one(1.0, 1.0)
    around = GaussNewton(network, W, a, f, 0.3)
    above = 0
    for k in range(200):
        radius = 1e-4 * (1 + k / 7)
        ball = around.ball(radius)
        with ctx.workprec(256):
            exact = around.curvature - around.lipschitz(radius) * radius
            assert arb(ball.convexity) < exact
            printed = float(around.curvature) - float(around.lipschitz(radius)) * radius
            above += bool(arb(printed) > exact)
        assert ball.convexity == pytest.approx(float(exact), rel=1e-14)
    assert above > 0


def test_no_convexity_is_claimed_beyond_the_cell():
    network = ReLUNetwork((1, 1, 1), output_relu=False)
    W = (torch.full((1, 1), 1e-3).double(), torch.full((1, 1), 2.0).double())
    one = torch.ones(1, 1, dtype=torch.float64)
    around = GaussNewton(network, W, one, 2e-3 * one[0], 5.0)
    ball = around.ball(2e-3)
    assert ball.reason == "the ball may leave the cell of switches"
    assert around.curvature - around.lipschitz(2e-3) * 2e-3 > 0
    assert ball.convexity == 0


@pytest.mark.parametrize("share", [0.3, 0.7, 0.999])
def test_the_gradient_may_be_as_large_as_the_mean_curvature_allows_and_no_larger(share):
    """With a reference the gradient is what one likes; ``(μ − Lρ/2) ρ`` computed once more."""
    network, W, a, f = width_one(1.0, 2.9)
    decay = 1.0
    plain = GaussNewton(network, W, a, f, decay)
    mu = float(plain.curvature)
    radius = mu / float(plain.lipschitz(0.0))
    for _ in range(50):  # ρ = share μ / L(ρ)
        radius = share * mu / float(plain.lipschitz(radius))
    limit = (mu - float(plain.lipschitz(radius)) * radius / 2) * radius
    unpenalised = gradient(network, W, a, f)
    for part, holds in ((0.999, True), (1.001, False)):
        wanted = part * limit / 2**0.5  # in both weights
        reference = tuple(w - (wanted - g) / decay for w, g in zip(W, unpenalised, strict=True))
        ball = GaussNewton(network, W, a, f, decay, reference).ball(radius)
        assert ball.holds == holds
        if holds:
            mean = mu - float(plain.lipschitz(radius)) * radius / 2
            assert ball.distance == pytest.approx(part * limit / mean, rel=1e-9)
        else:
            assert ball.reason == "the gradient may be too large for a critical point"


@pytest.mark.parametrize(("widths", "output_relu", "slope"), ARCHITECTURES)
def test_lipschitz_bound_is_its_formula(widths, output_relu, slope):
    """In NumPy, from products of the norms s_k = ‖W_k‖ + ρ without one, two or three layers."""
    network, W, a, f = random_instance(widths, output_relu=output_relu, slope=slope, points=3)
    c = max(1, abs(slope)) ** (len(W) - 1 + output_relu)
    for radius in (0.0, 0.3):
        norms = np.array([np.linalg.norm(matrix.numpy(), 2) for matrix in W])
        s, layers = norms + radius, set(range(len(W)))

        def rest(*without, s=s, layers=layers):
            return np.prod([s[k] for k in layers - {*without}])

        one = math.hypot(*(rest(k) for k in layers))
        two = max(sum(rest(j, k) for k in layers - {j}) for j in layers)
        three = math.hypot(
            *(
                max(sum(rest(j, k, i) for i in layers - {j, k}) for k in layers - {j})
                for j in layers
            )
        )
        total = 0.0
        errors = (network(W, a) - f).reshape(3, -1)
        for length, error in zip(a.norm(dim=1).tolist(), errors.norm(dim=1).tolist(), strict=True):
            moved = error + c * length * (rest() - norms.prod())
            total += (3 * (c * length) ** 2 * one * two + moved * c * length * three) / 3
        bound = GaussNewton(network, W, a, f, 0.1).lipschitz(radius)
        assert float(bound) == pytest.approx(total, rel=1e-9)


@pytest.mark.parametrize(("widths", "output_relu", "slope"), ARCHITECTURES)
def test_no_third_derivative_in_the_ball_exceeds_the_lipschitz_bound(widths, output_relu, slope):
    """Differences of the Hessian of the loss that is frozen at the switches of the centre."""
    network, W, a, f = random_instance(widths, output_relu=output_relu, slope=slope, points=3)
    S, around = network.switches(W, a), GaussNewton(network, W, a, f, 0.1)
    generator = torch.Generator().manual_seed(0)
    for radius in (1e-3, 0.3):
        bound = float(around.lipschitz(radius))
        for _ in range(30):
            x = torch.randn(network.parameter_count, generator=generator, dtype=torch.float64)
            x, h = x / x.norm(), 1e-4 * radius
            up, down = (
                frozen_hessian(network, unflatten(network, flatten(W) + t * x), a, f, switches=S)
                for t in (radius, radius - h)
            )
            assert torch.linalg.eigvalsh(up - down).abs().max() <= h * bound * (1 + 1e-6)


def test_lipschitz_bound_is_attained_at_width_one():
    """φ = (vw − f)²/2 has the third derivative 6 (v x²y + w xy²), in (1, 1)/√2 at v = w."""
    network, W, a, f = width_one(1.0, 0.3)
    assert float(GaussNewton(network, W, a, f, 0.1).lipschitz(0.0)) == pytest.approx(3 * 2**0.5)


@pytest.mark.parametrize("slope", [0.0, 0.2, -3.0])
@pytest.mark.parametrize("widths", [(2, 3, 1), (2, 2, 2, 1), (2, 3, 2, 2)])
@pytest.mark.parametrize("output_relu", [False, True])
def test_the_cell_s_radius_is_that_of_its_formula(widths, slope, output_relu):
    """The bounds on what moves, once more in floats, layer by layer."""
    network, W, a, f = random_instance(
        widths, points=2, slope=slope, seed=6, output_relu=output_relu
    )
    S = network.switches(W, a)
    assert all((layer != 0).any(dim=1).all() for layer in S[:-1])  # else a layer may be at rest
    c, activated = max(1.0, abs(slope)), [True] * (len(W) - 1) + [output_relu]

    def stays(radius):
        for i in range(2):
            x, delta = a[i], 0.0
            for matrix, switch, active in zip(W, S, activated, strict=True):
                z, w = x @ matrix, matrix.norm(dim=0)
                if active and not (z.abs() > radius * x.norm() + (w + radius) * delta).all():
                    return False
                norm = torch.linalg.matrix_norm(matrix, 2)
                delta = c * (radius * x.norm() + (norm + radius) * delta)
                x = switch[i] * z
        return True

    found = GaussNewton(network, W, a, f, 0.1).cell_radius(steps=40)
    assert stays(found * (1 - 1e-6)) and not stays(found * (1 + 1e-6))


def test_no_more_is_claimed_where_the_curvature_may_vanish_in_the_ball():
    """At a critical point, 1.5 times as far as μ − L(ρ) ρ is positive; μ − L(ρ) ρ/2 still is."""
    network, W, a, f = width_one(1.0, 1.5)
    reference = tuple(w + g for w, g in zip(W, gradient(network, W, a, f), strict=True))
    around = GaussNewton(network, W, a, f, 1.0, reference)
    radius = mu = float(around.curvature)
    for _ in range(50):
        radius = 1.5 * mu / float(around.lipschitz(radius))
    assert around.stays_in_cell(radius)
    ball = around.ball(radius)
    assert ball.reason == "the curvature may vanish in the ball"
    assert -1 < mu - ball.lipschitz * radius < 0 and ball.convexity == 0


def test_the_largest_ball_is_as_large_as_can_be_told():
    network, W, a, f = width_one(1.0, 1.5)
    start = gradient(network, W, a, f)
    reference = tuple(w + g for w, g in zip(W, start, strict=True))  # so that W is critical
    around = GaussNewton(network, W, a, f, 1.0, reference)
    best = around.largest_ball()
    assert best.holds and best.radius > 0.01
    assert not around.ball(best.radius * (1 + 1e-6)).holds
    fewer = [around.largest_ball(steps=k).radius for k in (0, 1, 5, 12)]
    assert fewer == sorted(fewer) and fewer[0] == 1e-6 and fewer[-1] < best.radius
    assert fewer[-1] > 0.98 * best.radius


def test_a_ball_is_found_where_the_cell_is_tiny():
    """The unit's input is 1e-8: no ball of radius 1e-6 stays in the cell."""
    network, _, a, f = width_one(1.0, 0.0)
    W = (torch.tensor([[1e-8]]).double(), torch.tensor([[2.0]]).double())
    reference = tuple(w + g for w, g in zip(W, gradient(network, W, a, f), strict=True))
    around = GaussNewton(network, W, a, f, 1.0, reference)
    best = around.largest_ball()
    assert best.holds and best.radius == pytest.approx(1e-8, rel=1e-5)


def test_positive_definite_is_what_has_positive_eigenvalues():
    generator, found = np.random.default_rng(0), []
    for _ in range(60):
        matrix = generator.integers(-3, 4, (4, 4))
        matrix = matrix + matrix.T + 6 * np.eye(4, dtype=int)
        values = np.linalg.eigvalsh(matrix)
        if abs(values).min() > 1e-6:
            exact = arb_mat([[int(entry) for entry in row] for row in matrix])
            assert is_positive_definite(exact) == (values[0] > 0)
            assert float(least_eigenvalue_bound(exact)) == pytest.approx(
                max(values[0], 0), rel=1e-6
            )
            found.append(values[0] > 0)
    assert 5 < sum(found) < len(found) - 5


def test_norm_bound_of_any_shape():
    generator = np.random.default_rng(0)
    for shape in ((2, 4), (4, 2), (3, 3), (1, 1)):
        matrix = generator.integers(-5, 6, shape)
        bound = norm_bound(arb_mat([[int(entry) for entry in row] for row in matrix]))
        exact = np.linalg.norm(matrix, 2)
        assert exact < bound < exact * (1 + 1e-9)


def test_floats_are_outside_of_what_they_bound():
    wide = arb(1, 0.25)  # 0.75 to 1.25
    assert below(wide) < 0.75 and above(wide) > 1.25
    assert below(wide) == pytest.approx(0.75) and above(wide) == pytest.approx(1.25)
    assert below(arb(1)) < 1 < above(arb(1))


def test_what_floats_propose_is_proved_before_it_is_believed():
    """Of an enclosure the floats see the middle; the bound has to hold for all of it."""
    wide = arb_mat([[arb(1, 0.25)]])  # 0.75 to 1.25
    assert least_eigenvalue_bound(wide) == 0
    assert norm_bound(wide).upper() >= 1.25


def test_whole_numbers_are_as_good_as_floats():
    network, W, a, f = width_one(1.0, 2.0)
    whole = GaussNewton(network, W, a.long(), f.long(), 0.1)
    assert float(whole.gradient) == float(GaussNewton(network, W, a, f, 0.1).gradient)
