"""The language of NETLINK_SOCK_DIAG: a request in bytes, a reply's datagrams to socket records. Pure.

Layouts from the kernel's uapi headers linux/netlink.h, linux/sock_diag.h and linux/inet_diag.h. Everything is in
the machine's byte order but addresses and ports, which are in network order. `order` is the first character of a
struct format; only tests pass another than the machine's own.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from ..._answers.span import Span
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
_NLM_F_MULTI = 0x002
_NLM_F_DUMP_INTR = 0x010
_NLM_F_DUMP = 0x300
#: linux/err.h
_MAX_ERRNO = 4095

# linux/sock_diag.h, linux/inet_diag.h
_SOCK_DIAG_BY_FAMILY = 20
_TCPDIAG_GETSOCK = 18
#: A reply's messages are of the kind of its request.
_SOCKET_MESSAGES = (_SOCK_DIAG_BY_FAMILY, _TCPDIAG_GETSOCK)

# linux/inet_diag.h: struct inet_diag_sockid { be16 sport, dport; be32 src[4], dst[4]; u32 if; u32 cookie[2]; }
_SOCKID = "2s2s16s16sI8s"
# struct inet_diag_req_v2 { u8 family, protocol, ext, pad; u32 states; struct inet_diag_sockid id; }
_REQUEST = "BBBxI" + _SOCKID
# struct inet_diag_req { u8 family, src_len, dst_len, ext; sockid id; u32 states, dbs; }
_OLD_REQUEST = "BBBB" + _SOCKID + "II"
# struct inet_diag_msg { u8 family, state, timer, retrans; sockid id; u32 expires, rqueue, wqueue, uid, inode; }
_REPLY = "BBBB" + _SOCKID + "IIIII"
_REPLY_SIZE = 72
# struct rtattr { u16 len; u16 type; }
_ATTRIBUTE = "HH"
_ATTRIBUTE_SIZE = 4
_INET_DIAG_REQ_BYTECODE = 1
# struct inet_diag_bc_op { u8 code; u8 yes; u16 no; }
_OPERATION = "BBH"
_OPERATION_SIZE = 4
_INET_DIAG_BC_S_GE = 2
_INET_DIAG_BC_S_LE = 3
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


def request(
    wanted: SocketFilter, family: str, sequence: int, order: str = NATIVE, *, span: Span | None = None
) -> bytes:
    """The message that asks for all sockets of one family that match `wanted`, with a local port of `span`.

    The kernel itself compares the local port of a dump with the request's (inet_diag_dump_icsk, udp_dump), so a
    question about one port costs what its answer costs. For a span it runs a small program on each socket.
    """
    body = struct.pack(
        order + _REQUEST,
        _FAMILY_NUMBERS[family],
        _PROTOCOL_NUMBERS[wanted.protocol],
        0,
        _mask(wanted),
        *_any_peer(wanted.port),
    )
    return _message(_SOCK_DIAG_BY_FAMILY, body, sequence, order, span)


def request_tcp(wanted: SocketFilter, sequence: int, order: str = NATIVE, *, span: Span | None = None) -> bytes:
    """The same for the TCP sockets of both families at once, in the words of Linux 2.6.

    The kernel goes through all connections for each dump, whatever their family: this halves what it does. It does not
    know the newer form of such a request, and an emulation of Linux may know only the newer one.
    """
    body = struct.pack(order + _OLD_REQUEST, 0, 0, 0, 0, *_any_peer(wanted.port), _mask(wanted), 0)
    return _message(_TCPDIAG_GETSOCK, body, sequence, order, span)


def _mask(wanted: SocketFilter) -> int:
    return sum(1 << state for state in wanted.states)


def _any_peer(port: int) -> tuple[bytes | int, ...]:
    """An inet_diag_sockid that matches sockets with a local port (0: any), whatever their other end."""
    return port.to_bytes(2, "big"), b"", b"", b"", 0, _NO_COOKIE


def _message(kind: int, body: bytes, sequence: int, order: str, span: Span | None) -> bytes:
    if span is not None:
        program = _within(span, order)
        body += struct.pack(order + _ATTRIBUTE, _ATTRIBUTE_SIZE + len(program), _INET_DIAG_REQ_BYTECODE) + program
    flags = _NLM_F_REQUEST | _NLM_F_DUMP
    return struct.pack(order + _HEADER, _HEADER_SIZE + len(body), kind, flags, sequence, 0) + body


def _within(span: Span, order: str) -> bytes:
    """The program that lets sockets with a local port of `span` pass (inet_diag_bc_run, net/ipv4/inet_diag.c).

    A comparison is two operations: itself, and the port to compare with. `yes` and `no` say how many bytes to go on
    by; the end of the program means that the socket passes, and 4 bytes beyond it that it does not.
    """
    size = 2 * _OPERATION_SIZE
    return struct.pack(
        order + 2 * (_OPERATION + _OPERATION),
        *(_INET_DIAG_BC_S_GE, size, 2 * size + _OPERATION_SIZE, 0, 0, span.first),
        *(_INET_DIAG_BC_S_LE, size, size + _OPERATION_SIZE, 0, 0, span.last),
    )


def records(datagrams: Iterable[bytes], protocol: str, sequence: int, order: str = NATIVE) -> Iterator[SocketRecord]:
    """The sockets in a reply.

    Stops at the message that ends it. Raises `OSError` with the kernel's error number where it refuses (ENOENT:
    the transport, or its diag module, is not there), `DumpInterruptedError`, and `ParseError` for anything that
    is not laid out as documented, a reply that ends too early included.
    """
    for body in messages(datagrams, sequence, order):
        yield _record(body, protocol, order)


def has_sockets(datagram: bytes, order: str = NATIVE) -> bool:
    """Whether a datagram begins with a message about a socket; the one that ends the reply mostly comes by itself."""
    return len(datagram) >= _HEADER_SIZE and struct.unpack_from(order + _HEADER, datagram)[1] in _SOCKET_MESSAGES


def messages(datagrams: Iterable[bytes], sequence: int, order: str = NATIVE) -> Iterator[bytes]:
    """The bodies of a reply's socket messages, each at least as long as an inet_diag_msg."""
    header = struct.Struct(order + "I8s").unpack_from
    # What the header of nearly every message says after its length: compared at once, it need not be taken apart.
    usual = {struct.pack(order + "HHI", kind, _NLM_F_MULTI, sequence) for kind in _SOCKET_MESSAGES}
    for datagram in datagrams:
        position, size = 0, len(datagram)
        while position < size:
            if size - position < _HEADER_SIZE:
                raise _unexpected("a message header of 16 bytes", datagram[position:])
            length, marks = header(datagram, position)
            end = position + length
            if length < _HEADER_SIZE or end > size:
                raise _unexpected(f"a message of {length} bytes", datagram[position:])
            body = datagram[position + _HEADER_SIZE : end]
            position = end + (-length & 3)
            if marks not in usual and _is_end(marks, body, sequence, order):
                return
            if length < _HEADER_SIZE + _REPLY_SIZE:
                raise _unexpected("an inet_diag_msg of at least 72 bytes", body)
            yield body
    raise _unexpected("a message that ends the reply", b"")


def _is_end(marks: bytes, body: bytes, sequence: int, order: str) -> bool:
    """Whether a message ends the reply, or else is about a socket. Raises what a message of another kind says."""
    kind, flags, number = struct.unpack(order + "HHI", marks)
    if number != sequence:
        raise _unexpected(f"a message with sequence number {sequence}", marks + body)
    if flags & _NLM_F_DUMP_INTR:
        raise DumpInterruptedError
    if kind in (_NLMSG_ERROR, _NLMSG_DONE):
        _raise_error(kind, body, order)
        return True
    if kind not in _SOCKET_MESSAGES:
        raise _unexpected("an inet_diag_msg of at least 72 bytes", body)
    return False


def _raise_error(kind: int, body: bytes, order: str) -> None:
    """Both closing messages may carry an error: netlink_dump() puts it into NLMSG_DONE (net/netlink/af_netlink.c)."""
    if len(body) < 4:
        if kind == _NLMSG_DONE and not body:
            return
        raise _unexpected("an error number of 4 bytes", body)
    (number,) = struct.unpack_from(order + "i", body)
    if number < -_MAX_ERRNO:
        raise _unexpected(f"an error number of at most {_MAX_ERRNO}", body)
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


def is_v6only(body: bytes, order: str = NATIVE) -> bool:
    """Whether an IPv6 socket without a peer takes IPv6 alone; the kernel tells of no others."""
    return any(number == _INET_DIAG_SKV6ONLY and value[:1] == b"\1" for number, value in _attributes(body, order))


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
