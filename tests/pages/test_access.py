"""Everyone can read every page: by eye in both themes, by ear, by key, by touch and on paper.

axe-core looks for what keeps readers out; what it calls serious or critical may not be there.
"""

from pathlib import Path

import axe_playwright_python
import built
import pytest
from reader import HEIGHT, open_as

AXE = next(Path(axe_playwright_python.__file__).parent.rglob("axe.min.js")).read_text()
A4 = 700  # pixels between margins
CHAPTER = "chapters/theory/certified-set.html"

# Formulas have the colour of the text around them, and thousands of parts; they are left out.
FAULTS = """async (rules) => {
  document.querySelectorAll("details").forEach((fold) => (fold.open = true));
  await new Promise((done) => setTimeout(done, 200));  // till scripts have seen it
  const options = {resultTypes: ["violations"], preload: false, iframes: false,
                   rules: {"target-size": {enabled: true}}};
  if (rules.length) options.runOnly = {type: "rule", values: rules};
  const found = await axe.run({include: [["body"]], exclude: [[".katex"]]}, options);
  return found.violations.flatMap((rule) => rule.nodes.map(
    (node) => [rule.impact, rule.id, node.target.join(" "), node.html.slice(0, 120)]));
}"""
# What is missing at its right edge and can't be reached there: the box cuts it off.
CUT = """() => {
  const boxes = "pre, table, .katex-display, figure, .cell_output, .evidence-code";
  const lost = (e) => {
    const right = e.getBoundingClientRect().right;
    for (let box = e.parentElement; box; box = box.parentElement) {
      const kind = getComputedStyle(box).overflowX;
      if (kind === "auto" || kind === "scroll") return false;
      if (right > box.getBoundingClientRect().right + 1 && kind !== "visible") return true;
    }
    return right > document.documentElement.clientWidth + 1;
  };
  document.querySelectorAll("article details").forEach((fold) => (fold.open = true));
  const found = [...document.querySelectorAll("article *")].filter(
    (e) => e.matches(boxes) && e.checkVisibility() && lost(e));
  return found.map((e) => `${e.tagName} ${e.className} ${e.textContent.trim().slice(0, 40)}`);
}"""
# Boxes that scroll, and whether a key reaches them.
SCROLLED = """() => [...document.querySelectorAll("article *")].filter((e) =>
    e.checkVisibility() && !e.closest(".katex-html") && e.scrollWidth > e.clientWidth + 1 &&
    ["auto", "scroll"].includes(getComputedStyle(e).overflowX)
  ).map((e) => [e.tagName, e.tabIndex >= 0 || !!e.querySelector("a, button, input")])"""
# On paper nothing scrolls: what is beyond the edge is lost.
BEYOND_PAPER = """() => {
  document.querySelectorAll("article details").forEach((fold) => (fold.open = true));
  const edge = document.documentElement.clientWidth + 1, all = [];
  for (const e of document.querySelectorAll("article :is(pre, table, .katex-display, img)")) {
    if (!e.checkVisibility()) continue;
    const far = Math.max(e.getBoundingClientRect().left + e.scrollWidth,
                         e.getBoundingClientRect().right);
    if (far > edge) all.push(`${Math.round(far)} ${e.tagName} ${e.textContent.slice(0, 60)}`);
  }
  return all;
}"""
WRAPPED = """() => [...document.querySelectorAll("article .line")].map(
    (e) => e.checkVisibility() ? e.getBoundingClientRect().height > 1.6 * 17.4 : false)"""


@pytest.fixture(scope="module")
def reader(browser, site):
    """One reader for all pages, who opens them one after the other."""
    with browser.new_context(viewport={"width": 1280, "height": HEIGHT}) as context:
        context.set_default_timeout(120_000)
        page = context.new_page()

        def read(name):
            page.goto(f"{site}/{name}", wait_until="load")
            page.evaluate("document.documentElement.dataset.theme = 'light'")
            return page

        yield read


def serious(found):
    """The faults that may not be there, as lines."""
    return [" ".join(fault) for fault in found if fault[0] in ("serious", "critical")]


@built.each_page
def test_nothing_keeps_a_reader_out(reader, name):
    page = reader(name)
    page.evaluate(AXE)
    assert serious(page.evaluate(FAULTS, [])) == []
    # The other theme has other colours, and nothing else.
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.wait_for_timeout(300)  # for colours that change by and by
    assert serious(page.evaluate(FAULTS, ["color-contrast"])) == []


def test_a_fault_is_found(page):
    page.set_content("<title>A</title><main style='color: #999'>Faint<button></button></main>")
    page.evaluate(AXE)
    faults = serious(page.evaluate(FAULTS, []))
    assert any("color-contrast" in fault for fault in faults)
    assert any("button-name" in fault for fault in faults)


@pytest.mark.parametrize("width", [1280, 360])
@built.each_chapter
def test_nothing_is_cut_off(reader, name, width):
    page = reader(name)
    page.set_viewport_size({"width": width, "height": HEIGHT})
    page.wait_for_timeout(100)
    try:
        assert page.evaluate(CUT) == []
        assert [box for box, reached in page.evaluate(SCROLLED) if not reached] == []
    finally:
        page.set_viewport_size({"width": 1280, "height": HEIGHT})


def test_what_is_cut_off_is_seen(page):
    page.set_content(
        "<article style='width: 9em; overflow: hidden'><pre>a line that is far too long</pre>"
        "</article><article style='width: 9em; overflow: auto'><pre>as long as the other one</pre>"
    )
    page.add_style_tag(content="pre { width: max-content }")
    assert [one.split()[-2:] for one in page.evaluate(CUT)] == [["too", "long"]]


@pytest.mark.parametrize("name", [CHAPTER, "chapters/experiments/tables.html"])
def test_lines_of_code_fit_a_laptop(reader, name):
    wrapped = reader(name).evaluate(WRAPPED)
    assert len(wrapped) > 50
    assert sum(wrapped) == 0


def test_the_first_key_leads_past_the_menu(visit):
    page = visit(CHAPTER)
    page.keyboard.press("Tab")
    link = page.locator(".skip-link a")
    assert link.evaluate("link => link === document.activeElement")
    page.wait_for_timeout(400)  # it slides in
    assert link.bounding_box()["y"] >= 0
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")


@pytest.mark.parametrize("dark", [False, True])
def test_the_focus_shows(visit, dark):
    page = visit(CHAPTER, dark=dark)
    for _ in range(12):
        page.keyboard.press("Tab")
        width, style, box = page.evaluate(
            """() => { const e = document.activeElement, s = getComputedStyle(e);
                       return [parseFloat(s.outlineWidth), s.outlineStyle, s.boxShadow]; }"""
        )
        assert (width >= 2 and style != "none") or box != "none"


def folds(page):
    return page.eval_on_selector_all("article details", "all => all.map(fold => fold.open)")


def test_all_folds_open_and_close_and_stay_so(visit):
    page = visit(CHAPTER)
    before = folds(page)
    assert len(before) > 5 and not all(before)
    page.locator(".folds-open").click()
    assert all(folds(page))
    page.goto(page.url.replace("certified-set", "piecewise"))
    assert len(folds(page)) > 5 and all(folds(page))
    page.locator(".folds-close").press("Enter")
    assert not any(folds(page))
    page.reload()
    assert not any(folds(page))


def test_folds_open_where_nothing_may_be_stored(browser, site):
    page = open_as(browser, "about:blank")
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', {get() { throw new Error('refused'); }})"
    )
    page.goto(f"{site}/{CHAPTER}")
    page.locator(".folds-open").click()
    assert all(folds(page))
    page.context.close()


def test_a_page_without_folds_has_no_buttons(visit):
    page = visit("chapters/back/bibliography.html")
    assert folds(page) == []
    assert page.locator(".folds").count() == 0


def test_a_figure_opens_alone(visit):
    page = visit(CHAPTER)
    link = page.locator("figure > a.whole-figure").first
    address = link.evaluate("link => link.href")
    assert link.locator("img").get_attribute("alt")
    assert page.request.get(address).ok


@pytest.mark.parametrize("width", [360])
def test_a_row_of_a_wide_table_is_a_card_on_a_phone(visit, width):
    page = visit("chapters/discussion/reviews.html", width=width)
    row = page.locator("table.cards tbody tr").first
    cells = row.locator("td").all()
    assert len(cells) > 4
    for cell in cells:
        box = cell.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width
        label = cell.evaluate("cell => getComputedStyle(cell, '::before').content")
        assert label == f'"{cell.get_attribute("data-label")}"'


@built.each_chapter
def test_nothing_is_lost_on_paper(reader, name):
    page = reader(name)
    page.set_viewport_size({"width": A4, "height": HEIGHT})
    page.emulate_media(media="print")
    try:
        assert page.evaluate(BEYOND_PAPER) == []
    finally:
        page.emulate_media(media="screen")
        page.set_viewport_size({"width": 1280, "height": HEIGHT})
