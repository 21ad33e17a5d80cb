"""Answers in a browser: pictures and tables are there, nothing overlaps, all can be read on light and on dark."""

from __future__ import annotations

import pytest
from notebooks.browser import WIDTH, Browser
from notebooks.seen import Seen, look, overlap
from recorded import RecordedHost

import portrange
from portrange import Destination, EphemeralRange, EphemeralUsage, Listener, Listeners, Process, Span

EVIL = Process(666, "<script>document.title='taken'</script>\x1b[2J\u202e")
POOL = EphemeralRange(32768, 60999, reserved=tuple(Span(port, port) for port in range(40001, 50000, 2)))


def destination(port: int, sockets: int) -> Destination:
    return Destination("ipv4", "192.0.2.1", "198.51.100.7", port, sockets, 0, 0, 1000)


ANSWERS = {
    "a port of Linux": portrange.classify(60860, host=RecordedHost("linux-6.18")),
    "a port of Windows": portrange.classify(0, host=RecordedHost("win32-10.0")),
    "a host that tells nothing": portrange.classify(65535, host=RecordedHost("linux-6.18-denied")),
    "a pool with a lot set aside": POOL,
    "a pool that is almost full": EphemeralUsage(
        "tcp", "linux", POOL, len(POOL), 1200, 3, destinations=(destination(443, 1000), destination(5432, 810))
    ),
    "listeners": Listeners(
        (
            Listener("tcp", "ipv4", "0.0.0.0", 80, owners=(EVIL,), user="root", unit="evil.service"),
            Listener("udp", "ipv6", "::", 53, hidden=True, possible_owners=(EVIL,), dual_stack=True),
        ),
        ("another namespace",),
    ),
    "a process": EVIL,
    "nobody": Listeners(),
}
THEMES = {"light": ("#ffffff", "#111111"), "dark": ("#111111", "#eeeeee")}


@pytest.fixture(scope="module", params=THEMES)
def seen(request: pytest.FixtureRequest, browser: Browser) -> Seen:
    background, colour = THEMES[request.param]
    answers = "".join(f"<section>{answer._repr_html_()}</section>" for answer in ANSWERS.values())
    body = f'<body style="background:{background};color:{colour}">{answers}'
    return look(browser, f'<!doctype html><meta charset="utf-8"><title>answers</title>{body}')


def test_every_answer_about_the_pool_has_a_picture_that_says_the_same_in_words(seen):
    pictures = seen.found["pictures"]
    assert len(pictures) == 6  # the last answer but the sequences has bars as well
    for picture in pictures:
        assert picture["role"] == "img"
        assert picture["label"] == picture["title"]
    assert pictures[0]["label"].startswith("Port 60860 on this host. IANA's bands: system 0-1023, user 1024-49151, ")
    assert "handed out: 32768-60999" in pictures[0]["label"]
    assert "refused: " in pictures[1]["label"]
    assert "handed out: unknown" in pictures[2]["label"]
    assert "set aside: 5,000 ports" in pictures[3]["label"]
    assert "443: 100 %" in pictures[5]["label"]


def test_every_answer_has_its_words(seen):
    tables = seen.found["tables"]
    assert len(tables) == 7
    assert "never assigned to anybody" in tables[0]
    assert r"<script>document.title='taken'</script>\x1b[2J\u202e (666)" in tables[5]


def test_nothing_of_a_hostile_name_is_obeyed(seen):
    assert seen.found["title"] == "answers"
    assert seen.found["scripts"] == 1  # the one that looks


def test_the_page_is_not_wider_than_the_window(seen):
    assert seen.found["width"] <= WIDTH


def test_no_words_of_a_picture_overlap_or_leave_it(seen):
    for picture in seen.found["pictures"]:
        left, top, right, bottom = picture["box"]
        for index, text in enumerate(picture["texts"]):
            assert left - 1 <= text[0] < text[2] <= right + 1, picture["label"]
            assert top - 2 <= text[1] < text[3] <= bottom + 2, picture["label"]
            assert not any(overlap(text, other) for other in picture["texts"][index + 1 :]), picture["label"]


def test_words_and_shapes_can_be_read(seen):
    """Text needs a contrast of 4.5 to 1, shapes one of 3 to 1 (WCAG 2.2, 1.4.3 and 1.4.11)."""
    texts = [text for picture in seen.found["pictures"] for text in picture["texts"]] + seen.found["words"]
    assert len(texts) > 80
    assert all(seen.contrast(text) >= 4.5 for text in texts)
    shapes = [shape for picture in seen.found["pictures"] for shape in picture["shapes"]]
    assert len(shapes) >= 8
    # Where ports are sparse, so is the colour.
    assert all(seen.contrast(shape) >= 2.2 for shape in shapes)
    assert sum(seen.contrast(shape) >= 3 for shape in shapes) >= len(shapes) - 1


@pytest.fixture(scope="module", params=THEMES)
def tour(request: pytest.FixtureRequest, browser: Browser, executed) -> Seen:
    """The executed tour on the page that Jupyter makes of it."""
    nbconvert = pytest.importorskip("nbconvert", reason="nbconvert is not installed: pip install '.[notebook]'")
    # What the page would fetch from elsewhere is not needed for this notebook.
    nowhere = dict.fromkeys(
        ("jquery_url", "mathjax_url", "mermaid_js_url", "require_js_url", "widget_renderer_url"), ""
    )
    page, _ = nbconvert.HTMLExporter(theme=request.param, **nowhere).from_notebook_node(executed)
    return look(browser, page)


def test_the_tour_has_its_pictures_and_tables(tour):
    assert [picture["label"].partition(".")[0] for picture in tour.found["pictures"]] == [
        "Port 60860 on this host",
        "Ephemeral range",
        "Ephemeral range",
        f"Port {portrange.suggest_port('my-service')} on this host",
    ]
    assert len(tour.found["tables"]) >= 7
    assert tour.found["width"] <= WIDTH


def test_the_tour_can_be_read(tour):
    texts = [text for picture in tour.found["pictures"] for text in picture["texts"]]
    assert all(tour.contrast(text) >= 4.5 for text in texts + tour.found["words"])
    assert all(tour.contrast(shape) >= 3 for picture in tour.found["pictures"] for shape in picture["shapes"])
