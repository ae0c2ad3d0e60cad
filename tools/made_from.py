"""What the built pages were made from, so that nobody tests or prints old ones unawares.

A successful build stores the digest of each file that takes part in it, as it was when the build
began. What was edited, added or removed since then is named by :func:`edited`.
"""

import hashlib
import json
from pathlib import Path

STAMP = Path("_build", "pages-made-from.json")
FOLDERS = ("assets", "chapters", "evidence", "pscore", "results", "tools")
FILES = (
    "_config.yml",
    "_toc.yml",
    "CITATION.cff",
    "constraints.txt",
    "references.bib",
    "requirements.txt",
)
BY_THE_WAY = {"__pycache__", ".ipynb_checkpoints"}


def sources(root: Path) -> dict[str, str]:
    """Return the digest of each file that the pages are made from, by its path below `root`."""
    found = [root / name for name in FILES]
    for folder in FOLDERS:
        found += (root / folder).rglob("*")
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        for path in sorted(found)
        if path.is_file() and not BY_THE_WAY & set(path.parts)
    }


def store(root: Path, made_from: dict[str, str]) -> None:
    """Notes what the pages that were just built are made from."""
    (root / STAMP).write_text(json.dumps(made_from, indent=1))


def forget(root: Path) -> None:
    """Takes the note away, as long as a build is under way or where one failed."""
    (root / STAMP).unlink(missing_ok=True)


def edited(root: Path) -> list[str]:
    """Return the files that are not what the pages were made from; all, if no build succeeded."""
    stamp = root / STAMP
    before = json.loads(stamp.read_text()) if stamp.is_file() else {}
    now = sources(root)
    return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
