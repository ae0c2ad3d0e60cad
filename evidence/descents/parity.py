"""Handwritten digits, even against odd: how long descents on them are in the certified set.

Small networks of one and two hidden layers, trained at many λ by gradient descent on all of the
training images, with the test accuracy beside what the certificate asks for.
"""

import math
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import Tensor

from pscore.certificate import curvature_bounds, data_radius
from pscore.curvature import flatten
from pscore.descent import descend, initialize
from pscore.experiments.trials import ResultStore
from pscore.experiments.watch import EntryWatch, long_table, trial_table
from pscore.loss import squared_norm
from pscore.network import ReLUNetwork
from pscore.seeds import rng

DECAYS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 6e-2, 0.1, 0.2, 0.5, 1.5, 5.0)


def digits_data(
    chosen: Callable[[NDArray[np.int64]], NDArray[np.bool_]], train: int = 900
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return handwritten digits, 1 for some and −1 for the others, and those kept for the test.

    Pixels have the training mean subtracted, then the largest training length is made 1.

    Args:
        chosen: says of the digits which are to have the target 1.
        train: how many to learn from.
    """
    digits = load_digits()
    order = rng(0, "data").permutation(len(digits.data))
    a = torch.from_numpy(digits.data[order])
    f = torch.from_numpy(np.where(chosen(digits.target[order]), 1.0, -1.0))
    a = a - a[:train].mean(0)
    a = a / data_radius(a[:train])
    return a[:train], f[:train], a[train:], f[train:]


def parity_data(train: int = 900) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return handwritten digits, 1 for even and −1 for odd, as `digits_data` does."""
    return digits_data(lambda digit: digit % 2 == 0, train)


def correct(outputs: Tensor, f: Tensor) -> Tensor:
    """Return the share of right signs; an output below 1e-6 decides nothing and counts half."""
    right = torch.where(outputs.abs() < 1e-6, 0.5, (outputs * f > 0).to(f))
    return right.mean(-1)


def run_parity(
    depth: int, weight_decay: float, seeds: range, *, train: int, steps: int, log_every: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train a stack of networks with ten units a layer, and see when they are in the sets.

    Args:
        depth: H.
        weight_decay: λ.
        seeds: of the initialisations.
        train: how many training images.
        steps: of gradient descent over all of them, at the rate 1/(1 + λ/2).
        log_every: steps between two looks at the sets.

    Returns:
        the tables of trials and of trajectories, as `ResultStore.add` wants them.
    """
    a, f, b, g = parity_data(train)
    network, began = ReLUNetwork((64, *(10,) * depth, 1), output_relu=False), time.perf_counter()
    problem, states = descend(
        network,
        initialize(network, seeds, "kaiming_normal"),
        a,
        f,
        weight_decay=weight_decay,
        learning_rate=1 / (1 + weight_decay / 2),
        steps=steps,
    )
    watch, rows = EntryWatch(), []
    for state in states:
        if state.step % log_every == 0:
            loss, inside = problem.loss(state), problem.margins(state)["paper"] > 0
            watch.look(state.step, inside, loss=loss)
            logged = {"step": state.step, "loss": loss, "curvature": math.nan, "inside": inside}
            rows.append(logged | {"depth": depth, "decay": weight_decay})
    kappa = curvature_bounds(network, state.W, problem.a, state.residuals)
    columns = {
        "depth": depth,
        "decay": weight_decay,
        "loss_initial": rows[0]["loss"],
        "loss_entry": watch.measured["loss"],
        "loss_final": rows[-1]["loss"],
        "time_fraction": torch.stack([row["inside"] for row in rows]).double().mean(0),
        "test_accuracy": correct(network(state.W, b), g),
        "train_accuracy": correct(network(state.W, a), f),
        "entry_step": watch.step,
        "steps": steps,
        "gradient": flatten(state.gradient).norm(dim=-1),
        "norm": squared_norm(state.W).sqrt(),
        "seconds": (time.perf_counter() - began) / len(seeds),
        **{f"kappa_{name}": bound for name, bound in kappa.items()},
    }
    path = long_table({"seed": seeds}, rows)
    return trial_table({"seed": seeds}, columns, path), path


def store_parity(
    results_dir: str, seeds: int = 10, train: int = 900, steps: int = 3000, log_every: int = 50
) -> ResultStore:
    """Run both depths at every λ of `DECAYS`, and store the trials in one folder."""
    store = ResultStore(
        results_dir,
        experiment="parity",
        dataset="digits",
        parameters={"train": train, "steps": steps, "log_every": log_every, "width": 10},
    )
    tables = [
        run_parity(depth, decay, range(seeds), train=train, steps=steps, log_every=log_every)
        for depth in (1, 2)
        for decay in DECAYS
    ]
    store.add(*(pd.concat(part, ignore_index=True) for part in zip(*tables, strict=True)))
    store.merge()
    return store
