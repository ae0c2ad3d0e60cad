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


def test_on_cifar10_the_first_weights_decide_the_sign_at_the_start():
    """Twenty draws each, from the same seeds on the same images; none of them was trained."""
    inside = {}
    for name in ("default", "he", "softmax"):
        trials, paths, made = stored(f"cifar10-first/{name}")
        assert made["parameters"].get("initialization", "default") == name
        assert paths.step.eq(0).all() and len(trials) == paths.seed.nunique() == 20
        inside[name] = (paths.curvature > 0).sum()
    assert inside["softmax"] == 20 and inside["default"] <= 5 < inside["he"] < 15


@pytest.mark.parametrize("pixels", ["standard", "unit"])
def test_on_cifar10_the_pixels_scale_does_not_decide_it(pixels):
    for name, inside in (("default", False), ("softmax", True)):
        _, paths, made = stored(f"cifar10-weights/{pixels}-{name}")
        assert made["parameters"]["normalization"] == pixels and paths.seed.nunique() == 2
        assert (paths.query("step == 0").curvature > 0).eq(inside).all()


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
