"""Where the words go: how wide the terminal is, whether it has colours, and what to do when nobody reads."""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import Any

from .._render import text
from .._render.look import PLAIN, Look
from .output import Output


def look() -> Look:
    """The terminal's width and colours; plain text of any width where a program or a file reads.

    Colours are left out where NO_COLOR is set to anything (no-color.org), where TERM is "dumb", and in the console
    windows of old that show the codes themselves.
    """
    if not sys.stdout.isatty():
        return PLAIN
    dumb = os.environ.get("TERM", "dumb" if os.name != "nt" else "") == "dumb"
    old_console = os.name == "nt" and not ("WT_SESSION" in os.environ or os.environ.get("TERM"))
    return Look(
        columns=shutil.get_terminal_size().columns,
        colour=not (os.environ.get("NO_COLOR") or dumb or old_console),
    )


def complain(name: str, error: Exception, status: int) -> int:
    """Say what went wrong, in one line on the error stream."""
    print(f"{name}: {text.visible(str(error))}", file=sys.stderr)
    return status


def show(output: Output, *, as_json: bool) -> int:
    """Print an answer; a reader who stops listening, or a terminal that lacks a sign, is no reason to fail."""
    stream: Any = sys.stdout
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")
    try:
        print(json.dumps(output.data, indent=2) if as_json else output.text, flush=True)
    except BrokenPipeError:
        # Python flushes once more at its end; let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return output.status
