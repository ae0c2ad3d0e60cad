"""The graph of claims: what stands where, whatever the claims; and the book's own."""

from itertools import combinations, pairwise
from xml.etree import ElementTree

import claims_graph as graph
import pytest
from chapter import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence.ledger import claims, ledger


def node(label: str, *uses: str, lane: int = 0, verdict: str = "certified") -> graph.Node:
    words = f"{label} & <so on>"
    return graph.Node(label, label.upper(), words, verdict, f"page.html#{label}", lane, uses)


@st.composite
def books(draw) -> list[graph.Node]:
    """Some claims, each of which uses earlier ones, of its chapter or of one before."""
    count = draw(st.integers(1, 30))
    lanes = sorted(draw(st.lists(st.integers(0, 6), min_size=count, max_size=count)))
    nodes = []
    for i, lane in enumerate(lanes):
        some = st.lists(st.integers(0, max(i - 1, 0)), max_size=4, unique=True)
        used = draw(some) if i else []
        nodes.append(node(f"c{i}", *(f"c{j}" for j in used), lane=lane))
    return draw(st.permutations(nodes))


def lanes_of(nodes):
    return [graph.Lane(f"{i} A chapter", "a.html") for i in range(1 + max(x.lane for x in nodes))]


def check_layout(nodes):
    places, bands = graph.layout(nodes, lanes_of(nodes))
    boxes = {one.label: place for one, place in places.items() if one.box}
    assert set(boxes) == {one.label for one in nodes}
    for x, _ in boxes.values():
        assert graph.MARGIN + graph.BOX[0] / 2 <= x <= graph.WIDTH - graph.BOX[0] / 2
    for one in nodes:
        top, height = bands[one.lane]
        assert top <= boxes[one.label][1] - graph.BOX[1] / 2
        assert boxes[one.label][1] + graph.BOX[1] / 2 <= top + height
    for (x1, y1), (x2, y2) in combinations(boxes.values(), 2):
        assert abs(x1 - x2) >= graph.BOX[0] - 1e-6 or abs(y1 - y2) >= graph.BOX[1]
    for one in nodes:
        for used in one.uses:
            points = graph.route(used, one.label, places)
            assert (points[0], points[-1]) == (boxes[used], boxes[one.label])
            for (_, before), (_, after) in pairwise(points):
                assert after - before >= graph.ROW  # downwards, past every row
            for x, y in points[1:-1]:
                near = [a for a, b in boxes.values() if b == y]
                assert all(abs(a - x) > graph.BOX[0] / 2 for a in near), "through a box"


@given(books())
@settings(deadline=None, max_examples=60)
def test_no_box_meets_another_or_a_line_and_all_lines_lead_downwards(nodes):
    check_layout(nodes)


def test_the_book_s_own_is_so():
    nodes = [
        node(one.label, *one.uses, lane=lane)
        for lane, those in enumerate(x for x in ledger().values() if x)
        for one in those
    ]
    check_layout(nodes)
    assert len(nodes) == len(claims())


def test_many_lines_that_pass_share_the_room_between_the_boxes():
    above = [node(f"a{i}", lane=i // 4) for i in range(40)]
    between = [node(f"b{i}", lane=10) for i in range(8)]
    check_layout([*above, *between, node("c", *(one.label for one in above), lane=11)])


def test_a_circle_is_refused():
    with pytest.raises(ValueError, match="a circle of uses: a, b"):
        graph.rows([node("a", "b"), node("b", "a")])


def test_a_level_that_is_too_long_takes_several_rows():
    rows = graph.rows([node(f"c{i}") for i in range(20)])
    assert [len(row) for row in rows] == [8, 8, 4]
    check_layout([node(f"c{i}") for i in range(20)])


VERDICTS = ("certified", "observed", "corrected", "inconclusive", "refuted")


@pytest.fixture
def drawn() -> ElementTree.Element:
    nodes = [node(f"v{i}", verdict=verdict) for i, verdict in enumerate(VERDICTS)]
    nodes.append(node("w", "v0", "elsewhere", lane=1))
    lanes = [graph.Lane("1 One & two", "one.html"), graph.Lane("Two", "two.html")]
    return ElementTree.fromstring(graph.svg(nodes, lanes, name="g", title="T", text="In words."))


def test_each_claim_is_a_link_with_words(drawn):
    claims = [one for one in drawn.iter("a") if one.get("class").startswith("claim ")]
    assert [one.get("href") for one in claims][-2:] == ["page.html#v4", "page.html#w"]
    for one in claims:
        words = f"{one.get('data-label')} & <so on>"
        assert one.get("aria-label") == words == one.find("title").text
        assert one.find("text").text == one.get("data-label").upper()
    assert {one.get("href") for one in drawn.iter("a")} >= {"one.html", "two.html"}


def test_the_picture_says_in_words_what_it_shows(drawn):
    assert drawn.find("title").text == "T" and drawn.find("desc").text == "In words."
    assert drawn.get("aria-labelledby") == drawn.find("title").get("id")
    assert drawn.get("aria-describedby") == drawn.find("desc").get("id")


def test_a_line_leads_from_each_claim_that_is_drawn_to_its_user(drawn):
    edges = [one for one in drawn.iter("path")]
    assert [(one.get("data-from"), one.get("data-to")) for one in edges] == [("v0", "w")]


def test_verdicts_differ_in_form_or_in_the_style_of_their_border():
    """In grey: all but the two with six corners by form, and these by their borders."""
    shapes = [graph.outline(verdict, 0, 0) for verdict in VERDICTS]
    assert len(set(shapes)) == 4
    assert shapes[3] == shapes[4]
    css = (ROOT / "assets" / "ledger.css").read_text()
    assert ".inconclusive polygon { stroke-dasharray" in css
    assert ".refuted polygon { stroke-width" in css


def test_what_a_claim_rests_on_is_followed_to_the_end():
    uses = {"a": (), "b": ("a",), "c": ("b",), "d": ()}
    assert graph.with_their_ground(["c"], uses) == {"a", "b", "c"}
    assert graph.with_their_ground([], uses) == set()
