"""Says what a grid will take: jobs, time and disk, from what earlier trials took.

    python workflow/plan.py CONFIG [--cores 2]

A batch is estimated from the stored one that is most like it, in the grid's own folder or in the
book's `results`: by the seconds of a step, times its steps. It holds for a machine like the one
that is named, with one job a core.
"""

import argparse
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import grid
import pandas as pd
import yaml

from pscore.experiments.trials import finished_seeds, load

PROJECT = Path(__file__).resolve().parents[1]
IMAGES = {"digits": 1500, "mnist": 60_000, "fashion-mnist": 60_000, "cifar10": 50_000}
IMAGES |= {"cifar100": 50_000, "cifar100-subset": 5_000}
NOTEBOOK_SECONDS = 12  # what a job takes beside its trials: imports, data, the notebook's figures
NOTEBOOK_BYTES = 250_000


class Earlier(NamedTuple):
    """A stored batch, as far as it says what another will take.

    Attributes:
        name: its folder's.
        experiment: its notebook.
        parameters: its own.
        dataset: its own.
        steps: of a trial.
        seconds: of a trial, or of all that have its seed.
        size: bytes a trial.
        machine: where it ran.
    """

    name: str
    experiment: str
    parameters: dict[str, Any]
    dataset: str
    steps: float
    seconds: float
    size: float
    machine: str


def earlier(folders: Iterable[Path]) -> list[Earlier]:
    """Read what is stored in some folders, and below them."""
    found = []
    for path in sorted(path for folder in folders for path in folder.rglob("trials.parquet")):
        trials, _, made = load(path.parent)
        size = sum(file.stat().st_size for file in path.parent.glob("*.parquet"))
        ran = made["runs"][-1]
        found.append(
            Earlier(
                path.parent.name,
                made["experiment"],
                made["parameters"],
                made["dataset"],
                trials.steps.mean(),
                trials.groupby("seed").seconds.sum().mean(),  # a ladder of rates has one seed
                size / trials.seed.nunique(),
                f"{ran['machine']}, {ran.get('threads', '?')} threads",
            )
        )
    return found


def nearest(batch: grid.Batch, known: Iterable[Earlier]) -> Earlier | None:
    """Return the stored batch of the same experiment that shares most with a new one."""

    def likeness(one: Earlier) -> tuple[bool, bool, int, int]:
        given = batch.parameters
        part = given.get("train_images", 0) == one.parameters.get("train_images", 0)
        equal = sum(one.parameters.get(key) == value for key, value in given.items())
        # What was measured more often than by default costs more.
        extra = sum(bool(one.parameters.get(key)) for key in ("whole_every", "log_first"))
        return given.get("dataset", one.dataset) == one.dataset, part, equal, -extra

    same = [one for one in known if one.experiment == batch.experiment]
    return max(same, key=likeness, default=None)


def seconds_a_trial(batch: grid.Batch, like: Earlier) -> float:
    """Return what a trial takes if its steps take as long as those of a stored one."""
    new, old = batch.parameters, like.parameters
    if "steps" in old:
        return like.seconds * (new["steps"] / like.steps if "steps" in new else 1)
    ratio = new.get("epochs", old["epochs"]) / old["epochs"]
    sets = (new.get("dataset", like.dataset), new), (like.dataset, old)
    images = [(name, made.get("train_images", 0)) for name, made in sets]  # 0 is all of them
    if images[0] != images[1]:
        sizes = [part or IMAGES.get(name) for name, part in images]
        ratio *= sizes[0] / sizes[1] if all(sizes) else math.nan
    return like.seconds * ratio * old["batch_size"] / new.get("batch_size", old["batch_size"])


def estimate(config: dict[str, Any], project: Path = PROJECT) -> pd.DataFrame:
    """Return a row a batch: jobs, trials, those left to do, hours of one core, MB.

    Where nothing like it is stored, hours and MB are nan.
    """
    place = project / config.get("results", f"{grid.folder(config)}/results")
    known = earlier([place, project / "results"])
    rows = []
    for batch in grid.batches(config).values():
        done = finished_seeds(place / batch.name)
        left = [seed for seed in batch.seeds if seed not in done]
        like, jobs = nearest(batch, known), len(batch.shards)
        a_trial = seconds_a_trial(batch, like) if like else math.nan
        size = 2 * len(batch.seeds) * like.size if like else math.nan  # the parts, and the tables
        hours = (len(left) * a_trial + (jobs * NOTEBOOK_SECONDS if left else 0)) / 3600
        megabytes = (size + jobs * NOTEBOOK_BYTES) / 1e6
        by = f"{like.name} ({like.machine})" if like else "nothing stored"
        rows.append((batch.name, jobs, len(batch.seeds), len(left), hours, megabytes, by))
    columns = ["batch", "jobs", "trials", "left", "hours", "MB", "estimated by"]
    return pd.DataFrame(rows, columns=columns).set_index("batch")


def main() -> None:
    """Print the estimate."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("--cores", type=int, default=1)
    given = parser.parse_args()
    table = estimate(yaml.safe_load(given.config.read_text(encoding="utf-8")))
    for name, row in table.iterrows():
        print(name)
        print(
            f"    {row.jobs} jobs, {row.trials} trials, {row.left} of them to run: "
            f"{row.hours:.2f} hours, {row.MB:.0f} MB; estimated by {row['estimated by']}"
        )
    hours = table.hours.sum(min_count=len(table))
    print(
        f"together {table.jobs.sum()} jobs, {hours:.2f} hours of one core, "
        f"{hours / given.cores:.2f} on {given.cores}; "
        f"{table.MB.sum(min_count=len(table)):.0f} MB of disk"
    )


if __name__ == "__main__":
    main()
