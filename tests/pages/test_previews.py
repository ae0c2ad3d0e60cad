"""What a link leads to is shown beside it, by mouse and by key, from this page and from others."""

import built
import pytest
from reader import open_as

LINKS = {
    "a statement of the page": ("chapters/theory/second-derivative.html", "#paper-lemma-3"),
    "one of another page": ("chapters/theory/second-derivative.html", "#paper-theorem-3"),
    "an equation": ("chapters/theory/second-derivative.html", "html#equation-eq-2"),
    "an equation of the page": ("chapters/theory/second-derivative.html", "#equation-eq-4"),
    "a term": ("chapters/theory/certified-set.html", "#term-"),
    "a reference": ("chapters/back/credit.html", "bibliography.html#"),
    "a row of the list": ("chapters/back/statements.html", "#paper-definition-2"),
}


@pytest.fixture(params=[False, True], ids=["by mouse", "by key"])
def ask(request):
    """Ask for what a link leads to."""

    def show(link):
        link.scroll_into_view_if_needed()
        link.focus() if request.param else link.hover()

    return show


def link_to(page, address):
    """The first link within the text that leads to an address, and can be seen."""
    return page.locator(f"main article a[href*='{address}']:not(.headerlink):visible").first


@pytest.mark.parametrize("what", LINKS)
def test_it_is_shown(visit, ask, what):
    name, address = LINKS[what]
    page = visit(name)
    ask(link_to(page, address))
    box = page.locator(".tippy-box")
    box.wait_for()
    assert len(box.inner_text().strip()) > 10
    assert box.locator("[id], a, button, annotation").count() == 0
    # A formula is set, and no page is scrolled sideways by what it shows.
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.keyboard.press("Escape")
    box.wait_for(state="detached")
    assert not page.watch.faults()


def test_it_stays_under_the_mouse_and_goes_with_it(visit):
    page = visit("chapters/theory/second-derivative.html")
    link_to(page, "#paper-theorem-3").hover()
    page.locator(".tippy-box").wait_for()
    page.locator(".tippy-box").hover()
    page.wait_for_timeout(400)
    assert page.locator(".tippy-box").is_visible()
    page.mouse.move(5, 5)
    page.locator(".tippy-box").wait_for(state="detached")


def test_links_to_chapters_and_titles_show_nothing(visit):
    page = visit("chapters/theory/second-derivative.html")
    page.locator("main article a.headerlink").first.focus()
    page.wait_for_timeout(600)
    assert page.locator(".tippy-box").count() == 0


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_the_screen_and_can_be_read(visit, width, dark):
    page = visit("chapters/theory/second-derivative.html", width=width, dark=dark)
    link_to(page, "#paper-theorem-3").focus()
    box = page.locator(".tippy-box")
    box.wait_for()
    place = box.bounding_box()
    assert place["x"] >= 0 and place["x"] + place["width"] <= width
    assert place["height"] < 600
    colours = box.evaluate(
        "one => [getComputedStyle(one).color, getComputedStyle(one).backgroundColor]"
    )
    light = [sum(map(int, one[4:-1].split(","))) for one in colours]
    assert (light[0] > light[1]) is dark and abs(light[0] - light[1]) > 400


def test_it_works_from_a_file(browser):
    built.need_pages()
    page = open_as(browser, (built.HTML / "chapters/theory/second-derivative.html").as_uri())
    link_to(page, "#paper-theorem-3").focus()
    page.locator(".tippy-box .katex").first.wait_for()
    page.context.close()


def test_nothing_of_other_pages_is_loaded_before_it_is_asked_for(visit):
    page = visit("chapters/theory/second-derivative.html")
    assert not [url for url in page.watch.requested if "/_static/previews/" in url]
