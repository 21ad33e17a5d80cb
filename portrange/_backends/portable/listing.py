"""From what was found to the answers: listeners, and sockets in any state on one port."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..._answers.listener import BoundSocket, Listener, Listeners, Socket
from ..._errors import SourceError, UnsupportedPlatformError
from . import search
from .settling import Settler

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..._answers.pool import PortSettings
    from ..._host import Host
    from ..base import SocketQuery
    from .search import Holding
    from .view import ProcessTable, SocketRow, View

#: What psutil lists.
PROTOCOLS = ("tcp", "udp")
SOURCE = "psutil"

_PARTIAL = "listeners of processes that may not be looked into; ask as the superuser to see all"
_OTHER_NAMESPACES = "other network namespaces, jails or compartments: psutil asks only in the caller's own"


def listeners(
    host: Host, query: SocketQuery, table: ProcessTable, view: View, settings: Callable[[], PortSettings]
) -> Listeners:
    """The listeners asked for. Where psutil's view is partial, `incomplete` says so or binding settles it.

    Raises `SourceError` where it can neither be seen nor settled whether anybody listens on the port.
    """
    protocols = _listed(query.protocols)

    def wanted(row: SocketRow) -> bool:
        # Where not every socket is shown, those that do not listen tell why binding a port fails.
        return query.port in (None, row.port) and (
            row.state == "listen" or (query.port is not None and not view.every_socket)
        )

    found = search.find(table, view, protocols, wanted, superuser=host.uid == 0)
    answer = [
        Listener(**_facts(host, row, holding)) for row, holding in found.holdings.items() if row.state == "listen"
    ]
    gaps: list[str] = []
    if query.port is None:
        gaps += [] if found.complete else [_PARTIAL]
    elif not view.every_socket or not found.complete:
        seen = {row.protocol for row in found.holdings}
        settler = Settler(host, query.port, found.complete, settings)
        for protocol in protocols:
            verdict = settler.settle(protocol, seen=protocol in seen)
            answer += verdict.listeners
            gaps += verdict.doubts
        if gaps and not answer and not found.complete:
            raise SourceError(SOURCE, "; ".join(gaps))
    if query.all_namespaces:
        gaps.append(_OTHER_NAMESPACES)
    return Listeners(tuple(sorted(answer, key=_order)), tuple(gaps))


def bound(host: Host, table: ProcessTable, view: View, protocol: str, port: int) -> tuple[BoundSocket, ...]:
    """The sockets on one port that psutil shows, whatever their state; those that listen first."""
    protocols = _listed((protocol,))
    found = search.find(table, view, protocols, lambda row: row.port == port, superuser=host.uid == 0)
    answer = [
        BoundSocket(
            **_facts(host, row, holding),
            state=row.state,
            remote_address=row.remote_address,
            remote_port=row.remote_port,
        )
        for row, holding in found.holdings.items()
    ]
    return tuple(sorted(answer, key=lambda one: (one.state != "listen", *_order(one))))


def _listed(protocols: tuple[str, ...] | None) -> tuple[str, ...]:
    unlisted = [protocol for protocol in protocols or () if protocol not in PROTOCOLS]
    if unlisted:
        raise UnsupportedPlatformError(
            f"{', '.join(unlisted)} sockets cannot be listed here: psutil knows only {' and '.join(PROTOCOLS)}"
        )
    return protocols or PROTOCOLS


def _facts(host: Host, row: SocketRow, holding: Holding) -> dict[str, Any]:
    """The fields that all sockets share."""
    return {
        "protocol": row.protocol,
        "family": row.family,
        "address": row.address,
        "port": row.port,
        # psutil does not tell whether an IPv6 wildcard takes IPv4 too.
        "dual_stack": None if row.address == "::" else False,
        "interface": host.interface_name(row.scope) if row.scope else None,
        "owners": holding.owners,
        # What the kernel keeps after a connection has no holder that could be hidden.
        "hidden": holding.hidden and row.state != "time-wait",
        "user": holding.owners[0].user if holding.owners else None,
    }


def _order(socket: Socket) -> tuple[int, int, str, str]:
    return (socket.port, PROTOCOLS.index(socket.protocol), socket.family, socket.address)
