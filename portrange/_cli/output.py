"""What a command returns, and how it is printed: exit statuses, JSON, terminal width, colours and failures."""

from __future__ import annotations

import os
import sys

from .._frozen import Frozen
from .._lazy import import_lock
from .._render.strings import joined, visible
from .._render.text import PLAIN, Style, wrap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from .._answers.record import Record
    from .._errors import PortrangeError
    from .options import Argument, Parsed

PROGRAM = "portrange"
#: Exit statuses; 1 is a result ("not safe", "busy"), 2 and 3 are failures.
OK, NO, BAD_INPUT, NO_ANSWER = range(4)
#: The status that shells report for a program ended by Ctrl-C: 128 and the number of SIGINT.
INTERRUPTED = 130

#: The commands by name, each with its module, its arguments and a summary.
COMMANDS = {
    "list": ("cmd_list", "[PORT...]", "every listener, or those on some ports"),
    "show": ("cmd_show", "PORT...", "all about ports: owners, connections, registration"),
    "check": ("cmd_check", "PORT...", "may a project hard-code these ports? Exit 1 if not"),
    "busy": ("cmd_busy", "PORT...", "why can a server not bind these ports? Exit 1 if so"),
    "answers": ("cmd_answers", "PORT [ADDRESS]", "which server does localhost:PORT reach? Exit 1 if none"),
    "wait": ("cmd_wait", "[PORT]", "wait until a process listens. Exit 1 if it does not"),
    "suggest": ("cmd_suggest", "NAME", "a port for a project, the same on every machine"),
    "range": ("cmd_range", "", "the ephemeral port range of this machine"),
    "usage": ("cmd_usage", "", "are ephemeral ports running out? Exit 1 if so"),
}


class Output(Frozen):
    """The result of a command: text for people, data for `--json`, and an exit status."""

    text: str
    #: None if the command computes it only for `--json`.
    data: object = None
    status: int = OK
    #: Lines for people on the error stream; `--json` omits them.
    remarks: Sequence[str] = ()
    #: Why a part of the result is unknown; printed on the error stream, with exit status 3.
    failure: PortrangeError | None = None


class Command(Frozen):
    """One command of the command line."""

    #: The arguments beyond the common ones.
    arguments: tuple[Argument, ...]
    #: Runs the command on the parsed arguments, which have the `host` to query and the `style` of the text.
    run: Callable[[Parsed], Output]
    #: What `--json` prints, for the manual.
    json: str
    #: Command lines without the name of the program, each with an explanation.
    examples: Sequence[tuple[str, str]] = ()
    #: What exit status 1 means; empty if the command does not use it.
    no: str = ""
    #: Further paragraphs of the manual.
    notes: Sequence[str] = ()


def load(word: str) -> Command:
    """Return a command by its name. Only its module is imported."""
    with import_lock:
        from importlib import import_module

        command: Command = import_module(f".{COMMANDS[word][0]}", __package__).COMMAND
    return command


def described(kind: type[Record]) -> str:
    """Return a description of a result in JSON."""
    return f"an object with the keys {joined(kind.columns())}"


def as_json(data: object) -> str:
    """Return *data* as JSON text."""
    with import_lock:
        import json

    return json.dumps(data, indent=2)


def terminal_style(color: str = "auto") -> Style:
    """Return the width and colours of the terminal; plain text of any width for pipes and files.

    *color* is "always", "never", or "auto": no colours if NO_COLOR is set and not empty (no-color.org), if TERM is
    "dumb", and in old Windows consoles, which print the escape codes.
    """
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    if color == "auto" and not is_terminal:
        return PLAIN
    return Style(
        columns=terminal_columns() if is_terminal else None,
        colour=color == "always" or (color == "auto" and _has_colours()),
    )


def terminal_columns() -> int:
    """Return the width of the terminal."""
    with import_lock:
        from shutil import get_terminal_size

    return get_terminal_size().columns


def _has_colours() -> bool:
    dumb = os.environ.get("TERM", "dumb" if os.name != "nt" else "") == "dumb"
    old_console = os.name == "nt" and not ("WT_SESSION" in os.environ or os.environ.get("TERM"))
    return not (os.environ.get("NO_COLOR") or dumb or old_console)


def complain(name: str, error: Exception | str, status: int) -> int:
    """Print an error or remark on the error stream, as one line unless a terminal is narrower; return *status*."""
    if sys.stderr is not None:  # print(file=None) would write to standard output
        columns = terminal_columns() if sys.stderr.isatty() else None
        print(*wrap(visible(f"{name}: {error}"), columns), sep="\n", file=sys.stderr)
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
        if text:
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
