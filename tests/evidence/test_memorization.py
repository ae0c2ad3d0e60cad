"""The checks of the memorizing points, and what they are made of."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from evidence import memorization as checks
from evidence.claims import Unsound
from evidence.fits import one_weight_off
from evidence.solvers.memorization import as_fractions, exact_outputs, memorize


@pytest.mark.parametrize(("first", "second"), [(1, 1), (4, 3), (10, 7)])
def test_sawtooth_memorizes_alternating_targets(first, second):
    x = as_fractions(np.arange(first * second + 1)[:, None]) / second
    y = exact_outputs(checks.sawtooth(first, second), x)[0][:, 0]
    steps = np.diff(y)
    assert (steps[1:] * steps[:-1] < 0).all()
    assert (np.abs(steps) == Fraction(1, second)).all()
    assert checks.alternations(first, second) == first * second


def test_a_construction_that_misses_its_targets_turns_the_checks_red(monkeypatch):
    def off(a, f, **options):
        net = memorize(a, f, **options)
        return replace(net, matrices=one_weight_off(net.matrices, np.random.default_rng(0)))

    monkeypatch.setattr(checks, "memorize", off)
    for check in (checks.check_two_layers, checks.check_depth):
        with pytest.raises(Unsound, match="violated"):
            check(0)
