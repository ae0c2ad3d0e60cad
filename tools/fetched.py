"""What the pages load from the npm registry: scripts, styles and fonts, pinned and kept.

Each package comes with a version and the checksum that the registry states for it. What the pages
use of it is put into `.venv/share/pages/<folder>`, so that only the first build needs a network.
"""

import base64
import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

SHARE = Path(__file__).resolve().parent.parent / ".venv" / "share" / "pages"


class Package(NamedTuple):
    """A package of npm, and the files of it that the pages load."""

    name: str
    version: str
    sha512: str
    files: tuple[str, ...]  # patterns within the package
    folder: str  # under _static

    @property
    def pin(self) -> str:
        """What npm calls this version, with the files wanted of it."""
        return f"{self.name}@{self.version} {' '.join(self.files)}"


PACKAGES = (
    # The version that sphinxcontrib-katex sets formulas with.
    Package(
        "katex",
        "0.16.22",
        "XCHRdUw4lf3SKBaJe4EvgqIuWwkPSo9XoeO8GjQW94Bp7TWv9hNhzZjZ+OH9yf1UmLygb7DIT5GSFQiyt16zYg==",
        ("LICENSE", "dist/katex.min.css", "dist/contrib/copy-tex.min.js", "dist/fonts/*.woff2"),
        "katex",
    ),
    # What a link leads to, shown beside it.
    Package(
        "@popperjs/core",
        "2.11.8",
        "P1st0aksCrn9sGZhp8GMYwBnQsbvAWsZAX44oXNNvLHGqAOcoVxmjZiohstwQ7SqKnbR47akdNi+uleWD8+g6A==",
        ("LICENSE.md", "dist/umd/popper.min.js"),
        "popper",
    ),
    Package(
        "tippy.js",
        "6.3.7",
        "E1d3oP2emgJ9dRQZdf3Kkn0qJgI6ZLpyS5z6ZkY1DF3kaQaBsGZsndEpHwx+eC+tYM41HaSNvNtLx8tU57FzTQ==",
        ("LICENSE", "dist/tippy-bundle.umd.min.js"),
        "tippy",
    ),
)


def download(package: Package, scratch: Path) -> Path:
    """Fetch a package, hold it against its checksum, and return the folder of its files."""
    npm = Path(sys.executable).parent / "npm"
    what = f"{package.name}@{package.version}"
    command = [str(npm), "pack", "--loglevel=error", "--pack-destination", str(scratch), what]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        message = done.stderr.strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        message = str(error)
    archives = list(scratch.glob("*.tgz"))
    if not archives:
        sys.exit(
            f"error: npm could not fetch {what}:\n{message}\n"
            "The first build needs the npm registry (behind a proxy, set HTTPS_PROXY).\n"
            "Check the network and run make book again; later builds need none."
        )
    digest = base64.b64encode(hashlib.sha512(archives[0].read_bytes()).digest()).decode()
    if digest != package.sha512:
        sys.exit(
            f"error: {what} arrived with checksum sha512-{digest},\n"
            f"not the expected sha512-{package.sha512}. It was not used.\n"
            "Run make book again; if it stays so, the registry in use serves another file."
        )
    with tarfile.open(archives[0]) as archive:
        archive.extractall(scratch, filter="data")
    return scratch / "package"


def without_old_fonts(style: str) -> str:
    """Drop what only browsers older than WOFF2 load from the sources of a style's fonts."""
    return re.sub(r',\s*url\([^)]*\.(?:woff|ttf)\)\s*format\("\w+"\)', "", style)


def keep(package: Package, source: Path, target: Path) -> None:
    """Copy the wanted files of an unpacked package, below its `dist` if there."""
    for pattern in package.files:
        found = sorted(source.glob(pattern))
        if not found:
            sys.exit(f"error: {package.name}@{package.version} has no {pattern}")
        for file in found:
            path = file.relative_to(source)
            copy = target / (path.relative_to("dist") if path.parts[0] == "dist" else path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            if file.suffix == ".css":
                copy.write_text(without_old_fonts(file.read_text(encoding="utf-8")), "utf-8")
            else:
                shutil.copy(file, copy)


def fetch(share: Path = SHARE) -> None:
    """Put what the pages load into a folder, unless it is there, and remove all else."""
    for package in PACKAGES:
        target = share / package.folder
        stamp = target / ".package"
        if stamp.is_file() and stamp.read_text() == package.pin:
            continue
        print(f"Fetching {package.name}@{package.version} for the pages ...", flush=True)
        with tempfile.TemporaryDirectory() as scratch:
            source = download(package, Path(scratch))
            shutil.rmtree(target, ignore_errors=True)
            keep(package, source, target)
        stamp.write_text(package.pin)
    wanted = {package.folder for package in PACKAGES}
    for folder in share.iterdir():
        if folder.name not in wanted:
            shutil.rmtree(folder)
