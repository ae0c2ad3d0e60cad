"""What the checks of the chapter on what is nearly convex stand on, by other means."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evidence import nearly_convex as nearly
from evidence.claims import Unsound
from pscore import ReLUNetwork
from pscore.instance import Instance

fractions = st.fractions(-5, 5, max_denominator=20)


@given(fractions, fractions, fractions, fractions)
def test_the_stencils_are_exact_for_the_product_of_squares(x, y, u, v):
    """Derivatives and determinant, from values and by hand."""
    assert nearly.hessian_determinant(nearly.square, (x, y)) == -12 * x**2 * y**2
    first, second = nearly.along(nearly.square, (x, y), (u, v))
    assert first == 2 * x * y * (y * u + x * v)
    assert second == 2 * (y * u + x * v) ** 2 + 4 * x * y * u * v


@given(st.floats(0.01, 100), st.floats(0, 2 * math.pi))
def test_petals_in_polar_coordinates(rho, theta):
    z = torch.tensor([[rho * math.cos(theta), rho * math.sin(theta)]], dtype=torch.float64)
    value = nearly.petals(z).item()
    assert value == pytest.approx(rho**2 / 2 * (1 + math.cos(6 * theta) / 9), rel=1e-9)
    g, H = (x[0] for x in nearly.derivatives(nearly.petals, z))
    assert (2 * g @ H @ g / (g @ g)).item() >= nearly.PETALS_C - 1e-8
    assert (g @ g).item() >= nearly.PETALS_C * value * (1 - 1e-9)


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
    path, quotient = nearly.follow(lambda z: z.square().sum(-1) / 2, z, 1.0)
    assert torch.allclose(path[-1], math.exp(-1) * z, rtol=1e-8)
    assert torch.allclose(quotient, torch.full_like(quotient, 2.0))


def test_the_excess_along_a_chord_in_fractions():
    """One unit, a = f = 1, λ = 1, (4, 1/4) and (1/4, 4): m = 17/8, q = 1, A = 2."""
    one = torch.ones(1, 1, dtype=torch.float64)
    at = Instance(ReLUNetwork((1, 1, 1), output_relu=False), (one, one), one, one[0])
    square = Fraction(17, 8) ** 2
    excess = (square - 1) * ((square - 1) - 2) / 2
    assert nearly.chord_excess(at, float(square), 1.0) == pytest.approx(float(excess))
    first, second = nearly.crosswise(at, float(square))
    assert [w.item() for w in (*first, *second)] == pytest.approx([4, 0.25, 0.25, 4])
    assert nearly.leaves(at, (first, second), 0.5)
    assert not nearly.leaves(at, (first, first), 0.5)


def test_falsified_helpers_are_noticed(monkeypatch):
    """Another function, constants that are too large, a chord that is a point, more decay."""
    chord, excess = nearly.chord_that_leaves, nearly.chord_excess
    cases = [
        ("check_square", "square", lambda x, y: x * x + y * y),
        ("check_petals", "PETALS_C", 17 / 9),
        ("check_path_rate", "PETALS_C", 3 * nearly.PETALS_C),
        ("check_pieces", "chord_that_leaves", lambda at, b: 2 * chord(at, b)[:1]),
        ("check_pieces", "chord_excess", lambda at, m, decay: excess(at, m, 1.02 * decay)),
    ]
    for check, name, falsified in cases:
        with monkeypatch.context() as patch:
            patch.setattr(nearly, name, falsified)
            with pytest.raises(Unsound, match="violated"):
                getattr(nearly, check)(0)
