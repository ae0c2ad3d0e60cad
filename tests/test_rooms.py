"""The rooms of the house: what may import what, and how large each is."""

from pathlib import Path

import pytest
from chapter import chapters
from depends import imported

ROOT = Path(__file__).parents[1]
EVIDENCE = ROOT / "evidence"
# The back matter has no claims; its page on claims is called like a file of the ground.
OF_CHAPTERS = {f"evidence.{one.module}" for one in chapters() if not one.page.startswith("back/")}
FILES = sorted([*(ROOT / "pscore").rglob("*.py"), *EVIDENCE.rglob("*.py")])


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def forbidden(importer: str) -> set[str]:
    """What a module may not import, nor anything below it; the module itself excepted."""
    if not importer.startswith("evidence"):
        below = importer.startswith("pscore.experiments")
        return {"evidence"} if below else {"evidence", "pscore.experiments"}
    # A chapter's file takes from no other chapter's, and the ground from none.
    return (OF_CHAPTERS - {importer}) | {"evidence.ledger"}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_run_one_way(path):
    importer = name_of(path)
    if importer == "evidence.ledger":
        pytest.skip("the ledger reads all chapters' evidence")
    for name in imported(path.read_text(encoding="utf-8")):
        for banned in forbidden(importer):
            assert name != banned and not name.startswith(f"{banned}."), f"it imports {name}"


def lines(paths) -> int:
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


def test_the_library_is_small():
    # 2,500, and 500 for what it takes to be right, or to refuse, in other people's training.
    assert lines((ROOT / "pscore").glob("*.py")) <= 3000


def test_the_proofs_are_small():
    assert lines((ROOT / "pscore" / "exact").rglob("*.py")) <= 1600


def test_the_experiments_are_small():
    assert lines((ROOT / "pscore" / "experiments").rglob("*.py")) <= 2500


def test_there_are_rooms_to_hold_to_it():
    names = {name_of(path) for path in FILES}
    assert {"pscore.loss", "pscore.experiments.toy", "evidence.claims"} <= names
    assert len(OF_CHAPTERS & names) > 20
