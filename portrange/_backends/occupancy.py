"""Which ports of the pool sockets have: gathered by whoever lists sockets, in memory that does not grow with them."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from .._answers.usage import Destination, EphemeralUsage, LocalAddress
from .base import WILDCARDS
from .port_flags import PORTS, Flags, bits, is_marked, joined, of_pool, union

if TYPE_CHECKING:
    from .._answers.pool import EphemeralRange

#: How many destinations and addresses an answer names.
NAMED = 10
#: Where a connection of an IPv6 socket that takes IPv4 too keeps its port from a bind to 0.0.0.0: see `hold`.
_KEEPS_FROM_IPV4 = ("linux", "android")
_DUAL_STACK_UNSEEN = "which sockets on :: take IPv6 alone (IPV6_V6ONLY): each is counted as one for IPv4 too"
_CONNECTED_UNSEEN = (
    "which connections over IPv6 leave their port to 0.0.0.0, as those of sockets for IPv6 alone do: "
    "each is counted there"
)
_INTERFACE_UNSEEN = "the interfaces of link-local addresses: connections over several of them are counted together"


def is_link_local(address: str) -> bool:
    """Whether an address means something only together with an interface: fe80::/10 (RFC 4291, section 2.5.6)."""
    first = address.partition(":")[0]
    return len(first) == 4 and first.startswith(("fe8", "fe9", "fea", "feb"))


class Peers(NamedTuple):
    """Sockets between one address of this machine and one address and port elsewhere.

    `shared` counts those on whose port another socket waits by now: they keep it, but no new connection gets it.
    """

    family: str
    source: str
    address: str
    port: int
    interface: str | None
    sockets: int
    time_wait: int
    reusable: int = 0
    shared: int = 0


class Sighting(NamedTuple):
    """One socket, for whoever cannot count without looking at each. The IPv4 addresses of IPv6 sockets are IPv4's.

    `dual_stack` None: not told of an IPv6 wildcard. `interface` None: none, or not told.
    """

    family: str
    address: str
    port: int
    state: str
    remote_address: str = ""
    remote_port: int = 0
    dual_stack: bool | None = False
    interface: str | None = None


class _Place(NamedTuple):
    """A local address."""

    family: str
    address: str
    interface: str | None


class _Addresses(NamedTuple):
    """What the local addresses come to: sets of ports as numbers, see `bits`.

    `everywhere` has, by family, the ports that a bind to the address for all cannot get; with `doubtful`, IPv4 may have
    some left there all the same.
    """

    used: int
    everywhere: dict[str, int]
    rows: tuple[LocalAddress, ...]
    doubtful: bool


class Occupancy:
    """What whoever lists sockets has seen so far.

    `in_pool` has, by family, a 1 for each port that is handed out automatically. `waiting` marks the ports of sockets
    without a peer, whatever their address; `states` counts all sockets with a port of the pool; `incomplete` says what could
    not be looked at.
    """

    def __init__(self, protocol: str, platform: str, pools: Mapping[str, EphemeralRange]) -> None:
        self.protocol = protocol
        self.platform = platform
        self.pools = pools
        self.in_pool = {family: of_pool(pool) for family, pool in pools.items()}
        self.waiting = bytearray(PORTS)
        self.states: Counter[str] = Counter()
        self.incomplete: list[str] = []
        self._held: dict[str, dict[tuple[str, str | None], list[Flags]]] = {family: {} for family in pools}
        self._connected_over_ipv6: list[Flags] = []

    def hold(
        self, family: str, address: str, flags: Flags, *, interface: str | None = None, connected: bool = False
    ) -> None:
        """Ports that sockets have on one local address; `connected` tells those that have a peer.

        Linux takes a connection over IPv6 to be in the way of IPv4's wildcard, unless its socket is for IPv6 alone
        (ipv4_rcv_saddr_equal, net/ipv4/inet_connection_sock.c), which it does not tell of connections: each is.
        """
        self._held[family].setdefault((address, interface), []).append(flags)
        if connected and family == "ipv6" and self.platform in _KEEPS_FROM_IPV4:
            self._connected_over_ipv6.append(flags)

    def wait(self, flags: Flags) -> None:
        """Ports of sockets without a peer."""
        self.waiting[:] = joined((self.waiting, flags))

    def count(self, sightings: Iterable[Sighting]) -> EphemeralUsage:
        """What the sockets come to."""
        seen = [one for one in sightings if self.in_pool[one.family][one.port]]
        self.states.update(one.state for one in seen)
        self.incomplete += _unseen(seen)
        waiting = _marked_places((place, one.port) for one in seen if not one.remote_port for place in _places(one))
        for place, flags in waiting.items():
            self.hold(place.family, place.address, flags, interface=place.interface)
            self.wait(flags)
        connected = [one for one in seen if one.remote_port and not self._is_accepted(one, waiting)]
        places = _marked_places((_Place(one.family, one.address, one.interface), one.port) for one in connected)
        for place, flags in places.items():
            self.hold(place.family, place.address, flags, interface=place.interface, connected=True)
        ends = Counter(map(_ends, connected))
        closed = Counter(_ends(one) for one in connected if one.state == "time-wait")
        shared = Counter(_ends(one) for one in connected if self.protocol == "tcp" and self.waiting[one.port])
        peers = (Peers(*key, number, closed[key], shared=shared[key]) for key, number in ends.items())
        room = self._open_to_peers(self._addresses())

        def taken(one: Peers) -> float:
            limit = self._limit(one, room) - one.shared
            return (one.sockets - one.shared) / (limit or 1)

        return self.answer(heapq.nlargest(NAMED, peers, key=taken), len(ends))

    def _is_accepted(self, one: Sighting, waiting: Mapping[_Place, Flags]) -> bool:
        """Whether a connection came in through a waiting socket: then it has that one's port, and takes no other."""
        if self.protocol != "tcp" or not self.waiting[one.port]:
            return False
        addresses, interfaces = {one.address, WILDCARDS[one.family]}, {one.interface, None}
        places = (_Place(one.family, address, interface) for address in addresses for interface in interfaces)
        return any(is_marked(waiting[place], one.port) for place in places if place in waiting)

    def _handed_out(self) -> dict[str, int]:
        return {family: bits(flags) for family, flags in self.in_pool.items()}

    def _open_to_peers(self, addresses: _Addresses) -> dict[str, int]:
        """How many ports a new connection can choose from, by family.

        On TCP it gets none on which a socket waits, on whatever address, and any other, if not to the same destination.
        On UDP connect() first takes a port as bind() does, before it chooses an address (inet_autobind,
        net/ipv4/af_inet.c): one that is free on all of them.
        """
        waiting = bits(self.waiting)
        return {
            family: (ports & ~(waiting if self.protocol == "tcp" else addresses.everywhere[family])).bit_count()
            for family, ports in self._handed_out().items()
        }

    def _limit(self, one: Peers, room: Mapping[str, int]) -> int:
        """How many sockets there can be between these ends: those that have a port which no new one gets come on top.

        On UDP these are all that there are, since nobody else gets their ports.
        """
        return room[one.family] + (one.shared if self.protocol == "tcp" else one.sockets)

    def answer(self, fullest: Iterable[Peers], count: int) -> EphemeralUsage:
        """What it comes to; `count` is how many destinations there are, of which `fullest` are the fullest."""
        addresses = self._addresses()
        if addresses.doubtful:
            self.incomplete.append(_CONNECTED_UNSEEN)
        room = self._open_to_peers(addresses)
        destinations = [
            Destination(
                one.family,
                one.source,
                one.address,
                one.port,
                one.sockets,
                one.time_wait,
                one.reusable,
                self._limit(one, room),
                one.interface,
            )
            for one in fullest
        ]
        same_pool = self.in_pool["ipv4"] == self.in_pool["ipv6"]
        return EphemeralUsage(
            protocol=self.protocol,
            platform=self.platform,
            pool=self.pools["ipv4"],
            size=union(self._handed_out().values()).bit_count(),
            used=addresses.used.bit_count(),
            waiting=(bits(self.waiting) & addresses.used).bit_count(),
            states=tuple(sorted(self.states.items(), key=lambda item: (-item[1], item[0]))),
            destinations=tuple(sorted(destinations, key=lambda one: (-one.share, str(one)))),
            destination_count=count,
            addresses=addresses.rows,
            pool_ipv6=None if same_pool else self.pools["ipv6"],
            incomplete=tuple(self.incomplete),
        )

    def _addresses(self) -> _Addresses:
        """The ports in use on any address, and how full each address is, the fullest first."""
        handed_out = self._handed_out()
        rows: list[LocalAddress] = []
        met: dict[str, int] = {}
        used, doubtful = 0, False
        for family, held in self._held.items():
            limit = handed_out[family].bit_count()
            everywhere = WILDCARDS[family]
            on_all = union(bits(flags) for place, marked in held.items() if place[0] == everywhere for flags in marked)
            on_all &= handed_out[family]
            anywhere = on_all
            for (address, interface), marked in held.items():
                ports = on_all | union(map(bits, marked)) & handed_out[family]
                anywhere |= ports
                if address != everywhere:
                    rows.append(LocalAddress(family, address, ports.bit_count(), limit, interface))
            used |= anywhere
            # A bind to :: takes IPv4 as well, unless the program asks for IPv6 alone. IPv4 was looked at first.
            beside = used if family == "ipv6" else union(map(bits, self._connected_over_ipv6))
            met[family] = (anywhere | beside) & handed_out[family]
            if held or (family == "ipv4" and beside):
                rows.append(LocalAddress(family, everywhere, met[family].bit_count(), limit))
                doubtful = doubtful or (family == "ipv4" and anywhere.bit_count() < limit == met[family].bit_count())
        rows.sort(key=lambda row: (-row.share, row.family, row.address, row.interface or ""))
        return _Addresses(used, met, tuple(rows[:NAMED]), doubtful)


def _places(one: Sighting) -> Iterator[_Place]:
    """Where a socket without a peer waits."""
    yield _Place(one.family, one.address, one.interface)
    if one.address == WILDCARDS["ipv6"] and one.dual_stack is not False:
        yield _Place("ipv4", WILDCARDS["ipv4"], one.interface)


def _marked_places(ports: Iterable[tuple[_Place, int]]) -> dict[_Place, Flags]:
    marked: dict[_Place, Flags] = {}
    for place, port in ports:
        marked.setdefault(place, {})[port] = 1
    return marked


def _ends(one: Sighting) -> tuple[str, str, str, int, str | None]:
    return one.family, one.address, one.remote_address, one.remote_port, one.interface


def _unseen(sightings: Iterable[Sighting]) -> Iterator[str]:
    """What is not told of these, though the answer depends on it."""
    if any(one.dual_stack is None and one.address == WILDCARDS["ipv6"] for one in sightings):
        yield _DUAL_STACK_UNSEEN
    if any(one.remote_port and one.interface is None and is_link_local(one.address) for one in sightings):
        yield _INTERFACE_UNSEEN
