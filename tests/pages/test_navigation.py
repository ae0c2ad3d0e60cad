"""A reader finds the way: to the next page, another theme, the search, on a small screen, too."""

import json
import re
from urllib.parse import quote, unquote
from urllib.request import urlopen

import built
import markup
import pytest
from built import CHAPTERS, HTML, ROOT, each_chapter

LONG = "chapters/theory/certified-set.html"
# The class may stand before the address or after it.
LINK = r'<a\s(?=[^>]*class="{kind}")[^>]*href="([^"#]+)"'


def walk(kind, start):
    """Follow the links of one kind from page to page until there is none."""
    name, names = start, []
    while name and name not in names:
        names.append(name)
        found = re.search(LINK.format(kind=kind), (HTML / name).read_text(encoding="utf-8"))
        path = found and markup.target(HTML, name, found[1])[0]
        name = path and path.relative_to(HTML.resolve()).as_posix()
    return names


def test_next_and_previous_go_through_the_whole_book():
    built.need_pages()
    assert walk("right-next", CHAPTERS[0]) == CHAPTERS
    assert walk("left-prev", CHAPTERS[-1]) == CHAPTERS[::-1]


def test_the_menu_has_every_page_in_the_book_s_order(visit):
    page = visit(LONG)
    links = page.locator(".bd-sidebar-primary nav a.reference.internal")
    seen = links.evaluate_all("links => links.map((link) => link.pathname.slice(1))")
    assert [name for name in seen if name in CHAPTERS] == CHAPTERS


@each_chapter
def test_what_a_page_offers_to_take_away_is_there(site, name):
    offered = [
        address
        for address in markup.read(HTML / name).links
        if address.endswith((".ipynb", ".md", ".pdf", ".txt"))
    ]
    notebook = (ROOT / name).with_suffix(".ipynb").is_file()
    assert notebook == any(address.endswith(".ipynb") for address in offered)
    for address in offered:
        path = markup.target(HTML, name, address)[0].relative_to(HTML.resolve()).as_posix()
        with urlopen(f"{site}/{quote(path)}") as answer:
            body = answer.read()
        assert body, path
        if path.endswith(".ipynb"):
            assert json.loads(body)["cells"], path


def theme(page):
    return page.evaluate("document.documentElement.dataset.theme")


def test_the_theme_is_chosen_and_remembered(visit, site):
    page = visit(LONG)
    assert theme(page) == "light"
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    button = page.locator(".theme-switch-button:visible").first
    for _ in range(3):  # light, dark, and what the system says
        if theme(page) != "dark":
            button.click()
    assert theme(page) == "dark"
    page.mouse.move(0, 0)
    assert page.evaluate(background) != light
    for name in (LONG, CHAPTERS[1]):
        page.goto(f"{site}/{name}")
        assert theme(page) == "dark"
    assert page.watch.faults() == []


def test_a_reader_who_comes_in_the_dark_sees_the_page_dark_at_once(visit):
    page = visit(LONG, dark=True)
    assert theme(page) == "dark"


def test_the_search_opens_by_key_and_finds(visit):
    page = visit(LONG)
    field = page.locator("#search-input, .search-button__search-container input").first
    assert not field.is_visible()
    page.keyboard.press("Control+k")
    field.wait_for(state="visible")
    assert field.evaluate("field => field === document.activeElement")
    page.keyboard.press("Escape")
    field.wait_for(state="hidden")
    page.keyboard.press("Control+k")
    page.keyboard.type("nullity")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=nullity**")
    page.locator("#search-results li a").first.wait_for()
    assert page.watch.faults() == []


def on_screen(box):
    """Say whether most of an element lies within the window."""
    return box.evaluate(
        """box => {
          const {left, right, width} = box.getBoundingClientRect();
          const seen = Math.min(right, innerWidth) - Math.max(left, 0);
          return box.checkVisibility({visibilityProperty: true}) && seen > 0.9 * width && width > 0;
        }"""
    )


@pytest.mark.parametrize("side", ["primary", "secondary"])
def test_a_menu_opens_and_closes_on_a_phone(visit, side):
    page = visit(LONG, width=360, has_touch=True, is_mobile=True)
    menu = page.locator(f".bd-sidebar-{side}")
    assert not on_screen(menu)
    page.locator(f"button.{side}-toggle:visible").first.tap()
    page.wait_for_timeout(600)
    assert on_screen(menu)
    link = menu.locator("a.reference.internal, a.nav-link").nth(1)
    assert on_screen(link)
    # Beside the menu, the page: a touch there closes it.
    page.touchscreen.tap(20 if side == "secondary" else 350, 700)
    page.wait_for_timeout(600)
    assert not on_screen(menu)


def test_the_menu_on_a_phone_leads_to_another_page(visit):
    page = visit(LONG, width=360, has_touch=True, is_mobile=True)
    page.locator("button.primary-toggle:visible").first.tap()
    link = page.locator(".bd-sidebar-primary nav a.reference.internal").nth(2)
    wanted = link.evaluate("link => link.pathname")
    link.tap()
    page.wait_for_url(f"**{wanted}")


def test_the_contents_of_a_page_lead_to_its_sections(visit):
    page = visit(LONG)
    link = page.locator(".bd-sidebar-secondary a.nav-link:visible").last
    anchor = link.get_attribute("href")
    link.click()
    assert page.url.endswith(anchor)
    reached = """id => {
      const top = document.getElementById(id).getBoundingClientRect().top;
      return -20 < top && top < innerHeight;
    }"""
    page.wait_for_function(reached, arg=unquote(anchor[1:]), timeout=5000)
