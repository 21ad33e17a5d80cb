"""The language of NETLINK_SOCK_DIAG: a request in bytes, a reply's datagrams to socket records. Pure.

Layouts from the kernel's uapi headers linux/netlink.h, linux/sock_diag.h and linux/inet_diag.h. Everything is in
the machine's byte order but addresses and ports, which are in network order. `order` is the first character of a
struct format; only tests pass another than the machine's own.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from ..._errors import ParseError
from .socket_record import Address, SocketFilter, SocketRecord

SOURCE = "NETLINK_SOCK_DIAG"
NATIVE = "="

# linux/netlink.h: struct nlmsghdr { u32 len; u16 type; u16 flags; u32 seq; u32 pid; }
_HEADER = "IHHII"
_HEADER_SIZE = 16
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NLM_F_REQUEST = 0x001
_NLM_F_DUMP_INTR = 0x010
_NLM_F_DUMP = 0x300

# linux/sock_diag.h
_SOCK_DIAG_BY_FAMILY = 20

# linux/inet_diag.h: struct inet_diag_sockid { be16 sport, dport; be32 src[4], dst[4]; u32 if; u32 cookie[2]; }
_SOCKID = "2s2s16s16sI8s"
# struct inet_diag_req_v2 { u8 family, protocol, ext, pad; u32 states; struct inet_diag_sockid id; }
_REQUEST = "BBBxI" + _SOCKID
# struct inet_diag_msg { u8 family, state, timer, retrans; sockid id; u32 expires, rqueue, wqueue, uid, inode; }
_REPLY = "BBBB" + _SOCKID + "IIIII"
_REPLY_SIZE = 72
# struct rtattr { u16 len; u16 type; }
_ATTRIBUTE = "HH"
_ATTRIBUTE_SIZE = 4
_INET_DIAG_SKV6ONLY = 11
_INET_DIAG_CGROUP_ID = 21
#: INET_DIAG_NOCOOKIE in both halves: any socket.
_NO_COOKIE = b"\xff" * 8

_FAMILY_NUMBERS = {"ipv4": 2, "ipv6": 10}
#: Bytes of an address by AF_INET, AF_INET6.
_ADDRESS_SIZES = {2: 4, 10: 16}
_PROTOCOL_NUMBERS = {"tcp": 6, "udp": 17, "sctp": 132, "dccp": 33}


class DumpInterruptedError(Exception):
    """The sockets changed while the kernel listed them (NLM_F_DUMP_INTR): the list may miss some. Ask again."""


def request(wanted: SocketFilter, family: str, sequence: int, order: str = NATIVE) -> bytes:
    """The message that asks for all sockets of one family that match `wanted`.

    The kernel itself compares the local port of a dump with the request's (inet_diag_dump_icsk, udp_dump), so a
    question about one port costs what its answer costs.
    """
    body = struct.pack(
        order + _REQUEST,
        _FAMILY_NUMBERS[family],
        _PROTOCOL_NUMBERS[wanted.protocol],
        0,
        sum(1 << state for state in wanted.states),
        wanted.port.to_bytes(2, "big"),
        b"",
        b"",
        b"",
        0,
        _NO_COOKIE,
    )
    flags = _NLM_F_REQUEST | _NLM_F_DUMP
    header = struct.pack(order + _HEADER, _HEADER_SIZE + len(body), _SOCK_DIAG_BY_FAMILY, flags, sequence, 0)
    return header + body


def records(datagrams: Iterable[bytes], protocol: str, sequence: int, order: str = NATIVE) -> Iterator[SocketRecord]:
    """The sockets in a reply.

    Stops at the message that ends it. Raises `OSError` with the kernel's error number where it refuses (ENOENT:
    the transport, or its diag module, is not there), `DumpInterruptedError`, and `ParseError` for anything that
    is not laid out as documented, a reply that ends too early included.
    """
    for body in messages(datagrams, sequence, order):
        yield _record(body, protocol, order)


def messages(datagrams: Iterable[bytes], sequence: int, order: str = NATIVE) -> Iterator[bytes]:
    """The bodies of a reply's socket messages, each at least as long as an inet_diag_msg."""
    header = struct.Struct(order + _HEADER)
    for datagram in datagrams:
        position = 0
        while position < len(datagram):
            if len(datagram) - position < _HEADER_SIZE:
                raise _unexpected("a message header of 16 bytes", datagram[position:])
            length, kind, flags, number, _ = header.unpack_from(datagram, position)
            if length < _HEADER_SIZE or position + length > len(datagram):
                raise _unexpected(f"a message of {length} bytes", datagram[position:])
            if number != sequence:
                raise _unexpected(f"a message with sequence number {sequence}", datagram[position:])
            body = datagram[position + _HEADER_SIZE : position + length]
            position += length + (-length & 3)
            if flags & _NLM_F_DUMP_INTR:
                raise DumpInterruptedError
            if kind in (_NLMSG_ERROR, _NLMSG_DONE):
                _raise_error(kind, body, order)
                return
            if kind != _SOCK_DIAG_BY_FAMILY or len(body) < _REPLY_SIZE:
                raise _unexpected("an inet_diag_msg of at least 72 bytes", body)
            yield body
    raise _unexpected("a message that ends the reply", b"")


def _raise_error(kind: int, body: bytes, order: str) -> None:
    """Both closing messages may carry an error: netlink_dump() puts it into NLMSG_DONE (net/netlink/af_netlink.c)."""
    if len(body) < 4:
        if kind == _NLMSG_DONE and not body:
            return
        raise _unexpected("an error number of 4 bytes", body)
    (number,) = struct.unpack_from(order + "i", body)
    if number < 0:
        import os

        raise OSError(-number, os.strerror(-number))


def _record(body: bytes, protocol: str, order: str) -> SocketRecord:
    family, state, _, _, sport, dport, source, destination, interface, _, _, _, _, uid, inode = struct.unpack_from(
        order + _REPLY, body
    )
    if family not in _ADDRESS_SIZES:
        raise _unexpected("a socket of AF_INET or AF_INET6", body)
    size = _ADDRESS_SIZES[family]
    v6only: bool | None = None
    cgroup_id: int | None = None
    for number, value in _attributes(body, order):
        if number == _INET_DIAG_SKV6ONLY and len(value) >= 1:
            v6only = value[0] != 0
        elif number == _INET_DIAG_CGROUP_ID and len(value) >= 8:
            (cgroup_id,) = struct.unpack_from(order + "Q", value)
    return SocketRecord(
        protocol,
        state,
        Address(source[:size], int.from_bytes(sport, "big")),
        Address(destination[:size], int.from_bytes(dport, "big")),
        inode,
        uid,
        v6only,
        cgroup_id,
        interface,
    )


def _attributes(body: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    position = _REPLY_SIZE
    while position + _ATTRIBUTE_SIZE <= len(body):
        length, number = struct.unpack_from(order + _ATTRIBUTE, body, position)
        if length < _ATTRIBUTE_SIZE or position + length > len(body):
            raise _unexpected(f"an attribute of {length} bytes", body[position:])
        yield number, body[position + _ATTRIBUTE_SIZE : position + length]
        position += length + (-length & 3)


def _unexpected(expected: str, found: bytes) -> ParseError:
    return ParseError(SOURCE, expected, found.hex())
