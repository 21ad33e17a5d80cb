"""The connections on the page of a port, and the sockets that are bound and do not listen."""

from __future__ import annotations

from .._answers.address import PROTOCOLS, WILDCARDS, endpoint
from .._answers.listener import by_name, owners_cell
from .._backends.select import backend_for
from .._errors import PortrangeError
from .._host.host import system_of
from .._render import text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .._answers.address import ProtocolName
    from .._answers.listener import BoundSocket
    from .._host.host import Host

#: Protocols that every system can list.
_COMMON: tuple[ProtocolName, ...] = PROTOCOLS[:2]
#: How many lines the page has for connections.
_LINES = 5
#: The least widths of the columns of owners and peers.
_NARROW = ((2, 20), (1, 12))


def sockets_on(number: int, host: Host, protocol: ProtocolName | None) -> list[BoundSocket]:
    """Return the sockets on a port in any state; empty if they cannot be listed: then listeners cannot either."""
    if number == 0:
        return []
    system = system_of(host)
    found: list[BoundSocket] = []
    for each in (protocol,) if protocol else _COMMON:
        try:
            found += backend_for(system).bound_sockets(system, each, number)
        except PortrangeError:
            continue
    return found


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
