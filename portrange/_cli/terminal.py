"""Where the words go: how wide the terminal is, whether it has colours, and what to do when nobody reads."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from typing import Any

from .._render import text
from .._render.look import PLAIN, Look
from .output import NO_ANSWER


def look() -> Look:
    """The terminal's width and colours; plain text of any width where a program or a file reads.

    Colours are left out where NO_COLOR is set and not empty (no-color.org), where TERM is "dumb", and in the console
    windows of old that show the codes themselves.
    """
    if sys.stdout is None or not sys.stdout.isatty():
        return PLAIN
    dumb = os.environ.get("TERM", "dumb" if os.name != "nt" else "") == "dumb"
    old_console = os.name == "nt" and not ("WT_SESSION" in os.environ or os.environ.get("TERM"))
    return Look(
        columns=shutil.get_terminal_size().columns,
        colour=not (os.environ.get("NO_COLOR") or dumb or old_console),
    )


def complain(name: str, error: Exception | str, status: int) -> int:
    """Say what went wrong, in one line on the error stream."""
    if sys.stderr is not None:  # print() would take None for the standard output, where programs read the answer
        print(f"{name}: {text.visible(str(error))}", file=sys.stderr)
    return status


def show(name: str, words: str, status: int) -> int:
    """Print an answer, and return the exit status: the answer's own, or that of a failure where it was not written.

    A reader who stops listening, or a terminal that lacks a sign, is no reason to fail; a full disk is.
    """
    stream: Any = sys.stdout
    if stream is None:
        return complain(name, "the answer cannot be written: the standard output is closed", NO_ANSWER)
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")
    try:
        print(words, flush=True)
    except OSError as error:
        # Python flushes once more at its end; let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if not _nobody_reads(error):
            return complain(name, f"the answer cannot be written: {error.strerror}", NO_ANSWER)
    return status


def _nobody_reads(error: OSError) -> bool:
    """Whether the other end of a pipe was closed; Windows calls that an invalid argument."""
    return isinstance(error, BrokenPipeError) or (os.name == "nt" and error.errno == errno.EINVAL)
