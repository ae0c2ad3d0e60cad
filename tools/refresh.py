"""Re-executes the chapters in place and stores their outputs in one canonical form.

    python tools/refresh.py [--canonical] [CHAPTER ...]

With `--canonical` nothing is executed; what is stored is brought into the canonical form.
Whatever would differ from one execution to the next without meaning anything is given a fixed form:
random widget ids, timestamps, the order in which a stream was cut into pieces, the kernel's exact
version. With nothing changed, a second run leaves the same bytes.
"""

import copy
import hashlib
import json
import re
import sys
import time
from collections import Counter
from pathlib import Path

import nbformat
from chapter import chapter
from chapter import chapters as pages
from nbclient import NotebookClient
from nbformat import NotebookNode

WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
# What a front end, papermill or the kernel notes down about one particular execution.
OF_ONE_RUN = ("execution", "ExecuteTime", "papermill", "trusted", "collapsed", "scrolled", "vscode")
PROGRESS_BAR = re.compile(r"\d+%\|.*\||\d+it \[\d\d:\d\d")


def notebooks(names: list[str]) -> list[Path]:
    """Returns the chapters named, or all, in the book's order."""
    found = [chapter(name) for name in names] or pages()
    return [one.source for one in found if one.source.suffix == ".ipynb"]


def as_printed(text: str) -> str:
    """Returns what a terminal would still show: the end of each overwritten line, and no bars."""
    lines = [line.rsplit("\r", 1)[-1] for line in text.replace("\r\n", "\n").split("\n")]
    kept = [line for line in lines if not PROGRESS_BAR.search(line)]
    return "\n".join(kept)


def canonical_outputs(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Joins neighbouring pieces of one stream and drops what progress bars left behind."""
    joined: list[NotebookNode] = []
    for output in outputs:
        if output.output_type != "stream":
            joined.append(output)
        elif joined and joined[-1].get("name") == output.name:
            joined[-1].text += output.text
        else:
            joined.append(copy.deepcopy(output))
    for output in joined:
        if output.output_type == "stream":
            output.text = as_printed(output.text)
    return [o for o in joined if o.output_type != "stream" or o.text.strip("\n")]


def name_cells(cells: list[NotebookNode]) -> None:
    """Gives every cell an id that depends on nothing but its content."""
    seen: Counter[str] = Counter()
    for cell in cells:
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:12]
        seen[digest] += 1
        cell.id = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"


def forget_hidden_widgets(notebook: NotebookNode) -> None:
    """Removes the state of widgets that no output shows, such as a finished progress bar's."""
    if WIDGET_STATE not in notebook.metadata.get("widgets", {}):
        return
    state = notebook.metadata.widgets[WIDGET_STATE].state
    mentions = {
        model: set(re.findall(r"IPY_MODEL_(\w+)", json.dumps(value)))
        for model, value in state.items()
    }
    shown = {
        output.data[WIDGET_VIEW]["model_id"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if WIDGET_VIEW in output.get("data", {})
    }
    # A link between two widgets mentions them and is mentioned by none, so it is followed too.
    names = {model: value.get("model_name", "") for model, value in state.items()}
    links = {model: mentions[model] for model in state if names[model].endswith("LinkModel")}
    reached: set[str] = set()
    while shown - reached:
        reached |= shown
        shown = reached.union(*(mentions.get(model, set()) for model in reached))
        shown |= {link for link, ends in links.items() if ends & shown}
    for model in set(state) - reached:
        del state[model]
    if not state:
        del notebook.metadata["widgets"]


def name_widgets(notebook: NotebookNode) -> NotebookNode:
    """Numbers the widgets in the order of their creation, wherever their random ids occur."""
    state = notebook.metadata.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    # Numbers with leading zeros sort as they count, so a stored notebook keeps its order.
    numbers = {model: f"{i:032x}" for i, model in enumerate(state, start=1)}
    if not numbers:
        return notebook
    pattern = re.compile("|".join(map(re.escape, numbers)))
    text = pattern.sub(lambda match: numbers[match[0]], json.dumps(notebook))
    return nbformat.from_dict(json.loads(text))


def canonical(notebook: NotebookNode) -> NotebookNode:
    """Returns the notebook in its canonical form; a canonical notebook comes back unchanged."""
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        for key in OF_ONE_RUN:
            cell.metadata.pop(key, None)
        if cell.cell_type == "code":
            cell.outputs = canonical_outputs(cell.outputs)
    name_cells(notebook.cells)
    kept = {k: v for k, v in notebook.metadata.items() if k in ("mystnb", "widgets")}
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": KERNEL, "language_info": {"name": "python"}, **kept}
    )
    forget_hidden_widgets(notebook)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return name_widgets(notebook)


def dumps(notebook: NotebookNode) -> str:
    """Returns the notebook's text as it is stored, with sorted keys and a last newline."""
    return nbformat.writes(notebook, version=nbformat.NO_CONVERT).rstrip("\n") + "\n"


def execute(path: Path) -> NotebookNode:
    """Runs a notebook from its own folder, in a fresh kernel, and returns it in canonical form."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.pop("widgets", None)
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name=KERNEL["name"],
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    return canonical(notebook)


def tidy(path: Path) -> NotebookNode:
    """Returns a notebook as it is stored, in canonical form."""
    return canonical(nbformat.read(path, as_version=4))


def main(arguments: list[str]) -> int:
    """Refreshes the chapters named, or all."""
    renew = execute
    if "--canonical" in arguments:
        arguments = [argument for argument in arguments if argument != "--canonical"]
        renew = tidy
    for path in notebooks(arguments):
        start = time.perf_counter()
        before = path.read_text(encoding="utf-8")
        after = dumps(renew(path))
        if after != before:
            path.write_text(after, encoding="utf-8", newline="\n")
        what = "unchanged" if after == before else "stored"
        if renew is execute or after != before:
            print(f"{time.perf_counter() - start:6.1f} s  {what:9}  {path.name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
