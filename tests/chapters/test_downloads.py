"""A page's tree as plain Markdown, and the notebook that is made of it."""

import nbformat
import pytest
from as_markdown import Writer
from docutils import nodes
from downloads import Cells, join, needs, notebook
from sphinx_design.dropdown import dropdown_main, dropdown_title


def paragraph(*parts):
    return nodes.paragraph("", "", *(nodes.Text(x) if isinstance(x, str) else x for x in parts))


@pytest.mark.parametrize(
    "node, text",
    [
        (paragraph("a * b, _c_, d_e, $5, <b>, 1 < 2"), r"a \* b, \_c\_, d_e, \$5, \<b>, 1 < 2"),
        (paragraph(nodes.math("", r"\|W\|")), r"$\|W\|$"),
        (paragraph(nodes.literal("", "a`b")), "``a`b``"),
        (paragraph(nodes.strong("", " so "), "it is"), "**so** it is"),
        (paragraph(nodes.reference("", "Lemma 3", refuri="other.html#lemma")), "Lemma 3"),
        (paragraph(nodes.reference("", "this", refuri="https://a.b")), "[this](<https://a.b>)"),
        (nodes.literal_block("", "x = 1", language="ipython3"), "```python\nx = 1\n```"),
    ],
)
def test_nodes_are_written(node, text):
    assert Writer().block(node) == text


def test_a_link_leads_into_the_book_where_its_address_is_known():
    node = paragraph(nodes.reference("", "Lemma 3", refuri="other.html#lemma"))
    writer = Writer(address=lambda uri: f"https://a.b/{join('theory/x.html', uri)}")
    assert writer.block(node) == "[Lemma 3](<https://a.b/theory/other.html#lemma>)"
    assert join("theory/x.html", "#here") == "theory/x.html#here"
    assert join("a/theory/x.html", "../b/y.html#z") == "a/b/y.html#z"


def test_numbers_are_those_of_the_page():
    formula = nodes.math_block("", "x = 1", ids=["equation-eq-6"])
    writer = Writer({"displaymath": {"equation-eq-6": ("6",)}}, {"#two": (5, 2)})
    assert writer.block(formula) == "$$\nx = 1 \\tag{6}\n$$"
    section = nodes.section("", nodes.title("", "Two"), ids=["two"])
    assert writer.heading(section[0], 2) == "## 5.2. Two"


def test_bars_do_not_cut_the_cells_of_a_table():
    row = nodes.row("", nodes.entry("", paragraph(nodes.math("", r"\|W\| + |x|"), " or | so")))
    table = nodes.table("", nodes.tgroup("", nodes.tbody("", row)))
    assert Writer().block(table).splitlines()[-1] == r"| $\Vert W\Vert  + \vert x\vert $ or \| so |"


def test_a_fold_stays_a_fold():
    title = dropdown_title("", "", nodes.inline("", "Proof of ", nodes.math("", "a < b")))
    fold = dropdown_main("", title, nodes.container("", paragraph("It is.")))
    summary = "<summary>Proof of $a &lt; b$</summary>"
    assert Writer().block(fold) == f"<details>{summary}\n\nIt is.\n\n</details>"


def test_code_that_no_page_shows_is_taken_too():
    given = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell("hidden = 1"),
            nbformat.v4.new_markdown_cell("# A {doc}`page`"),
            nbformat.v4.new_code_cell("print(hidden)"),
            nbformat.v4.new_code_cell("last"),
        ]
    )
    cell = nodes.container("", nb_element="cell_code", cell_index=2)
    tree = nodes.document(None, None)
    tree += nodes.section("", nodes.title("", "A page"), cell)
    made = notebook(given, tree, Writer(), "What this is.", "What it cites.")
    kinds = [(one.cell_type, one.source) for one in made.cells]
    assert kinds == [
        ("markdown", "What this is."),
        ("markdown", "# A page"),
        ("code", "hidden = 1"),
        ("code", "print(hidden)"),
        ("code", "last"),
        ("markdown", "What it cites."),
    ]
    nbformat.validate(made)


def test_what_figures_show_stands_below_their_cell():
    figure = nodes.figure("", nodes.caption("", "A set."), ids=["set"])
    cells = Cells([], Writer({"figure": {"set": (5, 1)}}))
    cells.captions(nodes.container("", figure))
    assert cells.pending == ["*Figure 5.1.* A set."]


def test_what_is_imported_is_named():
    both = needs("import torch\nfrom pscore import a\nfrom evidence.b import c")
    assert "`pscore`" in both and "`evidence`" in both
    assert "`evidence`" not in needs("from pscore import evidence_of")
    assert "imports nothing" in needs("import pscored")
