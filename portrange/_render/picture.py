"""Pictures for notebooks as styled HTML: the axis of all port numbers, and bar charts. Deterministic.

JupyterLab removes `<svg>`, embedded images and attributes for screen readers from notebooks that are not trusted, and
keeps styled elements (@jupyterlab/apputils, sanitizer.ts). Each bar has its values as text above it, which remains
where styles are removed. Notebooks have pages of any colour: text has the colour of the page's text, and the other
colours have a contrast of at least 3 to 1 to white and to black (WCAG 2.2, 1.4.11).
"""

from __future__ import annotations

from itertools import groupby

from .._frozen import Frozen
from .html import escaped
from .text import shorten

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

#: The colours of normal, noteworthy and critical facts.
BLUE, ORANGE, RED = "#3b82c4", "#c46f16", "#d7263d"
#: IANA's bands, in shades that differ from those beside them.
_BANDS = ("#666666", "#8e8e8e", "#707070")
#: The whole length of a bar, visible on light and dark pages.
_TRACK = "rgba(128,128,128,0.25)"
#: The most characters of a label; a name without spaces breaks anywhere on a narrow page.
_LETTERS = 100


def _block(style: str, content: str = "") -> str:
    return f'<div style="{style}">{content}</div>'


def _drawing(content: str) -> str:
    """Return *content* as a picture as wide as a narrow page, or 640 pixels."""
    return _block("max-width:640px;margin:6px 0 12px 0;font-size:13px;line-height:1.4;text-align:left", content)


def _row(label: str, parts: Iterable[str]) -> str:
    """Return a label above a bar."""
    name = _block("margin-top:6px;overflow-wrap:break-word", escaped(label))
    return name + _block(f"height:12px;overflow:hidden;background-color:{_TRACK}", "".join(parts))


def _part(offset: float, width: float, paint: str) -> str:
    """Return a part of a bar: its distance from the part before it and its width, in percent."""
    margin = f"margin-left:{offset:.2f}%;" if offset else ""
    return _block(f"float:left;height:12px;{margin}width:{width:.2f}%;{paint}")


# --- the axis of all ports -------------------------------------------------------------------------------------------

_PORTS = 1 << 16
#: The ports that a column of the axis represents.
_PER_COLUMN = 128
_COLUMNS = _PORTS // _PER_COLUMN
#: The opacity of a column, by the least share of its ports that are in a span: sparse ports look sparse.
_OPACITIES = ((0.75, "1"), (0.25, "0.85"), (0.0, "0.7"))
#: The least number of columns of isolated ports, which are drawn opaque, so that they are visible.
_LEAST = 2
#: The least distance of two numbers in a line below the axis, in percent: room for five digits on a phone.
_DISTANCE = 15.0


class Stretch(Frozen):
    """Consecutive ports with a name."""

    name: str
    """The name of the ports."""
    first: int
    """The lowest port."""
    last: int
    """The highest port."""


class Row(Frozen):
    """A row of the axis."""

    label: str
    """The text above the row."""
    spans: Sequence[tuple[int, int]]
    """The ports that are drawn: first and last ports, in ascending order, without overlaps."""
    colour: str
    """The colour of the ports."""


def axis(bands: Sequence[Stretch], rows: Sequence[Row], ends: Iterable[int] = (), port: int | None = None) -> str:
    """Return the ports 0 to 65535 from left to right: a row for the bands, one for each of *rows*, one for *port*.

    The numbers below them are the first and the last port, and *ends*.
    """
    named = ", ".join(f"{band.name} {band.first}-{band.last}" for band in bands)
    parts = [
        _row(f"IANA's bands: {named}", map(_band, bands, _BANDS)),
        *(_row(shorten(row.label, _LETTERS), _drawn(row)) for row in rows),
        *([] if port is None else [_row(f"port {port}", [_marker(port)])]),
        *_numbers({0, _PORTS - 1, *ends}),
    ]
    return _drawing("".join(parts))


def _percent(columns: float) -> float:
    """Return a number of columns in percent of the axis, rounded as it is written, so that sums do not exceed 100."""
    return round(100 * columns / _COLUMNS, 2)


def _band(band: Stretch, colour: str) -> str:
    left, right = _percent(band.first / _PER_COLUMN), _percent((band.last + 1) / _PER_COLUMN)
    return _part(0, right - left, f"background-color:{colour}")


def _drawn(row: Row) -> Iterator[str]:
    end = 0.0
    for first, columns, opacity in _runs(row.spans):
        left, right = _percent(first), _percent(min(_COLUMNS, first + columns))
        # A run that is widened to be visible can reach into the next one.
        left = max(left, end)
        shade = "" if opacity == "1" else f";opacity:{opacity}"
        yield _part(left - end, right - left, f"background-color:{row.colour}{shade}")
        end = right


def _runs(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int, str]]:
    """Yield the first column, the width and the opacity of columns that look alike: few, even for many spans."""
    taken = _taken(spans)
    for is_empty, island in groupby(range(_COLUMNS), key=lambda column: not taken[column]):
        columns = list(island)
        if is_empty:
            continue
        if len(columns) <= _LEAST:
            # At the right end, there is no further column to extend to.
            yield min(columns[0], _COLUMNS - _LEAST), _LEAST, "1"
            continue
        for opacity, run in groupby(columns, key=lambda column: _opacity(taken[column])):
            alike = list(run)
            yield alike[0], len(alike), opacity


def _taken(spans: Iterable[tuple[int, int]]) -> list[int]:
    """Return the number of ports in each column."""
    taken = [0] * _COLUMNS
    for first, last in spans:
        for column in range(first // _PER_COLUMN, last // _PER_COLUMN + 1):
            low = column * _PER_COLUMN
            taken[column] += min(last, low + _PER_COLUMN - 1) - max(first, low) + 1
    return taken


def _opacity(taken: int) -> str:
    return next(opacity for least, opacity in _OPACITIES if taken >= least * _PER_COLUMN)


def _marker(port: int) -> str:
    """Return a mark at a port, in the colour of the text, which a border has if it names no colour."""
    left = min(_percent(port / _PER_COLUMN), 99.0)
    return _part(left, 0, "border-left:5px solid")


def _numbers(ports: Iterable[int]) -> Iterator[str]:
    """Yield lines of port numbers, each at its place; a number without room is in the next line."""
    lines: list[list[tuple[float, float, int]]] = []
    for port in sorted(ports):
        start, end = _room(port)
        room = (start, end, port)
        for line in lines:
            if line[-1][1] <= start:
                line.append(room)
                break
        else:
            lines.append([room])
    for line in lines:
        yield _block("height:16px;overflow:hidden;font-size:11px;line-height:16px", " ".join(_written(line)))


def _room(port: int) -> tuple[float, float]:
    """Return the room of a number in percent: right of the first column, or left of the last one at the right end."""
    left = _percent(port / _PER_COLUMN)
    if left + _DISTANCE <= 100:
        return left, left + _DISTANCE
    right = _percent((port + 1) / _PER_COLUMN)
    return right - _DISTANCE, right


def _written(line: Iterable[tuple[float, float, int]]) -> Iterator[str]:
    """Yield the numbers of a line, each with a tick at its port."""
    last = 0.0
    for start, end, port in line:
        side = "left" if start == _percent(port / _PER_COLUMN) else "right"
        tick = f"box-sizing:border-box;border-{side}:1px solid;padding-{side}:3px;text-align:{side};white-space:nowrap"
        # Without styles, the numbers are one line of text.
        place = f"float:left;margin-left:{start - last:.2f}%;width:{end - start:.2f}%"
        yield f'<span style="{place};{tick}">{port}</span>'
        last = end


# --- bar charts ------------------------------------------------------------------------------------------------------

#: The colour of a bar by its least share. The text above it states the same.
_COLOURS = ((1.0, RED), (0.8, ORANGE), (0.0, BLUE))


class Bar(Frozen):
    """A bar of a chart."""

    label: str
    """The text before the value."""
    share: float
    """The length, from 0 to 1."""
    value: str
    """The value and its limit as text."""


def bars(title: str, rows: Iterable[Bar]) -> str:
    """Return a title and labelled horizontal bars, one below the other."""
    return _drawing(_block("font-weight:bold", escaped(title)) + "".join(map(_drawn_bar, rows)))


def _drawn_bar(row: Bar) -> str:
    share = min(1.0, max(0.0, row.share))
    colour = next(colour for least, colour in _COLOURS if share >= least)
    visible = "min-width:2px;" if share else ""
    label = f"{shorten(row.label, _LETTERS)}: {row.value}"
    return _row(label, [_part(0, 100 * share, f"{visible}background-color:{colour}")])
