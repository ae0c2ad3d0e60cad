"""What a step has to do with the curvature: exact identities, and functions that are solved."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence import step_size as checks
from evidence.claims import Unsound
from evidence.descents.polynomials import Folded, Quartic, mean_second
from evidence.descents.solvable import shares, two_weights

quarters = st.integers(-8, 8).map(lambda n: Fraction(n, 4))


def vectors(n):
    return st.lists(quarters, min_size=n, max_size=n).map(lambda x: np.array(x, dtype=object))


@given(vectors(4), vectors(2), vectors(2), vectors(2), vectors(2), st.integers(1, 8))
def test_the_mean_over_a_step_is_what_taylor_leaves(a, b, d, W, v, eighths):
    """For any direction v, and against values and gradients alone, in fractions."""
    A = a.reshape(2, 2)
    loss, eta = Quartic(A + A.T, b, d), Fraction(eighths, 8)
    change = loss.value(W - eta * v) - loss.value(W)
    remainder = change + eta * (loss.gradient(W) @ v)
    assert mean_second([loss], W, v, eta) * eta**2 / 4 == remainder


@given(vectors(4), vectors(2), vectors(2), vectors(2), vectors(2))
def test_gradients_and_hessians_of_the_polynomials(a, b, d, W, v):
    """Against central differences in fractions, extrapolated so that a quartic leaves no error."""
    A = a.reshape(2, 2)
    loss = Quartic(A + A.T, b, d)
    h = Fraction(1, 2)
    first, second = ((loss.value(W + s * v) - loss.value(W - s * v)) / (2 * s) for s in (h, 2 * h))
    assert loss.gradient(W) @ v == (4 * first - second) / 3
    bent, wide = (
        (loss.value(W + s * v) - 2 * loss.value(W) + loss.value(W - s * v)) / s**2
        for s in (h, 2 * h)
    )
    assert loss.second(W, v) == (4 * bent - wide) / 3


def test_a_mean_by_the_trapezoidal_rule_turns_the_checks_red(monkeypatch):
    def trapezoidal(losses, W, v, eta):
        return sum((q.second(W, v) + q.second(W - eta * v, v)) / 2 for q in losses) / len(losses)

    monkeypatch.setattr(checks, "mean_second", trapezoidal)
    for check in (checks.check_one_step, checks.check_budget):
        with pytest.raises(Unsound, match="violated"):
            check(0)


def test_bends_of_waves_are_second_derivatives_and_eigenvalues_are_the_largest():
    waves = checks.Waves(np.array([[[1.0, 0.0]]]), np.array([[0.0]]))
    W, g, eta = np.zeros((1, 2)), np.array([[1.0, 0.0]]), np.array([1.0])
    # −cos along the axis: 2 ∫ 2(1 − r)(−cos r) dr on [0, 1] is 4 (cos 1 − 1)
    assert waves.bend(W, g, eta) == pytest.approx([4 * (np.cos(1) - 1)])
    assert waves.steepest(W, g, eta) == pytest.approx([0.0])
    assert waves.slopes(W + np.pi / 2)[0, 0] == pytest.approx([-1.0, 0.0])


def test_a_budget_with_less_curvature_turns_the_check_red(monkeypatch):
    bend = checks.Waves.bend
    monkeypatch.setattr(checks.Waves, "bend", lambda self, W, g, eta: 0.9 * bend(self, W, g, eta))
    with pytest.raises(Unsound, match="violated"):
        checks.check_standstill(0)


def test_a_flow_of_another_length_turns_the_check_red(monkeypatch):
    length = checks.flow_length
    monkeypatch.setattr(checks, "flow_length", lambda one, decay: 1.001 * length(one, decay))
    with pytest.raises(Unsound, match="violated"):
        checks.check_lengths(0)


@given(vectors(4), vectors(2), vectors(2), vectors(2), st.integers(1, 8))
def test_kinks_are_what_taylor_leaves_over(A, a, d, W, eighths):
    """A line that crosses the axes: the value has no other bend than the two folds'."""
    folds = np.array([[Fraction(1), Fraction(0)], [Fraction(0), Fraction(1)]], dtype=object)
    loss = Folded(0 * A.reshape(2, 2), a, folds, d + Fraction(1, 97))
    eta, v = Fraction(eighths, 4), np.array([Fraction(3), Fraction(-2)], dtype=object)
    change = loss.value(W - eta * v) - loss.value(W)
    assert loss.kinks(W, v, eta) == change + eta * (loss.gradient(W) @ v)


def test_a_budget_without_kinks_turns_the_check_red(monkeypatch):
    monkeypatch.setattr(Folded, "kinks", lambda self, W, v, eta: Fraction(0))
    with pytest.raises(Unsound, match="violated"):
        checks.check_order(0)


def test_a_run_that_never_reshuffles_turns_the_check_red(monkeypatch):
    same = lambda draw, slope, reshuffled: shares(draw, slope, False)  # noqa: E731
    monkeypatch.setattr(checks, "shares", same)
    with pytest.raises(Unsound, match="violated"):
        checks.check_noisy_quadratic(0)


def test_steps_from_a_minimum_stay_and_a_start_at_the_edge_leaves_it():
    w, v = two_weights(np.array([2.0]), np.array([0.5]), 0.1, 10)
    assert (w[0], v[0]) == (2.0, 0.5)
    w, v = two_weights(np.array([5.0]), np.array([0.202]), 0.1, 20000)
    assert w[0] * v[0] == pytest.approx(1) and w[0] ** 2 + v[0] ** 2 < 20


def test_longer_steps_than_said_turn_the_check_red(monkeypatch):
    monkeypatch.setattr(checks, "two_weights", lambda w, v, eta, n: two_weights(w, v, eta / 3, n))
    with pytest.raises(Unsound, match="violated"):
        checks.check_two_weights(0)


def test_a_doubled_hessian_turns_the_cross_entropys_check_red(monkeypatch):
    right = checks.hessian
    monkeypatch.setattr(checks, "hessian", lambda loss, W: 2 * right(loss, W))
    with pytest.raises(Unsound, match="violated"):
        checks.check_cross_entropy(0)
