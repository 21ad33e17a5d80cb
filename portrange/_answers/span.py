"""Runs of consecutive ports: how pools, reserved ports and exclusions are written down."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable


class Span(NamedTuple):
    """The ports `first` to `last`, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


#: Spans in ascending order that neither overlap nor touch.
Spans: TypeAlias = tuple[Span, ...]


def merge(spans: Iterable[tuple[int, int]]) -> Spans:
    """The same ports as `Spans`: sorted, with neighbours and overlaps joined."""
    merged: list[Span] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1].last + 1:
            merged[-1] = Span(merged[-1].first, max(last, merged[-1].last))
        else:
            merged.append(Span(first, last))
    return tuple(merged)


def contains(spans: Spans, port: int) -> bool:
    """Whether `port` lies in one of the spans; bisection, because a list may have 32,768 of them."""
    low, high = 0, len(spans)
    while low < high:
        middle = (low + high) // 2
        if port > spans[middle].last:
            low = middle + 1
        else:
            high = middle
    return low < len(spans) and spans[low].first <= port


def overlap(spans: Spans, first: int, last: int) -> int:
    """How many ports of the spans lie in `first` to `last`."""
    return sum(max(0, min(span.last, last) - max(span.first, first) + 1) for span in spans)


def listed(spans: Spans, most: int = 20) -> str:
    """The spans in words, the first `most` of them and how many more there are."""
    more = f" and {len(spans) - most:,} more" if len(spans) > most else ""
    return ", ".join(map(str, spans[:most])) + more


def size(spans: Spans) -> int:
    """How many ports there are in the spans."""
    return sum(span.last - span.first + 1 for span in spans)
