"""The ledger: every numbered claim, where it is proved, and what its check has seen.

A claim is declared in the evidence file of its chapter's name. The ledger's order is that of the
chapters in the table of contents, and within a chapter that of the file.
"""

import importlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import yaml

from evidence.claims import DECLARED, Check, Claim

ROOT = Path(__file__).resolve().parents[1]

# What a chapter prints of a check, see `evidence.claims.Evidence`.
SEEN = re.compile(
    r"^(?P<labels>[\w-]+(?:, [\w-]+)*):\n"
    r" +(?P<applied>[\w ]+) instances met the hypotheses, (?P<violations>\d+) violations"
    r"(?:\n +nearest to equality (?P<margin>[\d.]+)(?=,|$))?"
    r"(?:(?:,|\n +) ?falsified variant: (?P<refused>[\w ]+) counterexamples)?$",
    re.MULTILINE,
)


def pages() -> list[str]:
    """Return the chapters in the book's order, below ``chapters`` and without their endings."""
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text())
    files = [contents["root"]]
    files += [chapter["file"] for part in contents["parts"] for chapter in part["chapters"]]
    return [file.removeprefix("chapters/") for file in files]


def module_of(page: str) -> str:
    """Return the name of a chapter's evidence file: ``evidence.second_derivative``."""
    return "evidence." + Path(page).name.replace("-", "_")


@cache
def ledger() -> dict[str, tuple[Claim, ...]]:
    """Return the claims of each page that has any, in the book's order."""
    found = {}
    for page in pages():
        if page.startswith("back/"):
            continue
        module = module_of(page)
        if (ROOT / (module.replace(".", "/") + ".py")).exists():
            importlib.import_module(module)
            declared = [one for one in DECLARED.values() if one.module == module]
            found[page] = tuple(  # those that share a check together, in their order
                dict.fromkeys(
                    each for one in declared for each in (one.check.claims if one.check else [one])
                )
            )
    return found


def claims() -> tuple[Claim, ...]:
    """Return all claims, in the book's order."""
    return tuple(one for page in ledger().values() for one in page)


def page_of(label: str) -> str:
    """Return the page of a claim.

    Raises:
        KeyError: if there is no such claim.
    """
    for page, those in ledger().items():
        if any(one.label == label for one in those):
            return page
    raise KeyError(f"there is no claim {label!r}")


def name_in_tests(check: Check) -> str:
    """Return what a check is called among the tests: ``strong_minima-check_kink``."""
    return f"{check.claims[0].module.rpartition('.')[2]}-{check.function.__name__}"


def seen_on(page: str) -> dict[str, dict[str, str]]:
    """Return what the checks of a chapter saw, by label, as its stored outputs print it."""
    path = ROOT / "chapters" / f"{page}.ipynb"
    if not path.exists():
        return {}
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    printed = "".join(
        "".join(output["text"])
        for cell in cells
        for output in cell.get("outputs", [])
        if output.get("name") == "stdout"
    )
    return {
        label: {name: text or "" for name, text in found.groupdict().items()}
        for found in SEEN.finditer(printed)
        for label in found["labels"].split(", ")
    }


def seen() -> dict[str, dict[str, str]]:
    """Return what all checks saw, by label."""
    return {label: row for page in ledger() for label, row in seen_on(page).items()}


def problems(stated: Sequence[Claim], shown: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Say what is wrong with a ledger; an empty list is a sound one.

    A use of an unknown claim, a circle of uses, a check whose evidence its page does not show,
    evidence for a claim that does not exist, and evidence with a violation.

    Args:
        stated: the claims.
        shown: what the pages show of their checks, by label.
    """
    labels = {one.label for one in stated}
    found = [
        f"{one.label} uses the unknown claim {x}"
        for one in stated
        for x in one.uses
        if x not in labels
    ]
    found += [f"{x} is shown, and no claim" for x in shown if x not in labels]
    for one in stated:
        if one.check is not None and one.label not in shown:
            found.append(f"the page of {one.label} does not show what its check saw")
        elif one.label in shown and shown[one.label]["violations"] != "0":
            found.append(f"the page of {one.label} shows a violation")
    try:
        order(stated)
    except CycleError as error:
        found.append("a circle of uses: " + " → ".join(error.args[1]))
    return found


def order(stated: Sequence[Claim]) -> list[str]:
    """Return the labels so that each comes after the claims that its proof uses.

    Raises:
        graphlib.CycleError: if proofs use each other in a circle.
    """
    uses = {one.label: set(one.uses) for one in stated}
    return list(TopologicalSorter(uses).static_order())
