"""The usage of the ephemeral ports, by destination and by local address, as numbers and as text."""

from __future__ import annotations

from types import MappingProxyType

from .._lazy import import_lock
from .._render.strings import visible
from .address import WILDCARDS, endpoint, zoned
from .record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .address import FamilyName, ProtocolName
    from .ephemeral import EphemeralRange

#: The errors of system calls when no port is left, by platform and protocol: pairs of a call and an errno name.
_ERRORS: dict[tuple[str, str], tuple[tuple[str, str], ...]] = {
    # Observed on Linux 6.18; ip(7), BUGS, confirms that the errors differ between system calls.
    ("linux", "tcp"): (("connect", "EADDRNOTAVAIL"), ("bind", "EADDRINUSE"), ("listen", "EADDRINUSE")),
    ("linux", "udp"): (("connect", "EAGAIN"), ("sendto", "EAGAIN"), ("bind", "EADDRINUSE")),
    # in_pcbbind, bsd/netinet/in_pcb.c of XNU
    ("darwin", "tcp"): (("connect", "EADDRNOTAVAIL"), ("bind", "EADDRNOTAVAIL")),
}


def _share(taken: int, limit: int) -> float:
    """Return a part of a limit, at most 1; a limit of 0 is always reached."""
    return min(1.0, taken / limit) if limit else 1.0


def may_miss_last_port(platform: str, protocol: str, pool: EphemeralRange) -> bool:
    """Return whether the system may refuse a port although the last one of the range is free.

    Linux searches an even number of TCP ports, whatever the size of the range (inet_csk_find_open_port,
    net/ipv4/inet_connection_sock.c; __inet_hash_connect, net/ipv4/inet_hashtables.c).
    """
    distance = pool.last - pool.first
    return platform == "linux" and protocol == "tcp" and distance > 0 and distance % 2 == 0


class Destination(Record):
    """The sockets between an address of this machine and an address and port elsewhere.

    Connections that a listener of this machine accepted are not counted, because they take no ephemeral port.
    """

    _derived = ("free", "share")
    _none = MappingProxyType({"interface": "none"})

    family: FamilyName
    """The address family: "ipv4" or "ipv6"."""
    source: str
    """The local address."""
    address: str
    """The remote address."""
    port: int
    """The remote port."""
    sockets: int
    """The number of sockets."""
    time_wait: int
    """The number of sockets that are closed and keep their port for a while (TIME-WAIT, RFC 9293, section 3.6.1)."""
    reusable: int
    """The number of sockets in TIME-WAIT whose ports the system allocates to new connections."""
    limit: int
    """The highest number of sockets that are possible: each takes another ephemeral port.

    For UDP it is the number of sockets and of ports that are free on all addresses, which is what connect() requires
    of a socket that is not bound. A socket that is bound to an address first, or is for IPv6 only, may find more.
    """
    interface: str | None = None
    """The network interface that the sockets are bound to, by link-local addresses or by SO_BINDTODEVICE; None if they
    are not bound to an interface. For TCP, each interface has a limit of its own."""

    @property
    def free(self) -> int:
        """How many more connections are possible, at most."""
        return max(0, self.limit - self.sockets + self.reusable)

    @property
    def share(self) -> float:
        """The used part of the limit, from 0 to 1."""
        return _share(self.sockets - self.reusable, self.limit)

    @property
    def endpoint(self) -> str:
        """Address and port in the usual notation, such as ``192.0.2.1:443`` or ``[fe80::1%eth0]:443``."""
        return endpoint(self.address, self.port, self.interface, family=self.family)

    def __str__(self) -> str:
        return visible(f"{self.source} to {self.endpoint}: {self.sockets:,} of {self.limit:,} ports")


class LocalAddress(Record):
    """The ephemeral ports that are in use on an address of this machine.

    On Linux a connection over IPv6 also takes its port from ``0.0.0.0``, unless its socket is for IPv6 only
    (IPV6_V6ONLY, or bound to an IPv6 address before it connected). The system does not show which sockets are, so all
    are counted: `free` of ``0.0.0.0`` is a lower limit.
    """

    _derived = ("free", "share", "place")
    _none = MappingProxyType({"interface": "none"})

    family: FamilyName
    """The address family: "ipv4" or "ipv6"."""
    address: str
    """The local address."""
    used: int
    """The number of ephemeral ports that sockets have on this address or on the wildcard address; for the wildcard
    address (``0.0.0.0``, ``::``), on any address."""
    limit: int
    """The number of ephemeral ports."""
    interface: str | None = None
    """The network interface of a link-local address; None for other addresses, or if the system does not show it."""

    @property
    def place(self) -> str:
        """The address as bind() takes it, such as ``127.0.0.1`` or ``fe80::1%eth0``."""
        return zoned(self.address, self.interface)

    @property
    def free(self) -> int:
        """The number of ports that are free for bind() to port 0.

        Linux searches an even number of TCP ports (inet_csk_find_open_port, net/ipv4/inet_connection_sock.c): if the
        range has an odd number, it may refuse the last free port.
        """
        return max(0, self.limit - self.used)

    @property
    def share(self) -> float:
        """The part of the ephemeral ports that is in use on this address, from 0 to 1."""
        return _share(self.used, self.limit)

    def __str__(self) -> str:
        return visible(f"{self.place}: {self.used:,} of {self.limit:,} ports")


class SocketOwner(Record):
    """The sockets of one user in one systemd unit or container that have an ephemeral port.

    Sockets in TIME-WAIT have no owner and are not counted.
    """

    _derived = ("name",)
    _none = MappingProxyType({"unit": "none", "container": "none"})

    sockets: int
    """The number of sockets."""
    unconnected: int = 0
    """The number of them that listen or are bound. The others are the connections that ``ss -tn`` lists."""
    uid: int | None = None
    """The user ID that created the sockets; None for sockets that no process has open (not accepted yet, or closed), or
    if the caller's user namespace does not map it (user_namespaces(7))."""
    user: str | None = None
    """The name of that user, None if it is unknown."""
    unit: str | None = None
    """The systemd unit of the sockets' cgroup; None if there is none or it is unknown."""
    container: str | None = None
    """The container ID in the cgroup; None if there is none or it is unknown."""

    @property
    def name(self) -> str:
        """The owner as text: the unit or the first 12 digits of the container ID, and the user."""
        user = self.user or ("" if self.uid is None else str(self.uid))
        place = self.container[:12] if self.container else self.unit
        if place:
            return visible(f"{'container ' if self.container else ''}{place}" + (f" (user {user})" if user else ""))
        return visible(f"user {user}") if user else "no user"

    def __str__(self) -> str:
        return f"{self.name}: {self.sockets:,} {_plural(self.sockets, 'socket')}"


class EphemeralUsage(Record):
    """The usage of the ephemeral ports of one protocol.

    No system shows that a program called bind() before connect(), although such a connection keeps its port from all
    other destinations. `free` of a destination is therefore an upper limit.
    """

    _derived = ("share", "exhausted", "errors")

    protocol: ProtocolName
    """The protocol: "tcp" or "udp"."""
    platform: str
    """The operating system, such as "linux"."""
    pool: EphemeralRange
    """The ephemeral range."""
    size: int
    """The number of ephemeral ports, with those of `pool_ipv6`."""
    used: int
    """The number of ephemeral ports that sockets have."""
    waiting: int
    """The number of ephemeral ports of unconnected sockets, which listen or are bound. TCP connections cannot use
    them."""
    states: tuple[tuple[str, int], ...] = ()
    """Pairs of a state and the number of sockets in it that have an ephemeral port.

    The states of TCP are those of RFC 9293, and "bound" for a socket that is bound and does not listen; the states of
    UDP are "bound" and "connected".
    """
    destinations: tuple[Destination, ...] = ()
    """The fullest destinations, the fullest first.

    The limit of TCP is per source address, destination address and destination port: connections to two destinations
    may use the same local port.
    """
    destination_count: int = 0
    """The number of all destinations."""
    addresses: tuple[LocalAddress, ...] = ()
    """The fullest local addresses, which limit bind() to port 0, and every ephemeral port of UDP."""
    pool_ipv6: EphemeralRange | None = None
    """The ephemeral range of IPv6, if it differs from `pool`."""
    incomplete: tuple[str, ...] = ()
    """What could not be inspected, one sentence each."""
    by_owner: tuple[SocketOwner, ...] | None = None
    """The sockets with an ephemeral port by user, unit and container, the most first; None if the system does not show
    them, as in the tables of /proc/net. On Linux no privilege is needed, and no process is inspected."""

    @property
    def share(self) -> float:
        """The part of the ephemeral ports that is in use, from 0 to 1."""
        return _share(self.used, self.size)

    @property
    def exhausted(self) -> bool:
        """True if no port is left for connections to one of the destinations, or on one of the local addresses."""
        destinations = self.destinations if self.protocol == "tcp" else ()
        free = [*(address.free for address in self.addresses), *(destination.free for destination in destinations)]
        return self.size == 0 or 0 in free

    @property
    def errors(self) -> tuple[tuple[str, str], ...]:
        """Pairs of a system call and the error that it fails with when no port is left; empty if they are unknown."""
        return _ERRORS.get((self.platform, self.protocol), ())

    def explain(self, columns: int = 100) -> str:
        """Return text in lines of at most *columns*: usage, the fullest destinations, errors that follow, remedies."""
        with import_lock:
            from .._render.text import wrap

        table = list(_table(self, columns))
        facts, remedies = _advice(self)
        paragraphs = [[_in_use(self)], [*table, *_others(self)], list(_by_owner(self)), [f"- {fact}" for fact in facts]]
        if remedies:
            paragraphs.append(["Remedies:", *(f"- {remedy}" for remedy in remedies)])
        texts = (
            "\n".join(
                line
                for text in paragraph
                for line in ([text] if text in table else wrap(visible(text), columns, 2 if text[:2] == "- " else 0))
            )
            for paragraph in paragraphs
        )
        return "\n\n".join(filter(None, texts))

    def __str__(self) -> str:
        fullest = f"; fullest: {self.destinations[0]}" if self.destinations else ""
        return f"{self.protocol}: {self.used:,} of {self.size:,} ephemeral ports in use{fullest}"

    def _repr_html_(self) -> str:
        with import_lock:
            from .._render import html, picture

        shown = _in_table(self)
        bars = [
            picture.Bar(
                f"{destination.source} → {destination.endpoint}",
                destination.share,
                f"{destination.sockets - destination.reusable:,} of {destination.limit:,} ports "
                f"({_percent(destination.share)})",
            )
            for destination in shown
        ]
        role = "bad" if self.exhausted else "notice" if _is_near(self) else "good"
        parts = [
            html.title(self._title(), (_verdict(self), role)),
            f"<p>{html.cell(_summary(self))}</p>",
            picture.bars("Ports in use by destination", bars) if shown else "",
            html.table(_HEADERS, map(_row, shown), right=_FIGURES) if shown else "",
            *(f"<p>{html.cell(others)}</p>" for others in _others(self)),
        ]
        return "".join(parts)

    def _title(self) -> str:
        return f"Ephemeral {self.protocol.upper()} ports"


# --- table -----------------------------------------------------------------------------------------------------------

_HEADERS = ("DESTINATION", "FROM", "LIVE", "TIME-WAIT", "IN USE", "OF", "SHARE")
_FIGURES = (2, 3, 4, 5, 6)


def _in_table(usage: EphemeralUsage) -> list[Destination]:
    """Return the destinations that have a port which is not reusable."""
    return [destination for destination in usage.destinations if destination.sockets > destination.reusable]


def _table(usage: EphemeralUsage, columns: int) -> Iterator[str]:
    with import_lock:
        from .._render import text

    rows = list(map(_row, _in_table(usage)))
    if rows:
        # The source is shortened before the destination, and the figures never.
        narrow = ((1, 9), (0, 26), (1, 5), (0, 9))
        yield text.table(_HEADERS, rows, columns, whole=_FIGURES, narrow=narrow, right=_FIGURES)


def _row(destination: Destination) -> tuple[str, ...]:
    """Return a row whose figures add up: live sockets and those in TIME-WAIT whose ports are not reusable."""
    waiting = destination.time_wait - destination.reusable
    return (
        destination.endpoint,
        destination.source,
        f"{destination.sockets - destination.time_wait:,}",
        f"{waiting:,}",
        f"{destination.sockets - destination.reusable:,}",
        f"{destination.limit:,}",
        _percent(destination.share),
    )


def _others(usage: EphemeralUsage) -> Iterator[str]:
    """Yield the number of destinations that are not in the table, if there are any."""
    shown = _in_table(usage)
    others = usage.destination_count - len(shown)
    if others:
        # The destinations are sorted: if the last of them has only reusable ports, so have all that are not listed.
        reusable = ", with reusable ports only (TIME-WAIT)" if len(shown) < len(usage.destinations) else ""
        number = f"and {others:,} more" if shown else f"{others:,}"
        yield f"{number} {_plural(others, 'destination')}{reusable}"


# --- sentences -------------------------------------------------------------------------------------------------------

#: The share from which a limit is near.
_NEAR = 0.8
#: The number of owners that are named.
_OWNERS = 3


def _summary(usage: EphemeralUsage) -> str:
    """Return the usage, the errors that follow and the remedies, in sentences."""
    facts, remedies = _advice(usage)
    advice = [f"Remedies: {'; '.join(remedies)}."] if remedies else []
    return visible(" ".join([_in_use(usage), *_by_owner(usage), *facts, *advice]))


def _advice(usage: EphemeralUsage) -> tuple[list[str], list[str]]:
    """Return what follows from the usage, in sentences, and the remedies."""
    facts = _tcp(usage) if usage.protocol == "tcp" else _udp(usage)
    incomplete = (f"Incomplete: {reason}." for reason in usage.incomplete)
    remedies = _unreserve if not usage.size else _tcp_remedies if usage.protocol == "tcp" else _udp_remedies
    return [*facts, *incomplete], remedies(usage) if _is_near(usage) else []


def _unreserve(usage: EphemeralUsage) -> list[str]:
    setting = " (net.ipv4.ip_local_reserved_ports)" if usage.platform == "linux" else ""
    return [f"reserve fewer ports{setting}", _widen(usage)]


def _is_near(usage: EphemeralUsage) -> bool:
    return bool(usage.exhausted or usage.share >= _NEAR or _near_destinations(usage) or _last_ports(usage))


def _near_destinations(usage: EphemeralUsage) -> list[Destination]:
    # One free port means that the limit is near: in a small range, that may be less than 80 %.
    is_tcp = usage.protocol == "tcp"
    return [target for target in usage.destinations if is_tcp and (target.share >= _NEAR or target.free <= 1)]


def _last_ports(usage: EphemeralUsage) -> list[str]:
    """Return the addresses with one free port, which the system may miss."""
    may_miss = may_miss_last_port(usage.platform, usage.protocol, usage.pool)
    return [address.place for address in usage.addresses if may_miss and address.free == 1]


def _verdict(usage: EphemeralUsage) -> str:
    if not _is_near(usage):
        return "no limit is near"
    full = sum(not destination.free for destination in _near_destinations(usage))
    if full:
        more = "at least " if usage.destination_count > len(usage.destinations) == full else ""
        return f"no port is left for {more}{full:,} {_plural(full, 'destination')}"
    return "no port is left for bind()" if usage.exhausted else "a limit is near"


def _by_owner(usage: EphemeralUsage) -> Iterator[str]:
    owners = usage.by_owner or ()
    if owners:
        shown = [f"{owner.name} {owner.sockets:,}" for owner in owners[:_OWNERS]]
        others = len(owners) - len(shown)
        more = f", {others:,} more {_plural(others, 'owner')}" if others else ""
        yield f"Sockets by owner: {', '.join(shown)}{more}."


def _in_use(usage: EphemeralUsage) -> str:
    pool = usage.pool
    ports = f"{pool.first}-{pool.last}"
    if usage.pool_ipv6 is not None:
        ports += f", and {usage.pool_ipv6.first}-{usage.pool_ipv6.last} for IPv6"
    subject = f"ephemeral {usage.protocol.upper()} ports ({ports}; {pool.source})"
    if not usage.size:
        return f"There are no {subject}: all of them are reserved."
    if usage.used == usage.size:
        return f"All {usage.size:,} {subject} are in use: {_verdict(usage)}."
    verb = "is" if usage.used == 1 else "are"
    share = _percent(usage.share)
    return f"{usage.used:,} of the {usage.size:,} {subject} {verb} in use ({share}): {_verdict(usage)}."


def _tcp(usage: EphemeralUsage) -> Iterator[str]:
    near, last = _near_destinations(usage), _last_ports(usage)
    if usage.size and usage.waiting == usage.size:
        yield (
            "They belong to listening or bound sockets, which connections cannot use: connect() "
            f"{_fails(usage, 'connect')} for every destination."
        )
    elif usage.waiting == 1:
        yield "1 of them belongs to a listening or bound socket; connections cannot use it."
    elif usage.waiting:
        yield f"{usage.waiting:,} of them belong to listening or bound sockets; connections cannot use those."
    if near:
        yield from _near(usage, near)
    yield from _full_addresses(usage)
    if last:
        yield f"Binding port 0 on {_either(last)} may fail{_error(usage, 'bind')} although one port is free."
    if may_miss_last_port(usage.platform, usage.protocol, usage.pool) and (near or last):
        calls = " and ".join(["connect()"] * bool(near) + ["bind()"] * bool(last))
        parity = "even" if usage.pool.first % 2 == 0 else "odd"
        yield (
            f"The range starts and ends with an {parity} number, so {calls} may miss the last free port: set bounds of "
            "different parity."
        )


def _near(usage: EphemeralUsage, near: list[Destination]) -> Iterator[str]:
    fullest = near[0]
    used = f"{fullest.sockets:,} of the {fullest.limit:,}" if fullest.free else f"all {fullest.limit:,}"
    fails = "" if fullest.free else f": another such connect() {_fails(usage, 'connect')}"
    yield (
        f"Connections from {fullest.source} to {fullest.endpoint} use {used} ports that are available to them "
        f"({_composition(fullest)}){fails}."
    )
    full = sum(not destination.free for destination in near[1:])
    others = len(near) - 1 - full
    if full:
        yield f"{full:,} more {_plural(full, 'destination')} {_plural(full, 'is', 'are')} full."
    if others:
        yield f"{others:,} more {_plural(others, 'destination')} {_plural(others, 'is', 'are')} nearly full."
    yield (
        "Connections to another address or port can use the same ports again, except for ports that a program bound "
        "before it connected; the system does not show which ports those are."
    )


def _tcp_remedies(usage: EphemeralUsage) -> list[str]:
    near = _near_destinations(usage)
    is_linux = usage.platform == "linux"
    remedies: list[str] = []
    if any(2 * destination.time_wait >= destination.sockets for destination in near):
        remedies.append(
            "keep connections open for the next request (keep-alive, a connection pool), because the side that closes "
            "first keeps the port in TIME-WAIT"
        )
        if is_linux:
            remedies.append("set net.ipv4.tcp_tw_reuse=1, so that new connections can use such ports after a second")
    elif near:
        remedies.append(
            "use fewer connections at a time (keep-alive, a connection pool), or more source or destination addresses"
        )
    if is_linux:
        remedies.append("set IP_BIND_ADDRESS_NO_PORT in programs that bind an address before they connect")
    return [*remedies, _widen(usage)]


def _udp(usage: EphemeralUsage) -> Iterator[str]:
    if usage.size and usage.used == usage.size:
        full = {
            address.family
            for address in usage.addresses
            if address.address == WILDCARDS[address.family] and not address.free
        }
        yield (
            f"An unbound {'IPv6 ' if full == {'ipv6'} else ''}UDP socket needs a port that is free on all addresses: "
            f"its connect() or sendto() {_fails(usage, 'sendto')}."
        )
    yield from _full_addresses(usage)


def _udp_remedies(usage: EphemeralUsage) -> list[str]:
    return [
        "use one socket for many destinations (sendto() does not need a socket for each)",
        "close sockets when the reply has arrived",
        _widen(usage),
    ]


def _full_addresses(usage: EphemeralUsage) -> Iterator[str]:
    full = [address.place for address in usage.addresses if not address.free]
    if full:
        yield f"Binding port 0 on {_either(full)} {_fails(usage, 'bind')}."


# --- parts of sentences ----------------------------------------------------------------------------------------------


def _composition(destination: Destination) -> str:
    """Return how many sockets of a destination are live, in TIME-WAIT and reusable."""
    live = destination.sockets - destination.time_wait
    reusable = f", {destination.reusable:,} of them reusable" if destination.reusable else ""
    if not destination.time_wait:
        return "all live" if live > 1 else "live"
    if not live:
        return f"all in TIME-WAIT{reusable}"
    return f"{live:,} live, {destination.time_wait:,} in TIME-WAIT{reusable}"


def _fails(usage: EphemeralUsage, call: str) -> str:
    return f"fails{_error(usage, call)}"


def _error(usage: EphemeralUsage, call: str) -> str:
    name = dict(usage.errors).get(call)
    return f" with {name}" if name else ""


def _either(names: list[str]) -> str:
    with import_lock:
        from .._render.strings import joined

    return joined(names, "or")


def _widen(usage: EphemeralUsage) -> str:
    return "widen the ephemeral range" if usage.pool.assumed else f"widen the range in {usage.pool.source}"


def _plural(number: int, singular: str, plural: str = "") -> str:
    return singular if number == 1 else plural or f"{singular}s"


def _percent(share: float) -> str:
    """Return a share in percent; only 0 and 1 are shown as 0 and 100 %."""
    percent = 100 * share
    if 0 < percent < 0.1:
        return "<0.1 %"
    if 99.9 < percent < 100:
        return ">99.9 %"
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.1f} %"
