"""Ask Linux whether an address belongs to this machine, by RTM_GETROUTE (rtnetlink(7)). No packet is sent."""

from __future__ import annotations

import os
import struct

from .._errors import ParseError

SOURCE = "NETLINK_ROUTE"
#: The netlink family (linux/netlink.h).
NETLINK_ROUTE = 0

# struct nlmsghdr { u32 len; u16 type; u16 flags; u32 seq; u32 pid; }
_HEADER = struct.Struct("=IHHII")
# struct rtmsg { u8 family, dst_len, src_len, tos, table, protocol, scope, type; u32 flags; } (linux/rtnetlink.h)
_ROUTE = struct.Struct("=BBBBBBBBI")
# struct rtattr { u16 len; u16 type; }
_ATTRIBUTE = struct.Struct("=HH")
_RTM_NEWROUTE, _RTM_GETROUTE = 24, 26
_NLM_F_REQUEST = 1
_NLMSG_ERROR = 2
_RTA_DST, _RTA_OIF = 1, 4
_RTN_LOCAL = 2
#: Reply with the entry of the routing table (Linux 4.13): its interface is that of the address, not the loopback one.
_RTM_F_FIB_MATCH = 0x2000
_AF_INET, _AF_INET6 = 2, 10


def request(packed: bytes, interface: int = 0) -> bytes:
    """Return a request for the route to an address, through the interface with this index (0: any)."""
    family = _AF_INET if len(packed) == 4 else _AF_INET6
    body = _ROUTE.pack(family, 8 * len(packed), 0, 0, 0, 0, 0, 0, _RTM_F_FIB_MATCH) + _attribute(_RTA_DST, packed)
    if interface:
        body += _attribute(_RTA_OIF, struct.pack("=I", interface))
    return _HEADER.pack(_HEADER.size + len(body), _RTM_GETROUTE, _NLM_F_REQUEST, 1, 0) + body


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value


def local_interface(reply: bytes) -> int | None:
    """Return the index of the interface that has the address, 0 if the route has none; None if it is not local.

    Raises the `OSError` of the reply, such as ENETUNREACH, and `ParseError`.
    """
    if len(reply) < _HEADER.size + 4:
        raise ParseError(SOURCE, "a route", reply.hex())
    _, kind, _, _, _ = _HEADER.unpack_from(reply)
    if kind == _NLMSG_ERROR:
        (number,) = struct.unpack_from("=i", reply, _HEADER.size)
        raise OSError(-number, os.strerror(-number))
    position = _HEADER.size + _ROUTE.size
    if kind != _RTM_NEWROUTE or len(reply) < position:
        raise ParseError(SOURCE, "a route", reply.hex())
    if _ROUTE.unpack_from(reply, _HEADER.size)[7] != _RTN_LOCAL:
        return None
    while position + _ATTRIBUTE.size <= len(reply):
        length, attribute = _ATTRIBUTE.unpack_from(reply, position)
        if length < _ATTRIBUTE.size or position + length > len(reply):
            raise ParseError(SOURCE, "an attribute within the reply", reply.hex())
        if attribute == _RTA_OIF and length == _ATTRIBUTE.size + 4:
            return int(struct.unpack_from("=I", reply, position + _ATTRIBUTE.size)[0])
        position += length + (-length & 3)
    return 0
