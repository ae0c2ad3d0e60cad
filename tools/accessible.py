"""Mends pages, so that everyone can read them: by eye, by ear, by key, on a phone and on paper.

* Code that only imports, that draws, or that is long, is folded: an idea comes before its code.
* A line of code is a box that breaks below its own indentation, and an output knows how many
  columns it needs, so that styles can fit both to the page.
* Tables of pandas have no empty heads, and their heads say what they head. A table of prose knows
  the names of its columns in each cell, and so can be read as cards on a phone.
* A figure leads to its whole picture.
* What the theme leaves without a name, or names wrongly, gets one.
"""

import ast
import html
import re
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup, Tag
from docutils import nodes
from light import size
from sphinx.application import Sphinx

LONG = 12  # lines of code that are more than a glance
WIDE = 2  # times as wide as high, as panels side by side are

FIGURE = re.compile(r"(<figure\b[^>]*>\s*)(<img\b[^>]*\bsrc=\"([^\"]+)\"[^>]*/?>)")
CODE = re.compile(
    r"(<div class=\"(?:evidence-code )?highlight-(?:ipython3|python|sh|bash|shell|console)[^>]*>"
    r"<div class=\"highlight\"><pre>)(.*?)(</pre>)",
    re.DOTALL,
)
OUTPUT = re.compile(
    r"(<div class=\"output [^>]*><div class=\"highlight\">)<pre>(.*?)</pre>", re.DOTALL
)
TABLE = re.compile(r"<table\b.*?</table>", re.DOTALL)
FOLDED = re.compile(
    r"<summary aria-label=\"Toggle hidden content\">\s*"
    r"<p class=\"collapsed admonition-title\">(.*?)</p>\s*"
    r"<p class=\"expanded admonition-title\">.*?</p>\s*</summary>",
    re.DOTALL,
)
INDENT = re.compile(r"^((?:<[^>]*>)*)( +)")
# Where a long line had best break: after an opening bracket or a comma, and before a point.
BREAKS = (
    (re.compile(r"(<span class=\"p\">[^<]*[(\[{,]</span>)"), r"\1<wbr>"),
    (re.compile(r"(<span class=\"o\">\.</span>)"), r"<wbr>\1"),
)
# pandas writes its own styles before each table.
PANDAS_STYLE = re.compile(r"<style scoped>.*?</style>\s*", re.DOTALL)
TAGS = re.compile(r"<[^>]*>")
DRAWS = re.compile(r"\b(?:ax|axis|axes|plt|figure)\.\w+\(|^explore[r]?\(", re.MULTILINE)


# Which code is folded.


def only_prepares(source: str) -> bool:
    """Say whether code only imports and names constants."""
    try:
        statements = ast.parse(source).body
    except SyntaxError:
        return False
    imports = [isinstance(one, ast.Import | ast.ImportFrom) for one in statements]
    names = [
        isinstance(one, ast.Assign)
        and all(isinstance(to, ast.Name) and to.id.isupper() for to in one.targets)
        for one in statements
    ]
    return any(imports) and all(a or b for a, b in zip(imports, names, strict=True))


def fold_code(app: Sphinx, doctree: nodes.document) -> None:
    """Fold the code of a page that prepares, draws or is long, and say how long each one is."""
    for cell in doctree.findall(nodes.container):
        if cell.get("nb_element") != "cell_code":
            continue
        code = cell.next_node(lambda one: one.get("nb_element") == "cell_code_source")
        if code is None:
            continue
        source = code.astext().strip()
        count = source.count("\n") + 1
        draws = cell.next_node(nodes.figure) is not None or DRAWS.search(source) is not None
        if not cell.get("hide_mode") and (draws or count > LONG or only_prepares(source)):
            cell["hide_mode"] = "input"
        if cell.get("hide_mode") == "input":
            what = "Code that draws" if draws else "Code"
            cell["prompt_show"] = f"{what}, {count} line{'s' if count > 1 else ''}"
            cell["prompt_hide"] = cell["prompt_show"]


# Code and outputs.


def plain(line: str) -> str:
    """Return a line of highlighted text without its marks."""
    return html.unescape(TAGS.sub("", line))


def box(line: str) -> str:
    """Return a box for a line, indented by style: its own spaces are kept for who copies them."""
    text = plain(line)
    indent = len(text) - len(text.lstrip())
    for place, opportunity in BREAKS:
        line = place.sub(opportunity, line)
    if not indent:
        return f'<span class="line">{line}\n</span>'
    line = INDENT.sub(r'<span class="in">\2</span>\1', line)
    return f'<span class="line" style="--in:{indent}">{line}\n</span>'


def in_lines(code: str) -> str:
    """Return highlighted code with a box for each line."""
    return "".join(map(box, code.removesuffix("\n").split("\n")))


def printed(output: str) -> str:
    """Return what a cell printed, with the number of columns that its tables need.

    A line that has no columns, since no two spaces stand within it, may break like one of code.
    """
    lines = output.removesuffix("\n").split("\n")
    tabular = [re.search(r"\S {2,}\S", plain(line)) is not None for line in lines]
    shown = [f"{a}\n" if columns else box(a) for a, columns in zip(lines, tabular, strict=True)]
    wide = max(
        (len(plain(a)) for a, columns in zip(lines, tabular, strict=True) if columns), default=0
    )
    return f'<pre style="--columns:{max(wide, 80)}">{"".join(shown)}</pre>'


# Tables.


def mend_table(text: str) -> str:
    """Return a table without empty heads, with what its heads head, and with its columns' names."""
    if "<thead" not in text:
        return text
    table = BeautifulSoup(text, "html.parser").table
    assert table is not None
    if "dataframe" in table.get("class", []):
        mend_index(table)
        mark_words(table)
    else:
        label_cells(table)
    for head in table.select("thead th"):
        head["scope"] = "col"
    for head in table.select("tbody th"):
        head["scope"] = "row"
    for head in table.find_all("th"):
        if not head.get_text(strip=True):
            head.name = "td"
            del head["scope"]
    return str(table)


def mend_index(table: Tag) -> None:
    """Put the names of a table's index beside those of its columns, in one row of heads.

    pandas gives the index's names a row of their own, and leaves blank what is beside them.
    """
    rows = table.select("thead tr")
    body = table.select_one("tbody tr")
    depth = len(body.find_all("th", recursive=False)) if body else 0
    if len(rows) > 1 and depth:
        upper, lower = rows[-2].find_all("th"), rows[-1].find_all("th")
        blank = not any(one.get_text(strip=True) for one in [*upper[:depth], *lower[depth:]])
        if blank and len(upper) == len(lower):
            for above, below in zip(upper[:depth], lower[:depth], strict=True):
                above.string = below.get_text()
            rows[-1].decompose()
    for row in table.select("thead tr"):
        for head in row.find_all("th")[:depth]:
            head["class"] = "of-the-index"


def mark_words(table: Tag) -> None:
    """Mark the columns of words, which stand to the left, and cells so long that they may break."""
    # From the right, since a head of several rows is missing at the left of all but the first.
    rows = [row.find_all(["th", "td"], recursive=False)[::-1] for row in table.select("tbody tr")]
    heads = table.select("thead tr:last-child > *")[::-1]
    for head, cells in zip(heads, zip(*rows, strict=False), strict=False):
        words = [cell for cell in cells if re.match(r"\s*[^\W\d]{2}", cell.get_text())]
        if len(words) * 2 > len(cells):
            for cell in (head, *cells):
                cell["class"] = [*cell.get("class", []), "words"]
    for cell in table.select("td, th"):
        if len(cell.get_text()) > 14:
            cell["class"] = [*cell.get("class", []), "long"]


def label_cells(table: Tag) -> None:
    """Give each cell of a table of prose the name of its column, and its role in the table."""
    names = [head.get_text(" ", strip=True) for head in table.select("thead tr:last-child th")]
    rows = [row.find_all("td", recursive=False) for row in table.select("tbody tr")]
    longest = max((sum(len(cell.get_text()) for cell in row) for row in rows), default=0)
    if len(names) < 2 or longest < 60 or any(len(row) != len(names) for row in rows):
        return
    # Cells that are laid out as boxes are no longer cells for who listens, unless they say so.
    table["class"] = [*table.get("class", []), "cards"]
    table["role"] = "table"
    for part in table.select("thead, tbody"):
        part["role"] = "rowgroup"
    for row in table.select("tr"):
        row["role"] = "row"
    for head in table.select("thead th"):
        head["role"] = "columnheader"
    for row in rows:
        for name, cell in zip(names, row, strict=True):
            cell["role"] = "cell"
            if name:
                cell["data-label"] = name


# Pages.


def whole_figure(match: re.Match[str]) -> str:
    """Return a figure whose picture leads to itself, alone."""
    before, image, source = match.groups()
    return f'{before}<a class="whole-figure" href="{source}">{image}</a>'


def mend_body(body: str) -> str:
    """Return a page's text, mended."""
    body = CODE.sub(lambda one: one[1] + in_lines(one[2]) + one[3], body)
    body = OUTPUT.sub(lambda one: one[1] + printed(one[2]), body)
    body = FOLDED.sub(r"<summary>\1</summary>", body)
    body = PANDAS_STYLE.sub("", body)
    body = TABLE.sub(lambda one: mend_table(one[0]), body)
    return FIGURE.sub(whole_figure, body)


def on_page(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Mend a page's text before it is written."""
    if app.builder.format == "html" and "body" in context:
        context["body"] = mend_body(context["body"])


# What the theme and other extensions write, and what takes its place.
REPLACED = [
    # A second list of contents needs a name of its own.
    (
        '<nav class="bd-toc-nav page-toc">',
        '<nav class="bd-toc-nav page-toc" aria-label="On this page">',
    ),
    # The book's title and the search stand beside the list of chapters, and belong to it.
    (
        '<div class="bd-sidebar-primary bd-sidebar">',
        '<div class="bd-sidebar-primary bd-sidebar" role="navigation" aria-label="Book">',
    ),
    # A button is called what is written on it.
    (
        'search-button-field search-button__button" title="Search" aria-label="Search"',
        'search-button-field search-button__button"',
    ),
    ('title="Toggle primary sidebar"', 'title="Chapters" aria-label="Chapters"'),
    ('title="Toggle secondary sidebar"', 'title="On this page" aria-label="On this page"'),
    # Entries of a bibliography are items of its list.
    (' role="doc-biblioentry"', ' role="listitem"'),
    (' role="doc-backlink"', ""),
]


def marked_wide(page: Path, text: str) -> str:
    """Return a page that knows which of its figures are too wide for a phone."""

    def mark(match: re.Match[str]) -> str:
        width, height = size(page.parent / match[2]) or (1, 1)
        return match[1] + (" wide" if width > WIDE * height else "") + f'" href="{match[2]}"'

    return re.sub(r'(<a class="whole-figure)" href="([^"]*)"', mark, text)


def mend_theme(app: Sphinx, error: Exception | None) -> None:
    """Mend what the theme writes around the text of each page."""
    if error is not None or app.builder.format != "html":
        return
    for page in Path(app.outdir).rglob("*.html"):
        text = mended = page.read_text(encoding="utf-8")
        for before, after in REPLACED:
            mended = mended.replace(before, after)
        mended = marked_wide(page, mended)
        if mended != text:
            page.write_text(mended, encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Connect the events, and load what the mended pages need."""
    for style in ("code.css", "tables.css", "folds.css"):
        app.add_css_file(style)
    for script in ("folds.js", "scroll.js"):
        app.add_js_file(script)
    app.connect("doctree-read", fold_code)
    app.connect("html-page-context", on_page, priority=900)
    app.connect("build-finished", mend_theme)
