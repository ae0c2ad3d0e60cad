"""The directives of the ledger's page, on a small book."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from typeset import plainly, typeset

ROOT = Path(__file__).resolve().parents[2]

CONF = f"""
import sys
sys.path.insert(0, {str(ROOT / "tools")!r})
extensions = ["myst_nb", "sphinx_design", "sphinx_proof", "book_extension"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
nb_execution_mode = "off"
numfig = math_numfig = True
root_doc = "chapters/index"
exclude_patterns = ["evidence", "tests", "_build"]
"""

CONTENTS = """
root: chapters/index
parts:
  - chapters:
      - file: chapters/theory/lines
      - file: chapters/theory/circles
      - file: chapters/back/claims
"""

INDEX = """# Index

```{toctree}
:numbered:
theory/lines
theory/circles
```

```{toctree}
back/claims
```
"""

LINES = """# Straight lines

$$x = 1$$ (eq-6)

```{prf:lemma} A line
:label: paper-lemma-3

Words.
```

```{check} paper-lemma-3 eq-6
```
"""

CIRCLES = """# Circles

```{prf:proposition} Round
:label: circles-round

Words.
```

```{check} circles-round
```

## More of them

(circles-more)=
Said in passing.
"""

LINES_EVIDENCE = '''
"""Checks of lines."""

from evidence.claims import Evidence, claim


@claim("paper-lemma-3", "x_1 ≤ 2^{−n_i}", "corrected", "By hand.", uses=("eq-6",), variant="x < 1",
       hypotheses=("x > 0",))
@claim("eq-6", "x is 1", "certified", "A definition.", variant="x is 2")
def check_line(seed: int) -> Evidence:
    """Check."""
'''

CIRCLES_EVIDENCE = '''
"""Checks of circles."""

from evidence.claims import Evidence, claim, unchecked


@claim("circles-round", "Circles are round", "observed", "Seen.", uses=("paper-lemma-3",))
def check_round(seed: int) -> Evidence:
    """Check."""


unchecked(__name__, "circles-more", "There are more", "inconclusive", "Nobody has counted.")
'''

SAW = {
    "lines": "paper-lemma-3, eq-6:\n    all 7 instances met the hypotheses, 0 violations\n"
    "    nearest to equality 0.900, falsified variant: over 40 counterexamples\n",
    "circles": "circles-round:\n    over 20 of 90 instances met the hypotheses, 0 violations\n",
}

PAGE = """# The ledger

```{ledger-counts}
```

```{claims-graph} paper-
```

```{claims-graph}
```

## Claims

```{ledger}
```

## Test

```{ledger-test}
```
"""


def notebook(text: str, printed: str) -> str:
    code = nbformat.v4.new_code_cell("print(1)", execution_count=1)
    code.outputs = [nbformat.v4.new_output("stream", name="stdout", text=printed)]
    cells = [nbformat.v4.new_markdown_cell(text), code]
    metadata = {"language_info": {"name": "python"}}
    return nbformat.writes(nbformat.v4.new_notebook(cells=cells, metadata=metadata))


def small_book(tree: Path, **changes: str) -> Path:
    saw = SAW | changes
    files = {
        "conf.py": CONF,
        "_toc.yml": CONTENTS,
        "chapters/index.md": INDEX,
        "chapters/theory/lines.ipynb": notebook(LINES, saw["lines"]),
        "chapters/theory/circles.ipynb": notebook(changes.get("page", CIRCLES), saw["circles"]),
        "chapters/back/claims.md": PAGE,
        "evidence/__init__.py": "",
        "evidence/lines.py": LINES_EVIDENCE,
        "evidence/circles.py": CIRCLES_EVIDENCE,
    }
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text.lstrip("\n"), encoding="utf-8")
    for name in ("evidence/claims.py", "evidence/ledger.py", "tests/evidence/test_ledger.py"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tree / name)
    return tree


def build(tree: Path) -> list[str]:
    """Build a book, and return its warnings."""
    command = [sys.executable, "-m", "sphinx", "-q", "-n", "-b", "html", ".", "_build"]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return re.findall(r"WARNING: (.*)", done.stderr)


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    tree = small_book(tmp_path_factory.mktemp("book"))
    assert build(tree) == []
    return tree / "_build/chapters"


@pytest.fixture(scope="module")
def page(tree) -> BeautifulSoup:
    return BeautifulSoup((tree / "back/claims.html").read_text(encoding="utf-8"), "html.parser")


def cells(page, label):
    return page.find(id=f"ledger-{label}").find_all(["th", "td"])


def test_a_row_says_what_its_check_saw(page):
    texts = [cell.get_text(" ", strip=True) for cell in cells(page, "paper-lemma-3")]
    assert texts[0] == "Lemma 3"
    assert texts[2:6] == ["corrected", "all 7", "over 40", "0.900"]
    assert [x.get_text(strip=True) for x in cells(page, "circles-round")[3:6]] == [
        "over 20 of 90",
        "",
        "",
    ]


def test_a_statement_is_linked_by_its_number_whatever_it_is(page):
    links = {label: cells(page, label)[0].a for label in ("paper-lemma-3", "eq-6", "circles-round")}
    assert {label: (a.get_text(), a["href"]) for label, a in links.items()} == {
        "paper-lemma-3": ("Lemma 3", "../theory/lines.html#paper-lemma-3"),
        "eq-6": ("Equation (6)", "../theory/lines.html#equation-eq-6"),
        "circles-round": ("Proposition 2.1", "../theory/circles.html#circles-round"),
    }
    more = cells(page, "circles-more")[0].a
    assert (more.get_text(), more["href"]) == ("Section 2.1", "../theory/circles.html#circles-more")


def test_all_links_of_the_rows_and_the_graphs_lead_somewhere(page, tree):
    found = 0
    for link in page.select("section.ledger a, svg a"):
        file, _, anchor = link["href"].partition("#")
        target = page
        if file:
            text = (tree / "back" / file).read_text(encoding="utf-8")
            target = BeautifulSoup(text, "html.parser")
        assert not anchor or target.find(id=anchor), link
        found += 1
    assert found > 25


def test_a_row_leads_to_its_check_and_to_its_test(page):
    check, test = cells(page, "eq-6")[6].find_all("a")
    assert check["href"] == "../theory/lines.html#check-paper-lemma-3"
    fold = page.find(id="ledger-eq-6").details
    assert fold.find(id=test["href"].removeprefix("#"))
    assert "::test_a_check_is_sound_on_other_instances[lines-check_line]" in (fold.pre.get_text())
    (none,) = cells(page, "circles-more")[6].find_all("a")
    assert none.get_text() == "no check" and page.find(id=none["href"].removeprefix("#"))


def test_a_fold_says_what_the_verdict_rests_on(page):
    said = page.find(id="ledger-paper-lemma-3").details.get_text(" ", strip=True)
    for words in ("Because: By hand.", "Applies when: x > 0", "Falsified variant: x < 1"):
        assert words in said.replace(" >", " >")
    fold = page.find(id="ledger-paper-lemma-3").details
    links = {a.get_text(): a["href"] for a in fold.find_all("a")}
    assert links["Equation (6)"] == "#ledger-eq-6"
    assert links["Proposition 2.1"] == "#ledger-circles-round"


def test_rows_stand_in_the_order_of_their_statements(page):
    rows = [row["id"] for row in page.select("table.ledger tbody tr")]
    names = ["eq-6", "paper-lemma-3", "circles-round", "circles-more"]
    assert rows == [f"ledger-{name}" for name in names]
    heads = [h.get_text().rstrip("#¶") for h in page.select("section.ledger h3")]
    assert heads == ["1 Straight lines", "2 Circles"]


def test_the_graphs_have_a_box_for_each_of_their_claims(page):
    paper, all_claims = page.select("svg.claims-graph")
    labels = [[a["data-label"] for a in x.select("a.claim")] for x in (paper, all_claims)]
    assert sorted(labels[0]) == ["eq-6", "paper-lemma-3"], "with what its proof uses"
    assert len(labels[1]) == 4
    assert [a.find("text").get_text() for a in paper.select("a.claim")] == ["Lem. 3", "Eq. 6"]
    words = paper.select_one("[data-label=paper-lemma-3]")["aria-label"]
    assert words == "Lemma 3, corrected: x_1 ≤ 2^−n_i"


def test_claims_are_counted(page):
    said = page.select_one(".ledger-counts").get_text(" ", strip=True)
    assert said.startswith("4 claims, 3 of them tested, by 2 checks: 1 corrected")


def test_a_statement_leads_back_to_its_row(tree):
    lines = BeautifulSoup((tree / "theory/lines.html").read_text(encoding="utf-8"), "html.parser")
    links = {a["href"]: a.get_text() for a in lines.details.select("a")}
    assert links["../back/claims.html#ledger-paper-lemma-3"] == "corrected"
    assert links["../back/claims.html#ledger-eq-6"] == "certified"


def test_only_the_ledger_s_page_loads_its_script(page, tree):
    assert page.find("script", src=re.compile("ledger.js"))
    assert "ledger.js" not in (tree / "theory/lines.html").read_text(encoding="utf-8")


def test_a_claim_without_a_statement_and_a_broken_rule_are_warnings(tmp_path):
    page = CIRCLES.replace("(circles-more)=\n", "")
    tree = small_book(tmp_path, page=page, lines=SAW["lines"].replace("0 viol", "2 viol"))
    warnings = build(tree)
    assert "ledger: the page of paper-lemma-3 shows a violation" in warnings
    assert "ledger: no page states 'circles-more'" in warnings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a set U(λ, θ)", "a set <i>U</i>(λ, θ)"),
        ("‖W‖_*, and a_i", "‖<i>W</i>‖<sub>*</sub>, and <i>a</i><sub><i>i</i></sub>"),
        ("2^{−n_i} more", "2<sup>−<i>n</i><sub><i>i</i></sub></sup> more"),
        ("φ^(1/2), λ_max(M)", "φ<sup>(1/2)</sup>, λ<sub>max</sub>(<i>M</i>)"),
        ("I say (8)'s level, Table 2's", "I say (8)'s level, Table 2's"),
        ("U_sharp, r^{2/(H+1)}", "<i>U</i><sub>sharp</sub>, <i>r</i><sup>2/(<i>H</i>+1)</sup>"),
    ],
)
def test_titles_are_set_as_formulas(text, expected):
    tags = {"emphasis": "i", "subscript": "sub", "superscript": "sup"}

    def written(node):
        inner = "".join(map(written, node.children)) if node.children else node.astext()
        tag = tags.get(node.tagname)
        return f"<{tag}>{inner}</{tag}>" if tag else inner

    assert "".join(map(written, typeset(text))) == expected


def test_a_name_for_a_tooltip_has_no_braces():
    assert plainly("2^{n} and x_1") == "2^n and x_1"
