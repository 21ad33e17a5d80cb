from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import RecordedHost, names

import portrange
from portrange import EphemeralRange, Span
from portrange._answers.span import merge
from portrange._render.picture import BLUE, ORANGE, RED, Bar, Row, Stretch, axis, bars

BANDS = [Stretch("system", 0, 1023), Stretch("user", 1024, 49151), Stretch("dynamic", 49152, 65535)]
COLUMN = 128


def properties(element: ET.Element) -> dict[str, str]:
    return dict(pair.split(":", 1) for pair in element.get("style", "").split(";"))


def parts(html: str) -> list[tuple[float, float, dict[str, str]]]:
    """Return the parts of all bars: the left and the right end in percent, and the style."""
    found = []
    for bar in ET.fromstring(html).iter("div"):
        end = 0.0
        for part in bar:
            style = properties(part)
            if style.get("float") == "left":
                start = end + float(style.get("margin-left", "0%")[:-1])
                end = start + float(style["width"][:-1])
                assert end <= 100.001, html
                found.append((start, end, style))
    return found


def drawn(*spans: tuple[int, int]) -> list[tuple[int, int, float]]:
    """Return what is drawn of spans: first column, number of columns, opacity."""
    return [
        (round(start * 5.12), round((end - start) * 5.12), float(style.get("opacity", "1")))
        for start, end, style in parts(axis(BANDS, [Row("some", spans, BLUE)]))
        if style.get("background-color") == BLUE
    ]


def lines_of(html: str) -> list[str]:
    """Return the text of each line, as a page shows it without styles."""
    return [
        line
        for line in unescape(re.sub(r"</?div[^>]*>", "\n", re.sub(r"</?span[^>]*>", "", html))).splitlines()
        if line.strip()
    ]


def test_spans_are_drawn_in_their_columns():
    assert drawn((0, 65535)) == [(0, 512, 1)]
    assert drawn((32768, 65535)) == [(256, 256, 1)]
    assert drawn((0, 4 * COLUMN - 1), (8 * COLUMN, 12 * COLUMN - 1)) == [(0, 4, 1), (8, 4, 1)]
    assert drawn() == []


@given(st.integers(0, 65535))
def test_single_port_is_two_columns_wide(port):
    assert drawn((port, port)) == [(min(port // COLUMN, 510), 2, 1)]


def test_sparse_ports_are_drawn_with_less_opacity():
    assert {opacity for _, _, opacity in drawn(*((port, port) for port in range(0, 65536, 2)))} == {0.85}
    assert {opacity for _, _, opacity in drawn(*((port, port) for port in range(0, 65536, 50)))} == {0.7}


def test_many_spans_give_a_small_picture():
    ephemeral = EphemeralRange(32768, 60999, reserved=tuple(Span(port, port) for port in range(0, 65536, 2)))
    assert len(ephemeral.reserved) == 32768
    assert len(ephemeral._repr_html_()) < 5_000


@given(st.lists(st.tuples(st.integers(0, 65535), st.integers(0, 65535)).map(sorted).map(tuple)))
def test_exactly_the_columns_with_ports_are_drawn(spans):
    merged = merge(spans)
    wanted = {column for first, last in merged for column in range(first // COLUMN, last // COLUMN + 1)}
    shown = {column for first, columns, _ in drawn(*merged) for column in range(first, first + columns)}
    assert wanted <= shown
    # A part that is widened to be visible extends one column further, at the right end to the left.
    assert all(column in wanted or column - 1 in wanted or (column == 510 and 511 in wanted) for column in shown)


@pytest.mark.parametrize(("port", "place"), [(0, 0), (49152, 75), (65535, 99)])
def test_port_marker_is_at_the_port(port, place):
    [(start, _, _)] = [part for part in parts(axis(BANDS, [], (), port)) if part[2].get("border-left") == "5px solid"]
    assert start == place


@given(st.lists(st.integers(0, 65535), max_size=6))
def test_numbers_below_the_axis_are_at_their_ports_and_do_not_overlap(ends):
    html = axis(BANDS, [], ends)
    numbers = [part for part in parts(html) if "text-align" in part[2]]
    assert len(numbers) == len({0, 65535, *ends})
    assert all(round(end - start, 2) == 15 for start, end, _ in numbers)
    assert all(f">{port}<" in html for port in ends)


@pytest.mark.parametrize("host", names())
def test_picture_of_every_system_is_readable_without_styles(host):
    info = portrange.classify(49152, host=RecordedHost(host))
    lines = lines_of(info._repr_html_().partition("<table")[0].partition("</p>")[2])
    assert lines[0] == "IANA's bands: system 0-1023, user 1024-49151, dynamic 49152-65535"
    assert "port 49152" in lines
    labels = "; ".join(lines)
    for ephemeral in info.settings.pools or ():
        assert f"ephemeral: {ephemeral.first}-{ephemeral.last}" in labels
        assert {str(ephemeral.first), str(ephemeral.last)} <= set(" ".join(lines[lines.index("port 49152") :]).split())
    assert ("ephemeral: unknown" in labels) == (info.settings.pools is None)
    assert ("reserved" in labels) == (info.settings.reserved != ())
    assert ("excluded" in labels) == (info.settings.excluded != ())


def test_equal_results_give_equal_html():
    first, second = (portrange.classify(80, host=RecordedHost("win32-10.0"))._repr_html_() for _ in range(2))
    assert first == second


@given(st.text(), st.text())
def test_untrusted_names_are_escaped(title, label):
    for html in (axis(BANDS, [Row(label, [(1, 2)], RED)], (), 5), bars(title, [Bar(label, 0.5, title)])):
        assert {element.tag for element in ET.fromstring(html).iter()} <= {"div", "span"}


@pytest.mark.parametrize("colour", [BLUE, ORANGE, RED])
@pytest.mark.parametrize("page", [0.0, 1.0])
def test_colours_contrast_with_white_and_black(colour, page):
    """The contrast is at least 3:1 (WCAG 2.2, 1.4.11); `page` is the luminance of the page."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    darker, lighter = sorted([0.2126 * red + 0.7152 * green + 0.0722 * blue, page])
    assert (lighter + 0.05) / (darker + 0.05) >= 3
