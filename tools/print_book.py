"""Prints the whole book into one file, `_build/book.pdf`: `make pdf`, with all code `CODE=all`.

The page that `printed` makes of the built ones is printed by a headless Chromium. Then it is known
on which page each chapter begins, and the table of contents is printed again, with these numbers,
and put in the place of the first. Links lead within the file, and its outline has parts, chapters
and sections.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from html import escape
from pathlib import Path

import made_from
import printed
import yaml
from playwright.sync_api import Browser, Error, sync_playwright
from pypdf import PdfReader, PdfWriter
from pypdf.generic import NameObject

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "_build" / "html"
TARGET = ROOT / "_build" / "book.pdf"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
STYLES = ("_build/html/_static/pygments.css", "_build/html/_static/katex/katex.min.css")
OURS = ("assets/formulas.css", "assets/print.css")
MINUTES = 15
# A formula or a table that is wider than the page is made smaller until it fits.
FIT = """() => {
  // All is measured before anything is changed, or each change would lay out the book anew.
  const wide = [...document.querySelectorAll(".katex-display, table, svg")].map(
    (one) => [one, one.parentElement.clientWidth / (one.scrollWidth || one.clientWidth || 1)]);
  const found = wide.filter(([, share]) => share > 0 && share < 0.999);
  for (const [one, share] of found) one.style.zoom = Math.max(0.5, share);
}"""
WIDTH = 654  # px between the margins of print.css


def title_page(known: dict) -> str:
    """Return the first page: what this is, of what, and how to cite it."""
    paper = known["preferred-citation"]
    author = " ".join(paper["authors"][0][key] for key in ("given-names", "family-names"))
    picture = (ROOT / "assets" / "certified-set.png").as_uri()
    return f"""<section class="title-page">
<p class="title">{escape(paper["title"])}</p><p class="subtitle">An executable edition</p>
<img src="{picture}" alt="The certified set of a network of two weights, for three weight decays.">
<p>of {escape(author)}’s paper, {escape(paper["conference"]["name"])}, arXiv:1810.12805</p>
<p>Every theorem stands beside code that tests it, and every experiment runs from its parameters
to its figure.</p><p class="small">Version {escape(known["version"])}. MIT licence. Printed from
the pages that <code>make book</code> builds; on these, proofs unfold, pictures can be moved, and
the code of every check can be read.</p></section>"""


def launch(playwright) -> Browser:
    """Start the system's Chromium or else playwright's own, or say what to install."""
    found = next(filter(None, map(shutil.which, BROWSERS)), playwright.chromium.executable_path)
    # Chromium refuses its sandbox to root, as in a container.
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    try:
        return playwright.chromium.launch(
            executable_path=found, args=["--no-sandbox"] if root else []
        )
    except Error as error:
        sys.exit(
            f"error: the book is printed by Chromium, and none could be started:\n"
            f"{str(error).splitlines()[0]}\n"
            "Install your system's (Debian, Ubuntu: apt install chromium), or playwright's own:\n"
            "    .venv/bin/playwright install chromium\n"
            "and run make pdf again."
        )


def print_page(browser: Browser, source: Path, target: Path) -> None:
    """Print a page, with an outline and the tags that tell its structure."""
    page = browser.new_page(viewport={"width": WIDTH, "height": 960})
    page.set_default_timeout(MINUTES * 60_000)
    page.emulate_media(media="print")
    page.goto(source.as_uri(), wait_until="load")
    page.evaluate("() => document.fonts.ready.then(() => true)")
    page.evaluate(FIT)
    page.pdf(
        path=target,
        prefer_css_page_size=True,
        print_background=True,
        outline=True,
        tagged=True,
    )
    page.close()


def outline(reader: PdfReader) -> list[tuple[int, str, int]]:
    """Return the lines of a file's outline in order: how deep, what, and on which page."""
    found: list[tuple[int, str, int]] = []

    def walk(items: list, depth: int) -> None:
        for item in items:
            if isinstance(item, list):
                walk(item, depth + 1)
            else:
                found.append((depth, item.title, reader.get_destination_page_number(item) + 1))

    walk(reader.outline, 0)
    return found


def starts(reader: PdfReader) -> dict[str, int]:
    """Return the page on which each place of the file lies that links name."""
    return {
        name.lstrip("/"): reader.get_destination_page_number(place) + 1
        for name, place in reader.named_destinations.items()
    }


def finish(draft: Path, front: Path, target: Path, known: dict) -> int:
    """Put the contents with their numbers into the book, and into the file what it is.

    Args:
        draft: the whole book.
        front: its first pages, printed again.
        target: where the finished book goes.
        known: how to cite it.

    Returns:
        The number of its pages.
    """
    writer, numbered = PdfWriter(clone_from=draft), PdfReader(front).pages
    contents = min(starts(PdfReader(draft)).values()) - 1
    for page, again in zip(writer.pages[1:contents], numbered[1:contents], strict=True):
        for key in ("/Contents", "/Resources"):  # the links stay
            page[NameObject(key)] = again.raw_get(key).clone(writer)
    paper = known["preferred-citation"]["authors"][0]
    writer.add_metadata(
        {
            "/Title": known["title"],
            "/Author": f"{known['authors'][0]['name']}; paper by {paper['given-names']}"
            f" {paper['family-names']}",
            "/Subject": "arXiv:1810.12805, with its proofs, checks and experiments",
        }
    )
    writer.write(target)
    return len(writer.pages)


def print_book(browser: Browser, book: printed.Bound, head: str, known: dict, target: Path) -> int:
    """Print a book into a file, and return the number of its pages."""
    first = title_page(known)
    with tempfile.TemporaryDirectory() as scratch:
        source, draft, front = (Path(scratch, name) for name in ("a.html", "a.pdf", "front.pdf"))
        source.write_text(book.page(head, first, {}), "utf-8")
        print_page(browser, source, draft)
        pages = starts(PdfReader(draft))
        source.write_text(book._replace(body="").page(head, first, pages), "utf-8")
        print_page(browser, source, front)
        return finish(draft, front, target, known)


def main() -> int:
    """Print the book."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--code", choices=("cells", "all"), default="cells")
    code = arguments.parse_args().code == "all"
    if not (SITE / "chapters" / "index.html").is_file():
        sys.exit("error: the pages are not built: make book")
    if edited := made_from.edited(ROOT):
        print(f"note: the pages are older than {edited[0]}; make book builds them anew.")
    began = time.monotonic()
    known = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    sheets = [(ROOT / name).as_uri() for name in (*STYLES, *OURS)]
    styles = "".join(f'<link rel="stylesheet" href="{sheet}">' for sheet in sheets)
    head = f'<meta charset="utf-8"><title>{escape(known["title"])}</title>{styles}'
    book = printed.bound(printed.Book(SITE, ROOT / "_toc.yml", code))
    with sync_playwright() as playwright:
        count = print_book(launch(playwright), book, head, known, TARGET)
    size, seconds = TARGET.stat().st_size / 1e6, time.monotonic() - began
    print(f"{TARGET.relative_to(ROOT)}: {count} pages, {size:.1f} MB, in {seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
