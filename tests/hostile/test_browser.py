"""What a real browser makes of answers about hostile neighbours: text. No script of theirs runs."""

from __future__ import annotations

import pytest
from hostile.neighbours import NEIGHBOURS, OWNED, Neighbour, visible

import portrange
from portrange._render import svg

TITLE = "untouched"
#: Runs after everything that the page itself might run.
STATE = """
return {
    title: document.title,
    scripts: document.scripts.length,
    active: document.querySelectorAll("img, iframe, object, embed, a, form, [onload], [onerror]").length,
    tables: document.querySelectorAll("table").length,
    drawings: document.querySelectorAll("svg").length,
    text: document.body.textContent,
};
"""


@pytest.fixture(scope="module")
def answers(neighbourhood: dict[str, Neighbour]) -> list[portrange.Listener]:
    return [one for neighbour in neighbourhood.values() for one in portrange.who_listens(neighbour.port)]


@pytest.fixture(scope="module")
def page(answers: list[portrange.Listener]) -> str:
    """All answers as a notebook shows them, one below the other."""
    shown = [portrange.listeners()._repr_html_(), *(one._repr_html_() for one in answers)]
    for one in answers:
        shown += [owner._repr_html_() for owner in one.owners]
        shown += [obstacle._repr_html_() for obstacle in portrange.why_busy(one.port, address="127.0.0.1")]
    shown += [svg.bars(name, [svg.Bar(name, 0.5)]) for one in answers for name in one.owners[0].cmdline[-1:]]
    return f"<!DOCTYPE html><html lang=en><meta charset=utf-8><title>{TITLE}</title><body>{''.join(shown)}"


def test_a_script_on_such_a_page_would_run(browser):
    """What the next tests rely on: here nothing is escaped, and the page's title is another afterwards."""
    raw = NEIGHBOURS["html"].arguments[0].decode()
    found = browser.ask(f"<!DOCTYPE html><title>{TITLE}</title><body>{raw}", "return document.title")
    assert found == OWNED


def test_no_script_runs_and_no_element_is_smuggled_in(browser, page, answers):
    found = browser.ask(page, STATE)
    assert found["title"] == TITLE
    assert found["scripts"] == 1, "the one that asks"
    assert found["active"] == 0
    # The list, and for each neighbour: itself, its process, why its port is busy.
    assert found["tables"] == 1 + 3 * len(answers)
    assert found["drawings"] == len(answers)
    for lines in NEIGHBOURS.values():
        assert visible(lines.comm) in found["text"]


def test_no_name_pushes_the_other_columns_out_of_sight(browser, neighbourhood):
    """The list of all, one of which has a name of 255 signs without a space, fits the window."""
    listed = f"<!DOCTYPE html><meta charset=utf-8><body>{portrange.listeners()._repr_html_()}"
    width, room = browser.ask(listed, "return [document.documentElement.scrollWidth, window.innerWidth]")
    assert width <= room


def test_nothing_that_is_not_printable_is_on_the_page(browser, page):
    found = browser.ask(page, "return document.body.textContent")
    assert found.replace("\n", "").isprintable()


def test_the_page_can_be_drawn(browser, page):
    """For looking at; it is as large as the window, whatever neighbours call themselves."""
    picture = browser.screenshot(page).read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 50_000
