"""What the HTML of a built page says, without a browser: where it leads, and what is in words."""

from collections import Counter
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

EMPTY = {
    *("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source"),
    *("track", "wbr"),
}
# What is meant to look as it does: code, scripts, and formulas, whose source screen readers get.
NOT_PROSE = {"code", "kbd", "math", "pre", "samp", "script", "style", "textarea"}
HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
LOADED = {"stylesheet", "icon", "preload", "manifest", "apple-touch-icon"}
IN_WORDS = ("alt", "aria-label", "title")


class Page(HTMLParser):
    """What one page holds.

    Attributes:
        title: The title of the window.
        ids: How often each id is given.
        links: Where its links lead, as written.
        loads: What it loads, as written: pictures, scripts, styles.
        pictures: The attributes of each picture.
        headings: Level and words of each heading of the main part that is seen on a screen.
        prose: The words of the main part, without code and formulas, and what stands in attributes.
    """

    def __init__(self, text):
        """Read a page from its HTML."""
        super().__init__()
        self.title, self.ids = "", Counter()
        self.links, self.loads, self.pictures, self.headings = [], [], [], []
        self.open, self.said = [], []
        self.feed(text)
        self.close()
        self.prose = "".join(self.said)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.handle_startendtag(tag, attrs.items())
        if tag not in EMPTY:
            self.open.append((tag, set((attrs.get("class") or "").split())))
            if self.heading():
                self.headings.append([int(tag[1]), ""])

    def handle_startendtag(self, tag, attrs):
        attrs = dict(attrs)
        if attrs.get("id"):
            self.ids[attrs["id"]] += 1
        if tag == "a":
            self.links += [attrs[key] for key in ("href", "xlink:href") if attrs.get(key)]
        if tag == "img":
            self.pictures.append(attrs)
        if attrs.get("src"):
            self.loads.append(attrs["src"])
        if tag == "link" and LOADED & set((attrs.get("rel") or "").split()):
            self.loads.append(attrs.get("href") or "")
        self.said += [f"\n{attrs[key]}\n" for key in IN_WORDS if attrs.get(key)]

    def handle_endtag(self, tag):
        if any(tag == name for name, _ in self.open):
            while self.open.pop()[0] != tag:
                pass

    def inside(self, *tags):
        return any(tag in tags for tag, _ in self.open)

    def heading(self):
        """Say whether a heading is open in the main part, and not one for paper alone."""
        for_paper = any("onlyprint" in classes for _, classes in self.open)
        return self.open[-1][0] in HEADINGS and self.inside("main") and not for_paper

    def code(self):
        """Say whether what is open is code or a formula: a signature is code, too."""
        return self.inside(*NOT_PROSE) or any("sig" in classes for _, classes in self.open)

    def handle_data(self, data):
        if self.inside("title") and not self.inside("body"):
            self.title += data
        if not self.inside("main") or self.code():
            return
        self.said.append(data)
        if self.headings and self.inside(*HEADINGS):
            self.headings[-1][1] += data


@cache
def read(path):
    """Read a file of the built book, once."""
    return Page(Path(path).read_text(encoding="utf-8"))


def target(html, name, address):
    """Return the file and the anchor that an address on a page leads to; nothing if it leaves.

    Args:
        html: The folder of the built book.
        name: The page, below that folder.
        address: What the page links to, as written.
    """
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return None
    path = (html / name).parent / unquote(parts.path) if parts.path else html / name
    path = path.resolve()
    return (path / "index.html" if path.is_dir() else path), unquote(parts.fragment)


def dead_links(html, name):
    """Return what a page links to or loads that is not there, as written."""
    page, dead = read(html / name), []
    for address in {*page.links, *page.loads}:
        found = target(html, name, address)
        if found is None:
            continue
        path, anchor = found
        if not path.is_file() or not path.is_relative_to(html.resolve()):
            dead.append(address)
        elif anchor and path.suffix == ".html" and anchor not in read(path).ids:
            dead.append(address)
    return sorted(dead)
