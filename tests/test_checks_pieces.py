"""Theorems 1 and 3, and what this book adds to them: the checks pass, and reject their variants."""

from fractions import Fraction

import pytest
import torch

from pscore import ReLUNetwork
from pscore.checks import pieces as checks
from pscore.patterns import pieces

EXPECTED = [  # label, at least met, at least rejected
    pytest.param("paper-theorem-1", 2000, 5, marks=pytest.mark.claim("paper-theorem-1")),
    pytest.param("paper-theorem-3", 300, 20, marks=pytest.mark.claim("paper-theorem-3")),
    pytest.param("eq-11", 100, 10, marks=pytest.mark.claim("eq-11")),
    pytest.param("eq-12", 20_000, 500, marks=pytest.mark.claim("eq-12")),
    pytest.param("eq-13", 200, 500, marks=pytest.mark.claim("eq-13")),
    pytest.param("piecewise-thin", 200, 50, marks=pytest.mark.claim("piecewise-thin")),
    pytest.param("piecewise-count", 100, 10, marks=pytest.mark.claim("piecewise-count")),
    pytest.param("piecewise-segment", 2000, 1, marks=pytest.mark.claim("piecewise-segment")),
    pytest.param("piecewise-ridge", 30, 4, marks=pytest.mark.claim("piecewise-ridge")),
]


@pytest.mark.parametrize(("label", "met", "rejected"), EXPECTED)
def test_claim_holds_where_its_hypotheses_do_and_its_variant_fails(label, met, rejected):
    claim = next(claim for claim in checks.CLAIMS if claim.label == label)
    evidence = claim.check(5)
    assert evidence.violations == 0
    assert evidence.met >= met
    assert evidence.rejected >= rejected
    assert evidence.margin is None or 0.2 < evidence.margin <= 0.5 + 1e-9


@pytest.mark.claim("eq-12")
def test_half_of_the_bound_is_attained_at_the_origin():
    """At 0 the Gauss–Newton term vanishes: the sharp constant, half of the paper's, is met."""
    a, f = torch.ones(1, 1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    network = ReLUNetwork((1, 1, 1), output_relu=False)
    zero = tuple(torch.zeros(1, 1, dtype=torch.float64) for _ in range(2))
    on = pieces(network, a)[0].switches()
    least = checks.least_eigenvalue(checks.frozen_hessian(network, zero, a, f, 2.0, on))
    kappa = checks.frozen_bound((network, a, f), zero, on)
    assert torch.isclose(2.0 - least, kappa / 2)


@pytest.mark.claim("eq-13")
def test_exact_loss_agrees_with_the_network():
    for network, a, f in checks.shallow_problems(3, 8):
        draw = torch.Generator().manual_seed(1)
        W = tuple(checks.normal(draw, *s) for s in network.shapes)
        exact = checks.exact_loss((network, a, f), W, Fraction(1, 4))
        assert float(exact) == pytest.approx(checks.regularized_loss(network, W, a, f, 0.25).item())


@pytest.mark.claim("piecewise-segment")
def test_a_segment_that_leaves_the_set_is_seen_to_leave():
    """With a = f = 1 and w = v = t the residual t² − 1 is largest in the middle, where it is 1."""
    a, f = torch.ones(1, 1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    problem = (ReLUNetwork((1, 1, 1), output_relu=False), a, f)
    W = (torch.full((1, 1), 0.5).double(),) * 2
    needed = Fraction(2)  # 2√2 r ℓ^{1/2} = 2 |e| at t = −1, where the residual is −1
    assert checks.segment_in_set(problem, W, W, needed + Fraction(1, 100))
    assert not checks.segment_in_set(problem, W, W, needed)
