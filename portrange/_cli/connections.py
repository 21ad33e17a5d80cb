"""The connections on the page of a port, the sockets that are bound only, and the servers that localhost reaches."""

from __future__ import annotations

from .._answers.address import WILDCARDS, endpoint
from .._answers.listener import by_name, owners_cell
from .._errors import PortrangeError
from .._lazy import import_lock
from .._questions.uses import who_uses
from .._render import text
from .._render.strings import joined

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Literal

    from .._answers.address import ProtocolName
    from .._answers.listener import BoundSocket, Listeners
    from .._host.host import Host

#: Protocols whose listeners a name reaches.
_REACHED: tuple[Literal["tcp", "udp"], ...] = ("tcp", "udp")
#: How many lines the page has for connections.
_LINES = 5
#: The least widths of the columns of owners and peers.
_NARROW = ((2, 20), (1, 12))


def sockets_on(number: int, host: Host, protocol: ProtocolName | None) -> Sequence[BoundSocket]:
    """Return the sockets on a port in any state; empty if they cannot be listed: then listeners cannot either."""
    try:
        return who_uses(number, protocol=protocol, host=host) if number else ()
    except PortrangeError:
        return ()


def connection_lines(sockets: Sequence[BoundSocket], columns: int) -> list[str]:
    """Return an aligned line for the sockets of the same owners in the same state that do not listen."""
    listening = [socket for socket in sockets if socket.state == "listen"]
    groups: dict[tuple[str, ...], list[BoundSocket]] = {}
    for socket in sorted(sockets, key=lambda socket: (socket.remote_address, socket.remote_port)):
        if socket.state != "listen":
            key = (socket.protocol, _owner(socket), _direction(socket, listening), socket.state)
            groups.setdefault(key, []).append(socket)
    rows = list(_rows(groups))
    if not rows:
        return []
    table = text.table([""] * len(rows[0]), rows[:_LINES], columns, narrow=_NARROW).split("\n")[1:]
    others = sum(map(len, list(groups.values())[_LINES:]))
    return [*table, *([f"and {others:,} more"] if others else [])]


def localhost_lines(found: Listeners, host: Host) -> list[str]:
    """Return a line for each protocol for which the addresses of localhost lead to different owners."""
    lines: list[str] = []
    for protocol in _REACHED:
        servers = {(each.owners, each.uid, each.cgroup) for each in found if each.protocol == protocol}
        if len(servers) < 2:
            continue  # addresses are resolved only if they can lead to different owners
        with import_lock:
            from .._questions.reach import who_answers

        try:
            answers = who_answers(found[0].port, protocol=protocol, host=host)
        except (PortrangeError, ValueError):  # localhost has no address of this machine
            continue
        if answers.contested:
            reached = [f"{answer.owners} at {answer.address}" for answer in answers if answer.listeners]
            lines.append(f"{protocol}  reaches {joined(reached)}")
    return lines


def _rows(groups: dict[tuple[str, ...], list[BoundSocket]]) -> Iterator[tuple[text.Cell, ...]]:
    for (protocol, owner, direction, state), sockets in groups.items():
        peers = text.Several([f"{direction} {endpoint(each.remote_address, each.remote_port)}" for each in sockets])
        yield (
            protocol,
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
