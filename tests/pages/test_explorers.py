"""Every explorer of the book, moved by mouse, by key and by its landmarks."""

import re
from functools import partial

import built

WITH = [
    name
    for name in built.CHAPTERS
    if (built.HTML / name).is_file()
    and '<figure class="explorer"' in (built.HTML / name).read_text(encoding="utf-8")
]
each = built.each(WITH)
NO_WIDGETS = re.compile(r"embed\.js|jupyter\.widget-(?:state|view)|noUi-")
# What a reader sees of an explorer: its picture, the words below it, its alternative text.
SEEN = """figure => [
  figure.querySelector('.explorer-frame').currentSrc,
  figure.querySelector('figcaption').textContent,
  figure.querySelector('.explorer-frame').alt,
]"""
IN_SHAPE = """figure => {
  const image = figure.querySelector('.explorer-frame'), box = image.getBoundingClientRect();
  return image.complete && image.naturalWidth === Number(image.getAttribute('width'))
    && Math.abs(box.width / box.height - image.naturalWidth / image.naturalHeight) < 0.01
    && box.right <= innerWidth && box.left >= 0;
}"""


def explorers(page):
    found = page.locator("figure.explorer").all()
    for one in found:
        one.scroll_into_view_if_needed()
        page.wait_for_function(f"figure => ({IN_SHAPE})(figure)", arg=one.element_handle())
    return found


def moved(page, figure, act, *, words=True):
    """What is seen after a move, which has to differ from what was seen before."""
    before = figure.evaluate(SEEN)
    act()
    page.wait_for_function(
        f"([figure, before]) => ({SEEN})(figure)[0] !== before[0] && ({IN_SHAPE})(figure)",
        arg=[figure.element_handle(), before],
    )
    after = figure.evaluate(SEEN)
    assert after[2] in after[1]
    if words:
        assert after[1] != before[1], "the words stay while the picture changes"
    return after


def test_the_book_has_explorers_and_no_widgets():
    built.need_pages()
    assert {"chapters/in-one-sitting.html", "chapters/theory/certified-set.html"} <= set(WITH)
    for name in built.CHAPTERS:
        page = (built.HTML / name).read_text(encoding="utf-8")
        assert not NO_WIDGETS.search(page), name


def by_key(page, figure):
    slider = figure.locator("input").first
    value, last = figure.locator("output").first, int(slider.get_attribute("max"))
    assert last >= 39
    slider.focus()
    ring = slider.evaluate("one => getComputedStyle(one).outlineWidth")
    assert float(ring.removesuffix("px")) >= 2
    seen = []
    for key, index in (("Home", 0), ("ArrowRight", 1), ("End", last), ("ArrowLeft", last - 1)):
        slider.press(key)
        assert slider.input_value() == str(index)
        page.wait_for_function(f"figure => ({IN_SHAPE})(figure)", arg=figure.element_handle())
        seen.append((*figure.evaluate(SEEN), value.inner_text()))
        name_of = slider.get_attribute("aria-label")
        assert slider.get_attribute("aria-valuetext") == f"{name_of} = {value.inner_text()}"
    pictures, words, _, values = zip(*seen, strict=True)
    assert len(set(values)) == 4
    assert len(set(pictures)) > 2 and len(set(words)) > 2
    slider.press("PageDown")
    assert int(slider.input_value()) < last - 2


def click(slider, part):
    """Click a slider's track at a part of its length, once the page has come to rest."""
    box = slider.bounding_box()
    assert box["height"] >= 24
    slider.click(position={"x": part * box["width"], "y": box["height"] / 2})


def by_mouse(page, figure):
    slider = figure.locator("input").first
    slider.press("Home")
    moved(page, figure, partial(click, slider, 0.7))
    for second in figure.locator("label + label input").all():
        click(second, 0.02)
        moved(page, figure, partial(click, second, 0.98), words=False)
    for second in figure.locator("select").all():
        second.select_option(index=0)
        moved(page, figure, partial(second.select_option, index=1), words=False)


def by_landmark(page, figure):
    slider, buttons = figure.locator("input").first, figure.locator("button")
    assert buttons.count()
    for button in buttons.all():
        slider.press("Home")
        for _ in range(9):  # landmarks may be neighbours
            slider.press("ArrowRight")
            if button.get_attribute("aria-pressed") == "false":
                break
        after = moved(page, figure, button.click)
        assert after[1].startswith(f"{button.inner_text()}. ")
        assert button.get_attribute("aria-pressed") == "true"
        assert figure.locator("[aria-pressed=true]").count() == 1


@each
def test_it_moves_by_key_by_mouse_and_to_landmarks_and_alone(visit, name):
    page = visit(name)
    figures = explorers(page)
    for figure in figures:
        others = [one for one in figures if one is not figure]
        before = [one.evaluate(SEEN) for one in others]
        by_key(page, figure)
        by_mouse(page, figure)
        by_landmark(page, figure)
        assert [one.evaluate(SEEN) for one in others] == before
    assert not page.watch.faults()


@each
def test_on_a_phone_in_the_dark_a_finger_moves_it_and_nothing_below(visit, name):
    page = visit(name, width=360, dark=True, has_touch=True)
    for figure in explorers(page):
        slider, heights = figure.locator("input").first, set()
        slider.press("Home")
        moved(page, figure, slider.tap)
        for key in ("Home", *["PageUp"] * 10):
            slider.press(key)
            page.wait_for_function(f"figure => ({IN_SHAPE})(figure)", arg=figure.element_handle())
            heights.add(round(figure.bounding_box()["height"]))
        assert len(heights) == 1
        ground = figure.evaluate("one => getComputedStyle(one).backgroundColor")
        assert ground == "rgb(255, 255, 255)"


@built.each(WITH[:2])
def test_without_scripts_the_landmarks_stand_below(visit, name):
    page = visit(name, java_script_enabled=False)
    figure = page.locator("figure.explorer").first
    figure.scroll_into_view_if_needed()
    assert figure.locator(".explorer-frame").is_visible()
    assert figure.locator(":scope > figcaption").inner_text().strip()
    assert not figure.locator(".explorer-controls").is_visible()
    assert figure.locator(".explorer-stills img").first.is_visible()


@built.each(WITH[:2])
def test_only_what_is_asked_for_is_loaded(visit, name):
    page = visit(name)
    figure = page.locator("figure.explorer").first
    frames = figure.evaluate("one => JSON.parse(one.querySelector('script').textContent).length")
    sources = figure.evaluate(
        "one => JSON.parse(one.querySelector('script').textContent)"
        ".map(frame => new URL(frame[0], location).href)"
    )
    figure.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    first = len(set(page.watch.requested) & set(sources))
    assert first <= 1 + figure.locator("button").count()
    figure.locator("input").first.press("ArrowRight")
    page.wait_for_timeout(500)
    assert first < len(set(page.watch.requested) & set(sources)) < frames / 2


@built.each(WITH[:2])
def test_paper_shows_the_landmarks_with_their_pictures(visit, name):
    page = visit(name)
    stills = page.locator(".explorer-stills img")
    assert stills.count() > 1
    page.wait_for_function(
        "() => [...document.querySelectorAll('.explorer img')]"
        ".every(image => image.complete && image.naturalWidth)"
    )
    page.emulate_media(media="print")
    assert stills.first.is_visible()
    assert not page.locator(".explorer-controls").first.is_visible()
