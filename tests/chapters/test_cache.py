"""Which chapter depends on which file, on a small tree."""

from pathlib import Path

import nbformat
import pytest
from book import forget_stale_outputs
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn

FILES = {
    "requirements.txt": "numpy==1",
    "_toc.yml": "root: chapters/one",
    "pscore/__init__.py": "",
    "pscore/loss.py": "",
    "pscore/curvature.py": "from pscore import loss",
    "pscore/experiments/__init__.py": "",
    "pscore/experiments/trials.py": "def stored(name): ...",
    "evidence/__init__.py": "",
    "evidence/instances.py": "from pscore.loss import loss",
    "evidence/one.py": "from evidence.instances import draw",
    "evidence/two.py": "from evidence import instances\nimport pscore.curvature",
    "evidence/four.py": "from pscore.experiments.trials import stored",
    "evidence/nobodys.py": "",
    "results/toy.json": "{}",
}
CHAPTERS = {
    "one": "from evidence import one",
    "two": "%matplotlib inline\nimport evidence.two as two",
    "three": "import math",
    "four": "from evidence.four import check",
    "five": "from pathlib import Path\nPath('results/toy.json').read_text()",
}
EVERYBODY = set(CHAPTERS)


@pytest.fixture
def tree(tmp_path) -> Path:
    """A book of five chapters whose outputs are all cached."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "chapters").mkdir()
    for name, text in CHAPTERS.items():
        cell = nbformat.v4.new_code_cell(text, execution_count=1)
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / f"chapters/{name}.ipynb")
    assert names(forget_stale_outputs(tmp_path)) == EVERYBODY
    cache_all(tmp_path)
    return tmp_path


def names(notebooks) -> set[str]:
    return {path.stem for path in notebooks}


def cache_all(tree: Path) -> None:
    cache = get_cache(tree / "_build" / ".jupyter_cache")
    for path in (tree / "chapters").glob("*.ipynb"):
        bundle = CacheBundleIn(nbformat.read(path, as_version=4), str(path))
        cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)


def cached(tree: Path) -> set[str]:
    records = get_cache(tree / "_build" / ".jupyter_cache").list_cache_records()
    return {Path(record.uri).stem for record in records}


def test_nothing_is_forgotten_when_nothing_changed(tree):
    assert forget_stale_outputs(tree) == []
    assert cached(tree) == EVERYBODY


@pytest.mark.parametrize(
    ("file", "chapters"),
    [
        ("evidence/one.py", {"one"}),
        ("evidence/two.py", {"two"}),
        ("evidence/instances.py", {"one", "two"}),
        ("evidence/nobodys.py", set()),
        ("pscore/curvature.py", {"two"}),
        ("pscore/loss.py", {"one", "two"}),
        ("pscore/__init__.py", {"one", "two", "four"}),
        ("results/toy.json", {"four", "five"}),
        ("requirements.txt", EVERYBODY),
        ("_toc.yml", set()),
    ],
)
def test_an_edited_file_marks_exactly_its_chapters(tree, file, chapters):
    path = tree / file
    path.write_text(path.read_text() + "\n")
    assert names(forget_stale_outputs(tree)) == chapters
    assert cached(tree) == EVERYBODY - chapters
    assert forget_stale_outputs(tree) == []


def test_a_chapter_that_changes_back_is_not_read_from_an_old_cache(tree):
    """Its record is kept while its code differs, and has to go with what it depends on."""
    chapter = tree / "chapters" / "one.ipynb"
    before = chapter.read_text()
    chapter.write_text(before.replace("import one", "import one, two"))
    (tree / "evidence/one.py").write_text("")
    forget_stale_outputs(tree)
    chapter.write_text(before)
    forget_stale_outputs(tree)
    assert "one" not in cached(tree)
