"""Results about hostile neighbours in a real browser are shown as text, and no injected script runs."""

from __future__ import annotations

import pytest
from hostile.neighbours import NEIGHBOURS, OWNED, Neighbour, visible

import portrange
from portrange._render import picture as drawn

TITLE = "untouched"
#: Runs after all scripts of the page.
STATE = """
return {
    title: document.title,
    scripts: document.scripts.length,
    active: document.querySelectorAll("img, iframe, object, embed, a, form, [onload], [onerror]").length,
    tables: document.querySelectorAll("table").length,
    drawings: document.querySelectorAll("div > div[style*='overflow:hidden']").length,
    text: document.body.textContent,
};
"""


@pytest.fixture(scope="module")
def hostile_listeners(neighbourhood: dict[str, Neighbour]) -> list[portrange.Listener]:
    return [listener for neighbour in neighbourhood.values() for listener in portrange.who_listens(neighbour.port)]


@pytest.fixture(scope="module")
def page(hostile_listeners: list[portrange.Listener]) -> str:
    """Return a page with all results as a notebook shows them."""
    shown = [portrange.listeners()._repr_html_(), *(listener._repr_html_() for listener in hostile_listeners)]
    for listener in hostile_listeners:
        shown += [owner._repr_html_() for owner in listener.owners]
        shown += [obstacle._repr_html_() for obstacle in portrange.why_busy(listener.port, address="127.0.0.1")]
    shown += [
        drawn.bars(name, [drawn.Bar(name, 0.5, "half")])
        for listener in hostile_listeners
        for name in listener.owners[0].cmdline[-1:]
    ]
    return f"<!DOCTYPE html><html lang=en><meta charset=utf-8><title>{TITLE}</title><body>{''.join(shown)}"


def test_unescaped_script_runs(browser):
    """The next tests rely on this: an unescaped script changes the title of the page."""
    raw = NEIGHBOURS["html"].arguments[0].decode()
    found = browser.evaluate(f"<!DOCTYPE html><title>{TITLE}</title><body>{raw}", "return document.title")
    assert found == OWNED


def test_no_script_runs_and_no_element_is_injected(browser, page, hostile_listeners):
    found = browser.evaluate(page, STATE)
    assert found["title"] == TITLE
    assert found["scripts"] == 1, "the script of the test"
    assert found["active"] == 0
    # The list, and for each neighbour its listener, its process and why its port is busy.
    assert found["tables"] == 1 + 3 * len(hostile_listeners)
    assert found["drawings"] == len(hostile_listeners)
    for lines in NEIGHBOURS.values():
        assert visible(lines.comm) in found["text"]


def test_long_names_do_not_widen_the_page(browser, neighbourhood):
    """The list fits the window although it contains a name of 255 characters without a space."""
    listed = f"<!DOCTYPE html><meta charset=utf-8><body>{portrange.listeners()._repr_html_()}"
    width, available = browser.evaluate(listed, "return [document.documentElement.scrollWidth, window.innerWidth]")
    assert width <= available


def test_page_text_is_printable(browser, page):
    found = browser.evaluate(page, "return document.body.textContent")
    assert found.replace("\n", "").isprintable()


def test_page_can_be_rendered(browser, page):
    """The screenshot has the size of the window, whatever the names of neighbours."""
    picture = browser.screenshot(page).read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 50_000
