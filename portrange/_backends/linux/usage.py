"""How full the ephemeral pool is: sock_diag is asked for the sockets that have a port of it, and these are counted."""

from __future__ import annotations

import heapq
import re
import sys
from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple

from ..._answers.span import Span
from ..occupancy import NAMED, Occupancy, Peers, Sighting, is_link_local
from . import counting, sock_diag, sockets
from .counting import AF_INET, AF_INET6, FIRST_STATE, INTERFACE, LOCAL, REMOTE, REUSABLE, Table, Tables
from .settings import SETTINGS
from .socket_record import ANY_STATE, BOUND_INACTIVE, CLOSE, ESTABLISHED, LISTEN, TIME_WAIT, Address, SocketFilter
from .time_wait import Reuse

if TYPE_CHECKING:
    from ..._answers.usage import EphemeralUsage
    from ..._host import Host
    from .socket_record import SocketRecord

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
_FAMILIES = {AF_INET: "ipv4", AF_INET6: "ipv6"}
#: The first release that lists TCP sockets which are bound and do not listen.
_LISTS_BOUND = (6, 8)
_RELEASE = re.compile(r"(\d{1,5})\.(\d{1,5})", re.ASCII)
_BOUND_UNSEEN = "TCP sockets that are bound and do not listen: Linux lists them from 6.8 on, through sock_diag"
_AGE_UNSEEN = "the age of sockets in TIME-WAIT, which decides whether their ports may be used again (tcp_tw_reuse)"


def usage(host: Host, protocol: str) -> EphemeralUsage:
    """How full the pool of one transport ("tcp" or "udp") is."""
    pools = {family: SETTINGS.pool(host, protocol, family) for family in sockets.FAMILIES}
    occupancy = Occupancy(protocol, "linux", pools)
    if protocol == "tcp" and not _lists_bound(host):
        occupancy.incomplete.append(_BOUND_UNSEEN)
    try:
        return _from_kernel(host, occupancy)
    except OSError:
        # A socket at a time then, from the tables in procfs; or the reason why neither can be read.
        found = sockets.sockets(host, SocketFilter(protocol, ANY_STATE))
    occupancy = Occupancy(protocol, "linux", pools)
    if protocol == "tcp":
        occupancy.incomplete += [_BOUND_UNSEEN, _AGE_UNSEEN]
    return occupancy.count([_sighting(record) for record in found])


def _from_kernel(host: Host, occupancy: Occupancy) -> EphemeralUsage:
    protocol = occupancy.protocol
    pool = occupancy.pools["ipv4"]  # and that of IPv6: Linux has one for both
    ask = partial(_ask, host, protocol, Span(pool.first, pool.last))
    in_pool = occupancy.in_pool["ipv4"]
    name = cache(host.interface_name)
    waiting = ask(_WAITING[protocol], partial(counting.count_waiting, in_pool=in_pool))
    for family, table in waiting.items():
        _note(occupancy, _FAMILIES[family], table, name, connected=False)
        for flags in table.held.values():
            occupancy.wait(flags)
    # Nothing is accepted on UDP: a connected socket has its port for itself, or shares it knowingly.
    accepting = waiting if protocol == "tcp" else Tables()
    reuse = Reuse.of(host)
    tables = ask(
        _CONNECTED[protocol],
        partial(counting.count_connected, in_pool=in_pool, waiting=accepting, reusable_from=reuse.expires),
    )
    for family, table in tables.items():
        _note(occupancy, _FAMILIES[family], table, name, connected=True)
    counting.move_mapped(tables)
    found = (
        _Found(_FAMILIES[family], key, counts, table.shared[key] if table.shared else 0)
        for family, table in tables.items()
        for key, (counts, _) in table.items()
    )
    fullest = heapq.nlargest(NAMED, found, key=lambda one: one.rank(reuse))
    return occupancy.answer([one.peers(reuse, name) for one in fullest], sum(map(len, tables.values())))


class _Found(NamedTuple):
    """A row of a table: the sockets that share a destination."""

    family: str
    key: bytes
    counts: list[int]
    shared: int

    def rank(self, reuse: Reuse) -> tuple[int, int, bytes]:
        """How much of the limit these sockets take; of those that take the same, the ones with more sockets."""
        sockets = sum(self.counts[FIRST_STATE:])
        return sockets - self.shared - self.reusable(reuse), sockets, self.key

    def reusable(self, reuse: Reuse) -> int:
        """How many of their ports a new connection to the same destination may have."""
        return self.counts[REUSABLE] if self.counts[REUSABLE] and reuse.holds(*self.ends()) else 0

    def ends(self) -> tuple[Address, Address]:
        """The addresses, the local one first."""
        return _address(self.family, self.key[LOCAL]), _address(self.family, self.key[REMOTE])

    def peers(self, reuse: Reuse, name: Callable[[int], str]) -> Peers:
        """The same with everything in words; `name` knows interfaces."""
        local, remote = self.ends()
        return Peers(
            self.family,
            str(local),
            str(remote),
            int.from_bytes(self.key[:2], "big"),
            _interface(self.key[INTERFACE], name),
            sockets=sum(self.counts[FIRST_STATE:]),
            time_wait=self.counts[TIME_WAIT],
            reusable=self.reusable(reuse),
            shared=self.shared,
        )


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


def _note(occupancy: Occupancy, family: str, table: Table, name: Callable[[int], str], *, connected: bool) -> None:
    """Count the states, and the ports of each address."""
    names = _STATES[occupancy.protocol]
    columns = zip(table.accepted[0], *(counts for counts, _ in table.values()), strict=True)
    for number, total in enumerate(map(sum, columns)):
        if total and number >= FIRST_STATE:
            occupancy.states[names.get(number, f"state {number}")] += total
    for place, flags in table.held.items():
        address = _address(family, place[:16])
        text = str(address)
        # Others are one address on all interfaces: who binds it without naming one meets the sockets of each.
        interface = _interface(place[16:], name) if is_link_local(text) else None
        occupancy.hold(address.family, text, flags, interface=interface, connected=connected)


def _interface(packed: bytes, name: Callable[[int], str]) -> str | None:
    index = int.from_bytes(packed, sys.byteorder)
    return name(index) if index else None


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
        dual_stack=record.dual_stack,
    )


def _lists_bound(host: Host) -> bool:
    """Whether this kernel lists TCP sockets that are bound and do not listen."""
    try:
        release = host.read(f"{host.procfs}/sys/kernel/osrelease").decode("ascii", "replace")
    except OSError:
        return False
    numbers = _RELEASE.match(release)
    return numbers is not None and (int(numbers[1]), int(numbers[2])) >= _LISTS_BOUND
