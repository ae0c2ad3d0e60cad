"""The search finds statements by their numbers, terms by their names, and shows what they say."""

import re

import pytest

# What is asked for, and where one of the first results has to lead: how far down, and whither.
ASKED = {
    "Lemma 5": (1, "isolated-minima.html#paper-lemma-5"),
    "lemma 4": (1, "global-minimisers.html#paper-lemma-4"),
    "Definition 2": (1, "certified-set.html#paper-definition-2"),
    "Theorem 3": (1, "#paper-theorem-3"),
    "(6)": (1, "#equation-eq-6"),
    "Proposition 4.1": (1, "second-derivative.html#sharper-bounds"),
    "nullity": (3, r"strong-minima.html"),
    "edge of stability": (3, r"(learning-rates|step-size).html"),
    "U(λ, θ)": (3, "certified-set.html#paper-definition-2"),
    "batch norm": (3, r"experiments/(cifar|batch-norm).html"),
    "CurvatureProbe": (1, "api.html#pscore.CurvatureProbe"),
    "certified set": (3, "glossary.html#term-certified-set"),
}


def results(page):
    """Return where the results lead once all are shown, and what is said of each."""
    page.locator(".search-summary:not(:empty)").wait_for()
    return page.eval_on_selector_all(
        "ul.search > li",
        "all => all.map(one => [one.querySelector('a').href, one.textContent])",
    )


@pytest.mark.parametrize("words", ASKED)
def test_the_first_results_lead_there(visit, words):
    far, where = ASKED[words]
    page = visit(f"search.html?q={words}")
    found = [address for address, _ in results(page)]
    where = where if "(" in where else re.escape(where)
    assert any(re.search(f"{where}(#.*)?$", one) for one in found[:far]), found[:6]
    # Each place once.
    assert len(found) == len(set(found))
    assert not page.watch.faults()


def test_a_statement_is_found_with_its_name_its_page_and_what_it_says(visit):
    page = visit("search.html?q=Lemma 3")
    first = page.locator("ul.search > li").first
    first.locator("p.context").wait_for()
    assert first.locator("a").inner_text().startswith("Lemma 3 (The second derivative of the")
    assert first.locator("small").inner_text() == "4. The second-derivative bound"
    assert first.locator("p.context").inner_text().startswith("Let ∥a_i∥≤r for all")


def test_extracts_show_each_formula_once_and_not_its_source(visit):
    page = visit("search.html?q=second derivative")
    results(page)
    page.locator("ul.search > li p.context").nth(8).wait_for()
    said = " ".join(page.locator("p.context").all_inner_texts())
    assert not re.search(r"\\[a-zA-Z]|\$", said), said


def test_a_lemma_that_is_not_there_is_not_found(visit):
    assert not any(
        "#paper-lemma" in address for address, _ in results(visit("search.html?q=Lemma 77"))
    )
