r"""Symbols mean one thing: those of the notation page are used, and old meanings do not come back.

A test can't read. It holds what can be held: that each symbol of a table occurs on another page,
that what a letter is set equal to is what the table says, and that the formulas in which a letter
once meant something else stay away.
"""

import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = ROOT / "chapters"
CODE = "\n".join(
    p.read_text() for room in ("pscore", "evidence") for p in ROOT.glob(f"{room}/**/*.py")
)
MATH = re.compile(
    r"\$\$(.+?)\$\$|(?<![\\$])\$([^$\n]+(?:\n[^$\n]+)?)\$|^[`:]{3,}\{math\}\n(.*?)\n[`:]{3,}",
    re.DOTALL | re.MULTILINE,
)
ROW = re.compile(r"^\| \$(.+?)\$ \|(.*)\|$", re.MULTILINE)


def sources(path):
    """The text of a page: all its Markdown."""
    if path.suffix == ".md":
        return path.read_text()
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


PAGES = {
    path.stem: sources(path)
    for path in sorted([*CHAPTERS.rglob("*.ipynb"), *CHAPTERS.rglob("*.md")])
    if ".ipynb_checkpoints" not in path.parts and path.stem != "claims"
}
SYMBOLS = ROW.findall(PAGES["notation"])


def formulas(page):
    """The formulas of a page, one after the other."""
    return [next(filter(None, found)) for found in MATH.findall(page)]


FORMULAS = {stem: formulas(page) for stem, page in PAGES.items()}


def as_pattern(symbol):
    """What finds a symbol in a formula; an index stands for any."""
    pattern = re.sub(r"(?<=_)(?:i|j|k)(?![a-z])", "INDEX", symbol)
    pattern = re.escape(pattern).replace("INDEX", r"\{?[a-zA-Z0-9]")
    return rf"(?<![A-Za-z\\]){pattern}(?![A-Za-z])"


def test_formulas_are_found():
    assert formulas("a $x$ b $$y$$ c\n\n```{math}\n:label: z\nz\n```\n") == [
        "x",
        "y",
        ":label: z\nz",
    ]
    assert len(SYMBOLS) > 60
    assert sum(map(len, FORMULAS.values())) > 5000


@pytest.mark.parametrize("symbol", [symbol for symbol, _ in SYMBOLS])
def test_each_symbol_of_the_notation_page_is_used_on_another(symbol):
    pattern = re.compile(as_pattern(symbol))
    used = {stem for stem, found in FORMULAS.items() if any(map(pattern.search, found))}
    assert used - {"notation"}, symbol


def test_a_symbol_stands_in_one_row():
    symbols = [symbol for symbol, _ in SYMBOLS]
    assert sorted(symbols) == sorted(set(symbols))


def test_names_in_the_tables_are_names_in_the_code():
    columns = [row.split("|")[1] for _, row in SYMBOLS]
    names = {name for column in columns for name in re.findall(r"`(\w+)", column)}
    assert len(names) > 20
    assert [name for name in sorted(names) if not re.search(rf"\b{name}\b", CODE)] == []


ENTRIES = [
    line
    for block in re.findall(r"```\{glossary\}\n(.*?)```", PAGES["glossary"], re.DOTALL)
    for line in block.splitlines()
    if line and not line.startswith(" ")
]
BOOK = "\n".join(page for stem, page in PAGES.items() if stem != "glossary").lower()


def test_each_term_of_the_glossary_is_used_in_the_book_and_stands_in_it_once():
    assert len(ENTRIES) > 40
    assert sorted(ENTRIES) == sorted(set(ENTRIES))
    words = {entry: re.sub(r" (?:minimum|strongly convex)$", "", entry) for entry in ENTRIES}
    assert [entry for entry, word in words.items() if word.lower() not in BOOK] == []


def test_links_to_the_glossary_have_an_entry():
    linked = re.findall(r"\{term\}`(?:[^`<]* <)?([^`<>]+)>?`", BOOK)
    assert len(set(linked)) > 8
    assert set(linked) - {entry.lower() for entry in ENTRIES} == set()


# What a letter of the tables may be set equal to, wherever that is done.
SET_TO = {
    "F": r"\\lVert f \\rVert_N|\(2 ?\\ell\(0\)\)|1",
    "q": r"\\lVert y \\rVert_N|0",
    "r": r"\\max|\\lVert a|\|a|r_\\infty|F|2 ?\\ell|0|1|R|a",
    r"\\chi": r"R / \\sqrt|\\lVert|0|1|\\frac12 R_0|\(f - \\chi",  # the last one after a dot
    r"\\phi": r"\\frac|\\ell|\\tfrac|\\begin",
    r"\\hat\\lambda": r"\\frac\\lambda|\\lambda|\(H",
}


@pytest.mark.parametrize("letter", SET_TO)
def test_a_letter_is_set_to_what_the_table_says(letter):
    other = []
    for stem, found in FORMULAS.items():
        for formula in found:
            for match in re.finditer(rf"(?<![A-Za-z\\(|{{]){letter} = (.{{0,25}})", formula):
                if not re.match(SET_TO[letter], match[1]):
                    other.append((stem, match[0]))
    assert other == []


# An old use, and what finds it.
OLD = {
    r"\varphi": r"\\varphi",
    r"\rho \cos": r"\\rho \\(?:cos|sin)",
    r"norm $\rho$": r"norms? \$\\rho\$",
    r"1 - \rho^{H+1}": r"\\rho\^\{?\(?[H0-9]?\(?H",
    r"\rho_T": r"\\rho_[T12]",
    r"\tau_H": r"\\tau_H",
    r"\tau R u": r"\\tau\\?,? ?(?:R|g )",
    r"e^{-Ct}": r"(?<!\\mathrm )(?<![A-Za-z\\])e\^\{",
    r"e_1 e_1^T": r"(?<!\\mathbf )(?<![A-Za-z\\~])e_\w (?:\\mathbf )?e_\w\^T",
    r"u\, e_1^T": r"(?<!\\mathbf) e_1\^T",
    r"R e_k": r"R e_k",
    r"x^T M x": r"(?<![A-Za-z\\])x\^T M",
    r"x_j x_k": r"(?<![A-Za-z\\])x_j x_k",
    r"y^T M z": r"(?<![A-Za-z\\])y\^T (?:M|T_)",
    r"\xi_j": r"\\xi_j",
    r"\dot u": r"\\dot u",
    r"u(\tau": r"(?<![A-Za-z\\])u\((?:t|0|\\tau)",
    r"|F(W)|": r"(?<![A-Za-z\\])F\(W",
    r"2F": r"\dF(?![A-Za-z])",
    r"\rVert_F": r"\\rVert_F",
    r"q x \epsilon": r"(?<![A-Za-z\\])q x",
    r"pq \ge N": r"(?<![A-Za-z\\])p(?:_j )?q(?:_j)? \\ge N",
    r"q'(1)": r"(?<![A-Za-z\\])q'",
    r"e^{tK}": r"tK\}",
    r"K_{\text{data}}": r"(?<![A-Za-z\\])K_(?:\{|\\bullet|c)",
    r"x^2 y^2": r"x\^2 ?y\^2",
    r"M_\pm": r"(?<![A-Za-z\\])M_(?:\\pm|\+|-)",
    r"2M (-1)^i": r"2M(?![A-Za-z])",
    r"\mathbb{R}^r": r"\\mathbb\{R\}\^r",
    r"\cos 6\theta": r"(?:\\cos|\\sin) ?\d?\\theta|\|\\theta\| ",
}


@pytest.mark.parametrize("old", OLD)
def test_old_meanings_do_not_come_back(old):
    pattern = re.compile(OLD[old])
    assert pattern.search(old), "the pattern has to find what it is meant for"
    where = [
        (stem, formula[:60])
        for stem, found in FORMULAS.items()
        if stem != "notation"
        for formula in ([*found, PAGES[stem]] if old.startswith("norm") else found)
        if pattern.search(formula)
    ]
    assert where == []
