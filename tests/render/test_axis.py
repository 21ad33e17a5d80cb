from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import RecordedHost, names

import portrange
from portrange import EphemeralRange, Span
from portrange._answers.span import merge
from portrange._render.axis import Row, Stretch, axis
from portrange._render.drawing import BLUE, ORANGE, RED
from portrange._render.svg import Bar, bars

BANDS = [Stretch("system", 0, 1023), Stretch("user", 1024, 49151), Stretch("dynamic", 49152, 65535)]
SVG = "{http://www.w3.org/2000/svg}"
LEFT, COLUMN = 180, 128


def rectangles(svg: str, colour: str) -> list[tuple[int, int, float]]:
    """Where the ports of a colour are drawn: first column, columns, opacity."""
    found = ET.fromstring(svg).iter(f"{SVG}rect")
    return [
        (int(one.attrib["x"]) - LEFT, int(one.attrib["width"]), float(one.get("fill-opacity", "1")))
        for one in found
        if one.get("fill") == colour
    ]


def drawn(*spans: tuple[int, int]) -> list[tuple[int, int, float]]:
    return rectangles(axis("Title", BANDS, [Row("some", spans, BLUE)]), BLUE)


def test_whole_columns_are_drawn_where_they_are():
    assert drawn((0, 65535)) == [(0, 512, 1)]
    assert drawn((32768, 65535)) == [(256, 256, 1)]
    assert drawn((0, 4 * COLUMN - 1), (8 * COLUMN, 12 * COLUMN - 1)) == [(0, 4, 1), (8, 4, 1)]
    assert drawn() == []


@given(st.integers(0, 65535))
def test_a_single_port_is_seen(port):
    assert drawn((port, port)) == [(port // COLUMN, 2, 1)]


def test_sparse_ports_look_sparse():
    assert {opacity for _, _, opacity in drawn(*((port, port) for port in range(0, 65536, 2)))} == {0.85}
    assert {opacity for _, _, opacity in drawn(*((port, port) for port in range(0, 65536, 50)))} == {0.7}


def test_many_spans_make_a_small_picture():
    pool = EphemeralRange(32768, 60999, reserved=tuple(Span(port, port) for port in range(0, 65536, 2)))
    assert len(pool.reserved) == 32768
    assert len(pool._repr_html_()) < 5_000


@given(st.lists(st.tuples(st.integers(0, 65535), st.integers(0, 65535)).map(sorted).map(tuple)))
def test_every_column_with_ports_is_drawn_and_no_other(spans):
    merged = merge(spans)
    wanted = {column for first, last in merged for column in range(first // COLUMN, last // COLUMN + 1)}
    shown = {column for first, columns, _ in drawn(*merged) for column in range(first, first + columns)}
    assert wanted <= shown
    # What is drawn wider to be seen reaches one column further.
    assert all(column in wanted or column - 1 in wanted for column in shown)


def test_the_port_is_marked_where_it_is():
    svg = ET.fromstring(axis("Title", BANDS, [], 49152))
    line = next(path.attrib["d"] for path in svg.iter(f"{SVG}path"))
    assert line.startswith(f"M{LEFT + 384} ")


@pytest.mark.parametrize("host", names())
def test_it_says_in_words_what_it_shows_of_every_system(host):
    asked = RecordedHost(host)
    svg = ET.fromstring(portrange.classify(49152, host=asked)._repr_html_().partition("<table")[0])
    words = svg.attrib["aria-label"]
    assert (svg.get("role"), svg.findtext(f"{SVG}title")) == ("img", words)
    assert words.startswith("Port 49152 on this host. IANA's bands: system 0-1023, user 1024-49151, dynamic 49152-")
    assert words.endswith("; port 49152")
    settings = portrange.classify(49152, host=asked).settings
    for pool in settings.pools or ():
        assert f"handed out: {pool.first}-{pool.last}" in words
    assert ("handed out: unknown" in words) == (settings.pools is None)
    assert ("set aside" in words) == (settings.reserved != ())
    assert ("refused" in words) == (settings.excluded != ())


def test_the_same_answer_gives_the_same_picture():
    one, other = (portrange.classify(80, host=RecordedHost("win32-10.0"))._repr_html_() for _ in range(2))
    assert one == other


@given(st.text(), st.text())
def test_names_of_strangers_are_escaped(title, label):
    for svg in (axis(title, BANDS, [Row(label, [(1, 2)], RED)], 5), bars(title, [Bar(label, 0.5)])):
        tags = {element.tag.removeprefix(SVG) for element in ET.fromstring(svg).iter()}
        assert tags <= {"svg", "title", "text", "rect", "path"}


@pytest.mark.parametrize("colour", [BLUE, ORANGE, RED])
@pytest.mark.parametrize("page", [0.0, 1.0])
def test_colours_stand_out_from_white_and_from_black(colour, page):
    """By 3 to 1, as graphics must (WCAG 2.2, 1.4.11); `page` is the luminance of the page."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    darker, lighter = sorted([0.2126 * red + 0.7152 * green + 0.0722 * blue, page])
    assert (lighter + 0.05) / (darker + 0.05) >= 3
