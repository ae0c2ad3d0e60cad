"""Under each figure of a notebook: the cell that made it, and the stored runs it rests on.

The runs are found by `reads` from the notebook's code, and described from their provenance: seeds,
parameters, commit, versions, machine, and the command that makes them again.
"""

import importlib
import sys
from pathlib import Path
from typing import Any

import depends
import nbformat
from check_directive import closed_fold
from docutils import nodes
from reads import batches, stored_folders
from sphinx.application import Sphinx


def cells_of(doctree: nodes.document) -> dict[int, nodes.container]:
    """Return the code cells of a page, by their place in the notebook."""
    found = doctree.findall(nodes.container)
    return {one["cell_index"]: one for one in found if one.get("nb_element") == "cell_code"}


def rests_on(root: Path, notebook: Path) -> dict[int, set[str]]:
    """Return the stored batches behind each code cell of a notebook, by its place."""
    cells = nbformat.read(notebook, as_version=4).cells
    places = [place for place, cell in enumerate(cells) if cell.cell_type == "code"]
    files = depends.files_of(root, depends.code(notebook))
    modules = {one.stem: one.read_text("utf-8") for one in files if "evidence" in one.parts}
    read = batches([cells[place].source for place in places], stored_folders(root), modules)
    return dict(zip(places, read, strict=True))


def described(one: Any, again: str) -> list[nodes.Node]:
    """Say what is known of a stored batch."""
    # NumPy and pandas go with the rest; who wants all reads provenance.json.
    versions = one.runs[0].get("versions", {})
    kept = ", ".join(f"{name} {versions[name]}" for name in ("python", "torch") if name in versions)
    commits = [commit[:12] for commit in one.told("commit")]
    where = "; ".join([*one.told("machine"), *one.told("device")])
    threads = ", ".join(one.told("threads"))
    trials = "1 trial" if len(one.seeds) == 1 else f"{len(one.seeds)} trials"
    facts = [
        f"{trials}, seeds {range_of(one.seeds)}",
        f"code {', '.join(commits)}",
        kept,
        f"{where}, threads {threads}" if threads else where,
        ", ".join(one.told("date")),
    ]
    head = nodes.paragraph("", "", nodes.strong("", f"results/{one.name}"))
    head += nodes.Text(": " + "; ".join(fact for fact in facts if fact) + ".")
    given = ", ".join(f"{key} {value}" for key, value in one.parameters.items() if value != "")
    return [
        head,
        nodes.paragraph("", f"Parameters: {given}."),
        nodes.literal_block(again, again, language="sh", classes=["made-by-command"]),
    ]


def range_of(seeds: list[int]) -> str:
    """Return seeds as the evidence writes them."""
    return importlib.import_module("evidence.reproduce").ranges(seeds)


def line(place: str, names: set[str]) -> nodes.Node:
    """Return what stands under a figure: a line, or a fold where there are stored runs."""
    link = nodes.reference("", "", nodes.Text("the code"), refid=place, internal=True)
    if not names:
        return nodes.paragraph("", "Made by ", link, nodes.Text("."), classes=["made-by"])
    known = importlib.import_module("evidence.reproduce")
    runs = "stored runs" if len(names) > 1 else "a stored run"
    body: list[nodes.Node] = [nodes.paragraph("", "Go to ", link, nodes.Text("."))]
    for name in sorted(names):
        one = known.stored_runs(name)
        body += described(one, known.command(one))
    return closed_fold([nodes.Text(f"Made by code, from {runs}")], body, classes=["made-by"])


def lead_back(app: Sphinx, doctree: nodes.document) -> None:
    """Put the line under each figure of a page that is a notebook."""
    page = app.env.docname
    notebook = Path(app.env.doc2path(page))
    if notebook.suffix != ".ipynb":
        return
    if str(app.srcdir) not in sys.path:
        sys.path.insert(0, str(app.srcdir))
    behind = None
    for index, cell in cells_of(doctree).items():
        figures = [one for one in cell.findall(nodes.figure) if one["ids"]]
        if not figures:
            continue
        behind = behind or rests_on(Path(app.srcdir), notebook)
        place = nodes.make_id(f"code-{figures[0]['ids'][0]}")
        if (code := cell.next_node(lambda one: "cell_input" in one.get("classes", []))) is None:
            continue
        code["ids"].append(place)
        for name in behind[index]:
            app.env.note_dependency(f"results/{name}/provenance.json")
        figures[-1].parent.append(line(place, behind[index]))


def setup(app: Sphinx) -> None:
    """Connect the event."""
    app.connect("doctree-read", lead_back)
