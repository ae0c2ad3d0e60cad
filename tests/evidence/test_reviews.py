"""What the checks of the chapter on the reviews stand on, by other means."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from evidence import reviews
from evidence.claims import Unsound
from pscore import ReLUNetwork, certify
from pscore.curvature import frozen_hessian
from pscore.instance import Instance

fractions = st.fractions(-5, 5, max_denominator=20)


@given(fractions, fractions, fractions, fractions)
def test_the_stencils_are_exact_for_the_product_of_squares(x, y, u, v):
    """Derivatives and determinant, from values and by hand."""
    assert reviews.hessian_determinant(reviews.square, (x, y)) == -12 * x**2 * y**2
    first, second = reviews.along(reviews.square, (x, y), (u, v))
    assert first == 2 * x * y * (y * u + x * v)
    assert second == 2 * (y * u + x * v) ** 2 + 4 * x * y * u * v


@given(st.floats(0.01, 100), st.floats(0, 2 * math.pi))
def test_petals_in_polar_coordinates(rho, theta):
    z = torch.tensor([[rho * math.cos(theta), rho * math.sin(theta)]], dtype=torch.float64)
    value = reviews.petals(z).item()
    assert value == pytest.approx(rho**2 / 2 * (1 + math.cos(6 * theta) / 9), rel=1e-9)
    g, H = (x[0] for x in reviews.derivatives(reviews.petals, z))
    assert (2 * g @ H @ g / (g @ g)).item() >= reviews.PETALS_C - 1e-8
    assert (g @ g).item() >= reviews.PETALS_C * value * (1 - 1e-9)


def test_petals_constant_is_best_in_exact_arithmetic():
    """The polynomial of the proof, at rational cosines."""
    for k in range(-20, 21):
        c = Fraction(k, 20)
        a, s = 1 + c / 9, 1 - c * c
        excess = a**3 + s * (Fraction(1, 3) - Fraction(5, 27) * c) - Fraction(8, 9) * (a**2 + s / 9)
        assert excess == (1 + c) * (a**2 / 9 + (1 - c) * (19 - 15 * c) / 81)
        assert (excess == 0) == (c == -1) and excess >= 0


def test_the_flow_of_a_quadratic_is_followed_exactly():
    """½|z|²: (17) is 2, and the path is e^{-t} z."""
    z = torch.tensor([[1.0, -2.0]], dtype=torch.float64)
    path, quotient = reviews.follow(lambda z: z.square().sum(-1) / 2, z, 1.0)
    assert torch.allclose(path[-1], math.exp(-1) * z, rtol=1e-8)
    assert torch.allclose(quotient, torch.full_like(quotient, 2.0))


def test_the_excess_along_a_chord_in_fractions():
    """One unit, a = f = 1, λ = 1, (4, 1/4) and (1/4, 4): m = 17/8, q = 1, A = 2."""
    one = torch.ones(1, 1, dtype=torch.float64)
    at = Instance(ReLUNetwork((1, 1, 1), output_relu=False), (one, one), one, one[0])
    square = Fraction(17, 8) ** 2
    excess = (square - 1) * ((square - 1) - 2) / 2
    assert reviews.chord_excess(at, float(square), 1.0) == pytest.approx(float(excess))
    first, second = reviews.crosswise(at, float(square))
    assert [w.item() for w in (*first, *second)] == pytest.approx([4, 0.25, 0.25, 4])
    assert reviews.leaves(at, (first, second), 0.5)
    assert not reviews.leaves(at, (first, first), 0.5)


@given(st.floats(0.2, 2), st.floats(-3, 3))
def test_the_smallest_gram_matrix(t, target):
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    network = ReLUNetwork((1, 1, 1), False)
    stack = Instance(network, (t * one, t * one), one, target * one[..., 0])
    J = reviews.jacobian(stack)
    assert (J @ J.mT).item() == pytest.approx(2 * t * t)
    values = torch.linalg.eigvalsh(frozen_hessian(*stack))[0].tolist()
    assert values == pytest.approx(sorted([3 * t * t - target, target - t * t]), abs=1e-9)


@pytest.mark.parametrize("decay", [0.2, 1e-2, 1e-4])
def test_the_exponential_loss_of_the_smallest_network(decay):
    """e^{-vw} + λ/2 (v² + w²) by a minimiser of scipy's, against √log(1/λ), within the ball."""

    def loss(z):
        return math.exp(-z[0] * z[1]) + decay / 2 * (z[0] ** 2 + z[1] ** 2)

    best = minimize(loss, [1.0, 2.0], tol=1e-12).x
    assert best == pytest.approx([math.sqrt(math.log(1 / decay))] * 2, rel=1e-4)
    assert best @ best <= 2 / decay


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


def test_the_bound_is_attained_when_nothing_is_added():
    """A = 0: the gradient in each layer is E itself; in a plain network it is zero."""
    draw = torch.Generator().manual_seed(0)
    a, f = torch.randn(2, 6, 2, generator=draw, dtype=torch.float64)
    E = a.mT @ (a - f) / 6
    slope, floor = reviews.first_slope(torch.zeros(3, 2, 2).to(a), a, f, 1.0)
    assert slope == pytest.approx(E.norm().item()) == floor
    assert reviews.first_slope(torch.zeros(3, 2, 2).to(a), a, f, 0.0)[0] == 0


def test_falsified_helpers_are_noticed(monkeypatch):
    """Bounds that are too small, a constant that is too large, chords and fits that are none."""
    fit = reviews.interpolating
    chord, excess = reviews.chord_that_leaves, reviews.chord_excess
    cases = {
        "check_petals": ("PETALS_C", 17 / 9),
        "check_square": ("square", lambda x, y: x * x + y * y),
        "check_zero_error": ("interpolating", lambda *at: [1.1 * w for w in fit(*at)]),
        "check_pieces": ("chord_that_leaves", lambda at, b: 2 * chord(at, b)[:1]),
    }
    constants = {
        "check_pieces": ("chord_excess", lambda at, m, decay: excess(at, m, 1.02 * decay)),
        "check_path_rate": ("PETALS_C", 3 * reviews.PETALS_C),
    }
    for check, (name, falsified) in [*cases.items(), *constants.items()]:
        with monkeypatch.context() as patch:
            patch.setattr(reviews, name, falsified)
            with pytest.raises(Unsound, match="violated"):
                getattr(reviews, check)(0)
