"""A page as a reader sees it: content, positions and contrast."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
from notebooks.browser import HEIGHT, Browser, Page

#: Returns the pictures and tables of a page, and the boxes of all text.
LOOK = """
const box = element => { const at = element.getBoundingClientRect(); return [at.left, at.top, at.right, at.bottom]; };
const of = (selector, root = document) => [...root.querySelectorAll(selector)];
return {
    title: document.title,
    scripts: of("script:not(#report)").length,
    height: document.documentElement.scrollHeight,
    width: document.documentElement.scrollWidth,
    pictures: of("div[style*='max-width:640px']").map(picture => ({
        text: picture.innerText,
        box: box(picture),
        texts: of("div, span", picture).filter(part => !part.children.length && part.innerText.trim()).map(part => {
            const range = document.createRange();
            range.selectNodeContents(part);
            return box(range);
        }),
        shapes: of("div[style*='background-color:#']", picture).map(box).filter(box => box[2] - box[0] >= 1),
        marks: of("div[style*='border-left:5px']", picture).map(box),
    })),
    verdicts: of("p > span[style*='background-color:#']").map(verdict => verdict.innerText),
    tables: of("table").map(table => table.innerText),
    text_boxes: of("td, th, caption, p").filter(element => element.innerText.trim()).map(element => {
        const range = document.createRange();
        range.selectNodeContents(element);
        return box(range);
    }),
};
"""


class Seen(NamedTuple):
    """A rendered page: elements and pixels."""

    found: dict[str, Any]
    pixels: Any
    background: tuple[int, int, int]

    def contrast(self, box: list[float]) -> float:
        """Return the greatest contrast with the background among the pixels of a box."""
        part = self.pixels.crop(tuple(map(round, box)))
        return max(contrast(colour, self.background) for _, colour in part.getcolors(1 << 20))


def look(browser: Browser, page: str) -> Seen:
    """Open a page and take a screenshot."""
    found = browser.evaluate(page, LOOK)
    assert found["height"] <= HEIGHT, "the window is too small for the page"
    return seen(found, browser.screenshot(page), (0, HEIGHT - 1))


def settled(page: Page, script: str, path: Path) -> tuple[dict[str, Any], Path]:
    """Return the result of a script and a screenshot of the same layout; a page can move its parts while it loads."""
    for _ in range(50):
        found = page.evaluate(script)
        page.screenshot(path)
        if page.evaluate(script) == found:
            return found, path
    raise AssertionError("the layout of the page changes all the time")


def seen(found: dict[str, Any], screenshot: Path, place: tuple[int, int]) -> Seen:
    """Return what the script found, with the pixels of a screenshot; the pixel at *place* has the background colour."""
    image = pytest.importorskip("PIL.Image", reason="pillow is not installed: pip install --group notebook")
    pixels = image.open(screenshot).convert("RGB")
    return Seen(found, pixels, pixels.getpixel(place))


def luminance(colour: tuple[int, ...]) -> float:
    """Return the relative luminance (WCAG 2.2)."""
    parts = [part / 255 for part in colour]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: tuple[int, ...], second: tuple[int, ...]) -> float:
    darker, lighter = sorted((luminance(first), luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


def overlap(first: list[float], second: list[float]) -> bool:
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]
