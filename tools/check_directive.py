"""Directives that put the code of the evidence on a page.

* ``{check} paper-lemma-3`` after a statement: a fold with the hypotheses, the falsified variant and
  the source of its check, followed by what that uses in its own file.
* ``{source} strong_minima.kink``: one function or more, unfolded.
* ``{ground} evidence/instances.py``: a file that checks share, a fold for each definition.

The source is taken from the files by name, so a page can't show what is no longer run. A name that
does not exist is a warning, and so fails the build.
"""

import importlib
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from chapter import chapters
from docutils import nodes
from excerpts import Definition, Excerpts, excerpts
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sphinx_design.shared import create_component

logger = logging.getLogger(__name__)


class EvidenceDirective(SphinxDirective):
    """What the directives share: the files, what a page has shown of them, and the folds."""

    required_arguments = 1
    optional_arguments = 100

    @property
    def shown(self) -> dict[tuple[str, str], str]:
        """Where this page has shown a definition, by module and name, as an id of the page."""
        return self.env.temp_data.setdefault("evidence-shown", {})

    def ledger(self) -> Any:
        """Return `evidence.ledger` of the book that is built."""
        if str(self.env.srcdir) not in sys.path:
            sys.path.insert(0, str(self.env.srcdir))
        return importlib.import_module("evidence.ledger")

    def ground(self) -> set[str]:
        """Return the files that checks share: those of evidence that are no chapter's."""
        root = Path(self.env.srcdir)
        files = [file.relative_to(root).with_suffix("") for file in root.glob("evidence/**/*.py")]
        others = {f"evidence.{one.module}" for one in chapters(root)} | {"evidence.claims"}
        return {".".join(file.parts) for file in files if file.name != "__init__"} - others

    def read(self, module: str) -> Excerpts | None:
        """Read the file of a module, on which the page then depends."""
        file = module.replace(".", "/") + ".py"
        path = Path(self.env.srcdir) / file
        if not path.is_file():
            self.warn("there is no file %s", file)
            return None
        self.env.note_dependency(file)
        return excerpts(path)

    def warn(self, message: str, *values: object) -> list[nodes.Node]:
        """Warn at this place of the page, and show nothing."""
        logger.warning(f"{self.name}: {message}", *values, location=self.get_location())
        return []

    def show(self, module: str, definitions: Sequence[Definition], place: str) -> nodes.Node:
        """Return the source of some definitions as one block, and note where they are shown."""
        text = "\n\n\n".join(one.text for one in definitions)
        if not any(one.callable for one in definitions):
            text = text.replace("\n\n\n", "\n")
        for one in definitions:
            self.shown.update({(module, name): place for name in one.names})
        return nodes.literal_block(text, text, language="python", classes=["evidence-code"])

    def unshown(self, module: str, definitions: Iterable[Definition]) -> list[Definition]:
        """Return those definitions that the page has not shown yet."""
        return [one for one in definitions if (module, one.names[0]) not in self.shown]

    def label(self, label: str, place: str) -> None:
        """Let ``{ref}`text <label>``` of any page lead to a place of this one."""
        domain = self.env.get_domain("std")
        domain.anonlabels[label.lower()] = (self.env.docname, place)

    def reference(self, label: str, words: nodes.Node, *, kind: str = "ref") -> nodes.Node:
        """Return a link to a label of any page, or to a page, which Sphinx resolves."""
        link = pending_xref(
            "",
            words,
            refdomain="std",
            reftype=kind,
            reftarget=label.lower() if kind == "ref" else label,
            refexplicit=True,
            refwarn=True,
            refdoc=self.env.docname,
        )
        self.set_source_info(link)
        return link


def closed_fold(
    title: Sequence[nodes.Node],
    body: Sequence[nodes.Node],
    *,
    ids: Sequence[str] = (),
    classes: Sequence[str] = ("evidence-fold",),
) -> nodes.Node:
    """Return a closed fold, as sphinx-design's own directive makes it."""
    fold = create_component(
        "dropdown",
        opened=False,
        type="dropdown",
        has_title=True,
        icon=None,
        chevron=None,
        container_classes=["sd-mb-3", *classes],
        title_classes=[],
        body_classes=[],
    )
    fold += nodes.rubric("", "", *title, ids=list(ids))
    fold += list(body)
    return fold


class CheckDirective(EvidenceDirective):
    """A fold that shows how a statement is checked; several labels where they share the check."""

    def run(self) -> list[nodes.Node]:
        """Make the fold."""
        page = self.env.docname.removeprefix("chapters/")
        ledger = self.ledger()
        claims = {one.label: one for one in ledger.claims()}
        for label in self.arguments:
            if label not in claims:
                return self.warn("the ledger has no claim %r", label)
            if claims[label].check is None:
                return self.warn("nothing is checked for %r", label)
            if (where := ledger.page_of(label)) != page:
                return self.warn("%r is a claim of the page %s", label, where)
        those = [claims[label] for label in self.arguments]
        if any(one.check is not those[0].check for one in those):
            return self.warn("%s do not share a check", " and ".join(self.arguments))
        function = those[0].check.function
        source = self.read(function.__module__)
        if source is None or function.__name__ not in source.definitions:
            return self.warn("%s has no %s", function.__module__, function.__name__)
        place = nodes.make_id(f"check-{self.arguments[0]}")
        for label in self.arguments:
            self.label(f"check-{label}", place)
        body = [self.verdicts(those), *conditions(those), *self.code(function, source, place)]
        return [closed_fold([nodes.Text("How it is checked")], body, ids=[place])]

    def code(self, function: Any, source: Excerpts, place: str) -> list[nodes.Node]:
        """Return the check, what it uses of its file, and what it takes from elsewhere."""
        module, name = function.__module__, function.__name__
        needed = [source.definitions[name], *source.needed([name])]
        fresh = self.unshown(module, needed)
        above = [name for one in needed if one not in fresh for name in one.names]
        links = [(name, self.shown[module, name]) for name in above]
        body = [self.show(module, fresh, place)] if fresh else []
        if links:
            here = [nodes.reference("", "", code(x), refid=at, internal=True) for x, at in links]
            body.append(nodes.paragraph("", "", *listed(here), nodes.Text(": see above.")))
        if taken := source.taken(needed, self.ground()):
            there = [self.link(origin) for origin in taken]
            before = nodes.Text("From the ground that checks share: ")
            body.append(nodes.paragraph("", "", before, *listed(there), nodes.Text(".")))
        return body

    def link(self, origin: str) -> nodes.Node:
        """Return a link to where the page of the ground shows a definition."""
        return self.reference(ground_label(origin), code(origin.rpartition(".")[2]))

    def verdicts(self, claims: Sequence[Any]) -> nodes.Node:
        """Say the verdicts on claims, each with a link to its row of the ledger."""
        said: list[nodes.Node] = []
        for one in claims:
            whose = f" ({one.label})" if len(claims) > 1 else ""
            row = self.reference(f"ledger-{one.label}", nodes.inline("", one.verdict))
            said.append(nodes.inline("", "", row, nodes.Text(whose)))
        words = nodes.strong("", "In the ledger: ")
        return nodes.paragraph("", "", words, *listed(said), nodes.Text("."))


class SourceDirective(EvidenceDirective):
    """The source of a function that a paragraph speaks about, or of several in one file."""

    def run(self) -> list[nodes.Node]:
        """Make the block, with its file below."""
        modules = {name.rpartition(".")[0] for name in self.arguments}
        if len(modules) != 1:
            return self.warn("%s are in several files", " and ".join(self.arguments))
        module = f"evidence.{modules.pop()}"
        if (source := self.read(module)) is None:
            return []
        names = [name.rpartition(".")[2] for name in self.arguments]
        if unknown := [name for name in names if name not in source.definitions]:
            return self.warn("%s has no %s", module, " and no ".join(unknown))
        place = nodes.make_id(f"source-{self.arguments[0]}")
        block = self.show(module, [source.definitions[name] for name in names], place)
        file = module.replace(".", "/") + ".py"
        caption = nodes.paragraph("", "", code(file), classes=["evidence-file"])
        return [nodes.container("", block, caption, ids=[place], classes=["evidence-source"])]


class GroundDirective(EvidenceDirective):
    """A file that checks share: its introduction and a fold for each function and class.

    The names of some may follow the file's; then only these have folds. What is private, and the
    constants, are shown with the first that uses them.
    """

    def run(self) -> list[nodes.Node]:
        """Make the folds."""
        file, *names = self.arguments
        module = file.removesuffix(".py").replace("/", ".")
        if (source := self.read(module)) is None:
            return []
        if unknown := [name for name in names if name not in source.definitions]:
            return self.warn("%s has no %s", file, " and no ".join(unknown))
        ones = source.definitions
        public = {name for name in ones if ones[name].callable and not name.startswith("_")}
        folds = [name for name in ones if name in (names or public)]
        with_others = set(ones) - public
        introduction = nodes.container()
        self.state.nested_parse([f"`{file}`: {source.introduction}"], 0, introduction)
        found = [*introduction.children]
        for name in folds:
            found += self.definition(module, source, name, with_others)
        rest = [name for name in ones if name in with_others and not names]
        for one in self.unshown(module, dict.fromkeys(ones[name] for name in rest)):
            found += self.definition(module, source, one.names[0], with_others)
        return found

    def definition(
        self, module: str, source: Excerpts, name: str, with_others: set[str]
    ) -> list[nodes.Node]:
        """Return the fold of a definition, to which the checks' folds lead."""
        one = source.definitions[name]
        place = nodes.make_id(ground_label(f"{module}.{name}"))
        fresh = [one, *self.unshown(module, source.needed([name], with_others))]
        for each in (each for part in fresh for each in part.names):
            self.label(ground_label(f"{module}.{each}"), place)
        title = [code(name), *marked(f" {one.summary}" if one.summary else "")]
        return [closed_fold(title, [self.show(module, fresh, place)], ids=[place])]


def conditions(claims: Sequence[Any]) -> list[nodes.Node]:
    """Say under which hypotheses claims are checked, how often, and what the variant is."""
    groups: dict[tuple, list[str]] = {}
    for one in claims:
        groups.setdefault((one.hypotheses, one.variant, one.least), []).append(one.label)
    body = []
    for (hypotheses, variant, least), labels in groups.items():
        whose = f" ({', '.join(labels)})" if len(groups) > 1 else ""
        said = [(f"Hypotheses{whose}", "; ".join(hypotheses) or "none")]
        if variant:
            said.append((f"Falsified variant{whose}", variant))
        if least > 1:
            said.append((f"Instances{whose}", f"at least {least} have to meet the hypotheses"))
        for what, text in said:
            words = marked(f"{text.rstrip('.')}.")
            body.append(nodes.paragraph("", "", nodes.strong("", f"{what}: "), *words))
    return body


def code(name: str) -> nodes.literal:
    """Return a name as code."""
    return nodes.literal(name, name)


def marked(text: str) -> list[nodes.Node]:
    """Return a line of a docstring, with what stands between backticks as code."""
    parts = re.split(r"`+([^`]+)`+", text)
    return [code(part) if odd % 2 else nodes.Text(part) for odd, part in enumerate(parts)]


def listed(parts: Sequence[nodes.Node]) -> list[nodes.Node]:
    """Return parts with commas between them."""
    return [node for part in parts for node in (nodes.Text(", "), part)][1:]


def ground_label(origin: str) -> str:
    """Return the label of a definition on the page of the ground.

    Labels have no capitals, and a class may differ from a function by nothing else.
    """
    kind = "class-" if origin.rpartition(".")[2][:1].isupper() else ""
    name = origin.removeprefix("evidence.").replace(".", "-").replace("_", "-")
    return f"ground-{kind}{name}".lower()


def setup(app: Sphinx) -> None:
    """Add the directives."""
    app.add_directive("check", CheckDirective)
    app.add_directive("source", SourceDirective)
    app.add_directive("ground", GroundDirective)
