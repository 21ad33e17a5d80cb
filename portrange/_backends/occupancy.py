"""Which ephemeral ports are in use, computed from sockets in memory that does not grow with their number."""

from __future__ import annotations

from collections import Counter

from .._answers.address import WILDCARDS, is_link_local
from .._answers.usage import Destination, EphemeralUsage, LocalAddress
from .._frozen import Frozen
from .._lazy import import_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import TypeAlias

    from .._answers.address import FamilyName, ProtocolName
    from .._answers.ephemeral import EphemeralRange
    from .._answers.usage import SocketOwner

    #: A set of ports: ``flags[port] = 1`` adds a port. A dict is smaller than 64 KiB only if few ports are in it.
    Flags: TypeAlias = bytearray | dict[int, int]
    #: A family, a local address and an interface.
    _LocalEnd: TypeAlias = tuple[FamilyName, str, str | None]

#: The number of port numbers.
PORTS = 1 << 16
#: The number of destinations and of addresses in a result.
MOST_NAMED = 10
#: The number of local addresses whose flags are dense.
_DENSE = 64
#: Systems where a connection of a dual-stack IPv6 socket conflicts with a bind to 0.0.0.0, see `Occupancy.add_ports`.
_IPV6_CONFLICTS_WITH_IPV4 = ("linux", "android")

_DUAL_STACK_UNKNOWN = "IPV6_V6ONLY of sockets on :: is unknown: they are counted as sockets for IPv4 too"
_CONNECTED_UNKNOWN = "IPV6_V6ONLY of connections over IPv6 is unknown: their ports are counted as in use on 0.0.0.0 too"
_INTERFACE_UNKNOWN = (
    "interfaces of link-local addresses are unknown: connections through several interfaces are counted together"
)

# --- sets of ports ---------------------------------------------------------------------------------------------------


def new_flags(addresses: int = 0) -> Flags:
    """Return flags for a local address; sparse ones if there are 64 *addresses* or more, as there may be thousands."""
    return bytearray(PORTS) if addresses < _DENSE else {}


def is_marked(flags: Flags, port: int) -> bool:
    """Return whether a port is in the set."""
    return port in flags if isinstance(flags, dict) else bool(flags[port])


def bits(flags: bytes | Flags) -> int:
    """Return the set as one integer with a byte per port, so that whole sets are combined and counted at once."""
    if isinstance(flags, dict):
        dense = bytearray(PORTS)
        for port in flags:
            dense[port] = 1
        return int.from_bytes(dense, "big")
    return int.from_bytes(flags, "big")


def union(sets: Iterable[int]) -> int:
    """Return the union of sets in the form of `bits`."""
    result = 0
    for ports in sets:
        result |= ports
    return result


def joined_flags(flags: Iterable[Flags]) -> bytes:
    """Return the union of sets of ports."""
    return union(map(bits, flags)).to_bytes(PORTS, "big")


def _range_flags(ephemeral: EphemeralRange) -> bytes:
    """Return the ports that the system allocates automatically."""
    flags = bytearray(PORTS)
    flags[ephemeral.first : ephemeral.last + 1] = b"\1" * (ephemeral.last - ephemeral.first + 1)
    for span in ephemeral.reserved:
        flags[span.first : span.last + 1] = bytes(span.last - span.first + 1)
    return bytes(flags)


# --- sockets ---------------------------------------------------------------------------------------------------------


class SocketEntry(Frozen):
    """A socket, for backends that list sockets one by one. IPv4-mapped addresses count as IPv4."""

    family: FamilyName
    """The address family, "ipv4" or "ipv6"."""
    address: str
    """The local address."""
    port: int
    """The local port."""
    state: str
    """The state, as in `EphemeralUsage.states`."""
    remote_address: str = ""
    """The remote address; empty for an unconnected socket."""
    remote_port: int = 0
    """The remote port; 0 for an unconnected socket."""
    dual_stack: bool | None = False
    """True for an IPv6 wildcard that accepts IPv4 as well; None if the system does not report it."""
    interface: str | None = None
    """The network interface; None if there is none or the system does not report it."""


class Connections(Frozen):
    """The sockets between one local address and one remote address and port."""

    family: FamilyName
    """The address family, "ipv4" or "ipv6"."""
    source: str
    """The local address."""
    address: str
    """The remote address."""
    port: int
    """The remote port."""
    interface: str | None
    """The network interface that the sockets are bound to, if any."""
    sockets: int
    """The number of sockets."""
    time_wait: int
    """The number of sockets in TIME-WAIT."""
    reusable: int = 0
    """The number of TIME-WAIT sockets whose port a new connection may use."""
    shared: int = 0
    """The number of sockets whose port an unconnected socket has as well, so that no new connection gets it."""


class _AddressUsage(Frozen):
    """The ports in use on local addresses, as sets in the form of `bits`."""

    used: int
    """The ports in use on any address."""
    wildcard: dict[FamilyName, int]
    """By family, the ports that a bind to the wildcard address cannot get."""
    rows: tuple[LocalAddress, ...]
    """The fullest addresses."""
    may_have_ipv4: bool
    """True if the wildcard of IPv4 is full only because of IPv6 connections that may not conflict with it."""


class Occupancy:
    """Collects the sockets of one protocol that have ephemeral ports, and computes the usage.

    - `pools`: the ephemeral range of each family. `in_range`: by family, a 1 for each port that is in it.
    - `waiting`: the ports of unconnected sockets, whatever their address.
    - `states`: the number of sockets with an ephemeral port, by state.
    - `incomplete`: what is unknown or missing.
    - `by_owner`: `EphemeralUsage.by_owner`, for backends that know the owner of each socket.
    """

    def __init__(self, protocol: ProtocolName, platform: str, pools: Mapping[FamilyName, EphemeralRange]) -> None:
        self.protocol: ProtocolName = protocol
        self.platform = platform
        self.pools = pools
        self.in_range: dict[FamilyName, bytes] = {
            family: _range_flags(ephemeral) for family, ephemeral in pools.items()
        }
        self.waiting = bytearray(PORTS)
        self.states: Counter[str] = Counter()
        self.incomplete: list[str] = []
        self.by_owner: tuple[SocketOwner, ...] | None = None
        self._ports: dict[FamilyName, dict[tuple[str, str | None], list[Flags]]] = {family: {} for family in pools}
        self._connected_over_ipv6: list[Flags] = []

    def add_ports(
        self, family: FamilyName, address: str, flags: Flags, *, interface: str | None = None, connected: bool = False
    ) -> None:
        """Add the ports of sockets on a local address; *connected* if these sockets have a remote address.

        On Linux a connection over IPv6 conflicts with the wildcard of IPv4, unless its socket has IPV6_V6ONLY
        (ipv4_rcv_saddr_equal, net/ipv4/inet_connection_sock.c). The kernel does not report that option of connections,
        so all of them are counted.
        """
        self._ports[family].setdefault((address, interface), []).append(flags)
        if connected and family == "ipv6" and self.platform in _IPV6_CONFLICTS_WITH_IPV4:
            self._connected_over_ipv6.append(flags)

    def add_unconnected(self, flags: Flags) -> None:
        """Add the ports of unconnected sockets."""
        self.waiting[:] = joined_flags((self.waiting, flags))

    def count(self, entries: Iterable[SocketEntry]) -> EphemeralUsage:
        """Return the usage, from a list of all sockets."""
        with import_lock:
            from heapq import nlargest

        entries = [entry for entry in entries if self.in_range[entry.family][entry.port]]
        self.states.update(entry.state for entry in entries)
        self.incomplete += _unknown_facts(entries)
        unconnected = _ports_by_end(
            (end, entry.port) for entry in entries if not entry.remote_port for end in _local_ends(entry)
        )
        for (family, address, interface), flags in unconnected.items():
            self.add_ports(family, address, flags, interface=interface)
            self.add_unconnected(flags)
        connected = [entry for entry in entries if entry.remote_port and not self._is_accepted(entry, unconnected)]
        by_end = _ports_by_end(((entry.family, entry.address, entry.interface), entry.port) for entry in connected)
        for (family, address, interface), flags in by_end.items():
            self.add_ports(family, address, flags, interface=interface, connected=True)
        sockets = Counter(map(_both_ends, connected))
        time_wait = Counter(_both_ends(entry) for entry in connected if entry.state == "time-wait")
        shared = Counter(
            _both_ends(entry) for entry in connected if self.protocol == "tcp" and self.waiting[entry.port]
        )
        destinations = (
            Connections(*ends, number, time_wait[ends], shared=shared[ends]) for ends, number in sockets.items()
        )
        available = self._available(self._address_usage())

        def used_share(connections: Connections) -> float:
            limit = self._limit(connections, available) - connections.shared
            return (connections.sockets - connections.shared) / (limit or 1)

        return self.result(nlargest(MOST_NAMED, destinations, key=used_share), len(sockets))

    def _is_accepted(self, entry: SocketEntry, unconnected: Mapping[_LocalEnd, Flags]) -> bool:
        """Return whether a connection was accepted by a listening socket: then it shares that socket's port."""
        if self.protocol != "tcp" or not self.waiting[entry.port]:
            return False
        addresses, interfaces = {entry.address, WILDCARDS[entry.family]}, {entry.interface, None}
        ends: Iterator[_LocalEnd] = (
            (entry.family, address, interface) for address in addresses for interface in interfaces
        )
        return any(is_marked(unconnected[end], entry.port) for end in ends if end in unconnected)

    def _range_bits(self) -> dict[FamilyName, int]:
        return {family: bits(flags) for family, flags in self.in_range.items()}

    def _available(self, addresses: _AddressUsage) -> dict[FamilyName, int]:
        """Return by family how many ports a new connection can choose from.

        On TCP it gets no port of an unconnected socket, whatever the address, and any other port that has no connection
        to the same destination. On UDP connect() first allocates a port as bind() does, before it chooses an address
        (inet_autobind, net/ipv4/af_inet.c), so the port must be free on all addresses.
        """
        waiting = bits(self.waiting)
        return {
            family: (ports & ~(waiting if self.protocol == "tcp" else addresses.wildcard[family])).bit_count()
            for family, ports in self._range_bits().items()
        }

    def _limit(self, connections: Connections, available: Mapping[FamilyName, int]) -> int:
        """Return how many sockets there can be between these ends.

        Sockets whose port no new connection gets are added to the available ports. On UDP these are all sockets.
        """
        extra = connections.shared if self.protocol == "tcp" else connections.sockets
        return available[connections.family] + extra

    def result(self, fullest: Iterable[Connections], count: int) -> EphemeralUsage:
        """Return the usage; *fullest* are the fullest of *count* destinations."""
        addresses = self._address_usage()
        if addresses.may_have_ipv4:
            self.incomplete.append(_CONNECTED_UNKNOWN)
        available = self._available(addresses)
        destinations = [
            Destination(
                family=connections.family,
                source=connections.source,
                address=connections.address,
                port=connections.port,
                sockets=connections.sockets,
                time_wait=connections.time_wait,
                reusable=connections.reusable,
                limit=self._limit(connections, available),
                interface=connections.interface,
            )
            for connections in fullest
        ]
        same_range = self.in_range["ipv4"] == self.in_range["ipv6"]
        return EphemeralUsage(
            protocol=self.protocol,
            platform=self.platform,
            pool=self.pools["ipv4"],
            size=union(self._range_bits().values()).bit_count(),
            used=addresses.used.bit_count(),
            waiting=(bits(self.waiting) & addresses.used).bit_count(),
            states=tuple(sorted(self.states.items(), key=lambda item: (-item[1], item[0]))),
            destinations=tuple(sorted(destinations, key=lambda destination: (-destination.share, str(destination)))),
            destination_count=count,
            addresses=addresses.rows,
            pool_ipv6=None if same_range else self.pools["ipv6"],
            incomplete=tuple(self.incomplete),
            by_owner=self.by_owner,
        )

    def _address_usage(self) -> _AddressUsage:
        """Return the ports in use on any address, and the fullest addresses."""
        in_range = self._range_bits()
        rows: list[LocalAddress] = []
        wildcard_ports: dict[FamilyName, int] = {}
        used, may_have_ipv4 = 0, False
        for family, by_address in self._ports.items():
            limit = in_range[family].bit_count()
            wildcard = WILDCARDS[family]
            on_wildcard = union(
                bits(flags) for (address, _), marked in by_address.items() if address == wildcard for flags in marked
            )
            on_wildcard &= in_range[family]
            anywhere = on_wildcard
            for (address, interface), marked in by_address.items():
                ports = on_wildcard | union(map(bits, marked)) & in_range[family]
                anywhere |= ports
                if address != wildcard:
                    rows.append(LocalAddress(family, address, ports.bit_count(), limit, interface))
            used |= anywhere
            # A bind to :: takes IPv4 as well, unless the program sets IPV6_V6ONLY. IPv4 comes first in `pools`.
            other_family = used if family == "ipv6" else union(map(bits, self._connected_over_ipv6))
            wildcard_ports[family] = (anywhere | other_family) & in_range[family]
            if by_address or (family == "ipv4" and other_family):
                taken = wildcard_ports[family].bit_count()
                rows.append(LocalAddress(family, wildcard, taken, limit))
                may_have_ipv4 = may_have_ipv4 or (family == "ipv4" and anywhere.bit_count() < limit == taken)
        rows.sort(key=lambda row: (-row.share, row.family, row.address, row.interface or ""))
        return _AddressUsage(used, wildcard_ports, tuple(rows[:MOST_NAMED]), may_have_ipv4)


def _local_ends(entry: SocketEntry) -> Iterator[_LocalEnd]:
    """Yield the local ends of an unconnected socket; a dual-stack wildcard has two."""
    yield entry.family, entry.address, entry.interface
    if entry.address == WILDCARDS["ipv6"] and entry.dual_stack is not False:
        yield "ipv4", WILDCARDS["ipv4"], entry.interface


def _ports_by_end(ports: Iterable[tuple[_LocalEnd, int]]) -> dict[_LocalEnd, Flags]:
    by_end: dict[_LocalEnd, Flags] = {}
    for end, port in ports:
        by_end.setdefault(end, {})[port] = 1
    return by_end


def _both_ends(entry: SocketEntry) -> tuple[FamilyName, str, str, int, str | None]:
    return entry.family, entry.address, entry.remote_address, entry.remote_port, entry.interface


def _unknown_facts(entries: Iterable[SocketEntry]) -> Iterator[str]:
    """Yield a message for each fact that the system does not report and that affects the result."""
    if any(entry.dual_stack is None and entry.address == WILDCARDS["ipv6"] for entry in entries):
        yield _DUAL_STACK_UNKNOWN
    if any(entry.remote_port and entry.interface is None and is_link_local(entry.address) for entry in entries):
        yield _INTERFACE_UNKNOWN
