"""The four certified sets: nested, of equal worth to the theory, and the last of them the best."""

import numpy as np
import pytest
import torch

from evidence import instances, measures
from evidence import sharper_sets as sharper
from evidence.claims import Unsound
from pscore.certificate import certify
from pscore.network import ReLUNetwork
from pscore.seeds import torch_generator


def test_two_bounds_agree_exactly_where_the_proposition_says():
    equal = [2.0 * torch.eye(2, dtype=torch.float64)] * 2 + [torch.full((2, 1), 2**0.5).double()]
    unequal = [0.5 * equal[0], *equal[1:]]
    network = ReLUNetwork((2, 2, 2, 1), output_relu=False)
    a = torch.eye(2, dtype=torch.float64)
    for W, same in ((equal, True), (unequal, False)):
        f = network(W, a) + torch.tensor([0.5, -0.5])
        margins = {name: c.margin for name, c in certify(network, W, a, f, 1.0).items()}
        assert np.isclose(margins["sharp"], margins["layerwise"]) == same
        assert np.isclose(margins["layerwise"], margins["data"])  # same lengths, same residuals
        uneven = network(W, a) + torch.tensor([0.5, -0.4])
        margins = {name: c.margin for name, c in certify(network, W, a, uneven, 1.0).items()}
        assert margins["data"] > margins["layerwise"] + 1e-3


def test_the_example_with_one_zero_layer_has_its_hidden_units_on():
    stack = sharper.one_zero_layer(0.8, 0.5, 0.3, 1.0)
    assert all((S > 0).all() for S in stack.network.switches(stack.W, stack.a))
    least, kappa = measures.both_sides(stack)
    assert least.item() == pytest.approx(np.hypot(0.8, 0.5), abs=1e-9)
    assert kappa["data"].item() == pytest.approx(np.hypot(0.8, 0.5), abs=1e-12)


def test_draws_from_the_ball_have_no_preferred_direction():
    network = ReLUNetwork((2, 2, 1), output_relu=False)
    W = instances.ball(network, 3.0, 20_000, torch_generator(0, "data"))
    flat = torch.cat([w.flatten(1) for w in W], dim=1)
    second = flat.T @ flat / len(flat)
    m = network.parameter_count
    assert torch.allclose(second, 9 / (m + 2) * torch.eye(m, dtype=second.dtype), atol=0.06)


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_a_sharp_bound_that_is_off_turns_the_check_of_its_strictness_red(monkeypatch, factor):
    def scaled(stack, switches=None):
        least, kappa = measures.both_sides(stack, switches)
        return least, {name: factor * value for name, value in kappa.items()}

    monkeypatch.setattr(sharper, "both_sides", scaled)
    with pytest.raises(Unsound):
        sharper.check_strict(0)
