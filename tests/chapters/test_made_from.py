"""The note of what the pages were made from notices whatever was edited since."""

import made_from
import pytest


@pytest.fixture
def book(tmp_path):
    """A project of three files, built just now."""
    for name in ("assets/book.css", "chapters/theory/toy.ipynb", "_toc.yml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "_build").mkdir()
    made_from.store(tmp_path, made_from.sources(tmp_path))
    return tmp_path


def test_nothing_was_edited_after_a_build(book):
    assert made_from.edited(book) == []
    (book / "tools" / "__pycache__").mkdir(parents=True)
    (book / "tools" / "__pycache__" / "book.pyc").write_text("by the way")
    (book / "README.md").write_text("no part of the pages")
    assert made_from.edited(book) == []


def test_what_was_edited_added_or_removed_is_named(book):
    (book / "assets" / "book.css").write_text("another")
    (book / "chapters" / "new.md").write_text("new")
    (book / "_toc.yml").unlink()
    assert made_from.edited(book) == ["_toc.yml", "assets/book.css", "chapters/new.md"]


def test_without_a_successful_build_everything_counts_as_edited(book):
    made_from.forget(book)
    assert made_from.edited(book) == sorted(made_from.sources(book))
