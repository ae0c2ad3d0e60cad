"""What the pages load is fetched once, pinned, and only what they load of it."""

import io
import tarfile
from types import SimpleNamespace

import fetched
import pytest

SCRIPT = b"'use strict';"
STYLE = (
    '@font-face{src:url(fonts/A.woff2) format("woff2"),url(fonts/A.woff) format("woff"),'
    'url(fonts/A.ttf) format("truetype")}.katex{color:red}'
)
FILES = {"LICENSE": b"free", "dist/a.js": SCRIPT, "dist/a.css": STYLE.encode(), "src/b.js": b""}


def package(sha512: str = "", files: tuple[str, ...] = ("LICENSE", "dist/*")) -> fetched.Package:
    return fetched.Package("a", "1.0.0", sha512, files, "here")


@pytest.fixture
def archive(tmp_path):
    """An npm archive of two files that are wanted and one that is not."""
    path = tmp_path / "a-1.0.0.tgz"
    with tarfile.open(path, "w:gz") as made:
        for name, content in FILES.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(content)
            made.addfile(entry, io.BytesIO(content))
    return path


@pytest.fixture
def no_npm(monkeypatch):
    """Whatever would be run does nothing."""
    done = SimpleNamespace(stderr="no network")
    monkeypatch.setattr(fetched.subprocess, "run", lambda *args, **more: done)


def test_another_file_than_the_pinned_one_is_not_used(archive, no_npm, tmp_path):
    with pytest.raises(SystemExit, match="arrived with checksum"):
        fetched.download(package("AAAA"), tmp_path)
    assert not (tmp_path / "package").exists()


def test_without_a_network_the_message_says_what_to_do(no_npm, tmp_path):
    with pytest.raises(SystemExit, match="no network\nThe first build needs the npm registry"):
        fetched.download(package(), tmp_path)


def test_the_pinned_file_is_unpacked_and_only_what_is_wanted_is_kept(archive, no_npm, tmp_path):
    digest = fetched.hashlib.sha512(archive.read_bytes()).digest()
    pinned = package(fetched.base64.b64encode(digest).decode())
    fetched.keep(pinned, fetched.download(pinned, tmp_path), tmp_path / "kept")
    kept = [path for path in (tmp_path / "kept").rglob("*") if path.is_file()]
    assert sorted(path.name for path in kept) == ["LICENSE", "a.css", "a.js"]
    assert (tmp_path / "kept" / "a.js").read_bytes() == SCRIPT


def test_a_pattern_that_matches_nothing_is_an_error(tmp_path):
    with pytest.raises(SystemExit, match="has no dist/gone.js"):
        fetched.keep(package(files=("dist/gone.js",)), tmp_path, tmp_path / "kept")


def test_fonts_are_loaded_in_one_format():
    assert fetched.without_old_fonts(STYLE) == (
        '@font-face{src:url(fonts/A.woff2) format("woff2")}.katex{color:red}'
    )


def test_what_is_there_is_not_fetched_again_and_what_is_not_listed_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(fetched, "PACKAGES", (package(),))
    for folder in ("here", "gone"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / ".package").write_text(package().pin)
    monkeypatch.setattr(fetched, "download", lambda *_: pytest.fail("fetched again"))
    fetched.fetch(tmp_path)
    assert [folder.name for folder in tmp_path.iterdir()] == ["here"]


def test_katex_and_its_styles_are_of_one_version():
    from sphinxcontrib import katex

    assert {p.version for p in fetched.PACKAGES if p.name == "katex"} == {katex.katex_version}
