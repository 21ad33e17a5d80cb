"""Use of the ephemeral ports: count the sockets that sock_diag returns for the range, by destination and by address.

A busy host has more connections than a program should create objects for. So each message is cut into the state, the
local port, and the 38 bytes of the remote port, both addresses and the interface. These are the key of a table, the
only thing that grows. The sockets of an owner have the same user ID and attributes, among them the ID of the cgroup.
"""

from __future__ import annotations

import struct
import sys
from collections import Counter
from functools import cache, partial
from operator import add

from ..._answers.address import FAMILIES, MAPPED_PREFIX, is_link_local
from ..._answers.span import Span, parse_decimal
from ..._errors import ParseError
from ..._frozen import Frozen
from ..._lazy import import_lock
from ..occupancy import MOST_NAMED, Connections, Occupancy, SocketEntry, is_marked, joined_flags, new_flags
from . import sock_diag, sockets
from .settings import SETTINGS
from .sock_diag import (
    AF_INET,
    AF_INET6,
    ANY_STATE,
    BOUND_INACTIVE,
    CLOSE,
    ESTABLISHED,
    LISTEN,
    TCP_STATES,
    TIME_WAIT,
    Address,
    SocketFilter,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ..._answers.address import FamilyName, ProtocolName
    from ..._answers.ephemeral import EphemeralRange
    from ..._answers.usage import EphemeralUsage, SocketOwner
    from ..._host.system import System
    from ..occupancy import Flags
    from .sock_diag import SocketRecord

#: The states of unconnected and of connected sockets, as requests contain them. For TCP sockets in state CLOSE, the
#: kernel would visit all connections, none of which is in that state.
_UNCONNECTED = {"tcp": frozenset({LISTEN, BOUND_INACTIVE}), "udp": frozenset({CLOSE})}
_CONNECTED = {"tcp": ANY_STATE - {LISTEN, BOUND_INACTIVE, CLOSE}, "udp": frozenset({ESTABLISHED})}
#: The names of states. UDP has two of them.
_STATES: dict[str, Mapping[int, str]] = {"tcp": TCP_STATES, "udp": {ESTABLISHED: "connected", CLOSE: "bound"}}
_FAMILY_NAMES: dict[int, FamilyName] = {AF_INET: "ipv4", AF_INET6: "ipv6"}
#: The first release of Linux whose sock_diag returns TCP sockets that are bound but do not listen.
_LISTS_BOUND = (6, 8)
_DIGITS = "0123456789"
_BOUND_MISSING = "TCP sockets that are bound and do not listen: sock_diag lists them on Linux 6.8 and later"
_AGE_MISSING = "the age of sockets in TIME-WAIT, which decides whether their ports can be reused (tcp_tw_reuse)"


def ephemeral_usage(system: System, protocol: ProtocolName) -> EphemeralUsage:
    """Return the use of the ephemeral ports of "tcp" or "udp"."""
    pools: dict[FamilyName, EphemeralRange] = {
        family: SETTINGS.ephemeral_range(system, protocol, family) for family in FAMILIES
    }
    occupancy = Occupancy(protocol, "linux", pools)
    if protocol == "tcp" and not _lists_bound(system):
        occupancy.incomplete.append(_BOUND_MISSING)
    try:
        return _from_sock_diag(system, occupancy)
    except OSError:
        # Socket by socket from the tables of procfs, or the error that names both sources.
        records = sockets.matching(system, SocketFilter(protocol, ANY_STATE))
    occupancy = Occupancy(protocol, "linux", pools)
    if protocol == "tcp":
        occupancy.incomplete += [_BOUND_MISSING, _AGE_MISSING]
    return occupancy.count([_entry(record) for record in records])


def _lists_bound(system: System) -> bool:
    """Return whether this kernel lists TCP sockets that are bound but do not listen."""
    try:
        release = system.read(f"{system.procfs}/sys/kernel/osrelease").decode("ascii", "replace")
    except OSError:
        return False
    first, _, rest = release.partition(".")
    major, minor = parse_decimal(first), parse_decimal(rest[: len(rest) - len(rest.lstrip(_DIGITS))])
    return major is not None and minor is not None and (major, minor) >= _LISTS_BOUND


def _entry(record: SocketRecord) -> SocketEntry:
    return SocketEntry(
        record.local.family,
        str(record.local),
        record.port,
        _STATES[record.protocol].get(record.state, f"state {record.state}"),
        str(record.remote) if record.remote.port else "",
        record.remote.port,
        dual_stack=record.dual_stack,
    )


# --- from sock_diag --------------------------------------------------------------------------------------------------


def _from_sock_diag(system: System, occupancy: Occupancy) -> EphemeralUsage:
    with import_lock:
        from heapq import nlargest

    protocol = occupancy.protocol
    pool = occupancy.pools["ipv4"]  # Linux has one range for both families
    span, in_range = Span(pool.first, pool.last), occupancy.in_range["ipv4"]
    interface_name = cache(system.interface_name)
    unconnected = _count(system, protocol, span, _UNCONNECTED[protocol], count_unconnected, in_range)
    for family, table in unconnected.items():
        _add_table(occupancy, _FAMILY_NAMES[family], table, interface_name, connected=False)
        for flags in table.places.values():
            occupancy.add_unconnected(flags)
    # UDP sockets accept no connections: a connected one has its own port, or shares it on purpose.
    accepting = unconnected if protocol == "tcp" else Tables()
    reuse = Reuse.of(system)
    connected = _count(
        system, protocol, span, _CONNECTED[protocol], count_connected, in_range, accepting, reuse.expires
    )
    for family, table in connected.items():
        _add_table(occupancy, _FAMILY_NAMES[family], table, interface_name, connected=True)
    occupancy.by_owner = _owners(system, unconnected.owners(connected=False) + connected.owners(connected=True))
    move_mapped(connected)
    rows = (
        _Row(_FAMILY_NAMES[family], key, counts, table.shared.get(key, 0))
        for family, table in connected.items()
        for key, (counts, _) in table.items()
    )
    fullest = nlargest(MOST_NAMED, rows, key=lambda row: row.rank(reuse))
    return occupancy.result(
        [row.connections(reuse, interface_name) for row in fullest], sum(map(len, connected.values()))
    )


def _count(
    system: System,
    protocol: ProtocolName,
    span: Span,
    states: frozenset[int],
    count: Callable[..., Tables],
    *args: object,
) -> Tables:
    """Return ``count(datagrams, sequence, *args)`` for the sockets of both families."""
    wanted = SocketFilter(protocol, states)
    if protocol == "tcp":
        try:
            return sockets.dump(system, partial(sock_diag.request_tcp, wanted, span=span), count, *args)
        except OSError:
            pass  # one family at a time, or the error of that
    tables = Tables()
    for family, name in _FAMILY_NAMES.items():
        request = partial(sock_diag.request, wanted, name, span=span)
        counted = sockets.dump(system, request, count, *args)
        tables[family] = counted[family]
        tables.owned.update(counted.owned)
        tables.detached.update(counted.detached)
    return tables


def _owners(system: System, owned: Mapping[tuple[int | None, int | None, bool], int]) -> tuple[SocketOwner, ...]:
    """Return the owners of sockets, from their number by user ID, cgroup ID and whether they are unconnected."""
    with import_lock:
        from ..._answers.usage import SocketOwner
        from . import cgroup
        from .procfs import ProcessReader

    reader = ProcessReader(system)
    groups = cgroup.find_all(system, {number for _, number, _ in owned if number is not None})
    totals: dict[tuple[int | None, str | None, str | None], list[int]] = {}
    for (uid, number, is_unconnected), count in owned.items():
        group = groups.get(number) if number is not None else None
        unit, container = (cgroup.unit(group.path), cgroup.container(group.path)) if group else (None, None)
        known = None if uid is None else reader.known_uid(uid)
        total = totals.setdefault((known, unit, container), [0, 0])
        total[0] += count
        total[1] += count * is_unconnected
    owners = [
        SocketOwner(sockets, unconnected, uid, None if uid is None else reader.user(uid), unit, container)
        for (uid, unit, container), (sockets, unconnected) in totals.items()
    ]
    return tuple(sorted(owners, key=lambda owner: (-owner.sockets, owner.unit or "", owner.user or "")))


def _add_table(
    occupancy: Occupancy, family: FamilyName, table: Table, interface_name: Callable[[int], str], *, connected: bool
) -> None:
    """Add the states of the sockets, and the ports of each local address."""
    names = _STATES[occupancy.protocol]
    columns = zip(table.accepted[0], *(counts for counts, _ in table.values()), strict=True)
    for number, total in enumerate(map(sum, columns)):
        if total and number >= FIRST_STATE:
            occupancy.states[names.get(number, f"state {number}")] += total
    for packed, flags in table.places.items():
        address = _address(family, packed[:16])
        text = str(address)
        # Other addresses are the same on all interfaces: binding one without an interface conflicts with all sockets.
        interface = _interface(packed[16:], interface_name) if is_link_local(text) else None
        occupancy.add_ports(address.family, text, flags, interface=interface, connected=connected)


def _address(family: FamilyName, packed: bytes) -> Address:
    return Address(packed[:4] if family == "ipv4" else packed, 0)


def _interface(packed: bytes, interface_name: Callable[[int], str]) -> str | None:
    index = int.from_bytes(packed, sys.byteorder)
    return interface_name(index) if index else None


class _Row(Frozen):
    """A row of a `Table`: the sockets that share a destination."""

    family: FamilyName
    key: bytes
    counts: list[int]
    shared: int

    def rank(self, reuse: Reuse) -> tuple[int, int, bytes]:
        """Return how much of the limit these sockets use, then their number."""
        number = sum(self.counts[FIRST_STATE:])
        return number - self.shared - self.reusable(reuse), number, self.key

    def reusable(self, reuse: Reuse) -> int:
        """Return how many of their ports a new connection to the same destination can have."""
        return self.counts[REUSABLE] if self.counts[REUSABLE] and reuse.applies_to(*self.ends()) else 0

    def ends(self) -> tuple[Address, Address]:
        """Return the local and the remote address."""
        return _address(self.family, self.key[LOCAL]), _address(self.family, self.key[REMOTE])

    def connections(self, reuse: Reuse, interface_name: Callable[[int], str]) -> Connections:
        """Return the row with addresses and interface as text."""
        local, remote = self.ends()
        return Connections(
            self.family,
            str(local),
            str(remote),
            int.from_bytes(self.key[:2], "big"),
            _interface(self.key[INTERFACE], interface_name),
            sockets=sum(self.counts[FIRST_STATE:]),
            time_wait=self.counts[TIME_WAIT],
            reusable=self.reusable(reuse),
            shared=self.shared,
        )


# --- tables ----------------------------------------------------------------------------------------------------------

#: Places in a key, after the remote port: both addresses, and the index of the interface. The kernel compares that as
#: well (inet_match, include/net/inet_hashtables.h); it is not 0 if link-local addresses or SO_BINDTODEVICE bind the
#: socket to an interface.
LOCAL, REMOTE, INTERFACE = slice(2, 18), slice(18, 34), slice(34, 38)
#: A counter for each state of four bits; the first one counts TIME-WAIT sockets whose port can be reused.
REUSABLE, FIRST_STATE, _COUNTERS = 0, 1, 16
_STATE_MASK = _COUNTERS - 1

#: The parts of an inet_diag_msg: family, state, the local port (in network order), the key, the user ID and the inode.
_SOCKET = struct.Struct(">BB2xH38s20x4s4s")
#: Where the attributes of a socket begin.
_ATTRIBUTES = 72
_NO_INODE = bytes(4)
#: The milliseconds until a TIME-WAIT socket ends.
_EXPIRES = struct.Struct("=52xI")
_ANY_ADDRESS = bytes(16)
_MAPPED_ANY = MAPPED_PREFIX + bytes(4)
_IPV4_PADDING = bytes(12)
_NO_INTERFACE = bytes(4)


class Table(dict[bytes, "tuple[list[int], Flags]"]):
    """The sockets of one family: for each destination their number by state, and the ports used on its local address.

    A key is the remote port, the local and the remote address, and the interface; addresses take 16 bytes, IPv4 the
    first 4 of them. A place is a local address and an interface.
    """

    def __init__(self) -> None:
        super().__init__()
        #: The ports used at each place. An IPv6 wildcard that accepts IPv4 is in two places: ::ffff:0.0.0.0 as well.
        self.places: dict[bytes, Flags] = {}
        #: Incoming connections: they have the port of the socket that accepted them, which is marked there.
        self.accepted: tuple[list[int], Flags] = ([0] * _COUNTERS, new_flags())
        #: How many sockets have the port of an unconnected socket that did not accept them, by key.
        self.shared: dict[bytes, int] = {}

    def __missing__(self, key: bytes) -> tuple[list[int], Flags]:
        entry = self[key] = ([0] * _COUNTERS, self.at(key[LOCAL] + key[INTERFACE]))
        return entry

    def at(self, place: bytes) -> Flags:
        """Return the ports of a place, to mark more."""
        if place not in self.places:
            self.places[place] = new_flags(len(self.places))
        return self.places[place]

    def accepts(self, port: int, key: bytes) -> bool:
        """Return whether an unconnected socket of this table can have accepted a connection."""
        local, interface = key[LOCAL], key[INTERFACE]
        wildcard = _MAPPED_ANY if local.startswith(MAPPED_PREFIX) else _ANY_ADDRESS
        for address in (local, wildcard):
            for place in (address + interface, address + _NO_INTERFACE):
                if place in self.places and is_marked(self.places[place], port):
                    return True
        return False


class Tables(dict[int, Table]):
    """The tables of both families, by AF_INET and AF_INET6."""

    def __init__(self) -> None:
        super().__init__((number, Table()) for number in (AF_INET, AF_INET6))
        #: The number of sockets by their user ID and attributes, without those in TIME-WAIT.
        self.owned: Counter[bytes] = Counter()
        #: The same for sockets that no process has open: not accepted yet, or closed.
        self.detached: Counter[bytes] = Counter()

    def owners(self, *, connected: bool) -> Counter[tuple[int | None, int | None, bool]]:
        """Return the number of sockets by user ID, cgroup ID and whether they are unconnected."""
        found: Counter[tuple[int | None, int | None, bool]] = Counter()
        for packed, number in self.owned.items():
            uid = int.from_bytes(packed[:4], sys.byteorder)
            found[uid, sock_diag.cgroup_id(packed[4:]), not connected] += number
        for packed, number in self.detached.items():
            group = sock_diag.cgroup_id(packed[4:])
            if group is not None:  # a connection that is not complete has no cgroup
                found[None, group, not connected] += number
        return found

    def ports(self) -> bytes:
        """Return the flags of the ports that are used on any address."""
        return joined_flags(flags for table in self.values() for flags in table.places.values())

    def __missing__(self, family: int) -> Table:
        raise ParseError(sock_diag.SOURCE, "a socket of AF_INET or AF_INET6", f"a socket of address family {family}")


def count_unconnected(datagrams: Iterable[bytes], sequence: int, in_range: bytes) -> Tables:
    """Return the unconnected sockets of a reply with an ephemeral port; *in_range* flags those ports."""
    tables = Tables()
    for body in sock_diag.messages(datagrams, sequence):
        family, state, port, key, uid, _ = _SOCKET.unpack_from(body)
        if in_range[port]:
            table = tables[family]
            counts, flags = table[key]
            counts[state & _STATE_MASK] += 1
            flags[port] = 1
            tables.owned[uid + body[_ATTRIBUTES:]] += 1
            if family == AF_INET6 and key[LOCAL] == _ANY_ADDRESS and not sock_diag.is_v6only(body):
                table.at(_MAPPED_ANY + key[INTERFACE])[port] = 1
    return tables


def count_connected(
    datagrams: Iterable[bytes], sequence: int, in_range: bytes, unconnected: Tables, expires: int
) -> Tables:
    """Return the connected sockets of a reply with an ephemeral port; *in_range* flags those ports.

    Connections that an *unconnected* socket accepted are counted in `Table.accepted`. The port of a TIME-WAIT socket
    with at most *expires* milliseconds left can be reused, unless an unconnected socket has it.
    """
    tables = Tables()
    unpack = _SOCKET.unpack_from
    taken = unconnected.ports()
    owned, detached = tables.owned, tables.detached
    # This loop runs once for each connection and determines the speed.
    for body in sock_diag.messages(datagrams, sequence):
        family, state, port, key, uid, inode = unpack(body)
        if in_range[port]:
            table = tables[family]
            counts, flags = _beside(unconnected[family], table, port, key) if taken[port] else table[key]
            counts[state & _STATE_MASK] += 1
            flags[port] = 1
            if state != TIME_WAIT:
                (detached if inode == _NO_INODE else owned)[uid + body[_ATTRIBUTES:]] += 1
            elif not taken[port] and _EXPIRES.unpack_from(body)[0] <= expires:
                counts[REUSABLE] += 1
    return tables


def _beside(unconnected: Table, table: Table, port: int, key: bytes) -> tuple[list[int], Flags]:
    """Return the counters of a connection whose port an unconnected socket has as well."""
    if unconnected.accepts(port, key):
        return table.accepted
    table.shared[key] = table.shared.get(key, 0) + 1
    return table[key]


def move_mapped(tables: Tables) -> None:
    """Move IPv4 connections of IPv6 sockets (RFC 4291, section 2.5.5.2) to those of IPv4 sockets: they share ports."""
    source, target = tables[AF_INET6], tables[AF_INET]
    for key in [key for key in source if key[LOCAL].startswith(MAPPED_PREFIX)]:
        counts, _ = source.pop(key)
        local, remote = key[LOCAL][len(MAPPED_PREFIX) :], key[REMOTE][len(MAPPED_PREFIX) :]
        moved = key[:2] + local + _IPV4_PADDING + remote + _IPV4_PADDING + key[INTERFACE]
        total, _ = target[moved]
        total[:] = map(add, total, counts)
        if key in source.shared:
            target.shared[moved] = target.shared.get(moved, 0) + source.shared.pop(key)


# --- reuse of TIME-WAIT ports ----------------------------------------------------------------------------------------

#: The milliseconds of TIME-WAIT: TCP_TIMEWAIT_LEN, include/net/tcp.h.
_TIME_WAIT_LENGTH = 60_000
#: The kernel counts that minute in ticks of at most 10 ms (CONFIG_HZ=100), and compares ages in whole milliseconds: a
#: socket that is this much older than necessary is old enough by either.
_TICK = 12
_IPV6_LOOPBACK = bytes(15) + b"\1"


class Reuse(Frozen):
    """When a new connection to the same destination can reuse the port of a TIME-WAIT socket.

    The rule of tcp_twsk_unique, net/ipv4/tcp_ipv4.c: after net.ipv4.tcp_tw_reuse_delay (a second on kernels without
    that setting), if net.ipv4.tcp_tw_reuse is 1, or 2 for loopback only. Both sides must use timestamps.
    """

    everywhere: bool
    """True if it applies to all connections."""
    loopback: bool
    """True if it applies to connections on loopback."""
    expires: int
    """The most milliseconds that such a socket has left. The kernel may reuse its port a few milliseconds earlier."""

    @classmethod
    def of(cls, system: System) -> Reuse:
        """Return the rule of this system; never, if it cannot be read."""
        reuse = _setting(system, "tcp_tw_reuse", 0) if _setting(system, "tcp_timestamps", 0) else 0
        delay = _setting(system, "tcp_tw_reuse_delay", 1000)
        return cls(reuse == 1, reuse in (1, 2), _TIME_WAIT_LENGTH - delay - _TICK)

    def applies_to(self, *addresses: Address) -> bool:
        """Return whether it applies to a connection between two addresses."""
        return self.everywhere or (self.loopback and any(_is_loopback(address.packed) for address in addresses))


def _setting(system: System, name: str, default: int) -> int:
    try:
        return int(system.read_sysctl(f"ipv4/{name}"))
    except (OSError, ValueError):
        return default


def _is_loopback(packed: bytes) -> bool:
    return packed[0] == 127 if len(packed) == 4 else packed == _IPV6_LOOPBACK
