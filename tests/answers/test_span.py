from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portrange._answers.span import Span, contains, listed, merge, overlap, size

ports = st.integers(0, 65535)
pairs = st.lists(st.tuples(ports, ports).map(lambda pair: (min(pair), max(pair))), max_size=20)


@pytest.mark.parametrize(
    ("spans", "merged"),
    [([], ()), ([(5, 5)], (Span(5, 5),)), ([(7, 9), (1, 3), (4, 6)], (Span(1, 9),)), ([(1, 9), (2, 3)], (Span(1, 9),))],
)
def test_merge(spans, merged):
    assert merge(spans) == merged


@given(pairs, ports)
def test_merge_keeps_the_same_ports(spans, port):
    assert contains(merge(spans), port) == any(first <= port <= last for first, last in spans)


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
