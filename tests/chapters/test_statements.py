"""Statements, on a small book: names, folds, the list, what the search is told, and previews."""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from previews import element, excerpts

ROOT = Path(__file__).resolve().parents[2]

CONF = f"""
import sys
sys.path.insert(0, {str(ROOT / "tools")!r})
extensions = ["myst_parser", "sphinx_design", "sphinx_proof", "book_extension"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
exclude_patterns = ["_build"]
"""

INDEX = """# Index

```{toctree}
:numbered:
first
second
statements
words
```

See {prf:ref}`paper-lemma-10`, {eq}`eq-6` and {term}`nullity`.
"""

FIRST = """# Nothing but the origin

```{prf:lemma} The value $D$ of it
:label: paper-lemma-10

Let $a$ be as in [the glossary](words.md), and

$$
a = b.
$$ (eq-6)
```

A remark on it.

:::{dropdown} Proof of {prf:ref}`paper-lemma-10`
```{prf:proof}
By {prf:ref}`nothing-but-the-origin`.
```
:::

:::{dropdown} Proof of {prf:ref}`nothing-but-the-origin`
```{prf:proof}
By hand.
```
:::

```{prf:proposition} Nothing; but
:label: nothing-but-the-origin

Words.
```
"""

SECOND = """# Second

```{prf:lemma}
:label: paper-lemma-9

Words.
```

```{prf:corollary}
:label: second-one

Words, see {eq}`eq-6`.
```

:::{dropdown} Why {prf:ref}`paper-lemma-10` and {prf:ref}`second-one`
Words.
:::
"""

LIST = "# The statements\n\n```{statements}\n```\n"
WORDS = "# Words\n\n```{glossary}\nnullity\n  The number of *zeros*.\n\nrank\n  The rest.\n```\n"


@pytest.fixture(scope="module")
def book(tmp_path_factory) -> Path:
    """The folder of a built book."""
    tree = tmp_path_factory.mktemp("statements")
    pages = {"index": INDEX, "first": FIRST, "second": SECOND, "statements": LIST, "words": WORDS}
    (tree / "conf.py").write_text(CONF)
    for name, text in pages.items():
        (tree / f"{name}.md").write_text(text)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-n", "-j", "2", "-b", "html"]
    done = subprocess.run([*command, ".", "_build"], cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return tree / "_build"


def read(book: Path, name: str) -> str:
    return (book / name).read_text(encoding="utf-8")


def words(text: str) -> str:
    text = re.sub(r"<annotation.*?</annotation>|<math.*?</math>", "", text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", text)).strip()


def folds(text: str) -> list[str]:
    return re.findall(r"<details.*?</details>", text, re.DOTALL)


def test_ids_are_given_once_and_proofs_are_named_for_their_statements(book):
    for name in ("first.html", "second.html"):
        counts = Counter(re.findall(r'\sid="([^"]+)"', read(book, name)))
        assert {one: count for one, count in counts.items() if count > 1} == {}
    first = read(book, "first.html")
    assert 'id="proof-of-paper-lemma-10"' in first
    # A statement keeps its name, although the chapter bears the same.
    assert re.search(r'<div class="proof [^>]*id="nothing-but-the-origin"', first)


def test_the_title_of_a_fold_is_no_link(book):
    titles = re.findall(r"<summary.*?</summary>", read(book, "first.html"), re.DOTALL)
    assert [words(title) for title in titles] == ["Proof of Lemma 10", "Proof of Proposition 1.1"]
    assert not any("<a" in title for title in titles)


def test_a_fold_leads_back_to_a_statement_that_is_not_just_above(book):
    near, far = folds(read(book, "first.html"))
    assert "Back to" not in near
    assert "Back to Proposition 1.1" in words(far) and 'href="#nothing-but-the-origin"' in far
    (both,) = folds(read(book, "second.html"))
    # The second stands just above, the first on another page.
    assert "Back to Lemma 10 Words." in words(both) and 'href="first.html#paper' in both


def test_all_statements_are_listed_the_papers_first_and_in_order(book):
    text = words(read(book, "statements.html"))
    rows = ["Lemmas", "Lemma 9", "Lemma 10 The value D of it in Nothing but the origin"]
    rows += ["Equations (6)", "1. Nothing but the origin", "Proposition 1.1 Nothing; but"]
    rows += ["2. Second", "Corollary 2.1"]
    places = [text.index(row) for row in rows]
    assert places == sorted(places)
    assert not (book / "prf-prf.html").exists()


def search_index(book: Path) -> dict:
    text = read(book, "searchindex.js")
    return json.loads(text[text.index("(") + 1 : text.rindex(")")])


def test_the_search_knows_statements_and_equations_by_kind_and_number(book):
    found = {}
    for prefix, rows in search_index(book)["objects"].items():
        for _, _, _, anchor, name in rows:
            found[f"{prefix}.{name}".removeprefix(".")] = anchor
    assert found == {
        "Lemma 9": "paper-lemma-9",
        "Lemma 10 (The value D of it)": "paper-lemma-10",
        "Proposition 1.1 (Nothing; but)": "nothing-but-the-origin",
        "Corollary 2.1": "second-one",
        "Equation (6)": "equation-eq-6",
    }


def test_the_general_index_has_statements_by_what_they_are_called(book):
    text = read(book, "genindex.html")
    assert re.search(r'Nothing, but\s*<ul>\s*<li><a href="first.html#nothing-but', text)
    # No one looks for it under its article.
    assert re.search(r'Value D of it\s*<ul>\s*<li><a href="first.html#paper-lemma-10', text)
    assert "nullity" in text


def previews(book: Path, page: str) -> dict:
    text = read(book, f"_static/previews/{page}.js")
    name, parts = json.loads(text.removeprefix("previews.keep(...").rstrip().removesuffix(");"))
    assert name == f"{page}.html"
    return parts


def test_what_other_pages_refer_to_is_kept_for_them(book):
    first = previews(book, "first")
    assert set(first) == {"paper-lemma-10", "nothing-but-the-origin", "equation-eq-6"}
    assert words(first["paper-lemma-10"]).startswith("Lemma 10 (The value")
    assert first["paper-lemma-10"].endswith("</div>") and "remark" not in first["paper-lemma-10"]
    assert "annotation" not in first["equation-eq-6"] and "katex" in first["equation-eq-6"]
    assert words(previews(book, "words")["term-nullity"]) == "nullity¶The number of zeros."


def test_an_element_ends_where_it_ends():
    text = "<p><div id='a'><div>x</div><divide>y</divide></div><div>z</div></p>"
    assert element(text, 3) == "<div id='a'><div>x</div><divide>y</divide></div>"


def test_of_a_function_the_first_lines_are_kept_and_an_explorer_not_at_all():
    text = '<dl><dt class="sig sig-object py" id="f">f()</dt>\n<dd><p>One.</p><p>Two.</p></dd></dl>'
    assert excerpts(text, {"f"}) == {"f": text.replace("<p>Two.</p>", "").replace("\n", "")}
    assert excerpts('<figure class="explorer" id="f"></figure>', {"f"}) == {}
    assert excerpts('<figure class="align" id="f"></figure>', {"f"})
    assert excerpts('<figure class="align" id="f"></figure>', {"g"}) == {}
