"""A page as a reader has it: what is on it, where it is, and how well it stands out."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from notebooks.browser import HEIGHT, Browser

#: What is on the page: pictures, tables, and where everything lies that is to be read.
LOOK = """
const box = element => { const at = element.getBoundingClientRect(); return [at.left, at.top, at.right, at.bottom]; };
const of = (selector, root = document) => [...root.querySelectorAll(selector)];
return {
    title: document.title,
    scripts: of("script:not(#report)").length,
    height: document.documentElement.scrollHeight,
    width: document.documentElement.scrollWidth,
    pictures: of("svg").map(picture => ({
        role: picture.getAttribute("role"),
        label: picture.getAttribute("aria-label"),
        title: picture.querySelector("title").textContent,
        box: box(picture),
        texts: of("text", picture).map(box),
        shapes: of("rect[fill]", picture).map(box),
    })),
    tables: of("table").map(table => table.innerText),
    words: of("td, th, caption, p").filter(element => element.innerText.trim()).map(element => {
        const range = document.createRange();
        range.selectNodeContents(element);
        return box(range);
    }),
};
"""


class Seen(NamedTuple):
    """A page as elements and as pixels."""

    found: dict[str, Any]
    pixels: Any
    background: tuple[int, int, int]

    def contrast(self, box: list[float]) -> float:
        """The greatest contrast to the background among the pixels of a box."""
        part = self.pixels.crop(tuple(map(round, box)))
        return max(contrast(colour, self.background) for _, colour in part.getcolors(1 << 20))


def look(browser: Browser, page: str) -> Seen:
    """Open a page, and take a picture of it."""
    image = pytest.importorskip("PIL.Image", reason="pillow is not installed: pip install '.[notebook]'")
    found = browser.ask(page, LOOK)
    assert found["height"] <= HEIGHT, "the window is too small for the page"
    pixels = image.open(browser.screenshot(page)).convert("RGB")
    return Seen(found, pixels, pixels.getpixel((0, HEIGHT - 1)))


def luminance(colour: tuple[int, ...]) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [part / 255 for part in colour]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def overlap(one: list[float], other: list[float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
