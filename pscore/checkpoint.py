"""An unfinished training run in one file, from which it goes on to the same result.

The file is NumPy's ``.npz``: the model's weights and buffers, the probe's records, the step, the
seconds spent, and the settings, which a run that goes on must share. It is written whole and then
renamed, so that there is always one that is complete, and read without unpickling. Plain gradient
descent has no state beside the weights.
"""

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from pscore.probe import CurvatureProbe, Record

# How the model's entries are told apart from the run's own.
_MODEL = "model."


def save(
    path: Path, model: nn.Module, probe: CurvatureProbe, settings: Mapping[str, Any], seconds: float
) -> None:
    """Write the run's state.

    Args:
        path: the file; its folder is made when missing.
        model: the model, whose state is saved.
        probe: the run's probe, which counts the steps.
        settings: what was run.
        seconds: how long it has run.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {_MODEL + name: tensor.cpu().numpy() for name, tensor in model.state_dict().items()}
    draft = path.with_name(path.name + ".part")
    with open(draft, "wb") as file:
        np.savez(
            file,
            settings=np.array(json.dumps(settings)),
            records=np.array(probe.records, dtype=np.float64).reshape(-1, len(Record._fields)),
            step=np.array(probe.step),
            seconds=np.array(seconds),
            **state,
        )
    os.replace(draft, path)


def restore(
    path: Path, model: nn.Module, probe: CurvatureProbe, settings: Mapping[str, Any]
) -> float:
    """Put a saved state back into the model and the probe.

    Args:
        path: the file that `save` wrote.
        model: a model of the same kind.
        probe: its probe, before its first step.
        settings: what is to be run.

    Returns:
        The seconds that the run had taken.

    Raises:
        ValueError: if the file cannot be read, or is of a run with other settings or another model;
            neither the model nor the probe has been touched then.
    """
    remedy = f"; remove {str(path)!r} to start the run anew"
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"the checkpoint cannot be read: {error}{remedy}") from error
    saved = json.loads(str(arrays["settings"]))
    if saved != settings:
        names = sorted(k for k in {**saved, **settings} if saved.get(k) != settings.get(k))
        found = ", ".join(f"{k} = {saved.get(k)}, not {settings.get(k)}" for k in names)
        raise ValueError(f"the checkpoint is of a run with {found}{remedy}")
    state = {
        name.removeprefix(_MODEL): torch.from_numpy(array)
        for name, array in arrays.items()
        if name.startswith(_MODEL)
    }
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    if shapes != {name: tensor.shape for name, tensor in state.items()}:
        raise ValueError(f"the model does not fit the checkpoint{remedy}")
    model.load_state_dict(state)
    probe.records = [Record(int(step), *rest) for step, *rest in arrays["records"].tolist()]
    probe.step = int(arrays["step"])
    return float(arrays["seconds"])
