"""The ledger's rules, on ledgers that break them; the book's own ledger; and every check, run.

What concerns one chapter has an id that begins with its name, as ``strong_minima-check_kink``.
"""

import json
import re
from functools import cache
from pathlib import Path

import pytest

from evidence.claims import Check, Claim, Evidence
from evidence.ledger import (
    SEEN,
    claims,
    ledger,
    module_of,
    name_in_tests,
    order,
    page_of,
    problems,
    seen,
    seen_on,
)

ROOT = Path(__file__).parents[2]
CHAPTERS = ROOT / "chapters"
SEED = 1  # no page uses it

CHECKED = [one for one in claims() if one.check is not None]
CHECKS = list(dict.fromkeys(one.check for one in CHECKED))

each_check = pytest.mark.parametrize(
    "check",
    [pytest.param(check, id=name_in_tests(check)) for check in CHECKS],
)
each_page = pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=f"{module_of(page).rpartition('.')[2]}-page")
        for page, those in ledger().items()
        if those
    ],
)


@each_check
def test_a_check_is_sound_on_other_instances(check):
    """It raises `Unsound` for a violation, too few instances, or a variant that is not rejected."""
    assert check(SEED).met


# ---- the rows and their pages


@cache
def cells_of(page: str) -> list[dict]:
    """The cells of a page; a page of text is one."""
    path = CHAPTERS / f"{page}.ipynb"
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [{"cell_type": "markdown", "source": path.with_suffix(".md").read_text("utf-8")}]


def text_of(page: str, kind: str = "markdown") -> str:
    """The prose of a page, or its code."""
    cells = [cell for cell in cells_of(page) if cell["cell_type"] == kind]
    return "\n\n".join("".join(cell["source"]) for cell in cells) + "\n"


def folded(text: str) -> set[str]:
    """The labels for which a page has a fold with their check."""
    folds = re.findall(r"^[`:]{3,}\{check\} +(.+)$", text, re.MULTILINE)
    return {label for fold in folds for label in fold.split()}


def test_folds_are_found_by_their_labels():
    text = "```{check} a b-1\n```\n\nSee `{check} c`.\n\n::::{check}  d\n::::\n"
    assert folded(text) == {"a", "b-1", "d"}


@each_page
def test_a_page_shows_the_code_of_its_checks(page):
    expected = {one.label for one in ledger()[page] if one.check is not None}
    assert folded(text_of(page)) == expected


@each_page
def test_a_page_shows_what_its_checks_saw(page):
    expected = {one.label for one in ledger()[page] if one.check is not None}
    shown = seen_on(page)
    assert set(shown) == expected
    assert all(row["violations"] == "0" for row in shown.values())


@each_page
def test_a_page_has_the_statements_of_its_claims(page):
    figures = [cell["metadata"].get("mystnb", {}) for cell in cells_of(page) if "metadata" in cell]
    names = {figure.get("figure", {}).get("name") for figure in figures}
    text = text_of(page)
    for one in ledger()[page]:
        named = f":label: {one.label}\n" in text or f"({one.label})" in text
        assert named or one.label in names, one.label


@each_page
def test_a_page_takes_other_seeds_than_the_tests(page):
    assert not re.search(rf"\bcheck_\w+\((seed=)?{SEED}\b", text_of(page, "code"))


def test_the_book_s_ledger_is_sound():
    assert problems(claims(), seen()) == []


def test_every_statement_of_the_chapters_is_in_the_ledger():
    """Theorems, lemmas, definitions and propositions; remarks and corollaries go with their own."""
    kinds = "theorem|lemma|definition|proposition"
    statement = re.compile(rf"{{prf:(?:{kinds})}}[^`]*?:label: ([\w-]+)")
    pages = [path.relative_to(CHAPTERS).with_suffix("") for path in CHAPTERS.rglob("*.[im]*")]
    found = {label for page in pages for label in statement.findall(text_of(page.as_posix()))}
    assert found >= {"paper-theorem-3", "sharper-bounds"}
    assert found - {one.label for one in claims()} == set()


def test_every_evidence_file_is_a_chapter_s_or_ground_that_the_book_shows():
    chapters = {module_of(page).rpartition(".")[2] for page, those in ledger().items() if those}
    files = [path for path in (ROOT / "evidence").rglob("*.py") if path.name != "__init__.py"]
    ground = {
        path.relative_to(ROOT).as_posix()
        for path in files
        if path.parent.name == "solvers" or path.stem not in chapters | {"ledger"}
    }
    shown = re.findall(r"^```\{ground\} (\S+)", text_of("back/ground"), re.MULTILINE)
    assert sorted(shown) == sorted(ground)


# ---- the rules, on ledgers that break them


def stated(label: str, *uses: str, check: Check | None = None) -> Claim:
    return Claim(label, label.upper(), "observed", "by hand", uses=uses, check=check)


SOUND = Check(lambda seed: Evidence(met=1, tried=1))
ROW = {"applied": "all 7", "violations": "0", "margin": "", "refused": ""}


@pytest.mark.parametrize(
    ("claims", "shown", "message"),
    [
        ([stated("a", "z")], {}, "a uses the unknown claim z"),
        ([stated("a", "b"), stated("b", "a")], {}, "a circle of uses: "),
        ([stated("a", check=SOUND)], {}, "the page of a does not show what its check saw"),
        ([stated("a")], {"b": ROW}, "b is shown, and no claim"),
        (
            [stated("a", check=SOUND)],
            {"a": ROW | {"violations": "3"}},
            "the page of a shows a violation",
        ),
    ],
)
def test_a_broken_rule_is_reported(claims, shown, message):
    found = problems(claims, shown)
    assert len(found) == 1 and found[0].startswith(message), found


def test_a_sound_ledger_has_no_problems():
    assert problems([stated("a", check=SOUND), stated("b", "a")], {"a": ROW}) == []
    assert order([stated("b", "a"), stated("a")]) == ["a", "b"]


def test_an_unknown_label_has_no_page():
    assert page_of("paper-lemma-3") == "theory/second-derivative"
    with pytest.raises(KeyError, match="no claim 'paper-lemma-99'"):
        page_of("paper-lemma-99")


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        (
            Evidence(tried=7, met=7, labels=("a", "b-2")),
            {"labels": "a, b-2", "applied": "all 7", "violations": "0"},
        ),
        (
            Evidence(tried=900, met=345, violations=2, margin=0.5, labels=("a",)),
            {"labels": "a", "applied": "over 300 of 900", "violations": "2", "margin": "0.500"},
        ),
        (
            Evidence(varies=True, tried=900, met=345, labels=("a",), _variants=[3]),
            {
                "labels": "a",
                "applied": "at least 200",
                "violations": "0",
                "refused": "at least 2",
            },
        ),
    ],
)
def test_what_evidence_prints_is_read_back(evidence, expected):
    printed = f"before\n{evidence}\nafter\n"
    (found,) = SEEN.finditer(printed)
    assert {name: text for name, text in found.groupdict().items() if text} == expected


def test_no_other_line_is_read_as_evidence():
    for line in (
        "all 7 instances met the hypotheses, 0 violations",
        "a: all 7 instances met the hypotheses, 0 violations",
        "in words: a:\n    all 7 instances met the hypotheses, 0 violations",
        "a:\n    all 7 instances met the hypotheses, 0 violations of another kind",
    ):
        assert not SEEN.search(line), line


def test_chapters_print_evidence_in_that_way_alone():
    """No chapter reads the counts off an Evidence to make a line of its own."""
    own = re.compile(r"\b(seen|evidence)\.(met|tried|violations|rejected|margin)\b")
    for page in ledger():
        assert not own.search(text_of(page, "code")), page
