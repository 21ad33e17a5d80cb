"""Plain text: aligned tables and labelled pages, with whatever strangers wrote made harmless."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple
from unicodedata import combining, east_asian_width

from .look import PLAIN, Look

#: Narrower than this nothing can be read; a terminal that says less is not believed.
_LEAST = 20
#: A column, or a name in it, is not shortened below this.
_LEAST_NAME = 8

# --- one string ----------------------------------------------------------------------------------------------------


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
    return len(text) if text.isascii() else sum(map(_sign_width, text))


def _sign_width(sign: str) -> int:
    if combining(sign):
        return 0
    return 2 if east_asian_width(sign) in "WF" else 1


def shorten(text: str, columns: int) -> str:
    """`text` cut to `columns`, with an ellipsis where something was cut off."""
    return text if width(text) <= columns else _head(text, columns - 1) + "…"


def _head(text: str, columns: int) -> str:
    """The beginning of `text` that fits."""
    for index, sign in enumerate(text):
        columns -= _sign_width(sign)
        if columns < 0:
            return text[:index]
    return text


def wrap(text: str, columns: int | None) -> list[str]:
    """`text` in lines of at most `columns`, broken between words where it can be; later lines are indented."""
    if columns is None or width(text) <= columns:
        return [text]
    indent = " " * (len(text) - len(text.lstrip()) + 2)
    lines: list[str] = []
    line, *words = text.split(" ")
    for word in words:
        if width(line) + 1 + width(word) <= columns:
            line = f"{line} {word}"
        else:
            lines += _broken(line, columns, indent)
            line = indent + word
            if lines and not lines[-1].strip():
                lines.pop()
    return [*lines, *_broken(line, columns, indent)]


def _broken(line: str, columns: int, indent: str) -> list[str]:
    """A line whose first word may be longer than the room for it."""
    parts: list[str] = []
    while width(line) > columns > len(indent) + 1:
        head = _head(line, columns)
        parts.append(head)
        line = indent + line[len(head) :]
    return [*parts, line]


class Names(NamedTuple):
    """Names of strangers' choosing, each with something that must stay readable, such as a pid."""

    opening: str
    named: Sequence[tuple[str, str]]

    def __str__(self) -> str:
        return visible(self.opening + ", ".join(f"{name} {kept}" for name, kept in self.named))

    def told(self, most: int = 6) -> str:
        """For a sentence: where there are more than `most`, the others are counted."""
        rest = len(self.named) - most
        return f"{self._replace(named=self.named[:most])} and {rest:,} more" if rest > 0 else str(self)

    def fit(self, columns: int) -> str:
        """All of it in `columns` if it can be: with shorter names, then with fewer of them and a count of the rest."""
        named = [(visible(name), kept) for name, kept in self.named]
        longest = max((width(name) for name, _ in named), default=0)
        for room in range(longest, min(longest, _LEAST_NAME) - 1, -1):
            text = self.opening + ", ".join(f"{shorten(name, room)} {kept}" for name, kept in named)
            if width(text) <= columns:
                return text
        return self._some([(shorten(name, _LEAST_NAME), kept) for name, kept in named], columns)

    def _some(self, named: list[tuple[str, str]], columns: int) -> str:
        """The first of them that fit, and how many more there are; what must stay readable is cut off last."""
        text = ""
        for shown in range(1, len(named) + 1):
            rest = f", +{len(named) - shown}" if shown < len(named) else ""
            longer = self.opening + ", ".join(f"{name} {kept}" for name, kept in named[:shown])
            if width(longer + rest) > columns:
                break
            text = longer + rest
        if text or not named:
            return text or shorten(self.opening, columns)
        name, kept = named[0]
        rest = f" {kept}, +{len(named) - 1}" if len(named) > 1 else f" {kept}"
        return shorten(shorten(self.opening + name, max(1, columns - len(rest))) + rest, columns)


# --- tables and pages ----------------------------------------------------------------------------------------------


def table(
    headers: Sequence[str],
    rows: Iterable[Sequence[str | Names]],
    columns: int | None = None,
    *,
    whole: Collection[int] = (0,),
) -> str:
    """Aligned columns under their headers; empty columns are left out.

    Where a line would be longer than `columns`, what it names is shortened, the widest column first. The columns in
    `whole`, by their place, are kept as they are; a line is cut off only where even that does not help.
    """
    lines: list[Sequence[str | Names]] = [headers, *rows]
    full = [[_cell(value) for value in line] for line in lines]
    used = [index for index in range(len(headers)) if any(line[index] for line in full[1:])]
    widths = {index: max(width(line[index]) for line in full) for index in used}
    if columns is None:
        return "\n".join(_aligned((line[index], widths[index]) for index in used) for line in full)
    columns = max(columns, _LEAST)
    _narrow(widths, columns, whole)
    return "\n".join(
        shorten(_aligned((_cell(line[index], widths[index]), widths[index]) for index in used), columns)
        for line in lines
    )


def _cell(value: str | Names, columns: int | None = None) -> str:
    if columns is None:
        return visible(str(value))
    return shorten(visible(value), columns) if isinstance(value, str) else value.fit(columns)


def _narrow(widths: dict[int, int], columns: int, whole: Collection[int]) -> None:
    """Take from the widest columns what a line has too much."""
    excess = sum(widths.values()) + 2 * (len(widths) - 1) - columns
    while excess > 0:
        widest = max((index for index in widths if index not in whole), key=lambda index: widths[index], default=None)
        if widest is None or widths[widest] <= _LEAST_NAME:
            return
        widths[widest] -= 1
        excess -= 1


def _aligned(cells: Iterable[tuple[str, int]]) -> str:
    return "  ".join(cell + " " * (room - width(cell)) for cell, room in cells).rstrip()


class Line(NamedTuple):
    """Some words with a label, which may have a role that colours it (see `Look.paint`)."""

    label: str
    words: str
    role: str = "heading"


def labelled(lines: Sequence[Line], look: Look = PLAIN, *, indent: str = "", gap: int = 1) -> str:
    """Labels in a column of their own, their words beside them, wrapped to the room there is.

    Where that is too narrow to be read, the words stand below their label.
    """
    labels = [visible(line.label) for line in lines]
    room = max(map(width, labels), default=0)
    beside = len(indent) + room + (gap if room else 0)
    is_narrow = look.columns is not None and look.columns - beside < _LEAST
    left = " " * (len(indent) + 2 if is_narrow else beside)
    columns = None if look.columns is None else max(_LEAST, look.columns - len(left))
    shown: list[str] = []
    for line, label in zip(lines, labels, strict=True):
        words = [left + part for part in wrap(visible(line.words), columns)]
        painted = indent + look.paint(line.role, label)
        if label and is_narrow:
            shown.append(painted)
        elif label:
            words[0] = painted + words[0][len(indent) + width(label) :]
        shown += words
    return "\n".join(line.rstrip() for line in shown)


def page(title: str, entries: Mapping[str, Sequence[str]], look: Look = PLAIN) -> str:
    """A title and labelled lines: a label stands before the first of its lines."""
    lines = [Line("" if index else label, words) for label, told in entries.items() for index, words in enumerate(told)]
    return "\n".join([look.paint("heading", visible(title)), labelled(lines, look, indent="  ", gap=3)])
