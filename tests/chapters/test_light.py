"""Pages are made light: what is left out, how pictures are stored and what they say."""

from types import SimpleNamespace

import light
import numpy as np
import pytest
from PIL import Image, ImageDraw
from sphinx.builders.html._assets import _JavaScript

COLOURS = ((31, 119, 180), (255, 127, 14), (20, 20, 20))
DOCTREE = object()
BOOK = SimpleNamespace(builder=SimpleNamespace(format="html"))


def script(filename, **attributes):
    return _JavaScript(filename, **attributes)


def scripts_of(doctree, body=""):
    context = {
        "body": body,
        "script_files": [
            script("_static/a.js"),
            script("_static/design-tabs.js"),
            script(None, body="DOCUMENTATION_OPTIONS.pagename = 'here';"),
            script(None, body="{}", type="application/json"),
        ],
    }
    light.lighten_scripts(BOOK, "page", "page.html", context, doctree)
    return context["script_files"]


def test_scripts_wait_for_the_page_and_those_without_use_are_left_out():
    first, state = scripts_of(DOCTREE)
    assert first.filename == "_static/a.js" and first.attributes == {"defer": "defer"}
    assert "defer" not in state.attributes
    assert len(scripts_of(DOCTREE, '<label class="sd-tab-label">')) == 3
    assert len(scripts_of(None)) == 4  # search, whose scripts need each other at once


def test_pages_share_their_scripts_which_stay_as_they_are():
    shared = [script("_static/a.js")]
    context = {"script_files": shared}
    light.lighten_scripts(BOOK, "page", "page.html", context, DOCTREE)
    assert context["script_files"][0].attributes and not shared[0].attributes


@pytest.fixture
def drawing(tmp_path):
    """A figure as matplotlib stores one: few colours in all their shades, opaque."""
    picture = Image.new("RGBA", (640, 400), "white")
    draw = ImageDraw.Draw(picture)
    for i in range(40):
        draw.line([(0, 10 * i), (640, 10 * i + 70)], fill=COLOURS[i % 3], width=2)
    folder = tmp_path / "_images"
    folder.mkdir()
    picture.resize((320, 200), Image.Resampling.LANCZOS).save(folder / "lines.png")
    return folder / "lines.png"


def test_a_figure_gets_a_palette_that_nobody_sees(drawing):
    before, pixels = drawing.stat().st_size, np.asarray(Image.open(drawing).convert("RGB"), int)
    light.with_palette(drawing)
    assert Image.open(drawing).mode == "P" and drawing.stat().st_size < 0.6 * before
    after = np.asarray(Image.open(drawing).convert("RGB"), int)
    assert abs(after - pixels).mean() < light.ON_AVERAGE


def test_a_picture_that_would_change_is_left_as_it_is(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    before = (tmp_path / "photo.png").read_bytes()
    light.with_palette(tmp_path / "photo.png")
    assert (tmp_path / "photo.png").read_bytes() == before
    assert not list(tmp_path.glob("*.tmp"))


def test_what_shines_through_still_does(tmp_path):
    picture = Image.new("RGBA", (300, 300), (0, 0, 0, 0))
    ImageDraw.Draw(picture).ellipse([20, 20, 280, 280], fill=(200, 30, 30, 128))
    picture.save(tmp_path / "disc.png")
    light.with_palette(tmp_path / "disc.png")
    after = Image.open(tmp_path / "disc.png").convert("RGBA")
    assert after.getpixel((5, 5))[3] == 0 and 120 < after.getpixel((150, 150))[3] < 136


def test_pictures_say_how_large_they_are_and_come_late(drawing):
    out = drawing.parents[1]
    (out / "chapters").mkdir()
    (out / "_static" / "vendor").mkdir(parents=True)
    (out / "_static" / "vendor" / "font.ttf").touch()
    (out / "_static" / "a.js").touch()
    (out / "_static" / "a.js.map").touch()
    page = out / "chapters" / "page.html"
    page.write_text(
        '<img alt="one" src="../_images/lines.png" />'
        '<img src="../_images/lines.png" width="100" loading="eager"/>'
        '<img src="data:image/png;base64,AA==">'
    )
    light.lighten_files(SimpleNamespace(builder=BOOK.builder, outdir=out), None)
    assert page.read_text() == (
        '<img loading="lazy" width="320" height="200" alt="one" src="../_images/lines.png" />'
        '<img src="../_images/lines.png" width="100" loading="eager"/>'
        '<img loading="lazy" src="data:image/png;base64,AA==">'
    )
    assert Image.open(drawing).mode == "P"
    assert [path.name for path in (out / "_static").iterdir()] == ["a.js"]
