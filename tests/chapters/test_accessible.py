"""What is mended on the pages when the book is built, so that everyone can read them."""

import accessible
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from docutils import nodes
from docutils.utils import new_document
from myst_nb.sphinx_ import HideInputCells

PRE = '<div class="{}"><div class="highlight"><pre><span></span>{}\n</pre></div></div>'


def soup(text):
    return BeautifulSoup(text, "html.parser")


@pytest.mark.parametrize(
    "source, prepares",
    [
        ("import numpy as np\nfrom pscore import certify\n", True),
        ("import numpy as np\n\nSEED, MANY = 0, 100", False),
        ("import numpy as np\n\nSEED = 0", True),
        ("SEED = 0", False),
        ("import numpy as np\nprint(np.pi)", False),
        ("import numpy as np\nerror = np.pi", False),
        ("%matplotlib inline", False),
    ],
)
def test_code_that_only_prepares_is_known(source, prepares):
    assert accessible.only_prepares(source) == prepares


@pytest.mark.parametrize(
    "source, drawn, title",
    [
        ("import numpy as np", False, "Code, 1 line"),
        ("x = 1\nshow(x)", True, "Code that draws, 2 lines"),
        ("def draw(axes):\n    axes.plot(1)", False, "Code that draws, 2 lines"),
        ("explore(draw, along=values)", False, "Code that draws, 1 line"),
        ("x = 1\nprint(x)", False, None),
        ("\n".join(["x = 1"] * 12), False, None),
        ("\n".join(["x = 1"] * 13), False, "Code, 13 lines"),
    ],
)
def test_code_that_prepares_or_draws_is_folded(source, drawn, title):
    cell = nodes.container(nb_element="cell_code")
    code = nodes.container(nb_element="cell_code_source")
    code += nodes.literal_block(source, source)
    output = nodes.container(nb_element="cell_code_output")
    output += nodes.figure() if drawn else nodes.literal_block("1", "1")
    cell += [code, output]
    page = new_document("page")
    page += cell
    accessible.fold_code(None, page)
    assert cell.get("prompt_show") == title
    # This is what myst-nb goes by.
    HideInputCells(page).run()
    folds = [one for one in page.findall() if type(one).__name__ == "HideCodeCellNode"]
    assert len(folds) == (title is not None)


def test_a_line_of_code_knows_its_indentation():
    code = '<span class="k">def</span> f(x):\n\n    <span class="k">return</span> x &lt; 1'
    body = accessible.mend_body(PRE.format("highlight-ipython3 notranslate", code))
    lines = soup(body).select("pre > span.line")
    assert [one.get("style") for one in lines] == [None, None, "--in:4"]
    assert lines[2].select_one("span.in").get_text() == " " * 4
    # What is copied is the code as it was.
    assert soup(body).pre.get_text() == "def f(x):\n\n    return x < 1\n"


def test_spaces_within_a_mark_are_found():
    code = '<span class="sd">"""A.</span>\n\n<span class="sd">    B.</span>\n'
    code += '<span class="w">  </span>c<span class="o">.</span>d<span class="p">(</span>'
    body = accessible.mend_body(PRE.format("evidence-code highlight-python notranslate", code))
    lines = soup(body).select("pre > span.line")
    assert [one.get("style") for one in lines] == [None, None, "--in:4", "--in:2"]
    assert soup(body).pre.get_text() == '"""A.\n\n    B.\n  c.d(\n'


def test_an_output_knows_the_columns_of_its_tables():
    lines = ["a &lt; b", f"<b>left</b>{' ' * 80}right", " ".join(["words"] * 40)]
    body = PRE.format("output stream highlight-myst-ansi notranslate", "\n".join(lines))
    pre = soup(accessible.mend_body(body)).pre
    assert pre["style"] == "--columns:89"
    assert pre.get_text() == soup("\n".join(lines)).get_text() + "\n"
    # The others may break.
    assert [one.get_text()[:6] for one in pre.select("span.line")] == ["a < b\n", "words "]


def test_a_short_output_is_not_blown_up():
    body = accessible.mend_body(PRE.format("output stream highlight-myst-ansi", "a  b"))
    assert soup(body).pre["style"] == "--columns:80"


def frame():
    index = pd.MultiIndex.from_tuples([("a", 1), ("a", 2)], names=["set", "depth"])
    return pd.DataFrame({"share": [0.5, 0.25], "verdict": ["it holds", "it fails"]}, index=index)


@pytest.mark.parametrize("named", [True, False])
def test_a_table_of_pandas_has_no_empty_head(named):
    shown = frame() if named else frame().rename_axis([None, None])
    table = soup(accessible.mend_body(shown.to_html(notebook=True))).table
    heads = table.select("th")
    assert all(head.get_text(strip=True) for head in heads)
    assert "<style" not in accessible.mend_body(shown.to_html(notebook=True))
    assert {head["scope"] for head in table.select("thead th")} == {"col"}
    assert {head["scope"] for head in table.select("tbody th")} == {"row"}
    first = [cell.get_text() for cell in table.select("thead tr:last-child > *")]
    assert first == (["set", "depth"] if named else ["", ""]) + ["share", "verdict"]
    assert len(table.select("thead tr")) == 1
    assert [cell.get_text() for cell in table.select("td.words")] == ["it holds", "it fails"]


PROSE = (
    '<table class="table"><thead><tr><th>what</th><th>why</th></tr></thead>'
    "<tbody><tr><td><p>{}</p></td><td>since</td></tr></tbody></table>"
)


def test_a_row_of_prose_can_be_read_as_a_card():
    table = soup(accessible.mend_body(PROSE.format("a long word " * 6))).table
    assert "cards" in table["class"]
    assert [cell["data-label"] for cell in table.select("td")] == ["what", "why"]
    assert {cell["role"] for cell in table.select("td")} == {"cell"}
    assert {row["role"] for row in table.select("tr")} == {"row"}


def test_a_short_table_stays_one():
    table = soup(accessible.mend_body(PROSE.format("short"))).table
    assert "cards" not in table["class"]


def test_a_figure_leads_to_its_whole_picture():
    body = '<figure class="a" id="f">\n<img alt="A set." src="../_images/a.png" />\n<figcaption/>'
    link = soup(accessible.mend_body(body)).select_one("figure > a.whole-figure")
    assert link["href"] == "../_images/a.png"
    assert link.img["alt"] == "A set."


@pytest.mark.parametrize("shape, wide", [((4, 9), True), ((9, 9), False)])
def test_a_figure_of_panels_is_known_for_phones(tmp_path, shape, wide):
    plt.imsave(tmp_path / f"{wide}.png", np.zeros(shape))
    page = f'<figure><a class="whole-figure" href="{wide}.png"><img alt="A set." /></a>'
    marked = accessible.marked_wide(tmp_path / "page.html", page)
    assert ("wide" in soup(marked).a["class"]) == wide
    # The pages of a book that is built a second time are as they were.
    assert accessible.marked_wide(tmp_path / "page.html", marked) == marked


def test_a_fold_is_called_what_stands_on_it():
    body = (
        '<summary aria-label="Toggle hidden content">\n<p class="collapsed admonition-title">Code'
        '</p>\n<p class="expanded admonition-title">Code</p>\n</summary>'
    )
    assert accessible.mend_body(body) == "<summary>Code</summary>"
