"""How full the ephemeral pool is, counted from the bytes of sock_diag.

A busy machine has more connections than a program wants objects. So the kernel is asked only for sockets with a port of
the pool, and each message is cut where it matters: the state, the local port, and the 34 bytes that hold the remote
port and both addresses. These are the key of a table of destinations, which is all that grows.
"""

from __future__ import annotations

import heapq
import re
import struct
from collections.abc import Callable, Iterable
from functools import partial
from operator import add
from typing import TYPE_CHECKING, NamedTuple

from ..._answers.span import Span
from ..._errors import ParseError
from ..occupancy import NAMED, WILDCARDS, Flags, Occupancy, Peers, Sighting, new_flags
from . import sock_diag, sockets
from .settings import SETTINGS
from .socket_record import ANY_STATE, BOUND_INACTIVE, CLOSE, ESTABLISHED, LISTEN, TIME_WAIT, Address, SocketFilter

if TYPE_CHECKING:
    from ..._answers.usage import EphemeralUsage
    from ..._host import Host
    from .socket_record import SocketRecord

#: Of an inet_diag_msg: family, state, the local port (in network order), and the ends of the connection as one key.
_SOCKET = struct.Struct(">BB2xH34s")
#: The states in which a socket has no peer, and those in which it has one, as the kernel is asked for them. For TCP
#: in state CLOSE it would go through all connections, of which none is in that state.
_WAITING = {"tcp": frozenset({LISTEN, BOUND_INACTIVE}), "udp": frozenset({CLOSE})}
_CONNECTED = {"tcp": ANY_STATE - {LISTEN, BOUND_INACTIVE, CLOSE}, "udp": frozenset({ESTABLISHED})}
#: The states of include/net/tcp_states.h in the words of RFC 9293. Those of UDP are only two.
_STATES = {
    "tcp": {
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
    },
    "udp": {ESTABLISHED: "connected", CLOSE: "bound"},
}
#: One counter for each state that four bits can tell, the first one for TIME-WAIT sockets whose port may be used again.
_COUNTERS = 16
_STATE_MASK = _COUNTERS - 1
_REUSABLE = 0
#: Where the milliseconds stand that a TIME-WAIT socket has left of its minute (TCP_TIMEWAIT_LEN, include/net/tcp.h).
_EXPIRES = struct.Struct("=52xI")
_MINUTE = 60_000
_AF_INET, _AF_INET6 = 2, 10
_FAMILIES = {_AF_INET: "ipv4", _AF_INET6: "ipv6"}
#: Where the addresses stand in a key.
_LOCAL, _REMOTE = slice(2, 18), slice(18, 34)
_ANY_ADDRESS = bytes(16)
_MAPPED = bytes(10) + b"\xff\xff"
_IPV4_PADDING = bytes(12)
_IPV6_LOOPBACK = bytes(15) + b"\1"
#: The first release that lists TCP sockets which are bound and do not listen.
_LISTS_BOUND = (6, 8)
_RELEASE = re.compile(r"(\d+)\.(\d+)")
_BOUND_UNSEEN = "TCP sockets that are bound and do not listen: Linux lists them from 6.8 on, through sock_diag"
_AGE_UNSEEN = "the age of sockets in TIME-WAIT, which decides whether their ports may be used again (tcp_tw_reuse)"


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
        local = key[_LOCAL]
        if local not in self.held:
            self.held[local] = new_flags(len(self.held))
        entry = self[key] = ([0] * _COUNTERS, self.held[local])
        return entry


def usage(host: Host, protocol: str) -> EphemeralUsage:
    """How full the pool of one transport ("tcp" or "udp") is."""
    pools = {family: SETTINGS.pool(host, protocol, family) for family in sockets.FAMILIES}
    occupancy = Occupancy(protocol, "linux", pools)
    if protocol == "tcp" and not _lists_bound(host):
        occupancy.gaps.append(_BOUND_UNSEEN)
    try:
        return _from_kernel(host, occupancy)
    except OSError:
        # A socket at a time then, from the tables in procfs; or the reason why neither can be read.
        found = sockets.sockets(host, SocketFilter(protocol, ANY_STATE))
    occupancy = Occupancy(protocol, "linux", pools)
    if protocol == "tcp":
        occupancy.gaps += [_BOUND_UNSEEN, _AGE_UNSEEN]
    return occupancy.count([_sighting(record) for record in found])


class Tables(dict[int, Table]):
    """The tables of both families, by AF_INET and AF_INET6."""

    def __init__(self) -> None:
        super().__init__((number, Table()) for number in _FAMILIES)

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
            if family == _AF_INET6 and key[_LOCAL] == _ANY_ADDRESS and not sock_diag.is_v6only(body):
                table.dual_stack[port] = 1
    return tables


def count_connected(
    reply: Iterable[bytes], sequence: int, in_pool: bytes, waiting: bytes, reuse: ReuseOfTimeWait
) -> Tables:
    """The sockets with a peer that have a port of the pool; those with one of the `waiting` ports were accepted there.

    The loop of this module: it runs once for each connection.
    """
    tables = Tables()
    read = _SOCKET.unpack_from
    for body in sock_diag.messages(reply, sequence):
        family, state, port, key = read(body)
        if in_pool[port]:
            table = tables[family]
            counts, held = table.accepted if waiting[port] else table[key]
            counts[state & _STATE_MASK] += 1
            held[port] = 1
            if state == TIME_WAIT and _EXPIRES.unpack_from(body)[0] <= reuse.expires:
                counts[_REUSABLE] += 1
    return tables


class ReuseOfTimeWait(NamedTuple):
    """Whether a new connection may have the port of one to the same destination that is in TIME-WAIT.

    The rule of tcp_twsk_unique, net/ipv4/tcp_ipv4.c: after net.ipv4.tcp_tw_reuse_delay (one second before Linux 6.14),
    where net.ipv4.tcp_tw_reuse says so, on loopback alone if it is 2. It takes TCP timestamps of both sides.

    `expires`: the most milliseconds that such a socket has left.
    """

    everywhere: bool
    loopback: bool
    expires: int

    @classmethod
    def of(cls, host: Host) -> ReuseOfTimeWait:
        """As the host has it; never, where that cannot be read."""
        reuse = _setting(host, "tcp_tw_reuse", 0) if _setting(host, "tcp_timestamps", 0) else 0
        return cls(reuse == 1, reuse in (1, 2), _MINUTE - _setting(host, "tcp_tw_reuse_delay", 1000))

    def holds(self, *addresses: Address) -> bool:
        """Whether it holds for a connection between two addresses."""
        return self.everywhere or (self.loopback and any(_is_loopback(address.packed) for address in addresses))


def _setting(host: Host, name: str, default: int) -> int:
    try:
        return int(host.read_sysctl(f"ipv4/{name}"))
    except (OSError, ValueError):
        return default


def _is_loopback(packed: bytes) -> bool:
    return packed[0] == 127 if len(packed) == 4 else packed == _IPV6_LOOPBACK


def _from_kernel(host: Host, occupancy: Occupancy) -> EphemeralUsage:
    protocol = occupancy.protocol
    pool = occupancy.pools["ipv4"]  # and that of IPv6: Linux has one for both
    ask = partial(_ask, host, protocol, Span(pool.first, pool.last))
    in_pool = occupancy.in_pool["ipv4"]
    for family, table in ask(_WAITING[protocol], partial(count_waiting, in_pool=in_pool)).items():
        _note(occupancy, _FAMILIES[family], table)
        if 1 in table.dual_stack:
            occupancy.hold("ipv4", WILDCARDS["ipv4"], table.dual_stack)
        for flags in table.held.values():
            occupancy.wait(flags)
    # Nothing is accepted on UDP: a connected socket has its port for itself, or shares it knowingly.
    accepting = bytes(occupancy.waiting) if protocol == "tcp" else bytes(len(occupancy.waiting))
    reuse = ReuseOfTimeWait.of(host)
    tables = ask(_CONNECTED[protocol], partial(count_connected, in_pool=in_pool, waiting=accepting, reuse=reuse))
    for family, table in tables.items():
        _note(occupancy, _FAMILIES[family], table)
    move_mapped(tables)
    numbers = (
        (sum(counts[_REUSABLE + 1 :]), key, family, counts)
        for family, table in tables.items()
        for key, (counts, _) in table.items()
    )
    fullest = [
        _peers(_FAMILIES[family], key, counts, reuse) for _, key, family, counts in heapq.nlargest(NAMED, numbers)
    ]
    return occupancy.answer(fullest, sum(map(len, tables.values())))


def _ask(host: Host, protocol: str, span: Span, states: frozenset[int], count: Callable[..., Tables]) -> Tables:
    wanted = SocketFilter(protocol, states)
    if protocol == "tcp":
        try:
            return sockets.dump(host, partial(sock_diag.request_tcp, wanted, span=span), count)
        except OSError:
            pass  # then each family by itself, or the reason why not even that
    tables = Tables()
    for family, name in _FAMILIES.items():
        tables[family] = sockets.dump(host, partial(sock_diag.request, wanted, name, span=span), count)[family]
    return tables


def _note(occupancy: Occupancy, family: str, table: Table) -> None:
    """Count the states, and the ports of each address."""
    names = _STATES[occupancy.protocol]
    columns = zip(table.accepted[0], *(counts for counts, _ in table.values()), strict=True)
    for number, total in enumerate(map(sum, columns)):
        if total and number != _REUSABLE:
            occupancy.states[names.get(number, f"state {number}")] += total
    for local, flags in table.held.items():
        address = _address(family, local)
        occupancy.hold(address.family, str(address), flags)


def move_mapped(tables: Tables) -> None:
    """Move IPv4 connections of IPv6 sockets (RFC 4291, section 2.5.5.2) to those of IPv4 sockets: they share ports."""
    source, target = tables[_AF_INET6], tables[_AF_INET]
    for key in [key for key in source if key[_LOCAL].startswith(_MAPPED)]:
        counts, _ = source.pop(key)
        local, remote = key[_LOCAL][len(_MAPPED) :], key[_REMOTE][len(_MAPPED) :]
        total, _ = target[key[:2] + local + _IPV4_PADDING + remote + _IPV4_PADDING]
        total[:] = map(add, total, counts)


def _peers(family: str, key: bytes, counts: list[int], reuse: ReuseOfTimeWait) -> Peers:
    local, remote = _address(family, key[_LOCAL]), _address(family, key[_REMOTE])
    return Peers(
        family,
        str(local),
        str(remote),
        int.from_bytes(key[:2], "big"),
        sockets=sum(counts[_REUSABLE + 1 :]),
        time_wait=counts[TIME_WAIT],
        reusable=counts[_REUSABLE] if reuse.holds(local, remote) else 0,
    )


def _address(family: str, packed: bytes) -> Address:
    return Address(packed[:4] if family == "ipv4" else packed, 0)


def _sighting(record: SocketRecord) -> Sighting:
    return Sighting(
        record.local.family,
        str(record.local),
        record.local.port,
        _STATES[record.protocol].get(record.state, f"state {record.state}"),
        str(record.remote) if record.remote.port else "",
        record.remote.port,
        dual_stack=record.dual_stack is not False,
    )


def _lists_bound(host: Host) -> bool:
    """Whether this kernel lists TCP sockets that are bound and do not listen."""
    try:
        release = host.read(f"{host.procfs}/sys/kernel/osrelease").decode("ascii", "replace")
    except OSError:
        return False
    numbers = _RELEASE.match(release)
    return numbers is not None and (int(numbers[1]), int(numbers[2])) >= _LISTS_BOUND
