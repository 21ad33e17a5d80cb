"""Port numbers, and spans of consecutive ports."""

from __future__ import annotations

from operator import index as to_index

from .._errors import InvalidPortError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    from typing_extensions import Self

HIGHEST_PORT = 65535


# --- one port --------------------------------------------------------------------------------------------------------


def port_number(port: object) -> int:
    """Return *port* as an int: anything with `__index__` except a bool, from 0 to 65535.

    Raises `TypeError` for other types and `InvalidPortError` for other numbers.
    """
    number = port if type(port) is int else _index(port)  # nearly every caller passes a plain int
    if not 0 <= number <= HIGHEST_PORT:
        raise InvalidPortError(f"{_shown(number)} is not a port: ports are whole numbers from 0 to 65535")
    return number


def _index(port: object) -> int:
    kind = type(port).__name__
    # bool of older NumPy versions has __index__.
    if kind in ("bool", "bool_"):
        raise TypeError(f"a port is a whole number, not a bool: {port!r}")
    try:
        return to_index(port)  # type: ignore[arg-type]  # raises TypeError for everything else
    except TypeError:
        # Environment variables and files contain numbers as text.
        is_decimal = isinstance(port, str) and parse_decimal(port) is not None
        remedy = f"; use int({port!r})" if is_decimal else ""
        raise TypeError(f"a port is a whole number, not {kind}: {port!r}{remedy}") from None


def _shown(number: int) -> str:
    """Return *number* for a message; Python refuses to print integers of many thousand digits."""
    return str(number) if abs(number) < 10**40 else "a number of more than 40 digits"


def parse_decimal(text: str, highest: int = HIGHEST_PORT) -> int | None:
    """Return an unsigned decimal number from 0 to *highest*; None for any other text.

    The length is checked first: Python takes quadratic time for long numbers and refuses the longest ones.

    >>> parse_decimal("4711"), parse_decimal("-1"), parse_decimal("65536"), parse_decimal("65536", 2**16)
    (4711, None, None, 65536)
    """
    if len(text) > len(str(highest)) or not (text.isascii() and text.isdigit()):
        return None
    number = int(text)
    return number if number <= highest else None


# --- spans -----------------------------------------------------------------------------------------------------------


class Span(tuple[int, int]):
    """The ports *first* to *last*, both included: a tuple of two numbers.

    >>> Span(8000, 8009), str(Span(80, 80)), Span(1, 2) == (1, 2)
    (Span(first=8000, last=8009), '80', True)
    """

    __slots__ = ()
    __match_args__ = ("first", "last")

    def __new__(cls, first: int, last: int) -> Self:
        return super().__new__(cls, (first, last))

    def __getnewargs__(self) -> tuple[int, int]:
        return self.first, self.last

    @property
    def first(self) -> int:
        """The lowest port of the span."""
        return self[0]

    @property
    def last(self) -> int:
        """The highest port of the span."""
        return self[1]

    def __repr__(self) -> str:
        return f"Span(first={self.first}, last={self.last})"

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


if TYPE_CHECKING:
    #: Spans in ascending order that neither overlap nor touch.
    Spans: TypeAlias = tuple[Span, ...]


def merge(spans: Iterable[tuple[int, int]]) -> Spans:
    """Return the same ports as `Spans`: sorted, with neighbours and overlaps joined."""
    merged: list[Span] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1].last + 1:
            merged[-1] = Span(merged[-1].first, max(last, merged[-1].last))
        else:
            merged.append(Span(first, last))
    return tuple(merged)


def contains(spans: Spans, port: int) -> bool:
    """Return whether *port* is in one of the spans, by bisection: a list may have 32,768 of them."""
    low, high = 0, len(spans)
    while low < high:
        middle = (low + high) // 2
        if port > spans[middle][1]:
            low = middle + 1
        else:
            high = middle
    return low < len(spans) and spans[low][0] <= port


def overlap(spans: Spans, first: int, last: int) -> int:
    """Return how many ports of the spans are in *first* to *last*."""
    return sum(max(0, min(span.last, last) - max(span.first, first) + 1) for span in spans)


def listed(spans: Spans, most: int = 20) -> str:
    """Return the spans as text: the first *most* of them and the number of the others."""
    more = f" and {len(spans) - most:,} more" if len(spans) > most else ""
    return ", ".join(map(str, spans[:most])) + more


def size(spans: Spans) -> int:
    """Return the number of ports in the spans."""
    return sum(span.last - span.first + 1 for span in spans)
