"""Which ports of the pool sockets have: gathered by whoever lists sockets, in memory that does not grow with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from .._answers.usage import Destination, EphemeralUsage, LocalAddress
from .base import WILDCARDS

if TYPE_CHECKING:
    from .._answers.pool import EphemeralRange

#: How many destinations and addresses an answer names.
NAMED = 10
#: `flags[port] = 1` marks a port. A dictionary is smaller than 64 KiB only where few ports are marked.
Flags: TypeAlias = "bytearray | dict[int, int]"

_PORTS = 1 << 16
_DENSE = 64


def new_flags(others: int = 0) -> Flags:
    """Flags for one local address; from the 65th address on, of which there may be thousands, in a sparse form."""
    return bytearray(_PORTS) if others < _DENSE else {}


class Peers(NamedTuple):
    """Sockets between one address of this machine and one address and port elsewhere."""

    family: str
    source: str
    address: str
    port: int
    sockets: int
    time_wait: int
    reusable: int = 0


class Sighting(NamedTuple):
    """One socket, for whoever cannot count without looking at each. The IPv4 addresses of IPv6 sockets are IPv4's."""

    family: str
    address: str
    port: int
    state: str
    remote_address: str = ""
    remote_port: int = 0
    dual_stack: bool = False


class Occupancy:
    """What whoever lists sockets has seen so far.

    `in_pool` has, by family, a 1 for each port that is handed out automatically. `waiting` marks the ports of sockets
    without a peer, whatever their address; `states` counts all sockets with a port of the pool; `gaps` says what could
    not be looked at.
    """

    def __init__(self, protocol: str, platform: str, pools: Mapping[str, EphemeralRange]) -> None:
        self.protocol = protocol
        self.platform = platform
        self.pools = pools
        self.in_pool = {family: _pool_flags(pool) for family, pool in pools.items()}
        self.waiting = bytearray(_PORTS)
        self.states: Counter[str] = Counter()
        self.gaps: list[str] = []
        self._held: dict[str, dict[str, list[Flags]]] = {family: {} for family in pools}

    def hold(self, family: str, address: str, flags: Flags) -> None:
        """Ports that sockets have on one local address."""
        self._held[family].setdefault(address, []).append(flags)

    def wait(self, flags: Flags) -> None:
        """Ports of sockets without a peer."""
        self.waiting[:] = (_bits(self.waiting) | _bits(flags)).to_bytes(_PORTS, "big")

    def count(self, sightings: Iterable[Sighting]) -> EphemeralUsage:
        """What the sockets come to."""
        seen = [one for one in sightings if self.in_pool[one.family][one.port]]
        held: dict[tuple[str, str], Flags] = {}
        for one in seen:
            self.states[one.state] += 1
            places = [(one.family, one.address)]
            if one.dual_stack and one.address == WILDCARDS["ipv6"]:
                places.append(("ipv4", WILDCARDS["ipv4"]))
            for place in places:
                held.setdefault(place, {})[one.port] = 1
            if not one.remote_port:
                self.waiting[one.port] = 1
        for place, flags in held.items():
            self.hold(*place, flags)
        # Who connected to a waiting socket has its port, and takes no other.
        connected = [one for one in seen if one.remote_port and not (self.protocol == "tcp" and self.waiting[one.port])]
        ends = Counter((one.family, one.address, one.remote_address, one.remote_port) for one in connected)
        closed = Counter(
            (one.family, one.address, one.remote_address, one.remote_port)
            for one in connected
            if one.state == "time-wait"
        )
        fullest = (Peers(*key, number, closed[key]) for key, number in ends.most_common(NAMED))
        return self.answer(fullest, len(ends))

    def answer(self, fullest: Iterable[Peers], count: int) -> EphemeralUsage:
        """What it comes to; `count` is how many destinations there are, of which `fullest` are the fullest."""
        handed_out = {family: _bits(flags) for family, flags in self.in_pool.items()}
        waiting = _bits(self.waiting)
        # On TCP no connection gets the port of a waiting socket. On UDP each socket has its port for itself anyway.
        open_to_peers = {
            family: ports & ~waiting if self.protocol == "tcp" else ports for family, ports in handed_out.items()
        }
        destinations = [
            Destination(**peers._asdict(), limit=open_to_peers[peers.family].bit_count()) for peers in fullest
        ]
        used, addresses = self._addresses(handed_out)
        same_pool = self.in_pool["ipv4"] == self.in_pool["ipv6"]
        return EphemeralUsage(
            protocol=self.protocol,
            platform=self.platform,
            pool=self.pools["ipv4"],
            size=_union(handed_out.values()).bit_count(),
            used=used.bit_count(),
            waiting=(waiting & used).bit_count(),
            states=tuple(sorted(self.states.items(), key=lambda item: (-item[1], item[0]))),
            destinations=tuple(sorted(destinations, key=lambda one: (-one.share, str(one)))),
            destination_count=count,
            addresses=addresses,
            pool_ipv6=None if same_pool else self.pools["ipv6"],
            gaps=tuple(self.gaps),
        )

    def _addresses(self, handed_out: Mapping[str, int]) -> tuple[int, tuple[LocalAddress, ...]]:
        """The ports in use on any address, and how full each address is, the fullest first."""
        rows: list[LocalAddress] = []
        used = 0
        for family, held in self._held.items():
            limit = handed_out[family].bit_count()
            on_all = _union(map(_bits, held.get(WILDCARDS[family], ()))) & handed_out[family]
            anywhere = on_all
            for address, marked in held.items():
                ports = on_all | _union(map(_bits, marked)) & handed_out[family]
                anywhere |= ports
                rows.append(LocalAddress(family, address, ports.bit_count(), limit))
            used |= anywhere
            if held:
                # A bind to :: takes IPv4 as well, unless the program asks for IPv6 alone. IPv4 was looked at first.
                met = used & handed_out[family] if family == "ipv6" else anywhere
                rows = [row for row in rows if row.address != WILDCARDS[family]]
                rows.append(LocalAddress(family, WILDCARDS[family], met.bit_count(), limit))
        rows.sort(key=lambda row: (-row.share, row.family, row.address))
        return used, tuple(rows[:NAMED])


def _pool_flags(pool: EphemeralRange) -> bytes:
    flags = bytearray(_PORTS)
    flags[pool.first : pool.last + 1] = b"\1" * (pool.last - pool.first + 1)
    for first, last in pool.reserved:
        flags[first : last + 1] = bytes(last - first + 1)
    return bytes(flags)


def _bits(flags: bytes | Flags) -> int:
    """The same flags as one number, a byte for each: whole sets are then joined, intersected and counted at once."""
    if isinstance(flags, dict):
        dense = bytearray(_PORTS)
        for port in flags:
            dense[port] = 1
        return int.from_bytes(dense, "big")
    return int.from_bytes(flags, "big")


def _union(sets: Iterable[int]) -> int:
    joined = 0
    for one in sets:
        joined |= one
    return joined
