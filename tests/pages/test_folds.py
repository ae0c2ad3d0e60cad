"""Proofs, checks and code are folded; a click, a key, a link into them or a printer opens them."""

import io
import re
import unicodedata

import pypdf
import pytest

PAGES = ["chapters/theory/certified-set.html", "chapters/discussion/residual-layers.html"]

# What folds hold that the reader of a printed page must find: the first line of each piece of code,
# and what stands in prose between formulas.
FOLDED = """() => {
  const words = [];
  for (const fold of document.querySelectorAll("main article details")) {
    for (const code of fold.querySelectorAll("pre")) {
      words.push(code.textContent.trim().split("\\n")[0]);
    }
    const texts = document.createTreeWalker(fold, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const text = texts.currentNode;
      if (!text.parentElement.closest("summary, pre, .math, .katex, svg, button, script")) {
        words.push(text.nodeValue);
      }
    }
  }
  return words;
}"""
# Links lead into folds: those that do not open all that lies around their target.
CLOSED = """async () => {
  const targets = [...document.querySelectorAll("main details [id]")].filter((e) => e.id);
  const closed = [];
  for (const target of targets) {
    document.querySelectorAll("details").forEach((fold) => (fold.open = false));
    location.hash = "";
    location.hash = encodeURIComponent(target.id);
    await new Promise((done) => setTimeout(done, 5));
    if (!target.checkVisibility() && target.getClientRects().length === 0) {
      for (let fold = target.closest("details"); fold; fold = fold.parentElement.closest("details"))
        if (!fold.open) closed.push(target.id);
    }
  }
  return [targets.length, closed];
}"""


def plain(text):
    """The letters of a text, without what printing does to spaces, hyphens and ligatures."""
    return re.sub(r"[\s\u00ad\u2010-]", "", unicodedata.normalize("NFKC", text))


@pytest.fixture(scope="module", params=PAGES)
def name(request):
    return request.param


def test_a_click_on_its_title_opens_and_closes_a_fold(visit, name):
    page = visit(name)
    folds = page.locator("main article details")
    assert folds.count() > 5
    for fold in folds.all()[:8]:
        if not fold.is_visible():  # it lies within another
            continue
        title, before = fold.locator("> summary"), fold.evaluate("fold => fold.open")
        assert title.locator("a, button").count() == 0, "a part of the title does something else"
        where = page.url
        for state in (not before, before):
            title.click()
            assert fold.evaluate("fold => fold.open") == state
        assert page.url == where, "the title leads away instead of opening"


def test_a_fold_opens_by_key(visit, name):
    page = visit(name)
    fold = page.query_selector("main article details:not([open])")
    fold.query_selector("summary").focus()
    page.keyboard.press("Enter")
    assert fold.evaluate("fold => fold.open")


def test_a_link_into_a_fold_opens_it(visit, name):
    page = visit(name)
    targets, closed = page.evaluate(CLOSED)
    assert targets > 5
    assert closed == []


def test_a_link_from_elsewhere_opens_the_fold_and_shows_its_target(visit, name):
    page = visit(name)
    anchor = page.evaluate("document.querySelector('main details[id]').id")
    page = visit(f"{name}#{anchor}")
    page.wait_for_timeout(300)
    fold = page.locator(f'[id="{anchor}"]')
    assert fold.evaluate("fold => fold.open")
    assert -20 < fold.bounding_box()["y"] < page.viewport_size["height"]


def test_all_that_is_folded_is_printed(visit, name):
    page = visit(name)
    closed = page.locator("main article details:not([open])").count()
    said = {plain(text)[:24] for text in page.evaluate(FOLDED)}
    said = {text for text in said if len(text) >= 12}
    assert len(said) > 20
    reader = pypdf.PdfReader(io.BytesIO(page.pdf(format="A4")))
    printed = plain("".join(page.extract_text() for page in reader.pages))
    assert {text for text in said if text not in printed} == set()
    # Afterwards the page is as it was.
    assert page.locator("main article details:not([open])").count() == closed > 5


def test_what_is_not_printed_is_missed(page):
    """The same question, asked of a page whose folds nobody opens for the printer."""
    page.set_content(
        "<details><summary>A proof</summary><p>By induction.</p></details><p>Rest.</p>"
    )
    reader = pypdf.PdfReader(io.BytesIO(page.pdf(format="A4")))
    printed = plain("".join(page.extract_text() for page in reader.pages))
    assert "Rest" in printed and "Byinduction" not in printed
