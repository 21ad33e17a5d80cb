from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import RecordedHost, names

import portrange
from portrange import EphemeralRange, Span
from portrange._answers.span import merge
from portrange._render.picture import BLUE, ORANGE, RED, Bar, Row, Stretch, axis, bars

BANDS = [Stretch("system", 0, 1023), Stretch("user", 1024, 49151), Stretch("dynamic", 49152, 65535)]
SVG = "{http://www.w3.org/2000/svg}"
LEFT, COLUMN = 180, 128


def rectangles(svg: str, colour: str) -> list[tuple[int, int, float]]:
    """Return the rectangles of a colour: first column, number of columns, opacity."""
    found = ET.fromstring(svg).iter(f"{SVG}rect")
    return [
        (int(rect.attrib["x"]) - LEFT, int(rect.attrib["width"]), float(rect.get("fill-opacity", "1")))
        for rect in found
        if rect.get("fill") == colour
    ]


def drawn(*spans: tuple[int, int]) -> list[tuple[int, int, float]]:
    return rectangles(axis("Title", BANDS, [Row("some", spans, BLUE)]), BLUE)


def test_spans_are_drawn_in_their_columns():
    assert drawn((0, 65535)) == [(0, 512, 1)]
    assert drawn((32768, 65535)) == [(256, 256, 1)]
    assert drawn((0, 4 * COLUMN - 1), (8 * COLUMN, 12 * COLUMN - 1)) == [(0, 4, 1), (8, 4, 1)]
    assert drawn() == []


@given(st.integers(0, 65535))
def test_single_port_is_two_columns_wide(port):
    assert drawn((port, port)) == [(port // COLUMN, 2, 1)]


def test_sparse_ports_are_drawn_with_less_opacity():
    assert {opacity for _, _, opacity in drawn(*((port, port) for port in range(0, 65536, 2)))} == {0.85}
    assert {opacity for _, _, opacity in drawn(*((port, port) for port in range(0, 65536, 50)))} == {0.7}


def test_many_spans_give_a_small_svg():
    ephemeral = EphemeralRange(32768, 60999, reserved=tuple(Span(port, port) for port in range(0, 65536, 2)))
    assert len(ephemeral.reserved) == 32768
    assert len(ephemeral._repr_html_()) < 5_000


@given(st.lists(st.tuples(st.integers(0, 65535), st.integers(0, 65535)).map(sorted).map(tuple)))
def test_exactly_the_columns_with_ports_are_drawn(spans):
    merged = merge(spans)
    wanted = {column for first, last in merged for column in range(first // COLUMN, last // COLUMN + 1)}
    shown = {column for first, columns, _ in drawn(*merged) for column in range(first, first + columns)}
    assert wanted <= shown
    # A rectangle that is widened to be visible extends one column further.
    assert all(column in wanted or column - 1 in wanted for column in shown)


def test_port_marker_is_at_the_port():
    svg = ET.fromstring(axis("Title", BANDS, [], 49152))
    line = next(path.attrib["d"] for path in svg.iter(f"{SVG}path"))
    assert line.startswith(f"M{LEFT + 384} ")


@pytest.mark.parametrize("host", names())
def test_aria_label_describes_the_axis_of_every_system(host):
    recorded = RecordedHost(host)
    svg = ET.fromstring(portrange.classify(49152, host=recorded)._repr_html_().partition("<table")[0])
    label = svg.attrib["aria-label"]
    assert (svg.get("role"), svg.findtext(f"{SVG}title")) == ("img", label)
    assert label.startswith("Port 49152 on this host. IANA's bands: system 0-1023, user 1024-49151, dynamic 49152-")
    assert label.endswith("; port 49152")
    settings = portrange.classify(49152, host=recorded).settings
    for ephemeral in settings.pools or ():
        assert f"ephemeral: {ephemeral.first}-{ephemeral.last}" in label
    assert ("ephemeral: unknown" in label) == (settings.pools is None)
    assert ("reserved" in label) == (settings.reserved != ())
    assert ("excluded" in label) == (settings.excluded != ())


def test_equal_results_give_equal_html():
    first, second = (portrange.classify(80, host=RecordedHost("win32-10.0"))._repr_html_() for _ in range(2))
    assert first == second


@given(st.text(), st.text())
def test_untrusted_names_are_escaped(title, label):
    for svg in (axis(title, BANDS, [Row(label, [(1, 2)], RED)], 5), bars(title, [Bar(label, 0.5)])):
        tags = {element.tag.removeprefix(SVG) for element in ET.fromstring(svg).iter()}
        assert tags <= {"svg", "title", "text", "rect", "path"}


@pytest.mark.parametrize("colour", [BLUE, ORANGE, RED])
@pytest.mark.parametrize("page", [0.0, 1.0])
def test_colours_contrast_with_white_and_black(colour, page):
    """The contrast is at least 3:1 (WCAG 2.2, 1.4.11); `page` is the luminance of the page."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    darker, lighter = sorted([0.2126 * red + 0.7152 * green + 0.0722 * blue, page])
    assert (lighter + 0.05) / (darker + 0.05) >= 3
