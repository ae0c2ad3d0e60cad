"""Titles of claims, which are plain text, with their formulas set as such."""

import re

from docutils import nodes

SCRIPTS = re.compile(r"([_^])(?:\{([^{}]*(?:\{[^{}]*\})?[^{}]*)\}|(\([^()]*\)|[A-Za-z]+|\d+|\S))")
# A letter by itself is a variable: not "a", which is also a word, unless an index follows.
LETTER = re.compile(r"(?<![A-Za-z0-9'’])(?:[B-HJ-Zb-z](?![A-Za-z0-9'’])|[A-Za-z](?=[_^]))")


def typeset(text: str) -> list[nodes.Node]:
    """Return a line in which indices and powers are such, and variables are in italics."""
    found: list[nodes.Node] = []
    end = 0
    for part in SCRIPTS.finditer(text):
        found += lettered(text[end : part.start()] + part[1])
        braced, plain = part[2], part[3]
        inner = typeset(braced) if braced is not None else lettered(plain)
        found.append((nodes.subscript if part[1] == "_" else nodes.superscript)("", "", *inner))
        end = part.end()
    return [*found, *lettered(text[end:])]


def lettered(text: str) -> list[nodes.Node]:
    """Return a text with its variables in italics; an index's sign at its end is dropped."""
    found: list[nodes.Node] = []
    end = 0
    for letter in LETTER.finditer(text):
        found += [nodes.Text(text[end : letter.start()]), nodes.emphasis("", letter[0])]
        end = letter.end()
    rest = text[end:].rstrip("_^")
    return [x for x in [*found, nodes.Text(rest)] if x.astext()]


def plainly(text: str) -> str:
    """Return a title for a place that has no indices: without braces."""
    return re.sub(r"([_^])\{([^{}]*)\}", r"\1\2", text)
