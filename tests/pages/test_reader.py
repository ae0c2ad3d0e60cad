"""The watch over a page sees each kind of fault that it is there for, and none on a sound page."""

import built
import pytest
from reader import open_as

FAULTS = {
    "an error": ("<script>console.error('so not')</script>", "so not"),
    "a warning": ("<script>console.warn('rather not')</script>", "rather not"),
    "an exception": ("<script>throw new Error('not caught')</script>", "not caught"),
    "a script that is missing": ("<script src='missing.js'></script>", "404: "),
    "a picture that is missing": ("<img src='missing.png'>", "404: "),
    "a picture from elsewhere": ("<img src='http://elsewhere.invalid/a.png'>", "leaves the site"),
}


@pytest.fixture
def write(browser, tmp_path):
    """Open a page with some body."""
    opened = []
    with built.served(tmp_path) as address:

        def page(body, **options):
            head = "<!doctype html><link rel='icon' href='data:,'><title>A page</title>"
            (tmp_path / "page.html").write_text(head + body)
            opened.append(open_as(browser, f"{address}/page.html", **options))
            return opened[-1]

        yield page
        for one in opened:
            one.context.close()


def test_a_sound_page_has_no_faults(write):
    page = write("<h1>A page</h1><script>console.log('fine')</script>")
    assert page.watch.faults() == []
    assert [url.rpartition("/")[2] for url in page.watch.requested][:1] == ["page.html"]


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_seen(write, fault):
    body, seen = FAULTS[fault]
    assert any(seen in found for found in write(body).watch.faults())


@pytest.mark.parametrize("dark", [False, True])
def test_a_reader_comes_with_a_screen_and_a_theme(write, dark):
    page = write("<h1>A page</h1>", width=360, dark=dark)
    assert page.evaluate("innerWidth") == 360
    assert page.evaluate("localStorage.getItem('theme')") == ("dark" if dark else None)
    # What a reader then chooses stays.
    page.evaluate("localStorage.setItem('theme', 'light')")
    page.reload()
    assert page.evaluate("localStorage.getItem('theme')") == "light"
