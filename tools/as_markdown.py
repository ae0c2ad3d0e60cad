"""Writes a page's tree as Markdown that any notebook shows: no role, no directive.

What Sphinx has resolved is resolved here too: references bear their numbers, citations their
authors. Statements are headed by a line in bold, folds are `<details>`, formulas stay between
dollar signs. A node without a rule below is written as what it holds, so no text can be lost.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from html import escape
from textwrap import indent
from typing import ClassVar

from docutils import nodes
from formulas import aligned

Numbers = dict[str, dict[str, tuple]]

# What Markdown would take for its own; a star or an underscore within a word is harmless.
SPECIAL = re.compile(r"([\\`*$]|(?<!\w)_|_(?!\w)|<(?=[\w/!])|(?<=\])(?=\())")
SILENT = (
    nodes.comment,
    nodes.target,
    nodes.system_message,
    nodes.colspec,
    nodes.substitution_definition,
)
CODE = re.compile(r"`+")


@dataclass
class Writer:
    """Writes the nodes of one page.

    Attributes:
        numbers: of statements, figures and equations: by kind and anchor, as Sphinx holds them.
        sections: the numbers of the sections, by anchor.
        address: gives the absolute address of a reference within the book, or nothing.
    """

    numbers: Numbers = field(default_factory=dict)
    sections: dict[str, tuple] = field(default_factory=dict)
    address: Callable[[str], str] = lambda uri: ""
    in_table: bool = False

    # ---- in a line -----------------------------------------------------------------------------

    def line(self, node: nodes.Node) -> str:
        """Return what stands in a line."""
        if isinstance(node, SILENT):
            return ""
        if isinstance(node, nodes.Text):
            return self.words(node.astext())
        rule = self.LINES.get(type(node).__name__)
        return rule(self, node) if rule else self.inside(node)

    def inside(self, node: nodes.Node) -> str:
        """Return the children of a node, in a line."""
        return "".join(self.line(child) for child in node.children)

    def words(self, text: str) -> str:
        """Return plain words."""
        text = SPECIAL.sub(r"\\\1", re.sub(r"\s*\n\s*", " ", text))
        return text.replace("|", r"\|") if self.in_table else text

    def marked(self, node: nodes.Node, mark: str) -> str:
        """Return a node between two marks, which may not stand beside a blank."""
        text = self.inside(node)
        core = text.strip()
        return text.replace(core, f"{mark}{core}{mark}") if core else text

    def literal(self, node: nodes.Node) -> str:
        """Return a name in code."""
        if node.children and not isinstance(node.children[0], nodes.Text):
            return self.inside(node)
        text = node.astext()
        fence = "`" * (1 + max(map(len, CODE.findall(text)), default=0))
        pad = " " if text.startswith("`") or text.endswith("`") else ""
        code = f"{fence}{pad}{text}{pad}{fence}"
        return code.replace("|", r"\|") if self.in_table else code

    def math(self, node: nodes.Node) -> str:
        """Return a formula in a line."""
        text = " ".join(node.astext().split())
        if self.in_table:  # a bar would end the cell
            text = text.replace(r"\|", r"\Vert ").replace("|", r"\vert ")
        return f"${text}$"

    def reference(self, node: nodes.Node) -> str:
        """Return a link, or its words alone where nothing is known to lead to."""
        words, uri = self.inside(node), node.get("refuri", "")
        if not re.match(r"(https?|mailto):", uri):
            uri = self.address(uri or f"#{node.get('refid', '')}")
        return f"[{words}](<{uri}>)" if uri and words else words

    def image(self, node: nodes.Node) -> str:
        """Return what a picture says in words; the file stays with the book."""
        return f"*[Picture: {self.words(node.get('alt', ''))}]*" if node.get("alt") else ""

    LINES: ClassVar[dict[str, Callable]] = {
        "emphasis": lambda self, node: self.marked(node, "*"),
        "literal_emphasis": lambda self, node: self.marked(node, "*"),
        "strong": lambda self, node: self.marked(node, "**"),
        "literal_strong": lambda self, node: self.marked(node, "**"),
        "literal": literal,
        "math": math,
        "reference": reference,
        "image": image,
        "raw": lambda self, node: "",
    }

    def plain(self, node: nodes.Node) -> str:
        """Return words where Markdown is not read; formulas are."""
        if isinstance(node, nodes.math):
            return self.math(node)
        if isinstance(node, nodes.Text | nodes.raw):
            return "" if isinstance(node, nodes.raw) else node.astext()
        return "".join(map(self.plain, node.children))

    # ---- in a block ----------------------------------------------------------------------------

    def blocks(self, children: Iterable[nodes.Node]) -> str:
        """Return blocks with empty lines between them."""
        return "\n\n".join(filter(None, map(self.block, children)))

    def block(self, node: nodes.Node) -> str:
        """Return one block."""
        if isinstance(node, SILENT):
            return ""
        rule = self.BLOCKS.get(type(node).__name__)
        if rule:
            return rule(self, node)
        if isinstance(node, nodes.Text | nodes.Inline | nodes.TextElement):
            return self.line(node).strip()
        if "realtype" in getattr(node, "attributes", {}):
            return self.statement(node)
        return self.blocks(node.children)

    def formula(self, node: nodes.Node) -> str:
        """Return a formula that stands by itself, with its number."""
        number = ".".join(map(str, self.number("displaymath", node)))
        text = node.astext().strip() if node.get("nowrap") else aligned(node.astext())
        tag = rf" \tag{{{number}}}" if number else ""
        return f"$$\n{text}{tag}\n$$"

    def number(self, kind: str, node: nodes.Node) -> tuple:
        """Return the number of a node, as parts."""
        numbers = self.numbers.get(kind, {})
        return next((numbers[one] for one in node.get("ids", []) if one in numbers), ())

    def statement(self, node: nodes.Element) -> str:
        """Return a theorem or its like: its name, number and title in bold, then its text."""
        number = ".".join(map(str, self.number(node["countertype"], node)))
        title, *body = node.children
        name = " ".join(
            filter(None, [node["realtype"].title(), number, self.inside(title).strip()])
        )
        return f"**{name}.** {self.blocks(body)}"

    def heading(self, node: nodes.Element, level: int) -> str:
        """Return the heading of a section."""
        parent = node.parent.get("ids", [])
        anchors = [f"#{one}" for one in parent] + ([""] if level == 1 else [])
        number = next((self.sections[one] for one in anchors if one in self.sections), ())
        before = "".join(f"{part}." for part in number)
        return f"{'#' * level} {before} {self.inside(node)}".replace("  ", " ")

    def admonition(self, node: nodes.Element) -> str:
        """Return a box, as a quotation with its title in bold; a proof has no title."""
        title, body = "", node.children
        if body and isinstance(body[0], nodes.title):
            title, body = f"**{self.inside(body[0])}**\n\n", body[1:]
        if "proof" in node.get("classes", []):
            return self.blocks(body)
        return indent(title + self.blocks(body), "> ", lambda line: True)

    def fold(self, node: nodes.Element) -> str:
        """Return a fold; HTML between empty lines holds Markdown."""
        title, *body = node.children
        words = escape("".join(map(self.plain, title.children)), quote=False)
        return f"<details><summary>{words}</summary>\n\n{self.blocks(body)}\n\n</details>"

    def code(self, node: nodes.Element) -> str:
        """Return lines of code."""
        text = node.astext()
        fence = "`" * max(3, 1 + max(map(len, CODE.findall(text)), default=0))
        return f"{fence}{node.get('language', '').replace('ipython3', 'python')}\n{text}\n{fence}"

    def items(self, node: nodes.Element) -> str:
        """Return a list."""
        ordered, start = isinstance(node, nodes.enumerated_list), node.get("start", 1)
        found = []
        for place, item in enumerate(node.children, start):
            mark = f"{place}. " if ordered else "- "
            found.append(mark + indent(self.blocks(item.children), " " * len(mark))[len(mark) :])
        loose = any(len(item.children) > 1 for item in node.children)
        return ("\n\n" if loose else "\n").join(found)

    def definitions(self, node: nodes.Element) -> str:
        """Return a list of terms with what they mean."""
        found = []
        for item in node.children:
            terms = [self.inside(one) for one in item.children if isinstance(one, nodes.term)]
            rest = [one for one in item.children if isinstance(one, nodes.definition)]
            found.append(f"**{', '.join(terms)}**: {self.blocks(rest)}")
        return "\n\n".join(found)

    def table(self, node: nodes.Element) -> str:
        """Return a table; each cell is one line."""
        self.in_table = True
        rows = [
            [
                self.blocks(entry.children).replace("\n\n", "<br>").replace("\n", " ")
                for entry in row
            ]
            for row in node.findall(nodes.row)
        ]
        self.in_table = False
        if not next(iter(node.findall(nodes.thead)), None):
            rows.insert(0, [""] * len(rows[0]))
        rows.insert(1, ["---"] * len(rows[0]))
        caption = [self.inside(one) for one in node.children if isinstance(one, nodes.title)]
        return "\n".join([*[f"**{one}**\n" for one in caption], *map(row_of, rows)])

    BLOCKS: ClassVar[dict[str, Callable]] = {
        "math_block": formula,
        "admonition": admonition,
        "dropdown_main": fold,
        "literal_block": code,
        "bullet_list": items,
        "enumerated_list": items,
        "definition_list": definitions,
        "table": table,
        "block_quote": lambda self, node: indent(self.blocks(node.children), "> ", lambda _: True),
        "transition": lambda self, node: "---",
        "raw": lambda self, node: "",
        "toctree": lambda self, node: "",
        "index": lambda self, node: "",
    }


def row_of(cells: list[str]) -> str:
    """Return a row of a table."""
    return f"| {' | '.join(cells)} |"
