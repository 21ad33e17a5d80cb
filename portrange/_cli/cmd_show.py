"""`portrange PORT`: what a port is, how this machine treats it, and which sockets it has."""

from __future__ import annotations

from .._answers.address import WILDCARDS, endpoint
from .._answers.listener import (
    BoundSocket,
    addresses,
    by_name,
    owners_cell,
    pids_text,
    services_of,
    unit_or_container,
    user_text,
)
from .._answers.port import PAGE_COLUMNS, PortInfo, port_page, verdict
from .._errors import PortrangeError
from .._lazy import import_lock
from .._questions.classify import classify
from .._questions.listen import listeners, network_labels, who_listens
from .._questions.risks import NO_ADVICE
from .._questions.uses import who_uses
from .._render import text
from .._render.strings import joined, visible
from .cmd_list import LISTENERS_IN_JSON, hidden_owners, ignored_addresses
from .inputs import ports
from .options import ALL_NAMESPACES, EXHAUSTIVE, PORTS, protocol
from .output import COMMANDS, Command, Output, described

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Literal

    from .._answers.address import ProtocolName
    from .._answers.listener import Listener, Listeners, Process
    from .._host.host import Host
    from .inputs import Target
    from .options import Parsed

#: Characters of a command line on the page; --json has all of them.
_COMMAND_LINE = 200
#: The most pages that are printed at once; --json has no limit.
_PAGES = 20
#: The columns left of the texts of a page: the longest label, with its indent and gap.
_BESIDE = 15
#: The least widths of the columns of a listener: its addresses, unit, user and addresses again are shortened first.
_NARROW = ((1, 15), (4, 14), (3, 8), (1, 8), (4, 8))


def _run(arguments: Parsed) -> Output:
    try:
        wanted = ports(arguments.ports)
    except ValueError as error:
        raise ValueError(f"{error}{_did_you_mean(arguments.ports)}") from None
    if not wanted:
        raise ValueError("no ports: name some, or - for standard input")
    if len(wanted) > _PAGES and not arguments.json:
        first, last = min(target.first for target in wanted), max(target.first for target in wanted)
        raise ValueError(
            f"{len(wanted):,} ports are too many pages: portrange {first}-{last} lists their listeners, and check "
            "prints a line for each port"
        )
    shown = [_page(target, arguments) for target in wanted]
    return Output(
        "\n\n".join(page.text for page in shown),
        [page.data for page in shown],
        remarks=[
            *ignored_addresses(wanted),
            *dict.fromkeys(remark for page in shown for remark in page.remarks),
        ],
        failure=next((page.failure for page in shown if page.failure is not None), None),
    )


def _did_you_mean(words: Sequence[str]) -> str:
    with import_lock:
        from difflib import get_close_matches

    for word in words:
        for match in get_close_matches(word.lower(), COMMANDS, 1):
            return f"; did you mean the command {match}?"
    return "; portrange -h lists the commands" if words[0].isalpha() else ""


def _page(target: Target, arguments: Parsed) -> Output:
    info = classify(target.first, host=arguments.host)
    found, failure = listening(
        target.first,
        arguments.host,
        protocol=target.protocol or arguments.protocol,
        exhaustive=arguments.exhaustive,
        everywhere=arguments.all_namespaces,
    )
    protocol = target.protocol or arguments.protocol
    connected = () if found is None or arguments.all_namespaces else _sockets_on(target.first, arguments.host, protocol)
    data = {
        "port": info.to_dict(),
        "listening": None if found is None else found.to_dict(),
        "connected": [socket.to_dict() for socket in connected if socket.state != "listen"],
    }
    if arguments.json:
        return Output("", data, failure=failure)
    style = text.Style(min(arguments.style.columns or PAGE_COLUMNS, PAGE_COLUMNS), arguments.style.colour)
    networks = {} if found is None else network_labels(found, arguments.host)
    room = (style.columns or PAGE_COLUMNS) - _BESIDE
    listed = ["unknown"] if found is None else listener_lines(found, room, networks)
    entries = {
        "Listening": listed or ["nothing"],
        "Localhost": [] if found is None or arguments.all_namespaces else _localhost_lines(found, arguments.host),
        "Connected": _connection_lines(connected, room),
        **port_page(info),
    }
    instead = entries.get("Instead", [])
    # Where this host allocates all ports that are advised, suggest has none either.
    if not info.safe and not any(line.startswith(NO_ADVICE) for line in instead):
        entries["Instead"] = [*instead, "portrange suggest NAME prints a port for a project"]
    return Output(
        text.page(
            f"Port {info.number}", {name: lines for name, lines in entries.items() if lines}, style, verdict(info)
        ),
        data,
        remarks=[] if found is None else hidden_owners(found, arguments.host),
        failure=failure,
    )


def listening(
    number: int,
    host: Host,
    *,
    protocol: ProtocolName | None = None,
    exhaustive: bool = False,
    everywhere: bool = False,
) -> tuple[Listeners | None, PortrangeError | None]:
    """Return the listeners on a port, or the error: the rest of the output does not depend on it."""
    try:
        if everywhere:
            return listeners(protocol=protocol, exhaustive=exhaustive, namespaces="all", host=host).on(number), None
        return who_listens(number, protocol=protocol, exhaustive=exhaustive, host=host), None
    except PortrangeError as error:
        return None, error


def listener_lines(
    found: Listeners, columns: int | None = None, networks: Mapping[str, str] | None = None
) -> list[str]:
    """Return an aligned line for each service, with the command lines of its owners below.

    Services of the same owners share the command lines.
    """
    services = list(services_of(found))
    rows = [_cells(listener, sockets, networks or {}) for listener, sockets in services]
    # The table has no headings.
    table = text.table([""] * len(rows[0]), rows, columns, narrow=_NARROW).split("\n")[1:] if rows else []
    lines: list[str] = []
    for index, (row, (listener, sockets)) in enumerate(zip(table, services, strict=True)):
        lines += [row, *_possible_owners(listener), *_full_queue(sockets)]
        if index + 1 == len(services) or services[index + 1][0].owners != listener.owners:
            lines += [*_stopped(listener.owners), *_command_lines(listener.owners)]
    return [*lines, *(f"incomplete: {reason}" for reason in found.incomplete)]


def _cells(listener: Listener, sockets: list[Listener], networks: Mapping[str, str]) -> tuple[text.Cell, ...]:
    namespace = listener.namespace
    return (
        listener.protocol,
        text.Several(addresses(sockets)),
        ", ".join(owners_cell(name, same) for name, same in by_name(listener.owners)) or _without_owner(listener),
        user_text(listener),
        unit_or_container(listener),
        f"netns {networks.get(namespace, namespace)}" if namespace else "",
    )


def _without_owner(listener: Listener) -> str:
    return "owner hidden" if listener.hidden else "no visible process"


def _possible_owners(listener: Listener) -> Iterator[str]:
    if listener.hidden and listener.possible_owners:
        owners = ", ".join(owners_cell(name, same) for name, same in by_name(listener.possible_owners))
        yield f"  possibly {owners}"
    elif not listener.owners and not listener.hidden:
        yield "  the owner is the kernel, or in another PID namespace"


def _full_queue(listeners: Sequence[Listener]) -> Iterator[str]:
    """Yield a line if accept queues are full (sk_acceptq_is_full, include/net/sock.h): new connections are dropped."""
    full = [
        (listener.queued, listener.backlog)
        for listener in listeners
        if listener.queued is not None and listener.backlog is not None and listener.queued > listener.backlog
    ]
    if full:
        queued, backlog = max(full)
        sockets = f" of {len(full)} sockets" if len(listeners) > 1 else ""
        yield (
            f"  accept queue{sockets} full: {queued:,} connections wait to be accepted (backlog {backlog:,}), new ones "
            "are dropped"
        )


def _stopped(owners: Iterable[Process]) -> Iterator[str]:
    """Yield a line for owners that do not respond because they are stopped."""
    stopped = [owner for owner in owners if owner.stopped]
    if stopped:
        pids = " ".join(str(owner.pid) for owner in stopped)
        yield f"  stopped: {', '.join(map(str, stopped))} will not respond until continued (kill -CONT {pids})"


def _command_lines(owners: tuple[Process, ...]) -> list[str]:
    """Return the command lines of owners. Workers usually have the same one, shown once with the first pids."""
    processes: dict[str, list[Process]] = {}
    for owner in owners:
        if owner.cmdline:
            processes.setdefault(" ".join(owner.cmdline), []).append(owner)
    return [
        f"  {pids_text(same)}: {text.shorten(visible(command[: _COMMAND_LINE + 1]), _COMMAND_LINE)}"
        for command, same in processes.items()
    ]


# --- connections, and the servers of localhost -----------------------------------------------------------------------

#: Protocols whose listeners a name reaches.
_REACHED: tuple[Literal["tcp", "udp"], ...] = ("tcp", "udp")
#: How many lines the page has for connections.
_CONNECTIONS = 5
#: The least widths of the columns of owners and peers.
_NARROW_PEERS = ((2, 20), (1, 12))


def _sockets_on(number: int, host: Host, protocol: ProtocolName | None) -> Sequence[BoundSocket]:
    """Return the sockets on a port in any state; empty if they cannot be listed: then listeners cannot either."""
    try:
        return who_uses(number, protocol=protocol, host=host) if number else ()
    except PortrangeError:
        return ()


def _connection_lines(sockets: Sequence[BoundSocket], columns: int) -> list[str]:
    """Return an aligned line for the sockets of the same owners in the same state that do not listen."""
    listening = [socket for socket in sockets if socket.state == "listen"]
    groups: dict[tuple[str, ...], list[BoundSocket]] = {}
    for socket in sorted(sockets, key=lambda socket: (socket.remote_address, socket.remote_port)):
        if socket.state != "listen":
            key = (socket.protocol, _owner(socket), _direction(socket, listening), socket.state)
            groups.setdefault(key, []).append(socket)
    rows = list(_connection_rows(groups))
    if not rows:
        return []
    table = text.table([""] * len(rows[0]), rows[:_CONNECTIONS], columns, narrow=_NARROW_PEERS).split("\n")[1:]
    others = sum(map(len, list(groups.values())[_CONNECTIONS:]))
    return [*table, *([f"and {others:,} more"] if others else [])]


def _localhost_lines(found: Listeners, host: Host) -> list[str]:
    """Return a line for each protocol for which the addresses of localhost lead to different owners."""
    lines: list[str] = []
    for kind in _REACHED:
        servers = {(each.owners, each.uid, each.cgroup) for each in found if each.protocol == kind}
        if len(servers) < 2:
            continue  # addresses are resolved only if they can lead to different owners
        with import_lock:
            from .._questions.reach import who_answers

        try:
            answers = who_answers(found[0].port, protocol=kind, host=host)
        except (PortrangeError, ValueError):  # localhost has no address of this machine
            continue
        if answers.contested:
            reached = [f"{answer.owners} at {answer.address}" for answer in answers if answer.listeners]
            lines.append(f"{kind}  reaches {joined(reached)}")
    return lines


def _connection_rows(groups: dict[tuple[str, ...], list[BoundSocket]]) -> Iterator[tuple[text.Cell, ...]]:
    for (kind, owner, direction, state), sockets in groups.items():
        ends = (endpoint(each.remote_address, each.remote_port) for each in sockets)
        peers = text.Several(tuple(f"{direction} {end}" for end in ends))
        yield (
            kind,
            owner,
            "bound without listening" if state == "bound" else peers.first_and_more(),
            "" if state in ("bound", "connection", "established") else state.upper(),
        )


def _owner(socket: BoundSocket) -> str:
    if socket.owners:
        return ", ".join(owners_cell(name, same) for name, same in by_name(socket.owners))
    return "owner hidden" if socket.hidden else "no process"


def _direction(socket: BoundSocket, listening: Sequence[BoundSocket]) -> str:
    """Return ``←`` if a listener of the port may have accepted the connection, otherwise ``→``."""
    accepted = any(
        listener.protocol == socket.protocol and listener.address in (socket.address, *WILDCARDS.values())
        for listener in listening
    )
    return "←" if accepted else "→"


COMMAND = Command(
    (PORTS, protocol(), EXHAUSTIVE, ALL_NAMESPACES),
    _run,
    "an array in the order of the arguments; each entry is an object with the keys port, listening and connected: port "
    f"is {described(PortInfo)}; listening is {LISTENERS_IN_JSON}; connected is an array of the "
    f"other sockets on the port, each {described(BoundSocket)}.",
    [
        ("443", "all about port 443"),
        ("https :8080 127.0.0.1:5432", "several ports, as people write them"),
        ("443 --exhaustive", "with every process that owns its sockets"),
    ],
)
