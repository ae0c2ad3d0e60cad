"""How to cite the paper and this edition, in BibTeX, for the front page: from `CITATION.cff`.

`python tools/citation.py` writes `chapters/back/cite.md`, which the front page includes; a test
holds it to the citation file.
"""

import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path("chapters", "back", "cite.md")


def entry(kind: str, key: str, fields: dict[str, str]) -> str:
    """Return a record in BibTeX."""
    width = max(map(len, fields))
    lines = [f"  {name:{width}} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@{kind}{{{key},", *lines, "}"])


def paper(known: dict) -> str:
    """Return the record of the paper."""
    given = known["preferred-citation"]
    authors = [f"{one['family-names']}, {one['given-names']}" for one in given["authors"]]
    preprint = next(
        one["value"].removeprefix("arXiv:")
        for one in given["identifiers"]
        if one["value"].startswith("arXiv:")
    )
    fields = {
        "author": " and ".join(authors),
        "title": f"{{{given['title']}}}",
        "booktitle": given["collection-title"],
        "volume": str(given["volume"]),
        "year": str(given["year"]),
        "eprint": preprint,
        "archivePrefix": "arXiv",
    }
    return entry("inproceedings", "milne2019", fields)


def edition(known: dict, year: str) -> str:
    """Return the record of this edition; its authors are one name, in braces."""
    fields = {
        "author": f"{{{known['authors'][0]['name']}}}".replace('"', "", 1).replace('"', "", 1),
        "title": f"{{{known['title']}}}",
        "version": str(known["version"]),
        "year": year,
        "url": known.get("repository-code", known.get("url", "")),
    }
    return entry(known["type"], "pscore", fields)


def page(root: Path) -> str:
    """Return the two records as the page shows them."""
    known = yaml.safe_load((root / "CITATION.cff").read_text("utf-8"))
    year = yaml.safe_load((root / "_config.yml").read_text("utf-8"))["copyright"]
    return (
        "The paper:\n\n"
        f"```bibtex\n{paper(known)}\n```\n\n"
        "This edition, if you use its code, its extensions or its measurements:\n\n"
        f"```bibtex\n{edition(known, year)}\n```\n"
    )


if __name__ == "__main__":
    (ROOT / TARGET).write_text(page(ROOT), "utf-8")
    sys.exit(0)
