"""Linux, behind the common interface."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._answers.listener import Listener, Listeners
from ..base import PROTOCOLS, SocketQuery
from . import cgroup, owners, settings, sockets
from .owners import Holding
from .socket_record import SocketRecord

if TYPE_CHECKING:
    from ..._answers.pool import EphemeralRange, PortSettings
    from ..._host import Host


class LinuxBackend:
    """Everything from the kernel itself: sysctl, sock_diag and procfs."""

    def pool(self, host: Host, protocol: str, family: str) -> EphemeralRange:
        return settings.pool(host, protocol, family)

    def settings(self, host: Host) -> PortSettings:
        return settings.settings(host)

    def listeners(self, host: Host, query: SocketQuery) -> Listeners:
        records = _records(host, query)
        if not records:
            return Listeners()
        holdings = owners.find(host, records, exhaustive=query.exhaustive)
        if any(not holding.owners and not holding.hidden for holding in holdings.values()):
            # Nobody holds it, and nothing was hidden: was it closed meanwhile?
            still = {record.inode for record in _records(host, query)}
            records = [record for record in records if record.inode in still]
        return Listeners(tuple(sorted((_listener(host, record, holdings) for record in records), key=_order)))


def _records(host: Host, query: SocketQuery) -> list[SocketRecord]:
    protocols = query.protocols or PROTOCOLS
    return [record for protocol in protocols for record in sockets.listening(host, protocol, query.port or 0)]


def _listener(host: Host, record: SocketRecord, holdings: dict[int, Holding]) -> Listener:
    holding = holdings.get(record.inode, Holding())
    path = holding.group.path if holding.group else None
    return Listener(
        protocol=record.protocol,
        family=record.local.family,
        address=str(record.local),
        port=record.local.port,
        dual_stack=record.dual_stack,
        interface=host.interface_name(record.interface) if record.interface else None,
        owners=holding.owners,
        candidates=holding.candidates,
        hidden=holding.hidden,
        scope=holding.scope,
        uid=record.uid,
        user=host.user_name(record.uid),
        cgroup=path,
        unit=cgroup.unit(path) if path else None,
        container=cgroup.container(path) if path else None,
    )


def _order(listener: Listener) -> tuple[int, int, str, str, float]:
    """By port, then protocol and address; sockets that share all three, the oldest holder first."""
    started = listener.owners[0].started if listener.owners else None
    return (listener.port, PROTOCOLS.index(listener.protocol), listener.family, listener.address, started or 0.0)
