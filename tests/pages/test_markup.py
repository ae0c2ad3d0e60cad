"""Every link and anchor of the book leads somewhere, and no page shows raw markup."""

import re

import built
import markup
import pytest
from built import HTML, each_page

# What a reader would see of a formula, a role or a directive that was not set. A dollar sign and a
# backslash stand for nothing else in the prose of this book.
RAW = re.compile(
    r"\$|\\[a-zA-Z(\[\])]|\{[a-z]+(:[a-z-]+)*\}[`(]|`\w|\*\*\S|:[a-z]+:`|\?\?|:::|system-message"
)


@pytest.fixture(autouse=True)
def _built(request):
    """Every test here reads the built pages, but those that write their own."""
    if "write" not in request.fixturenames:
        built.need_pages()


def raw(prose):
    """Return what is left of markup in a page's words, each with what stands around it."""
    return [prose[max(0, m.start() - 30) : m.end() + 30] for m in RAW.finditer(prose)]


def broken_headings(page):
    """Say what is wrong with a page's headings: one first, none empty, no level left out."""
    levels = [level for level, _ in page.headings]
    faults = [f"{levels.count(1)} headings of the first level"] if levels.count(1) != 1 else []
    faults += ["an empty heading" for _, words in page.headings if not words.strip("# \n")]
    faults += [
        f"level {after} follows {before}: {words.strip()}"
        for before, (after, words) in zip([0, *levels], page.headings, strict=False)
        if after > before + 1
    ]
    return faults


def poor_pictures(page):
    """Return the pictures that say nothing to who cannot see them; an empty text is a decision."""
    return [picture.get("src") for picture in page.pictures if picture.get("alt") is None]


@each_page
def test_links_and_what_is_loaded_are_there(name):
    assert markup.dead_links(HTML, name) == []


@each_page
def test_ids_are_given_once(name):
    assert {one: count for one, count in markup.read(HTML / name).ids.items() if count > 1} == {}


@each_page
def test_no_markup_is_left_in_the_words(name):
    page = markup.read(HTML / name)
    assert raw(f"{page.title}\n{page.prose}") == []


@each_page
def test_headings_are_in_order(name):
    assert broken_headings(markup.read(HTML / name)) == []


@each_page
def test_pictures_are_described(name):
    assert poor_pictures(markup.read(HTML / name)) == []


def test_every_page_has_a_title_of_its_own():
    titles = {}
    for name in built.PAGES:
        titles.setdefault(markup.read(HTML / name).title.strip(), []).append(name)
    assert "" not in titles
    assert {title: names for title, names in titles.items() if len(names) > 1} == {}


def test_the_first_page_of_the_site_leads_to_the_first_chapter():
    text = (HTML / "index.html").read_text()
    assert 'url=chapters/index.html"' in text


# ---- each of these can fail --------------------------------------------------------------------


@pytest.fixture
def write(tmp_path):
    """Write a page, and a second one that it may link to."""

    def page(body):
        (tmp_path / "page.html").write_text(f"<title>A page</title><main>{body}</main>")
        (tmp_path / "other.html").write_text("<main id='main'><p id='here'></p></main>")
        return tmp_path, markup.Page((tmp_path / "page.html").read_text())

    return page


def test_links_that_lead_somewhere(write):
    folder, _ = write(
        "<a href='other.html#here'></a><a href='#'></a><a href='https://a.b/c#d'></a>"
        "<a href='#m%C3%BC'></a><p id='mü'></p><a href='mailto:a@b'></a>"
    )
    assert markup.dead_links(folder, "page.html") == []


@pytest.mark.parametrize(
    "body, address",
    [
        ("<a href='missing.html'></a>", "missing.html"),
        ("<a href='other.html#there'></a>", "other.html#there"),
        ("<a href='#here'></a>", "#here"),
        ("<a href='../elsewhere.html'></a>", "../elsewhere.html"),
        ("<img src='missing.png' alt=''>", "missing.png"),
        ("<svg><a xlink:href='missing.html'/></svg>", "missing.html"),
        ("<link rel='stylesheet' href='missing.css'>", "missing.css"),
    ],
)
def test_a_dead_link_is_seen(write, body, address):
    folder, _ = write(body)
    assert markup.dead_links(folder, "page.html") == [address]


@pytest.mark.parametrize(
    "words",
    [
        "the set $U$",
        r"the set \(U\)",
        r"of \lambda",
        "see {prf:ref}`lemma`",
        "see {eq}`6`",
        "a [link]{term}(here)",
        "a `name`",
        "<img src='other.html' alt='the set $U$'>",
        "<h2>Of **weight**</h2>",
    ],
)
def test_markup_that_is_left_is_seen(write, words):
    _, page = write(words)
    assert raw(page.prose)


def test_code_and_formulas_are_no_prose(write):
    _, page = write("<pre>$ make</pre><code>\\n</code><math><annotation>\\xi</annotation></math>")
    assert raw(page.prose) == []


@pytest.mark.parametrize(
    "body, fault",
    [
        ("<h2>Two</h2>", "0 headings of the first level"),
        ("<h1>One</h1><h1>One</h1>", "2 headings of the first level"),
        ("<h1>One</h1><h3>Three</h3>", "level 3 follows 1: Three"),
        ("<h1>One</h1><h2><a>#</a></h2>", "an empty heading"),
    ],
)
def test_headings_out_of_order_are_seen(write, body, fault):
    _, page = write(body)
    assert fault in broken_headings(page)


def test_headings_for_paper_do_not_count(write):
    _, page = write("<div class='onlyprint'><h1>One</h1></div><h1>One</h1><h2>Two</h2><h2>2</h2>")
    assert broken_headings(page) == []


def test_a_picture_without_words_is_seen(write):
    _, page = write("<img src='a.png'><img src='b.png' alt='A circle.'><p id='a'></p><p id='a'>")
    assert poor_pictures(page) == ["a.png"]
    assert page.ids["a"] == 2
