"""Gradient ascents find what is known otherwise, and no more."""

import pytest
import torch

from evidence.solvers.ascent import maximise_ratio, searched_threshold
from pscore.network import ReLUNetwork


def test_the_search_finds_what_lemma_3_allows_and_no_more():
    for H in (1, 2):
        ratio = maximise_ratio(H, 0)[0] * (H + 1)
        assert 0.85 < ratio.max().item() <= 1 + 1e-9


def test_ascents_find_the_threshold_of_one_hidden_layer():
    a = torch.tensor([[1.0], [-1.0], [0.5]]).double()
    f = torch.tensor([1.0, -3.0, 1.0]).double()
    network = ReLUNetwork((1, 2, 1), False)
    found = searched_threshold(network, a, f, starts=12, steps=100)
    assert found == pytest.approx(1.0, rel=1e-3) and found <= 1 + 1e-12
