"""What the pages tell the world about themselves: an icon always, and the rest by their address.

Where the book will be published is not known when it is built, unless `URL` says it: `make book
URL=https://...`. Then each page names its canonical address and says what a link to it should look
like elsewhere, with the book's own figure, and `sitemap.xml` lists all of them for search engines.
Without it there is none of that, as half of it would be wrong.
"""

import os
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ConfigError

ICON = "favicon.svg"
FALLBACK = "favicon.png"  # for browsers that draw no SVG there
PICTURE = "_static/certified-set.png"
SAID = "The certified set of a network with two weights, for three weight decays."


def configured(given: str) -> str:
    """Return an address with its last slash; it has to be a whole one, or none."""
    if given and not re.fullmatch(r"https?://[^\s?#]+", given):
        raise ConfigError(f"URL={given} is no address of pages: it begins with https://")
    return f"{given.rstrip('/')}/" if given else ""


def add_fallback(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Name the icon as pixels too."""
    there = context["pathto"](f"_static/{FALLBACK}", 1)
    link = f'<link rel="alternate icon" type="image/png" href="{there}">'
    context["metatags"] = f"{context.get('metatags', '')}\n{link}"


def setup(app: Sphinx) -> None:
    """Add the icon, and by `URL` what rests on the pages' address."""
    if (Path(app.srcdir) / "assets" / ICON).is_file():
        app.config.html_favicon = f"assets/{ICON}"
        app.connect("html-page-context", add_fallback)
    if url := configured(os.environ.get("URL", "")):
        app.setup_extension("sphinxext.opengraph")
        app.setup_extension("sphinx_sitemap")
        app.config.html_baseurl = url
        app.config.ogp_site_url = url
        app.config.ogp_site_name = app.config.html_title
        app.config.ogp_image = url + PICTURE
        app.config.ogp_image_alt = SAID
        app.config.ogp_social_cards = {"enable": False}
        app.config.sitemap_url_scheme = "{link}"
        app.config.sitemap_excludes = ["search.html", "genindex.html", "py-modindex.html"]
