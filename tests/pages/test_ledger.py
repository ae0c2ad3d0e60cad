"""The ledger as a map: its rows lead somewhere, are filtered, and its graphs are followed."""

from functools import cache

import built
import pytest
from bs4 import BeautifulSoup

from evidence.ledger import claims, ledger

LEDGER = "chapters/back/claims.html"
STATED = {one.label: one for one in claims()}


@pytest.fixture(autouse=True)
def _pages():
    built.need_pages()


@cache
def soup(name):
    return BeautifulSoup((built.HTML / name).read_text(encoding="utf-8"), "html.parser")


@cache
def anchors(name):
    return {one["id"] for one in soup(name).find_all(id=True)}


def leads_somewhere(link):
    """Whether a link of the ledger's page has a target among the built pages."""
    file, _, anchor = link["href"].partition("#")
    path = (built.HTML / LEDGER).parent / file if file else built.HTML / LEDGER
    name = path.resolve().relative_to(built.HTML.resolve()).as_posix()
    return path.is_file() and anchor in anchors(name)


def test_each_claim_has_a_row_whose_links_lead_to_statement_check_and_test():
    for label, one in STATED.items():
        row = soup(LEDGER).find("tr", id=f"ledger-{label}")
        statement = row.th.a
        assert leads_somewhere(statement) and statement["href"].startswith("../"), label
        shown_by = row.find_all("td")[-1].find_all("a")
        words = ["check", "test"] if one.check else ["no check"]
        assert [link.get_text() for link in shown_by] == words, label
        assert all(map(leads_somewhere, shown_by)), label
        if one.check:
            assert f"{one.check.function.__name__}]" in row.pre.get_text(), label


def test_there_are_no_other_rows():
    rows = soup(LEDGER).select("table.ledger tbody tr")
    assert {row["id"] for row in rows} == {f"ledger-{label}" for label in STATED}
    assert len(rows) == len(STATED)


def test_each_checked_statement_leads_back_to_its_row():
    for page, those in ledger().items():
        links = {link["href"] for link in soup(f"chapters/{page}.html").select("details a[href]")}
        for one in those:
            if one.check:
                assert f"../back/claims.html#ledger-{one.label}" in links or (
                    f"back/claims.html#ledger-{one.label}" in links
                ), one.label


def test_the_graph_has_a_node_for_each_claim_and_all_nodes_lead_somewhere():
    paper, everything = soup(LEDGER).select("svg.claims-graph")
    assert {a["data-label"] for a in everything.select("a.claim")} == set(STATED)
    of_the_paper = {x for x in STATED if x.startswith(("paper-", "eq-"))}
    assert of_the_paper <= {a["data-label"] for a in paper.select("a.claim")}
    for graph in (paper, everything):
        for node in graph.select("a.claim"):
            assert leads_somewhere(node)
            assert STATED[node["data-label"]].verdict in node["class"]
        lines = {(e["data-from"], e["data-to"]) for e in graph.select(".edge")}
        drawn = {a["data-label"] for a in graph.select("a.claim")}
        uses = {(used, x) for x in drawn for used in STATED[x].uses if used in drawn}
        assert lines == uses


# ---- in a browser


def shown(page):
    return page.locator("table.ledger tbody tr:visible").count()


def test_rows_are_filtered_by_words_verdict_and_chapter_from_the_keyboard(visit):
    page = visit(LEDGER)
    fields = page.locator(".ledger-fields")
    said = fields.locator("output")
    assert shown(page) == len(STATED)
    page.get_by_label("Words").focus()
    page.keyboard.type("lemma 3")
    assert page.locator("#ledger-paper-lemma-3").is_visible()
    assert 1 <= shown(page) < 40
    assert said.inner_text() == f"{shown(page)} of {len(STATED)} claims"
    page.get_by_label("Words").fill("")
    page.get_by_label("Words").press("Tab")
    page.keyboard.type("corr")
    corrected = [x for x, one in STATED.items() if one.verdict == "corrected"]
    assert shown(page) == len(corrected)
    page.locator("select[name=chapter]").select_option("ledger-of-piecewise")
    assert page.locator("table.ledger tbody tr:visible").get_attribute("id") == (
        "ledger-paper-theorem-1"
    )
    assert page.locator("section.ledger:visible").count() == 1
    fields.get_by_role("button").press("Enter")
    page.wait_for_function("!document.querySelector('table.ledger [hidden]')")
    assert shown(page) == len(STATED)


def test_a_link_to_a_row_that_is_filtered_out_brings_it_back(visit):
    page = visit(LEDGER)
    page.get_by_label("Verdict").select_option("corrected")
    assert not page.locator("#ledger-eq-1").is_visible()
    page.evaluate("location.hash = '#ledger-eq-1'")
    page.locator("#ledger-eq-1").wait_for(state="visible")


def test_the_test_s_link_opens_its_fold(visit):
    page = visit(LEDGER)
    command = page.locator("#ledger-paper-lemma-3 pre")
    assert not command.is_visible()
    page.locator("#ledger-paper-lemma-3").get_by_role("link", name="test", exact=True).click()
    command.wait_for(state="visible")


@pytest.mark.parametrize("way", ["pointer", "keyboard"])
def test_a_claim_of_the_graph_shows_what_it_rests_on(visit, way):
    page = visit(LEDGER)
    graph = page.locator("svg.claims-graph").first
    claim = graph.locator("[data-label=paper-theorem-3]")
    claim.hover() if way == "pointer" else claim.focus()
    said = page.locator(".claims-graph-said").first.inner_text()
    assert said.startswith("Theorem 3, certified: Piecewise strong convexity. Uses Def. 2, ")
    on = graph.locator(".claim.on").evaluate_all("all => all.map(x => x.dataset.label)")
    assert {"paper-definition-2", "paper-lemma-3", "paper-theorem-1"} <= set(on)
    assert "eq-19" not in on
    page.mouse.move(5, 5)
    claim.evaluate("x => x.blur()")
    assert graph.evaluate("x => !x.classList.contains('followed')")


def test_the_header_of_a_chapter_stays_while_its_rows_pass(visit):
    page = visit(LEDGER)
    page.add_style_tag(content="html { scroll-behavior: auto !important }")
    place = "document.querySelector('#ledger-of-nothing-but-the-origin {}').getBoundingClientRect()"
    page.evaluate(f"scrollTo(0, scrollY + {place.format('tbody')}.top + 60)")
    assert page.evaluate(f"{place.format('tbody')}.top") < 0
    for part in ("h3", "thead th:last-child"):
        assert 40 <= page.evaluate(f"{place.format(part)}.top") <= 60, part


def test_the_table_is_short_and_nothing_is_cut(visit):
    page = visit(LEDGER)
    # 205 claims on 12 screens; as a table of slugs, 181 took 51.
    assert page.evaluate("document.documentElement.scrollHeight") <= 47 * len(STATED)
    for width in (1280, 360):
        page = visit(LEDGER, width=width)
        wide = "all => all.filter(x => x.scrollWidth > x.clientWidth + 1).map(x => x.textContent)"
        assert page.locator("table.ledger :is(td, th):visible").evaluate_all(wide) == []
        assert page.evaluate("document.documentElement.scrollWidth") == width
