"""Parsers return a value or raise `ParseError` with the source and the text, whatever the input."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import HOSTS

from portrange import ParseError
from portrange._backends import aix, sunos, sysctl, windows
from portrange._backends.linux import settings as linux

SOURCE = "the source"
TEXT_PARSERS = {
    "linux range": linux.parse_range,
    "linux reserved": linux.parse_reserved,
    "linux start": linux.parse_unprivileged_start,
    "windows range": windows.parse_dynamic_ports,
    "windows exclusions": windows.parse_exclusions,
    "solaris properties": sunos.parse_properties,
    "solaris port": sunos.parse_port,
    "solaris ports": sunos.parse_ports,
    "aix": lambda text, source: aix.parse_tunable(text, "tcp_ephemeral_low", source),
}
BYTE_PARSERS = {
    "number": sysctl.parse_number,
    "ports": sysctl.parse_ports,
}

#: All recorded command output and sysctl files, as text; the tests cut and change it.
RECORDED = sorted(
    {path.read_bytes().decode("latin-1") for path in HOSTS.glob("*/commands/*.txt")}
    | {path.read_text("latin-1") for path in HOSTS.glob("*/files/proc/sys/net/ipv4/*")}
)
NASTY = [
    "",
    "\n",
    "\r\n",
    "\0",
    "\ufeff",
    "-1",
    "9" * 5000,
    "٤٩١٥٢",
    "²",
    "1e3",
    "0x10",
    "%s%n",
    "<script>alert(1)</script>",
    "\x1b[2J",
    "\udcff",
    ":" * 1000,
    ": 1\n" * 1000,
    "1 2\n" * 1000,
    ",,,",
    "----------    --------\n" + "1" * 6 + " 2",
]


def outcome(parse, text):
    """Return the value or the `ParseError`; other exceptions propagate."""
    try:
        return parse(text, SOURCE)
    except ParseError as error:
        return error


def check(parse, text):
    found = outcome(parse, text)
    if isinstance(found, ParseError):
        assert found.source == SOURCE
        assert found.text in (text.hex() if isinstance(text, bytes) else text)
        assert len(str(found)) < 2000


@pytest.mark.parametrize("parse", TEXT_PARSERS.values(), ids=TEXT_PARSERS.keys())
class TestText:
    @pytest.mark.parametrize("text", NASTY, ids=lambda text: repr(text)[:20])
    def test_hostile_text(self, parse, text):
        check(parse, text)

    @given(st.text())
    def test_arbitrary_text(self, parse, text):
        check(parse, text)

    @given(st.sampled_from(RECORDED), st.data())
    def test_truncated_and_edited_output(self, parse, text, data):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, len(text)))
        check(parse, text[start:end])
        check(parse, text[:start] + data.draw(st.text(max_size=5)) + text[end:])

    @given(st.sampled_from(RECORDED))
    def test_line_endings_do_not_change_the_result(self, parse, text):
        plain = text.replace("\r\n", "\n")
        for variant in (plain.replace("\n", "\r\n"), plain + "\n"):
            found, expected = outcome(parse, variant), outcome(parse, plain)
            assert type(found) is type(expected)
            assert found == expected or isinstance(found, ParseError)


@pytest.mark.parametrize("parse", BYTE_PARSERS.values(), ids=BYTE_PARSERS.keys())
@given(st.binary(max_size=64) | st.binary(min_size=8192, max_size=8192))
def test_arbitrary_bytes(parse, value):
    check(parse, value)
