"""What a link leads to, kept for the pages that show it beside the link; see `assets/previews.js`.

A page shows its own statements from itself. Those of other pages it loads when they are first
asked for, from one script for each page that is linked to: a page opened as a file may load
scripts and nothing else. sphinx-tippy would put all it might show into each page instead, which
with formulas that are set is more than the pages themselves.
"""

import json
import posixpath
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from sphinx.application import Sphinx

FOLDER = "previews"
LINK = re.compile(r'<a\b[^>]*?\bhref="([^"#:]+\.html)#([^"]+)"')
# Statements, displayed formulas, entries of the bibliography, terms and signatures, figures.
SHOWN = re.compile(
    r'<(?:div class="(?:proof|math|citation)\b|dt\b|figure class="(?!explorer))'
    r'[^>]*\bid="([^"]+)"[^>]*>'
)
# The source of a formula, which is only for copying.
SOURCE = re.compile(r'<annotation encoding="application/x-tex">.*?</annotation>', re.DOTALL)


def element(text: str, start: int) -> str:
    """Return the element of a page that starts at some place."""
    tag = re.compile(r"<(\w+)").match(text, start)[1]
    depth = 0
    for found in re.compile(rf"<(/?){tag}\b").finditer(text, start):
        depth += -1 if found[1] else 1
        if depth == 0:
            return text[start : text.index(">", found.end()) + 1]
    return ""


def excerpts(text: str, wanted: set[str]) -> dict[str, str]:
    """Return those parts of a page that are shown where they are referred to, by their ids."""
    found = {}
    for match in SHOWN.finditer(text):
        if match[1] in wanted:
            part = element(text, match.start())
            if part.startswith("<dt"):
                part = f"<dl>{part}{described(text, match)}</dl>"
            found[match[1]] = SOURCE.sub("", part)
    return found


def described(text: str, term: re.Match) -> str:
    """Return what follows a term: all of it in the glossary, of a function the first lines."""
    start = text.find("<dd", term.end())
    body = element(text, start) if start >= 0 else ""
    if 'class="sig' not in term[0]:
        return body
    first = re.search(r"<p\b.*?</p>", body, re.DOTALL)
    return f"<dd>{first[0]}</dd>" if first else ""


def referred_to(pages: dict[str, str]) -> dict[str, set[str]]:
    """Return the anchors of each page that other pages lead to."""
    wanted: defaultdict[str, set[str]] = defaultdict(set)
    for page, text in pages.items():
        for path, anchor in LINK.findall(text):
            there = posixpath.normpath(posixpath.join(posixpath.dirname(page), path))
            wanted[there].add(anchor)
    return wanted


def scripts(pages: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Return, for each page that others lead to, its name and the script with what they show."""
    for page, anchors in referred_to(pages).items():
        if found := excerpts(pages.get(page, ""), anchors):
            # A string of JavaScript must not end the element that loads it.
            said = json.dumps([page, found], ensure_ascii=False).replace("</", "<\\/")
            yield page, f"previews.keep(...{said});\n"


def write_previews(app: Sphinx, error: Exception | None) -> None:
    """Write what pages show of one another."""
    if error is not None or app.builder.format != "html":
        return
    folder = Path(app.outdir)
    shutil.rmtree(folder / "_static" / FOLDER, ignore_errors=True)
    names = [path for path in folder.rglob("*.html") if "_static" not in path.parts]
    pages = {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in names}
    for page, script in scripts(pages):
        target = folder / "_static" / FOLDER / page.replace(".html", ".js")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(script, "utf-8")


def setup(app: Sphinx) -> None:
    """Load what shows them, and write them once the pages are written."""
    app.connect("build-finished", write_previews)
    app.add_css_file("previews.css")
    for script in ("popper/umd/popper.min.js", "tippy/tippy-bundle.umd.min.js", "previews.js"):
        app.add_js_file(script, loading_method="defer")
