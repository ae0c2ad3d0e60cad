"""Explorers: what one is in a notebook, and what becomes of it on a page."""

import base64
import io
import json
import re
from html import unescape

import explorers
import ipywidgets
import numpy as np
import pytest
from matplotlib import rcParams
from PIL import Image

from pscore.figures import BLUE, ORANGE, explore

VALUES = [0.0, 0.5, 1.0]


def draw(figure, value, choice="red"):
    axes = figure.subplots()
    axes.plot([0, 1], [value, 1], color=ORANGE if choice == "red" else BLUE, linewidth=1)
    axes.set(ylim=(0, 10 ** (1 + value)))


def describe(value, choice="red"):
    return f"A <{choice}> line from {value:g}."


def small(**options):
    given = {"along": ("λ", VALUES), "describe": describe, "figsize": (2, 2), **options}
    return explore(draw, **given)


def frames(explorer):
    stack = explorer.children[-1]
    rows = [stack] if len(explorer.children) == 2 else stack.children
    return [[frame.value for frame in row.children] for row in rows]


def picture(frame):
    data = base64.b64decode(re.search(r"base64,([^\"]+)", frame)[1])
    return Image.open(io.BytesIO(data))


# ---- in a notebook -----------------------------------------------------------------------------


def test_every_value_and_choice_has_a_frame_with_its_words():
    explorer = small(choose=("colour", ("red", "blue")), start=(0.5, "blue"))
    slider, second, stack = explorer.children
    assert (slider.index, second.index, stack.selected_index) == (1, 1, 1)
    assert repr(explorer) == "Explorer(λ: 3 values, colour: 2 values)"
    for row, choice in zip(frames(explorer), ("red", "blue"), strict=True):
        for frame, value in zip(row, VALUES, strict=True):
            assert unescape(frame).count(describe(value, choice)) == 2  # and as alternative text
            assert describe(value, choice) not in frame


def test_frames_are_small_repeatable_and_keep_the_colour_of_a_thin_line():
    first, again = frames(small())[0], frames(small())[0]
    assert first == again and len(set(first)) == 3
    image = picture(first[0])
    assert image.mode == "P" and len(image.getcolors()) <= 32 and image.size == (200, 200)
    colours = [colour for _, colour in image.convert("RGB").getcolors()]
    assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    orange = [int(ORANGE[k : k + 2], 16) for k in (1, 3, 5)]
    assert min(np.abs(np.subtract(colours, orange)).sum(-1)) < 30


def test_the_book_s_style_is_that_of_frames_whatever_a_notebook_has_set(monkeypatch):
    before = frames(small())
    monkeypatch.setitem(rcParams, "axes.spines.top", not rcParams["axes.spines.top"])
    monkeypatch.setitem(rcParams, "font.size", 14)
    assert frames(small()) == before


def test_axes_stand_still_when_their_labels_grow():
    wide = [picture(frame).convert("L") for frame in frames(small())[0]]
    spines = [np.flatnonzero((np.asarray(image) < 80).sum(0) > 100) for image in wide]
    assert spines[0].size and all(np.array_equal(spines[0], one) for one in spines)


def test_controls_are_linked_in_the_browser():
    before = set(ipywidgets.widget._instances)
    small(choose=("n", (1, 2)))
    made = [ipywidgets.widget._instances[key] for key in set(ipywidgets.widget._instances) - before]
    links = [one for one in made if type(one).__name__ == "Link"]
    assert len(links) == 3 and all(one.target[1] == "selected_index" for one in links)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"along": ("λ", [1.0])}, "along: λ needs two different values or more"),
        ({"along": ("λ", [1.0, 1.0])}, "along: λ needs two"),
        ({"along": ("λ", VALUES, ["a"])}, "a label for each"),
        ({"choose": ("n", [1])}, "choose: n needs two to six"),
        ({"choose": ("n", range(7))}, "choose: n needs two to six"),
        ({"start": 0.7}, "start: 0.7 is not among the values"),
        ({"start": (0.5, "red")}, "start: "),
        ({"landmarks": {2: "far"}}, "landmarks: 2 is not among the values"),
        ({"landmarks": {1.0: ""}}, "landmarks must have names"),
        ({"describe": lambda value: None}, "describe must return a sentence"),
    ],
)
def test_bad_input_is_named(options, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        small(**options)


# ---- on a page ---------------------------------------------------------------------------------


def stored(explorer):
    """The state of the widgets as a notebook stores it, and the explorer's place in it."""
    models = ipywidgets.widget._instances
    state = {
        key: {"model_name": one._model_name, "state": one.get_state()}
        for key, one in models.items()
        if hasattr(one, "_model_name")
    }
    return json.loads(json.dumps(state, default=str)), explorer.model_id


MARKS = {(1.0, "red"): "Far <out>", 0.0: "Near"}


@pytest.fixture
def page():
    explorer = small(choose=("colour", ("red", "blue")), start=(0.5, "blue"), landmarks=MARKS)
    return explorers.read(*stored(explorer))


def test_a_page_is_told_all_that_the_notebook_stores(page):
    slider, second = page.controls
    assert (slider.name, slider.labels, slider.index) == ("λ", ["0", "0.5", "1"], 1)
    assert second == explorers.Control("colour", ["red", "blue"], 1, words=True)
    assert [one["alt"] for one in page.frames] == [
        describe(value, choice) for choice in ("red", "blue") for value in VALUES
    ]
    assert page.start() == 4
    assert page.landmarks() == {"Near": 3, "Far <out>": 2}  # near for the choice that is shown


def test_another_widget_is_no_explorer():
    assert explorers.read(*stored(ipywidgets.VBox())) is None


def test_pictures_are_named_by_their_content(page, tmp_path):
    explorers.store(page, tmp_path / "made", tmp_path)
    files = sorted((tmp_path / "made").iterdir())
    assert {one["uri"] for one in page.frames} == {f"/made/{file.name}" for file in files}
    assert len(files) == 6 and all(Image.open(file).size == (200, 200) for file in files)


def test_the_figure_can_be_read_before_any_script(page):
    page["ids"] = ["here"]
    sources = [f"{k}.png" for k in range(6)]
    text = explorers.html(page, sources)
    shown = re.search(r'<img class="explorer-frame" src="(\S+)" width="200" height="200"', text)
    assert shown[1] == "4.png"
    assert 'aria-valuetext="λ = 0.5"' in text and "<option selected>blue</option>" in text
    assert "<span>A &lt;blue&gt; line from 0.5.</span>" in text
    assert re.findall(r">([^<]+)</button>", text) == ["Near", "Far &lt;out&gt;"]
    stills = text[text.index("explorer-stills") : text.index("<script")]
    assert re.findall(r'src="(\S+)"', stills) == ["3.png", "2.png"]
