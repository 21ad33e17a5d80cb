"""`portrange`: all listeners of this machine."""

from __future__ import annotations

from .._answers.listener import Listener, Listeners
from .._questions.listen import listeners
from .inputs import targets
from .options import ALL_NAMESPACES, EXHAUSTIVE, PORTS, protocol
from .output import Command, Output, described

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._render.text import Style
    from .inputs import Target
    from .options import Parsed

#: What JSON has of listeners, for the help.
LISTENERS_IN_JSON = f"{described(Listeners)}; each of listeners is {described(Listener)}"


def _run(arguments: Parsed) -> Output:
    wanted = targets(arguments.ports)
    found = listeners(
        protocol=arguments.protocol,
        exhaustive=arguments.exhaustive,
        namespaces="all" if arguments.all_namespaces else "own",
        host=arguments.host,
    )
    if wanted:
        found = Listeners(
            tuple(row for row in found if any(_is_at(row, target) for target in wanted)), found.incomplete
        )
    # Thousands of listeners take longer to convert than to find.
    return Output(_with_heading(found, arguments.style), found.to_dict() if arguments.json else None)


def _is_at(listener: Listener, target: Target) -> bool:
    return listener.port in target and target.protocol in (None, listener.protocol)


def _with_heading(found: Listeners, style: Style) -> str:
    """Return the table with its row of headers painted."""
    table = found.to_text(style.columns)
    if not found.listeners:
        return table
    headers, _, rows = table.partition("\n")
    return f"{style.paint('heading', headers)}\n{rows}"


COMMAND = Command(
    (PORTS, protocol(), EXHAUSTIVE, ALL_NAMESPACES),
    _run,
    f"{LISTENERS_IN_JSON}.",
    [
        ("", "every listener and its owners"),
        ("8000-8010", "the listeners in a range"),
        ("list 53 -p udp", "the listeners on one port, of one protocol"),
        ("--json", "every listener, for a program"),
    ],
)
