"""Lemma 7: the checks pass, reject their variants, and see enough critical points."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pscore import ReLUNetwork, certify
from pscore.checks import linear as checks
from pscore.curvature import frozen_hessian
from pscore.loss import regularized_loss, squared_norm


@pytest.mark.claim("paper-lemma-7")
def test_lemma_7():
    seen = checks.check_lemma_7(1)
    assert seen.met >= 200 and seen.violations == 0 and seen.rejected > 0
    assert seen.margin == pytest.approx(0.5)  # 1/(H(H+1)) at H = 1


@pytest.mark.claim("paper-lemma-7")
def test_critical_points_are_distinct_and_of_all_depths():
    for widths in checks.WIDTHS:
        found = checks.critical_points(widths, 40, seed=3)
        assert len(found.a) >= 10
        assert torch.pdist(found.a.flatten(1)).min() > 1e-3
        assert squared_norm(found.W).min() > 0.01


@pytest.mark.claim("linear-networks-rotation")
def test_rotation():
    seen = checks.check_rotation(1)
    assert seen.met >= 80 and seen.violations == 0 and seen.rejected > 50


@pytest.mark.claim("linear-networks-rotation")
@given(st.integers(0, 10**6), st.floats(-3.0, 3.0))
def test_rotation_keeps_the_loss_anywhere(seed, angle):
    network = checks.linear_network((2, 3, 2, 1))
    draw = torch.Generator().manual_seed(seed)
    W = tuple(torch.randn(s, generator=draw, dtype=torch.float64) for s in network.shapes)
    a = torch.randn(4, 2, generator=draw, dtype=torch.float64)
    f = torch.randn(4, generator=draw, dtype=torch.float64)
    before = regularized_loss(network, W, a, f, 0.3).item()
    for layer in (1, 2):
        R = checks.plane_rotation(network.widths[layer], angle)
        turned = checks.rotate_hidden(W, layer, R)
        assert regularized_loss(network, turned, a, f, 0.3).item() == pytest.approx(before)


@pytest.mark.claim("linear-networks-radial")
def test_radial():
    seen = checks.check_radial(1)
    assert seen.met >= 2000 and seen.violations == 0 and seen.rejected > 0
    assert seen.margin == pytest.approx(1.0)


@pytest.mark.claim("linear-networks-outward")
def test_outward():
    seen = checks.check_outward_inside(1)
    assert seen.met >= 1000 and seen.violations == 0 and seen.rejected > 0


@pytest.mark.claim("linear-networks-outward")
@pytest.mark.parametrize("decay", [0.1, 0.5, 0.9])
def test_width_one_in_closed_form(decay):
    """``y = vwa`` with a = f = 1: critical at ``±√(1 − λ)``, where (√2 r ℓ^{1/2}) = λ exactly."""
    network, one = checks.linear_network((1, 1, 1)), torch.ones(1, 1, dtype=torch.float64)
    W = (one * (1 - decay) ** 0.5,) * 2
    assert abs(checks.radial_derivative(network, W, one, one[0], decay).item()) < 1e-12
    kappa = decay - certify(network, W, one, one[0], decay)["paper"].margin
    assert kappa == pytest.approx(2 * decay)


@pytest.mark.claim("paper-lemma-7")
def test_newton_meets_saddles_too():
    found = checks.critical_points((2, 2, 2, 2, 1), 60, seed=0)
    hessian = frozen_hessian(*found[:5])
    assert (torch.linalg.eigvalsh(hessian)[:, 0] < -1e-6).any()


@pytest.mark.claim("linear-networks-switches")
def test_switches_interfere():
    seen = checks.check_switches_interfere(1)
    assert seen.met >= 200 and seen.violations == 0 and seen.rejected > 100


@pytest.mark.claim("linear-networks-switches")
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


def test_every_claim_has_a_page_and_a_check():
    assert all(claim.check is not None and claim.variant for claim in checks.CLAIMS)
