"""Directives of the page that shows the ledger.

* ``{ledger}``: a row for each claim, by chapter, with links to its statement, its check and its
  test; what it rests on in a fold. Above them, fields that filter the rows.
* ``{ledger-counts}``: how many claims there are, and with which verdicts, in a sentence.
* ``{claims-graph}``: which proof uses what. Labels' beginnings may follow: then only these, and
  what their proofs use.
* ``{ledger-test}``: the source of the test that runs every check.

Where a statement stands, and its number, are known when all pages are read; the links are made
then. A claim without a statement, and a rule of the ledger that is broken, is a warning.
"""

from collections import Counter
from html import escape
from pathlib import Path
from typing import Any

import claims_graph
from chapter import Chapter
from check_directive import EvidenceDirective, code, listed
from docutils import nodes
from places import Place, as_written, chapter_number, heading, place_of
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from typeset import plainly, typeset

logger = logging.getLogger(__name__)

TESTS = "tests.evidence.test_ledger"
TEST = "test_a_check_is_sound_on_other_instances"
COLUMNS = {
    "statement": 12,
    "what it says": 47,
    "verdict": 10,
    "met hypotheses": 12,
    "rejected": 7,
    "nearest": 5,
    "shown by": 7,
}


class claim_link(nodes.Inline, nodes.TextElement):
    """A link to a claim's statement, by its number, that is made when this is known."""


class graph_of_claims(nodes.General, nodes.Element):
    """The place of the graph."""


class row_fold(nodes.General, nodes.Element):
    """A fold within a row."""


class row_title(nodes.Inline, nodes.TextElement):
    """What stands on the fold."""


class LedgerDirective(EvidenceDirective):
    """The rows."""

    required_arguments = 0
    optional_arguments = 0

    def run(self) -> list[nodes.Node]:
        """Make them, and say which rules are broken."""
        ledger = self.ledger()
        depend_on_chapters(self, ledger)
        self.stated, self.seen = ledger.claims(), ledger.seen()
        for problem in ledger.problems(self.stated, self.seen):
            self.warn("%s", problem)
        tests = self.read(TESTS)
        if tests is None or TEST not in tests.definitions:
            return self.warn("there is no test %s", TEST)
        self.name_in_tests = ledger.name_in_tests
        root = Path(self.env.srcdir)
        pages = {x: as_written(x, those, root) for x, those in ledger.ledger().items() if those}
        named = {page: heading(page, root) for page in pages}
        above = nodes.raw("", fields(named, self.stated), format="html")
        return [above, *(self.chapter(x, named[x], those) for x, those in pages.items())]

    def chapter(self, page: str, name: str, claims: tuple[Any, ...]) -> nodes.Node:
        """Return the rows of one chapter under its name."""
        link = self.reference(f"/chapters/{page}", nodes.inline("", name), kind="doc")
        place = f"ledger-of-{Path(page).name}"
        head = nodes.row()
        for column in COLUMNS:
            head += nodes.entry("", nodes.paragraph("", column))
        group = nodes.tgroup(cols=len(COLUMNS))
        group += [
            nodes.colspec(colwidth=x, **({"stub": 1} if not i else {}))
            for i, x in enumerate(COLUMNS.values())
        ]
        group += [nodes.thead("", head), nodes.tbody("", *(self.row(one) for one in claims))]
        table = nodes.table("", group, classes=["ledger", "colwidths-given"])
        section = nodes.section("", nodes.title("", "", link), table, ids=[place])
        section["classes"], section["of-chapter"] = ["ledger"], f"chapters/{page}"
        return section

    def row(self, one: Any) -> nodes.Node:
        """Return the row of a claim."""
        seen = self.seen.get(one.label, {})
        place = f"ledger-{one.label}"
        self.label(place, place)
        verdict = nodes.inline("", one.verdict, classes=["verdict", one.verdict])
        cells: list[list[nodes.Node]] = [
            [claim_link("", "", label=one.label, row=False)],
            [row_fold("", row_title("", "", *typeset(one.title)), *self.reasons(one))],
            [verdict],
            *([nodes.Text(seen.get(what, ""))] for what in ("applied", "refused", "margin")),
            self.links(one),
        ]
        row = nodes.row(ids=[place], classes=[one.verdict])
        for cell in cells:
            inline = not isinstance(cell[0], row_fold)
            row += nodes.entry("", nodes.paragraph("", "", *cell) if inline else cell[0])
        return row

    def links(self, one: Any) -> list[nodes.Node]:
        """Return the links to a claim's check and its test, or to the reason why it has none."""
        test = nodes.reference("", "test", refid=f"test-{one.label}", internal=True)
        if one.check is None:
            return [nodes.reference("", "no check", refid=f"test-{one.label}", internal=True)]
        check = self.reference(f"check-{one.label}", nodes.inline("", "check"))
        return [check, nodes.Text(" "), test]

    def reasons(self, one: Any) -> list[nodes.Node]:
        """Return what a verdict rests on, what was tested, and by which command."""
        said = [("Because", one.remark)]
        if one.check is not None:
            said.append(("Applies when", "; ".join(one.hypotheses) or "always"))
        if one.variant:
            said.append(("Falsified variant", one.variant))
        found: list[nodes.Node] = [
            nodes.paragraph("", "", nodes.strong("", f"{what}: "), *typeset(f"{text.rstrip('.')}."))
            for what, text in said
        ]
        below = [x.label for x in self.stated if one.label in x.uses]
        for what, labels in (("Its proof uses", one.uses), ("Used by", below)):
            if labels:
                links = listed([claim_link("", "", label=x, row=True) for x in labels])
                words = nodes.strong("", f"{what}: ")
                found.append(nodes.paragraph("", "", words, *links, nodes.Text(".")))
        place = f"test-{one.label}"
        if one.check is None:
            words = "Nothing is drawn anew: it rests on stored runs, or on the proof alone."
            return [*found, nodes.paragraph("", words, ids=[place])]
        source = self.reference("the-ledger-s-test", nodes.inline("", "another seed"))
        words = [nodes.strong("", "Its test"), nodes.Text(" takes "), source, nodes.Text(":")]
        name = f"{TEST}[{self.name_in_tests(one.check)}]"
        command = f'.venv/bin/pytest "{TESTS.replace(".", "/")}.py::{name}"'
        block = nodes.literal_block(command, command, language="text")
        return [*found, nodes.paragraph("", "", *words, ids=[place]), block]


class CountsDirective(EvidenceDirective):
    """How many claims there are, in a sentence."""

    required_arguments = 0
    optional_arguments = 0

    def run(self) -> list[nodes.Node]:
        """Count."""
        ledger = self.ledger()
        depend_on_chapters(self, ledger)
        stated = ledger.claims()
        checks = {one.check for one in stated if one.check}
        tested = sum(one.check is not None for one in stated)
        words = f"{len(stated)} claims, {tested} of them tested, by {len(checks)} checks: "
        parts: list[nodes.Node] = []
        for verdict, count in Counter(one.verdict for one in stated).most_common():
            swatch = nodes.inline("", verdict, classes=["verdict", verdict])
            parts += [nodes.Text(", " if parts else ""), nodes.Text(f"{count} "), swatch]
        classes = ["ledger-counts"]
        return [
            nodes.paragraph("", "", nodes.Text(words), *parts, nodes.Text("."), classes=classes)
        ]


class GraphDirective(EvidenceDirective):
    """The graph, or a part of it."""

    required_arguments = 0

    def run(self) -> list[nodes.Node]:
        """Leave its place, with the claims that it has."""
        ledger = self.ledger()
        depend_on_chapters(self, ledger)
        uses = {one.label: one.uses for one in ledger.claims()}
        start = [x for x in uses if not self.arguments or x.startswith(tuple(self.arguments))]
        wanted = claims_graph.with_their_ground(start, uses)
        chapters = []
        for page, those in ledger.ledger().items():
            kept = [
                {"label": x.label, "title": x.title, "verdict": x.verdict, "uses": x.uses}
                for x in those
                if x.label in wanted
            ]
            if kept:
                title = heading(page, Path(self.env.srcdir))
                chapters.append((f"chapters/{page}", title, kept))
        return [graph_of_claims(chapters=chapters)]


class LedgerTestDirective(EvidenceDirective):
    """The source of the test that runs every check."""

    required_arguments = 0
    optional_arguments = 0

    def run(self) -> list[nodes.Node]:
        """Show it."""
        source = self.read(TESTS)
        if source is None or TEST not in source.definitions:
            return self.warn("there is no test %s", TEST)
        self.label("the-ledger-s-test", "the-ledger-s-test")
        names = ["SEED", "CHECKED", "CHECKS", "each_check", TEST]
        shown = [source.definitions[x] for x in names if x in source.definitions]
        block = self.show(TESTS, shown, "the-ledger-s-test")
        file = nodes.paragraph("", "", code(f"{TESTS.replace('.', '/')}.py"))
        file["classes"] = ["evidence-file"]
        classes = ["evidence-source"]
        return [nodes.container("", block, file, ids=["the-ledger-s-test"], classes=classes)]


class LinkClaims(SphinxPostTransform):
    """Makes the links and the graphs, when all numbers are known."""

    default_priority = 5  # before Sphinx resolves the references that stand within

    def run(self, **kwargs: Any) -> None:
        """Replace the places that the directives have left."""
        for node in list(self.document.findall(claim_link)):
            place = self.place(node["label"], node)
            link = nodes.reference("", place.name if place else node["label"], internal=True)
            if node["row"]:
                link["refid"] = f"ledger-{node['label']}"
            else:
                link["refuri"] = self.address(place)
            node.replace_self(link)
        for node in list(self.document.findall(nodes.section)):
            if number := chapter_number(self.env, node.get("of-chapter", "")):
                node[0].insert(0, nodes.Text(f"{number} "))
        for i, node in enumerate(list(self.document.findall(graph_of_claims))):
            node.replace_self(nodes.raw("", self.graph(node, f"graph-{i + 1}"), format="html"))

    def place(self, label: str, node: nodes.Node) -> Place | None:
        """Return where a statement is, or warn."""
        if (place := place_of(self.env, label)) is None:
            logger.warning("ledger: no page states %r", label, location=node)
        return place

    def address(self, place: Place | None) -> str:
        """Return the address of a statement as this page links to it."""
        if place is None:
            return ""
        page = self.app.builder.get_relative_uri(self.env.docname, place.page)
        return f"{page}#{place.anchor}"

    def graph(self, node: nodes.Element, name: str) -> str:
        """Draw the claims that a directive has left at its place."""
        boxes, lanes = [], []
        for page, title, claims in node["chapters"]:
            address = self.app.builder.get_relative_uri(self.env.docname, page)
            number = chapter_number(self.env, page)
            for one in claims:
                if (place := self.place(one["label"], node)) is not None:
                    words = f"{place.plain}, {one['verdict']}: {plainly(one['title'])}"
                    boxes.append(
                        claims_graph.Node(
                            label=one["label"],
                            name=place.short,
                            words=words,
                            verdict=one["verdict"],
                            address=self.address(place),
                            lane=len(lanes),
                            uses=one["uses"],
                        )
                    )
            lanes.append(claims_graph.Lane(f"{number} {title}".strip(), address))
        text = (
            f"{len(boxes)} claims in {len(lanes)} chapters, each a link to its statement, and "
            f"{sum(len(one.uses) for one in boxes)} lines, each from a claim down to one whose "
            "proof uses it. The rows of the ledger say the same in words."
        )
        drawn = claims_graph.svg(boxes, lanes, name=name, title="What uses what", text=text)
        said = "Point at a claim, or reach it by the tab key, to see what it rests on."
        return (
            '<div class="claims-graph-box" tabindex="0" role="region" aria-label="What uses what">'
            f'{drawn}</div>\n<p class="claims-graph-said" aria-live="polite">{said}</p>'
        )


def depend_on_chapters(directive: EvidenceDirective, ledger: Any) -> None:
    """Let the page be made again when a chapter or its evidence changes."""
    root = Path(directive.env.srcdir)
    for page in ledger.ledger():
        one = Chapter(page, root)
        for file in (one.source, one.evidence):
            if file.is_file():
                directive.env.note_dependency(str(file.relative_to(root)))


def fields(named: dict[str, str], stated: Any) -> str:
    """Return the fields that filter the rows; a script shows them, and without it all rows are."""
    verdicts = dict.fromkeys(one.verdict for one in stated)
    chapters = (
        f'<option value="ledger-of-{escape(Path(page).name)}">{escape(name)}</option>'
        for page, name in named.items()
    )
    return "\n".join(
        [
            '<form class="ledger-fields" role="search" aria-label="The ledger" hidden>',
            '<label>Words <input type="search" name="words" autocomplete="off"></label>',
            '<label>Verdict <select name="verdict"><option value="">all</option>',
            *(f"<option>{escape(x)}</option>" for x in verdicts),
            "</select></label>",
            '<label>Chapter <select name="chapter"><option value="">all</option>',
            *chapters,
            "</select></label>",
            '<button type="reset">Show all</button>',
            '<output aria-live="polite"></output>',
            "</form>",
        ]
    )


def visit_fold(translator: Any, node: nodes.Node) -> None:
    """Open a row's fold."""
    translator.body.append('<details class="ledger-fold">')


def depart_fold(translator: Any, node: nodes.Node) -> None:
    """Close it."""
    translator.body.append("</details>")


def visit_title(translator: Any, node: nodes.Node) -> None:
    """Open what stands on a row's fold."""
    translator.body.append("<summary>")


def depart_title(translator: Any, node: nodes.Node) -> None:
    """Close it."""
    translator.body.append("</summary>")


def load_assets(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Load style and script on the ledger's page alone."""
    if doctree is not None and any("ledger" in x["classes"] for x in doctree.findall(nodes.table)):
        app.add_css_file("ledger.css")
        app.add_js_file("ledger.js", loading_method="defer")


def setup(app: Sphinx) -> None:
    """Add the directives."""
    app.add_directive("ledger", LedgerDirective)
    app.add_directive("ledger-counts", CountsDirective)
    app.add_directive("ledger-test", LedgerTestDirective)
    app.add_directive("claims-graph", GraphDirective)
    app.add_node(row_fold, html=(visit_fold, depart_fold))
    app.add_node(row_title, html=(visit_title, depart_title))
    app.add_post_transform(LinkClaims)
    app.connect("html-page-context", load_assets)
