from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portrange import InvalidPortError
from portrange._answers.span import Span, contains, listed, merge, overlap, parse_decimal, port_number, size

ports = st.integers(0, 65535)
pairs = st.lists(st.tuples(ports, ports).map(lambda pair: (min(pair), max(pair))), max_size=20)


@pytest.mark.parametrize(
    ("spans", "merged"),
    [
        ([], ()),
        ([(5, 5)], (Span(5, 5),)),
        ([(7, 9), (1, 3), (4, 6)], (Span(1, 9),)),
        ([(1, 9), (2, 3)], (Span(1, 9),)),
        ([(5, 6), (1, 3)], (Span(1, 3), Span(5, 6))),
    ],
)
def test_merge(spans, merged):
    assert merge(spans) == merged


@given(pairs, ports)
def test_merge_keeps_the_same_ports(spans, port):
    assert contains(merge(spans), port) == any(first <= port <= last for first, last in spans)


@pytest.mark.parametrize("number", range(8))
def test_contains_finds_each_of_many_spans(number):
    spans = tuple(Span(first, first) for first in range(0, 2 * number, 2))
    assert [port for port in range(2 * number + 1) if contains(spans, port)] == [span.first for span in spans]


@given(pairs)
def test_merged_spans_are_sorted_and_not_adjacent(spans):
    merged = merge(spans)
    assert all(low.last + 1 < high.first for low, high in pairwise(merged))


@given(pairs, ports, ports)
def test_overlap_counts_ports(spans, bound, other_bound):
    first, last = min(bound, other_bound), max(bound, other_bound)
    expected = len({port for low, high in spans for port in range(max(low, first), min(high, last) + 1)})
    assert overlap(merge(spans), first, last) == expected


def test_span_str():
    assert [str(Span(1, 1)), str(Span(1, 2))] == ["1", "1-2"]


def test_listed_shortens_long_lists():
    spans = tuple(Span(port, port) for port in range(0, 44, 2))
    assert listed(spans[:2]) == "0, 2"
    assert listed(spans[:20]) == ", ".join(str(port) for port in range(0, 40, 2))
    assert listed(spans) == listed(spans[:20]) + " and 2 more"
    assert listed(tuple(Span(port, port) for port in range(0, 2042, 2)), 1) == "0 and 1,020 more"
    assert listed(()) == ""


def test_size_counts_ports():
    assert size(()) == 0
    assert size((Span(5, 5), Span(7, 9))) == 4


class Number:
    def __index__(self):
        return 8080


def test_port_number_accepts_types_with_index():
    assert [port_number(port) for port in (0, 65535, Number())] == [0, 65535, 8080]


@pytest.mark.parametrize("name", ["bool", "bool_"])
def test_port_number_rejects_bools_of_numpy(name):
    with pytest.raises(TypeError, match="a port is a whole number, not a bool: "):
        port_number(type(name, (Number,), {})())


@pytest.mark.parametrize(
    ("port", "message"),
    [
        (True, "a port is a whole number, not a bool: True"),
        ("8080", "a port is a whole number, not str: '8080'; use int('8080')"),
        ("http", "a port is a whole number, not str: 'http'"),
        (80.0, "a port is a whole number, not float: 80.0"),
    ],
)
def test_port_number_rejects_other_types(port, message):
    with pytest.raises(TypeError) as caught:
        port_number(port)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("port", "shown"),
    [
        (-1, "-1"),
        (65536, "65536"),
        (10**40 - 1, "9" * 40),
        (10**40, "a number of more than 40 digits"),
        (-(10**40), "a number of more than 40 digits"),
    ],
)
def test_port_number_rejects_other_numbers(port, shown):
    with pytest.raises(InvalidPortError) as caught:
        port_number(port)
    assert str(caught.value) == f"{shown} is not a port: ports are whole numbers from 0 to 65535"


@pytest.mark.parametrize("text", ["", "-1", "+1", " 1", "1_0", "٣", "²", "65536", "065535", "9" * 5000])
def test_parse_decimal_returns_none_for_other_text(text):
    assert parse_decimal(text) is None


def test_parse_decimal_returns_numbers_up_to_the_highest():
    assert [parse_decimal(text) for text in ("0", "00080", "65535")] == [0, 80, 65535]
    assert [parse_decimal(text, 255) for text in ("255", "256")] == [255, None]
