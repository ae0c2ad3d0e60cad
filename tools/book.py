"""Builds the book, strictly: `make book`.

Four things that `jupyter-book build` leaves to its caller are done here.

* A chapter's outputs are cached by its code cells alone. They also depend on what these import, on
  the pinned packages and on stored results, so a chapter's outputs are forgotten when any of
  what it depends on has changed; see `depends`.
* A second run over old doctrees forgets the warnings of the first, so they are removed.
* The pages carry their own scripts, styles and fonts; see `fetched`.
* What the pages were made from is noted beside them, so that no test reads old ones unawares.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import made_from
import nbformat
from depends import stale
from fetched import fetch
from jupyter_cache import get_cache

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "_build"


def forget(notebooks: Collection[Path], folder: Path) -> None:
    """Removes notebooks' outputs from a cache: those stored for a file, and those of its code."""
    if not notebooks or not folder.is_dir():
        return
    cache = get_cache(folder)
    gone = {one.pk for one in cache.list_cache_records() if Path(one.uri) in notebooks}
    for notebook in notebooks:
        with suppress(KeyError):  # it was never executed as it is now
            gone.add(cache.match_cache_notebook(nbformat.read(notebook, as_version=4)).pk)
    for record in gone:
        cache.remove_cache(record)


def forget_stale_outputs(root: Path = ROOT) -> list[Path]:
    """Removes the doctrees always, and the outputs of chapters of which a dependency changed."""
    build = root / BUILD.name
    shutil.rmtree(build / ".doctrees", ignore_errors=True)
    stamp = build / "outputs-depend-on.json"
    before = json.loads(stamp.read_text()) if stamp.is_file() else {}
    notebooks, now = stale(root, before)
    forget(notebooks, build / ".jupyter_cache")
    build.mkdir(exist_ok=True)
    stamp.write_text(json.dumps(now, indent=1))
    return notebooks


def main() -> int:
    """Builds the pages and returns the exit status of the build."""
    fetch()
    forget_stale_outputs()
    made_from.forget(ROOT)
    sources = made_from.sources(ROOT)
    # All of it is written anew, and what an older build left would be published and tested, too.
    shutil.rmtree(BUILD / "html", ignore_errors=True)
    index = BUILD / "html" / "index.html"
    command = [str(Path(sys.executable).parent / "jupyter-book"), "build", str(ROOT)]
    status = subprocess.run([*command, "-W", "-n", "--keep-going", "--quiet"]).returncode
    if status or not index.is_file():
        print(
            "error: the book was not built without a warning. Each is listed above,\n"
            "with the traceback where a chapter failed.",
            file=sys.stderr,
        )
        return status or 1
    made_from.store(ROOT, sources)
    print(f"The book: {index.relative_to(ROOT)}  ({index.as_uri()})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
