"""The whole book as one page to be printed: parts, chapters, links that stay within it.

It is made from the built pages, so that whatever the build has done to them is done here too. Ids
are prefixed by the page they come from, as many pages have a section *What is open*. Everything
that is closed on the screen is open, and what only a screen can do is left out. The code of the
checks, and of cells that are folded on the pages, is left out too, unless it is asked for.
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urldefrag

import yaml
from bs4 import BeautifulSoup, Tag

# What only a screen can do: anchors of headings, controls of explorers, scripts, buttons of folds.
SCREEN = (
    "a.headerlink, script, style, link, noscript, template, button, .jupyter-widgets, .folds,"
    " .explorer-controls, .explorer-landmarks, .sd-summary-state-marker, .toctree-wrapper"
)
CODE = ".evidence-fold .evidence-code, details.hide, p.made-by"
HEADINGS = re.compile(r"h[1-5]")
FORMULA, SPAN = '<span class="katex">', re.compile(r"<span\b|</span>")
ADDRESS = re.compile(r"[a-z][a-z+.-]*:")
REFERENCES = ("aria-labelledby", "aria-describedby", "for", "aria-controls")


class Book:
    """The pages of the table of contents, and what they become.

    Attributes:
        site: the folder of the built pages.
        parts: the title of each part, with its pages' names; the first part has no title.
    """

    def __init__(self, site: Path, contents: Path, code: bool = False) -> None:
        """Read the table of contents."""
        self.site, self.code = site, code
        toc = yaml.safe_load(contents.read_text("utf-8"))
        self.parts: list[tuple[str, list[str]]] = [("", [toc["root"]])]
        for part in toc["parts"]:
            self.parts.append((part["caption"], [one["file"] for one in part["chapters"]]))
        self.names = {name for _, pages in self.parts for name in pages}

    def chapter(self, name: str) -> tuple[Tag, list[str]]:
        """Return a page's article, ready to stand among the others, and its formulas."""
        text, formulas = stashed((self.site / f"{name}.html").read_text("utf-8"))
        page = BeautifulSoup(text, "html.parser")
        article = page.find("article") or page.body
        tidy(article, self.code)
        unfold(page, article)
        self.prefix(article, name)
        for link in article.select("[href]"):
            self.lead(link, name)
        for picture in article.select("img[src]"):
            source = unquote(str(picture["src"]))
            if not ADDRESS.match(source):
                folder = (self.site / name).parent
                picture["src"] = (folder / source).resolve().as_uri()
            picture.attrs.pop("loading", None)
        for heading in reversed(article.find_all(HEADINGS)):
            heading.name = f"h{int(heading.name[1]) + 1}"
        article.name, article.attrs = "article", {"class": "chapter", "id": slug(name)}
        return article, formulas

    def prefix(self, article: Tag, name: str) -> None:
        """Make the ids of a page differ from those of all others."""
        for one in article.select("[id]"):
            one["id"] = anchor(name, str(one["id"]))
        for key in REFERENCES:
            for one in article.select(f"[{key}]"):
                one[key] = " ".join(anchor(name, part) for part in str(one[key]).split())

    def lead(self, link: Tag, name: str) -> None:
        """Let a link lead to the same place of the printed book, or nowhere if it is not there."""
        uri = str(link["href"])
        if ADDRESS.match(uri):
            return
        path, fragment = urldefrag(uri)
        there = posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) if path else name
        there = there.removesuffix(".html")
        if there in self.names:
            link["href"] = f"#{anchor(there, unquote(fragment)) if fragment else slug(there)}"
        else:
            del link["href"]

    def chapters(self) -> Iterator[tuple[str, list[tuple[Tag, list[str]]]]]:
        """Yield each part's title with its chapters."""
        for title, names in self.parts:
            yield title, [self.chapter(name) for name in names]


def stashed(text: str) -> tuple[str, list[str]]:
    """Return a page without its formulas, and these: they are most of it, and nothing changes."""
    kept, formulas, done = [], [], 0
    while (begin := text.find(FORMULA, done)) >= 0:
        depth, end = 0, begin
        for tag in SPAN.finditer(text, begin):
            depth += 1 if tag[0] != "</span>" else -1
            if depth == 0:
                end = tag.end()
                break
        kept += [text[done:begin], f'<i data-formula="{len(formulas)}"></i>']
        formulas.append(text[begin:end])
        done = max(end, begin + 1)
    return "".join([*kept, text[done:]]), formulas


def restored(text: str, formulas: list[str]) -> str:
    """Return a text with its formulas again."""
    return re.sub(r'<i data-formula="(\d+)"></i>', lambda one: formulas[int(one[1])], text)


def slug(name: str) -> str:
    """Return a page's name as an id."""
    return name.removeprefix("chapters/").replace("/", "-")


def anchor(name: str, place: str) -> str:
    """Return the id of a place of a page."""
    return f"{slug(name)}--{place}"


def tidy(article: Tag, code: bool) -> None:
    """Take out what only a screen can do, and the code that nobody asked for."""
    for one in article.select(SCREEN if code else f"{SCREEN}, {CODE}"):
        one.decompose()
    for one in article.select(".tag_screen-only .cell_input"):
        one.decompose()


def unfold(page: BeautifulSoup, article: Tag) -> None:
    """Turn folds into paragraphs with a title; one that holds nothing is its title alone."""
    for fold in article.select("details"):
        fold.name = "div"
        fold["class"] = ["fold", *fold.get("class", [])]
        fold.attrs.pop("open", None)
        if summary := fold.find("summary"):
            hide = "hide" in fold["class"]  # the theme's folds of cells have a title for a screen
            summary.name, summary.attrs = "p", {"class": "fold-title"}
            if hide:
                summary.decompose()


class Bound(NamedTuple):
    """The book as one page, but for the numbers in its table of contents.

    Attributes:
        contents: the lines of the table: part or chapter, its id, its words.
        body: the chapters, as HTML.
    """

    contents: list[tuple[str, str, str]]
    body: str

    def page(self, head: str, first: str, pages: dict[str, int]) -> str:
        """Return the page, with the numbers of those pages that are known."""
        heads = [
            running_head(place, words) for kind, place, words in self.contents if kind == "chapter"
        ]
        lines = [entry(*line, pages) for line in self.contents]
        return (
            f'<!doctype html><html lang="en" data-theme="light" data-mode="light"><head>{head}'
            f"<style>{''.join(heads)}</style></head><body>{first}"
            f'<nav class="contents"><p class="contents-title">Contents</p>{"".join(lines)}</nav>'
            f"<main>{self.body}</main></body></html>"
        )


def bound(book: Book) -> Bound:
    """Put the chapters one after the other."""
    contents, body = [], []
    for part, chapters in book.chapters():
        place = f"part-{part.lower().replace(' ', '-')}"
        for number, (chapter, formulas) in enumerate(chapters):
            title = chapter.find("h2")
            words = title.get_text().strip()
            if not part:  # the front page is a preface, in no part
                title.name = "h1"
            elif number == 0:
                contents.append(("part", place, part))
                heading = BeautifulSoup(f'<h1 class="part" id="{place}"></h1>', "html.parser").h1
                heading.string = part
                chapter.insert(0, heading)
            contents.append(("chapter", chapter["id"], words))
            body.append(restored(str(chapter), formulas))
    return Bound(contents, without_dead_links("".join(body)))


def without_dead_links(body: str) -> str:
    """Return the book without links to what was left out."""
    ids = set(re.findall(r'\bid="([^"]*)"', body))
    return re.sub(r' href="#([^"]*)"', lambda link: link[0] if link[1] in ids else "", body)


def entry(kind: str, place: str, words: str, pages: dict[str, int]) -> str:
    """Return a line of the table of contents."""
    page = f'<span class="page">{pages.get(place, "000")}</span>'
    return (
        f'<p class="contents-{kind}"><a href="#{place}"><span>{escaped(words)}</span>{page}</a></p>'
    )


def escaped(words: str) -> str:
    """Return words as HTML."""
    return words.replace("&", "&amp;").replace("<", "&lt;")


def running_head(place: str, words: str) -> str:
    """Return the rule that puts a chapter's title above its pages."""
    quoted = words.replace("\\", "").replace('"', "”").replace("<", "")
    page = f"c-{place}"
    return f'@page {page}{{@top-right{{content:"{quoted}"}}}}#{place}{{page:{page}}}\n'
