"""What somebody wants to bind, and which sockets are in the way of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .._backends.base import WILDCARDS

if TYPE_CHECKING:
    from .._answers.listener import BoundSocket

_LINK_SCOPES = (1, 2)


class Endpoint(NamedTuple):
    """What somebody wants to bind.

    `address` is as the backends write it, and may have a zone, as in ``fe80::1%2``; `interface` is the name of that.
    """

    protocol: str
    family: str
    address: str
    port: int
    interface: str | None = None


def needs_interface(address: str) -> bool:
    """Whether an address, without its zone, means something only together with a network interface.

    So do fe80::/10 and the multicast addresses of an interface or a link (RFC 4291, sections 2.5.6 and 2.7).
    """
    import ipaddress

    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv4Address):
        return False
    return parsed.is_link_local or (parsed.is_multicast and parsed.packed[1] & 15 in _LINK_SCOPES)


def conflict(socket: BoundSocket, wanted: Endpoint) -> bool:
    """Whether the kernel takes two addresses on one port for overlapping.

    Where it was not told whether an IPv6 wildcard takes IPv4 too, it may: binding failed, after all.
    """
    if socket.protocol != wanted.protocol:
        return False
    if socket.family != wanted.family:
        return wanted.family == "ipv4" and socket.dual_stack is not False
    # Two sockets that are bound to different interfaces never meet.
    if socket.interface and wanted.interface and socket.interface != wanted.interface:
        return False
    address = wanted.address.partition("%")[0]
    return WILDCARDS[wanted.family] in (socket.address, address) or socket.address in ("", address)


def may_conflict(socket: BoundSocket, wanted: Endpoint) -> bool:
    """A connection over IPv6 of a socket for both families keeps IPv4's wildcard (ipv4_rcv_saddr_equal).

    The system does not say whether its socket was one, so this is only asked where nothing else is in the way.
    """
    return socket.protocol == wanted.protocol and wanted.address == WILDCARDS["ipv4"] and socket.state != "listen"
