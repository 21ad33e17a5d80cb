"""Find the sockets that connections to an address of this machine reach, by the kernel's own lookup."""

from __future__ import annotations

from ..._errors import ParseError, SourceError
from ..._lazy import import_lock
from . import sockets
from .sock_diag import Address, SocketRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..._answers.address import ProtocolName
    from ..._answers.listener import Listener
    from ..._host.system import System
    from ..base import Target

#: How many clients are compared for each possible member of a SO_REUSEPORT group. A member is missed by chance in one
#: of 2**31 cases.
_CLIENTS = 32


def reached(
    system: System, protocol: ProtocolName, port: int, targets: tuple[Target, ...]
) -> tuple[tuple[Listener, ...], ...] | None:
    """Return the listeners that a connection to each target reaches; None if the kernel's lookup is not available.

    Several listeners are a SO_REUSEPORT group. Raises the errors of `sockets.listening`.
    """
    records, _ = sockets.listening(system, (protocol,), port)
    # The tables of procfs do not contain interfaces.
    if any(record.interface is None for record in records):
        return None
    try:
        groups = [group(system, protocol, port, target, records) if records else [] for target in targets]
    except (OSError, SourceError, ParseError):
        return None  # an emulation of Linux that has dumps only
    with import_lock:
        from . import listing

    unique = {record.inode: record for group in groups for record in group}
    listeners = listing.describe(system, list(unique.values()))
    return tuple(tuple(listeners[inode] for inode in _inodes(group) if inode in listeners) for group in groups)


def _inodes(group: list[SocketRecord]) -> list[int]:
    return [record.inode for record in group]


def group(
    system: System, protocol: ProtocolName, port: int, target: Target, records: list[SocketRecord]
) -> list[SocketRecord]:
    """Return the socket that the kernel chooses for a target, and the others of its SO_REUSEPORT group."""
    local = Address(target.packed, port)
    # No connection has a remote port of 0, so the lookup passes to the listeners. A local client uses the address
    # itself, except for 127.0.0.0/8.
    source = b"\x7f\0\0\1" if target.packed[0] == 127 and len(target.packed) == 4 else target.packed
    [chosen] = sockets.exact(system, protocol, local, [Address(source, 0)], target.interface)
    if chosen is None:
        return []
    members = {record.inode: record for record in (chosen, *records) if _binding(record) == _binding(chosen)}
    seen = {chosen.inode}
    clients = range(1, min(_CLIENTS * len(members), 0x10000))
    tried, batch = 0, 1
    while len(seen) < len(members) and tried < len(clients) and (len(seen) > 1 or tried < _CLIENTS):
        ends = [Address(source, client) for client in clients[tried : tried + batch]]
        for other in sockets.exact(system, protocol, local, ends, target.interface):
            # A result that is no member is a connection of that client.
            if other is not None and other.inode in members:
                seen.add(other.inode)
        if protocol == "tcp" and len(seen) > 1:
            return list(members.values())  # TCP listeners share an address as a group only
        tried, batch = tried + batch, min(2 * batch, _CLIENTS)
    # With SO_REUSEADDR alone, a UDP socket gets everything, or nothing beside a group.
    return [record for inode, record in members.items() if inode in seen]


def _binding(record: SocketRecord) -> tuple[object, ...]:
    """Return what the members of a SO_REUSEPORT group have in common (inet_reuseport_add_sock)."""
    return record.local, record.v6only, record.interface, record.uid
