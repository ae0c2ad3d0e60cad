"""Each chapter to take away: a notebook that works without the book around it.

Its words are written anew from the page's tree, as plain Markdown; its code, its outputs and the
state of its widgets are those stored with the chapter. A first cell says what it is and what it
needs. It takes the place of the copied source, which shows raw roles, behind the page's download
button; pages that are no notebook have nothing to download.
"""

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import yaml
from as_markdown import Numbers, Writer
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.osutil import relative_uri

FOLDER = "_sources"  # where readers, and other tools, look for it
FIRST = """\
*This notebook is the chapter “{chapter}” of* {title}*, a book in which each theorem of \
T. Milne's paper (NeurIPS 2019, [arXiv:1810.12805](https://arxiv.org/abs/1810.12805)) stands \
beside code that tests it.{where} Version {version}, MIT licence.*

It can be read as it is: the outputs below are stored. **To run it** you need the book's \
repository{source}, Python 3.11 and make, on Linux or macOS. {needs} In a clone,

```sh
make book        # or: make book TORCH=cpu
.venv/bin/pip install jupyterlab
.venv/bin/jupyter lab {path}
```

opens this chapter where all of that is installed. `pip install .` in the clone brings `pscore` \
alone into an environment of yours."""
OURS = {"pscore": "the book's library", "evidence": "the checks of its claims"}


def needs(code: str) -> str:
    """Say which of the book's packages some code imports."""
    used = [
        f"`{name}`, {what},"
        for name, what in OURS.items()
        if re.search(rf"^(from|import) {name}\b", code, re.MULTILINE)
    ]
    if not used:
        return "The code imports nothing of it, but the packages that it pins."
    return f"It imports {' and '.join(used)} from there."


def first_cell(root: Path, page: str, chapter: str, url: str, code: str) -> str:
    """Say what a downloaded notebook is, where it comes from, and how to get what it imports."""
    citation = root / "CITATION.cff"
    known = yaml.safe_load(citation.read_text("utf-8")) if citation.is_file() else {}
    where = f" [Read it there](<{url}{page}.html>)." if url else ""
    repository = known.get("repository-code", "")
    return FIRST.format(
        chapter=chapter,
        title=known.get("title", "an executable book"),
        version=known.get("version", "unknown"),
        where=where,
        source=f" ([here](<{repository}>))" if repository else "",
        path=f"{page}.ipynb",
        needs=needs(code),
    )


class Cells:
    """The cells of a notebook, as its page's tree gives them.

    Attributes:
        given: the cells of the stored notebook.
        cells: those of the one to take away.
    """

    def __init__(self, given: list[Any], writer: Writer) -> None:
        """Begin with none."""
        self.given, self.writer = given, writer
        self.cells: list[Any] = []
        self.pending: list[str] = []
        self.next_code = 0

    def flush(self) -> None:
        """Close a cell of words."""
        if text := "\n\n".join(filter(None, self.pending)):
            self.cells.append(nbformat.v4.new_markdown_cell(text))
        self.pending = []

    def walk(self, node: nodes.Element, level: int = 0) -> None:
        """Take in what a section holds; each heading begins a cell."""
        for child in node.children:
            if isinstance(child, nodes.section):
                self.flush()
                self.walk(child, level + 1)
            elif isinstance(child, nodes.title):
                self.pending.append(self.writer.heading(child, max(level, 1)))
            elif isinstance(child, nodes.container) and child.get("nb_element") == "cell_code":
                self.flush()
                self.code(child["cell_index"])
                self.captions(child)
            else:
                self.pending.append(self.writer.block(child))

    def code(self, until: int) -> None:
        """Take the code up to a cell as it is stored; cells that no page shows are among it."""
        for cell in self.given[self.next_code : until + 1]:
            if cell.cell_type == "code":
                self.cells.append(cell)
        self.next_code = until + 1

    def captions(self, cell: nodes.Element) -> None:
        """Say below a cell what its figures show, with the numbers that the words refer to."""
        for figure in cell.findall(nodes.figure):
            number = ".".join(map(str, self.writer.number("figure", figure)))
            words = [self.writer.inside(one) for one in figure.findall(nodes.caption)]
            if words:
                self.pending.append(f"*Figure {number}.* {words[0]}")


def references(app: Sphinx, doctree: nodes.document) -> str:
    """Return what a page cites, in the order of the bibliography."""
    cited = {node.get("refuri", "") for node in doctree.findall(nodes.reference)}
    entries = []
    for one in app.env.domaindata.get("cite", {}).get("citations", []):
        there = f"{Path(one.bibliography_key.docname).name}.html#{one.citation_id}"
        if any(uri.endswith(there) for uri in cited):
            entries.append(" ".join(one.formatted_entry.text.render_as("markdown").split()))
    return "\n".join(["## References", "", *(f"- {entry}" for entry in entries)]) if entries else ""


def notebook(
    stored: Any, doctree: nodes.Element, writer: Writer, first: str, last: str = ""
) -> Any:
    """Return the notebook to take away, from the stored one and the resolved tree of its page.

    Words may come first and last.
    """
    found = Cells(stored.cells, writer)
    found.pending.append(first)
    found.flush()
    found.walk(doctree)
    found.flush()
    found.code(len(stored.cells))
    found.pending.append(last)
    found.flush()
    for place, cell in enumerate(found.cells):
        cell["id"] = f"c{place:03d}"
    return nbformat.v4.new_notebook(cells=found.cells, metadata=stored.metadata)


def numbers(app: Sphinx, page: str) -> tuple[Numbers, dict[str, tuple]]:
    """Return the numbers on a page, and those of its sections."""
    env = app.env
    return env.toc_fignumbers.get(page, {}), env.toc_secnumbers.get(page, {})


def offer(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Write a page's notebook, and add the button that gives it away, and the one that prints."""
    if doctree is None:
        return
    source, url = Path(app.env.doc2path(page)), app.config.html_baseurl
    buttons = [button(".pdf", "Print to PDF", "file-pdf", javascript="window.print()")]
    if source.suffix == ".ipynb":
        own = app.builder.get_target_uri(page)

        def address(uri: str) -> str:
            return f"{url}{relative_uri('', join(own, uri))}" if url else ""

        writer = Writer(*numbers(app, page), address)
        stored = nbformat.read(source, as_version=4)
        code = "\n".join(cell.source for cell in stored.cells if cell.cell_type == "code")
        first = first_cell(Path(app.srcdir), page, app.env.titles[page].astext(), url, code)
        made = notebook(stored, doctree, writer, first, references(app, doctree))
        target = Path(app.outdir, FOLDER, f"{page}.ipynb")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(made, ensure_ascii=False, indent=1) + "\n", "utf-8")
        there = context["pathto"](f"{FOLDER}/{page}.ipynb", 1)
        buttons.insert(0, button(".ipynb", "Download the notebook", "code", url=there))
    context.setdefault("header_buttons", []).append(
        {
            "type": "group",
            "tooltip": "Download this page",
            "icon": "fas fa-download",
            "buttons": buttons,
            "label": "download-buttons",
        }
    )


def join(own: str, uri: str) -> str:
    """Return a reference of a page as seen from the first folder of the book."""
    path, _, anchor = uri.partition("#")
    parts = own.split("/")[:-1] if path else own.split("/")
    for part in path.split("/") if path else []:
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/".join(parts) + (f"#{anchor}" if anchor else "")


def button(text: str, tooltip: str, icon: str, **what: str) -> dict[str, str]:
    """Return a line of the download menu, as the theme wants it."""
    kind = "javascript" if "javascript" in what else "link"
    label = f"download-{'pdf' if kind == 'javascript' else 'notebook'}-button"
    return {
        "type": kind,
        "text": text,
        "tooltip": tooltip,
        "icon": f"fas fa-{icon}",
        "label": label,
        **what,
    }


def setup(app: Sphinx) -> None:
    """Connect the event, after the theme, which begins the list of buttons."""
    app.connect("html-page-context", offer, priority=502)
