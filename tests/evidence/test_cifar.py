"""Scale invariance, and the stored trials on CIFAR10 against what the book says of them."""

import pytest
from torch.nn import functional

from evidence.cifar import check_scale_invariance
from evidence.claims import Unsound
from evidence.instances import Normalised
from pscore.experiments.share import loss_share
from pscore.experiments.trials import stored


def test_without_the_normalisation_the_check_turns_red(monkeypatch):
    def plain(one, U, V=None):
        return functional.cross_entropy(one.unit(one.x @ U) @ one.V, one.labels)

    monkeypatch.setattr(Normalised, "loss", plain)
    with pytest.raises(Unsound, match="violated"):
        check_scale_invariance(0)


def test_on_cifar10_the_first_step_depends_on_the_batch_and_the_others_curve_upwards():
    start = stored("cifar10-start").trajectories
    first = start[start.step == 0]
    assert (first.curvature < -20).all()
    assert (first.whole_curvature > 5).all()
    later = start[start.step > 0]
    assert (later.curvature > 0).mean() > 0.99
    full = stored("cifar10")
    assert full.trials.steps.tolist() == [65 * 391]
    dense = [loss_share(path) for _, path in full.trajectories.groupby("seed")]
    from_one = [loss_share(path[path.step > 0]) for _, path in full.trajectories.groupby("seed")]
    assert all(share.loss_fraction == 1.0 for share in from_one)
    assert all(0.9 < share.loss_fraction < 0.96 for share in dense)
    assert full.trials.loss_fraction.max() < 0.8  # a log of every fiftieth step
