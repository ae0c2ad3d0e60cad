"""Builds the book, strictly: `make book`.

Four things that `jupyter-book build` leaves to its caller are done here.

* A chapter's outputs are cached by its code cells alone. They also depend on what these import, on
  the pinned packages and on stored results, so a chapter's outputs are forgotten when any of
  what it depends on has changed; see `depends`.
* A second run over old doctrees forgets the warnings of the first, so they are removed.
* The pages carry their own widget manager. It comes from npm, pinned by version and checksum, and
  is kept in `.venv/share`, so that only the first build needs a network.
* What the pages were made from is noted beside them, so that no test reads old ones unawares.
"""

import base64
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import made_from
import nbformat
from depends import stale
from jupyter_cache import get_cache

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "_build"
WIDGET_MANAGER = ROOT / ".venv" / "share" / "html-manager"
PACKAGE = "@jupyter-widgets/html-manager@1.0.15"
SHA512 = "5thBIV6ymNgmPVOHvzx+gGy8ZSKmSazhtGw4/c4xJDVzRhG9PTeQsRjF3FUTopvFi//SABeNz1yp47bCrJ3CQA=="


def fetch_widget_manager() -> None:
    """Puts the widget manager's script and fonts into `.venv/share`, unless they are there."""
    stamp = WIDGET_MANAGER / ".package"
    if stamp.is_file() and stamp.read_text() == PACKAGE:
        return
    print(f"Fetching {PACKAGE}, the script behind the pages' sliders ...", flush=True)
    npm = Path(sys.executable).parent / "npm"
    with tempfile.TemporaryDirectory() as scratch:
        command = [str(npm), "pack", "--loglevel=error", "--pack-destination", scratch, PACKAGE]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=300)
            message = done.stderr.strip()
        except (OSError, subprocess.TimeoutExpired) as error:
            message = str(error)
        archives = list(Path(scratch).glob("*.tgz"))
        if not archives:
            sys.exit(
                f"error: npm could not fetch {PACKAGE}:\n{message}\n"
                "The first build needs the npm registry (behind a proxy, set HTTPS_PROXY).\n"
                "Check the network and run make book again; later builds need none."
            )
        digest = base64.b64encode(hashlib.sha512(archives[0].read_bytes()).digest()).decode()
        if digest != SHA512:
            sys.exit(
                f"error: {PACKAGE} arrived with checksum sha512-{digest},\n"
                f"not the expected sha512-{SHA512}. It was not used.\n"
                "Run make book again; if it stays so, the registry in use serves another file."
            )
        with tarfile.open(archives[0]) as archive:
            archive.extractall(scratch, filter="data")
        shutil.rmtree(WIDGET_MANAGER, ignore_errors=True)
        WIDGET_MANAGER.mkdir(parents=True)
        package = Path(scratch) / "package"
        # embed.js is the whole manager; the -amd files are other builds of it.
        for source in [*package.glob("dist/*"), *package.glob("LICENSE*")]:
            if "-amd" not in source.name and source.suffix != ".map":
                shutil.copy(source, WIDGET_MANAGER / source.name)
        stamp.write_text(PACKAGE)


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
    fetch_widget_manager()
    forget_stale_outputs()
    made_from.forget(ROOT)
    sources = made_from.sources(ROOT)
    index = BUILD / "html" / "index.html"
    index.unlink(missing_ok=True)
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
