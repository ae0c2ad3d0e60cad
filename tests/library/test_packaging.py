"""What is installed: the wheel holds what a user imports, and nothing of the evidence."""

import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_library_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"pscore"}
    packed = {name for name in names if name.endswith(".py")}
    there = {p.relative_to(ROOT).as_posix() for p in (ROOT / "pscore").rglob("*.py")}
    assert packed == there
    assert "pscore/py.typed" in names


def needed_by(package, found=None):
    """What a package needs, and what these need in turn, of what is installed here."""
    found = set() if found is None else found
    for line in metadata.requires(package) or []:
        need = Requirement(line)
        if (need.marker is None or need.marker.evaluate({"extra": ""})) and need.name not in found:
            found.add(need.name)
            try:
                needed_by(need.name, found)
            except metadata.PackageNotFoundError:
                found.remove(need.name)
    return found


USE = """
import sys
import torch
from torch import nn
from pscore import CurvatureProbe, ReLUNetwork, certify, every

model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1, bias=False))
x, y = torch.randn(8, 4), torch.randn(8)
assert set(certify(model, None, x, y, 0.1)) == {"paper", "sharp", "layerwise", "data"}
probe = CurvatureProbe(model, every(1))
assert probe.observe(((model(x).squeeze(1) - y) ** 2).mean()).loss > 0
there = {"pandas", "scipy", "sklearn", "flint", "matplotlib", "ipywidgets", "pyarrow"}
assert not there & set(sys.modules), there & set(sys.modules)
extras = {"exact": "exact", "experiments": "experiments", "figures": "book"}
for module, extra in extras.items():
    try:
        __import__(f"pscore.{module}")
    except ImportError as error:
        assert f"pip install 'pscore[{extra}]'" in str(error), error
    else:
        raise AssertionError(module)
print("used")
"""


def test_the_wheel_is_used_where_there_is_torch_and_numpy_alone(wheel, tmp_path):
    """An interpreter without site-packages sees the wheel, torch, numpy and what these need."""
    for name in {"torch", "numpy", *needed_by("torch"), *needed_by("numpy")}:
        site = Path(metadata.distribution(name).locate_file(""))
        for top in {file.parts[0] for file in metadata.files(name) or []} - {"..", "__pycache__"}:
            if not (tmp_path / top).exists():
                (tmp_path / top).symlink_to(site / top)
    (tmp_path / "pscore.whl").symlink_to(wheel)
    paths = f"import sys; sys.path += [{str(tmp_path / 'pscore.whl')!r}, {str(tmp_path)!r}]\n"
    command = [sys.executable, "-I", "-S", "-c", paths + USE]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.stdout == "used\n", run.stderr


def test_extras_bring_what_is_imported_and_there_is_one_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert {Requirement(one).name for one in project["dependencies"]} == {"torch", "numpy"}
    said = {Requirement(one).name for extra in extras.values() for one in extra}
    assert {"python-flint", "torchvision", "pandas", "matplotlib", "ipywidgets"} <= said
    assert f"version: {project['version']}\n" in (ROOT / "CITATION.cff").read_text()
