"""What the checks of the chapter on the reviews stand on, by other means."""

import pytest
import torch

from evidence import reviews


def test_the_bound_is_attained_when_nothing_is_added():
    """A = 0: the gradient in each layer is E itself; in a plain network it is zero."""
    draw = torch.Generator().manual_seed(0)
    a, f = torch.randn(2, 6, 2, generator=draw, dtype=torch.float64)
    E = a.mT @ (a - f) / 6
    slope, floor = reviews.first_slope(torch.zeros(3, 2, 2).to(a), a, f, 1.0)
    assert slope == pytest.approx(E.norm().item()) == floor
    assert reviews.first_slope(torch.zeros(3, 2, 2).to(a), a, f, 0.0)[0] == 0
