"""What is known of the stored batches: who ran them, and the command that makes one again."""

import ast
import json
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import nbformat

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class StoredRuns:
    """A batch below ``results/``, as its provenance describes it.

    Attributes:
        name: of its folder: ``"batch-norm-mnist/with"``.
        experiment: the notebook or the function that ran it.
        parameters: of the run, but for its seeds.
        runs: who ran which seeds: commit, versions, device, machine, threads, date.
    """

    name: str
    experiment: str
    parameters: dict[str, Any]
    runs: list[dict[str, Any]]

    @property
    def seeds(self) -> list[int]:
        """All seeds, in order."""
        return sorted({seed for run in self.runs for seed in run["seeds"]})

    def told(self, key: str) -> list[str]:
        """Return what the runs say of one thing, each answer once."""
        return sorted({str(run[key]) for run in self.runs if run["seeds"] and key in run})


def stored_runs(name: str) -> StoredRuns:
    """Read the provenance of a stored batch.

    Raises:
        FileNotFoundError: if there is no such batch.
    """
    made = json.loads((ROOT / "results" / name / "provenance.json").read_text())
    return StoredRuns(name, made["experiment"], made["parameters"], made["runs"])


def ranges(seeds: list[int]) -> str:
    """Return ascending seeds as ranges: ``"0–19, 25"``."""
    groups: list[list[int]] = []
    for seed in seeds:
        if groups and seed == groups[-1][-1] + 1:
            groups[-1].append(seed)
        else:
            groups.append([seed])
    return ", ".join(f"{g[0]}–{g[-1]}" if len(g) > 1 else f"{g[0]}" for g in groups)


@cache
def defaults(notebook: Path) -> dict[str, Any]:
    """Return the parameters that a notebook declares, with their values."""
    cells = nbformat.read(notebook, as_version=4).cells
    (cell,) = (cell for cell in cells if "parameters" in cell.metadata.get("tags", []))
    tree = [one for one in ast.parse(cell.source).body if isinstance(one, ast.AnnAssign)]
    return {one.target.id: ast.literal_eval(one.value) for one in tree}  # type: ignore[union-attr,arg-type]


def command(one: StoredRuns) -> str:
    """Return what makes a stored batch again; some notebooks make two folders at once.

    Every parameter that is not the notebook's default today is named.
    """
    notebooks = {path.stem: path for path in (ROOT / "chapters").glob("*/*.ipynb")}
    if one.experiment not in notebooks:
        return f"evidence.descents.{one.experiment}.store_{one.experiment}(results_dir)"
    notebook = notebooks[one.experiment]
    known = defaults(notebook)
    home = one.name.rpartition("/")[0] if "batch_norm" in one.parameters else one.name
    given = {"trials": len(one.seeds), "first_seed": min(one.seeds), **one.parameters}
    given["results_dir"] = f"runs/{home}"
    changed = {k: v for k, v in given.items() if k in known and v != known[k]}
    words = [word for key, value in changed.items() for word in ("-p", key, str(value))]
    source = notebook.relative_to(ROOT).as_posix()
    return shlex.join([".venv/bin/papermill", source, "out.ipynb", *words])
