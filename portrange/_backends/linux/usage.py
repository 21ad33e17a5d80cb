"""How full the ephemeral pool is: sock_diag is asked for the sockets that have a port of it, and these are counted."""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from ..._answers.span import Span
from ..base import WILDCARDS
from ..occupancy import NAMED, Occupancy, Peers, Sighting
from . import counting, sock_diag, sockets
from .counting import AF_INET, AF_INET6, Table, Tables
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


def _from_kernel(host: Host, occupancy: Occupancy) -> EphemeralUsage:
    protocol = occupancy.protocol
    pool = occupancy.pools["ipv4"]  # and that of IPv6: Linux has one for both
    ask = partial(_ask, host, protocol, Span(pool.first, pool.last))
    in_pool = occupancy.in_pool["ipv4"]
    for family, table in ask(_WAITING[protocol], partial(counting.count_waiting, in_pool=in_pool)).items():
        _note(occupancy, _FAMILIES[family], table)
        if 1 in table.dual_stack:
            occupancy.hold("ipv4", WILDCARDS["ipv4"], table.dual_stack)
        for flags in table.held.values():
            occupancy.wait(flags)
    # Nothing is accepted on UDP: a connected socket has its port for itself, or shares it knowingly.
    accepting = bytes(occupancy.waiting) if protocol == "tcp" else bytes(len(occupancy.waiting))
    reuse = Reuse.of(host)
    tables = ask(
        _CONNECTED[protocol],
        partial(counting.count_connected, in_pool=in_pool, waiting=accepting, reusable_from=reuse.expires),
    )
    for family, table in tables.items():
        _note(occupancy, _FAMILIES[family], table)
    counting.move_mapped(tables)
    numbers = (
        (sum(counts[counting.FIRST_STATE :]), key, family, counts)
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
        if total and number >= counting.FIRST_STATE:
            occupancy.states[names.get(number, f"state {number}")] += total
    for local, flags in table.held.items():
        address = _address(family, local)
        occupancy.hold(address.family, str(address), flags)


def _peers(family: str, key: bytes, counts: list[int], reuse: Reuse) -> Peers:
    local, remote = _address(family, key[counting.LOCAL]), _address(family, key[counting.REMOTE])
    return Peers(
        family,
        str(local),
        str(remote),
        int.from_bytes(key[:2], "big"),
        sockets=sum(counts[counting.FIRST_STATE :]),
        time_wait=counts[TIME_WAIT],
        reusable=counts[counting.REUSABLE] if reuse.holds(local, remote) else 0,
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
