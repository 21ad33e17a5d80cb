"""Sockets counted from the bytes of sock_diag, in tables of destinations. Pure.

A busy machine has more connections than a program wants objects. So each message is cut where it matters: the state,
the local port, and the 34 bytes that hold the remote port and both addresses. These are the key of a table, which is
all that grows.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from operator import add

from ..._errors import ParseError
from ..occupancy import Flags, new_flags
from . import sock_diag
from .socket_record import TIME_WAIT

AF_INET, AF_INET6 = 2, 10
#: Where the addresses stand in a key, after the remote port.
LOCAL, REMOTE = slice(2, 18), slice(18, 34)
#: One counter for each state that four bits can tell, the first one for TIME-WAIT sockets whose port may be used again.
REUSABLE, FIRST_STATE, _COUNTERS = 0, 1, 16
_STATE_MASK = _COUNTERS - 1

#: Of an inet_diag_msg: family, state, the local port (in network order), and the ends of the connection as one key.
_SOCKET = struct.Struct(">BB2xH34s")
#: The milliseconds that a TIME-WAIT socket has left.
_EXPIRES = struct.Struct("=52xI")
_ANY_ADDRESS = bytes(16)
_MAPPED = bytes(10) + b"\xff\xff"
_IPV4_PADDING = bytes(12)


class Table(dict[bytes, tuple[list[int], Flags]]):
    """For each destination how many sockets there are by state, and the ports held on their local address.

    A key is the remote port, the local and the remote address; addresses take 16 bytes, IPv4 the first 4 of them.
    """

    def __init__(self) -> None:
        #: The ports by local address, as it stands in the keys.
        self.held: dict[bytes, Flags] = {}
        #: Connections that others opened to a waiting socket: they have its port, which is marked there.
        self.accepted: tuple[list[int], Flags] = ([0] * _COUNTERS, new_flags())
        #: The ports of IPv6 wildcards that take IPv4 too.
        self.dual_stack = new_flags()

    def __missing__(self, key: bytes) -> tuple[list[int], Flags]:
        local = key[LOCAL]
        if local not in self.held:
            self.held[local] = new_flags(len(self.held))
        entry = self[key] = ([0] * _COUNTERS, self.held[local])
        return entry


class Tables(dict[int, Table]):
    """The tables of both families, by AF_INET and AF_INET6."""

    def __init__(self) -> None:
        super().__init__((number, Table()) for number in (AF_INET, AF_INET6))

    def __missing__(self, family: int) -> Table:
        raise ParseError(sock_diag.SOURCE, "a socket of AF_INET or AF_INET6", f"one of address family {family}")


def count_waiting(reply: Iterable[bytes], sequence: int, in_pool: bytes) -> Tables:
    """The sockets without a peer that have a port of the pool."""
    tables = Tables()
    for body in sock_diag.messages(reply, sequence):
        family, state, port, key = _SOCKET.unpack_from(body)
        if in_pool[port]:
            table = tables[family]
            counts, held = table[key]
            counts[state & _STATE_MASK] += 1
            held[port] = 1
            if family == AF_INET6 and key[LOCAL] == _ANY_ADDRESS and not sock_diag.is_v6only(body):
                table.dual_stack[port] = 1
    return tables


def count_connected(
    reply: Iterable[bytes], sequence: int, in_pool: bytes, waiting: bytes, reusable_from: int
) -> Tables:
    """The sockets with a peer that have a port of the pool; those with one of the `waiting` ports were accepted there.

    From `reusable_from` milliseconds left, the port of a TIME-WAIT socket may be used again.
    """
    tables = Tables()
    read = _SOCKET.unpack_from
    # The loop that the speed hangs on: it runs once for each connection.
    for body in sock_diag.messages(reply, sequence):
        family, state, port, key = read(body)
        if in_pool[port]:
            table = tables[family]
            counts, held = table.accepted if waiting[port] else table[key]
            counts[state & _STATE_MASK] += 1
            held[port] = 1
            if state == TIME_WAIT and _EXPIRES.unpack_from(body)[0] <= reusable_from:
                counts[REUSABLE] += 1
    return tables


def move_mapped(tables: Tables) -> None:
    """Move IPv4 connections of IPv6 sockets (RFC 4291, section 2.5.5.2) to those of IPv4 sockets: they share ports."""
    source, target = tables[AF_INET6], tables[AF_INET]
    for key in [key for key in source if key[LOCAL].startswith(_MAPPED)]:
        counts, _ = source.pop(key)
        local, remote = key[LOCAL][len(_MAPPED) :], key[REMOTE][len(_MAPPED) :]
        total, _ = target[key[:2] + local + _IPV4_PADDING + remote + _IPV4_PADDING]
        total[:] = map(add, total, counts)
