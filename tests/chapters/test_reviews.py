"""Every point of the review, the response and the paper's promises is answered.

The chapter's own tables are read: a row is a link to the place where the point is taken up, what
it says, and references to what answers it. What has no reference to a numbered statement, an
equation, a figure or a section that exists counts as unanswered, and so does a point that the
chapter has dropped.
"""

import re
from pathlib import Path

import nbformat
import pytest

from evidence.ledger import claims

CHAPTERS = Path(__file__).resolve().parents[2] / "chapters"
CHAPTER = CHAPTERS / "discussion" / "reviews.ipynb"

POINTS = {
    "review": "originality descent indices restrictive norm point-1 point-2 point-3 point-4 "
    "point-5 point-6 point-7-1 point-7-2 point-8 point-9 point-10 point-11 summary lemma-4 "
    "findings",
    "response": "square stronger architecture minimisers gram point-1 point-2 point-3 point-4 "
    "point-5 point-6 point-7a point-7b point-9 point-11 zero-target assumptions batch-norm "
    "convexifies kept",
    "promise": "vector origin union design questions open-problem kawaguchi hardt-ma saddles "
    "convergence saxe soudry-carmon zhang rotation test training-run entry similar residual "
    "where maxima slips claims pieces local ten",
}
OWED = [f"{source}-{point}" for source, points in POINTS.items() for point in points.split()]

VERDICTS = {"certified", "observed", "inconclusive", "refuted", "corrected", ""}
ROW = re.compile(r"^\| \[[^\]]+\]\(([\w-]+)\) \| [^|]+ \| ?([a-z]*) \|([^|]*)\|$", re.MULTILINE)
REFERENCE = re.compile(r"\{(?:prf:ref|eq|numref|ref)\}`([\w-]+)`")
LABELS = (r":label: ([\w-]+)", r"^\(([\w-]+)\)=$", r"\$\$ \(([\w-]+)\)$")


def markdown(path):
    if path.suffix == ".md":
        return path.read_text()
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def labels():
    """Every label of the book: statements, equations, anchors and figures; and the ledger's."""
    found = {claim.label for claim in claims()}
    for path in [*CHAPTERS.rglob("*.md"), *CHAPTERS.rglob("*.ipynb")]:
        text = markdown(path)
        found |= {x for pattern in LABELS for x in re.findall(pattern, text, re.MULTILINE)}
        found |= set(re.findall(r'"name": "(fig-[\w-]+)"', path.read_text()))
    return found


def unanswered(text, owed, known):
    """Say which points the chapter's text leaves open, and why; an empty list is what is wanted.

    Args:
        text: the chapter's markdown.
        owed: the points' anchors.
        known: the labels that exist.
    """
    rows = {anchor: REFERENCE.findall(answers) for anchor, _, answers in ROW.findall(text)}
    found = [f"{anchor} is not in the tables" for anchor in owed if anchor not in rows]
    for anchor, answers in rows.items():
        if not answers:
            found.append(f"{anchor} has no answer")
        found += [f"{anchor}: there is no {label}" for label in answers if label not in known]
        place = re.search(rf"^\({anchor}\)=$\n(?:\([\w-]+\)=\n)*(.*?)(?=^\(|\Z)", text, re.M | re.S)
        if place is None:
            found.append(f"{anchor} has no place in the chapter")
        elif not set(answers) & set(named(place[1])):
            found.append(f"{anchor} has a place that names none of its answers")
    return found


def named(passage):
    return [*REFERENCE.findall(passage), *re.findall(r":label: ([\w-]+)", passage)]


@pytest.fixture(scope="module")
def text():
    return markdown(CHAPTER)


@pytest.fixture(scope="module")
def known():
    return labels()


def test_every_point_is_answered(text, known):
    assert len(OWED) == 66
    assert unanswered(text, OWED, known) == []


FALSIFIED = {
    "an answer removed": (
        r"(\[2\]\(review-point-2\) \|[^|]*\|[^|]*\|)[^|]*\|",
        r"\1 |",
        "review-point-2 has no answer",
    ),
    "an answer misspelt": (
        r"(\(response-square\).*?)`nearly-convex-square`",
        r"\1`reviews-sqare`",
        "response-square: there is no reviews-sqare",
    ),
    "a row removed": (
        r"\n\| \[9\]\(review-point-9\)[^\n]*",
        "",
        "review-point-9 is not in the tables",
    ),
    "a place removed": (
        r"\n\(promise-zhang\)=",
        "",
        "promise-zhang has no place in the chapter",
    ),
    "a place that says nothing": (
        r"\n\(review-norm\)=\n[^\n]*",
        "\n(review-norm)=\nNothing.",
        "review-norm has a place that names none of its answers",
    ),
}


@pytest.mark.parametrize("what", FALSIFIED)
def test_a_falsified_copy_is_reported(what, text, known):
    pattern, replacement, message = FALSIFIED[what]
    changed, times = re.subn(pattern, replacement, text, count=1)
    assert times == 1
    assert message in unanswered(changed, OWED, known)


def test_verdicts_are_the_book_s_words(text):
    assert {verdict for _, verdict, _ in ROW.findall(text)} <= VERDICTS


def test_links_lead_to_labels_that_exist(text, known):
    links = set(re.findall(r"\]\(([\w-]+)\)", text))
    assert links >= set(OWED)
    assert links - known == set()
