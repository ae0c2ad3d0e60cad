"""Keeps pages light and quick.

* Scripts wait until the page is there; the ones that a page has no use for are not loaded, and the
  theme's icon font is replaced by `assets/icons.css`.
* A picture says how large it is, so that nothing moves when it comes, and comes when it is near.
  Its file has a palette where that can't be seen.
* What no page loads is not left among the pages: maps of the theme's sources, translations, fonts.
"""

import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from docutils import nodes
from PIL import Image
from sphinx.application import Sphinx

TEMPLATES = Path(__file__).resolve().parent.parent / "assets" / "templates"

# Of files that extensions ship, those that no page of ours loads.
UNUSED = (
    "vendor",
    "locales",
    "images/logo_*",
    "**/*.map",
    "*webpack-macros.html",
    "templates",
    "sphinx-thebe*",
    "file.png",
)

# A palette may change a colour by so much, of 255: on average, and in one pixel of a thousand.
ON_AVERAGE, SELDOM = 0.5, 20


def lighten_scripts(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Let scripts wait for the page, and leave out those that have nothing to do on it."""
    if doctree is None:  # of search and indices, which have scripts of their own that do not wait
        return
    tabs = "sd-tab-" in context.get("body", "")
    context["script_files"] = [
        waiting(script)
        for script in context["script_files"]
        if (tabs or "design-tabs" not in str(script.filename or ""))
        # Read by the theme's choice of versions alone, which we have not.
        and "DOCUMENTATION_OPTIONS.pagename" not in script.attributes.get("body", "")
    ]


def waiting(script: Any) -> Any:
    """Return a script of a page that waits for it; other pages share the one that came."""
    if not script.filename or "type" in script.attributes:
        return script
    attributes = {"defer": "defer", **script.attributes}
    return type(script)(script.filename, priority=script.priority, **attributes)


# ---- pictures ----------------------------------------------------------------------------------


def with_palette(path: Path) -> None:
    """Store a picture with a palette of 256 colours, if nobody would see the difference."""
    with Image.open(path) as opened:
        if opened.mode not in ("RGB", "RGBA"):
            return
        picture = opened.convert("RGBA")
    opaque = picture.getextrema()[3][0] == 255
    method = Image.Quantize.MEDIANCUT if opaque else Image.Quantize.FASTOCTREE
    picture = picture.convert("RGB") if opaque else picture
    few = picture.quantize(256, method, dither=Image.Dither.NONE)
    before, after = (np.asarray(one.convert("RGBA"), dtype=np.int16) for one in (picture, few))
    change = np.abs(after - before).max(axis=2)
    if change.mean() > ON_AVERAGE or np.quantile(change, 0.999) > SELDOM:
        return
    smaller = path.with_suffix(".tmp")
    few.save(smaller, "PNG", optimize=True)
    if smaller.stat().st_size < path.stat().st_size:
        smaller.replace(path)
    else:
        smaller.unlink()


@cache
def size(path: Path) -> tuple[int, int] | None:
    """Return the width and height of a picture, if it is one of pixels."""
    if not path.is_file() or path.suffix not in (".png", ".jpg", ".jpeg", ".gif", ".webp"):
        return None
    with Image.open(path) as picture:
        return picture.size


def sized(page: Path) -> Callable[[re.Match[str]], str]:
    """Return what adds to a picture of a page its size, and that it may come late."""

    def add(match: re.Match[str]) -> str:
        tag = match[0]
        source = re.search(r'\ssrc="([^"?]*)', tag)
        found = source and not source[1].startswith("data:") and size(page.parent / source[1])
        more = 'loading="lazy" ' if "loading=" not in tag else ""
        if found and not re.search(r"\s(width|height)=", tag):
            more += f'width="{found[0]}" height="{found[1]}" '
        return f"<img {more}{tag[5:]}"

    return add


def lighten_files(app: Sphinx, error: Exception | None) -> None:
    """Lighten the pictures, say on the pages how large they are, and remove what no page loads."""
    if error is not None or app.builder.format != "html":
        return
    out = Path(app.outdir)
    with ThreadPoolExecutor() as pool:
        list(pool.map(with_palette, (out / "_images").glob("*.png")))
    size.cache_clear()
    for page in out.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        lighter = re.sub(r"<img\s[^>]*>", sized(page), text)
        if lighter != text:
            page.write_text(lighter, encoding="utf-8")
    for pattern in UNUSED:
        for path in sorted((out / "_static").glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def setup(app: Sphinx) -> None:
    """Connect what keeps the pages light, after all that adds to them."""
    app.config.templates_path.insert(0, str(TEMPLATES))
    app.add_css_file("icons.css")
    app.connect("html-page-context", lighten_scripts, priority=950)
    app.connect("build-finished", lighten_files, priority=900)
