"""Eqs (1), (2), Lemmas 1 and 2: in both directions, and on worked examples."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pscore.checks import smoothness as checks
from pscore.loss import training_error
from pscore.network import ReLUNetwork

AT_LEAST = {
    "eq-1": 400,
    "eq-2": 400,
    "networks-and-switches-degree": 200,
    "paper-lemma-1": 400,
    "networks-and-switches-null-set": 200,
    "paper-lemma-2": 60,
    "no-local-maxima-convex": 60,
    "no-local-maxima-smooth-loss": 40,
    "no-local-maxima-linear": 120,
    "no-local-maxima-scaling": 250,
}


@pytest.mark.parametrize(
    "claim", [pytest.param(c, id=c.label, marks=pytest.mark.claim(c.label)) for c in checks.CLAIMS]
)
def test_claim_holds_and_its_falsified_variant_does_not(claim):
    evidence = claim.check(1)
    assert evidence.met >= AT_LEAST[claim.label]
    assert evidence.violations == 0
    assert evidence.rejected > 5


def rational(*rows):
    return [[Fraction(entry) for entry in row] for row in rows]


@pytest.mark.claim("paper-lemma-1")
def test_the_three_kinds_of_point_in_the_proof():
    """By hand, for width 1 and a = 1."""
    one = [Fraction(1)]
    W = {w: [rational([w]), rational([1]), rational([1])] for w in (-1, 0, 1)}
    assert [checks.classify(W[w], one, True)[0] for w in (-1, 0, 1)] == ["B", "C", "interior"]
    assert [checks.has_kink(W[w], one, True) for w in (-1, 0, 1)] == [False, True, False]
    assert checks.classify(W[0], [Fraction(0)], True)[0] == "interior"


@pytest.mark.claim("paper-lemma-1")
@settings(max_examples=60)
@given(st.integers(0, 10**6))
def test_gaussian_weights_are_never_in_the_null_set(seed):
    """Almost everywhere: floats are rationals, so the classification of a normal draw is exact."""
    draw = torch.Generator().manual_seed(seed)
    W = [torch.randn(shape, generator=draw).tolist() for shape in ((2, 2), (2, 2), (2, 1))]
    a = [Fraction(x) for x in torch.randn(2, generator=draw).tolist()]
    assert checks.classify([rational(*matrix) for matrix in W], a, True)[0] in ("interior", "B")


@pytest.mark.claim("paper-lemma-2")
def test_laplacian_by_hand():
    """y = vw for w > 0, a = 1: Δℓ = v² + w², whatever the target."""
    network = ReLUNetwork((1, 1, 1), output_relu=False)
    W = (torch.tensor([[3.0]], dtype=torch.float64), torch.tensor([[-2.0]], dtype=torch.float64))
    a, f = torch.ones(1, 1, dtype=torch.float64), torch.full((1, 1), 7.0, dtype=torch.float64)
    found = checks.laplacian(network, W, lambda V: training_error(network, V, a, f))
    assert found == pytest.approx(13.0)
    slopes = checks.weight_differences(network, W, a, 1e-4)
    assert slopes.flatten().tolist() == pytest.approx([-2.0, 3.0])
    at_boundary = (torch.zeros(1, 1, dtype=torch.float64), W[1])
    assert checks.weight_differences(network, at_boundary, a, 1e-4) is None


@pytest.mark.claim("paper-lemma-2")
def test_tanh_has_a_negative_laplacian_and_a_strict_local_maximum():
    W, a, f = checks.tanh_maximum()
    network = ReLUNetwork((1, 1, 1))
    w = torch.cat([M.flatten() for M in W])

    def error(v):
        V = (v[:1].reshape(1, 1), v[1:].reshape(1, 1))
        return checks.squared_error(checks.plain_output(V, a, torch.tanh, True), f)

    gradient = torch.autograd.functional.jacobian(error, w)
    hessian = torch.autograd.functional.hessian(error, w)
    assert gradient.abs().max() < 1e-7
    torch.testing.assert_close(hessian, -torch.eye(2, dtype=torch.float64) / 20, atol=1e-6, rtol=0)
    assert (
        checks.laplacian(network, W, lambda V: error(torch.cat([M.flatten() for M in V]))) < -0.09
    )


@pytest.mark.claim("paper-lemma-2")
def test_printed_lemma_fails_on_a_neighbourhood_that_is_not_connected():
    """ℓ = ½(vσ(w) − 1)²: constant near (−1, 0), a local maximum; not so near (1, 0)."""
    data = [([Fraction(1)], [Fraction(1)])]
    losses = [
        checks.exact_loss([rational([w]), rational([v])], data, False)
        for w, v in ((-1, 0), (Fraction(-9, 10), Fraction(1, 10)), (1, 0), (1, Fraction(1, 10)))
    ]
    assert losses[0] == losses[1] == losses[2] != losses[3]


@pytest.mark.claim("no-local-maxima-scaling")
def test_a_local_maximum_that_is_neither_smooth_nor_constant():
    """ℓ = ½(vσ(w) − 1)² at (w, v) = (0, 1): not above ½ anywhere near, and with a kink."""
    data = [([Fraction(1)], [Fraction(1)])]
    grid = [Fraction(k, 10) for k in range(-5, 6)]
    values = {
        (w, v): checks.exact_loss([rational([w]), rational([1 + v])], data, False)
        for w in grid
        for v in grid
    }
    assert max(values.values()) == values[0, 0] == Fraction(1, 2)
    assert min(values.values()) < Fraction(1, 2)
