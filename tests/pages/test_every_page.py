"""Each page as a reader opens it: nothing fails, nothing is missing, nothing leaves the screen."""

import built
import pytest
from built import HTML, PAGES
from reader import HEIGHT, SECONDS, WIDTHS, Watch, open_as

FIRST_PAINT = 3000  # milliseconds, at the slowest machine that anybody tests on

# What lies beyond the right edge of the window, unless a box around it scrolls or cuts it.
BEYOND = """() => {
  const edge = document.documentElement.clientWidth + 1;
  if (document.documentElement.scrollWidth <= edge) return [];
  const kept = (e) => {
    for (let box = e.parentElement; box && box !== document.body; box = box.parentElement) {
      if (getComputedStyle(box).overflowX !== "visible") return true;
    }
    return false;
  };
  const found = [...document.querySelectorAll("body *")].filter(
    (e) => e.getBoundingClientRect().right > edge && e.checkVisibility() && !kept(e));
  const name = (e) => `${e.tagName} ${e.className} ${e.textContent.trim().slice(0, 40)}`;
  return [`${document.documentElement.scrollWidth} px`, ...found.slice(0, 4).map(name)];
}"""
# Pictures are loaded when they come near; here all are asked for.
BLIND = """async () => {
  const pictures = [...document.images];
  for (const picture of pictures) picture.loading = "eager";
  await Promise.allSettled(pictures.map((picture) => picture.decode()));
  return pictures.filter((picture) => !picture.naturalWidth).map((picture) => picture.src);
}"""
# Formulas that are not set: with an error, or as their source.
UNSET = """() => [
  ...document.querySelectorAll(".katex-error, merror"),
  ...[...document.querySelectorAll(".math")].filter((e) => !e.querySelector(".katex")),
].map((e) => e.textContent.slice(0, 60))"""
PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


@pytest.fixture(scope="module")
def reader(browser, site):
    """One reader who goes through the whole book."""
    with browser.new_context(viewport={"width": WIDTHS[0], "height": HEIGHT}) as context:
        context.set_default_timeout(SECONDS * 1000)
        yield context


@pytest.fixture(scope="module", params=PAGES, ids=[name.removesuffix(".html") for name in PAGES])
def opened(request, reader, site):
    """Each page, opened once for all questions."""
    page = reader.new_page()
    page.watch = Watch(page, site)
    page.goto(f"{site}/{request.param}", wait_until="load")
    yield page
    page.close()


def test_nothing_fails_and_nothing_leaves_the_site(opened):
    opened.wait_for_timeout(100)
    assert opened.watch.faults() == []


def test_text_shows_soon(opened):
    paint = opened.evaluate(PAINT)
    assert paint is not None and paint < FIRST_PAINT


def test_formulas_are_set(opened):
    assert opened.evaluate(UNSET) == []


def test_pictures_are_there(opened):
    assert opened.evaluate(BLIND) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_leaves_the_screen(opened, width):
    opened.set_viewport_size({"width": width, "height": HEIGHT})
    assert opened.evaluate(BEYOND) == []


@pytest.mark.parametrize(
    "name", ["index.html", built.CHAPTERS[1], "chapters/theory/certified-set.html", "search.html"]
)
def test_pages_work_as_files(browser, name):
    built.need_pages()
    page = open_as(browser, (HTML / name).as_uri())
    page.wait_for_timeout(300)
    assert page.watch.faults() == []
    assert page.locator("h1:visible").count() == 1
    page.context.close()


@pytest.mark.parametrize("name", [built.CHAPTERS[0], "chapters/theory/certified-set.html"])
def test_a_page_can_be_read_without_scripts(visit, name):
    page = visit(name, java_script_enabled=False)
    text = page.locator("main article")
    assert text.locator("h1").is_visible()
    assert len(text.inner_text().split()) > 200
    for seen in ["section > p .katex", "figure.explorer img", "summary"]:
        assert all(one.is_visible() for one in text.locator(seen).all()[:3]), seen


# ---- each of these can fail --------------------------------------------------------------------


@pytest.mark.parametrize(
    "question, body, seen",
    [
        (BEYOND, "<p style='width: 2000px'>far</p>", "P  far"),
        (BLIND, "<img src='data:image/png;base64,none' loading='lazy'>", "data:image"),
        (UNSET, r"<span class='math'>\(U\)</span>", r"\(U\)"),
        (UNSET, "<span class='katex-error'>U_</span>", "U_"),
    ],
)
def test_a_fault_is_seen(page, question, body, seen):
    page.set_content(body)
    assert any(seen in found for found in page.evaluate(question))


def test_what_scrolls_in_its_own_box_is_none(page):
    page.set_content("<div style='overflow-x: auto'><p style='width: 2000px'>far</p></div>")
    assert page.evaluate(BEYOND) == []
