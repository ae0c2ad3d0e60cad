"""The book as one page: links stay within, ids differ, folds are open, checks' code is left out."""

import print_book
import printed
import pytest
from bs4 import BeautifulSoup

TOC = """
root: chapters/index
parts:
  - caption: First part
    chapters: [{file: chapters/one}, {file: chapters/theory/two}]
"""
FORMULA = '<span class="katex"><span class="katex-html">x<span>y</span></span></span>'
ONE = f"""<article><section id="one"><h1>1. One<a class="headerlink" href="#one">#</a></h1>
<h2 id="open">Open</h2><span class="math">{FORMULA}</span>{FORMULA}
<a href="theory/two.html#open">two</a> <a href="#open">here</a> <a href="theory/two.html">it</a>
<a href="#hidden">gone</a> <a href="https://a.b/c">far</a> <a href="../genindex.html">no</a>
<img src="../_images/a.png" alt="">
<details class="evidence-fold"><summary>Check</summary><div class="sd-summary-content"><p>Yes.</p>
<div class="evidence-code"><i id="hidden">def check()</i></div></div></details>
<div class="evidence-source"><div class="evidence-code">def kink()</div></div>
<details class="sd-dropdown"><summary>Proof</summary><p>Thus.</p></details>
<figure class="explorer"><div class="explorer-controls"><input></div><figcaption>Sets.</figcaption>
</figure></section></article>"""


@pytest.fixture
def site(tmp_path):
    (tmp_path / "_toc.yml").write_text(TOC)
    (tmp_path / "chapters" / "theory").mkdir(parents=True)
    (tmp_path / "chapters" / "index.html").write_text("<article><h1>The book</h1></article>")
    (tmp_path / "chapters" / "one.html").write_text(ONE)
    two = '<article><h1>2. Two</h1><h2 id="open">Open</h2></article>'
    (tmp_path / "chapters" / "theory" / "two.html").write_text(two)
    return tmp_path


def printed_page(site, code=False):
    book = printed.bound(printed.Book(site, site / "_toc.yml", code))
    return BeautifulSoup(book.page("", "", {"one": 7}), "html.parser")


def test_links_lead_to_the_same_place_of_the_one_page(site):
    page = printed_page(site)
    ids = [one["id"] for one in page.select("[id]")]
    assert len(ids) == len(set(ids))
    links = {one.get_text(): one.get("href") for one in page.select("main a")}
    assert links == {
        "two": "#theory-two--open",
        "here": "#one--open",
        "it": "#theory-two",
        "gone": None,
        "far": "https://a.b/c",
        "no": None,
    }
    assert all(link[1:] in ids for link in links.values() if link and link.startswith("#"))


def test_parts_chapters_and_sections_are_headings_in_order(site):
    headings = [(one.name, one.get_text()) for one in printed_page(site).find_all(printed.HEADINGS)]
    assert headings == [
        ("h1", "The book"),
        ("h1", "First part"),
        ("h2", "1. One"),
        ("h3", "Open"),
        ("h2", "2. Two"),
        ("h3", "Open"),
    ]
    lines = [one.get_text("|") for one in printed_page(site).select("nav a")]
    assert lines == ["The book|000", "First part|000", "1. One|7", "2. Two|000"]


def test_folds_are_open_and_only_the_code_of_checks_is_left_out(site):
    page = printed_page(site)
    assert not page.select("details, summary, input")
    text = page.main.get_text()
    assert all(word in text for word in ("Check", "Yes.", "Proof", "Thus.", "Sets.", "def kink"))
    assert "def check" not in text and "def check" in printed_page(site, code=True).main.get_text()


def test_formulas_are_as_they_were(site):
    assert str(printed_page(site).main).count(FORMULA) == 2
    text, formulas = printed.stashed(f"a{FORMULA}b{FORMULA}c")
    assert formulas == [FORMULA] * 2 and "katex" not in text
    assert printed.restored(text, formulas) == f"a{FORMULA}b{FORMULA}c"


def test_pictures_are_found_from_anywhere(site):
    source = printed_page(site).main.img["src"]
    assert source == (site / "_images" / "a.png").as_uri()


def test_without_a_browser_it_says_what_to_install(monkeypatch):
    class Nothing:
        executable_path = "/nowhere/chromium"

        def launch(self, **_):
            raise print_book.Error("Executable doesn't exist")

    monkeypatch.setattr(print_book.shutil, "which", lambda _: None)
    with pytest.raises(SystemExit, match=r"apt install chromium[\s\S]*make pdf again"):
        print_book.launch(type("Playwright", (), {"chromium": Nothing()}))
