"""Results in a browser: pictures and tables are present, do not overlap and are legible on light and dark pages."""

from __future__ import annotations

import copy

import pytest
from notebooks.browser import HEIGHT, WIDTH, Browser
from notebooks.lab import notebook_in_jupyterlab
from notebooks.seen import LOOK, Seen, look, overlap, seen, settled
from recorded import RecordedHost

import portrange
from portrange import Destination, EphemeralRange, EphemeralUsage, Listener, Listeners, Process, Span

EVIL = Process(666, "<script>document.title='taken'</script>\x1b[2J\u202e")
RANGE = EphemeralRange(32768, 60999, reserved=tuple(Span(port, port) for port in range(40001, 50000, 2)))


def destination(port: int, sockets: int) -> Destination:
    return Destination("ipv4", "192.0.2.1", "198.51.100.7", port, sockets, 0, 0, 1000)


RESULTS = {
    "a port of Linux": portrange.classify(60860, host=RecordedHost("linux-6.18")),
    "a port of Windows": portrange.classify(0, host=RecordedHost("win32-10.0")),
    "a host with unknown settings": portrange.classify(65535, host=RecordedHost("linux-6.18-denied")),
    "a range with many reserved ports": RANGE,
    "an almost exhausted range": EphemeralUsage(
        "tcp", "linux", RANGE, len(RANGE), 1200, 3, destinations=(destination(443, 1000), destination(5432, 810))
    ),
    "listeners": Listeners(
        (
            Listener("tcp", "ipv4", "0.0.0.0", 80, owners=(EVIL,), user="root", unit="evil.service"),
            Listener("udp", "ipv6", "::", 53, hidden=True, possible_owners=(EVIL,), dual_stack=True),
        ),
        ("another namespace",),
    ),
    "a process": EVIL,
    "no listeners": Listeners(),
}
THEMES = {"light": ("#ffffff", "#111111"), "dark": ("#111111", "#eeeeee")}


@pytest.fixture(scope="module", params=THEMES)
def page(request: pytest.FixtureRequest, browser: Browser) -> Seen:
    background, colour = THEMES[request.param]
    results = "".join(f"<section>{result._repr_html_()}</section>" for result in RESULTS.values())
    body = f'<body style="background:{background};color:{colour}">{results}'
    return look(browser, f'<!doctype html><meta charset="utf-8"><title>answers</title>{body}')


def test_every_result_about_the_range_has_a_picture_with_text(page):
    texts = [picture["text"] for picture in page.found["pictures"]]
    assert len(texts) == 5
    assert texts[0].startswith("IANA's bands: system 0-1023, user 1024-49151, ")
    assert "ephemeral: 32768-60999" in texts[0]
    assert "excluded: " in texts[1]
    assert "ephemeral: unknown" in texts[2]
    assert "reserved: 5,000 ports" in texts[3]
    assert "443: 1,000 of 1,000 ports (100 %)" in texts[4]


def test_verdicts_are_beside_the_titles(page):
    assert page.found["verdicts"] == ["not safe to hard-code"] * 3 + ["no port is left for 1 destination"]


def test_every_result_has_a_table(page):
    tables = page.found["tables"]
    assert len(tables) == 7
    assert "no: IANA's band" in tables[0]
    assert r"<script>document.title='taken'</script>\x1b[2J\u202e" in tables[6]


def test_hostile_process_name_has_no_effect(page):
    assert page.found["title"] == "answers"
    assert page.found["scripts"] == 1  # the script of the test


def test_page_is_not_wider_than_the_window(page):
    assert page.found["width"] <= WIDTH


def test_picture_texts_stay_inside_and_do_not_overlap(page):
    for picture in page.found["pictures"]:
        left, top, right, bottom = picture["box"]
        for index, text in enumerate(picture["texts"]):
            assert left - 1 <= text[0] < text[2] <= right + 1, picture["text"]
            assert top - 2 <= text[1] < text[3] <= bottom + 2, picture["text"]
            assert not any(overlap(text, other) for other in picture["texts"][index + 1 :]), picture["text"]


def test_texts_and_shapes_have_enough_contrast(page):
    """Text needs a contrast of 4.5 to 1, shapes one of 3 to 1 (WCAG 2.2, 1.4.3 and 1.4.11)."""
    texts = [text for picture in page.found["pictures"] for text in picture["texts"]] + page.found["text_boxes"]
    assert len(texts) > 80
    assert all(page.contrast(text) >= 4.5 for text in texts)
    shapes = [shape for picture in page.found["pictures"] for shape in picture["shapes"]]
    assert len(shapes) >= 8
    # The colour is lighter where ports are sparse.
    assert all(page.contrast(shape) >= 2.2 for shape in shapes)
    assert sum(page.contrast(shape) >= 3 for shape in shapes) >= len(shapes) - 1


@pytest.fixture(scope="module", params=THEMES)
def tour(request: pytest.FixtureRequest, browser: Browser, executed) -> Seen:
    """Open the executed tour as the HTML page that Jupyter produces."""
    nbconvert = pytest.importorskip("nbconvert", reason="nbconvert is not installed: pip install --group notebook")
    # This notebook does not need external scripts.
    no_scripts = dict.fromkeys(
        ("jquery_url", "mathjax_url", "mermaid_js_url", "require_js_url", "widget_renderer_url"), ""
    )
    page, _ = nbconvert.HTMLExporter(theme=request.param, **no_scripts).from_notebook_node(executed)
    return look(browser, page)


def test_tour_has_pictures_and_tables(tour):
    check_pictures_of_the_tour(tour)
    assert len(tour.found["tables"]) >= 7
    assert tour.found["width"] <= WIDTH


def check_pictures_of_the_tour(seen: Seen) -> None:
    """Check that the pictures are drawn and that their texts and colours are legible."""
    lines = [picture["text"].splitlines()[0] for picture in seen.found["pictures"]]
    bands = "IANA's bands: system 0-1023, user 1024-49151, dynamic 49152-65535"
    assert lines == [bands, bands, "Ports in use by destination", bands]
    assert len(seen.found["verdicts"]) == 3
    for picture in seen.found["pictures"]:
        for index, text in enumerate(picture["texts"]):
            assert not any(overlap(text, other) for other in picture["texts"][index + 1 :]), picture["text"]
    texts = [text for picture in seen.found["pictures"] for text in picture["texts"]]
    assert all(seen.contrast(text) >= 4.5 for text in texts)
    drawn = [box for picture in seen.found["pictures"] for box in (*picture["shapes"], *picture["marks"])]
    assert all(seen.contrast(box) >= 3 for box in drawn)


def test_tour_has_enough_contrast(tour):
    assert all(tour.contrast(text) >= 4.5 for text in tour.found["text_boxes"])


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_untrusted_notebook_in_jupyterlab_shows_pictures_and_tables(browser, executed, tmp_path, theme, width):
    notebook = copy.deepcopy(executed)
    nbformat = pytest.importorskip("nbformat.v4", reason="nbformat is not installed: pip install --group notebook")
    data = {"text/html": "<p class='removed'>text<svg><rect width='9' height='9'></rect></svg></p>"}
    output = nbformat.new_output("display_data", data)
    notebook.cells.append(nbformat.new_code_cell("", outputs=[output]))
    with notebook_in_jupyterlab(browser.program, tmp_path, notebook, theme, width=width, height=2 * HEIGHT) as page:
        removed = page.evaluate("return ['.removed', '.removed svg'].map(of => document.querySelectorAll(of).length);")
        found, screenshot = settled(page, LOOK, tmp_path / "lab.png")
    assert removed == [1, 0], "the notebook is not sanitized"
    left, top, *_ = found["pictures"][0]["box"]
    check_pictures_of_the_tour(seen(found, screenshot, (round(left), round(top) - 2)))
    assert len(found["tables"]) >= 7
