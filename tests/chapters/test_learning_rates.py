"""The chapter as a batch user runs it: through papermill, continued, and misspelt."""

import nbformat
import pandas as pd
import pytest
from batches import CHAPTERS, run_notebook, tables, write_noise
from papermill.exceptions import PapermillExecutionError

from pscore.experiments.trials import TRAJECTORY_COLUMNS, TRIAL_COLUMNS

CHAPTER = CHAPTERS / "experiments" / "learning-rates.ipynb"


@pytest.fixture
def execute(tmp_path):
    """Runs the chapter's cells up to its ladder, on noise."""
    book = nbformat.read(CHAPTER, as_version=4)
    ran = next(k for k, cell in enumerate(book.cells) if "ResultStore(" in cell.source)
    book.cells = book.cells[: ran + 1]
    nbformat.write(book, tmp_path / "in.ipynb")
    write_noise(tmp_path, train=40, test=20, shape=(28, 28))

    def run(**parameters):
        chosen = {"dataset": "noise", "data_dir": str(tmp_path), "rates": 2, "steps": 6}
        chosen |= {"whole_images": 20, "batches": 2, "first_rate": 0.01}
        run_notebook(tmp_path / "in.ipynb", tmp_path, **{**chosen, **parameters})
        return tables(tmp_path / "runs")

    return run


@pytest.mark.slow
def test_a_ladder_is_a_trial_at_each_rate_and_is_continued(execute):
    first, _ = execute(trials=1, first_seed=3)
    trials, paths = execute(trials=2, first_seed=2)
    assert trials.seed.tolist() == [2, 2, 3, 3]
    assert trials.learning_rate.tolist() == pytest.approx([0.01, 0.01 * 10 ** (1 / 3)] * 2)
    kept = trials[trials.seed == 3].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, first)
    assert {*TRIAL_COLUMNS, "learning_rate", "batch_size"} <= set(trials.columns)
    assert {*TRAJECTORY_COLUMNS, "loss_after", "own", "rho"} <= set(paths.columns)
    with pytest.raises(PapermillExecutionError, match="steps = 6, not 7"):
        execute(steps=7)


@pytest.mark.slow
def test_a_misspelt_parameter_stops_with_the_known_ones(execute):
    with pytest.raises(PapermillExecutionError, match="did you mean 'batch_size'"):
        execute(batchsize=4)
