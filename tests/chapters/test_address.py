"""The icon, what rests on the pages' address, and how to cite them."""

import subprocess
import sys
from pathlib import Path

import citation
import pytest
import yaml
from address import configured
from sphinx.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
CONF = f"""
import sys
sys.path.insert(0, {str(ROOT / "tools")!r})
extensions = ["address"]
html_static_path = ["assets"]
html_theme = "sphinx_book_theme"
html_title = "A small book"
"""


def built(folder, url=None):
    """Build a book of one page with the icon, strictly, and return the folder of its pages."""
    (folder / "assets").mkdir()
    for name in ("favicon.svg", "favicon.png", "certified-set.png"):
        (folder / "assets" / name).write_bytes((ROOT / "assets" / name).read_bytes())
    (folder / "conf.py").write_text(CONF)
    (folder / "index.rst").write_text("A page\n======\n\nThese are its words.\n")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", ".", "out"]
    done = subprocess.run(
        command,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **({"URL": url} if url else {})},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "out"


def test_without_an_address_there_is_an_icon_and_no_more(tmp_path):
    site = built(tmp_path)
    page = (site / "index.html").read_text()
    assert 'href="_static/favicon.svg' in page and 'href="_static/favicon.png' in page
    assert "og:" not in page and "canonical" not in page
    assert not (site / "sitemap.xml").exists()


def test_with_an_address_pages_say_what_they_are(tmp_path):
    site = built(tmp_path, "https://example.org/book")
    page = (site / "index.html").read_text()
    assert '<link rel="canonical" href="https://example.org/book/index.html"' in page
    for name, value in (
        ("title", "A page"),
        ("site_name", "A small book"),
        ("url", "https://example.org/book/index.html"),
        ("image", "https://example.org/book/_static/certified-set.png"),
    ):
        assert f'<meta property="og:{name}" content="{value}"' in page
    assert (site / "_static" / "certified-set.png").is_file()
    listed = (site / "sitemap.xml").read_text()
    assert "<loc>https://example.org/book/index.html</loc>" in listed
    assert "search.html" not in listed


def test_an_address_is_whole():
    assert configured("") == ""
    assert configured("https://example.org/book/") == "https://example.org/book/"
    for wrong in ("example.org", "ftp://example.org", "https://example.org/a b", "/book"):
        with pytest.raises(ConfigError, match="is no address"):
            configured(wrong)


def test_the_page_cites_what_the_citation_file_says():
    assert (ROOT / citation.TARGET).read_text() == citation.page(ROOT), "run tools/citation.py"
    known = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    text = citation.page(ROOT)
    assert known["title"] in text and known["version"] in text
    assert known["preferred-citation"]["title"] in text and "1810.12805" in text


def test_the_paper_is_cited_by_the_key_of_the_bibliography():
    assert "@inproceedings{milne2019," in (ROOT / "references.bib").read_text()
    assert "@inproceedings{milne2019," in citation.page(ROOT)
