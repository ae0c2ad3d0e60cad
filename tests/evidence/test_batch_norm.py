"""The scale that decides the sign, and the stored pairs against what the book says of them."""

import numpy as np
import pytest
from scipy import stats

from evidence import batch_norm as checks
from evidence.batch_norm import BATCHES, effect_gone, stored_pairs
from evidence.claims import Unsound
from pscore.experiments.comparison import beside_each_other
from pscore.experiments.trials import stored


@pytest.mark.parametrize("name", BATCHES)
def test_pairs_have_the_same_seeds_data_and_parameters_but_for_batch_norm(name):
    made = [stored(f"{name}/{form}") for form in ("with", "without")]
    assert sorted(made[0].trials.seed) == sorted(made[1].trials.seed)
    parameters = [one.provenance["parameters"] for one in made]
    assert [p.pop("batch_norm") for p in parameters] == [True, False]
    assert parameters[0] == parameters[1]
    for key in ("experiment", "dataset", "data_digest"):
        assert made[0].provenance[key] == made[1].provenance[key]
    ran = [one.provenance["runs"][-1] for one in made]
    assert all(ran[0][key] == ran[1][key] for key in ("commit", "threads"))
    assert len(stored_pairs(name)[0]) >= (8 if name == "batch-norm-mnist" else 5)


def test_without_batch_norm_the_stored_paths_are_those_of_the_chapter_on_mnist():
    ours = stored("batch-norm-mnist/without").trajectories
    both = ours.merge(stored("mnist").trajectories, on=["seed", "step"])
    assert both.seed.nunique() == ours.seed.nunique()
    assert len(both) == 94 * ours.seed.nunique()
    assert (both.loss_x == both.loss_y).all()


def test_with_batch_norm_lenet5_enters_sooner():
    table = beside_each_other(*stored_pairs("batch-norm-mnist"))
    entry = table.loc["entry_step"]
    assert entry.treated <= 1 < 30 < entry.control
    assert entry.effect_high < -0.5 and entry.p_value < 0.01


def test_with_batch_norm_lenet5_has_the_smaller_curvature_at_equal_loss():
    medians = {}
    for form in ("with", "without"):
        steps = stored(f"batch-norm-mnist/{form}").trajectories
        medians[form] = [
            steps[steps.loss.between(low, high)].curvature.median()
            for low, high in ((0, 0.125), (0.125, 0.25), (0.25, 0.5), (0.5, 1), (1, 2))
        ]
    assert np.all(np.array(medians["with"]) < medians["without"])
    assert 4 * medians["with"][3] < medians["without"][3]


def test_with_batch_norm_resnet22_never_leaves():
    kept, left_out = stored_pairs("batch-norm-cifar10")
    assert kept.entry_step.max() <= 1 < 20 < left_out.entry_step.min()
    assert (kept.curvature_median > left_out.curvature_median).all()  # unlike LeNet-5
    assert (kept.test_accuracy > left_out.test_accuracy).all()


STORED = (
    checks.check_lenet5_enters_sooner,
    checks.check_lenet5_is_less_curved,
    checks.check_resnet22_enters_sooner,
)


@pytest.mark.parametrize("check", STORED, ids=lambda check: check.__name__)
def test_with_labels_by_chance_the_effect_is_mostly_gone(check):
    assert 40 < check(1).rejected <= 50


@pytest.mark.parametrize("check", STORED, ids=lambda check: check.__name__)
def test_exchanged_labels_turn_a_check_red(monkeypatch, check):
    monkeypatch.setattr(checks, "stored_pairs", lambda name: stored_pairs(name)[::-1])
    with pytest.raises(Unsound, match="violated"):
        check(0)


def test_a_wrong_sign_in_the_quotient_turns_the_check_red(monkeypatch):
    right = checks.curvature_at_scale
    monkeypatch.setattr(checks, "curvature_at_scale", lambda g, H, rows, c: -right(g, H, rows, c))
    with pytest.raises(Unsound, match="violated"):
        checks.check_scale_and_sign(0)


def test_labels_by_chance_take_an_effect_away_as_scipy_says_of_the_pairs_themselves():
    treated, control = np.array([1.0, 2.0, 1.5, 0.5]), np.array([4.0, 5.5, 4.0, 4.5])
    seen = effect_gone(treated - control, np.random.default_rng(3), 200)
    coins = np.random.default_rng(3).choice([-1.0, 1.0], size=(200, 4)) < 0
    for gone, other in zip(seen, coins, strict=True):
        pair = np.where(other, control, treated), np.where(other, treated, control)
        assert gone == (stats.ttest_rel(*pair).confidence_interval(0.95).high >= 0)
    assert len(effect_gone(treated - control, np.random.default_rng(0), 0)) == 0


def test_each_label_is_exchanged_by_a_coin_of_its_own():
    """Of three differences that hardly scatter, the effect stays only if no coin says exchange."""
    draw, differences = np.random.default_rng(0), np.array([-5.0, -5.1, -4.9])
    assert 1 - effect_gone(differences, draw, 4000).mean() == pytest.approx(1 / 8, abs=0.02)
