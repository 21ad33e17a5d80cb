"""A bar chart for notebooks: labelled horizontal bars, each with its length in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .drawing import BLUE, ORANGE, RED, drawing, label
from .text import shorten

_LABEL, _TRACK, _VALUE = 330, 240, 70
_ROW = 22
_HEIGHT = 12
_LETTERS = 46
#: From which share on a bar has which colour. The number says the same.
_COLOURS = ((1.0, RED), (0.8, ORANGE), (0.0, BLUE))


class Bar(NamedTuple):
    """What a bar is about, and how long it is, from 0 to 1."""

    label: str
    share: float

    @property
    def percent(self) -> str:
        """The length in words."""
        return f"{100 * self.share:.0f} %"


def bars(title: str, rows: Sequence[Bar]) -> str:
    """Labelled horizontal bars under each other as one inline SVG element, with the same in words as its label."""
    words = "; ".join(f"{row.label}: {row.percent}" for row in rows)
    drawn = "".join(_bar(row, index * _ROW) for index, row in enumerate(rows))
    return drawing(f"{title}. {words}", _LABEL + _TRACK + _VALUE, _ROW * len(rows), drawn)


def _bar(row: Bar, top: int) -> str:
    share = min(1.0, max(0.0, row.share))
    colour = next(colour for least, colour in _COLOURS if share >= least)
    middle = top + _ROW // 2
    place = f'x="{_LABEL}" y="{middle - _HEIGHT // 2}" height="{_HEIGHT}"'
    return (
        label(0, middle, shorten(row.label, _LETTERS))
        + f'<rect {place} width="{_TRACK}" fill-opacity="0.15"/>'
        + f'<rect {place} width="{share * _TRACK:.1f}" fill="{colour}"/>'
        + label(_LABEL + _TRACK + 8, middle, row.percent)
    )
