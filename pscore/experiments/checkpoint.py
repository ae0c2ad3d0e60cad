"""An unfinished training run in one file, from which it goes on to the same result.

The file is NumPy's ``.npz``: the model's weights and buffers, the tables of what was measured, the
step, the seconds spent, who made the steps and with what, and the settings, which a run that goes
on must share. It is written whole and then renamed, so that there is always one that is complete,
and read without unpickling. Plain gradient descent has no state beside the weights.
"""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pscore.experiments.files import written_whole

# How the model's entries, and the tables', are told apart from the run's own.
_MODEL, _TABLE = "model.", "table."


class Progress(NamedTuple):
    """How far a run has come.

    Attributes:
        step: how many steps have been made.
        seconds: how long they took.
        tables: what was measured, by name, one row a measurement.
        ran: the provenance of the steps, in their order, each with the step it came to.
    """

    step: int
    seconds: float
    tables: Mapping[str, NDArray[np.float64]]
    ran: list[dict[str, Any]]


def save(path: Path, model: nn.Module, progress: Progress, settings: Mapping[str, Any]) -> None:
    """Write the run's state into a file, whose folder is made when missing.

    Args:
        path: the file.
        model: the model, whose weights and buffers are saved.
        progress: how far the run has come.
        settings: what is being run, for `restore` to compare.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {_MODEL + name: tensor.cpu().numpy() for name, tensor in model.state_dict().items()}
    tables = {_TABLE + name: table for name, table in progress.tables.items()}
    with written_whole(path) as draft, open(draft, "wb") as file:
        np.savez(
            file,
            settings=np.array(json.dumps(settings)),
            step=np.array(progress.step),
            seconds=np.array(progress.seconds),
            ran=np.array(json.dumps(progress.ran)),
            **tables,
            **state,
        )


def restore(path: Path, model: nn.Module, settings: Mapping[str, Any]) -> Progress:
    """Put a saved state back into the model.

    Args:
        path: the file that `save` wrote.
        model: a model of the same kind.
        settings: what is to be run.

    Returns:
        How far the run had come.

    Raises:
        ValueError: if the file cannot be read, or is of a run with other settings or another model;
            the model has not been touched then.
    """
    remedy = f"; remove {str(path)!r} to start the run anew"
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"the checkpoint cannot be read: {error}{remedy}") from error
    saved = json.loads(str(arrays["settings"]))
    if saved != settings:
        found = differences(saved, settings)
        raise ValueError(f"the checkpoint is of a run with {found}{remedy}")
    state = {name: torch.from_numpy(array) for name, array in _under(_MODEL, arrays).items()}
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    if shapes != {name: tensor.shape for name, tensor in state.items()}:
        raise ValueError(f"the model does not fit the checkpoint{remedy}")
    model.load_state_dict(state)
    spent, ran = float(arrays["seconds"]), json.loads(str(arrays["ran"]))
    return Progress(int(arrays["step"]), spent, _under(_TABLE, arrays), ran)


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Say in which entries two batches or runs differ, for an error that refuses to mix them."""
    keys = sorted(key for key in {**old, **new} if old.get(key) != new.get(key))
    return ", ".join(f"{key} = {old.get(key)!r}, not {new.get(key)!r}" for key in keys)


def _under(prefix: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
