"""What somebody wants to bind, and which sockets are in the way of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .._backends.base import WILDCARDS

if TYPE_CHECKING:
    from .._answers.listener import BoundSocket


class Endpoint(NamedTuple):
    """What somebody wants to bind."""

    protocol: str
    family: str
    address: str
    port: int


def conflict(socket: BoundSocket, wanted: Endpoint) -> bool:
    """Whether the kernel takes two addresses on one port for overlapping.

    Where it was not told whether an IPv6 wildcard takes IPv4 too, it may: binding failed, after all.
    """
    if socket.protocol != wanted.protocol:
        return False
    if socket.family != wanted.family:
        return wanted.family == "ipv4" and socket.dual_stack is not False
    address, _, zone = wanted.address.partition("%")
    # Two sockets that are bound to different interfaces never meet; a zone may also be given by its number.
    if socket.interface and zone and not zone.isdigit() and zone != socket.interface:
        return False
    return WILDCARDS[wanted.family] in (socket.address, address) or socket.address in ("", address)


def may_conflict(socket: BoundSocket, wanted: Endpoint) -> bool:
    """A connection over IPv6 of a socket for both families keeps IPv4's wildcard (ipv4_rcv_saddr_equal).

    The system does not say whether its socket was one, so this is only asked where nothing else is in the way.
    """
    return socket.protocol == wanted.protocol and wanted.address == WILDCARDS["ipv4"] and socket.state != "listen"
