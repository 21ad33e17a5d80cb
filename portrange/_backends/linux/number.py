"""Numbers as the kernel prints them. Pure."""

from __future__ import annotations

#: Of 2**64 - 1. Python refuses to read numbers of many thousand digits, and takes its time for shorter ones.
_MOST_DIGITS = 20


def unsigned(text: str, bits: int = 64) -> int | None:
    """A decimal number without a sign that fits into so many bits; None for anything else.

    >>> unsigned("4711"), unsigned("-1"), unsigned("65536", 16)
    (4711, None, None)
    """
    if len(text) > _MOST_DIGITS or not (text.isascii() and text.isdigit()):
        return None
    number = int(text)
    return number if number < 1 << bits else None
