"""Pictures for notebooks as inline SVG: the axis of all port numbers, and bar charts. Deterministic.

Notebooks have pages of any colour. Text and lines have the colour of the page's text; the other colours have a contrast
of at least 3 to 1 to white and to black (WCAG 2.2, 1.4.11). There is no style sheet, because pages and sanitizers
differ in what they let through; without it, a picture is merely not scaled down.
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
#: The heights of a row and of a bar in it.
_ROW, _BAR = 22, 12


def _drawing(description: str, width: int, height: int, content: str) -> str:
    """Return *content* as a picture of this size, scaled down on narrow pages; *description* is for screen readers."""
    title = escaped(description)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{title}" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" style="max-width:100%;height:auto" font-family="sans-serif" font-size="12" '
        f'fill="currentColor"><title>{title}</title>{content}</svg>'
    )


def _label(x: int, y: int, text: str, anchor: str = "start") -> str:
    """Return a line of text; *y* is the height of its middle."""
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" dominant-baseline="central">{escaped(text)}</text>'


# --- the axis of all ports -------------------------------------------------------------------------------------------

_PORTS = 1 << 16
#: The ports that a column of the axis represents; a column is one unit wide.
_PER_COLUMN = 128
_COLUMNS = _PORTS // _PER_COLUMN
_LEFT, _RIGHT = 180, 24
#: The most characters of a label.
_LETTERS = 28
#: The opacity of a column, by the least share of its ports that are in a span: sparse ports look sparse.
_OPACITIES = ((0.75, "1"), (0.25, "0.85"), (0.0, "0.7"))
#: The least width of isolated ports, which are drawn opaque, so that they are visible.
_LEAST = 2
#: Bands differ by the opacity of the text's colour.
_BANDS = ("0.5", "0.2", "0.35")


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
    """The text before the row."""
    spans: Sequence[tuple[int, int]]
    """The ports that are drawn: first and last ports, in ascending order, without overlaps."""
    colour: str
    """The colour of the ports."""


def axis(title: str, bands: Sequence[Stretch], rows: Sequence[Row], port: int | None = None) -> str:
    """Return the ports 0 to 65535 from left to right: a row for the bands, one for each of *rows*, one for *port*."""
    labels = [*(row.label for row in rows), *([] if port is None else [f"port {port}"])]
    bottom = _ROW * (2 + len(labels))
    parts = [
        *(_band(band, opacity) for band, opacity in zip(bands, _BANDS, strict=True)),
        *(
            _label(0, _middle(index), shorten(text, _LETTERS))
            for index, text in enumerate(["IANA's bands", *labels], 1)
        ),
        *(part for index, row in enumerate(rows, 2) for part in _drawn_row(row, index)),
        *([] if port is None else [_marker(port, bottom)]),
        *_ticks(bands, bottom),
    ]
    named = ", ".join(f"{band.name} {band.first}-{band.last}" for band in bands)
    description = "; ".join([f"{title}. IANA's bands: {named}", *labels])
    return _drawing(description, _LEFT + _COLUMNS + _RIGHT, bottom + _ROW, "".join(parts))


def _x(port: int) -> int:
    return _LEFT + port // _PER_COLUMN


def _middle(row: int) -> int:
    """Return the height of a row's middle; row 0 has the names of the bands."""
    return row * _ROW + _ROW // 2


def _rectangle(x: int, row: int, columns: int, paint: str) -> str:
    return f'<rect x="{x}" y="{_middle(row) - _BAR // 2}" width="{columns}" height="{_BAR}" {paint}/>'


def _band(band: Stretch, opacity: str) -> str:
    left, right = _x(band.first), _x(band.last) + 1
    # The first band is narrower than its name, so the name is not centred.
    narrow = right - left < 50
    name = _label(left if narrow else (left + right) // 2, _middle(0), band.name, "start" if narrow else "middle")
    return name + _rectangle(left, 1, right - left, f'fill-opacity="{opacity}"')


def _drawn_row(row: Row, index: int) -> Iterator[str]:
    yield _rectangle(_LEFT, index, _COLUMNS, 'fill-opacity="0.08"')
    for first, columns, opacity in _runs(row.spans):
        shade = "" if opacity == "1" else f' fill-opacity="{opacity}"'
        yield _rectangle(_LEFT + first, index, columns, f'fill="{row.colour}"{shade}')


def _runs(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int, str]]:
    """Yield the first column, the width and the opacity of columns that look alike: few, even for many spans."""
    taken = _taken(spans)
    for is_empty, island in groupby(range(_COLUMNS), key=lambda column: not taken[column]):
        columns = list(island)
        if is_empty:
            continue
        if len(columns) <= _LEAST:
            yield columns[0], _LEAST, "1"
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


def _marker(port: int, bottom: int) -> str:
    """Return a line through all rows, with a diamond in the port's own row."""
    x, middle = _x(port), bottom - _ROW // 2
    return (
        f'<path d="M{x} {_ROW}V{bottom}" stroke="currentColor"/>'
        f'<path d="M{x - 6} {middle}L{x} {middle - 6}L{x + 6} {middle}L{x} {middle + 6}Z"/>'
    )


def _ticks(bands: Sequence[Stretch], bottom: int) -> Iterator[str]:
    """Yield the first port of each band, and the last port."""
    middle = bottom + _ROW // 2
    for port in (*(band.first for band in bands), bands[-1].last):
        # 0 and 1024 are 8 columns apart: they do not overlap if 0 is centred and 1024 begins at its column.
        yield _label(_x(port), middle, str(port), "start" if 0 < port < 4096 else "middle")


# --- bar charts ------------------------------------------------------------------------------------------------------

_BAR_LABEL, _TRACK, _VALUE = 330, 240, 70
_BAR_LETTERS = 46
#: The colour of a bar by its least share. The percentage beside it states the same.
_COLOURS = ((1.0, RED), (0.8, ORANGE), (0.0, BLUE))


class Bar(Frozen):
    """A bar of a chart."""

    label: str
    """The text before the bar."""
    share: float
    """The length, from 0 to 1."""

    @property
    def percent(self) -> str:
        """The length as text."""
        return f"{100 * self.share:.0f} %"


def bars(title: str, rows: Sequence[Bar]) -> str:
    """Return labelled horizontal bars, one below the other."""
    values = "; ".join(f"{row.label}: {row.percent}" for row in rows)
    drawn = "".join(_drawn_bar(row, index * _ROW) for index, row in enumerate(rows))
    return _drawing(f"{title}. {values}", _BAR_LABEL + _TRACK + _VALUE, _ROW * len(rows), drawn)


def _drawn_bar(row: Bar, top: int) -> str:
    share = min(1.0, max(0.0, row.share))
    colour = next(colour for least, colour in _COLOURS if share >= least)
    middle = top + _ROW // 2
    place = f'x="{_BAR_LABEL}" y="{middle - _BAR // 2}" height="{_BAR}"'
    return (
        _label(0, middle, shorten(row.label, _BAR_LETTERS))
        + f'<rect {place} width="{_TRACK}" fill-opacity="0.15"/>'
        + f'<rect {place} width="{share * _TRACK:.1f}" fill="{colour}"/>'
        + _label(_BAR_LABEL + _TRACK + 8, middle, row.percent)
    )
