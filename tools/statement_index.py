"""Statements and the paper's equations, where readers look for them.

* `{statements}` lists them all on a page, the paper's first, then chapter by chapter.
* The search finds 'Lemma 5' and leads to the lemma and not to its page, see `assets/search.js`.
* The general index has each statement by what it is called.
"""

import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.domains import ObjType
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective
from sphinx_proof.domain import ProofDomain
from sphinx_proof.nodes import NODE_TYPES
from statements import is_statement

# In the order in which the paper's are listed.
OF_THE_PAPER = {"definition": "Definitions", "lemma": "Lemmas", "theorem": "Theorems"}

# No word to look under.
ARTICLE = re.compile(r"(?:An?|The) ")


class Statements(ProofDomain):
    """The statements, as the search and other books are told of them."""

    # The list by label that sphinx-proof makes, in favour of the page with our own.
    indices = []
    object_types = {
        **{kind: ObjType(kind, "ref", searchprio=0) for kind in NODE_TYPES},
        "equation": ObjType("equation", searchprio=0),
    }

    def get_objects(self) -> Iterator[tuple[str, str, str, str, str, int]]:
        """Return name, words, kind, page, anchor and priority of each."""
        for label, one in statements(self.env).items():
            words = f"{called(self.env, label)} ({one['words']})".removesuffix(" ()")
            yield words, words, one["realtype"], one["docname"], label, 0
        for number, page, anchor in equations(self.env):
            words = f"Equation ({number})"
            yield words, words, "equation", page, anchor, 0


def statements(env: BuildEnvironment) -> dict[str, dict[str, Any]]:
    """Return what is known of each statement, by its label."""
    return getattr(env, "proof_list", {})


def called(env: BuildEnvironment, label: str) -> str:
    """Return the kind and number of a statement: 'Lemma 5'."""
    one = statements(env)[label]
    numbers = env.toc_fignumbers.get(one["docname"], {}).get(one["countertype"], {})
    number = ".".join(map(str, numbers.get(label, ())))
    return f"{one['realtype'].title()} {number}".strip()


def equations(env: BuildEnvironment) -> list[tuple[str, str, str]]:
    """Return number, page and anchor of the paper's equations, in their order."""
    found = []
    for page, tables in env.toc_fignumbers.items():
        for anchor, number in tables.get("displaymath", {}).items():
            if anchor.startswith("equation-eq-") and len(number) == 1:
                found.append((str(number[0]), page, anchor))
    return sorted(found, key=lambda one: in_order(one[0]))


def in_order(number: str) -> tuple[int, str]:
    """Return a key by which 9 is before 10, and 10 before 10a."""
    digits = number.rstrip("abcdefghijklmnopqrstuvwxyz")
    return (int(digits) if digits.isdigit() else 0, number)


def note_titles(app: Sphinx, doctree: nodes.document) -> None:
    """Keep what each statement of a page is called, as words and as they are set."""
    for one in doctree.findall(is_statement):
        title = [part.deepcopy() for part in one.next_node(nodes.title)]
        if title:
            # The brackets around a title are part of its text.
            title[0] = nodes.Text(title[0].astext().removeprefix(" ("))
            title[-1] = nodes.Text(title[-1].astext().removesuffix(")"))
        known = statements(app.env)[one["label"]]
        known["set"] = title
        known["words"] = "".join(part.astext() for part in title)


def enter_in_index(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Enter the statements in the general index, and list them anew on their page."""
    entries = env.get_domain("index").entries
    for label, one in statements(env).items():
        here = entries.setdefault(one["docname"], [])
        here[:] = [entry for entry in here if entry[2] != label]
        if one["words"]:
            words = ARTICLE.sub("", one["words"]).replace(";", ",")
            entry = f"{words[0].upper()}{words[1:]}; {called(env, label)}"
            here.append(("single", entry, label, "", None))
    return sorted(page for page, known in env.metadata.items() if "statements" in known)


class StatementList(nodes.General, nodes.Element):
    """Where the list will stand once all pages are read."""


class StatementsDirective(SphinxDirective):
    """The list of all statements."""

    def run(self) -> list[nodes.Node]:
        """Keep its place."""
        self.env.metadata[self.env.docname]["statements"] = "listed"
        # The name of the list that sphinx-proof would have made.
        self.env.get_domain("std").note_hyperlink_target(
            "prf-prf", self.env.docname, "", "The statements"
        )
        return [StatementList()]


def write_lists(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Put the list in its place."""
    for place in list(doctree.findall(StatementList)):
        place.replace_self([*of_the_paper(app, page), *by_chapter(app, page)])


def of_the_paper(app: Sphinx, page: str) -> Iterator[nodes.Node]:
    """List the paper's statements and equations, by kind and number."""
    env = app.env
    section = nodes.section("", nodes.title("", "Of the paper"), ids=["of-the-paper"])
    for kind, heading in OF_THE_PAPER.items():
        ours = [label for label in statements(env) if label.startswith(f"paper-{kind}-")]
        ours.sort(key=lambda label: in_order(label.rpartition("-")[2]))
        if ours:
            section += nodes.rubric("", heading)
            section += listed(line(app, page, label, where=True) for label in ours)
    if numbered := equations(env):
        row = nodes.paragraph()
        for number, there, anchor in numbered:
            row += [link(app, page, there, anchor, nodes.Text(f"({number})")), nodes.Text(" ")]
        section += [nodes.rubric("", "Equations"), row]
    yield section


def by_chapter(app: Sphinx, page: str) -> Iterator[nodes.Node]:
    """List our statements, chapter by chapter, as they stand there."""
    env = app.env
    ours = [label for label in statements(env) if not label.startswith("paper-")]
    ours.sort(key=lambda label: place_of(env, label))
    for there, labels in groupby(ours, key=lambda label: statements(env)[label]["docname"]):
        number = ".".join(map(str, env.toc_secnumbers.get(there, {}).get("", ())))
        title = nodes.title("", nodes.Text(f"{number}. " if number else ""))
        title += link(app, page, there, "", *(one.deepcopy() for one in env.titles[there]))
        name = nodes.make_id(f"in-{there.rpartition('/')[2]}")
        yield nodes.section("", title, listed(line(app, page, x) for x in labels), ids=[name])


def place_of(env: BuildEnvironment, label: str) -> tuple:
    """Return a key that orders by chapter and, within it, keeps the order of reading."""
    there = statements(env)[label]["docname"]
    return (env.toc_secnumbers.get(there, {}).get("", (9999,)), there)


def line(app: Sphinx, page: str, label: str, where: bool = False) -> nodes.Node:
    """Return one row: the number, which is a link, and what the statement is called."""
    one = statements(app.env)[label]
    there = one["docname"]
    row = nodes.paragraph("", "", link(app, page, there, label, nodes.Text(called(app.env, label))))
    row += [nodes.Text(" "), *(part.deepcopy() for part in one["set"])]
    if where:
        chapter = (part.deepcopy() for part in app.env.titles[there])
        row += nodes.inline("", "", nodes.Text(" in "), link(app, page, there, "", *chapter))
        row[-1]["classes"].append("where")
    return row


def link(app: Sphinx, page: str, there: str, anchor: str, *words: nodes.Node) -> nodes.Node:
    """Return a link from a page to a place of another."""
    to = app.builder.get_relative_uri(page, there) + (f"#{anchor}" if anchor else "")
    return nodes.reference("", "", *words, refuri=to, internal=True)


def listed(rows: Iterator[nodes.Node]) -> nodes.Node:
    """Return a list of rows."""
    items = (nodes.list_item("", row) for row in rows)
    return nodes.bullet_list("", *items, classes=["statements"])


def load_search(app: Sphinx, page: str, *_: Any) -> None:
    """Load what ranks the results on the page of the search alone."""
    if page == "search":
        app.add_js_file("search.js", loading_method="defer")


def name_field_once(app: Sphinx, error: Exception | None) -> None:
    """Take its id from the second of two fields that the theme puts on the search page."""
    page = Path(app.outdir, "search.html")
    if error is None and app.builder.format == "html" and page.is_file():
        first, name, rest = page.read_text("utf-8").partition('id="search-input"')
        page.write_text(first + name + (rest.replace(name, "") if name else rest), "utf-8")


def setup(app: Sphinx) -> None:
    """Add the directive, and put our domain in place of sphinx-proof's."""
    app.add_domain(Statements, override=True)
    app.add_directive("statements", StatementsDirective)
    app.add_node(StatementList)
    app.connect("doctree-read", note_titles)
    # After the numbers are the paper's.
    app.connect("env-get-updated", enter_in_index, priority=910)
    app.connect("doctree-resolved", write_lists)
    app.connect("html-page-context", load_search)
    app.connect("build-finished", name_field_once)
