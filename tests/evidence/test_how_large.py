"""How large the certified set is: balls, digits, long descents."""

import pandas as pd
import pytest
import torch

from evidence import how_large
from evidence.claims import Unsound
from pscore.certificate import certify, star_norm
from pscore.instance import Instance
from pscore.network import ReLUNetwork


def test_inner_radius_at_one_hidden_layer_in_closed_form():
    # κ = 2(1 + R²/2) at H = 1, so R² = λ − 2, and nothing below λ = 2.
    assert how_large.inner_radius(1, 1.9) == 0
    assert how_large.inner_radius(1, 3.0) == pytest.approx(1.0, abs=1e-6)
    assert how_large.inner_radius(1, 3.0, "data") == pytest.approx(2.0, abs=1e-9)


def test_whole_canonical_ball_is_in_the_set_from_one_plus_root_two_on():
    for unit_decay, inside in ((2.41, False), (2.42, True)):
        radius = how_large.inner_radius(1, unit_decay)
        assert (radius**2 > 1 / unit_decay) == inside


def test_far_weights_that_fit_are_inside():
    network = ReLUNetwork((1, 1, 1), output_relu=False)
    one = torch.ones(1, 1, dtype=torch.float64)
    W = (1024.0 * one, one / 1024.0)
    assert star_norm(W) > 1000
    assert certify(*Instance(network, W, one, one[0]), 1e-3)["paper"].inside


@pytest.mark.parametrize(
    ("check", "name", "falsify"),
    [
        ("check_inner", "inner_radius", lambda radius: lambda *at: 1.01 * radius(*at)),
        ("check_width", "expected_norm_bound", lambda bound: lambda *at: 0.9 * bound(*at)),
        ("check_canonical", "canonical_radius", lambda R: lambda f, decay: R(f, 1.0)),
    ],
)
def test_a_falsified_helper_is_noticed(check, name, falsify, monkeypatch):
    monkeypatch.setattr(how_large, name, falsify(getattr(how_large, name)))
    with pytest.raises(Unsound, match="violated"):
        getattr(how_large, check)(0)


def test_runs_are_outside_by_their_gradients_only_if_these_are_short():
    rows = {"norm": [1.0, 1.0], "gradient": [0.04, 0.06], "decay": 0.1, "depth": 1}
    assert how_large.outside_by_gradient(pd.DataFrame(rows)).tolist() == [True, False]


def test_a_smaller_ball_and_another_threshold_are_noticed(monkeypatch):
    radius = how_large.worst_point
    monkeypatch.setattr(how_large, "worst_point", lambda H, R: radius(H, 0.99 * R))
    with pytest.raises(Unsound, match="violated"):
        how_large.check_canonical(0)
