r"""One training run by stochastic gradient descent, with the loss and its curvature on the way.

The loss is the mean softmax cross-entropy, or half the mean square of the error as in the theory,
plus :math:`\frac\lambda2\|W\|^2` over all weights and biases; each step takes one mini-batch and
the plain step :math:`W \leftarrow W - \eta\nabla\ell_\lambda(W)`, without momentum or augmentation.
"""

import itertools
import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pscore.experiments import checkpoint
from pscore.experiments.data import ImageData
from pscore.experiments.machine import arithmetic, choose_device, float_type, progress, repeatable
from pscore.experiments.models import initialized
from pscore.experiments.provenance import provenance
from pscore.experiments.settings import LOSSES, Settings
from pscore.experiments.share import share_of_trial
from pscore.experiments.trials import ResultStore, Stored
from pscore.probe import CurvatureProbe, Record, every, measure_mean
from pscore.seeds import torch_generator

# How many images the test set is classified by at a time, to bound the memory.
TEST_BATCH = 1000


class DivergedError(FloatingPointError):
    """A loss, a gradient or a weight was not finite; ``run`` keeps what was recorded."""

    def __init__(self, message: str, run: "Run") -> None:
        """Keep the run beside the message."""
        super().__init__(message)
        self.run = run


@dataclass(frozen=True)
class Run:
    """One trial that came to its end, or diverged.

    Attributes:
        seed: the trial's seed.
        trajectory: one row a logged step: ``step``, ``loss``, ``curvature``; and ``whole_loss``,
            ``whole_curvature`` where the whole set was measured.
        test_accuracy: the fraction of test images that the trained network classifies rightly;
            nan where it diverged.
        steps: how many updates were made.
        seconds: the training's wall-clock time, probes included and the test excluded.
        diverged: whether a loss, a gradient or a weight was not finite.
        computed: how: its ``precision``, and whether with ``tf32`` and ``deterministic`` kernels;
            and where it went on from what was made on another day, by another commit or with other
            threads, the provenance of these ``earlier`` pieces, each with its ``until_step``.
        log_every: the period of the even log that the trial's figures are read off.
    """

    seed: int
    trajectory: pd.DataFrame
    test_accuracy: float
    steps: int
    seconds: float
    diverged: bool = False
    computed: Mapping[str, Any] = field(default_factory=dict)
    log_every: int = 1

    def tables(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the trial's row and its trajectory, as a `ResultStore` takes them.

        One that diverged has no share, no t_0 and no last loss.
        """
        share = share_of_trial(self.trajectory, self.log_every, self.diverged)
        row = {
            "seed": self.seed,
            **share._asdict(),
            "test_accuracy": self.test_accuracy,
            "steps": self.steps,
            "seconds": self.seconds,
            "diverged": self.diverged,
        }
        trial = pd.DataFrame([row]).astype({"entry_step": "Int64"})
        return trial, self.trajectory.assign(seed=self.seed)


def train(
    build: Callable[[], nn.Module],
    data: ImageData,
    seed: int,
    settings: Settings,
    *,
    device: str = "auto",
    checkpoint_path: Path | None = None,
) -> Run:
    r"""Train a network once, and record the loss and its curvature on the way.

    Each epoch goes through the training set once, in a new order, the last batch being what is
    left over. The seed settles the first weights and the orders, by two separate streams: a trial
    comes out the same whichever trials ran before it.

    At every step that is a multiple of ``log_every`` the trajectory gets
    :math:`\gamma = \ell_\lambda(W)` and the curvature (17), both of that step's *mini-batch* and
    at the weights before its update: the loss whose gradient the step follows. (The paper does
    not say which batch its figures are of.) So :math:`\gamma(0)` is the loss of the first batch,
    and :math:`\gamma(t_1)` that of the last batch logged.

    With ``whole_every`` the same two are also measured of the whole training set, at the same
    weights, see `pscore.probe.measure_mean`; the images are taken in their own order and in pieces
    of ``batch_size``, which matters with batch norm.

    With a ``checkpoint_path`` the run is saved there after every epoch. Called again with the same
    arguments, it goes on from there, and comes to the same result as one that was never stopped:
    bit by bit on one machine with one number of threads, since what a step computes depends on
    nothing but the weights and the batch, on a GPU too, see `machine.repeatable`. (A model that
    draws random numbers, as dropout does, takes them from torch's global generator, and is outside
    this promise.) The file stays when the run has ended: the caller removes it once the result is
    kept.

    Which steps are logged changes nothing but what is recorded, bit by bit: a measured step calls
    the kernels that a plain one calls, see `pscore.twice`. On a CPU this holds in float64 and in
    float32; on a GPU it is what is asked of torch, and no more. With ``precision="bfloat16"`` it
    does not hold: there the logged steps follow the gradient in float32, and the others one that
    is rounded, so that the path depends on the schedule, by as much as the rounding.

    A loss that is not finite is noticed at the next measured step, or at the end of its epoch, for
    else a GPU would have to be waited for at every step. What has been made since is dropped, and
    the error names the step at which it happened.

    Args:
        build: makes the model, such as ``lenet5``: from images (N, C, H, W) to (N, classes).
        data: the images.
        seed: a non-negative integer.
        settings: all else that the result depends on.
        device: "auto" is the GPU if there is one, else the CPU; or a torch device's name.
        checkpoint_path: the file for the unfinished run, or None.

    Raises:
        ValueError: if the device is not there, the model does not fit the images, there are fewer
            images than ``whole_images``, or ``checkpoint_path`` holds another run.
        DivergedError: if a loss or a logged gradient is not finite, naming seed and step.
    """
    count = len(data.train_labels)
    if settings.whole_images > count:
        raise ValueError(f"whole_images is {settings.whole_images}: there are {count}")
    with repeatable(choose_device(device)):
        training = _Training(build, data, seed, settings, device)
        try:
            training.run(checkpoint_path)
        except FloatingPointError as failure:
            message = f"seed {seed}, {failure}: try a smaller learning_rate"
            raise DivergedError(message, training.result(math.nan, diverged=True)) from None
        right = accuracy(training.model, training.data)
        return training.result(right)


def run_trials(
    store: ResultStore,
    build: Callable[[], nn.Module],
    data: ImageData,
    seeds: Iterable[int],
    settings: Settings,
    *,
    device: str = "auto",
) -> Stored:
    """Run those of some trials that nobody has run or is running, and return all that is stored.

    A trial that diverges is stored as such, with its trajectory, and the others go on.

    Args:
        store: where they are kept.
        build: as for `train`.
        data: likewise.
        seeds: of the trials.
        settings: as for `train`.
        device: likewise.
    """
    for seed in progress(list(seeds), "trials"):
        with store.claim(seed) as mine:
            if not mine:
                continue
            path = store.checkpoint(seed)
            try:
                run = train(build, data, seed, settings, device=device, checkpoint_path=path)
            except DivergedError as failure:
                warnings.warn(f"{failure}; stored as diverged", stacklevel=2)
                run = failure.run
            store.add(*run.tables(), run.computed)
    return store.merge()


class _Training:
    """A model on its way through the data, with what has been measured so far."""

    def __init__(
        self,
        build: Callable[[], nn.Module],
        data: ImageData,
        seed: int,
        settings: Settings,
        device: str,
    ) -> None:
        self.device, dtype = choose_device(device), float_type(settings.dtype)
        self.seed, self.settings = seed, settings
        self.identity = {"seed": seed, "data": data.digest, **asdict(settings)}
        plain = "" if settings.precision == "full" else f", {settings.precision} where not measured"
        self.computed = {"precision": settings.dtype + plain, **arithmetic(self.device)}
        self.here = provenance(self.device.type, self.computed)
        self.earlier: list[dict[str, Any]] = []
        data = data.to(self.device, dtype)
        images = data.train_images.contiguous(memory_format=settings.memory_format)
        self.data = replace(data, train_images=images)
        model = initialized(build, seed)
        self.model = model.to(self.device, dtype, memory_format=settings.memory_format)
        _check_fit(self.model, self.data)
        schedule = every(settings.log_every, settings.log_first)
        self.probe = CurvatureProbe(self.model.parameters(), schedule, settings.weight_decay)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.whole: list[Record] = []
        self.unread: list[tuple[int, Tensor]] = []  # losses of plain steps, by step
        self.epoch_steps = math.ceil(len(data.train_labels) / settings.batch_size)
        self.seconds, self.began = 0.0, time.perf_counter()

    def run(self, checkpoint_path: Path | None) -> None:
        """Make all steps that are left, saving the state after each epoch."""
        if checkpoint_path is not None and checkpoint_path.exists():
            self.restore(checkpoint_path)
        self.began, done = time.perf_counter() - self.seconds, self.probe.step
        total = self.settings.epochs * self.epoch_steps
        batches = itertools.islice(self._batches(), done, None)
        try:
            for chosen in progress(batches, f"seed {self.seed}", total, done):
                self.step(chosen)
                if self.probe.step % self.epoch_steps == 0:
                    self.check()
                    if checkpoint_path is not None:
                        self.save(checkpoint_path)
            if not all(weights.isfinite().all() for weights in self.model.parameters()):
                raise FloatingPointError(f"step {total}: a weight is not finite")
        finally:
            self.seconds = time.perf_counter() - self.began

    def _batches(self) -> Iterator[Tensor]:
        """Go through the epochs, each in an order of its own, which is drawn on the CPU."""
        generator, count = torch_generator(self.seed, "shuffling"), len(self.data.train_labels)
        for _ in range(self.settings.epochs):
            order = torch.randperm(count, generator=generator).to(self.device)
            yield from order.split(self.settings.batch_size)

    def step(self, chosen: Tensor) -> None:
        """Make one update on the chosen images, and measure what is due before it."""
        step, settings = self.probe.step, self.settings
        if settings.drop_epoch and step >= settings.drop_epoch * self.epoch_steps:
            dropped = settings.learning_rate * settings.drop_factor
            self.optimizer.param_groups[0]["lr"] = dropped
        if settings.whole_every and step % settings.whole_every == 0:
            self.check()
            measurement = measure_mean(self._whole_losses, self.model, settings.weight_decay)
            self.whole.append(Record(step, *measurement))
        self.optimizer.zero_grad()
        if self.probe.schedule(step):
            self.check()
            with self.probe.forward():
                loss = self._loss(chosen)
            self.probe.backward(loss)
        else:
            self._backward(chosen)
        self.optimizer.step()

    def _backward(self, chosen: Tensor) -> None:
        """Do what the probe does at a step that it does not measure, but leave the loss unread."""
        loss = self._loss(chosen, self.settings.precision == "bfloat16")
        loss.backward()
        self.unread.append((self.probe.step, loss.detach()))
        self.probe.step += 1

    def check(self) -> None:
        """Read the losses of plain steps, for which a GPU is waited for.

        Raises:
            FloatingPointError: if one is not finite; the count of steps goes back to that one.
        """
        unread, self.unread = self.unread, []
        losses = torch.stack([loss for _, loss in unread]).tolist() if unread else []
        for (step, _), loss in zip(unread, losses, strict=True):
            if not math.isfinite(loss):
                self.probe.step = step + 1
                raise FloatingPointError(f"step {step}: the loss is {loss}")

    def _loss(self, chosen: Tensor | slice, rounded: bool = False) -> Tensor:
        """Return the loss of the chosen images; ``rounded`` computes the outputs in bfloat16."""
        images = self.data.train_images[chosen]
        with torch.autocast(self.device.type, torch.bfloat16) if rounded else nullcontext():
            outputs = self.model(images)
        return LOSSES[self.settings.loss](outputs.to(images), self.data.train_labels[chosen])

    def _whole_losses(self) -> Iterator[tuple[Tensor, float]]:
        images = self.settings.whole_images or len(self.data.train_labels)
        for first in range(0, images, self.settings.batch_size):
            end = min(first + self.settings.batch_size, images)
            yield self._loss(slice(first, end)), end - first

    def save(self, path: Path) -> None:
        tables = {"batch": _array(self.probe.records), "whole": _array(self.whole)}
        ran = [*self.earlier, {**self.here, "until_step": self.probe.step}]
        seconds = time.perf_counter() - self.began
        state = checkpoint.Progress(self.probe.step, seconds, tables, ran)
        checkpoint.save(path, self.model, state, self.identity)

    def restore(self, path: Path) -> None:
        found = checkpoint.restore(path, self.model, self.identity)
        self.probe.step, self.seconds, tables, ran = found
        self.probe.records, self.whole = (_records(tables[name]) for name in ("batch", "whole"))
        self.earlier = ran[:-1] if {**ran[-1], **self.here} == ran[-1] else ran

    def result(self, test_accuracy: float, diverged: bool = False) -> Run:
        """Return what came out of the steps that were made."""
        made = self.trajectory(), test_accuracy, self.probe.step, self.seconds
        computed = self.computed | ({"earlier": self.earlier} if self.earlier else {})
        return Run(self.seed, *made, diverged, computed, self.settings.log_every)

    def trajectory(self) -> pd.DataFrame:
        """One row a logged step, with ``whole_loss`` and ``whole_curvature`` if they are due."""
        columns = ["step", "loss", "curvature"]
        table = pd.DataFrame(self.probe.records, columns=list(Record._fields))[columns]
        if not self.whole:
            return table
        beside = pd.DataFrame(self.whole)[columns].rename(
            columns={"loss": "whole_loss", "curvature": "whole_curvature"}
        )
        return table.merge(beside, how="left", on="step")


def accuracy(model: nn.Module, data: ImageData) -> float:
    """Return the fraction of test images that the model, in evaluation mode, classifies rightly."""
    training = model.training
    model.eval()
    with torch.no_grad():
        pieces = (whole.split(TEST_BATCH) for whole in (data.test_images, data.test_labels))
        right = sum(int((model(x).argmax(1) == u).sum()) for x, u in zip(*pieces, strict=True))
    model.train(training)
    return right / len(data.test_labels)


def _array(records: list[Record]) -> NDArray[np.float64]:
    return np.array(records, dtype=np.float64).reshape(-1, len(Record._fields))


def _records(array: NDArray[np.float64]) -> list[Record]:
    return [Record(int(step), *rest) for step, *rest in array.tolist()]


def _check_fit(model: nn.Module, data: ImageData) -> None:
    """Classify one image before anything is trained."""
    model.eval()
    try:
        with torch.no_grad():
            shape = tuple(model(data.train_images[:1]).shape)
    except RuntimeError as error:
        raise ValueError(
            f"the model does not take {data.name}'s {data.shape} images: {error}"
        ) from error
    finally:
        model.train()
    if shape != (1, data.classes):
        raise ValueError(f"{data.name} has {data.classes} classes, the model {shape[1:]} logits")
