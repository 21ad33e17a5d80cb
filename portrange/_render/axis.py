"""The axis of all port numbers: IANA's bands, what a system does with the ports, and one port on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from .drawing import drawing, label
from .text import shorten

_PORTS = 1 << 16
#: A column of the picture is as wide as one of its pixels, and stands for this many ports.
_PER_COLUMN = 128
_COLUMNS = _PORTS // _PER_COLUMN
_LEFT, _RIGHT = 180, 24
_LETTERS = 28
_ROW, _BAR = 22, 12
#: How opaque a column is from which share of its ports on: sparse ports look sparse.
_OPACITIES = ((0.75, "1"), (0.25, "0.85"), (0.0, "0.7"))
#: A few ports that stand alone are drawn this wide and in full colour: nobody would see less.
_LEAST = 2
#: Bands are told apart by how much of the text's colour they have.
_BANDS = ("0.5", "0.2", "0.35")


class Stretch(NamedTuple):
    """Some ports in a row, both ends included, and what they are called."""

    name: str
    first: int
    last: int


class Row(NamedTuple):
    """A line of the picture: what its label says, and the ports it is about, in ascending order without overlaps."""

    label: str
    spans: Sequence[tuple[int, int]]
    colour: str


def axis(title: str, bands: Sequence[Stretch], rows: Sequence[Row], port: int | None = None) -> str:
    """The numbers 0 to 65535 from left to right: the bands, a row for each fact, and a port if there is one."""
    lines = [*(row.label for row in rows), *([] if port is None else [f"port {port}"])]
    bottom = _ROW * (2 + len(lines))
    parts = [
        *(_band(band, opacity) for band, opacity in zip(bands, _BANDS, strict=True)),
        *(label(0, _middle(index), shorten(text, _LETTERS)) for index, text in enumerate(["IANA's bands", *lines], 1)),
        *(part for index, row in enumerate(rows, 2) for part in _row(row, index)),
        *([] if port is None else [_marker(port, bottom)]),
        *_ticks(bands, bottom),
    ]
    named = ", ".join(f"{band.name} {band.first}-{band.last}" for band in bands)
    words = "; ".join([f"{title}. IANA's bands: {named}", *lines])
    return drawing(words, _LEFT + _COLUMNS + _RIGHT, bottom + _ROW, "".join(parts))


def _x(port: int) -> int:
    return _LEFT + port // _PER_COLUMN


def _middle(row: int) -> int:
    """The height of a row; the names of the bands are row 0."""
    return row * _ROW + _ROW // 2


def _rectangle(x: int, row: int, columns: int, paint: str) -> str:
    return f'<rect x="{x}" y="{_middle(row) - _BAR // 2}" width="{columns}" height="{_BAR}" {paint}/>'


def _band(band: Stretch, opacity: str) -> str:
    left, right = _x(band.first), _x(band.last) + 1
    # The first band is narrower than its name: that one begins where the band does.
    narrow = right - left < 50
    name = label(left if narrow else (left + right) // 2, _middle(0), band.name, "start" if narrow else "middle")
    return name + _rectangle(left, 1, right - left, f'fill-opacity="{opacity}"')


def _row(row: Row, index: int) -> Iterator[str]:
    yield _rectangle(_LEFT, index, _COLUMNS, 'fill-opacity="0.08"')
    for first, columns, opacity in _runs(row.spans):
        shade = "" if opacity == "1" else f' fill-opacity="{opacity}"'
        yield _rectangle(_LEFT + first, index, columns, f'fill="{row.colour}"{shade}')


def _runs(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int, str]]:
    """Columns that look alike, as the first of them, how many, and their opacity: few, however many spans there are."""
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
    """How many ports of each column there are."""
    taken = [0] * _COLUMNS
    for first, last in spans:
        for column in range(first // _PER_COLUMN, last // _PER_COLUMN + 1):
            low = column * _PER_COLUMN
            taken[column] += min(last, low + _PER_COLUMN - 1) - max(first, low) + 1
    return taken


def _opacity(taken: int) -> str:
    return next(opacity for least, opacity in _OPACITIES if taken >= least * _PER_COLUMN)


def _marker(port: int, bottom: int) -> str:
    """A line through all rows, with a diamond in the port's own row."""
    x, middle = _x(port), bottom - _ROW // 2
    return (
        f'<path d="M{x} {_ROW}V{bottom}" stroke="currentColor"/>'
        f'<path d="M{x - 6} {middle}L{x} {middle - 6}L{x + 6} {middle}L{x} {middle + 6}Z"/>'
    )


def _ticks(bands: Sequence[Stretch], bottom: int) -> Iterator[str]:
    """The numbers at which bands begin, and the last of all."""
    middle = bottom + _ROW // 2
    for port in (*(band.first for band in bands), bands[-1].last):
        # 0 and 1024 are 8 columns apart: centred on 0, and from 1024 on, both can be read.
        yield label(_x(port), middle, str(port), "start" if 0 < port < 4096 else "middle")
