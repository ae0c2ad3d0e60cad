"""One unit carries places and targets over depth."""

import numpy as np
import pytest

from evidence.solvers.carrier import one_carrier
from evidence.solvers.memorization import as_fractions, exact_outputs


@pytest.mark.parametrize("groups", [(1, 1, 1), (4, 2, 7, 3), (10,)])
def test_one_unit_carries_targets_and_places(groups):
    x = as_fractions(np.cumsum(np.arange(sum(groups)) % 3 + 1))
    f = as_fractions((-1) ** np.arange(len(x)) * (np.arange(len(x)) % 4))
    starts = tuple(range(1, 3 * len(groups), 3))
    matrices, widths = one_carrier(x, f, groups, starts)
    assert (exact_outputs(matrices, x[:, None])[0][:, 0] == f).all()
    assert all(widths[layer - 2] == 1 for layer in starts[1:])  # the layers between blocks
