"""What all pictures share: an inline SVG element that shows and says the same. Deterministic.

Pictures stand on pages of any colour. Text and lines have the colour of the page's text; the others stand out from
white and from black, by a contrast of at least 3 to 1 (WCAG 2.2, 1.4.11). There is no style sheet: pages and sanitisers
differ in what they let through, and without it a picture is merely never made smaller.
"""

from __future__ import annotations

from html import escape

from .text import visible

#: For what is plain, what is worth a look, and what is wrong.
BLUE, ORANGE, RED = "#3b82c4", "#c46f16", "#d7263d"


def escaped(text: str) -> str:
    """Text as it may stand in an element or an attribute."""
    return escape(visible(text))


def drawing(words: str, width: int, height: int, content: str) -> str:
    """`content` as a picture of that size, smaller where there is less room; `words` are for who cannot see it."""
    said = escaped(words)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{said}" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" style="max-width:100%;height:auto" font-family="sans-serif" font-size="12" '
        f'fill="currentColor"><title>{said}</title>{content}</svg>'
    )


def label(x: int, y: int, text: str, anchor: str = "start") -> str:
    """A line of text, its middle at the height of `y`."""
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" dominant-baseline="central">{escaped(text)}</text>'
