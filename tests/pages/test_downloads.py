"""The notebooks to take away: plain Markdown, all of the chapter's code, and they run."""

import re
import subprocess
import sys

import built
import nbformat
import pytest
from built import HTML, ROOT
from downloads import FOLDER

OFFERED = HTML / FOLDER
CHAPTERS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "chapters").rglob("*.ipynb")
    if ".ipynb_checkpoints" not in path.parts
)
# A role, a directive, a target, a substitution, a node of the tree.
RAW = re.compile(r"\{[a-zA-Z][\w:-]*\}`|^[ >]*(`{3,}|:{3,})\{|^\([^)\s]+\)=$|\{\{|<\w+_node", re.M)
CODE = re.compile(r"^(`{3,})[^\n{]*\n.*?^\1$", re.M | re.S)

each = pytest.mark.parametrize("name", CHAPTERS)


@pytest.fixture(autouse=True)
def _built(request):
    """Every test here reads the built pages, but that of raw markup."""
    if "text" not in request.fixturenames:
        built.need_pages()


def words(cells):
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def raw(text):
    """Markup that only the book's own build reads; code may speak of it."""
    return [match[0] for match in RAW.finditer(CODE.sub("", text))]


@each
def test_a_stranger_can_read_it(name):
    taken = nbformat.read(OFFERED / name, as_version=4)
    nbformat.validate(taken)
    assert raw(words(taken.cells)) == []
    first = taken.cells[0].source
    assert "pscore" in first and "make book" in first and name in first


@each
def test_code_and_outputs_are_the_chapters(name):
    taken = nbformat.read(OFFERED / name, as_version=4)
    given = nbformat.read(ROOT / name, as_version=4)
    here, there = (
        [(cell.source, cell.outputs) for cell in one.cells if cell.cell_type == "code"]
        for one in (taken, given)
    )
    assert here == there
    assert taken.metadata == given.metadata  # the state of the widgets


@each
def test_no_paragraph_is_lost(name):
    """Long words are all there, but those of directives, options, targets, roles and addresses."""
    text = words(nbformat.read(ROOT / name, as_version=4).cells)
    text = re.sub(r"^\s*([:`]{3,}|:[\w-]+:|\().*$", " ", text, flags=re.M)
    text = re.sub(r"\{[\w:-]+\}`[^`]*`|\]\([^)]*\)|^\$\$ \(.*\)$", " ", text, flags=re.M)
    taken = words(nbformat.read(OFFERED / name, as_version=4).cells)
    lost = {word for word in re.findall(r"[A-Za-z]{5,}", text) if word not in taken}
    assert lost == set()


def test_only_notebooks_are_offered():
    offered = {path.relative_to(OFFERED).as_posix() for path in (OFFERED).rglob("*.*")}
    assert offered == set(CHAPTERS)
    for name in CHAPTERS:
        page = (HTML / name).with_suffix(".html").read_text("utf-8")
        assert f'{FOLDER}/{name}"' in page, name
    page = (HTML / "chapters" / "back" / "glossary.html").read_text("utf-8")
    assert "download-notebook-button" not in page and "download-pdf-button" in page


@pytest.mark.slow
def test_one_runs(tmp_path):
    name = "chapters/theory/networks-and-switches.ipynb"
    command = [sys.executable, "-m", "papermill", str(OFFERED / name), "out.ipynb"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    again = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert all(cell.execution_count for cell in again.cells if cell.cell_type == "code")


@pytest.mark.parametrize(
    "text", ["{prf:ref}`a`", "```{math}\nx\n```", "> :::{note}", "(here)=", "{{ x }}"]
)
def test_raw_markup_is_seen(text):
    assert raw(text)
    assert not raw("```python\nf'{a}`'\n```\nA set {a}.")
