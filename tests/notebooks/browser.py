"""Headless Chromium: what it makes of a page, as elements and as pixels. Nothing is asked of any network."""

from __future__ import annotations

import json
import os
import subprocess
from html.parser import HTMLParser
from itertools import count
from pathlib import Path
from typing import Any

#: Of the window, in pixels.
WIDTH, HEIGHT = 1000, 7000

_FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    # Asking and taking a picture see the same layout.
    f"--window-size={WIDTH},{HEIGHT}",
    # Whatever a page refers to elsewhere is not there.
    "--host-resolver-rules=MAP * ~NOTFOUND",
)

#: Runs when the page stands, and leaves what was asked of it in an element that the dump then has.
_REPORT = """
<script>
const report = document.createElement("script");
report.type = "application/json";
report.id = "report";
report.textContent = JSON.stringify((() => {{ {script} }})()).replaceAll("<", "\\\\u003c");
document.body.append(report);
</script>
"""


class Browser:
    """One program, started afresh for each page, with a profile of its own."""

    def __init__(self, program: str, directory: Path) -> None:
        self._program = program
        self._directory = directory
        self._pages = count()

    def dom(self, html: str) -> str:
        """The page as the browser has it after loading."""
        return self._run(html, "--dump-dom").decode()

    def ask(self, html: str, script: str) -> Any:
        """What a script returns in the page."""
        reader = _Report()
        reader.feed(self.dom(html + _REPORT.format(script=script)))
        return json.loads(reader.text)

    def screenshot(self, html: str) -> Path:
        """The page as a picture of the window's size."""
        path = self._directory / f"page-{next(self._pages)}.png"
        self._run(html, f"--screenshot={path}")
        assert path.exists(), "the browser made no picture"
        return path

    def _run(self, html: str, *arguments: str) -> bytes:
        number = next(self._pages)
        page = self._directory / f"page-{number}.html"
        page.write_text(html, encoding="utf-8")
        profile = self._directory / f"profile-{number}"
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        command = [self._program, *_FLAGS, *sandbox, f"--user-data-dir={profile}", *arguments, page.as_uri()]
        return subprocess.run(
            command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=120
        ).stdout


class _Report(HTMLParser):
    """The text of the element that `_REPORT` leaves."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = ("id", "report") in attrs

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.text += data
