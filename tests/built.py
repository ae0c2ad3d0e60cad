"""The built book, for tests that read it: where it is, its pages, and whether it is current.

By itself, pytest skips these tests where the pages are not built or are older than what they are
made from. `make pages` builds them first, and takes neither for an excuse (`PAGES=required`). While
you try a style or a script on pages that are not quite current, `PAGES=any` takes them as they are.
"""

import os
import shutil
import threading
from contextlib import contextmanager
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import made_from
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
HTML = ROOT / "_build" / "html"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def chapters(toc=ROOT / "_toc.yml"):
    """The pages of the table of contents, in its order, as paths below the site."""
    contents = yaml.safe_load(toc.read_text())
    names = [contents["root"]]
    names += [entry["file"] for part in contents["parts"] for entry in part["chapters"]]
    return [f"{name}.html" for name in names]


def pages(html=HTML):
    """All pages: those of the table of contents, then indices and the search page.

    The first page of the site only leads to the first chapter, and is none of them.
    """
    ours = chapters()
    found = sorted(path.relative_to(html).as_posix() for path in html.rglob("*.html"))
    others = [name for name in found if not name.startswith("_") and name != "index.html"]
    return [*ours, *(name for name in others if name not in ours)]


CHAPTERS = chapters()
PAGES = pages()


def each(names):
    """Mark a test to run for each of some pages, which it receives as `name`."""
    return pytest.mark.parametrize(
        "name", names, ids=[name.removesuffix(".html") for name in names]
    )


each_page = each(PAGES)
each_chapter = each(CHAPTERS)


@cache
def excuse():
    """Say why the pages should not be tested as they are, or nothing."""
    if not (HTML / "chapters" / "index.html").is_file():
        return "the pages are not built: make book"
    if os.environ.get("PAGES") == "any":
        return ""
    if not (ROOT / made_from.STAMP).is_file():
        return "the pages are not those of a build that succeeded: make book"
    if edited := made_from.edited(ROOT):
        more = f" and {len(edited) - 3} more" if len(edited) > 3 else ""
        return f"the pages are older than {', '.join(edited[:3])}{more}: make book"
    return ""


def need_pages():
    """Skip a test, or fail it under `make pages`, unless the pages are built and current."""
    if excuse():
        (pytest.fail if os.environ.get("PAGES") == "required" else pytest.skip)(excuse())


class Quiet(SimpleHTTPRequestHandler):
    """A server as any host of static pages is, without its log."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass


@contextmanager
def served(folder):
    """Serve a folder on a free port of this machine, and give its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def launch(playwright):
    """Start the system's Chromium, or else playwright's own; skip where there is neither."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        found = playwright.chromium.executable_path
        if not Path(found).is_file():
            pytest.skip("no Chromium: install your system's, or run playwright install chromium")
    # Chromium refuses its sandbox to root, as in a container.
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    return playwright.chromium.launch(executable_path=found, args=["--no-sandbox"] if root else [])
