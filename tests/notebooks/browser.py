"""Headless Chromium: the DOM and the pixels of a page. It has no network access."""

from __future__ import annotations

import json
import os
import subprocess
from html.parser import HTMLParser
from itertools import count
from pathlib import Path
from typing import Any

#: Size of the window in pixels.
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
    # Scripts and screenshots see the same layout.
    f"--window-size={WIDTH},{HEIGHT}",
    # External resources of a page are blocked.
    "--host-resolver-rules=MAP * ~NOTFOUND",
)

#: Runs after the page has loaded and stores the result of a script in an element of the dumped DOM.
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
    """Chromium, started separately for each page with its own profile."""

    def __init__(self, program: str, directory: Path) -> None:
        self._program = program
        self._directory = directory
        self._pages = count()

    def dom(self, html: str) -> str:
        """Return the DOM after loading, as HTML."""
        return self._run(html, "--dump-dom").decode()

    def evaluate(self, html: str, script: str) -> Any:
        """Return the result of a script in the page."""
        reader = _Report()
        reader.feed(self.dom(html + _REPORT.format(script=script)))
        return json.loads(reader.text)

    def screenshot(self, html: str) -> Path:
        """Take a screenshot of the window and return its path."""
        path = self._directory / f"page-{next(self._pages)}.png"
        self._run(html, f"--screenshot={path}")
        assert path.exists(), "the browser wrote no screenshot"
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
    """Reader of the text of the element that `_REPORT` adds."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = ("id", "report") in attrs

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.text += data
