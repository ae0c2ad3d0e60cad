"""The norm and the radius of the notation page."""

import pytest
import torch

from pscore.certificate import data_radius, star_norm
from pscore.checks.notation import check_data_radius, check_star_norm


@pytest.mark.claim("paper-definition-1", "eq-3")
@pytest.mark.parametrize("seed", range(3))
def test_star_norm_is_the_largest_operator_norm(seed):
    seen = check_star_norm(seed)
    assert seen.met == 500 and seen.violations == 0 and seen.rejected > 400


def test_star_norm_by_hand():
    assert star_norm((torch.diag(torch.tensor([3.0, -4.0])), torch.ones(2, 1))) == 4


@pytest.mark.claim("eq-5")
def test_radius_is_the_smallest():
    seen = check_data_radius(0)
    assert seen.met == seen.rejected == 200 and seen.violations == 0 and seen.margin == 1
    assert data_radius(torch.tensor([[3.0, 4.0], [0.0, 1.0]])) == 5
