"""The container file: what it copies is there, and its Python is the one that the pins are for."""

import json
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
IMAGE = (ROOT / "Dockerfile").read_text()
STEPS = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", IMAGE, flags=re.M)).splitlines()


def steps(name):
    return [line.removeprefix(f"{name} ") for line in STEPS if line.startswith(f"{name} ")]


def test_it_has_the_python_of_the_pins_and_what_make_needs():
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["python_version"]
    assert steps("FROM") == [f"python:{wanted}-slim-bookworm"]
    install = " ".join(steps("RUN"))
    # The profile for Kubernetes asks for the last two; make pages and make pdf for the browser.
    assert all(f" {name} " in install for name in ("make", "chromium", "git", "bash", "util-linux"))


def test_what_it_copies_is_there_and_not_ignored():
    ignored = (ROOT / ".dockerignore").read_text().split()
    for line in steps("COPY"):
        for name in [word for word in line.split()[:-1] if not word.startswith("--")]:
            assert (ROOT / name).exists() and name not in ignored, name


def test_what_make_needs_for_the_packages_is_copied_before():
    before = IMAGE[: IMAGE.index("make .venv/ready")]
    rule = re.search(r"^\$\(READY\): (.*)$", (ROOT / "Makefile").read_text(), re.M)[1]
    assert all(name in before for name in ["Makefile", *rule.split()])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["readme"] in before and all(name in before for name in project["license-files"])


def test_nobody_works_as_root():
    last = [line for line in STEPS if line.startswith("USER ")][-1]
    assert last == "USER ${NB_USER}"
    assert {"ARG NB_USER=reader", "ARG NB_UID=1000"} <= set(STEPS)  # Binder sets both


def test_the_editor_finds_the_same_file_and_folder():
    given = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert (ROOT / ".devcontainer" / given["build"]["dockerfile"]).resolve() == ROOT / "Dockerfile"
    home = f"/home/{given['remoteUser']}/book"
    assert given["workspaceFolder"] == home and f"target={home}/.venv," in given["mounts"][0]
    assert "ARG NB_USER=reader" in STEPS and "WORKDIR ${HOME}/book" in STEPS
    # Binder takes the file at the root unless a folder of its own goes before.
    assert not any((ROOT / name).exists() for name in ("binder", ".binder"))
