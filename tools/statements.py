"""Statements and their proofs: ids that a page gives once, and folds that open where clicked.

The directives of sphinx-proof call each proof `proof` and what each statement says `proof-content`.
And the title of a proof's fold is written as a link, ``Proof of {prf:ref}`...` ``, so that
whoever clicks on it would leave instead of opening it.
"""

from collections.abc import Iterator

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx_design.dropdown import dropdown_main, dropdown_title
from sphinx_proof.nodes import NODE_TYPES, proof_node, unenumerable_node

STATEMENTS = (*NODE_TYPES.values(), unenumerable_node)


def give_ids_once(app: Sphinx, doctree: nodes.document) -> None:
    """Name each proof for its statement, and let no section of the page share a statement's id."""
    taken = {name for one in doctree.findall(is_statement) for name in one["ids"]}
    for section in doctree.findall(nodes.section):
        if section["ids"][0] in taken:
            section["ids"][0] = free(f"on-{section['ids'][0]}", taken)
    for proof in doctree.findall(proof_node):
        body = proof.next_node(nodes.admonition)
        label = proves(proof)
        body["ids"] = [free(f"proof-of-{label}", taken)] if label else []
        body["classes"].append("proof-text")


def free(name: str, taken: set[str]) -> str:
    """Return a name that is not taken, and take it."""
    while name in taken:
        name += "-again"
    taken.add(name)
    return name


def is_statement(node: nodes.Node) -> bool:
    """Whether a node is a theorem, a lemma, and so on."""
    return isinstance(node, STATEMENTS)


def proves(proof: nodes.Node) -> str | None:
    """Return the label of the statement that the title of the fold around a proof names."""
    fold = proof.parent
    while fold is not None and fold.get("design_component") != "dropdown":
        fold = fold.parent
    title = fold and fold.next_node(nodes.rubric)
    named = title and title.next_node(pending_xref)
    return named["reftarget"] if named else None


def drop_common_ids(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Take the common name from what statements say; Sphinx wanted one to number the sections."""
    for section in doctree.findall(nodes.section):
        section["ids"] = [name for name in section["ids"] if name != "proof-content"]


def plain_fold_titles(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Write the titles of folds without links, and lead back from within where it is a way."""
    for fold in list(doctree.findall(dropdown_main)):
        links = list(fold.next_node(dropdown_title).findall(nodes.reference))
        away = [link for link in links if link.get("refid") not in above(fold)]
        for link in links:
            link.replace_self(link.children)
        if away:
            fold[1].insert(0, nodes.paragraph("", "", *back(away), classes=["back-to"]))


def above(fold: nodes.Node) -> set[str]:
    """Return the ids of the statement just above a fold, if no more than a remark parts the two."""
    remarks = 0
    for node in reversed(fold.parent[: fold.parent.index(fold)]):
        if is_statement(node):
            return set(node["ids"])
        remarks += isinstance(node, nodes.paragraph)
        if remarks > 1 or not isinstance(node, nodes.paragraph | dropdown_main | nodes.Invisible):
            break
    return set()


def back(links: list[nodes.reference]) -> Iterator[nodes.Node]:
    """Say where the statements are that a fold is about."""
    yield nodes.Text("Back to ")
    for number, link in enumerate(links):
        if number:
            yield nodes.Text(", ")
        yield nodes.reference("", "", *(one.deepcopy() for one in link), **link.attributes)


def setup(app: Sphinx) -> None:
    """Connect the events."""
    app.add_css_file("statements.css")
    # Before Sphinx notes which section has which id.
    app.connect("doctree-read", give_ids_once, priority=100)
    app.connect("doctree-resolved", drop_common_ids)
    app.connect("doctree-resolved", plain_fold_titles)
