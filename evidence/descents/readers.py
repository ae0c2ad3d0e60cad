"""Networks that read digits: trained, finished, and proved to be beside a strict minimum.

One hidden layer is trained on 900 of scikit-learn's digits by gradient descent on all of them, to
tell even from odd, or the zero from the rest; `finish` brings the end onto its kinks, and
`certify_minimum` proves what it can. What is stored has the weights of each minimum, so that the
proof can be made again.
"""

import math
import time
from itertools import product

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from evidence.descents.parity import correct, digits_data, parity_data
from pscore.curvature import flatten
from pscore.descent import descend, initialize
from pscore.exact import MinimumCertificate, certify_minimum, finish
from pscore.experiments.trials import ResultStore
from pscore.experiments.watch import long_table, trial_table
from pscore.network import ReLUNetwork

TASKS = ("parity", "zero")
UNITS = (4,)
DECAYS = (1e-3, 3e-3, 1e-2)


def readers_data(task: str, train: int = 900) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return digits to learn from and digits kept for the test, with targets 1 and −1.

    Args:
        task: ``"parity"``, even against odd, or ``"zero"``, the zero against the rest.
        train: how many to learn from.
    """
    return parity_data(train) if task == "parity" else digits_data(lambda x: x == 0, train)


def run_readers(
    units: int, task: str, decay: float, seeds: range, *, steps: int, log_every: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train a network for each seed, finish it and prove what can be proved.

    Args:
        units: in the hidden layer.
        task: as for `readers_data`.
        decay: λ.
        seeds: of the first weights.
        steps: of gradient descent over all 900 images, at the rate 1.
        log_every: steps between two looks at the distance from the minimum.

    Returns:
        the tables of trials and of trajectories, as `ResultStore.add` wants them.
    """
    a, f, b, g = readers_data(task)
    network, began = ReLUNetwork((64, units, 1), output_relu=False), time.perf_counter()
    problem, states = descend(
        network,
        initialize(network, seeds, "kaiming_normal"),
        a,
        f,
        weight_decay=decay,
        learning_rate=1.0,
        steps=steps,
    )
    logged = []
    for state in states:
        if state.step % log_every == 0:
            logged.append((state.step, problem.loss(state), flatten(state.W)))
        end = state.W
    trained = (time.perf_counter() - began) / len(seeds)
    rows = [
        finished_row(network, [W[t] for W in end], (a, f, b, g), decay) for t in range(len(seeds))
    ]
    points = torch.stack([row.pop("point") for row in rows])
    reasons = [row.pop("reason") for row in rows]
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    looks = [
        {"step": step, "loss": loss, "distance": (W - points).norm(dim=-1), "curvature": math.nan}
        for step, loss, W in logged
    ]
    inside = np.stack([look["distance"].numpy() for look in looks]) < columns["radius"]
    losses = np.stack([look["loss"].numpy() for look in looks])
    entered, first = inside.any(0), inside.argmax(0)
    columns |= {
        "units": units,
        "decay": decay,
        "loss_initial": losses[0],
        "loss_entry": np.where(entered, losses[first, np.arange(len(first))], np.nan),
        "loss_final": losses[-1],
        "time_fraction": inside.mean(0),
        "entry_step": np.where(entered, first * log_every, np.nan),
        "steps": steps,
        "seconds": trained + columns["seconds_finish"] + columns["seconds_proof"],
    }
    path = long_table({"seed": seeds}, looks).assign(task=task, units=units, decay=decay)
    table = trial_table({"seed": seeds}, columns, path)
    weights = [point.numpy() for point in points]
    return table.assign(task=task, reason=reasons, weights=weights), path


def finished_row(
    network: ReLUNetwork, end: list[Tensor], data: tuple[Tensor, ...], decay: float
) -> dict:
    """Finish one descent, prove what can be proved, and say it all in one row."""
    a, f, b, g = data
    began = time.perf_counter()
    done = finish(network, end, a, f, decay)
    finished = time.perf_counter()
    proof = certify_minimum(network, done.weights, a, f, decay) if done.solved else None
    row = proof_row(proof)
    if proof is None:
        row["reason"] = "no minimum was reached"
    weights = proof.weights if proof is not None and proof.holds else done.weights
    return row | {
        "solved": done.solved,
        "kinks": done.kinks,
        "loss": done.loss,
        "finish_steps": done.steps,
        "test_accuracy": float(correct(network(weights, b), g)),
        "train_accuracy": float(correct(network(weights, a), f)),
        "seconds_finish": finished - began,
        "seconds_proof": time.perf_counter() - finished,
        "point": flatten(weights),
    }


def proof_row(proof: MinimumCertificate | None) -> dict:
    """Return the numbers of a certificate; those of one that does not hold say nothing."""
    names = ("holds", "reason", "radius", "growth", "room", "margin", "distance")
    if proof is None:
        return dict(zip(names, (False, "", 0.0, 0.0, 0.0, 0.0, float("inf")), strict=True))
    return {name: getattr(proof, name) for name in names}


def store_readers(
    results_dir: str, seeds: int = 3, steps: int = 2000, log_every: int = 50
) -> ResultStore:
    """Run all tasks, widths and decays, and store the trials in one folder.

    Each setting has a hundred seeds of its own, of which the first are used; what is finished is
    not run again.
    """
    store = ResultStore(
        results_dir,
        experiment="readers",
        dataset="digits",
        parameters={"steps": steps, "log_every": log_every},
    )
    for k, setting in enumerate(product(UNITS, TASKS, DECAYS)):
        numbers = range(100 * k, 100 * k + seeds)
        if not store.finished.issuperset(numbers):
            store.add(*run_readers(*setting, numbers, steps=steps, log_every=log_every))
    store.merge()
    return store
