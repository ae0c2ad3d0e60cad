"""A small book printed by the browser: outline, links, page numbers, what the file says of it."""

import print_book
import printed
import pytest
from pypdf import PdfReader
from pypdf.generic import IndirectObject

KNOWN = {
    "title": "A small book",
    "version": "1",
    "authors": [{"name": "Its authors"}],
    "preferred-citation": {
        "title": "A paper",
        "authors": [{"given-names": "A.", "family-names": "Writer"}],
        "conference": {"name": "A conference"},
    },
}
STYLES = f'<link rel="stylesheet" href="{(print_book.ROOT / print_book.OURS[1]).as_uri()}">'


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A book of a front page, and a part of two chapters that refer to each other."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "_toc.yml").write_text(
        "root: index\nparts: [{caption: Part, chapters: [{file: one}, {file: two}]}]"
    )
    wide = "<table><tr>" + "<td>wide</td>" * 100 + "</tr></table>"
    for name, body in {
        "index": "<h1>A small book</h1>",
        "one": "<h1>1. One</h1><h2 id='open'>Open</h2><a href='two.html#open'>there</a>" + wide,
        "two": "<h1>2. Two</h1><h2 id='open'>Open</h2><p><a href='one.html'>back</a></p>",
    }.items():
        (folder / f"{name}.html").write_text(f"<article>{body}</article>")
    return folder


@pytest.fixture(scope="module")
def pdf(site, browser):
    book, target = printed.bound(printed.Book(site, site / "_toc.yml")), site / "book.pdf"
    print_book.print_book(browser, book, STYLES, KNOWN, target)
    return PdfReader(target)


def test_the_outline_has_parts_chapters_and_sections(pdf):
    lines = print_book.outline(pdf)
    assert [(depth, words.lower()) for depth, words, _ in lines] == [
        (0, "a small book"),
        (0, "part"),
        (1, "1. one"),
        (2, "open"),
        (1, "2. two"),
        (2, "open"),
    ]
    pages = [page for _, _, page in lines]
    assert pages == sorted(pages) and len(set(pages)) == 3


def test_the_table_of_contents_has_the_pages_of_the_outline(pdf):
    pages = {words: page for _, words, page in print_book.outline(pdf)}
    contents = next(page.extract_text() for page in pdf.pages if "Contents" in page.extract_text())
    for chapter in ("1. One", "2. Two"):
        assert f"{pages[chapter]}" in contents.split(chapter)[1][:5] and "000" not in contents


def test_links_lead_within_the_file(pdf):
    places = set(pdf.named_destinations)
    found = [
        str(link.get_object().get("/Dest", "")).lstrip("/")
        for page in pdf.pages
        for link in page.get("/Annots", [])
    ]
    assert {"two--open", "one"} <= set(found)
    assert set(found) <= {place.lstrip("/") for place in places}


def test_the_file_says_what_it_is(pdf):
    assert pdf.metadata.title == "A small book"
    assert pdf.metadata.author == "Its authors; paper by A. Writer"
    assert pdf.trailer["/Root"]["/MarkInfo"]["/Marked"]


def test_a_chapter_begins_a_page_below_its_title(pdf):
    text = {words: pdf.pages[page - 1].extract_text() for _, words, page in print_book.outline(pdf)}
    assert "2. Two" in text["2. Two"].split("\n")[0]  # the running head
    assert "back" in text["2. Two"] and "there" in text["1. One"]


def test_what_a_page_shows_is_an_object_of_its_own(pdf):
    """A viewer shows nothing of a stream within the page."""
    assert all(isinstance(page.raw_get("/Contents"), IndirectObject) for page in pdf.pages)
