"""The share (20), and the stored trials on MNIST against what the book says of them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import entries

from evidence import mnist
from evidence.claims import Unsound
from pscore.experiments.comparison import on_even_log
from pscore.experiments.share import loss_share
from pscore.experiments.trials import stored


def test_stored_mnist_is_the_paper_s_experiment():
    trials, trajectories, provenance = stored("mnist")
    assert provenance["dataset"] == "mnist" and set(trials.steps) == {938}
    assert set(trajectories.seed) == set(trials.seed) == set(range(100))
    assert np.all(trials.entry_step.notna())  # a t_0 in every trial


def test_on_mnist_the_share_falls_with_the_period():
    """The ten dense trials are those of the hundred, step for step."""
    dense, sparse = stored("mnist-dense").trajectories, stored("mnist").trajectories
    both = dense.merge(sparse, on=["seed", "step"])
    assert len(both) == 940
    assert (both.loss_x == both.loss_y).all()
    means = [
        on_even_log(stored("mnist-dense"), period).loss_fraction.mean() for period in (1, 10, 50)
    ]
    assert means[0] > means[1] + 0.05 > means[2] + 0.1


def test_on_mnist_the_share_depends_on_the_offset_too():
    dense = stored("mnist-dense")
    means = [on_even_log(dense, 10, offset).loss_fraction.mean() for offset in range(10)]
    assert 0.76 < min(means) < 0.78 and 0.83 < max(means) < 0.85


@given(st.lists(st.tuples(st.floats(0.01, 1.0), entries), min_size=2, max_size=12))
def test_loss_share_on_drawn_paths(rows):
    """The loss falls by drawn amounts; curvatures repeat, vanish and change sign."""
    falls, curvature = zip(*rows, strict=True)
    loss = np.cumsum(falls[::-1])[::-1]
    start = len(rows)
    while start and curvature[start - 1] > 0:
        start -= 1
    steps = np.arange(len(rows))
    seen = loss_share(pd.DataFrame({"step": steps, "loss": loss, "curvature": curvature}))
    if start == len(rows):
        assert seen.entry_step is None and seen.loss_fraction == 0
    else:
        share = (loss[start] - loss[-1]) / (loss[0] - loss[-1])
        assert seen.entry_step == start and seen.loss_fraction == pytest.approx(share)


def test_a_share_from_the_first_positive_curvature_on_turns_the_check_red(monkeypatch):
    def hasty(path):
        first = path.curvature.gt(0).idxmax()
        return loss_share(path.assign(curvature=np.where(path.index >= first, 1, -1)))

    monkeypatch.setattr(mnist, "loss_share", hasty)
    with pytest.raises(Unsound, match="violated"):
        mnist.check_loss_share(0)
