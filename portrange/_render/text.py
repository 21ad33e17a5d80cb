"""Plain text: aligned tables and labelled pages, with whatever strangers wrote made harmless."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from unicodedata import east_asian_width


def visible(text: str) -> str:
    r"""`text` with control characters, bidirectional overrides and the like shown as escapes.

    Process names and command lines are written by strangers: a terminal must show them, not obey them.

    >>> visible("evil\x1b[2J")
    'evil\\x1b[2J'
    """
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def width(text: str) -> int:
    """How many columns a terminal needs for `text`."""
    return len(text) if text.isascii() else sum(2 if east_asian_width(sign) in "WF" else 1 for sign in text)


def shorten(text: str, columns: int) -> str:
    """`text` cut to `columns`, with an ellipsis where something was cut off."""
    if width(text) <= columns:
        return text
    kept: list[str] = []
    left = columns - 1
    for sign in text:
        left -= width(sign)
        if left < 0:
            break
        kept.append(sign)
    return "".join(kept) + "…"


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], columns: int | None = None) -> str:
    """Aligned columns under their headers; empty columns are left out, `columns` cuts each line."""
    cells = [tuple(map(visible, row)) for row in rows]
    used = [index for index in range(len(headers)) if any(row[index] for row in cells)]
    lines = [[headers[index] for index in used], *([row[index] for index in used] for row in cells)]
    widths = [max(width(line[place]) for line in lines) for place in range(len(used))]
    text = (
        "  ".join(cell + " " * (room - width(cell)) for cell, room in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
    return "\n".join(line if columns is None else shorten(line, columns) for line in text)


def page(title: str, entries: Iterable[tuple[str, str]]) -> str:
    """A title and labelled lines; an entry without a label continues the one above it."""
    rows = list(entries)
    room = max((len(label) for label, _ in rows), default=0)
    return "\n".join([visible(title), *(f"  {label:<{room}}   {visible(line)}".rstrip() for label, line in rows)])
