"""One training run: what it depends on, what it records, and what is read off a trajectory."""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from pscore.experiments import training
from pscore.experiments.data import load
from pscore.experiments.models import initialized, lenet5, resnet22
from pscore.experiments.settings import Settings
from pscore.experiments.training import DivergedError, Run, accuracy, run_trials, train
from pscore.experiments.trials import ResultStore
from pscore.probe import measure
from pscore.seeds import torch_generator

SETTINGS = Settings(epochs=2, learning_rate=0.05, weight_decay=5e-4, log_every=1, dtype="float64")


def linear_model():
    return nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 10))


@pytest.fixture(scope="module")
def digits():
    """A quarter of the digits, to be quick: 3 steps an epoch, the last of 119 images."""
    data = load("digits")
    return replace(data, train_images=data.train_images[:375], train_labels=data.train_labels[:375])


@pytest.fixture(scope="module")
def run(digits):
    return train(lenet5, digits, 7, SETTINGS)


def test_same_seed_same_trial_whatever_ran_before(digits, run):
    train(lenet5, digits, 8, SETTINGS)
    torch.rand(3)
    again = train(lenet5, digits, 7, SETTINGS)
    pd.testing.assert_frame_equal(run.trajectory, again.trajectory)
    assert run.test_accuracy == again.test_accuracy


def test_other_seed_other_trial(digits, run):
    other = train(lenet5, digits, 8, SETTINGS)
    assert abs(other.trajectory["loss"] - run.trajectory["loss"]).max() > 1e-3


def test_probing_less_often_changes_nothing_but_the_records(digits, run):
    sparse = train(lenet5, digits, 7, replace(SETTINGS, log_every=4))
    assert sparse.trajectory["step"].tolist() == [0, 4]
    every_fourth = run.trajectory.iloc[::4].reset_index(drop=True)
    pd.testing.assert_frame_equal(sparse.trajectory, every_fourth)
    assert sparse.test_accuracy == run.test_accuracy


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_path_does_not_depend_on_when_it_is_measured(digits, dtype):
    """With every kind of layer, each measured step having its own forward and backward pass."""
    path_does_not_depend_on_when_it_is_measured(digits, dtype, "cpu")


def path_does_not_depend_on_when_it_is_measured(digits, dtype, device):
    settings = replace(SETTINGS, dtype=dtype, channels_last=True, log_every=5, log_first=1)
    rare, dense = (
        train(small_resnet, digits, 7, replace(settings, log_first=first), device=device)
        for first in (1, 5)
    )
    assert dense.trajectory["step"].tolist() == [0, 1, 2, 3, 4, 5]
    both = dense.trajectory.iloc[[0, 5]].reset_index(drop=True)
    pd.testing.assert_frame_equal(rare.trajectory, both, check_exact=True)
    assert rare.test_accuracy == dense.test_accuracy


class Counts(TorchDispatchMode):
    """How often a number was read or a tensor copied."""

    def __init__(self):
        super().__init__()
        self.read = self.copied = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name.removeprefix("aten::")
        self.read += name == "_local_scalar_dense"
        self.copied += name in ("clone", "_to_copy")
        return func(*args, **(kwargs or {}))


def test_a_plain_step_reads_no_number_and_copies_no_image(digits):
    """Four times as many steps, of which one is measured as before."""
    colour = digits.train_images.expand(-1, 3, -1, -1)
    data = replace(
        digits, train_images=colour, test_images=digits.test_images.expand(-1, 3, -1, -1)
    )
    counts = []
    for size in (128, 32):
        settings = replace(SETTINGS, epochs=1, batch_size=size, log_every=100, channels_last=True)
        with Counts() as counted:
            train(lambda: small_resnet(3), data, 7, settings)
        counts.append((counted.read, counted.copied))
    assert counts[0] == counts[1]
    assert min(counts[0]) > 0


def test_trajectory_is_plain_gradient_descent_on_mini_batches(digits, run):
    """The same run written out: own weight decay, own step, no optimiser and no probe."""
    model = initialized(lenet5, 7).double()
    images, labels = digits.train_images.double(), digits.train_labels
    generator, losses = torch_generator(7, "shuffling"), []
    for _ in range(SETTINGS.epochs):
        order = torch.randperm(len(labels), generator=generator)
        for start in range(0, len(labels), 128):
            batch = order[start : start + 128]
            squares = sum((p**2).sum() for p in model.parameters())
            cross_entropy = functional.cross_entropy(model(images[batch]), labels[batch])
            loss = cross_entropy + SETTINGS.weight_decay / 2 * squares
            losses.append(loss.item())
            gradients = torch.autograd.grad(loss, list(model.parameters()))
            with torch.no_grad():
                for p, gradient in zip(model.parameters(), gradients, strict=True):
                    p -= SETTINGS.learning_rate * gradient
    np.testing.assert_allclose(run.trajectory["loss"], losses, rtol=1e-10)
    assert run.steps == len(losses) == 6
    assert run.trajectory["step"].tolist() == list(range(6))
    assert run.test_accuracy == accuracy(model, digits.to("cpu", torch.float64))


def test_training_by_the_squared_loss_against_a_plain_loop(digits):
    """With the gradient of a linear model written out, its bias and weight decay among it."""
    settings = replace(SETTINGS, weight_decay=0.1, loss="squared")
    run = train(linear_model, digits, 7, settings)
    model, generator = initialized(linear_model, 7), torch_generator(7, "shuffling")
    A, b = (p.detach().numpy() for p in model.parameters())
    x = digits.train_images.double().flatten(1).numpy()
    targets = np.eye(10)[digits.train_labels.numpy()]
    losses = []
    for _ in range(settings.epochs):
        order = torch.randperm(len(x), generator=generator).numpy()
        for start in range(0, len(x), 128):
            batch = order[start : start + 128]
            e = x[batch] @ A.T + b - targets[batch]
            decay = 0.1 / 2 * (np.square(A).sum() + np.square(b).sum())
            losses.append(np.square(e).sum() / (2 * len(batch)) + decay)
            steps = e.T @ x[batch] / len(batch) + 0.1 * A, e.mean(0) + 0.1 * b
            A, b = (w - settings.learning_rate * g for w, g in zip((A, b), steps, strict=True))
    np.testing.assert_allclose(run.trajectory["loss"], losses, rtol=1e-10)
    test = digits.test_images.double().flatten(1).numpy() @ A.T + b
    assert run.test_accuracy == (test.argmax(1) == digits.test_labels.numpy()).mean()
    whole = train(linear_model, digits, 7, replace(settings, whole_every=6)).trajectory
    A, b = (p.detach().numpy() for p in initialized(linear_model, 7).parameters())
    first = np.square(x @ A.T + b - targets).sum() / (2 * len(x))
    decay = 0.05 * (np.square(A).sum() + np.square(b).sum())
    assert whole.whole_loss[0] == pytest.approx(first + decay)


def test_cross_entropy_is_the_default_bit_by_bit(digits, run):
    named = train(lenet5, digits, 7, replace(SETTINGS, loss="cross-entropy"))
    pd.testing.assert_frame_equal(named.trajectory, run.trajectory, check_exact=True)
    assert named.test_accuracy == run.test_accuracy


def test_the_first_steps_can_be_logged_one_by_one(digits, run):
    dense = train(lenet5, digits, 7, replace(SETTINGS, log_every=4, log_first=3))
    assert dense.trajectory["step"].tolist() == [0, 1, 2, 4]
    pd.testing.assert_frame_equal(
        dense.trajectory, run.trajectory.iloc[[0, 1, 2, 4]].reset_index(drop=True)
    )


def test_learning_rate_drops_after_the_epoch_named(digits, run):
    """Before the drop nothing differs; the step after it is as long as the factor says."""
    drop = replace(SETTINGS, drop_epoch=1, drop_factor=1e-9)
    dropped = train(lenet5, digits, 7, drop).trajectory
    # the loss at step 3 is still that of the weights after three full steps
    pd.testing.assert_frame_equal(dropped.iloc[:4], run.trajectory.iloc[:4])
    assert abs(dropped["loss"] - run.trajectory["loss"])[4:].min() > 1e-6
    stopped = train(lenet5, digits, 7, replace(SETTINGS, epochs=1))
    whole = train(lenet5, digits, 7, replace(drop, drop_factor=1e-300))
    assert whole.test_accuracy == stopped.test_accuracy


def test_the_dropped_learning_rate_is_the_rate_times_the_factor(digits):
    """Against a loop with two rates: six steps of 0.05, and from the third epoch on of 0.015."""
    settings = replace(SETTINGS, epochs=4, drop_epoch=2, drop_factor=0.3)
    run = train(linear_model, digits, 7, settings)
    model, draw = initialized(linear_model, 7).double(), torch_generator(7, "shuffling")
    images, labels, losses = digits.train_images.double(), digits.train_labels, []
    orders = [torch.randperm(len(labels), generator=draw) for _ in range(4)]
    batches = [batch for order in orders for batch in order.split(128)]
    for batch, rate in zip(batches, [0.05] * 6 + [0.015] * 6, strict=True):
        error = functional.cross_entropy(model(images[batch]), labels[batch])
        loss = error + 5e-4 / 2 * sum((p**2).sum() for p in model.parameters())
        losses.append(loss.item())
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for p, gradient in zip(model.parameters(), gradients, strict=True):
                p -= rate * gradient
    np.testing.assert_allclose(run.trajectory["loss"], losses, rtol=1e-10)


def test_the_whole_training_set_is_measured_at_the_same_weights(digits, run):
    """At each point against one loss of all images; the run itself is left as it was."""
    whole = train(lenet5, digits, 7, replace(SETTINGS, whole_every=2)).trajectory
    pd.testing.assert_frame_equal(whole[run.trajectory.columns], run.trajectory)
    assert whole["whole_loss"].notna().tolist() == [True, False] * 3
    assert whole["whole_curvature"].notna().tolist() == [True, False] * 3
    for step, few in ((0, 0), (0, 375), (2, 100)):
        settings = replace(SETTINGS, whole_every=2, whole_images=few)
        at = train(lenet5, digits, 7, settings).trajectory.iloc[step]
        images, labels = digits.train_images.double(), digits.train_labels
        if few:
            images, labels = images[:few], labels[:few]
        model = weights_before(digits, step)
        parameters = list(model.parameters())
        loss = functional.cross_entropy(model(images), labels)
        expected, _ = measure(loss, parameters, SETTINGS.weight_decay)
        assert at["whole_loss"] == pytest.approx(expected.loss, rel=1e-10)
        assert at["whole_curvature"] == pytest.approx(expected.curvature, rel=1e-8)


def weights_before(digits, step):
    """The model of seed 7 before its update in a step, trained by itself."""
    model, generator = initialized(lenet5, 7), torch_generator(7, "shuffling")
    optimizer = torch.optim.SGD(
        model.parameters(), SETTINGS.learning_rate, weight_decay=SETTINGS.weight_decay
    )
    order = torch.randperm(len(digits.train_labels), generator=generator)
    for chosen in order.split(128)[:step]:
        optimizer.zero_grad()
        logits = model(digits.train_images[chosen].double())
        functional.cross_entropy(logits, digits.train_labels[chosen]).backward()
        optimizer.step()
    return model


def small_resnet(channels=1):
    """Four layers with batch norms, of which the running means are state too."""
    first = nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4, affine=False), nn.ReLU()
    second = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU()
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10)
    return nn.Sequential(*first, nn.AvgPool2d(2), *second, *head)


class StoppedError(Exception):
    """Stands for a process that is killed."""


@pytest.mark.parametrize("precision", ["full", "bfloat16"])
@pytest.mark.parametrize("last_step", [5, 7])
def test_a_run_that_was_stopped_goes_on_to_the_same_result(
    digits, tmp_path, monkeypatch, last_step, precision
):
    """Killed in the middle of the second or third epoch, it loses no more than that epoch."""
    settings = replace(SETTINGS, dtype="float32", precision=precision)
    stopped_goes_on_to_the_same_result(digits, tmp_path, monkeypatch, last_step, settings, "cpu")


def stopped_goes_on_to_the_same_result(data, tmp_path, monkeypatch, last_step, settings, device):
    settings = replace(settings, epochs=3, log_every=2, channels_last=True)
    settings = replace(settings, drop_epoch=2, whole_every=4)
    whole = train(small_resnet, data, 7, settings, device=device)
    path, step, steps = tmp_path / "new" / "run.npz", training._Training.step, []

    def killed_after(run, chosen):
        steps.append(run.probe.step)
        if run.probe.step == last_step:
            raise StoppedError
        return step(run, chosen)

    with monkeypatch.context() as patched:
        patched.setattr(training._Training, "step", killed_after)
        with pytest.raises(StoppedError):
            train(small_resnet, data, 7, settings, device=device, checkpoint_path=path)
        steps.clear()
        with pytest.raises(StoppedError):
            train(small_resnet, data, 7, settings, device=device, checkpoint_path=path)
    assert steps[0] == last_step // 3 * 3
    resumed = train(small_resnet, data, 7, settings, device=device, checkpoint_path=path)
    pd.testing.assert_frame_equal(whole.trajectory, resumed.trajectory, check_exact=True)
    assert resumed.test_accuracy == whole.test_accuracy
    assert resumed.steps == whole.steps


def test_a_run_saved_at_its_end_comes_back_whole(digits, tmp_path):
    path = tmp_path / "run.npz"
    first = train(small_resnet, digits, 7, SETTINGS, checkpoint_path=path)
    again = train(small_resnet, digits, 7, SETTINGS, checkpoint_path=path)
    pd.testing.assert_frame_equal(first.trajectory, again.trajectory, check_exact=True)
    assert first.test_accuracy == again.test_accuracy
    assert again.seconds > 0.5 * first.seconds


def test_another_runs_checkpoint_is_refused(digits, tmp_path):
    path = tmp_path / "run.npz"
    train(small_resnet, digits, 7, SETTINGS, checkpoint_path=path)
    kept = path.read_bytes()
    with pytest.raises(ValueError, match=r"a run with seed = 7, not 8; remove .*run.npz"):
        train(small_resnet, digits, 8, SETTINGS, checkpoint_path=path)
    with pytest.raises(ValueError, match=r"with learning_rate = 0.05, not 0.1"):
        changed = replace(SETTINGS, learning_rate=0.1)
        train(small_resnet, digits, 7, changed, checkpoint_path=path)
    with pytest.raises(ValueError, match=r"with loss = 'cross-entropy', not 'squared'"):
        changed = replace(SETTINGS, loss="squared")
        train(small_resnet, digits, 7, changed, checkpoint_path=path)
    with pytest.raises(ValueError, match=r"the model does not fit the checkpoint"):
        train(linear_model, digits, 7, SETTINGS, checkpoint_path=path)
    assert path.read_bytes() == kept
    path.write_bytes(kept[:300])
    with pytest.raises(ValueError, match=r"the checkpoint cannot be read: .*; remove"):
        train(small_resnet, digits, 7, SETTINGS, checkpoint_path=path)


def test_it_learns(digits):
    run = train(linear_model, digits, 0, replace(SETTINGS, epochs=10))
    assert run.test_accuracy > 0.85
    assert run.seconds > 0


def test_precision_is_asked_for(digits, run):
    single = train(lenet5, digits, 7, replace(SETTINGS, dtype="float32"))
    gap = abs(single.trajectory["loss"] - run.trajectory["loss"]).max()
    assert 0 < gap < 1e-4


BFLOAT16 = replace(SETTINGS, dtype="float32", precision="bfloat16", channels_last=True)


def test_plain_steps_in_bfloat16_leave_what_is_measured_alone(digits):
    """Measured at every step, or at the first alone, it is a run in float32."""
    full = train(small_resnet, digits, 7, replace(BFLOAT16, precision="full", whole_every=2))
    every = train(small_resnet, digits, 7, replace(BFLOAT16, whole_every=2))
    pd.testing.assert_frame_equal(full.trajectory, every.trajectory, check_exact=True)
    assert full.test_accuracy == every.test_accuracy
    some = train(small_resnet, digits, 7, replace(BFLOAT16, log_every=4, whole_every=2)).trajectory
    assert some.iloc[0].equals(full.trajectory.iloc[0])
    assert 0 < abs(some["loss"][1] - full.trajectory["loss"][4]) < 1e-3


def test_plain_steps_in_bfloat16_against_a_loop_of_their_own(digits):
    """Weights and gradients are float32 throughout, the loss and what is measured as well."""
    run = train(small_resnet, digits, 7, replace(BFLOAT16, log_every=4)).trajectory
    model = initialized(small_resnet, 7).float().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), 0.05, weight_decay=5e-4)
    draw, labels = torch_generator(7, "shuffling"), digits.train_labels
    batches = [b for _ in range(2) for b in torch.randperm(len(labels), generator=draw).split(128)]
    for step, chosen in enumerate(batches[:5]):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=step not in (0, 4)):
            outputs = model(digits.train_images[chosen])
        assert (outputs.dtype == torch.bfloat16) == (step not in (0, 4))
        loss = functional.cross_entropy(outputs.float(), labels[chosen])
        if step == 4:
            expected, _ = measure(loss, list(model.parameters()), 5e-4)
            break
        loss.backward()
        assert {p.dtype for p in model.parameters()} == {torch.float32}
        assert {p.grad.dtype for p in model.parameters()} == {torch.float32}
        optimizer.step()
    assert run["loss"][1] == expected.loss
    assert run["curvature"][1] == pytest.approx(expected.curvature, rel=1e-4)


def test_a_run_says_how_it_was_computed(digits, run, tmp_path):
    assert run.computed == {"precision": "float64", "tf32": False, "deterministic": True}
    store = ResultStore(tmp_path, experiment="t", dataset="digits", parameters={})
    settings = replace(BFLOAT16, epochs=1, log_every=4)
    (ran,) = run_trials(store, linear_model, digits, [0], settings).provenance["runs"]
    assert ran["precision"] == "float32, bfloat16 where not measured"
    assert ran["tf32"] is False and ran["deterministic"] is True


def test_a_run_in_pieces_says_who_made_which(digits, tmp_path, monkeypatch):
    """Four steps, a commit and a stop each: the first two pieces are by one commit, on one day."""
    store = ResultStore(tmp_path, experiment="t", dataset="digits", parameters={})
    settings = replace(SETTINGS, epochs=4, batch_size=len(digits.train_labels))
    save = training._Training.save

    def killed_once_saved(run, path):
        save(run, path)
        raise StoppedError

    for commit in ("first", "first", "second"):
        with monkeypatch.context() as patched:
            patched.setattr(training._Training, "save", killed_once_saved)
            patched.setattr(training, "provenance", lambda *_, commit=commit: {"commit": commit})
            with pytest.raises(StoppedError):
                run_trials(store, linear_model, digits, [0], settings)
    (ran,) = run_trials(store, linear_model, digits, [0], settings).provenance["runs"]
    pieces = [(piece["commit"], piece["until_step"]) for piece in ran["earlier"]]
    assert pieces == [("first", 2), ("second", 3)]
    assert ran["commit"] not in ("first", "second")
    whole = run_trials(
        ResultStore("", experiment="t", dataset="digits", parameters={}),
        *(linear_model, digits, [0], settings),
    )
    assert "earlier" not in whole.provenance["runs"][0]


def test_rows_have_what_the_tables_need(run):
    trial, trajectory = run.tables()
    assert len(trial) == 1
    assert trial.loc[0, "seed"] == 7
    assert {"loss_fraction", "time_fraction", "test_accuracy", "seconds"} <= set(trial.columns)
    assert str(trial["entry_step"].dtype) == "Int64"
    assert set(trajectory.columns) == {"seed", "step", "loss", "curvature"}


def test_a_row_has_the_share_of_its_path_and_of_one_that_diverged_the_first_loss():
    losses, curvatures = [5.0, 3.0, 1.0], [-1.0, 2.0, 3.0]
    path = pd.DataFrame({"step": [0, 10, 20], "loss": losses, "curvature": curvatures})
    row = Run(7, path, 0.9, 21, 1.5, log_every=10).tables()[0].loc[0]
    assert (row.loss_fraction, row.time_fraction, row.entry_step) == (0.5, 0.5, 10)
    assert (row.test_accuracy, row.steps, row.seconds, row.diverged) == (0.9, 21, 1.5, False)
    row = Run(7, path, 0.9, 21, 1.5, log_every=20).tables()[0].loc[0]
    assert (row.loss_fraction, row.entry_step) == (0.0, 20)  # of what such a log keeps
    row = Run(7, path, np.nan, 21, 1.5, diverged=True).tables()[0].loc[0]
    assert (row.loss_initial, row.diverged) == (5.0, True)
    assert row.isna().sum() == 7


def test_a_loss_that_explodes_names_seed_and_step_and_keeps_the_trajectory(digits):
    message = r"seed 3, step \d+: .* smaller learning_rate"
    with pytest.raises(DivergedError, match=message) as caught:
        train(lenet5, digits, 3, replace(SETTINGS, log_every=2, learning_rate=1e200))
    kept = caught.value.run
    assert kept.trajectory["step"].tolist() == [0] and np.isfinite(kept.trajectory["loss"]).all()
    row = kept.tables()[0].iloc[0]
    assert row.diverged and np.isfinite(row.loss_initial)
    assert np.isnan([row.loss_final, row.loss_fraction, row.curvature_p10, row.test_accuracy]).all()


@pytest.mark.parametrize("bad", [1, 3, 5])
def test_a_plain_step_s_loss_that_is_not_finite_is_named_later(digits, tmp_path, bad):
    """Noticed at the measured step after it or at the epoch's end, and not saved at that."""
    made, path = [], tmp_path / "run.npz"

    class Fragile(nn.Linear):
        def forward(self, x):
            made.append(self)
            return super().forward(x) * (float("inf") if len(made) == bad + 2 else 1.0)

    def fragile():
        return nn.Sequential(nn.Flatten(), Fragile(28 * 28, 10))

    with pytest.raises(DivergedError, match=f"seed 3, step {bad}: the loss is nan") as caught:
        train(fragile, digits, 3, replace(SETTINGS, log_every=2), checkpoint_path=path)
    assert caught.value.run.steps == bad + 1
    assert caught.value.run.trajectory["step"].tolist() == list(range(0, bad, 2))
    assert path.exists() == (bad > 2)
    if path.exists():
        assert np.load(path)["step"] == 3


def test_a_trial_that_diverges_is_stored_as_such_and_the_others_go_on(digits, tmp_path):
    """The second seed's weights are made huge, so that its first step is its last."""
    drawn = []

    def unlucky():
        model = lenet5()
        drawn.append(model)
        if len(drawn) == 2:
            nn.init.constant_(next(model.parameters()), 1e30)
        return model

    store = ResultStore(tmp_path, experiment="t", dataset="digits", parameters={})
    with pytest.warns(UserWarning, match="seed 1, step .*stored as diverged") as caught:
        trials, paths, _ = run_trials(store, unlucky, digits, range(3), SETTINGS)
    (said,) = (one for one in caught if "diverged" in str(one.message))
    assert said.filename == __file__  # where the trials were asked for
    assert trials.diverged.tolist() == [False, True, False]
    assert trials.loss_final.isna().tolist() == [False, True, False]
    assert set(paths.seed) >= {0, 2}
    again = run_trials(store, unlucky, digits, range(3), SETTINGS)
    assert len(drawn) == 3 and again.trials.equals(trials)  # nothing was run again


def test_what_another_process_is_running_is_left_to_it(digits, tmp_path):
    stores = [
        ResultStore(tmp_path, experiment="t", dataset="digits", parameters={}) for _ in range(2)
    ]
    short = replace(SETTINGS, epochs=1)
    with stores[0].claim(0):
        assert run_trials(stores[1], lenet5, digits, range(2), short).trials.seed.tolist() == [1]
    assert run_trials(stores[1], lenet5, digits, range(2), short).trials.seed.tolist() == [0, 1]


def test_an_explosion_in_the_very_last_step_is_seen(digits):
    small = replace(digits, train_images=digits.train_images[:128])
    small = replace(small, train_labels=digits.train_labels[:128])
    steep = replace(SETTINGS, epochs=1, learning_rate=1e308, weight_decay=1e3)
    with pytest.raises(DivergedError, match="seed 0, step 1: a weight is not finite"):
        train(lenet5, small, 0, steep)


def test_what_only_the_data_or_the_machine_can_tell_is_refused(digits):
    with pytest.raises(ValueError, match="whole_images is 376: there are 375"):
        train(lenet5, digits, 0, replace(SETTINGS, whole_images=376))
    with pytest.raises(ValueError, match="device 'abacus' cannot be used here"):
        train(lenet5, digits, 0, SETTINGS, device="abacus")


def test_model_that_does_not_fit_is_refused_before_training(digits):
    small = digits.train_images[:, :, ::2, ::2]
    with pytest.raises(ValueError, match=r"does not take digits's \(1, 14, 14\) images"):
        train(lenet5, replace(digits, train_images=small), 0, SETTINGS)
    with pytest.raises(ValueError, match=r"digits has 10 classes, the model \(12,\) logits"):
        train(lambda: lenet5(12), digits, 0, SETTINGS)


def test_accuracy_is_of_the_model_in_evaluation_mode(digits):
    class Moody(nn.Module):
        def forward(self, x):
            logits = functional.one_hot(digits.test_labels, 10)[: len(x)].float()
            return -logits if self.training else logits

    model = Moody()
    assert accuracy(model, digits) == 1.0
    assert model.training


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_path_on_a_gpu_does_not_depend_on_when_it_is_measured(digits, dtype):
    path_does_not_depend_on_when_it_is_measured(digits, dtype, "cuda")


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["full", "bfloat16"])
def test_a_run_on_a_gpu_goes_on_to_the_same_result(digits, tmp_path, monkeypatch, precision):
    settings = replace(SETTINGS, dtype="float32", precision=precision)
    stopped_goes_on_to_the_same_result(digits, tmp_path, monkeypatch, 5, settings, "cuda")


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["lenet5", "lenet5 with batch norm", "resnet22"])
def test_the_networks_train_on_a_gpu_as_on_a_cpu(digits, name):
    others = {"lenet5": lenet5, "resnet22": partial(resnet22, channels=1)}
    build = others.get(name, partial(lenet5, batch_norm=True))
    settings = replace(SETTINGS, dtype="float64", channels_last=True)
    cpu, gpu = (train(build, digits, 7, settings, device=device) for device in ("cpu", "cuda"))
    assert gpu.computed == cpu.computed
    columns = ["loss", "curvature"]
    np.testing.assert_allclose(gpu.trajectory[columns], cpu.trajectory[columns], rtol=1e-6)


@pytest.mark.gpu
def test_a_gpu_is_not_waited_for_at_a_plain_step(digits, monkeypatch):
    plain, steps = training._Training._backward, []

    def alone(run, chosen):
        torch.cuda.set_sync_debug_mode("error")
        try:
            plain(run, chosen)
            steps.append(run.probe.step)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(training._Training, "_backward", alone)
    train(small_resnet, digits, 7, replace(SETTINGS, log_every=3), device="cuda")
    assert steps == [2, 3, 5, 6]
