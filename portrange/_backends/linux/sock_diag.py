"""Encode NETLINK_SOCK_DIAG requests and decode replies. No I/O.

Layouts are those of the kernel's uapi headers linux/netlink.h, linux/sock_diag.h and linux/inet_diag.h: everything is
in native byte order, except addresses and ports, which are in network order.
"""

from __future__ import annotations

import errno
import os
import struct
from functools import cache

from ..._answers.address import MAPPED_PREFIX, is_link_local
from ..._errors import ParseError
from ..._frozen import Frozen
from ..._lazy import import_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ..._answers.address import FamilyName, ProtocolName
    from ..._answers.listener import SocketState
    from ..._answers.span import Span
    from .listing import Network

SOURCE = "NETLINK_SOCK_DIAG"

# --- sockets ---------------------------------------------------------------------------------------------------------

#: Socket states, shared by all protocols (include/net/tcp_states.h).
ESTABLISHED = 1
TIME_WAIT = 6
CLOSE = 7
LISTEN = 10
#: Occurs in requests only, since Linux 6.8: a socket that is bound but does not listen is returned as CLOSE.
BOUND_INACTIVE = 13
ANY_STATE = frozenset(range(ESTABLISHED, BOUND_INACTIVE + 1))
#: The names of the states of TCP (RFC 9293, section 3.3.2). A connection that is not complete has one of two numbers.
TCP_STATES: dict[int, SocketState] = {
    ESTABLISHED: "established",
    2: "syn-sent",
    3: "syn-received",
    4: "fin-wait-1",
    5: "fin-wait-2",
    TIME_WAIT: "time-wait",
    CLOSE: "bound",
    8: "close-wait",
    9: "last-ack",
    LISTEN: "listen",
    11: "closing",
    12: "syn-received",
}

AF_INET, AF_INET6 = 2, 10
#: Bytes of an address.
_ADDRESS_SIZES = {AF_INET: 4, AF_INET6: 16}
_ANY_IPV6 = bytes(16)


class Address(Frozen):
    """One end of a socket."""

    packed: bytes
    """The address in network order: 4 bytes for IPv4, 16 for IPv6."""
    port: int
    """The port, 0 if there is none."""

    @property
    def family(self) -> FamilyName:
        """The family of its traffic: "ipv4" for an IPv4-mapped IPv6 address as well."""
        return "ipv4" if len(self.packed) == 4 or self.packed.startswith(MAPPED_PREFIX) else "ipv6"

    def __str__(self) -> str:
        if self.family == "ipv4":
            return ".".join(map(str, self.packed[-4:]))
        with import_lock:
            import socket

        return socket.inet_ntop(socket.AF_INET6, self.packed)


#: The remote ends of unconnected sockets, by the size of an address.
_NO_PEER = {size: Address(bytes(size), 0) for size in (4, 16)}
_NO_PORT = bytes(2)


class SocketRecord:
    """A socket, as sock_diag or a table in procfs describes it.

    An ordinary class: a query creates thousands and reads each field several times, which is faster than with `Frozen`.
    """

    __slots__ = (
        "backlog",
        "cgroup_id",
        "inode",
        "interface",
        "network",
        "packed",
        "port",
        "protocol",
        "queued",
        "remote",
        "state",
        "uid",
        "v6only",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - a call by name takes twice as long
        self,
        protocol: ProtocolName,
        state: int,
        packed: bytes,
        port: int,
        remote: Address,
        inode: int,
        uid: int,
        v6only: bool | None = None,  # noqa: FBT001 - as above
        cgroup_id: int | None = None,
        interface: int | None = None,
        queued: int | None = None,
        backlog: int | None = None,
    ) -> None:
        self.protocol: ProtocolName = protocol
        #: One of the states above.
        self.state = state
        #: The local address in network order, as in `Address`.
        self.packed = packed
        #: The local port.
        self.port = port
        #: The remote address and port, both zero if the socket is not connected.
        self.remote = remote
        #: The inode number, 0 if no process can own the socket (TIME_WAIT).
        self.inode = inode
        #: The user who created it; 0 as well if `inode` is 0.
        self.uid = uid
        #: IPV6_V6ONLY; None if the source does not contain it.
        self.v6only = v6only
        #: The ID of its cgroup; None if the source does not contain it.
        self.cgroup_id = cgroup_id
        #: The index of the interface it is bound to, 0 for none; None if the source does not contain it.
        self.interface = interface
        #: The connections in the accept queue of a listening TCP socket; None for others.
        self.queued = queued
        #: The limit of the accept queue; None like `queued`, or if the source does not contain it.
        self.backlog = backlog
        #: The network namespace that it was found in, if several were queried.
        self.network: Network | None = None

    @property
    def local(self) -> Address:
        """The local address and port."""
        return Address(self.packed, self.port)

    @property
    def ends(self) -> tuple[object, ...]:
        """What identifies a connection, also one without an inode."""
        return self.protocol, self.local, self.remote, self.interface

    @property
    def dual_stack(self) -> bool | None:
        """True if it accepts IPv4 and IPv6; None if the source does not contain that."""
        if self.packed != _ANY_IPV6:
            return False
        return None if self.v6only is None else not self.v6only


class SocketFilter(Frozen):
    """The sockets that a request is for."""

    protocol: ProtocolName
    """One of `PROTOCOLS`."""
    states: frozenset[int]
    """Their states."""
    port: int = 0
    """Their local port, 0 for any."""


# --- layouts ---------------------------------------------------------------------------------------------------------

# linux/netlink.h: struct nlmsghdr { u32 len; u16 type; u16 flags; u32 seq; u32 pid; }
_HEADER = struct.Struct("=IHHII")
_HEADER_SIZE = 16
#: The same header as its length, type with flags and sequence number, and pid.
_LENGTH_AND_KIND = struct.Struct("=I8s4x")
_KIND = struct.Struct("=HHI")
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
#: The messages of a reply have the type of its request.
_SOCKET_MESSAGES = (_SOCK_DIAG_BY_FAMILY, _TCPDIAG_GETSOCK)

# linux/inet_diag.h: struct inet_diag_sockid { be16 sport, dport; be32 src[4], dst[4]; u32 if; u32 cookie[2]; }
_SOCKID = "2s2s16s16sI8s"
# struct inet_diag_req_v2 { u8 family, protocol, ext, pad; u32 states; struct inet_diag_sockid id; }
_REQUEST = struct.Struct("=BBBxI" + _SOCKID)
# struct inet_diag_req { u8 family, src_len, dst_len, ext; sockid id; u32 states, dbs; }
_OLD_REQUEST = struct.Struct("=BBBB" + _SOCKID + "II")
# struct inet_diag_msg { u8 family, state, timer, retrans; sockid id; u32 expires, rqueue, wqueue, uid, inode; }
_REPLY = struct.Struct("=BB2x" + _SOCKID + "4xIIII")
_REPLY_SIZE = 72
_U16 = struct.Struct("=H")
_U64 = struct.Struct("=Q")
# struct rtattr { u16 len; u16 type; }
_ATTRIBUTE = struct.Struct("=HH")
_ATTRIBUTE_SIZE = 4
_INET_DIAG_REQ_BYTECODE = 1
# struct inet_diag_bc_op { u8 code; u8 yes; u16 no; }
_OPERATION = "BBH"
_OPERATION_SIZE = 4
_INET_DIAG_BC_S_GE = 2
_INET_DIAG_BC_S_LE = 3
_INET_DIAG_SKV6ONLY = 11
_INET_DIAG_LOCALS = 12
_INET_DIAG_PEERS = 13
_INET_DIAG_CGROUP_ID = 21
#: struct __kernel_sockaddr_storage (linux/socket.h)
_SOCKADDR_SIZE = 128
# struct sockaddr_in6 { u16 family; be16 port; be32 flowinfo; u8 addr[16]; u32 scope_id; } (linux/in6.h)
_SOCKADDR_IN6 = struct.Struct("=8x16sI")
#: INET_DIAG_NOCOOKIE in both halves: any socket.
_NO_COOKIE = b"\xff" * 8

_FAMILY_NUMBERS = {"ipv4": AF_INET, "ipv6": AF_INET6}
_PROTOCOL_NUMBERS = {"tcp": 6, "udp": 17, "sctp": 132, "dccp": 33}

# --- requests --------------------------------------------------------------------------------------------------------


def request(wanted: SocketFilter, family: FamilyName, sequence: int, *, span: Span | None = None) -> bytes:
    """Return a request for the sockets of one family that match *wanted*, with a local port in *span* if it is given.

    The kernel compares the local port of each socket with the request's (inet_diag_dump_icsk, udp_dump), so a request
    for one port costs as much as its result. For a span it runs a small program on each socket.
    """
    body = _REQUEST.pack(
        _FAMILY_NUMBERS[family], _PROTOCOL_NUMBERS[wanted.protocol], 0, _mask(wanted), *_any_remote(wanted.port)
    )
    return _message(_SOCK_DIAG_BY_FAMILY, body, sequence, span)


def request_tcp(wanted: SocketFilter, sequence: int, *, span: Span | None = None) -> bytes:
    """Return a request for the TCP sockets of both families at once, in the format of Linux 2.6.

    The kernel visits all connections for each dump, whatever their family, so this halves its work. Requests in the
    newer format have one family, and emulations of Linux may implement the newer format only.
    """
    body = _OLD_REQUEST.pack(0, 0, 0, 0, *_any_remote(wanted.port), _mask(wanted), 0)
    return _message(_TCPDIAG_GETSOCK, body, sequence, span)


def request_exact(
    protocol: ProtocolName, local: Address, remote: Address, sequence: int, *, interface: int = 0
) -> bytes:
    """Return a request for the one socket to which the kernel delivers packets from *remote* to *local*.

    Without NLM_F_DUMP the kernel runs its own lookup (inet_lookup, __udp4_lib_lookup): connections first, then the most
    specific listener. *interface* is the index of the interface at which the packets arrive. udp_dump_one
    (net/ipv4/udp_diag.c) exchanges source and destination.
    """
    source, destination = (remote, local) if protocol == "udp" else (local, remote)
    family = AF_INET if len(local.packed) == 4 else AF_INET6
    ends = (source.port.to_bytes(2, "big"), destination.port.to_bytes(2, "big"), source.packed, destination.packed)
    body = _REQUEST.pack(family, _PROTOCOL_NUMBERS[protocol], 0, 0xFFFFFFFF, *ends, interface, _NO_COOKIE)
    return _HEADER.pack(_HEADER_SIZE + len(body), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, sequence, 0) + body


def _mask(wanted: SocketFilter) -> int:
    return sum(1 << state for state in wanted.states)


def _any_remote(port: int) -> tuple[bytes | int, ...]:
    """Return an inet_diag_sockid that matches sockets with a local port (0: any) and any remote address."""
    return port.to_bytes(2, "big"), b"", b"", b"", 0, _NO_COOKIE


def _message(kind: int, body: bytes, sequence: int, span: Span | None) -> bytes:
    if span is not None:
        program = _port_in(span)
        body += _ATTRIBUTE.pack(_ATTRIBUTE_SIZE + len(program), _INET_DIAG_REQ_BYTECODE) + program
    return _HEADER.pack(_HEADER_SIZE + len(body), kind, _NLM_F_REQUEST | _NLM_F_DUMP, sequence, 0) + body


def _port_in(span: Span) -> bytes:
    """Return a program that accepts sockets with a local port in *span* (inet_diag_bc_run, net/ipv4/inet_diag.c).

    A comparison is two operations: itself, and the port to compare with. `yes` and `no` are the bytes to the next
    operation; the end of the program accepts the socket, 4 bytes beyond the end reject it.
    """
    size = 2 * _OPERATION_SIZE
    return struct.pack(
        "=" + 4 * _OPERATION,
        *(_INET_DIAG_BC_S_GE, size, 2 * size + _OPERATION_SIZE, 0, 0, span.first),
        *(_INET_DIAG_BC_S_LE, size, size + _OPERATION_SIZE, 0, 0, span.last),
    )


# --- replies ---------------------------------------------------------------------------------------------------------


class DumpInterruptedError(Exception):
    """The sockets changed during the dump (NLM_F_DUMP_INTR), so it may miss some; repeat the request."""


def records(
    datagrams: Iterable[bytes],
    sequence: int,
    protocol: ProtocolName,
    parsed: dict[bytes, list[SocketRecord]] | None = None,
) -> tuple[list[SocketRecord], int]:
    """Return the sockets of a reply, and the number of datagrams that contain them.

    *parsed* contains the sockets of datagrams of earlier replies to the same request, and gets those of this one.
    Stops at the message that ends the reply. Raises `OSError` with the kernel's error number if the kernel refuses
    (ENOENT: the protocol or its diag module does not exist), `DumpInterruptedError`, and `ParseError` for anything
    that does not have the documented layout, including a reply without an end.
    """
    found: list[SocketRecord] = []
    parts = 0
    options = cache(_options)  # most sockets of a cgroup have the same attributes
    for datagram in datagrams:
        known = parsed.get(datagram) if parsed else None
        if known is not None:
            found += known
            parts += 1
            continue
        bodies, is_last = _split(datagram, sequence)
        if protocol == "sctp":
            sockets = [record for body in bodies for record in _sctp_records(body, options)]
        else:
            sockets = [_record(body, protocol, options) for body in bodies]
        found += sockets
        parts += bool(bodies)
        if is_last:
            return found, parts
        if parsed is not None and sockets:
            parsed[datagram] = sockets
    raise _unexpected("a message that ends the reply", b"")


def exact_record(datagrams: Iterable[bytes], sequence: int, protocol: ProtocolName) -> SocketRecord | None:
    """Return the socket of the reply to `request_exact`; None if the kernel has none (ENOENT).

    The kernel also replies ENOENT if it lacks the protocol or its diag module. Raises the other errors of `records`.
    """
    for datagram in datagrams:
        try:
            bodies, _ = _split(datagram, sequence)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise
        if len(bodies) == 1:
            return _record(bodies[0], protocol, _options)
        raise _unexpected("one socket", datagram)
    raise _unexpected("one socket", b"")


def messages(datagrams: Iterable[bytes], sequence: int) -> Iterator[bytes]:
    """Yield the inet_diag_msg of each socket of a reply, with its attributes. Raises the errors of `records`."""
    for datagram in datagrams:
        bodies, is_last = _split(datagram, sequence)
        yield from bodies
        if is_last:
            return
    raise _unexpected("a message that ends the reply", b"")


def _split(datagram: bytes, sequence: int) -> tuple[list[bytes], bool]:
    """Return the inet_diag_msg of each socket of a datagram, and whether the message that ends the reply follows."""
    bodies: list[bytes] = []
    header = _LENGTH_AND_KIND.unpack_from
    # Nearly every header has these bytes after its length; comparing them at once is faster than unpacking them.
    usual = {_KIND.pack(kind, _NLM_F_MULTI, sequence) for kind in _SOCKET_MESSAGES}
    position, size = 0, len(datagram)
    while position < size:
        if size - position < _HEADER_SIZE:
            raise _unexpected("a message header of 16 bytes", datagram[position:])
        length, kind = header(datagram, position)
        end = position + length
        if length < _HEADER_SIZE or end > size:
            raise _unexpected(f"a message of {length} bytes", datagram[position:])
        body = datagram[position + _HEADER_SIZE : end]
        position = end + (-length & 3)
        if kind not in usual and _is_end(kind, body, sequence):
            return bodies, True
        if length < _HEADER_SIZE + _REPLY_SIZE:
            raise _unexpected("an inet_diag_msg of at least 72 bytes", body)
        bodies.append(body)
    return bodies, False


def _is_end(header: bytes, body: bytes, sequence: int) -> bool:
    """Return whether a message ends the reply; False for a socket. Raises the error that the message contains."""
    kind, flags, number = _KIND.unpack(header)
    if number != sequence:
        raise _unexpected(f"a message with sequence number {sequence}", header + body)
    if flags & _NLM_F_DUMP_INTR:
        raise DumpInterruptedError
    if kind in (_NLMSG_ERROR, _NLMSG_DONE):
        _raise_error(kind, body)
        return True
    if kind not in _SOCKET_MESSAGES:
        raise _unexpected("an inet_diag_msg of at least 72 bytes", body)
    return False


def _raise_error(kind: int, body: bytes) -> None:
    """Raise the error of a message that ends a reply.

    NLMSG_DONE may contain an error as well as NLMSG_ERROR: netlink_dump() puts it there (net/netlink/af_netlink.c).
    """
    if len(body) < 4:
        if kind == _NLMSG_DONE and not body:
            return
        raise _unexpected("an error number of 4 bytes", body)
    (number,) = struct.unpack_from("=i", body)
    if number < -_MAX_ERRNO:
        raise _unexpected(f"an error number of at most {_MAX_ERRNO}", body)
    if number < 0:
        raise OSError(-number, os.strerror(-number))


def _record(
    body: bytes, protocol: ProtocolName, options: Callable[[bytes], tuple[bool | None, int | None]]
) -> SocketRecord:
    family, state, sport, dport, source, destination, interface, _, rqueue, wqueue, uid, inode = _REPLY.unpack_from(
        body
    )
    size = _ADDRESS_SIZES.get(family)
    if size is None:
        raise _unexpected("a socket of AF_INET or AF_INET6", body)
    v6only, group = options(body[_REPLY_SIZE:])
    # Of other sockets, these are bytes in buffers (tcp_diag_get_info, net/ipv4/tcp_diag.c).
    has_queue = protocol == "tcp" and state == LISTEN
    return SocketRecord(
        protocol,
        state,
        source[:size],
        int.from_bytes(sport, "big"),
        _NO_PEER[size]
        if dport == _NO_PORT and destination == _ANY_IPV6
        else Address(destination[:size], int.from_bytes(dport, "big")),
        inode,
        uid,
        v6only,
        group,
        interface,
        rqueue if has_queue else None,
        wqueue if has_queue else None,
    )


def _sctp_records(body: bytes, options: Callable[[bytes], tuple[bool | None, int | None]]) -> Iterator[SocketRecord]:
    """Yield an SCTP socket or association once for each of its local addresses (RFC 9260, section 6.4).

    The kernel lists the addresses of both ends in attributes, as sockaddr_storage, those of the peer for associations
    only (inet_diag_msg_sctpladdrs_fill, inet_diag_msg_sctpaddrs_fill, net/sctp/diag.c). A listener with associations
    is a message of its own.
    """
    attributes = dict(_attributes(body[_REPLY_SIZE:]))
    peers = [packed for packed, _ in _sockaddrs(attributes.get(_INET_DIAG_PEERS, b""))]
    locals_ = _sockaddrs(attributes.get(_INET_DIAG_LOCALS, b"")) or [(b"", 0)]
    for packed, scope in locals_:
        record = _record(body, "sctp", options)
        record.packed = packed or record.packed
        if peers:
            _describe_association(record, peers)
        elif record.state == LISTEN:
            record.remote = _NO_PEER[len(record.packed)]  # the kernel returns that of connect(), if there was one
        if scope and is_link_local(str(record.local)):
            record.interface = scope
        yield record


def _describe_association(record: SocketRecord, peers: list[bytes]) -> None:
    """Correct the fields that mean something else for an association (inet_diag_msg_sctpasoc_fill, net/sctp/diag.c)."""
    record.state = ESTABLISHED  # the numbers are those of include/net/sctp/constants.h
    record.interface = 0  # that of the route to the peer
    # The kernel copies the primary address of the peer from the place of an IPv6 address, although it may be IPv4.
    if record.remote.packed not in peers:
        primary = next((packed for packed in peers if len(packed) == _ADDRESS_SIZES[AF_INET]), peers[0])
        record.remote = Address(primary, record.remote.port)


def _sockaddrs(addresses: bytes) -> list[tuple[bytes, int]]:
    """Return the addresses in an array of sockaddr_storage, each with its scope, the index of an interface."""
    found: list[tuple[bytes, int]] = []
    for start in range(0, len(addresses), _SOCKADDR_SIZE):
        address = addresses[start : start + _SOCKADDR_SIZE]
        family = _U16.unpack_from(address)[0] if len(address) == _SOCKADDR_SIZE else None
        if family == AF_INET:
            found.append((address[4:8], 0))
        elif family == AF_INET6:
            found.append(_SOCKADDR_IN6.unpack_from(address))
        else:
            raise _unexpected("addresses of AF_INET or AF_INET6, each of 128 bytes", address)
    return found


def cgroup_id(attributes: bytes) -> int | None:
    """Return the ID of the cgroup in the attributes that follow an inet_diag_msg; None if it is not there."""
    return _options(attributes)[1]


def is_v6only(body: bytes) -> bool:
    """Return whether an unconnected IPv6 socket accepts IPv6 only; connected ones do not have this attribute."""
    return _options(body[_REPLY_SIZE:])[0] is True


def _options(attributes: bytes) -> tuple[bool | None, int | None]:
    """Return IPV6_V6ONLY and the ID of the cgroup in the attributes that follow an inet_diag_msg, None if not there."""
    v6only: bool | None = None
    group: int | None = None
    for number, value in _attributes(attributes):
        if number == _INET_DIAG_SKV6ONLY and value:
            v6only = value[0] != 0
        elif number == _INET_DIAG_CGROUP_ID and len(value) >= _U64.size:
            (group,) = _U64.unpack_from(value)
    return v6only, group


def _attributes(attributes: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the value of each attribute that follows an inet_diag_msg."""
    position, end = 0, len(attributes) - _ATTRIBUTE_SIZE
    while position <= end:
        length, number = _ATTRIBUTE.unpack_from(attributes, position)
        if length < _ATTRIBUTE_SIZE or position + length > len(attributes):
            raise _unexpected(f"an attribute of {length} bytes", attributes[position:])
        yield number, attributes[position + _ATTRIBUTE_SIZE : position + length]
        position += length + (-length & 3)


def _unexpected(expected: str, found: bytes) -> ParseError:
    return ParseError(SOURCE, expected, found.hex())
