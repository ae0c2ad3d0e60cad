"""Each chapter opens with what it asks and answers, ends with what is open, and keeps its size."""

import re

import nbformat
import pytest
from chapter import Chapter, chapters

from evidence.ledger import claims

# Pages that are no chapters of the argument: the way in, the one page for all, and what is behind.
OTHERS = ("index", "notation", "in-one-sitting", "back/")
CHAPTERS = [one for one in chapters() if not one.page.startswith(OTHERS)]

FIELDS = ("Question", "Answer", "Before this", "Time")
MOST_CELLS, MOST_WORDS, A_MINUTE = 30, 2500, 200
RUNS = "it is also the notebook that runs the experiment"
# Longer chapters, with the words on their page that say why.
LONGER = {
    "discussion/near-memorization": "that makes it longer than others",
    "experiments/batch-norm": RUNS,
    "experiments/cifar": RUNS,
    "experiments/mnist": RUNS,
}
WORDS = "one two three four five six seven eight nine ten twelve fifteen twenty sixty hundred"
NUMBER = rf"\d|\b({'|'.join(WORDS.split())})\b"

BOX = re.compile(r"^:::\{admonition\} In short\n:class: in-short\n\n(.*?)\n:::$", re.M | re.S)
FOLD = re.compile(r"(:{3,}|`{3,})\{(?:dropdown|check|source)\}")
TIME = re.compile(r"(\d+) minutes? to read, (?:(\d+) seconds?|nothing) to run\.")
REFERENCE = r"\{(?:prf:ref|numref)\}`([\w-]+)`"
SAID = re.compile(rf"\(\*(\w+)\*: ({REFERENCE}(?:, {REFERENCE})*)\)")


def outside_folds(text: str) -> str:
    """Leaves out what is folded, proofs and code among it."""
    kept, fence = [], None
    for line in text.splitlines():
        if fence is None and (begin := FOLD.match(line)):
            fence = begin[1]
        elif fence is None:
            kept.append(line)
        elif line.strip() == fence:
            fence = None
    return "\n".join(kept)


def cells_of(one: Chapter) -> list[nbformat.NotebookNode]:
    if one.source.suffix == ".md":
        return [nbformat.v4.new_markdown_cell(one.source.read_text(encoding="utf-8"))]
    return nbformat.read(one.source, as_version=4).cells


def box_problems(box: str, words: int, runs: bool, verdicts: dict[str, str]) -> list[str]:
    """What is wrong with a box on a page of so many words, with code or without."""
    found = [f"no field {name!r}" for name in FIELDS if f"**{name}.** " not in box]
    if not (time := TIME.search(box)):
        found.append("the time is not like '8 minutes to read, 12 seconds to run.'")
    elif abs(int(time[1]) - words / A_MINUTE) > max(0.3 * words / A_MINUTE, 0.5):
        found.append(f"{time[1]} minutes are not those of {words} words")
    elif int(time[2] or 0) < runs:
        found.append("a page with code doesn't run in no time")
    for word, references, *_ in SAID.findall(box):
        for label in re.findall(REFERENCE, references):
            if verdicts.get(label) != word:
                found.append(f"{label} is {verdicts.get(label)}, and said to be {word}")
    for rests_on in re.findall(r"\*observed\*(?!:)([^)]*)", box):
        if not re.search(NUMBER, rests_on):
            found.append(f"observed in how many runs? 'observed{rests_on}'")
    return found


def problems(
    cells: list[nbformat.NotebookNode], verdicts: dict[str, str], reason: str | None = None
) -> list[str]:
    """All that is wrong with a chapter; a reason for more length has to be on the page."""
    prose = [outside_folds(cell.source) for cell in cells if cell.cell_type == "markdown"]
    text = "\n\n".join(prose)
    words = len(text.split())
    runs = any(cell.cell_type == "code" for cell in cells)
    box = BOX.search(cells[0].source) if cells[0].cell_type == "markdown" else None
    found = box_problems(box[1], words, runs, verdicts) if box else ["no box in the first cell"]
    sections = re.findall(r"^## (.*)$", text, re.MULTILINE)
    if sections[-1:] != ["What is open"]:
        found.append(f"ends with {sections[-1:]}, and not with what is open")
    long = [f"{len(cells)} cells"] * (len(cells) > MOST_CELLS)
    long += [f"{words} words outside folds"] * (words > MOST_WORDS)
    if long and not (reason and reason in text):
        found += [*long, "and the page does not say why"]
    if reason and not long:
        found.append("not longer than others: needs no reason")
    return found


@pytest.fixture(scope="module")
def verdicts():
    return {one.label: one.verdict for one in claims()}


@pytest.mark.parametrize("one", CHAPTERS, ids=lambda one: one.page)
def test_a_chapter_opens_with_its_box_ends_with_what_is_open_and_keeps_its_size(one, verdicts):
    found = problems(cells_of(one), verdicts, LONGER.get(one.page))
    assert not found, "\n".join(found)


def test_there_are_chapters_and_reasons_for_chapters_only():
    assert len(CHAPTERS) > 30
    assert set(LONGER) <= {one.page for one in CHAPTERS}


@pytest.mark.parametrize(
    "path", [one for one in CHAPTERS if one.source.suffix == ".ipynb"], ids=lambda one: one.page
)
def test_what_only_imports_is_folded(path):
    for cell in cells_of(path):
        lines = [x for x in cell.source.splitlines() if x.strip() and not x.startswith(" ")]
        if cell.cell_type == "code" and lines and all(SETUP.match(line) for line in lines):
            assert "hide-input" in cell.metadata.get("tags", []), cell.source


SETUP = re.compile(r"(import|from|\)|use_style\(\)|torch\.set_default_dtype)\b|\)$")

GOOD = (
    """# A chapter

:::{admonition} In short
:class: in-short

**Question.** Is it?

**Answer.** It is (*certified*: {prf:ref}`a-b`). It was seen (*observed*, ten runs).

**Before this.** {doc}`other`.

**Time.** 2 minutes to read, 3 seconds to run.
:::

"""
    + "word " * 350
)
CODE = nbformat.v4.new_code_cell("1 + 1")
OPEN = "## What is open\n\nMuch."


def chapter_of(first: str, last: str = OPEN, between: int = 0):
    texts = [first, *["## A section"] * between, last]
    return [nbformat.v4.new_markdown_cell(text) for text in texts]


def test_a_sound_chapter_has_no_problems():
    fold = ":::{dropdown} Proof\n" + "word " * 3000 + "\n:::\n"
    assert problems(chapter_of(GOOD + "\n" + fold), {"a-b": "certified"}) == []


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (chapter_of("# A chapter"), "no box in the first cell"),
        (chapter_of(GOOD.replace("**Question.**", "")), "no field 'Question'"),
        (chapter_of(GOOD.replace("3 seconds", "some time")), "the time is not like"),
        (chapter_of(GOOD.replace("2 minutes", "4 minutes")), "4 minutes are not those of"),
        (chapter_of(GOOD.replace("3 seconds", "nothing")) + [CODE], "a page with code"),
        (chapter_of(GOOD.replace("*certified*", "*refuted*")), "a-b is certified, and said"),
        (chapter_of(GOOD.replace(", ten runs", "")), "observed in how many runs?"),
        (chapter_of(GOOD, last="## What this means\n\nMuch."), "ends with ['What this means']"),
        (chapter_of(GOOD, between=29), "31 cells"),
    ],
)
def test_what_is_wrong_is_said(cells, said):
    found = problems(cells, {"a-b": "certified"})
    assert any(one.startswith(said) for one in found), found


def test_a_longer_chapter_says_why_on_its_page():
    long = chapter_of(GOOD, between=29)
    assert problems(long, {"a-b": "certified"}, "for a reason")
    long[1].source += "\n\nIt is longer for a reason."
    assert problems(long, {"a-b": "certified"}, "for a reason") == []
    assert problems(chapter_of(GOOD), {"a-b": "certified"}, "for a reason")
