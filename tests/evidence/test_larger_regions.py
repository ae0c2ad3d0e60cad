"""Larger regions: basins, and where the loss curves upwards along its own descent."""

from fractions import Fraction

import pytest
import torch

from evidence import larger_regions as larger
from evidence.claims import Unsound
from pscore.curvature import frozen_hessian
from pscore.instance import Instance
from pscore.network import ReLUNetwork


def test_a_family_of_one_unit_without_weight_decay_has_a_minimum_that_is_not_global():
    def loss(w, v):
        return larger.without_weight_decay([Fraction(x) for x in w], Fraction(v))

    tenth = Fraction(1, 10)
    assert loss((tenth, 1), 0) == Fraction(1, 2) < loss((tenth, 1), tenth)
    assert loss((1, 0), 1) == Fraction(1, 4)


def test_a_smooth_kink_has_another_hessian_than_its_frozen_loss():
    """a = ±1, f = 0 at (w, v) = (0, 2) with λ = 1: ¼v²w² has diag(3, 1), the frozen loss I."""
    network = ReLUNetwork((1, 1, 1), output_relu=False)
    a, f = torch.tensor([[[1.0], [-1.0]]]).double(), torch.zeros(1, 2).double()
    W = tuple(torch.tensor([[[w]]]).double() for w in (0.0, 2.0))
    at = Instance(network, W, a, f)
    for axis, bend in enumerate((3.0, 1.0)):
        X = torch.eye(2).double()[axis : axis + 1]
        assert larger.bend_of_values(at, X, 1.0).item() == pytest.approx(bend)
    assert torch.allclose(frozen_hessian(*at, 1.0)[0], torch.eye(2).double())


def test_a_hessian_that_is_flatter_than_it_should_be_is_noticed(monkeypatch):
    bend = larger.bend_of_values
    monkeypatch.setattr(larger, "bend_of_values", lambda *args: 0.5 * bend(*args))
    with pytest.raises(Unsound, match="violated"):
        larger.check_path(0)


@pytest.mark.parametrize(
    ("check", "name", "falsify"),
    [
        ("check_basins", "balanced", lambda weights: lambda at, u: weights(at, 0.9 * u)),
        ("check_saddle", "second_differences", lambda at: lambda w, v, x: at(w, v, 2 * x)),
    ],
)
def test_a_falsified_helper_is_noticed(check, name, falsify, monkeypatch):
    monkeypatch.setattr(larger, name, falsify(getattr(larger, name)))
    with pytest.raises(Unsound, match="violated"):
        getattr(larger, check)(0)
