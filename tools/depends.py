"""Which files a notebook's outputs depend on, read from its imports.

What a module imports is followed through `pscore` and `evidence`; the package that holds it is
imported with it. A notebook or module that reads stored results depends on all of `results`.
"""

import ast
import hashlib
import json
import platform
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOMS = ("pscore", "evidence")
PINS = ("requirements.txt", "constraints.txt")


def chapters(root: Path) -> list[Path]:
    """Return the book's notebooks."""
    found = (root / "chapters").rglob("*.ipynb")
    return sorted(path for path in found if ".ipynb_checkpoints" not in path.parts)


def code(notebook: Path) -> str:
    """Return the code of a notebook, without the lines that only IPython understands."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    lines = "\n".join(sources).splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith(("%", "!")))


def imported(text: str) -> Iterator[str]:
    """Yield what a piece of code imports, each as it may be a module: ``pscore``, ``pscore.loss``.

    Of ``from pscore import loss`` both are given, as `loss` may be a module or a name.
    """
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def reads_results(text: str) -> bool:
    """Say whether a piece of code asks for a stored batch, or for a file below ``results/``."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and any(name.name == "stored" for name in node.names):
            return True
        if isinstance(node, ast.Attribute) and node.attr == "stored":
            return True
        if isinstance(node, ast.Constant) and str(node.value).startswith("results/"):
            return True
    return False


@cache
def files_of(root: Path, text: str) -> frozenset[Path]:
    """Return the files of the rooms that a piece of code imports itself."""
    found = set()
    for name in imported(text):
        parts = name.split(".")
        if parts[0] in ROOMS:
            for end in range(1, len(parts) + 1):
                place = root.joinpath(*parts[:end])
                found |= {place.with_suffix(".py"), place / "__init__.py"}
    return frozenset(path for path in found if path.is_file())


def closure(root: Path, text: str) -> set[Path]:
    """Return the files of the rooms that a piece of code imports, directly or through others."""
    reached: set[Path] = set()
    fresh = set(files_of(root, text))
    while fresh:
        reached |= fresh
        found = {path for file in fresh for path in files_of(root, file.read_text("utf-8"))}
        fresh = (fresh | found) - reached
    return reached


def dependencies(root: Path, notebook: Path) -> set[Path]:
    """Return the files, apart from itself, that a notebook's outputs depend on."""
    text = code(notebook)
    found = closure(root, text)
    if any(reads_results(part) for part in [text, *(file.read_text("utf-8") for file in found)]):
        found |= {path for path in (root / "results").rglob("*") if path.is_file()}
    return found | {root / name for name in PINS if (root / name).is_file()}


def digest(root: Path, notebook: Path) -> str:
    """Return the SHA-256 of all that can change a notebook's outputs, apart from itself."""
    total = hashlib.sha256(platform.python_version().encode())
    for path in sorted(dependencies(root, notebook)):
        total.update(path.relative_to(root).as_posix().encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def stale(root: Path, before: dict[str, str]) -> tuple[list[Path], dict[str, str]]:
    """Return the notebooks whose digests differ from those before, and all digests now."""
    now = {path.relative_to(root).as_posix(): digest(root, path) for path in chapters(root)}
    return [root / name for name in now if now[name] != before.get(name)], now
