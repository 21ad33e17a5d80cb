"""A pool as a collection of ports, and in words."""

from __future__ import annotations

import pytest

from portrange import EphemeralRange, Span

POOL = EphemeralRange(10, 15, "tcp", "ipv4", (Span(11, 11), Span(13, 14)), "a source")


def test_its_ports_are_those_that_are_not_set_aside():
    assert list(POOL) == [10, 12, 15]
    assert len(POOL) == 3
    assert [port for port in range(20) if port in POOL] == [10, 12, 15]


@pytest.mark.parametrize("other", ["10", 10.0, None, (10,), b"10"])
def test_what_is_no_whole_number_is_not_in_it(other):
    assert other not in POOL


def test_it_is_true_even_if_nothing_is_left():
    empty = EphemeralRange(10, 11, "tcp", "ipv4", (Span(10, 11),), "a source")
    assert len(empty) == 0
    assert list(empty) == []
    assert empty


def test_its_page_says_what_is_set_aside():
    page = POOL.explain()
    assert page.startswith("Ephemeral range\n")
    assert "10-15" in page
    assert "11, 13-14" in page
    assert "a source" in page


def test_its_line_says_where_it_was_read():
    assert str(POOL) == "10-15 (3 ports; a source)"
    assert (
        str(EphemeralRange(10, 15, "tcp", "ipv4", (), "a default", assumed=True))
        == "10-15 (6 ports; a default, assumed)"
    )
