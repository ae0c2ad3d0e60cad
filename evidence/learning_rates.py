r"""Trains networks from the same first weights at a ladder of learning rates, and measures them.

Of a batch b, with gradient :math:`g_b` and Hessian :math:`\mathbf{H}_b` of its regularised loss,
each logged step has the curvature (17), :math:`c = 2\,g_b^T\mathbf{H}_bg_b/\|g_b\|^2`, and the loss
of the same batch before and after the step. At a few points the weights are held and more is
measured: of several other batches, and of some fixed images that stand for the whole set.
"""

import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from evidence.claims import Evidence, claim
from pscore.experiments.data import ImageData
from pscore.experiments.models import initialized
from pscore.experiments.settings import LOSSES
from pscore.experiments.share import share_of_trial
from pscore.experiments.statistics import student
from pscore.experiments.training import accuracy
from pscore.experiments.trials import stored
from pscore.measurement import flat, hessian_product
from pscore.probe import CurvatureProbe
from pscore.seeds import rng, torch_generator
from pscore.twice import CheapTwice

RATIO = 10 ** (1 / 3)  # between two rungs of the ladder, and between two windows of steps


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How one network is trained and measured.

    Attributes:
        learning_rate: η.
        batch_size: images a step; 0 is all of them.
        loss: a name in `LOSSES`.
        weight_decay: λ.
        steps: how many.
        log_first: how many of the first steps are logged one by one.
        log_every: between two logged steps after that.
        whole_images: how many fixed images stand for the whole set; 0: it is not measured.
        batches: how many batches are drawn at each of the few points.
        lanczos: steps of Lanczos at the last of them; 0: none.
    """

    learning_rate: float
    batch_size: int
    loss: str
    weight_decay: float
    steps: int
    log_first: int
    log_every: int
    whole_images: int
    batches: int
    lanczos: int

    @property
    def points(self) -> list[int]:
        """The steps at which more is measured: the last, and before it at ratios of 10^(2/3)."""
        last = self.steps - 1
        return sorted({round(last / RATIO ** (2 * k)) for k in range(3)})

    def is_logged(self, step: int) -> bool:
        """Say whether the step's own batch is measured."""
        return step < self.log_first or step % self.log_every == 0 or step in self.points


class Images:
    """A data set's training images, with what is asked of some of them at a network's weights.

    Args:
        data: the images.
        count: how many of them are used, from the first; 0 is all.
    """

    def __init__(self, data: ImageData, count: int = 0) -> None:
        """Keep the first images."""
        self.count = count or len(data.train_labels)
        # With channels last, pooling and large batches are faster, by a third on a CPU.
        self.x = data.train_images[: self.count].contiguous(memory_format=torch.channels_last)
        self.labels = data.train_labels[: self.count]

    def orders(self, seed: int, size: int) -> Iterator[Tensor]:
        """Go through all images again and again, each time in a new order, batch by batch."""
        generator = torch_generator(seed, "shuffling")
        while True:
            order = torch.randperm(self.count, generator=generator)
            yield from order.split(size or self.count)

    def loss(self, model: nn.Module, plan: Plan, chosen: Tensor | slice) -> Tensor:
        """Return the loss of the chosen images, without weight decay."""
        return LOSSES[plan.loss](model(self.x[chosen]), self.labels[chosen])


class Local:
    r"""Gradient of a regularised loss at a network's weights, and products with its Hessian.

    Attributes:
        value: of the loss.
        g: its gradient, flat.
    """

    def __init__(self, images: Images, model: nn.Module, plan: Plan, chosen: Tensor | slice):
        """Backpropagate once, and keep the graph."""
        self.weights, self.decay = list(model.parameters()), plan.weight_decay
        with CheapTwice():
            loss = images.loss(model, plan, chosen)
        self.gradients = torch.autograd.grad(loss, self.weights, create_graph=True)
        W = flat(self.weights, self.weights)
        self.g = flat(self.gradients, self.weights) + self.decay * W
        self.value = loss.item() + self.decay / 2 * (W @ W).item()

    def product(self, v: Tensor) -> Tensor:
        """Return the Hessian times v."""
        found = hessian_product(self.gradients, self.weights, v, retain_graph=True)
        return flat(found, self.weights) + self.decay * v

    def along(self, v: Tensor) -> float:
        r"""Return :math:`2\,v^T\mathbf{H}v/\|v\|^2`, the curvature (17) with v for the gradient."""
        return (2 * (v @ self.product(v)) / (v @ v)).item()


def of_batches(images: Images, model: nn.Module, plan: Plan, seed: int) -> dict[str, float]:
    r"""Measure several batches of the step's size at the same weights.

    ``own`` is the mean of their curvatures along their own gradients; ``own_ratio`` the same as a
    quotient of means, the squares weighted in; ``rho`` estimates
    :math:`\|\nabla L\|^2/\mathbb{E}\|g_b\|^2` without bias in its numerator, from the products of
    different batches' gradients; ``across`` is the curvature of one along another's gradient, whose
    mean is that of :math:`L`.
    """
    draw, size = torch_generator(seed, "data"), plan.batch_size or images.count
    drawn = [torch.randperm(images.count, generator=draw)[:size] for _ in range(plan.batches)]
    gradients: list[Tensor] = []
    bends, crossed = [], []
    for chosen in drawn:
        local = Local(images, model, plan, chosen)
        if gradients:
            crossed.append(local.along(gradients[-1]))
        gradients.append(local.g)
        bends.append((local.g @ local.product(local.g)).item())
    gram = torch.stack(gradients).double()
    gram = gram @ gram.T
    squares, pairs = gram.diagonal().numpy(), plan.batches * (plan.batches - 1)
    inner = (gram.sum() - gram.trace()).item() / max(pairs, 1)
    return {
        "own": float(np.mean(2 * np.array(bends) / squares)),
        "own_ratio": 2 * sum(bends) / squares.sum(),
        "rho": inner / squares.mean() if pairs else 1.0,
        "across": float(np.mean(crossed)) if crossed else math.nan,
    }


def of_whole(images: Images, model: nn.Module, plan: Plan, last: bool) -> dict[str, float]:
    """Measure the images that stand for the whole set, at the last point with the spectrum."""
    local = Local(images, model, plan, slice(0, plan.whole_images))
    found = {"whole_loss": local.value, "whole_curvature": local.along(local.g)}
    return found | (spectrum(local, plan.lanczos) if last and plan.lanczos else {})


def spectrum(local: Local, steps: int) -> dict[str, float]:
    """Return the ends of a Hessian's spectrum, and how much of it is negative, by Lanczos.

    The extreme Ritz values bound the extreme eigenvalues from inside. ``negative`` is the weight of
    the negative nodes of the quadrature that belongs to the random first vector: the estimate of
    stochastic Lanczos quadrature from one vector, which takes many steps to be one. Nodes below a
    thousandth of the largest in size count as zero.
    """
    from hessian_eigenthings import LambdaOperator, lanczos_tridiagonal

    size = len(local.g)
    first = torch.randn(size, generator=torch.Generator().manual_seed(0)).to(local.g)
    operator = LambdaOperator(local.product, size, dtype=local.g.dtype)
    found = lanczos_tridiagonal(operator, first / first.norm(), steps)
    diagonal, beside = (np.asarray(x, dtype=float) for x in (found.alphas, found.betas))
    beside = beside[: len(diagonal) - 1]
    nodes, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1))
    below = nodes < -1e-3 * abs(nodes).max()
    return {
        "largest": nodes[-1],
        "least": nodes[0],
        "negative": float((vectors[0, below] ** 2).sum()),
    }


def train(
    build: Callable[[], nn.Module], data: ImageData, images: Images, seed: int, plan: Plan
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train once, and return the trial's row and its logged steps.

    A loss or a logged gradient that is not finite ends the trial, which is stored as diverged.
    """
    model = initialized(build, seed).to(images.x.dtype, memory_format=torch.channels_last)
    weights, rows, diverged = list(model.parameters()), [], False
    probe = CurvatureProbe(weights, plan.is_logged, plan.weight_decay)
    descent = torch.optim.SGD(weights, plan.learning_rate, weight_decay=plan.weight_decay)
    began, orders = time.perf_counter(), images.orders(seed, plan.batch_size)
    try:
        for step in range(plan.steps):
            chosen, more = next(orders), {}
            if step in plan.points:
                more = of_batches(images, model, plan, seed) if plan.batches else {}
                if plan.whole_images:
                    more |= of_whole(images, model, plan, step == plan.steps - 1)
            descent.zero_grad()
            with probe.forward():
                loss = images.loss(model, plan, chosen)
            record = probe.backward(loss)
            descent.step()
            if record is not None:
                rows.append(record._asdict() | {"loss_after": _value(images, model, plan, chosen)})
                rows[-1] |= more
    except FloatingPointError:
        diverged = True
    taken, steps = time.perf_counter() - began, probe.step
    table = pd.DataFrame(rows).assign(seed=seed, learning_rate=plan.learning_rate)
    share = share_of_trial(table, plan.log_every, diverged)
    row = {"seed": seed, **share._asdict(), "steps": steps, "seconds": taken}
    row |= {"learning_rate": plan.learning_rate, "diverged": diverged}
    row["test_accuracy"] = math.nan if diverged else accuracy(model, data)
    return pd.DataFrame([row]).astype({"entry_step": "Int64"}), table


def _value(images: Images, model: nn.Module, plan: Plan, chosen: Tensor) -> float:
    """Return the regularised loss of a batch at the weights as they are."""
    with torch.no_grad():
        squares = sum((w**2).sum() for w in model.parameters())
        return (images.loss(model, plan, chosen) + plan.weight_decay / 2 * squares).item()


def ladder(
    build: Callable[[], nn.Module],
    data: ImageData,
    images: Images,
    seed: int,
    parameters: Mapping[str, Any],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train at each learning rate of a ladder, from the same weights, and put the tables together.

    Args:
        build: makes the model.
        data: the data set, for the test.
        images: what is trained on.
        seed: of the first weights and the orders.
        parameters: of the notebook: those of a `Plan`, with ``first_rate`` and ``rates`` for the
            learning rates; a positive ``time`` sets the steps, for each rate, to as many as make
            up that time; ``log_every`` 0 spreads two hundred logged steps evenly; Lanczos is run
            for the first ``spectra`` seeds.
    """
    given = {name: parameters[name] for name in Plan.__dataclass_fields__ if name in parameters}
    tables = []
    for rung in range(parameters["rates"]):
        rate = parameters["first_rate"] * RATIO**rung
        steps = round(parameters["time"] / rate) or parameters["steps"]
        one = given | {"learning_rate": rate, "steps": max(steps, 3)}
        one["log_every"] = one["log_every"] or max(1, steps // 200)
        one["lanczos"] = one["lanczos"] if seed < parameters["spectra"] else 0
        tables.append(train(build, data, images, seed, Plan(**one)))
    trials, paths = (pd.concat(parts, ignore_index=True) for parts in zip(*tables, strict=True))
    return trials, paths


def logged(name: str) -> pd.DataFrame:
    """Return the logged steps of a stored ladder, with what they are compared by.

    Added are ``rung``, from 0 at η = 0.004; ``window``, w for the steps up to the 10^(w/3)-th and
    after the one before; ``time``, the window of ηt, whose ratio is the same; and ``used``, ηc/4.
    """
    steps = stored(f"learning-rates/{name}").trajectories
    rung = np.round(3 * np.log10(steps["learning_rate"] / 0.004)).astype(int)
    window = np.ceil(3 * np.log10(steps["step"] + 1) - 1e-9).astype(int)
    used = steps["learning_rate"] * steps["curvature"] / 4
    return steps.assign(rung=rung, window=window, time=rung + window, used=used)


def cells(steps: pd.DataFrame) -> pd.DataFrame:
    """Return medians of loss, curvature and ηc/4 for each seed, rung and window."""
    groups = steps.groupby(["seed", "rung", "window", "time"], as_index=False)
    found = groups[["loss", "curvature", "used"]].median()
    return found.assign(level=np.round(3 * np.log10(found["loss"].clip(lower=1e-9))))


def exponents(table: pd.DataFrame, by: str) -> pd.Series:
    r"""Return each seed's power of η in the curvature, between cells that have something in common.

    The slope of :math:`\log c` over :math:`\log\eta`, by least squares with a constant for each
    value of a column. Cells whose median is not positive have no logarithm and are left out.

    Args:
        table: cells.
        by: that column: ``window``, ``time`` or ``level``.
    """
    kept = table[table["curvature"] > 0]
    kept = kept.assign(x=kept["rung"] / 3, y=np.log10(kept["curvature"]))
    centred = kept[["x", "y"]] - kept.groupby(["seed", by])[["x", "y"]].transform("mean")
    products = pd.DataFrame({"xy": centred.x * centred.y, "xx": centred.x**2, "seed": kept["seed"]})
    sums = products.groupby("seed")[["xy", "xx"]].sum()
    return sums.xy / sums.xx


def late(table: pd.DataFrame) -> pd.DataFrame:
    """Keep the last window, and the rates from 0.0186 on."""
    return table[(table["window"] == table["window"].max()) & (table["rung"] >= 2)]


def early(table: pd.DataFrame) -> pd.DataFrame:
    """Keep the windows up to ηt = 1.9 after the first ten steps, and the rates up to 0.186."""
    return table[(table["time"] <= 8) & (table["window"] >= 3) & (table["rung"] <= 5)]


@claim(
    "fig-learning-rates",
    "LeNet-5 on MNIST: late in the runs c falls as 1/η, early it depends on ηt alone",
    "observed",
    "Five seeds at seven learning rates, for two losses and two sizes of batches.",
    hypotheses=("a stored ladder", "late: η ≥ 0.018; early: ηt ≤ 1.9, squared error, η ≤ 0.19"),
    uses=("eq-17",),
    variant="−1/2 late, and −1 early; learning rates exchanged by chance",
    least=6,
)
def check_exponents(seed: int, exchanges: int = 30) -> Evidence:
    """Hold the stored ladders to the exponents that the chapter gives, by Student's intervals."""
    seen, draw = Evidence(), rng(seed, "data")
    for loss, size in itertools.product(("cross-entropy", "squared"), (64, 128)):
        table = late(cells(logged(f"{loss}-{size}")))
        low, high = interval(exponents(table, "window"))
        chance = []
        for _ in range(exchanges):
            order = np.array([*range(2), *draw.permutation(np.arange(2, 7))])
            mixed = interval(exponents(table.assign(rung=order[table["rung"]]), "window"))
            chance.append(not (-1.25 < mixed[0] and mixed[1] < -0.75))
        wrong = not (-1.25 < low and high < -0.75)
        seen.add(1, wrong=wrong, refuted=(not low < -0.5 < high, np.array(chance), False))
    for size in (64, 128):
        low, high = interval(exponents(early(cells(logged(f"squared-{size}"))), "time"))
        wrong = not (-0.25 < low and high < 0.25)
        seen.add(1, wrong=wrong, refuted=(False, False, not low < -1 < high))
    return seen


def interval(values: pd.Series) -> tuple[float, float]:
    """Return Student's 95 % interval for the mean over the seeds."""
    mean, half = student(values.to_numpy())
    return mean - half, mean + half
