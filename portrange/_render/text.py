"""Plain text: aligned tables and labelled pages, with untrusted text made safe to print."""

from __future__ import annotations

from .._frozen import Frozen
from .._lazy import import_lock
from .strings import visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from typing import TypeAlias

    #: A cell of a table: text, or a list that is shortened in its own way.
    Cell: TypeAlias = "str | Names | Several"

#: The least width of text. Some terminals report a width of 0 or 1.
_LEAST = 20
#: A column, or a name in it, is not shortened below this.
_LEAST_NAME = 8

# --- style -----------------------------------------------------------------------------------------------------------

#: Select Graphic Rendition (ECMA-48, 8.3.117) by role. Colours only repeat what the text states.
_COLOURS = {"heading": "1", "good": "32", "notice": "33", "bad": "31"}


class Style(Frozen):
    """The width of text, and whether it is coloured."""

    columns: int | None = None
    """The width of a line in terminal columns; None for lines of any length."""
    colour: bool = False
    """True if the text is for a terminal with colours."""

    def paint(self, role: str, text: str) -> str:
        """Return *text* in the colour of a role ("heading", "good", "notice", "bad"); other roles have no colour."""
        code = _COLOURS.get(role) if self.colour else None
        return f"\x1b[{code}m{text}\x1b[0m" if code and text else text


#: The style for programs, pipes and files.
PLAIN = Style()

# --- one string ------------------------------------------------------------------------------------------------------


def width(text: str) -> int:
    """Return how many columns of a terminal *text* takes."""
    return len(text) if text.isascii() else sum(_widths(text))


def _widths(text: str) -> list[int]:
    """Return the columns that each character of *text* takes."""
    if text.isascii():
        return [1] * len(text)
    with import_lock:
        from unicodedata import combining, east_asian_width

    return [0 if combining(character) else 2 if east_asian_width(character) in ("W", "F") else 1 for character in text]


def shorten(text: str, columns: int) -> str:
    """Return *text* cut to *columns*, with an ellipsis in place of what was cut off."""
    return text if width(text) <= columns else _head(text, columns - 1) + "…"


def _middle_cut(text: str, columns: int) -> str:
    """Return *text* cut to *columns*, with an ellipsis in the middle: addresses of a network differ at the end."""
    if width(text) <= columns:
        return text
    tail = _head(text[::-1], (columns - 1) // 2)[::-1]
    return _head(text, columns - 1 - width(tail)) + "…" + tail


def _head(text: str, columns: int) -> str:
    """Return the longest beginning of *text* that fits."""
    for index, taken in enumerate(_widths(text)):
        columns -= taken
        if columns < 0:
            return text[:index]
    return text


def wrap(text: str, columns: int | None, hanging: int = 2) -> list[str]:
    """Return *text* in lines of at most *columns*, broken at spaces if possible.

    Continuation lines are indented by *hanging* columns more than the first line.
    """
    if columns is None or width(text) <= columns:
        return [text]
    indent = " " * (len(text) - len(text.lstrip()) + hanging)
    lines: list[str] = []
    line, *others = text.split(" ")
    for word in others:
        if width(line) + 1 + width(word) <= columns:
            line = f"{line} {word}"
        else:
            lines += _broken(line, columns, indent)
            line = indent + word
    lines += _broken(line, columns, indent)
    return [line for line in lines if line.strip()] or [""]  # spaces before a long word, or at the end


def _broken(line: str, columns: int, indent: str) -> list[str]:
    """Return a line in parts of at most *columns*; its first word may be longer than that."""
    parts: list[str] = []
    while width(line) > columns > len(indent) + 1:
        head = _head(line, columns)
        parts.append(head)
        line = indent + line[len(head) :]
    return [*parts, line]


class Names(Frozen):
    """A list of untrusted names, each with a suffix that is not shortened, such as a pid."""

    opening: str
    """Text before the first name."""
    named: tuple[tuple[str, str], ...] = ()
    """Pairs of a name and its suffix."""

    def __str__(self) -> str:
        return visible(self.opening + _listed(self.named))

    def summary(self, most: int = 6) -> str:
        """Return the first *most* names and the number of the others."""
        others = len(self.named) - most
        return f"{Names(self.opening, self.named[:most])} and {others:,} more" if others > 0 else str(self)

    def fit(self, columns: int) -> str:
        """Return the list in *columns*: with all names if possible, shortened if necessary, else the first ones."""
        named = [(visible(name), suffix) for name, suffix in self.named]
        longest = max((width(name) for name, _ in named), default=0)
        for room in range(longest, min(longest, _LEAST_NAME) - 1, -1):
            text = self.opening + _listed([(shorten(name, room), suffix) for name, suffix in named])
            if width(text) <= columns:
                return text
        return self._first([(shorten(name, _LEAST_NAME), suffix) for name, suffix in named], columns)

    def _first(self, named: list[tuple[str, str]], columns: int) -> str:
        """Return the first names that fit and the number of the others; a suffix is cut off last."""
        text = ""
        for shown in range(1, len(named) + 1):
            rest = f", +{len(named) - shown}" if shown < len(named) else ""
            longer = self.opening + _listed(named[:shown])
            if width(longer + rest) > columns:
                break
            text = longer + rest
        if text or not named:
            return text or shorten(self.opening, columns)
        name, suffix = named[0]
        rest = f" {suffix}, +{len(named) - 1}" if len(named) > 1 else f" {suffix}"
        return shorten(shorten(self.opening + name, max(1, columns - len(rest))) + rest, columns)


class Several(Frozen):
    """A list of untrusted texts of which the first ones are enough."""

    items: tuple[str, ...]
    """The texts."""

    def __str__(self) -> str:
        return ", ".join(self.items)

    def first_and_more(self) -> str:
        """Return the first text and the number of the others."""
        others = f" and {len(self.items) - 1:,} more" if len(self.items) > 1 else ""
        return "".join(self.items[:1]) + others

    def fit(self, columns: int) -> str:
        """Return as many texts as fit in *columns*, and the number of the others."""
        items = [visible(item) for item in self.items]
        for shown in range(len(items), 0, -1):
            others = f" +{len(items) - shown} more" if shown < len(items) else ""
            text = ", ".join(items[:shown]) + others
            if width(text) <= columns:
                return text
        others = f" +{len(items) - 1}" if len(items) > 1 else ""
        return _middle_cut("".join(items[:1]), columns - len(others)) + others if columns > len(others) else "…"


def _listed(named: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{name} {suffix}" for name, suffix in named)


# --- tables and pages ------------------------------------------------------------------------------------------------


def table(  # noqa: PLR0913 - each has a default
    headers: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    columns: int | None = None,
    *,
    whole: Collection[int] = (0,),
    narrow: Iterable[tuple[int, int]] = (),
    right: Collection[int] = (),
) -> str:
    """Return aligned columns under their headers, without empty columns.

    If lines would be longer than *columns*, cells are shortened: first those of the columns in *narrow*, one after the
    other, each to a width of its own, and then those of the widest column. The columns with an index in *whole* are not
    shortened; lines that are too long even then are cut off. The columns in *right* are aligned at the right.
    """
    cells: list[Sequence[Cell]] = list(zip(headers, *rows, strict=True))
    texts = {index: _texts(column) for index, column in enumerate(cells)}
    texts = {index: column for index, column in texts.items() if any(column[1:])}
    if columns is not None:
        columns = max(columns, _LEAST)
        widths = {index: max(_widths_of(column)) for index, column in texts.items()}
        room = _narrowed(widths, columns, whole, narrow)
        texts |= {index: _texts(cells[index], room[index]) for index in texts if room[index] < widths[index]}
    lines = zip(*(_aligned(column, is_right=index in right) for index, column in texts.items()), strict=True)
    joined = ["  ".join(line).rstrip() for line in lines]
    if columns is not None and max(_widths_of(joined), default=0) > columns:
        joined = [shorten(line, columns) for line in joined]
    return "\n".join(joined)


def _texts(cells: Iterable[Cell], columns: int | None = None) -> list[str]:
    """Return the cells of one column as text. Each text is made once: the column of a long table has few."""
    with import_lock:
        from functools import cache

    @cache
    def text(cell: Cell) -> str:
        return _cell(cell, columns)

    return list(map(text, cells))


def _cell(value: Cell, columns: int | None = None) -> str:
    if columns is None:
        return visible(str(value))
    return shorten(visible(value), columns) if isinstance(value, str) else value.fit(columns)


def _narrowed(
    widths: Mapping[int, int], columns: int, whole: Collection[int], narrow: Iterable[tuple[int, int]]
) -> dict[int, int]:
    """Return the widths with the columns in *narrow* reduced, then the widest ones, until a line fits."""
    narrowed = dict(widths)
    excess = sum(widths.values()) + 2 * (len(widths) - 1) - columns
    for index, least in narrow:
        cut = min(max(excess, 0), max(narrowed.get(index, 0) - least, 0))
        if cut:
            narrowed[index] -= cut
            excess -= cut
    while excess > 0:
        widest = max((index for index in widths if index not in whole), key=lambda index: narrowed[index], default=None)
        if widest is None or narrowed[widest] <= _LEAST_NAME:
            break
        narrowed[widest] -= 1
        excess -= 1
    return narrowed


def _aligned(texts: list[str], *, is_right: bool) -> list[str]:
    """Return the texts of a column, each with spaces to the width of the widest."""
    widths = _widths_of(texts)
    widest = max(widths)
    spaces = (" " * (widest - each) for each in widths)
    return [space + text if is_right else text + space for text, space in zip(texts, spaces, strict=True)]


def _widths_of(texts: Sequence[str]) -> list[int]:
    """Return how many columns of a terminal each text takes."""
    return list(map(len if "".join(texts).isascii() else width, texts))


class Line(Frozen):
    """A text with a label."""

    label: str
    """The label; empty for a text that continues the one above."""
    text: str
    """The text beside the label."""
    role: str = "heading"
    """The role of the label, which decides its colour (see `Style.paint`)."""


def labelled(lines: Sequence[Line], style: Style = PLAIN, *, indent: str = "", gap: int = 1, hanging: int = 2) -> str:
    """Return labels in a column of their own with the texts beside them, wrapped to the width (see `wrap`).

    If the room beside the labels is too narrow to be read, texts are below their labels.
    """
    labels = [visible(line.label) for line in lines]
    room = max(map(width, labels), default=0)
    beside = len(indent) + room + (gap if room else 0)
    is_narrow = style.columns is not None and style.columns - beside < _LEAST
    left = " " * (len(indent) + 2 if is_narrow else beside)
    columns = None if style.columns is None else max(_LEAST, style.columns - len(left))
    shown: list[str] = []
    for line, label in zip(lines, labels, strict=True):
        parts = [left + part for part in wrap(visible(line.text), columns, hanging)]
        painted = indent + style.paint(line.role, label)
        if label and is_narrow:
            shown.append(painted)
        elif label:
            parts[0] = painted + parts[0][len(indent) + width(label) :]
        shown += parts
    return "\n".join(line.rstrip() for line in shown)


def page(
    title: str, entries: Mapping[str, Sequence[str]], style: Style = PLAIN, note: tuple[str, str] = ("", "")
) -> str:
    """Return a title and labelled texts: the label is before the first text of each entry.

    *note* is a text beside the title and its role (see `Style.paint`).
    """
    lines = [Line("" if index else label, text) for label, texts in entries.items() for index, text in enumerate(texts)]
    heading = style.paint("heading", visible(title))
    if note[0]:
        heading += f"    {style.paint(note[1], visible(note[0]))}"
    return "\n".join([heading, labelled(lines, style, indent="  ", gap=3)])
