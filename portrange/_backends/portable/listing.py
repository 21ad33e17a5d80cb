"""Sockets and their owners from psutil, as results.

Where psutil's view is partial, a bind probe or `incomplete` shows it.
"""

from __future__ import annotations

from ..._answers.address import WILDCARDS
from ..._answers.listener import BoundSocket, Listener, Listeners, Sockets
from ..._errors import SourceError, UnsupportedPlatformError
from ..._frozen import replace
from ..._lazy import import_lock
from ..base import may_be_same
from .bind_probes import check_port
from .search import PROCESSES_HIDDEN, WITHOUT_PROCESS, Ownership, find, find_in_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..._answers.address import ProtocolName
    from ..._answers.listener import Process, Socket
    from ..._host.system import System
    from ..base import PortQuery, SocketQuery
    from . import PortableBackend
    from .psutil_table import ProcessTable, SocketRow

#: The protocols that psutil lists.
LISTED_PROTOCOLS: tuple[ProtocolName, ...] = ("tcp", "udp")

_OTHER_NAMESPACES = "sockets in other network namespaces, jails and compartments: psutil lists only the caller's own"


def listeners(system: System, query: SocketQuery, table: ProcessTable, backend: PortableBackend) -> Listeners:
    """Return the listeners that match *query*. Where psutil's view is partial, a bind probe or `incomplete` shows it.

    Raises `SourceError` if neither psutil nor a bind probe can determine whether anything listens on the port.
    """
    protocols = _listed(query.protocols)
    view = backend.view

    def is_wanted(row: SocketRow) -> bool:
        # Where sockets are hidden, those that do not listen explain why a bind probe fails.
        return query.port in (None, row.port) and (
            row.state == "listen" or (query.port is not None and not view.every_socket)
        )

    found = find(system, table, backend, protocols, is_wanted)
    listening = [
        Listener(**_fields(system, row, ownership), backlog=ownership.backlog, queued=ownership.queued)
        for row, ownership in found.sockets.items()
        if row.state == "listen"
    ]
    incomplete: list[str] = []
    if query.port is None or not query.may_bind:
        if not found.complete and not found.listed.issuperset(protocols):
            incomplete += (*found.problems, PROCESSES_HIDDEN)
    elif not view.every_socket or not found.complete:
        hidden, incomplete = check_port(system, backend.reader, protocols, query.port, found)
        listening += hidden
        if incomplete and not listening and not found.complete:
            raise SourceError("psutil", "; ".join(incomplete))
        if incomplete:  # successful bind probes prove that nothing listens, whatever else is unknown
            incomplete += found.problems
    if query.all_namespaces:
        incomplete.append(_OTHER_NAMESPACES)
    return Listeners(tuple(sorted(listening, key=_order)), tuple(incomplete))


def sockets_on(system: System, query: PortQuery, table: ProcessTable, backend: PortableBackend) -> Sockets:
    """Return the sockets on a port that psutil shows, or those of connections with a peer; listeners first."""

    def is_wanted(row: SocketRow) -> bool:
        return row.port == query.port and query.peer in (None, (row.remote_address, row.remote_port))

    wanted = _listed(query.protocols)
    found = find(system, table, backend, wanted, is_wanted)
    sockets = [
        BoundSocket(
            **_fields(system, row, ownership),
            state=row.state,
            remote_address=row.remote_address,
            remote_port=row.remote_port,
        )
        for row, ownership in found.sockets.items()
    ]
    incomplete = list(found.problems if found.complete else (*found.problems, PROCESSES_HIDDEN))
    if not backend.view.every_socket and "tcp" in wanted:
        incomplete.append(WITHOUT_PROCESS)
    in_order = tuple(sorted(sockets, key=lambda socket: (socket.state != "listen", *_order(socket))))
    return Sockets(in_order, tuple(incomplete))


def running(table: ProcessTable, wanted: Process) -> Process | None:
    """Return a process; None if it has ended, or if its pid belongs to a process that started later."""
    process = None if table.has_ended(wanted.pid) else table.describe(wanted.pid)
    if process is None or not table.is_same(wanted.pid):
        return None
    return process if may_be_same(process, wanted) else None


def listeners_of(
    system: System, query: SocketQuery, root: Process, table: ProcessTable, backend: PortableBackend
) -> Listeners:
    """Return the listeners of a process and its descendants; the owners are those processes."""
    query = replace(query, protocols=_listed(query.protocols))
    incomplete: list[str] = [_OTHER_NAMESPACES] if query.all_namespaces else []
    tree, problems = _tree(table, root)
    incomplete += problems
    if not tree:
        return Listeners((), tuple(incomplete))
    found = find_in_tree(system, table, backend.view, query, tree)
    incomplete += found.problems
    owners_of = {
        row: tuple(owner for owner in ownership.owners if query.exhaustive or owner.pid in tree)
        for row, ownership in found.sockets.items()
    }
    listening = [
        Listener(**_fields(system, row, Ownership(owners, hidden=False)), scope="process")
        for row, owners in owners_of.items()
        if any(owner.pid in tree for owner in owners)
    ]
    return Listeners(tuple(sorted(listening, key=_order)), tuple(incomplete))


def _tree(table: ProcessTable, root: Process) -> tuple[list[int], list[str]]:
    """Return the pids of a process and its descendants, none if it has ended, and what is unknown about them."""
    try:
        process = running(table, root)
        tree = [] if process is None else [root.pid, *table.descendants(root.pid)]
    except ProcessLookupError:
        tree = []
    except PermissionError:
        return [root.pid], [f"descendants of process {root.pid} (permission denied): run as root"]
    ended = f"process {root.pid} does not exist or has ended; processes that it started are unknown"
    return tree, [] if tree else [ended]


def _listed(protocols: tuple[ProtocolName, ...] | None) -> tuple[ProtocolName, ...]:
    """Return the protocols to list; raises `UnsupportedPlatformError` if psutil does not list one of them."""
    unlisted = [protocol for protocol in protocols or () if protocol not in LISTED_PROTOCOLS]
    if unlisted:
        with import_lock:
            from ..._render.strings import joined
        raise UnsupportedPlatformError(
            f"cannot list {joined(unlisted)} sockets: psutil lists only {joined(LISTED_PROTOCOLS)}"
        )
    return protocols or LISTED_PROTOCOLS


def _fields(system: System, row: SocketRow, ownership: Ownership) -> dict[str, Any]:
    """Return the fields of `Socket`."""
    return {
        "protocol": row.protocol,
        "family": row.family,
        "address": row.address,
        "port": row.port,
        "dual_stack": ownership.dual_stack if row.address == WILDCARDS["ipv6"] else False,
        "interface": system.interface_name(row.scope) if row.scope else None,
        "owners": ownership.owners,
        # No process owns what the kernel keeps of a closed connection.
        "hidden": ownership.hidden and row.state != "time-wait",
        "possible_owners": ownership.possible,
        "uid": ownership.uid,
        "user": _user(system, ownership),
    }


def _user(system: System, ownership: Ownership) -> str | None:
    """Return the user that created a socket, or the user of its oldest owner where only that is known."""
    created = None if ownership.uid is None else system.user_name(ownership.uid)
    return created or (ownership.owners[0].user if ownership.owners else None)


def _order(socket: Socket) -> tuple[int, int, str, str]:
    return (socket.port, LISTED_PROTOCOLS.index(socket.protocol), socket.family, socket.address)
