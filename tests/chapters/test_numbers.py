"""The numbers in a chapter's prose are those of its cells: computed, printed, or set there.

A number with a decimal point, outside proofs and code, has to stand in what a cell of its page
prints, rounded as in the prose, as a fraction or in per cent, or in the code of a cell. So when an
output changes, and nbval with it, the sentence that reads it fails as well. What a source says, or
what no cell can compute, is listed here with its reason.
"""

import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "chapters").rglob("*.ipynb"))

PAGES = {path.stem: path for path in NOTEBOOKS}

NUMBER = re.compile(r"(?<![\w.\-/])\d+\.\d+(?!\w|\.\d)")
# Proofs, code, references, anchors, tables' rows by the numbers of their points.
ASIDE = re.compile(
    r"```.*?```|:::\{dropdown\} Proof.*?\n:::|\{[a-z:]+\}`[^`]*`|`[^`]*`|\]\([^)]*\)"
    r"|^\s*:{3,}[^\n]*$|^\([^\n]*\)=$|^\| (?:reviewer )?[\d.]+[ ,][^|\n]*\|",
    re.DOTALL | re.MULTILINE,
)
# The paper's figures and the response's, quoted on any page.
QUOTED = {"87.2", "22.3", "51.6", "24.0", "8.82", "2.80"}
# What no cell nearby computes: the page that does, or why none can.
ELSEWHERE = {
    "notation": {"2.718": "e itself"},
    "reproduce": {
        "1.4": "told of one measurement of the workflow, like the next three",
        "4.4": "",
        "1.3": "",
        "1.6": "",
        "22.05": "a release of SLURM",
    },
    "certified-set": {"0.4": "the weight decay of the toy", "0.2840": "certified-set"},
    "cifar": {"84.9": "the paper's accuracy", "54.0": "the paper's accuracy"},
    "global-minimisers": {"0.38": "the root above it at H = 3"},
    "index": {"2.1": "how a proposition is numbered", "3.11": "a release of Python"},
    "learning-rates": {
        "0.004": "learning-rates",
        "0.4": "learning-rates",
        "1.9": "the rung of the ladder of ηt at which early ends, by hand",
        "0.0186": "0.004 times 10 to the 2/3, by hand",
    },
    "memorization": {"3.1": "another paper's theorem", "3.4": "another paper's proposition"},
    "mnist": {"3.8": "61,706 squared, in thousand millions"},
    "no-local-maxima": dict.fromkeys(
        ("7.38", "7.39", "0.76", "0.77", "0.593", "0.179", "5.76", "0.407", "3.5"),
        "bounds in a proof that is done by hand",
    ),
    "phase-diagram": {"0.03": "a factor of the check, in its fold"},
    "piecewise": {"0.045": "computed in the sentence, by hand"},
    "residual-layers": {"0.08": "the teacher of the check, in its fold"},
    "reviews": {"1.1": "a section", "0.4": "a parameter of the printed toy"},
    "step-size": {"0.70": "learning-rates", "0.02": "learning-rates"},
    "tables": {"1.5": "the margin of the spreads, which evidence.tables holds as a constant"},
}


def prose(cell) -> str:
    """The text of a cell outside proofs and code."""
    return ASIDE.sub(" ", cell.source) if cell.cell_type == "markdown" else ""


def computed(cells) -> set[float]:
    """The numbers that cells print, and those in their code."""
    texts = []
    for cell in cells:
        if cell.cell_type == "code":
            texts.append(cell.source)
            texts += [out.get("text", "") for out in cell.outputs]
            texts += [str(out.get("data", {}).get("text/plain", "")) for out in cell.outputs]
    found = re.findall(r"\d[\d,]*\.?\d*(?:e[+-]?\d+)?", " ".join(texts))
    return {float(text.replace(",", "")) for text in found}


def is_among(number: str, percent: bool, values: set[float]) -> bool:
    """Whether one of the values is the number when it is rounded like it."""
    room = 0.5 * 10 ** -len(number.partition(".")[2]) * (1 + 1e-6)
    factors = (1, 100) if percent else (1,)
    return any(abs(value * f - float(number)) <= room for value in values for f in factors)


def numbers(path):
    """Each number of a page's prose, whether in per cent, its words, and the values it may be.

    The first cell and the last two sum up, so theirs may be any of the page; others are looked for
    in the three code cells before and the three after.
    """
    cells = nbformat.read(path, as_version=4).cells
    codes = [place for place, cell in enumerate(cells) if cell.cell_type == "code"]
    for place, cell in enumerate(cells):
        before = [one for one in codes if one < place][-3:]
        near = before + [one for one in codes if one > place][:3]
        if place == 0 or place >= len(cells) - 2:
            near = codes
        values = computed(cells[one] for one in near)
        text = prose(cell)
        for one in NUMBER.finditer(text):
            words = text[max(0, one.start() - 40) : one.end() + 20].replace("\n", " ")
            yield one[0], text[one.end() :].lstrip(" ~\u00a0\\,$").startswith("%"), words, values


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_each_number_of_the_prose_is_on_the_page(path):
    listed = ELSEWHERE.get(path.stem, {})
    elsewhere = {number for number, page in listed.items() if page not in PAGES}
    for number in set(listed) - elsewhere:
        cells = nbformat.read(PAGES[listed[number]], as_version=4).cells
        if is_among(number, False, computed(cells)):
            elsewhere.add(number)
    known = QUOTED | elsewhere
    missing = [
        words
        for number, percent, words, values in numbers(path)
        if number not in known and not is_among(number, percent, values)
    ]
    assert not missing, "print them in a cell nearby, or say in ELSEWHERE why none can"


def test_what_is_listed_is_said():
    for name, listed in ELSEWHERE.items():
        (path,) = (path for path in NOTEBOOKS if path.stem == name)
        assert set(listed) <= {number for number, *_ in numbers(path)}


def test_numbers_are_rounded_as_the_prose_rounds_them():
    assert is_among("4.56", False, {4.5612}) and not is_among("4.57", False, {4.5612})
    assert is_among("97.2", True, {0.97199}) and not is_among("97.2", False, {0.97199})


def test_an_altered_number_is_mostly_noticed():
    """Of all numbers in the prose, the last digit moved by one."""
    noticed = total = 0
    for path in NOTEBOOKS:
        for number, percent, _, values in numbers(path):
            places = len(number.partition(".")[2])
            for other in (-1, 1):
                altered = f"{abs(float(number) + other * 10**-places):.{places}f}"
                noticed += not is_among(altered, percent, values)
                total += 1
    print(f"{noticed} of {total}")
    assert noticed > 0.5 * total
