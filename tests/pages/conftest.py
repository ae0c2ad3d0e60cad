"""Fixtures of the tests that read the built book in a browser.

`site` is the book's address, `browser` the browser, `page` an empty page of a fresh reader. The
plain way is `visit`, which opens a page of the book as some reader does and keeps watch over it:

    def test_this(visit):
        page = visit("chapters/theory/piecewise.html", width=360, dark=True)
        assert page.locator("h1").count() == 1
        assert not page.watch.faults()

A test for each page or chapter is marked by `built.each_page` or `built.each_chapter`.
"""

import built
import pytest
from playwright.sync_api import sync_playwright
from reader import SECONDS, open_as


@pytest.fixture(scope="session")
def site():
    built.need_pages()
    with built.served(built.HTML) as address:
        yield address


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        browser = built.launch(playwright)
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    context = browser.new_context()
    context.set_default_timeout(SECONDS * 1000)
    yield context.new_page()
    context.close()


@pytest.fixture
def visit(site, browser):
    """Open pages of the book by their names, as `open_as` does; they are closed after the test."""
    pages = []

    def open_page(name, **options):
        pages.append(open_as(browser, f"{site}/{name}", **options))
        return pages[-1]

    yield open_page
    for page in pages:
        page.context.close()
