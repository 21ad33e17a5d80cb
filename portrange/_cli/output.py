"""What a command returns, and how it is printed: exit statuses, JSON, terminal width, colours and failures."""

from __future__ import annotations

import os
import sys

from .._frozen import Frozen
from .._lazy import import_lock
from .._render.strings import visible
from .._render.text import PLAIN, Style

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable, Sequence
    from typing import Any

    from .._answers.record import Record
    from .._errors import PortrangeError

#: Exit statuses; 1 is a result ("not safe", "busy"), 2 and 3 are failures.
OK, NO, BAD_INPUT, NO_ANSWER = range(4)
#: The status that shells report for a program ended by Ctrl-C: 128 and the number of SIGINT.
INTERRUPTED = 130

#: The commands by name, each with its module and summary. Without a name: the page of a port, or all listeners.
COMMANDS = {
    "range": ("cmd_range", "which ports the system allocates automatically"),
    "busy": ("cmd_busy", "why a port cannot be bound; exit 1 if it cannot"),
    "check": ("cmd_check", "whether fixed ports are safe to rely on; exit 1 if one is not"),
    "usage": ("cmd_usage", "whether the ephemeral ports are running out, and to which destination"),
    "suggest": ("cmd_suggest", "a stable port number for a name; nothing is reserved"),
}
PAGE = ("cmd_page", "what a port is, how this machine treats it, and who listens on it")
LIST = ("cmd_list", "every listening socket of this machine")


class Output(Frozen):
    """The result of a command: text for people, data for `--json`, and an exit status."""

    text: str
    #: None if the command computes it only for `--json`.
    data: object
    status: int = OK
    #: Lines for people on the error stream; `--json` omits them.
    remarks: Sequence[str] = ()
    #: Why a part of the result is unknown; printed on the error stream, with exit status 3.
    failure: PortrangeError | None = None


class Command(Frozen):
    """One command of the command line."""

    summary: str
    #: Adds the arguments that the command takes beyond the common ones.
    add_arguments: Callable[[ArgumentParser], object]
    #: Runs the command on the parsed arguments, which have the `host` to query and the `style` of the text.
    run: Callable[[Namespace], Output]
    #: What `--json` prints, for the help.
    json: str
    #: Command lines without the name of the program, each with an explanation.
    examples: Sequence[tuple[str, str]] = ()


def described(kind: type[Record]) -> str:
    """Return a description of a result in JSON."""
    return f"an object with the keys {', '.join(kind.columns())}"


def as_json(data: object) -> str:
    """Return *data* as JSON text."""
    with import_lock:
        import json

    return json.dumps(data, indent=2)


def terminal_style() -> Style:
    """Return the width and colours of the terminal; plain text of any width for pipes and files.

    No colours if NO_COLOR is set and not empty (no-color.org), if TERM is "dumb", and in old Windows consoles, which
    print the escape codes.
    """
    if sys.stdout is None or not sys.stdout.isatty():
        return PLAIN
    with import_lock:
        from shutil import get_terminal_size

    dumb = os.environ.get("TERM", "dumb" if os.name != "nt" else "") == "dumb"
    old_console = os.name == "nt" and not ("WT_SESSION" in os.environ or os.environ.get("TERM"))
    return Style(
        columns=get_terminal_size().columns,
        colour=not (os.environ.get("NO_COLOR") or dumb or old_console),
    )


def complain(name: str, error: Exception | str, status: int) -> int:
    """Print an error or remark as one line on the error stream; return *status*."""
    if sys.stderr is not None:  # print(file=None) would write to standard output
        print(f"{name}: {visible(str(error))}", file=sys.stderr)
    return status


def show(name: str, text: str, status: int) -> int:
    """Print a result; return *status*, or that of a failure if the result cannot be written.

    A closed pipe and characters that the terminal lacks are not failures; a full disk is.
    """
    stream: Any = sys.stdout
    if stream is None:
        return complain(name, "cannot write the output: standard output is closed", NO_ANSWER)
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")
    try:
        print(text, flush=True)
    except OSError as error:
        # Python flushes the stream again when it exits: redirect that to /dev/null.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if not _is_closed_pipe(error):
            return complain(name, f"cannot write the output: {error.strerror}", NO_ANSWER)
    return status


def _is_closed_pipe(error: OSError) -> bool:
    """Return whether the reader closed its end of the pipe; Windows reports that as an invalid argument."""
    with import_lock:
        from errno import EINVAL

    return isinstance(error, BrokenPipeError) or (os.name == "nt" and error.errno == EINVAL)
