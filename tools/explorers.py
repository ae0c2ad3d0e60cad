"""Explorers on the pages: plain HTML and pictures in place of widgets.

`pscore.figures.explore` stores an explorer with its notebook, as widgets that work in Jupyter. A
page does without a widget manager. For each explorer it gets a figure with the controls of a
browser, the frame that is shown first, its words, and a button for each landmark; the names and
words of the other frames are in it too, and `explorer.js` loads their pictures as they are asked
for. Without scripts, and on paper, the landmarks' frames stand below in their stead.
"""

import base64
import hashlib
import json
import posixpath
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from bs4 import BeautifulSoup
from docutils import nodes
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

VIEW = re.compile(r'<script type="application/vnd.jupyter.widget-view\+json">(.*)</script>', re.S)


class Control(NamedTuple):
    """What a reader moves: a slider, or a list of words.

    Attributes:
        name: what is moved.
        labels: its values.
        index: of the value at first.
        words: whether it is a list.
    """

    name: str
    labels: list[str]
    index: int
    words: bool

    def html(self) -> str:
        """Return the control with its label and, of a slider, its value."""
        name, value = escape(self.name), escape(self.labels[self.index])
        if self.words:
            options = "".join(
                f"<option{' selected' * (k == self.index)}>{escape(label)}</option>"
                for k, label in enumerate(self.labels)
            )
            field = f'<select aria-label="{name}" autocomplete="off">{options}</select>'
            return f"<label><span>{name}</span>{field}</label>"
        labels = escape(json.dumps(self.labels, ensure_ascii=False))
        field = (
            f'<input type="range" min="0" max="{len(self.labels) - 1}" step="1" '
            f'value="{self.index}" aria-label="{name}" aria-valuetext="{name} = {value}" '
            f'data-labels="{labels}" autocomplete="off">'
        )
        wide = max(map(len, self.labels))
        shown = f'<output aria-live="off" style="min-width:{wide}ch">{value}</output>'
        return f"<label><span>{name}</span>{field}{shown}</label>"


class explorer(nodes.figure):  # noqa: N801, docutils names its nodes so
    """An explorer; its children are the frames' images, choice by choice."""

    @property
    def controls(self) -> list[Control]:
        """The slider, and the second control if there is one."""
        return self["controls"]

    @property
    def frames(self) -> list[nodes.image]:
        """The frames, choice by choice."""
        return list(self.findall(nodes.image))

    def landmarks(self) -> dict[str, int]:
        """Return a frame for each name: for the first choice, if that has one of the name."""
        columns, row = len(self.controls[0].labels), self.controls[-1].index
        first = range(row * columns, (row + 1) * columns) if len(self.controls) > 1 else ()
        found: dict[str, int] = {}
        frames = self.frames
        for k in (*first, *range(len(frames))):
            if name := frames[k]["landmark"]:
                found.setdefault(name, k)
        return found

    def start(self) -> int:
        """Return the number of the frame that is shown first."""
        slider, *second = self.controls
        return slider.index + sum(x.index * len(slider.labels) for x in second)


def read(state: dict[str, Any], model: str) -> explorer | None:
    """Return the explorer that a stored widget is, without its pictures' files, or None."""

    def of(reference: str) -> dict[str, Any]:
        return state[reference.removeprefix("IPY_MODEL_")]

    top = state.get(model, {}).get("state", {})
    if "explorer" not in top.get("_dom_classes", ()):
        return None
    *controls, stack = map(of, top["children"])
    rows = list(map(of, stack["state"]["children"])) if len(controls) > 1 else [stack]
    found = explorer()
    found["controls"] = [
        Control(
            one["state"]["description"],
            one["state"]["_options_labels"],
            one["state"]["index"],
            one["model_name"] == "DropdownModel",
        )
        for one in controls
    ]
    for frame in (of(x) for row in rows for x in row["state"]["children"]):
        image = BeautifulSoup(frame["state"]["value"], "html.parser").img
        # By another name than width, by which Sphinx would link a picture to itself.
        size = f'width="{image["width"]}" height="{image["height"]}"'
        found += nodes.image(
            uri=image["src"], alt=image["alt"], landmark=image["data-landmark"], size=size
        )
    return found


def store(found: explorer, folder: Path, root: Path) -> None:
    """Put the frames' pictures into files named by their content, where Sphinx will take them."""
    folder.mkdir(parents=True, exist_ok=True)
    for image in found.frames:
        data = base64.b64decode(image["uri"].partition(",")[2])
        file = folder / f"{hashlib.sha256(data).hexdigest()[:16]}.png"
        if not file.exists():
            file.write_bytes(data)
        image["uri"] = f"/{file.relative_to(root).as_posix()}"


def replace(app: Sphinx, doctree: nodes.document) -> None:
    """Replace a page's widgets by explorers, and keep their state off the page."""
    files = NbMetadataCollector.get_js_files(app.env, app.env.docname)
    state = json.loads(files["ipywidgets_state"][1]["body"])["state"] if files else {}
    views = [
        (node, match)
        for node in doctree.findall(nodes.raw)
        if (match := VIEW.search(node.astext()))
    ]
    name = posixpath.basename(app.env.docname)
    for k, (view, match) in enumerate(views, start=1):
        found = read(state, json.loads(match[1])["model_id"])
        if found is None:
            logger.warning("a widget that is no explorer does nothing on a page", location=view)
            continue
        store(
            found, Path(app.doctreedir).resolve().parent / "explorers", Path(app.srcdir).resolve()
        )
        found["ids"] = [f"explorer-{name}" + (f"-{k}" if k > 1 else "")]
        view.replace_self(found)
    for key in [key for key in files if key.startswith("ipywidgets_")]:
        del files[key]


def html(found: explorer, sources: Sequence[str]) -> str:
    """Return an explorer's figure, given its pictures' addresses."""
    start, marks, pictures = found.start(), found.landmarks(), found.frames
    names = " and ".join(escape(one.name) for one in found.controls)
    buttons = "".join(
        f'<button type="button" aria-pressed="{str(name == pictures[start]["landmark"]).lower()}">'
        f"{escape(name)}</button>"
        for name in marks
    )
    stills = "".join(
        f"<figure>{picture(pictures[k], sources[k])}{caption(pictures[k])}</figure>"
        for k in marks.values()
        if k != start
    )
    frames = [[x, y["alt"], y["landmark"]] for x, y in zip(sources, pictures, strict=True)]
    data = json.dumps(frames, ensure_ascii=False).replace("</", r"<\/")
    longest = max((caption_text(one) for one in pictures), key=len)
    return (
        f'<figure class="explorer" id="{found["ids"][0]}" role="group" '
        f'aria-label="A picture to move by {names}">\n'
        f'<div class="explorer-controls">{"".join(one.html() for one in found.controls)}</div>\n'
        f"{picture(pictures[start], sources[start], 'explorer-frame')}\n"
        + caption(pictures[start], f' aria-live="polite" data-room="{escape(longest)}"')
        + f'\n<div class="explorer-landmarks">{buttons}</div>\n'
        f'<div class="explorer-stills">{stills}</div>\n'
        f'<script type="application/json">{data}</script>\n</figure>\n'
    )


def picture(frame: nodes.image, source: str, name: str = "explorer-still") -> str:
    """Return a frame's picture; those that only paper shows are loaded last, by `explorer.js`."""
    loading = "lazy" if name == "explorer-still" else "eager"
    words = f'{frame["size"]} alt="{escape(frame["alt"])}" loading="{loading}"'
    return f'<img class="{name}" src="{escape(source)}" {words}>'


def caption(frame: nodes.image, attributes: str = "") -> str:
    """Return what stands under a frame: its landmark's name, and its words."""
    name = f"{escape(frame['landmark'])}. " if frame["landmark"] else ""
    words = f"<b>{name}</b><span>{escape(frame['alt'])}</span>"
    return f"<figcaption{attributes}><p>{words}</p></figcaption>"


def caption_text(frame: nodes.image) -> str:
    """Return the same as text."""
    return f"{frame['landmark']}. {frame['alt']}" if frame["landmark"] else frame["alt"]


def visit(translator: Any, node: explorer) -> None:
    """Write an explorer; its images are in the figure already."""
    builder = translator.builder
    sources = [
        posixpath.join(builder.imgpath, quote(builder.images[image["uri"]]))
        for image in node.frames
    ]
    translator.body.append(html(node, sources))
    raise nodes.SkipNode


def load(app: Sphinx, page: str, template: str, context: dict, doctree: nodes.document) -> None:
    """Let a page with an explorer load what moves it."""
    if doctree is not None and next(doctree.findall(explorer), None) is not None:
        app.add_css_file("explorer.css")
        app.add_js_file("explorer.js", loading_method="defer")


def setup(app: Sphinx) -> None:
    """Connect the events."""
    app.add_node(explorer, html=(visit, None))
    # Before Sphinx collects images, and before the line under each figure.
    app.connect("doctree-read", replace, priority=400)
    app.connect("html-page-context", load)
