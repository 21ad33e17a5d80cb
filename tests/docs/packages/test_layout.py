"""Every page of the documentation fits the window of a desktop and of a phone, in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from notebooks.browser import Page

#: Returns what is wider than its place: the page, a code block, a table, a picture.
TOO_WIDE = """
const found = document.documentElement.scrollWidth > innerWidth ? ["the page"] : [];
const edge = document.querySelector("article, [role=main]").getBoundingClientRect().right + 8; // tables have a shadow
for (const element of document.querySelectorAll("pre, .table-wrapper, table, img")) {
    const scrolls = element.scrollWidth > element.clientWidth + 1 && getComputedStyle(element).overflowX != "visible";
    if (scrolls || element.getBoundingClientRect().right > edge)
        found.push(element.tagName + ": " + element.innerText.slice(0, 200));
}
return found;
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("chromium is not installed: Debian has a package of that name")
    opened = Page(program, tmp_path_factory.mktemp("layout"), "about:blank", 1280, 900)
    try:
        yield opened
    finally:
        opened.close()


def pages(site: Path) -> list[Path]:
    found = [page for page in sorted(site.rglob("*.html")) if "_static" not in page.relative_to(site).parts]
    assert len(found) > 30
    return found


def show(browser: Page, page: Path) -> None:
    browser.open(page.as_uri())
    browser.wait_for(f"document.readyState == 'complete' && location.href == {page.as_uri()!r}")


def test_nothing_needs_scrolling_sideways_on_a_desktop(site, browser):
    browser.resize(1280, 900)
    wide = {}
    for page in pages(site):
        show(browser, page)
        wide[page.relative_to(site).as_posix()] = browser.evaluate(TOO_WIDE)
    assert {name: found for name, found in wide.items() if found} == {}


def test_pages_do_not_scroll_sideways_on_a_phone(site, browser):
    """Code blocks and wide tables scroll within the page."""
    browser.resize(390, 844)
    wide = []
    for page in pages(site):
        show(browser, page)
        if browser.evaluate("return document.documentElement.scrollWidth > innerWidth;"):
            wide.append(page.relative_to(site).as_posix())
    assert wide == []


def test_long_code_does_scroll_on_a_phone(site, browser):
    """Otherwise the first test above could not fail."""
    browser.resize(390, 844)
    show(browser, site / "tutorial.html")
    assert browser.evaluate(TOO_WIDE) != []
