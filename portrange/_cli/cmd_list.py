"""`portrange`: all listeners of this machine."""

from __future__ import annotations

from .._answers.listener import Listener, Listeners
from .._questions.listen import listeners
from .options import add_listening
from .output import LIST, Command, Output, described

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from .._render.text import Style

#: What JSON has of listeners, for the help.
LISTENERS_IN_JSON = f"{described(Listeners)}; each of listeners is {described(Listener)}"


def _add_arguments(parser: ArgumentParser) -> None:
    add_listening(parser)
    parser.add_argument("--all-namespaces", action="store_true", help="every network namespace (Linux, as root)")


def _run(arguments: Namespace) -> Output:
    found = listeners(
        protocol=arguments.protocol,
        exhaustive=arguments.exhaustive,
        namespaces="all" if arguments.all_namespaces else "own",
        host=arguments.host,
    )
    # Thousands of listeners take longer to convert than to find.
    return Output(_with_heading(found, arguments.style), found.to_dict() if arguments.json else None)


def _with_heading(found: Listeners, style: Style) -> str:
    """Return the table with its row of headers painted."""
    table = found.to_text(style.columns)
    if not found.listeners:
        return table
    headers, _, rows = table.partition("\n")
    return f"{style.paint('heading', headers)}\n{rows}"


COMMAND = Command(
    LIST[1],
    _add_arguments,
    _run,
    f"{LISTENERS_IN_JSON}.".capitalize(),
    [
        ("", "every listener and its owners"),
        ("60860", "all about port 60860"),
        ("check 8080 || exit 1", "stop a build if a port is not safe"),
        ("--json", "every listener, for a program"),
    ],
)
