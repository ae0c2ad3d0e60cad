"""The claims on the second derivative and on the certified set, in both directions."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from instances import random_instance

from pscore.checks import bounds
from pscore.curvature import frozen_hessian, least_eigenvalue
from pscore.network import ReLUNetwork

SEEDS = [0, 1]
MET_AT_LEAST = {
    "paper-lemma-3": 1000,
    "eq-4": 1000,
    "sharper-bounds": 500,
    "second-derivative-vector-outputs": 500,
    "second-derivative-leaky": 1000,
    "second-derivative-each-switch-once": 200,
    "paper-definition-2": 100,
    "eq-6": 100,
    "frozen-strongly-convex": 100,
    "eq-14": 50,
    "eq-7": 50,
    "origin-inside": 500,
}
BY_LABEL = {claim.label: claim for claim in bounds.CLAIMS}


def stands(label, seed):
    evidence = BY_LABEL[label].check(seed)
    assert evidence.violations == 0
    assert evidence.met >= MET_AT_LEAST.get(label, 100)
    assert evidence.rejected > 0
    assert evidence.margin is None or 0.2 < evidence.margin <= 1 + 1e-9
    return evidence


@pytest.mark.parametrize(
    ("label", "seed"),
    [
        pytest.param(label, seed, marks=pytest.mark.claim(label))
        for label in MET_AT_LEAST
        for seed in SEEDS
    ],
)
def test_check_stands_and_rejects_its_variant(label, seed):
    stands(label, seed)


@pytest.mark.claim("second-derivative-equality")
def test_equality_is_met_at_one_hidden_layer_and_approached_at_more():
    evidence = stands("second-derivative-equality", 0)
    assert evidence.margin == pytest.approx(1)


@pytest.mark.claim("second-derivative-equality")
def test_the_example_of_equality():
    """a = 1, f = −1, w = v = 0.7, ReLU on the output: the Hessian by hand is [[.49, 1.98], …]."""
    network = ReLUNetwork((1, 1, 1))
    hessian = frozen_hessian(network, [[[0.7]], [[0.7]]], [[1.0]], [-1.0])
    expected = torch.tensor([[0.49, 1.98], [1.98, 0.49]], dtype=torch.float64)
    torch.testing.assert_close(hessian, expected)
    assert least_eigenvalue(hessian).item() == pytest.approx(-1.49)


@pytest.mark.claim("second-derivative-equality")
@pytest.mark.parametrize("H", [1, 2, 3])
def test_ratio_of_the_family_is_the_formula_of_the_proof(H):
    s = torch.linspace(0.05, 0.5, 7, dtype=torch.float64)
    least, kappa = bounds.both_sides(bounds.near_equality(H, s))
    formula = 1 - (H + 1) * s ** (H + 1) / (H * (1 - s ** (H + 1)))
    torch.testing.assert_close(least / kappa["sharp"], formula, rtol=1e-6, atol=1e-9)


@pytest.mark.claim("sharper-bounds")
def test_layerwise_bound_is_attained_with_two_zero_layers():
    network = ReLUNetwork((1, 1, 1, 1), False, 1.0)
    W = [[[0.0]], [[0.0]], [[0.7]]]
    W = tuple(torch.tensor(w, dtype=torch.float64).unsqueeze(0) for w in W)
    one = torch.ones(1, 1, dtype=torch.float64)
    least, kappa = bounds.both_sides(bounds.Stack(network, W, one.unsqueeze(0), one))
    assert least.item() == pytest.approx(0.7)
    assert kappa["layerwise"].item() == pytest.approx(0.7)


@pytest.mark.claim("second-derivative-leaky")
@pytest.mark.parametrize("H", [1, 2, 3])
def test_slope_minus_three_reaches_its_power(H):
    least, kappa = bounds.both_sides(bounds.steep(H, -3.0))
    without = kappa["sharp"] / 3.0**H
    assert (least / without).item() == pytest.approx(3**H, rel=2e-2)


@pytest.mark.claim("origin-inside")
def test_the_set_can_be_empty_at_one_hidden_layer():
    network = ReLUNetwork((1, 1, 1))
    draw = torch.Generator().manual_seed(0)
    W = tuple(4 * torch.rand(2000, 1, 1, generator=draw, dtype=torch.float64) - 2 for _ in "wv")
    a, f = torch.ones(2000, 1, 1, dtype=torch.float64), -torch.ones(2000, 1, dtype=torch.float64)
    assert not bounds.membership(bounds.Stack(network, W, a, f), 2.1, 0.1, 2).any()
    assert bounds.membership(bounds.Stack(network, W, a, f), 2.2, 0.1, 2).any()


@pytest.mark.claim("paper-lemma-3")
@settings(max_examples=30)
@given(
    st.lists(st.integers(1, 3), min_size=3, max_size=5).map(tuple),
    st.booleans(),
    st.integers(0, 10**6),
)
def test_second_derivative_from_values_is_that_of_the_hessian(widths, output_relu, seed):
    """The two computations that the checks compare agree where both are exact."""
    instance = random_instance(widths, output_relu=output_relu, seed=seed, stack=(3,))
    network, W, a, f = instance
    a, f = a.expand(3, *a.shape), f.expand(3, *f.shape)
    X = random_instance(widths, seed=seed + 1, stack=(3,)).W
    stack = bounds.Stack(network, W, a, f)
    by_values = bounds.second_derivative(stack, X, network.switches(W, a))
    x = bounds.flatten(X)
    by_hessian = torch.einsum("ti,tij,tj->t", x, frozen_hessian(network, W, a, f), x)
    scale = 1 + by_hessian.abs().max().item()
    assert (by_values - by_hessian).abs().max().item() < 1e-8 * scale * 10


@pytest.mark.claim("paper-lemma-3")
def test_the_search_finds_what_lemma_3_allows_and_no_more():
    for H in (1, 2):
        ratio = bounds.maximise_ratio(H, 0)[0] * (H + 1)
        assert 0.85 < ratio.max().item() <= 1 + 1e-9


@pytest.mark.claim("eq-7")
def test_threshold_of_the_inclusion_is_its_formula():
    network = ReLUNetwork((2, 3, 2, 1))
    threshold = bounds.loss_threshold(network, 3.0, 0.5, 2.0, 1.5)
    assert math.sqrt(threshold) == pytest.approx(2.5 / (math.sqrt(2) * 6 * 2.0 * 1.5))
