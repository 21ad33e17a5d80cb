"""A bar chart for notebooks: readable on light and on dark pages, and to who cannot see it. Deterministic."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from .text import shorten, visible

_LABEL, _TRACK, _VALUE = 330, 240, 70
_ROW = 22
_HEIGHT = 12
_LETTERS = 46
#: From which share on a bar has which colour; each stands out from white and from black. The number says the same.
_COLOURS = ((1.0, "#d7263d"), (0.8, "#d9822b"), (0.0, "#3b82c4"))


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
    width, height = _LABEL + _TRACK + _VALUE, _ROW * len(rows)
    drawn = "".join(_bar(row, index * _ROW) for index, row in enumerate(rows))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{_escaped(f"{title}. {words}")}" '
        f'viewBox="0 0 {width} {height}" width="{width}" height="{height}" style="max-width:100%" '
        f'font-family="sans-serif" font-size="12" fill="currentColor">{drawn}</svg>'
    )


def _bar(row: Bar, top: int) -> str:
    share = min(1.0, max(0.0, row.share))
    colour = next(colour for least, colour in _COLOURS if share >= least)
    middle = top + _ROW // 2
    place = f'x="{_LABEL}" y="{middle - _HEIGHT // 2}" height="{_HEIGHT}"'
    return (
        f'<text x="0" y="{middle}" dominant-baseline="central">{_escaped(shorten(row.label, _LETTERS))}</text>'
        f'<rect {place} width="{_TRACK}" fill-opacity="0.15"/>'
        f'<rect {place} width="{share * _TRACK:.1f}" fill="{colour}"/>'
        f'<text x="{_LABEL + _TRACK + 8}" y="{middle}" dominant-baseline="central">{_escaped(row.percent)}</text>'
    )


def _escaped(text: str) -> str:
    return escape(visible(text))
