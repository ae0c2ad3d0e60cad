"""The directives that put checks on a page, on a small book of three pages."""

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from excerpts import excerpts

ROOT = Path(__file__).resolve().parents[2]

CONF = f"""
import sys
sys.path.insert(0, {str(ROOT / "tools")!r})
extensions = ["myst_nb", "sphinx_design", "sphinx_proof", "book_extension"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
nb_execution_mode = "off"
root_doc = "chapters/index"
exclude_patterns = ["evidence", "_build"]
"""

CONTENTS = """
format: jb-book
root: chapters/index
parts:
  - chapters:
      - file: chapters/theory/second-thoughts
      - file: chapters/back/ground
"""

CHECKS = '''
"""Checks of second thoughts."""

from functools import lru_cache

from evidence import instances
from evidence.claims import Evidence, claim, unchecked
from evidence.instances import draw, unused
from evidence.solvers.flow import SHORT, follow

# ---- a heading that belongs to nothing

# How far to go.
FAR, NEAR = 7, 3
ALONE = "used by nobody"


@lru_cache
def helper(far: "Line") -> int:
    """Use a constant, and a local name like that of another function."""
    lonely = far.length
    return follow(lonely) + FAR


class Line:
    """A line."""

    length = 2


def lonely() -> int:
    return 0


@claim("first", "One", "certified", "By hand.", hypotheses=("a < b*c*", "b_i_"), variant="with b",
       least=3)
@claim("again", "One as well", "certified", "By hand.", variant="with b")
def check_first(seed: int) -> Evidence:
    """Check the first."""
    seen = Evidence()
    seen.add(draw(seed) + helper(Line()) + instances.measure(), refuted=True)
    return seen


@claim("second", "Two", "observed", "By hand.", uses=("first",))
def check_second(seed: int) -> Evidence:
    """Check the second."""
    return Evidence(met=NEAR, tried=NEAR)


unchecked(__name__, "third", "Three", "certified", "It is a definition.")
'''

INSTANCES = '''
"""What is drawn, in `one` paragraph.

And this is another.
"""

COUNT = 10


def draw(seed: int) -> int:
    """Draw something."""
    return COUNT + _private()


def measure() -> int:
    """Measure what ``draw`` has drawn."""
    return draw(0)


def unused() -> int:
    """Do nothing."""


def _private() -> int:
    return 1
'''

FLOW = '''
"""A solver."""

SHORT = 1


def follow(x: int) -> int:
    """Follow."""
    return x
'''

PAGE = """# Second thoughts

```{prf:proposition} One
:label: first

Words.
```

```{check} first again
```

More words.

```{check} second
```

```{source} second_thoughts.lonely second_thoughts.ALONE
```
"""

WRONG = """# Second thoughts

```{check} nothing
```
```{check} third
```
```{check} elsewhere
```
```{check} first second
```
```{source} second_thoughts.absent
```
```{source} no_file.absent
```
```{ground} evidence/none.py
```
"""

ELSEWHERE = '''
"""Of another page."""

from evidence.claims import Evidence, claim
from evidence.instances import _private


@claim("elsewhere", "E", "certified", "By hand.")
def check_elsewhere(seed: int) -> Evidence:
    """Check, with what the ground's page shows too."""
    return Evidence(met=_private(), tried=1)
'''

# The ledger's own directive, which makes these places, has tests of its own.
LEDGER = "".join(f"(ledger-{one})=\n" for one in ("first", "again", "second", "elsewhere"))
LEDGER += "# Ledger\n"

GROUND = """# Ground

## Instances

```{ground} evidence/instances.py
```

## Flow

```{ground} evidence/solvers/flow.py
```

## Counts

```{ground} evidence/claims.py Evidence
```
"""

INDEX = "# Index\n\n```{toctree}\ntheory/second-thoughts\nback/ground\nback/claims\n```\n\n"
INDEX += "```{check} elsewhere\n```\n"


def notebook(text: str) -> str:
    return nbformat.writes(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)]))


def small_book(tree: Path, page: str) -> Path:
    """Write a book with an evidence package of its own."""
    files = {
        "conf.py": CONF,
        "_toc.yml": CONTENTS,
        "chapters/index.md": INDEX,
        "chapters/theory/second-thoughts.ipynb": notebook(page),
        "chapters/back/ground.md": GROUND,
        "chapters/back/claims.md": LEDGER,
        "evidence/__init__.py": "",
        "evidence/index.py": ELSEWHERE,
        "evidence/second_thoughts.py": CHECKS,
        "evidence/instances.py": INSTANCES,
        "evidence/solvers/__init__.py": "",
        "evidence/solvers/flow.py": FLOW,
    }
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text.lstrip("\n"), encoding="utf-8")
    for name in ("claims.py", "ledger.py"):
        shutil.copy(ROOT / "evidence" / name, tree / "evidence")
    return tree


def build(tree: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "sphinx", "-q", "-n", "-j", "2", "-b", "html", ".", "_build"]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True)


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, str]:
    """The pages of a sound small book, by name."""
    tree = small_book(tmp_path_factory.mktemp("book"), PAGE)
    done = build(tree)
    assert done.returncode == 0 and not done.stderr, done.stderr
    built = (tree / "_build/chapters").rglob("*.html")
    return {page.stem: page.read_text(encoding="utf-8") for page in built}


class Text(HTMLParser):
    """Collects a page's text, fold by fold."""

    def __init__(self):
        super().__init__()
        self.folds, self.depth = [], 0

    def handle_starttag(self, tag, attrs):
        if tag == "details":
            assert "open" not in dict(attrs)
            self.folds.append("")
            self.depth += 1

    def handle_endtag(self, tag):
        self.depth -= tag == "details"

    def handle_data(self, data):
        if self.depth:
            self.folds[-1] += data


def folds(page: str) -> list[str]:
    parser = Text()
    parser.feed(page)
    return parser.folds


def test_a_fold_holds_the_check_and_what_it_uses_of_its_file(pages):
    first = folds(pages["second-thoughts"])[0]
    assert "How it is checked" in first
    assert "In the ledger: certified (first), certified (again)." in first
    assert "Hypotheses (first): a < b*c*; b_i_." in first
    assert "Hypotheses (again): none." in first
    assert "Falsified variant (first): with b." in first
    assert "at least 3 have to meet the hypotheses" in first
    parts = [
        "def check_first(",
        "# How far to go.\nFAR, NEAR",
        "@lru_cache\ndef helper",
        "class Line",
    ]
    places = [first.index(part) for part in parts]
    assert places == [places[0], *sorted(places[1:])] and places[0] < places[1]
    assert "@claim" not in first and "heading" not in first
    assert "def lonely" not in first, "a local name of the same spelling"


def test_a_page_shows_nothing_twice(pages):
    first, second = folds(pages["second-thoughts"])
    assert "def check_second" in second
    assert "FAR, NEAR = " not in second and "FAR, NEAR: see above." in second
    assert '<a class="reference internal" href="#check-first">' in pages["second-thoughts"]
    assert pages["second-thoughts"].count("def</span>") == 4


def test_a_source_is_shown_unfolded_with_its_file(pages):
    page = pages["second-thoughts"]
    text = re.sub(r"<[^>]+>", "", page.rpartition("</details>")[2])
    assert "def lonely() -&gt; int" in text and "ALONE = " in text
    assert "evidence/second_thoughts.py" in text


def test_a_fold_names_the_ground_it_stands_on_and_leads_there(pages):
    first = folds(pages["second-thoughts"])[0]
    assert first.rstrip().endswith("From the ground that checks share: draw, measure, follow.")
    for place in ("ground-instances-draw", "ground-solvers-flow-follow"):
        assert f'href="../back/ground.html#{place}"' in pages["second-thoughts"]
        assert f'id="{place}"' in pages["ground"]
    # What is private has no fold of its own: the link leads to the fold that shows it.
    assert 'href="back/ground.html#ground-instances-draw"' in pages["index"]


def test_the_ground_has_a_fold_for_each_function(pages):
    draw, measure, unused, follow, short, evidence = folds(pages["ground"])
    assert "draw Draw something." in draw
    assert "COUNT = 10" in draw and "def _private" in draw
    assert "measure Measure what draw has drawn." in measure
    assert "def draw" not in measure and "def unused" in unused
    assert "SHORT = 1" in short and "def follow" in follow
    assert "def __str__" in evidence
    assert "What is drawn, in" in pages["ground"] and "another" not in pages["ground"]


def test_what_does_not_exist_is_a_warning(tmp_path):
    done = build(small_book(tmp_path, WRONG))
    assert re.findall(r"WARNING: (\w+: .*)", done.stderr) == [
        "check: the ledger has no claim 'nothing'",
        "check: nothing is checked for 'third'",
        "check: 'elsewhere' is a claim of the page index",
        "check: first and second do not share a check",
        "source: evidence.second_thoughts has no absent",
        "source: there is no file evidence/no_file.py",
        "ground: there is no file evidence/none.py",
    ]


def test_names_are_found_in_quoted_annotations_and_in_members(tmp_path):
    file = tmp_path / "a.py"
    file.write_text(
        "from evidence import solvers\nfrom evidence.instances import draw\n"
        "class A: ...\nclass B: ...\n"
        'def f(x: "A | None") -> "list[B]":\n    return solvers.solve(x)\n'
        "def g():\n    draw = 1\n    return draw\n"
    )
    read = excerpts(file)
    assert [one.names[0] for one in read.needed(["f"])] == ["A", "B"]
    modules = {"evidence.solvers", "evidence.instances"}
    assert read.taken([read.definitions["f"]], modules) == ["evidence.solvers.solve"]
    assert read.taken([read.definitions["g"]], modules) == []
