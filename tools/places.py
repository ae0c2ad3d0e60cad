"""Where the book's statements are: in which order and, once all is read, with which numbers."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chapter import Chapter
from docutils import nodes

SHORT = {
    "Definition": "Def.",
    "Equation": "Eq.",
    "Theorem": "Thm",
    "Lemma": "Lem.",
    "Proposition": "Prop.",
    "Corollary": "Cor.",
    "Example": "Ex.",
    "Figure": "Fig.",
    "Section": "Sec.",
}


@dataclass(frozen=True)
class Place:
    """Where a statement is: its kind, its number, its page and its anchor there."""

    kind: str
    number: str
    page: str
    anchor: str

    @property
    def name(self) -> str:
        """``Lemma 3``, ``Equation (6)``."""
        return f"{self.kind} ({self.number})" if self.kind == "Equation" else self.plain

    @property
    def plain(self) -> str:
        """The same without parentheses."""
        return f"{self.kind} {self.number}".rstrip()

    @property
    def short(self) -> str:
        """As it stands in a box of the graph."""
        return f"{SHORT.get(self.kind, self.kind)} {self.number}".rstrip()


def place_of(env: Any, label: str) -> Place | None:
    """Return where a claim's statement is, whatever it is; None if it is nowhere."""
    equations = env.get_domain("math").equations
    standard = env.get_domain("std")
    if (found := getattr(env, "proof_list", {}).get(label)) is not None:
        number = numbered(env, found["docname"], found["countertype"], label)
        return Place(found["realtype"].title(), number, found["docname"], label)
    if label in equations:
        page, anchor = equations[label][0], nodes.make_id(f"equation-{label}")
        return Place("Equation", numbered(env, page, "displaymath", anchor), page, anchor)
    if label.lower() in standard.anonlabels:
        page, anchor = standard.anonlabels[label.lower()][:2]
        if number := numbered(env, page, "figure", anchor):
            return Place("Figure", number, page, anchor)
        return Place("Section", section_of(env, page, anchor), page, anchor)
    return None


def numbered(env: Any, page: str, kind: str, anchor: str) -> str:
    """Return the number that Sphinx has given to something on a page, or an empty text."""
    return ".".join(map(str, env.toc_fignumbers.get(page, {}).get(kind, {}).get(anchor, ())))


def section_of(env: Any, page: str, anchor: str) -> str:
    """Return the number of the section that holds an anchor of a page."""
    numbers = env.toc_secnumbers.get(page, {})
    for node in env.get_doctree(page).findall(nodes.Element):
        if anchor in node.get("ids", ()):
            while node is not None:
                for own in node.get("ids", ()) if isinstance(node, nodes.section) else ():
                    if f"#{own}" in numbers:
                        return ".".join(map(str, numbers[f"#{own}"]))
                node = node.parent
            break
    return ".".join(map(str, numbers.get("", ())))


def chapter_number(env: Any, page: str) -> str:
    """Return the number of a chapter, or an empty text."""
    return ".".join(map(str, env.toc_secnumbers.get(page, {}).get("", ())))


def text_of(page: str, root: Path) -> str:
    """Return the prose of a chapter, with the names of its figures where they stand."""
    source = Chapter(page, root).source
    text = source.read_text(encoding="utf-8")
    if source.suffix != ".ipynb":
        return text
    parts = []
    for cell in json.loads(text)["cells"]:
        figure = cell["metadata"].get("mystnb", {}).get("figure", {})
        is_prose = cell["cell_type"] == "markdown"
        parts.append("".join(cell["source"]) if is_prose else f":label: {figure.get('name')}")
    return "\n".join(parts) + "\n"


def heading(page: str, root: Path) -> str:
    """Return the title of a chapter, from its file."""
    found = re.search(r"^# +(.+)$", text_of(page, root), re.MULTILINE)
    return found[1].strip() if found else page


def as_written(page: str, claims: Iterable[Any], root: Path) -> list[Any]:
    """Return the claims of a chapter in the order of their statements."""
    text = text_of(page, root)

    def place(label: str) -> int:
        found = re.search(rf":label: {label}\n|\({label}\)", text)
        return found.start() if found else len(text)

    return sorted(claims, key=lambda one: place(one.label))
