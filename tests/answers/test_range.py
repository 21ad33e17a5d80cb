"""EphemeralRange as a collection of ports, and its text."""

from __future__ import annotations

import pytest

from portrange import EphemeralRange, Span

RANGE = EphemeralRange(10, 15, "tcp", "ipv4", (Span(11, 11), Span(13, 14)), "a source")


def test_range_contains_only_ports_that_are_not_reserved():
    assert list(RANGE) == [10, 12, 15]
    assert len(RANGE) == 3
    assert [port for port in range(20) if port in RANGE] == [10, 12, 15]


@pytest.mark.parametrize("other", ["10", 10.0, None, (10,), b"10"])
def test_non_integer_is_not_in_the_range(other):
    assert other not in RANGE


def test_fully_reserved_range_is_empty_but_true():
    empty = EphemeralRange(10, 11, "tcp", "ipv4", (Span(10, 11),), "a source")
    assert len(empty) == 0
    assert list(empty) == []
    assert empty


def test_explain_lists_reserved_ports():
    page = RANGE.explain()
    assert page.startswith("Ephemeral range\n")
    assert "10-15" in page
    assert "11, 13-14" in page
    assert "a source" in page


def test_str_names_the_source():
    assert str(RANGE) == "10-15 (3 ports; a source)"
    assert (
        str(EphemeralRange(10, 15, "tcp", "ipv4", (), "a default", assumed=True))
        == "10-15 (6 ports; a default, assumed)"
    )
