"""What the tests of parametrised chapters share: data, a run through papermill, its tables."""

from pathlib import Path

import numpy as np
import pandas as pd
import papermill

CHAPTERS = Path(__file__).resolve().parent.parent / "chapters"


def write_noise(folder, *, train, test, shape):
    """Write random images of three classes to ``noise.npz``, as a user brings their own data."""
    images = np.random.default_rng(0).integers(0, 256, (train + test, *shape), dtype=np.uint8)
    labels = np.arange(train + test) % 3
    np.savez(
        folder / "noise.npz",
        train_images=images[:train],
        train_labels=labels[:train],
        test_images=images[train:],
        test_labels=labels[train:],
    )


def run_notebook(notebook, folder, **parameters):
    """Execute a notebook by papermill; its copy and its results go below the folder."""
    papermill.execute_notebook(
        notebook,
        folder / "out.ipynb",
        {"results_dir": str(folder / "runs"), **parameters},
        kernel_name="python3",
        progress_bar=False,
    )


def tables(results):
    """Return the trials and the trajectories that a folder of results holds."""
    return [pd.read_parquet(results / f"{name}.parquet") for name in ("trials", "trajectories")]
