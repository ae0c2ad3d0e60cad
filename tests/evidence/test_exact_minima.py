"""Minima that can be computed: what the helpers make, and examples by hand."""

from fractions import Fraction

import pytest
import torch

from evidence import exact_minima as minima
from evidence.instances import zero_weights
from evidence.rational import exact_loss, exact_output, exactly
from evidence.solvers.exact import (
    escape_threshold,
    squared_correlation,
)
from pscore.network import ReLUNetwork


def test_hand_made_networks_beat_zero_exactly():
    for units, threshold in ((2, 4 / (5**0.5 + 8**0.5)), (3, 4 * 2**0.5 / 7)):
        at = minima.output_example(units)
        stack = at.at(tuple(w[None] for w in at.W))
        assert escape_threshold(*stack).item() == pytest.approx(threshold)
        W, data = exactly(at.at(tuple(0.05 * w for w in at.W)))
        zero = exact_loss(exactly(at.at(zero_weights(at.network)))[0], data, True)
        for decay, beaten in ((0.97 * threshold, True), (1.01 * threshold, False)):
            value = exact_loss(W, data, True, weight_decay=Fraction(decay))
            assert (value < zero) == beaten


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_balanced_factors_cost_what_their_product_does(rank):
    """Also without a singular value: the root of one that is 0 only up to rounding would cost."""
    network = ReLUNetwork((2, 3, 2, 3, 2), False, 1.0)
    U, _, V = torch.linalg.svd(torch.tensor([[1.0, 2.0], [0.3, -1.0]]).double())
    t = torch.tensor([1.5, 0.7]).double() * (torch.arange(2) < rank)
    X = U @ torch.diag(t) @ V
    W = minima.balanced_factors(network, X)
    torch.testing.assert_close(torch.linalg.multi_dot(W), X, atol=1e-14, rtol=0)
    assert sum(w.square().sum().item() for w in W) == pytest.approx(4 * t.sqrt().sum().item())
    assert len({round(w.norm().item(), 12) for w in W}) == 1


def test_soft_thresholding_is_not_minimal_in_deeper_networks():
    s, decay = torch.tensor([2.0]).double(), 0.3
    for H, wrong in ((1, False), (2, True)):
        assert minima.not_minimal((s - decay).clamp(min=0), s, decay, H).item() == wrong


def test_an_activated_output_may_take_zero_beyond_the_largest_correlation():
    """Exactly, by the loss itself, at a λ between Λ and what the two units reach."""
    at = minima.beyond_example()
    decay = Fraction(1225)
    assert squared_correlation(*minima.BEYOND) < decay**2
    W = [
        [[Fraction(-1), Fraction()], [Fraction(), Fraction(1)]],
        [[Fraction(-148)], [Fraction(67)]],
    ]
    data = exactly(at)[1]
    outputs = [exact_output(W, a, True)[0] for a, _ in data]
    assert outputs == [0, 0, 5159, 469]
    # with balanced units ‖W‖²/2 is Σ |v_j| ‖w_j‖ = 215, and q times the outputs cost q times that
    A = sum(f[0] * y for (_, f), y in zip(data, outputs, strict=True)) / 4
    B = sum(y * y for y in outputs) / 4
    q = (A - 215 * decay) / B
    assert -q * A + q * q * B / 2 + decay * 215 * q < 0
    assert escape_threshold(*at.at(tuple(w[None] for w in at.W))).item() == pytest.approx(A / 215)
