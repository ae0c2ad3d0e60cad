"""Formulas are set when the book is built, and a wrong one fails the build."""

import subprocess
import sys
from pathlib import Path

import pytest
from formulas import aligned

ROOT = Path(__file__).resolve().parents[2]

CONF = f"""
import sys
sys.path.insert(0, {str(ROOT / "tools")!r})
extensions = ["myst_parser", "sphinx_proof", "book_extension"]
myst_enable_extensions = ["amsmath", "dollarmath"]
exclude_patterns = ["_build"]
"""

PAGE = r"""# Formulas

Within a line $a < b$, in a table and displayed:

| sign | meaning |
|---|---|
| $\kappa$ | curvature |

$$
a &= b \\ &\ge c
$$ (eq-6)

\begin{align*}x &= 1 \\ y &= 2\end{align*}

See {eq}`eq-6`.

## From $\epsilon^2$ to $\epsilon^4$
"""


def build(folder: Path, page: str) -> subprocess.CompletedProcess[str]:
    """Build a book of one page, strictly."""
    (folder / "conf.py").write_text(CONF)
    (folder / "index.md").write_text(page)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", ".", "_build"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("formulas")
    done = build(folder, PAGE)
    assert done.returncode == 0, done.stderr
    return (folder / "_build" / "index.html").read_text()


def test_formulas_stand_on_the_page_as_html_with_mathml(page):
    body = page[page.index("<section") :]
    assert body.count('class="katex-html"') == body.count("<math ") == 6
    assert body.count('class="katex-display"') == 2
    assert r"\(" not in body and "katex-error" not in page
    assert "mathjax" not in page.lower().replace("mathjax_ignore", "")


def test_a_displayed_formula_keeps_its_number_and_its_anchor(page):
    assert '<div class="math" id="equation-eq-6">' in page
    assert '<span class="eqno">(6)<a class="headerlink" href="#equation-eq-6"' in page


def test_a_wrong_formula_fails_the_build_and_is_shown_with_its_place(tmp_path):
    done = build(tmp_path, "# Title\n\nA sum,\n\n$$\n\\sum_{\n$$\n")
    assert done.returncode != 0
    assert "index.md:5: WARNING: a formula can't be set" in done.stderr, done.stderr


def test_lines_are_aligned_where_sphinx_aligns_them():
    assert aligned("a = b\n") == "a = b"
    assert aligned(r"a &= b \\ &= c") == r"\begin{split}a &= b \\ &= c\end{split}"
    assert aligned("a\n\nb") == r"\begin{aligned}a\\b\end{aligned}"
