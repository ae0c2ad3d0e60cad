"""Lemma 4 and eqs (8) to (10): the checks pass, reject their variants, and see enough."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pscore import ReLUNetwork, certify
from pscore.checks import global_minima as checks
from pscore.loss import regularized_loss

positive = st.floats(0.1, 10.0)


@pytest.mark.claim("paper-lemma-4")
def test_lemma_4():
    seen = checks.check_lemma_4(1)
    assert seen.met >= 300 and seen.violations == 0
    assert seen.rejected == len(checks.DEPTHS)
    assert seen.margin == pytest.approx(1.0)  # H = 1, W = 0


@pytest.mark.claim("eq-8")
@pytest.mark.claim("global-minimisers-sublevel")
@pytest.mark.parametrize("seed", [1, 2])
def test_sublevel_set_is_certified(seed):
    seen = checks.check_sublevel(seed)
    assert seen.met >= 400 and seen.violations == 0
    assert seen.rejected == len(checks.DEPTHS)


@pytest.mark.claim("eq-8")
@given(st.integers(1, 6), positive, positive)
def test_level_is_as_printed(H, decay, r):
    network = ReLUNetwork((1,) * (H + 2))
    logarithm = (1 + 1 / H) * math.log(decay) - 2 / H * math.log(H * (H + 1) * r)
    assert checks.loss_level(network, decay, r) == pytest.approx(math.exp(logarithm) / 2)


@pytest.mark.claim("global-minimisers-sublevel")
@pytest.mark.parametrize("H", [1, 2, 3, 4])
def test_share_is_the_maximum_of_the_product(H):
    error = torch.linspace(0, 1, 200_001, dtype=torch.float64)  # ℓ / v; the rest is λ‖W‖²/2
    product = error.sqrt() * (1 - error) ** ((H - 1) / 2)
    assert checks.sublevel_share(H) == pytest.approx(product.max().item(), rel=1e-6)


@pytest.mark.claim("eq-9")
def test_eq_9():
    seen = checks.check_eq_9(1)
    assert seen.met >= 200 and seen.violations == 0 and seen.rejected > 0


@pytest.mark.claim("eq-10")
def test_eq_10():
    seen = checks.check_eq_10(1)
    assert seen.met >= 200 and seen.violations == 0 and seen.rejected > 100


@pytest.mark.claim("eq-10")
@given(st.integers(1, 6), positive, positive)
def test_needed_weight_decay_inverts_the_level(H, loss, r):
    network = ReLUNetwork((1,) * (H + 2), output_relu=False, negative_slope=-2.0)
    decay = checks.needed_weight_decay(network, loss, r)
    assert checks.loss_level(network, decay, r) == pytest.approx(loss)
    steep = ReLUNetwork((1,) * (H + 2), output_relu=False)
    assert decay == pytest.approx(checks.needed_weight_decay(steep, loss, 2.0**H * r))


@pytest.mark.claim("global-minimisers-best")
def test_best_constant():
    seen = checks.check_best_constant(1)
    assert seen.met >= 150 and seen.violations == 0
    assert seen.rejected == len(checks.DEPTHS)
    assert 0.999 < seen.margin < 1


@pytest.mark.claim("global-minimisers-best")
@pytest.mark.parametrize("H, gain", [(1, 4.0), (2, 24.0), (3, 29.7), (4, 31.4)])
def test_gain_over_the_paper(H, gain):
    assert checks.best_constant(H) / checks.paper_constant(H) == pytest.approx(gain, abs=0.05)


@pytest.mark.claim("global-minimisers-best")
@pytest.mark.parametrize("H", [2, 3, 4])
def test_critical_problem_has_two_minimisers(H):
    """At equality the W of the proof ties with 0, and its output is ``F_c (H−1)/H``."""
    network = ReLUNetwork((1,) + (2,) * H + (1,))
    f = torch.tensor([math.sqrt(checks.best_constant(H))], dtype=torch.float64)
    a, product = torch.ones(1, 1, dtype=torch.float64), f * (H - 1) / H
    W = checks.aligned_network(network, a[0], product)
    assert network(W, a).item() == pytest.approx(product.item())
    tie = regularized_loss(network, W, a, f, 1.0).item()
    assert tie == pytest.approx(f.item() ** 2 / 2, rel=1e-12)
    assert not certify(network, W, a, f, 1.0)["paper"].inside


def test_every_claim_has_a_page_and_a_check():
    assert all(claim.check is not None and claim.variant for claim in checks.CLAIMS)
