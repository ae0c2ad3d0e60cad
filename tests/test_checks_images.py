"""The claims of the image chapters."""

import pytest

from pscore.checks.images import check_scale_invariance


@pytest.mark.claim("cifar-scale-invariance")
@pytest.mark.parametrize("seed", range(3))
def test_curvature_falls_like_the_weights_squared(seed):
    evidence = check_scale_invariance(seed)
    assert evidence.met >= 30
    assert evidence.violations == 0
    assert evidence.rejected >= 20
