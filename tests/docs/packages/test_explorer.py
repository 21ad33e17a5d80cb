"""The port explorer in a browser: portrange runs in the page, from the files of the site alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from notebooks.browser import Page

import portrange

TEXT = "(document.getElementById('explorer-page')?.innerText ?? '')"


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def url(site: Path) -> Iterator[str]:
    if not (site / "_static" / "explorer" / "pyodide.mjs").exists():
        pytest.skip("Pyodide is not installed: npm, or pip install --group lint, and access to the npm registry")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(site)))
    Thread(target=server.serve_forever).start()
    yield f"http://127.0.0.1:{server.server_port}/explorer.html"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def page(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Open the explorer with a link to a port. The browser reaches no other host than the server of the site."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("chromium is not installed: Debian has a package of that name")
    opened = Page(program, tmp_path_factory.mktemp("explorer"), f"{url}#60860", 390, 1200)
    try:
        opened.wait_for(f"{TEXT}.includes('Port ')")
        yield opened
    finally:
        opened.close()


def shown(page: Page, link: str, expected: str) -> str:
    """Follow a link within the page, and return its text when it contains what is expected."""
    page.evaluate(f"location.hash = {link!r};")
    page.wait_for(f"{TEXT}.includes({expected!r})", 20)
    text: str = page.evaluate(f"return {TEXT};")
    return text


def test_link_to_a_port_shows_its_page_with_the_picture(page):
    text = shown(page, "60860", "Port 60860: not safe to hard-code")
    assert "IANA's bands: system 0-1023, user 1024-49151, dynamic 49152-65535" in text
    assert "/proc/sys/net/ipv4/ip_local_port_range" in text
    assert page.evaluate("return document.getElementById('explorer-status').innerText;") == ""
    assert page.evaluate("return document.documentElement.scrollWidth;") <= 390


@pytest.mark.parametrize(
    ("system", "source"), [("macos", "sysctl net.inet"), ("windows", "netsh"), ("linux", "/proc/sys")]
)
def test_link_with_a_system_shows_its_settings(page, system, source):
    assert source in shown(page, f"50001@{system}", source)


def test_typed_service_name_shows_its_registrations_and_its_port(page):
    page.evaluate("""
        const form = document.getElementById("explorer");
        form.query.value = " postgresql ";
        form.requestSubmit();
    """)
    page.wait_for(f"{TEXT}.includes('Port 5432')", 20)
    assert portrange.services("postgresql")[0].description in page.evaluate(f"return {TEXT};")
    assert page.evaluate("return location.hash;").startswith("#postgresql")


@pytest.mark.parametrize(
    ("link", "message"),
    [
        ("65536", "Ports are whole numbers from 0 to 65535."),
        ("-1", "Ports are whole numbers from 0 to 65535."),
        ("no such service", "no service with the name “no such service”"),
        ("<img src=x onerror=document.title=1>", "no service with the name “<img src=x onerror=document.title=1>”"),
    ],
)
def test_other_text_is_explained_and_escaped(page, link, message):
    shown(page, link, message)
    assert page.evaluate("return document.querySelectorAll('#explorer-page img').length;") == 0


def test_page_is_useful_without_javascript(site):
    html = (site / "explorer.html").read_text(encoding="utf-8")
    assert "<noscript>" in html
    assert "49152-65535" in html.partition("<noscript>")[2]
    assert "//" not in (site / "_static" / "explorer" / "explorer.js").read_text(encoding="utf-8").replace("// ", "")
