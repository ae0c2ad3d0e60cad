"""Every point of the review, the response and the paper's promises is answered.

The chapter's own tables are read. A row names the point, says it in one cell, and has one link to
what answers it. A statement has a verdict, a question an answer. A point that the chapter has
dropped counts as unanswered, and so does one whose link leads nowhere.
"""

import re
from collections import Counter
from pathlib import Path

import nbformat
import pytest

from evidence.ledger import claims

CHAPTERS = Path(__file__).resolve().parents[2] / "chapters"
CHAPTER = CHAPTERS / "discussion" / "reviews.ipynb"

# The names in a table's first column, in its order; a name that comes twice has two rows.
POINTS = {
    "The review": "originality originality clarity clarity 1 2 3 4 5 6 7.1 7.2 8 9 10 11 summary "
    "afterwards afterwards",
    "The response": "opening opening opening opening opening 1 1 2 3 4 5 6 6 7a 7a 7b 9 11 "
    "reviewer-2 reviewer-2 reviewer-2 reviewer-3 reviewer-3 reviewer-3",
    "The paper's promises": "1 1 1 1 1 1 1 1 1.1 1.1 1.1 3 3.1 3.2 3.3 3.4 4 4 4 4 4.1 4.2 5 5 5 7",
}
COLUMNS = {"The review": 6, "The response": 6, "The paper's promises": 5}
VERDICTS = {f"*{word}*" for word in "certified observed inconclusive refuted corrected".split()}
REFERENCE = re.compile(r"\{(?:prf:ref|eq|numref|ref|doc)\}`([\w./-]+)`")
LABELS = (r":label: ([\w-]+)", r"^\(([\w-]+)\)=$", r"\$\$ \(([\w-]+)\)$")


def markdown(path):
    if path.suffix == ".md":
        return path.read_text()
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def labels():
    """What a link can lead to: statements, equations, anchors, figures and chapters."""
    found = {claim.label for claim in claims()}
    for path in [*CHAPTERS.rglob("*.md"), *CHAPTERS.rglob("*.ipynb")]:
        text = markdown(path)
        found |= {x for pattern in LABELS for x in re.findall(pattern, text, re.MULTILINE)}
        found |= set(re.findall(r'"name": "(fig-[\w-]+)"', path.read_text()))
        found |= {path.stem, f"../{path.parent.name}/{path.stem}"}
    return found


def tables(text):
    """The rows of each table, as lists of cells, by the heading that they stand under."""
    found = {}
    for heading in POINTS:
        _, _, below = text.partition(f"\n## {heading}\n")
        lines = [x for x in below.partition("\n## ")[0].splitlines() if x.startswith("|")]
        found[heading] = [[cell.strip() for cell in x.strip("|").split("|")] for x in lines[2:]]
    return found


def name(cell):
    """A point's name in its table: what the first cell has before a line number."""
    return cell.split(", ")[0].replace(" ", "-")


def unanswered(text, known):
    """Say which points the chapter's tables leave open, and why; an empty list is wanted.

    Args:
        text: the chapter's markdown.
        known: the labels and chapters that exist.
    """
    found = []
    for heading, rows in tables(text).items():
        missing = Counter(POINTS[heading].split()) - Counter(name(row[0]) for row in rows)
        found += [f"{heading}: {point} is not in the table" for point in missing]
        for row in rows:
            point = f"{heading}: {row[0]}"
            if len(row) != COLUMNS[heading] or not all(row):
                found.append(f"{point} has an empty cell, or too many")
                continue
            if (row[2] in VERDICTS) == row[1].endswith("?"):
                found.append(f"{point}: a statement has a verdict, a question an answer")
            links = REFERENCE.findall(row[4])
            if len(links) != 1 or links[0] not in known:
                found.append(f"{point} has no link, or one that leads nowhere")
            if len(row) == 6 and row[5] not in {"yes", "no", "unknown"}:
                found.append(f"{point} does not say whether the print changed")
    return found


@pytest.fixture(scope="module")
def text():
    return markdown(CHAPTER)


@pytest.fixture(scope="module")
def known():
    return labels()


def test_every_point_is_answered(text, known):
    assert sum(len(rows) for rows in tables(text).values()) == 69
    assert unanswered(text, known) == []


FALSIFIED = {
    "an answer removed": (
        r"(\| 2, 176 \|[^|]*\|)[^|]*\|",
        r"\1 |",
        "The review: 2, 176 has an empty cell, or too many",
    ),
    "a link misspelt": (
        r"`nearly-convex-square`",
        "`nearly-convex-sqare`",
        "The response: opening has no link, or one that leads nowhere",
    ),
    "a row removed": (
        r"\n\| 9, S[^\n]*",
        "",
        "The review: 9 is not in the table",
    ),
    "a verdict on a question": (
        r"(Which bounded region\? \|)[^|]*\|",
        r"\1 *certified* |",
        "The review: 3, 196: a statement has a verdict, a question an answer",
    ),
    "a verdict that is no word of the book": (
        r"(domains of convexity \| )\*corrected\*",
        r"\1*proved*",
        "The paper's promises: 1: a statement has a verdict, a question an answer",
    ),
    "a guess at the print": (
        r"(`nearly-convex-petals` \| )unknown",
        r"\1perhaps",
        "The review: 7.1 does not say whether the print changed",
    ),
}


@pytest.mark.parametrize("what", FALSIFIED)
def test_a_falsified_copy_is_reported(what, text, known):
    pattern, replacement, message = FALSIFIED[what]
    changed, times = re.subn(pattern, replacement, text, count=1, flags=re.IGNORECASE)
    assert times == 1
    assert message in unanswered(changed, known)


def disagreeing(text):
    """Name the rows whose *certified* or *observed* is not what the ledger says of their link."""
    verdicts = {claim.label: claim.verdict for claim in claims()}
    found = []
    for heading, rows in tables(text).items():
        for row in rows:
            said = verdicts.get(REFERENCE.findall(row[4])[0])
            if row[2] in {"*certified*", "*observed*"} and f"*{said}*" != row[2]:
                found.append(f"{heading}: {row[0]}")
    return found


def test_what_is_certified_or_observed_is_so_in_the_ledger(text):
    assert disagreeing(text) == []
    changed = text.replace("is the union | *certified*", "is the union | *observed*")
    assert disagreeing(changed) == ["The paper's promises: 3.4"]
