"""Commands on one chapter find its files by its name."""

import check
import pytest
import refresh
from chapter import ROOT, chapter


@pytest.mark.parametrize(
    "name", ["strong-minima", "strong_minima", "chapters/discussion/strong-minima.ipynb"]
)
def test_a_chapter_is_found_by_its_name_and_by_its_path(name):
    one = chapter(name)
    assert one.page == "discussion/strong-minima"
    assert one.source == ROOT / "chapters/discussion/strong-minima.ipynb"
    assert one.evidence == ROOT / "evidence/strong_minima.py"
    assert ROOT / "tests/evidence/test_strong_minima.py" in one.tests


def test_a_page_of_text_is_found_and_has_nothing_to_run(capsys):
    assert chapter("errata").source == ROOT / "chapters/back/errata.md"
    assert check.main(["errata"]) == 0
    assert "nothing to run" in capsys.readouterr().out


def test_an_unknown_name_stops_with_the_known_ones():
    with pytest.raises(SystemExit, match=r"no chapter 'strung-minima'.*\n.*, strong-minima, "):
        chapter("strung-minima")


def test_one_chapter_s_tests_are_no_other_chapter_s():
    """`memorization` is also the end of another chapter's name."""
    arguments = check.pytest_arguments(chapter("memorization"))
    wanted = arguments[arguments.index("-k") + 1].split(" or ")
    items = {
        "test_memorization.py": True,
        "test_a_page[memorization-page]": True,
        "memorization.ipynb": True,
        "test_near_memorization.py": False,
        "test_a_page[near_memorization-page]": False,
    }
    for item, selected in items.items():
        assert any(name in item for name in wanted) == selected, item


def test_all_chapters_are_refreshed_where_none_is_named():
    found = refresh.notebooks([])
    stored = (ROOT / "chapters").glob("*/*.ipynb")
    assert set(stored) <= set(found)
    assert refresh.notebooks(["toy"]) == [ROOT / "chapters/experiments/toy.ipynb"]
