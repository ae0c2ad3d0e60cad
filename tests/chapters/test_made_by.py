"""Under each figure stands what made it: the stored batches are found by following the code."""

import re
import subprocess
import sys
from pathlib import Path

import depends
import made_by
import nbformat
import pytest
from reads import batches, stored_folders

from evidence.reproduce import command, ranges, stored_runs

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ["toy", "mnist", "cifar", "pairs/with", "pairs/without", "sweep/16", "sweep/64"]
MODULE = """
HOME = "toy"

def logged(name):
    return stored(f"sweep/{name}").trajectories

def both(name):
    return [stored(f"{name}/{form}") for form in ("with", "without")]

def medians(name):
    return logged(name).median()
"""


def read(*cells):
    return [sorted(found) for found in batches(cells, FOLDERS, {"module": MODULE})]


def test_a_batch_is_followed_from_name_to_name():
    cells = ('full = stored("toy")', "runs = full.trials", "x = 1", "plot(runs.share)", "plot(x)")
    assert read(*cells) == [["toy"], ["toy"], [], ["toy"], []]


def test_a_name_with_a_new_meaning_forgets_the_old_one():
    assert read('p = stored("toy")', 'p = stored("mnist")', "plot(p)")[2] == ["mnist"]
    assert read('p = stored("toy")', "p = p.trials", "plot(p)")[2] == ["toy"]
    assert read('p = stored("toy")', "for p in range(3):\n    plot(p)")[1] == []


def test_functions_of_the_evidence_are_looked_into():
    assert read('plot(logged("16"))') == [["sweep/16"]]
    assert read('plot(medians("64"))') == [["sweep/64"]]
    assert read('plot(both("pairs"))') == [["pairs/with", "pairs/without"]]
    assert read('plot(module.both(name="pairs"))') == [["pairs/with", "pairs/without"]]
    assert read("plot(stored(module.HOME))") == [["toy"]]


def test_a_function_of_the_notebook_reads_for_who_calls_it():
    cells = ('def draw(x):\n    plot(stored(f"sweep/{x}"))', 'draw("64")', "draw(unknown)")
    assert read(*cells) == [[], ["sweep/64"], ["sweep/16", "sweep/64"]]


def test_names_are_looked_for_among_the_constants_of_the_cell():
    cell = 'for name in ("toy", "mnist"):\n    plot(stored(name))\nprint("cifar10")'
    assert read(cell) == [["mnist", "toy"]]


def figures():
    """Each figure's cell that asks for a batch by its name, with that name."""
    for path in depends.chapters(ROOT):
        for place, cell in enumerate(nbformat.read(path, as_version=4).cells):
            if cell.cell_type == "code" and "figure" in cell.metadata.get("mystnb", {}):
                for name in re.findall(r'stored\("([^"]+)"\)', cell.source):
                    yield path, place, name


def test_what_a_figure_asks_for_itself_is_named_under_it():
    seen = list(figures())
    assert seen
    for path, place, name in seen:
        assert name in made_by.rests_on(ROOT, path)[place]


@pytest.mark.parametrize("name", stored_folders(ROOT))
def test_every_stored_batch_can_be_described_and_made_again(name):
    one = stored_runs(name)
    assert one.seeds and one.told("commit") and one.told("date")
    text = " ".join(node.astext() for node in made_by.described(one, command(one)))
    assert ranges(one.seeds) in text and one.told("commit")[0][:12] in text
    if "(" in command(one):  # a function's, which no notebook calls
        return
    words = command(one).split()
    notebook = ROOT / words[1]
    known = {"trials", "first_seed", "results_dir"} | set(one.parameters)
    assert notebook.is_file() and set(words[4::3]) <= known
    assert all(word == "-p" for word in words[3::3])


def test_seeds_are_told_as_ranges():
    assert ranges([0, 1, 2, 5, 7, 8]) == "0–2, 5, 7–8"


def test_a_page_has_a_line_under_a_figure_and_a_fold_where_runs_stand_behind_it(tmp_path):
    tree = tmp_path / "book"
    for folder in ("evidence", "results/toy"):
        (tree / folder).mkdir(parents=True)
    for name in ("evidence/__init__.py", "evidence/reproduce.py", "results/toy/provenance.json"):
        (tree / name).write_text((ROOT / name).read_text())
    (tree / "results/toy/trials.parquet").touch()
    source = nbformat.read(ROOT / "chapters/experiments/toy.ipynb", as_version=4)
    picture = next(
        out
        for cell in source.cells
        if cell.cell_type == "code"
        for out in cell.outputs
        if "image/png" in out.get("data", {})
    )
    cells = [nbformat.v4.new_markdown_cell("# Page")]
    for name, code in (("fig-own", "plot()"), ("fig-runs", 'plot(stored("toy"))')):
        cell = nbformat.v4.new_code_cell(code, outputs=[picture], execution_count=1)
        cell.metadata["mystnb"] = {"figure": {"name": name, "caption": "A caption."}}
        cells.append(cell)
    page = nbformat.v4.new_notebook(cells=cells, metadata=source.metadata)
    nbformat.write(page, tree / "page.ipynb")
    (tree / "conf.py").write_text(
        f"import sys\nsys.path.insert(0, {str(ROOT / 'tools')!r})\n"
        'extensions = ["myst_nb", "sphinx_design", "made_by"]\n'
        'nb_execution_mode = "off"\nroot_doc = "page"\n'
    )
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", ".", "_build"]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    page = (tree / "_build/page.html").read_text()
    assert page.count('id="code-fig-own"') == page.count('href="#code-fig-own"') == 1
    assert page.count('<details class="') == 1 and "seeds 0–999" in page
    assert page.index('id="fig-own"') < page.index('class="made-by"') < page.index("<details")
