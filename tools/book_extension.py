"""A Sphinx extension for what is particular to an edition of a paper.

* Statements and equations of the paper keep its numbers. A theorem, lemma or definition is
  labelled `paper-theorem-3`, an equation `eq-6`, and bears that number wherever it is shown or
  referred to. What is ours is numbered within its chapter: Proposition 2.1, equation (2.1).
* The code of a check stands on the page of its statement; see `check_directive`.
* The ledger has a row for each claim, with links, and a graph; see `ledger_page`.
* Under each figure stands what made it; see `made_by`.
* Formulas are set when the book is built; see `formulas`.
* A chapter can be taken away as a notebook; see `downloads`.
* What would keep a reader out is mended; see `accessible`.
* Pages load little, and nothing before they can be read; see `light`.
* Pages have an icon, and name their address where it is known; see `address`.
* Proofs and statements have names of their own, and are listed; see `statements` and
  `statement_index`.
* What a link leads to is shown beside it; see `previews`.
"""

import re
from collections import defaultdict

import accessible
import address
import check_directive
import downloads
import explorers
import formulas
import ledger_page
import light
import made_by
import previews
import statement_index
import statements
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

logger = logging.getLogger(__name__)

OF_THE_PAPER = ("theorem", "lemma", "definition")
LABEL = re.compile(rf"(?:paper-(?:{'|'.join(OF_THE_PAPER)})|equation-eq)-(\d+[a-z]?)")


def number_as_in_the_paper(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Replaces Sphinx's numbers by the paper's, and closes the gaps this leaves among ours."""
    for tables in env.toc_fignumbers.values():
        for kind, numbers in tables.items():
            if kind not in (*OF_THE_PAPER, "displaymath"):
                continue
            ours: defaultdict[tuple, int] = defaultdict(int)
            for anchor, number in numbers.items():
                if match := LABEL.fullmatch(anchor):
                    numbers[anchor] = (match[1],)
                else:
                    chapter = number[:-1]
                    ours[chapter] += 1
                    numbers[anchor] = (*chapter, ours[chapter])
    for label, statement in getattr(env, "proof_list", {}).items():
        if statement["realtype"] in OF_THE_PAPER and not statement["nonumber"]:
            if not LABEL.fullmatch(label):
                logger.warning(
                    "%s %r: these bear the paper's numbers, so label it like paper-lemma-3; "
                    "a statement of ours is a proposition, corollary or remark.",
                    statement["realtype"],
                    label,
                    location=statement["docname"],
                )
    return []


def setup(app: Sphinx) -> dict:
    """Connects the extension."""
    # After Sphinx, which numbers everything on this event.
    app.connect("env-get-updated", number_as_in_the_paper, priority=900)
    check_directive.setup(app)
    ledger_page.setup(app)
    made_by.setup(app)
    explorers.setup(app)
    statements.setup(app)
    statement_index.setup(app)
    previews.setup(app)
    formulas.setup(app)
    downloads.setup(app)
    accessible.setup(app)
    light.setup(app)
    address.setup(app)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
