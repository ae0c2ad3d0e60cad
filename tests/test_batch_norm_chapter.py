"""The chapter on batch norm as a batch user runs it: through papermill, interrupted, misspelt."""

from pathlib import Path

import numpy as np
import pandas as pd
import papermill
import pytest
from papermill.exceptions import PapermillExecutionError

CHAPTER = Path(__file__).resolve().parent.parent / "chapters" / "experiments" / "batch-norm.ipynb"


@pytest.fixture
def execute(tmp_path):
    """Runs the chapter on random images in colour of 16 × 16 pixels, averaged to 8 × 8."""
    generator = np.random.default_rng(0)
    np.savez(
        tmp_path / "noise.npz",
        train_images=generator.integers(0, 256, (40, 16, 16, 3), dtype=np.uint8),
        train_labels=np.arange(40) % 3,
        test_images=generator.integers(0, 256, (9, 16, 16, 3), dtype=np.uint8),
        test_labels=np.arange(9) % 3,
    )

    def run(**parameters):
        defaults = {"dataset": "noise", "data_dir": str(tmp_path), "batch_size": 16, "epochs": 1}
        papermill.execute_notebook(
            CHAPTER,
            tmp_path / "out.ipynb",
            {
                **defaults,
                "train_images": 32,
                "test_images": 6,
                "pool": 2,
                "scale": 2.0,
                "log_every": 1,
                "results_dir": str(tmp_path / "runs"),
                **parameters,
            },
            kernel_name="python3",
            progress_bar=False,
        )
        return {
            form: [
                pd.read_parquet(tmp_path / "runs" / form / f"{name}.parquet")
                for name in ("trials", "trajectories")
            ]
            for form in ("with", "without")
        }

    return run


@pytest.mark.slow
def test_pairs_are_stored_apart_and_differ_in_batch_norm_alone(execute):
    execute(trials=3)
    tables = execute(trials=3, first_seed=1)
    for form, (trials, trajectories) in tables.items():
        assert sorted(trials.seed) == [0, 1, 2, 3]
        assert (trials.batch_norm == (form == "with")).all()
        assert (trials.model == "resnet22").all() and (trials["pool"] == 2).all()
        assert trajectories.groupby("seed").step.agg(list).to_dict() == dict.fromkeys(
            range(4), [0, 1]
        )
    first = [table.query("step == 0").loss.to_numpy() for _, table in tables.values()]
    assert not np.allclose(*first)  # the forms really differ


def test_too_few_pairs_stop_at_once(execute):
    with pytest.raises(PapermillExecutionError, match="trials >= 3"):
        execute(trials=2)
    with pytest.raises(PapermillExecutionError, match="did you mean 'pool'"):
        execute(pol=2)
