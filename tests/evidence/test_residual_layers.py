"""Weight decay towards a reference: Lemma 4 with one, and residual networks inside the set."""

import math
from fractions import Fraction

import pytest
import torch

from evidence import residual_layers as residual
from evidence.claims import Unsound
from pscore.exact.gauss_newton import GaussNewton


@pytest.fixture(scope="module")
def trained():
    one, identity = next(residual.residual_points(0, 1))
    return one, identity


def test_line_has_critical_points_on_both_sides_of_the_boundary():
    for p, inside in ((Fraction(1, 12), True), (Fraction(1, 4), False)):
        point = residual.on_line(2, p, Fraction(1, 50))
        assert point.slopes == [0, 0, 0]
        assert (point.kappa < Fraction(1, 50)) == inside


def test_reference_moves_the_gradient_and_not_the_hessian(trained):
    one, identity = trained
    towards, plain = (
        GaussNewton(*one, 0.1, *([reference] if reference else []))
        for reference in (identity, None)
    )
    assert float(towards.gradient) < 1e-6 < 0.01 < float(plain.gradient)
    assert float(towards.curvature) == float(plain.curvature)


def test_no_certificate_for_a_large_ball_or_a_small_decay(trained):
    assert residual.certified_inside(*trained, 0.1, 1e-6).holds
    assert not residual.certified_inside(*trained, 0.1, 10.0).holds
    assert not residual.certified_inside(*trained, 1e-5, 1e-6).holds


def test_reference_bound_at_zero_is_the_condition_of_lemma_4():
    # With ε = λq²/2 and H = 2: 6 r √(2ε) √(2ε/λ) < λ is ε < λ^{3/2}/(12 r), eq. (8).
    zero = torch.zeros(1, dtype=torch.float64)
    for share, holds in ((0.99, True), (1.01, False)):
        q = torch.tensor([math.sqrt(2 * share * 0.4**1.5 / 12 / 0.4)])
        assert bool(residual.reference_bound(2, 1.0, 0.4, zero, q) < 0.4) == holds


def test_a_bound_with_a_layer_less_is_noticed(monkeypatch):
    bound = residual.reference_bound
    monkeypatch.setattr(residual, "reference_bound", lambda H, *others: bound(H - 1, *others))
    with pytest.raises(Unsound, match="violated"):
        residual.check_reference(0)


def test_a_family_that_is_not_critical_is_noticed(monkeypatch):
    moved = residual.moved
    monkeypatch.setattr(residual, "moved", lambda W, step, k: moved(W, step + abs(step) / 9, k))
    with pytest.raises(Unsound, match="violated"):
        residual.check_line(0)


def test_nothing_is_certified_of_a_point_on_a_switch_boundary():
    # A unit that is off at the identity hands on 0, which is the next unit's whole input there.
    start, _ = residual.from_identity((2, 0.0), 0.08, 0.1, 0, count=1, steps=1, width=2)
    one = start.one(0)
    assert residual.certified_inside(one, one.W, 0.1, 1e-6) == (False, math.inf, 0.0, 0.0)


def test_norms_that_are_a_tenth_too_small_are_noticed(monkeypatch):
    least = residual.least_of_others
    monkeypatch.setattr(residual, "least_of_others", lambda W: 0.9 * least(W))
    with pytest.raises(Unsound, match="violated"):
        residual.check_near(0)
