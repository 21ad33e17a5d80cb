"""Headless Chromium: the DOM and the pixels of a page. It has no network access."""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import sys
import time
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
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
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
        self.program = program
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
        command = [self.program, *_FLAGS, *sandbox, f"--user-data-dir={profile}", *arguments, page.as_uri()]
        return subprocess.run(
            command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=300
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


class Page:
    """A page of a running Chromium, for pages that load for a while: evaluate scripts, wait, resize, take screenshots.

    The commands are those of the Chrome DevTools Protocol, over file descriptors 3 and 4 (`--remote-debugging-pipe`).
    """

    def __init__(self, program: str, directory: Path, url: str, width: int = WIDTH, height: int = HEIGHT) -> None:
        commands, self._commands = os.pipe()
        self._replies, replies = os.pipe()
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        profile = f"--user-data-dir={directory / 'profile'}"
        command = [program, *_FLAGS, *sandbox, profile, "--remote-debugging-pipe", "about:blank"]
        # Descriptors 3 and 4 of this process may be in use.
        start = "import os, sys; os.dup2(int(sys.argv[1]), 13); os.dup2(int(sys.argv[2]), 4); os.dup2(13, 3); "
        start += "os.execv(sys.argv[3], sys.argv[3:])"
        self._process = subprocess.Popen(
            [sys.executable, "-c", start, str(commands), str(replies), *command],
            pass_fds=(commands, replies),
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(replies)
        self._numbers = count(1)
        self._session: dict[str, str] = {}
        self._unread = b""
        target = self._send("Target.createTarget", url="about:blank")["targetId"]
        self._session = {"sessionId": self._send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        self.resize(width, height)
        self.open(url)

    def open(self, url: str) -> None:
        """Load a URL."""
        self._send("Page.navigate", url=url)

    def resize(self, width: int, height: int) -> None:
        """Give the page the size of a window in pixels."""
        self._send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def prefer(self, scheme: str) -> None:
        """Prefer a colour scheme: "light" or "dark"."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._send("Emulation.setEmulatedMedia", features=features)

    def evaluate(self, script: str) -> Any:
        """Return the result of a script, the body of a function."""
        done = self._send("Runtime.evaluate", expression=f"(() => {{ {script} }})()", returnByValue=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def wait_for(self, condition: str, seconds: float = 120) -> None:
        """Wait until an expression is true in the page."""
        end = time.monotonic() + seconds
        while not self.evaluate(f"return Boolean({condition});"):
            assert time.monotonic() < end, f"not true in the page: {condition}"
            time.sleep(0.2)

    def screenshot(self, path: Path) -> Path:
        """Write a screenshot of the window to a file and return its path."""
        path.write_bytes(base64.b64decode(self._send("Page.captureScreenshot", format="png")["data"]))
        return path

    def close(self) -> None:
        """End the browser."""
        self._session = {}
        self._send("Browser.close")
        self._process.wait(30)
        os.close(self._commands)
        os.close(self._replies)

    def _send(self, method: str, /, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters, **self._session}
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            reply = self._receive()
            if reply.get("id") == number:
                assert "error" not in reply, f"{method}: {reply}"
                result: dict[str, Any] = reply["result"]
                return result

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            assert select.select([self._replies], [], [], 120)[0], "the browser does not reply"
            received = os.read(self._replies, 1 << 16)
            assert received, "the browser has ended"
            self._unread += received
        reply, _, self._unread = self._unread.partition(b"\0")
        parsed: dict[str, Any] = json.loads(reply)
        return parsed
