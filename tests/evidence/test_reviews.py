"""What the checks of the chapter on the reviews stand on, by other means."""

import pytest
import torch

from evidence import reviews
from evidence.claims import Unsound
from pscore import ReLUNetwork, certify


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
    cases = {
        "check_zero_error": ("interpolating", lambda *at: [1.1 * w for w in fit(*at)]),
    }
    for check, (name, falsified) in cases.items():
        with monkeypatch.context() as patch:
            patch.setattr(reviews, name, falsified)
            with pytest.raises(Unsound, match="violated"):
                getattr(reviews, check)(0)
