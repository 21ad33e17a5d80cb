"""`portrange`: all listeners of this machine."""

from __future__ import annotations

import os
import sys

from .._answers.listener import Listener, Listeners
from .._questions.listen import listeners, network_labels, uninspected
from .._render.strings import joined
from .inputs import targets
from .options import ALL, ALL_NAMESPACES, EXHAUSTIVE, PORTS, PROCESS, process_id, protocol
from .output import Command, Output, described

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._host.host import Host
    from .._render.text import Style
    from .inputs import Target
    from .options import Parsed

#: How many pids a message lists.
_PIDS = 3
#: What JSON has of listeners, for the manual of the other commands.
LISTENERS_IN_JSON = "an object as list prints it"


def _run(arguments: Parsed) -> Output:
    wanted = targets(arguments.ports)
    found = listeners(
        protocol=arguments.protocol,
        process=None if arguments.process is None else process_id(arguments.process),
        exhaustive=arguments.exhaustive,
        namespaces="all" if arguments.all_namespaces else "own",
        host=arguments.host,
    )
    if wanted:
        found = Listeners(
            tuple(row for row in found if any(_is_at(row, target) for target in wanted)), found.incomplete
        )
    # Thousands of listeners take longer to convert than to find.
    if arguments.json:
        return Output("", found.to_dict())
    table = found.to_text(
        arguments.style.columns, every_socket=arguments.all, networks=network_labels(found, arguments.host)
    )
    if wanted and not found:
        table = "no listeners on these ports"
    return Output(
        with_heading(table, arguments.style) if len(found) else table,
        remarks=[*ignored_addresses(wanted), *hidden_owners(found, arguments.host)],
    )


def _is_at(listener: Listener, target: Target) -> bool:
    return listener.port in target and target.protocol in (None, listener.protocol)


def with_heading(table: str, style: Style) -> str:
    """Return the table with its row of headers painted."""
    headers, _, rows = table.partition("\n")
    return f"{style.paint('heading', headers)}\n{rows}"


#: Addresses that a page and a list are expected to include.
_OWN = frozenset({"", "localhost", "127.0.0.1", "::1", "0.0.0.0", "::"})  # noqa: S104 - nothing is bound


def ignored_addresses(wanted: Sequence[Target]) -> list[str]:
    """Return a line about addresses that may be of another machine, which are not queried."""
    others = list(dict.fromkeys(target.address for target in wanted if target.address.lower() not in _OWN))
    if not others:
        return []
    verb = "is" if len(others) == 1 else "are"
    return [f"{joined(others)} {verb} ignored: the output is about the ports of this machine, on all of its addresses"]


def hidden_owners(found: Listeners, host: Host) -> list[str]:
    """Return a line with the number of services whose owner is hidden, and the remedy; empty if there is none."""
    hidden = len({(row.protocol, row.port, row.user, row.unit) for row in found if row.hidden})
    if not hidden:
        return []
    subject = f"{hidden:,} owner{'s' if hidden > 1 else ''} hidden"
    if sys.platform == "win32":
        return [f"{subject}: run as administrator"]
    if os.geteuid():
        return [f"{subject}: run with sudo"]
    pids = uninspected(host)
    if not pids:
        return [f"{subject}: the owner could not be inspected"]
    others = f" and {len(pids) - _PIDS:,} more" if len(pids) > _PIDS else ""
    numbers = ", ".join(map(str, pids[:_PIDS]))
    return [f"{subject}: cannot inspect pid{'s' if len(pids) > 1 else ''} {numbers}{others}"]


COMMAND = Command(
    (PORTS, ALL, PROCESS, protocol(), EXHAUSTIVE, ALL_NAMESPACES),
    _run,
    f"{described(Listeners)}; each of listeners is a listener, which is one socket: {described(Listener)}.",
    [
        ("", "every listener and its owners"),
        ("8000-8010", "the listeners in a range"),
        ("list 53 -p udp", "the listeners on one port, of one protocol"),
        ("--process 812", "the listeners of a process"),
        ("--all", "one row for each socket"),
        ("--json", "every listener, for a program"),
    ],
    notes=[
        (
            "A row has the sockets of one port with the same owners. Address * is all addresses, of IPv4 and IPv6 if "
            "neither is named. PROCESS is the oldest owner with its pid and the number of further owners."
        ),
        "? as PROCESS is a hidden owner; - is no visible process: the kernel, or another PID namespace.",
    ],
)
