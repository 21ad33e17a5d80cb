"""Sockets counted from the bytes of sock_diag, in tables of destinations. Pure.

A busy machine has more connections than a program wants objects. So each message is cut where it matters: the state,
the local port, and the 38 bytes that hold the remote port, both addresses and the interface. These are the key of a
table, which is all that grows.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable
from operator import add

from ..._errors import ParseError
from ..port_flags import Flags, is_marked, joined, new_flags
from . import sock_diag
from .socket_record import TIME_WAIT

AF_INET, AF_INET6 = 2, 10
#: Where the addresses stand in a key, after the remote port, and the index of the interface. The kernel compares that
#: as well (inet_match, include/net/inet_hashtables.h): it is not 0 where a socket is tied to one, by link-local
#: addresses or SO_BINDTODEVICE.
LOCAL, REMOTE, INTERFACE = slice(2, 18), slice(18, 34), slice(34, 38)
#: One counter for each state that four bits can tell, the first one for TIME-WAIT sockets whose port may be used again.
REUSABLE, FIRST_STATE, _COUNTERS = 0, 1, 16
_STATE_MASK = _COUNTERS - 1

#: Of an inet_diag_msg: family, state, the local port (in network order), and the ends of the connection as one key.
_SOCKET = struct.Struct(">BB2xH38s")
#: The milliseconds that a TIME-WAIT socket has left.
_EXPIRES = struct.Struct("=52xI")
_ANY_ADDRESS = bytes(16)
_MAPPED = bytes(10) + b"\xff\xff"
_MAPPED_ANY = _MAPPED + bytes(4)
_IPV4_PADDING = bytes(12)
_NO_INTERFACE = bytes(4)


class Table(dict[bytes, tuple[list[int], Flags]]):
    """For each destination how many sockets there are by state, and the ports held at their place on this machine.

    A key is the remote port, the local and the remote address, and the interface; addresses take 16 bytes, IPv4 the
    first 4 of them. A place is a local address and an interface.
    """

    def __init__(self) -> None:
        #: The ports by place. An IPv6 wildcard that takes IPv4 too is in two places, its own and ::ffff:0.0.0.0.
        self.held: dict[bytes, Flags] = {}
        #: Connections that others opened to a waiting socket: they have its port, which is marked there.
        self.accepted: tuple[list[int], Flags] = ([0] * _COUNTERS, new_flags())
        #: How many sockets have a port on which another one waits that did not accept them, by key: mostly none.
        self.shared: Counter[bytes] = Counter()

    def __missing__(self, key: bytes) -> tuple[list[int], Flags]:
        entry = self[key] = ([0] * _COUNTERS, self.at(key[LOCAL] + key[INTERFACE]))
        return entry

    def at(self, place: bytes) -> Flags:
        """The ports held at a place, to mark one."""
        if place not in self.held:
            self.held[place] = new_flags(len(self.held))
        return self.held[place]

    def accepts(self, port: int, key: bytes) -> bool:
        """Whether a socket waits in this table through which a connection of this family has come in."""
        local, interface = key[LOCAL], key[INTERFACE]
        wildcard = _MAPPED_ANY if local.startswith(_MAPPED) else _ANY_ADDRESS
        for address in (local, wildcard):
            for place in (address + interface, address + _NO_INTERFACE):
                if place in self.held and is_marked(self.held[place], port):
                    return True
        return False


class Tables(dict[int, Table]):
    """The tables of both families, by AF_INET and AF_INET6."""

    def __init__(self) -> None:
        super().__init__((number, Table()) for number in (AF_INET, AF_INET6))

    def ports(self) -> bytes:
        """The ports held anywhere."""
        return joined(flags for table in self.values() for flags in table.held.values())

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
                table.at(_MAPPED_ANY + key[INTERFACE])[port] = 1
    return tables


def count_connected(
    reply: Iterable[bytes], sequence: int, in_pool: bytes, waiting: Tables, reusable_from: int
) -> Tables:
    """The sockets with a peer that have a port of the pool; those that a `waiting` socket accepted are told apart.

    From `reusable_from` milliseconds left, the port of a TIME-WAIT socket may be used again, if no socket waits on it.
    """
    tables = Tables()
    read = _SOCKET.unpack_from
    taken = waiting.ports()
    # The loop that the speed hangs on: it runs once for each connection.
    for body in sock_diag.messages(reply, sequence):
        family, state, port, key = read(body)
        if in_pool[port]:
            table = tables[family]
            counts, held = _beside(waiting[family], table, port, key) if taken[port] else table[key]
            counts[state & _STATE_MASK] += 1
            held[port] = 1
            if state == TIME_WAIT and not taken[port] and _EXPIRES.unpack_from(body)[0] <= reusable_from:
                counts[REUSABLE] += 1
    return tables


def _beside(waiting: Table, table: Table, port: int, key: bytes) -> tuple[list[int], Flags]:
    """Where a connection is counted on whose port some socket waits."""
    if waiting.accepts(port, key):
        return table.accepted
    table.shared[key] += 1
    return table[key]


def move_mapped(tables: Tables) -> None:
    """Move IPv4 connections of IPv6 sockets (RFC 4291, section 2.5.5.2) to those of IPv4 sockets: they share ports."""
    source, target = tables[AF_INET6], tables[AF_INET]
    for key in [key for key in source if key[LOCAL].startswith(_MAPPED)]:
        counts, _ = source.pop(key)
        local, remote = key[LOCAL][len(_MAPPED) :], key[REMOTE][len(_MAPPED) :]
        moved = key[:2] + local + _IPV4_PADDING + remote + _IPV4_PADDING + key[INTERFACE]
        total, _ = target[moved]
        total[:] = map(add, total, counts)
        if key in source.shared:
            target.shared[moved] += source.shared.pop(key)
