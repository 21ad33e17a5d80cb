"""How much of the ephemeral pool is taken, and towards whom."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from .pool import EphemeralRange
from .record import Record

#: Which error a program meets when no port is left, by platform and protocol: the call, and the name of the errno.
_ERRORS: dict[tuple[str, str], tuple[tuple[str, str], ...]] = {
    # Observed on Linux 6.18; ip(7) confirms under BUGS that the errors differ across system calls.
    ("linux", "tcp"): (("connect", "EADDRNOTAVAIL"), ("bind", "EADDRINUSE"), ("listen", "EADDRINUSE")),
    ("linux", "udp"): (("connect", "EAGAIN"), ("sendto", "EAGAIN"), ("bind", "EADDRINUSE")),
    # in_pcbbind, bsd/netinet/in_pcb.c of XNU
    ("darwin", "tcp"): (("connect", "EADDRNOTAVAIL"), ("bind", "EADDRNOTAVAIL")),
}


def _share(taken: int, limit: int) -> float:
    """A part of a limit, at most 1; a limit of nothing is always reached."""
    return min(1.0, taken / limit) if limit else 1.0


def may_overlook(platform: str, protocol: str, pool: EphemeralRange) -> bool:
    """Whether the last free port of a pool may be refused all the same.

    Linux looks for a TCP port through an even number of them, whichever the pool has (inet_csk_find_open_port,
    net/ipv4/inet_connection_sock.c; __inet_hash_connect, net/ipv4/inet_hashtables.c).
    """
    more = pool.last - pool.first
    return platform == "linux" and protocol == "tcp" and more > 0 and more % 2 == 0


def _zoned(address: str, interface: str | None) -> str:
    """An address with its interface, as RFC 4007, section 11, writes it."""
    return f"{address}%{interface}" if interface else address


def _visible(text: str) -> str:
    """Interfaces may have any name, and texts are printed."""
    from .._render.text import visible

    return visible(text)


@dataclass(frozen=True, slots=True)
class Destination(Record):
    """The sockets of this machine between one of its addresses and one address and port elsewhere.

    `sockets` counts them, `time_wait` those among them that are closed already and keep their port for a while
    (TIME-WAIT, RFC 9293, section 3.6.1), `reusable` those of the latter whose port the system gives to a new connection
    all the same. `limit` is how many there can be: each takes another port of the pool. On UDP that is these and one
    for each port that is free on all addresses, which is what connect() looks for where the socket is not bound. A
    socket that binds an address first, or is for IPv6 alone, may find more.

    Connections that others opened to a listening port of this machine are not counted: they take no port. `interface`
    is the network interface that they are tied to, by link-local addresses or because their programs asked for it
    (SO_BINDTODEVICE), else None: on TCP each has a limit of its own.
    """

    _derived = ("free", "share")
    _none = MappingProxyType({"interface": "none"})

    family: str
    source: str
    address: str
    port: int
    sockets: int
    time_wait: int
    reusable: int
    limit: int
    interface: str | None = None

    @property
    def free(self) -> int:
        """How many more connections there can be at most."""
        return max(0, self.limit - self.sockets + self.reusable)

    @property
    def share(self) -> float:
        """How much of the limit is taken, from 0 to 1."""
        return _share(self.sockets - self.reusable, self.limit)

    @property
    def endpoint(self) -> str:
        """Address and port in the usual notation, such as ``192.0.2.1:443`` or ``[fe80::1%eth0]:443``."""
        host = _zoned(self.address, self.interface)
        return f"[{host}]:{self.port}" if self.family == "ipv6" else f"{host}:{self.port}"

    def __str__(self) -> str:
        return _visible(f"{self.source} to {self.endpoint}: {self.sockets:,} of {self.limit:,} ports")


@dataclass(frozen=True, slots=True)
class LocalAddress(Record):
    """How many ports of the pool a bind to one of this machine's addresses cannot get.

    `used` counts the ports that a socket has on this address or on all addresses; for the address that stands for all
    (``0.0.0.0``, ``::``) the ports that a socket has anywhere. `limit` is the size of the pool. `interface` tells which
    one a link-local address belongs to; it is None for other addresses, and where the system does not tell.

    On Linux a connection over IPv6 keeps its port from ``0.0.0.0`` as well, unless its socket is for IPv6 alone
    (IPV6_V6ONLY, or bound to an IPv6 address before it connected). The system does not tell which are, so all are
    counted there: `free` of ``0.0.0.0`` is the least that can be hoped for.
    """

    _derived = ("free", "share", "place")
    _none = MappingProxyType({"interface": "none"})

    family: str
    address: str
    used: int
    limit: int
    interface: str | None = None

    @property
    def place(self) -> str:
        """The address as it is given to bind(), such as ``127.0.0.1`` or ``fe80::1%eth0``."""
        return _zoned(self.address, self.interface)

    @property
    def free(self) -> int:
        """How many ports bind() to port 0 can still choose from.

        Linux looks through an even number of TCP ports (inet_csk_find_open_port, net/ipv4/inet_connection_sock.c): in a
        pool that begins and ends with an even number, or with an odd one, it may refuse the last port that is free.
        """
        return max(0, self.limit - self.used)

    @property
    def share(self) -> float:
        """How much of the pool is taken on this address, from 0 to 1."""
        return _share(self.used, self.limit)

    def __str__(self) -> str:
        return _visible(f"{self.place}: {self.used:,} of {self.limit:,} ports")


@dataclass(frozen=True, slots=True)
class EphemeralUsage(Record):
    """How much of the pool of automatic ports is taken, and who will be refused the next one.

    - `pool`: the ports that are handed out; `pool_ipv6` where IPv6 has a pool of its own, else None. `size`: how many
      ports that is.
    - `used`: how many of them some socket has. `waiting`: how many of these belong to a socket without a peer (it
      listens, or is bound and does nothing yet); on TCP no connection gets one of those.
    - `states`: how many sockets have a port of the pool, by state in the words of RFC 9293 ("bound" is a socket
      without a peer that does not listen; a UDP socket is "bound" or "connected").
    - `destinations`: the fullest ones, the fullest first; `destination_count` says how many there are in all. The
      limit of TCP is per source address, destination address and destination port: two destinations may use the same
      local port at the same time.
    - `addresses`: the fullest of this machine's addresses, which are what limits bind() to port 0, and every automatic
      port of UDP.
    - `incomplete`: what could not be looked at.

    What no system shows: a connection whose program called bind() first keeps its port from all other destinations. A
    destination's `free` is therefore the most that can be hoped for.
    """

    _derived = ("share", "exhausted", "errors")

    protocol: str
    platform: str
    pool: EphemeralRange
    size: int
    used: int
    waiting: int
    states: tuple[tuple[str, int], ...] = ()
    destinations: tuple[Destination, ...] = ()
    destination_count: int = 0
    addresses: tuple[LocalAddress, ...] = ()
    pool_ipv6: EphemeralRange | None = None
    incomplete: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """How much of the pool is in use by any socket, from 0 to 1."""
        return _share(self.used, self.size)

    @property
    def exhausted(self) -> bool:
        """Whether some program is refused a port: towards one destination, or on one address."""
        towards = self.destinations if self.protocol == "tcp" else ()
        free = [*(one.free for one in self.addresses), *(one.free for one in towards)]
        return self.size == 0 or 0 in free

    @property
    def errors(self) -> tuple[tuple[str, str], ...]:
        """The error that each call meets when no port is left for it; empty where that is not known."""
        return _ERRORS.get((self.platform, self.protocol), ())

    def explain(self, columns: int = 100) -> str:
        """In plain words: how near the limit is, towards whom, what holds the ports, and what helps."""
        from .explain_usage import page

        return page(self, columns)

    def __str__(self) -> str:
        busiest = f"; fullest: {self.destinations[0]}" if self.destinations else ""
        return f"{self.protocol}: {self.used:,} of {self.size:,} automatic ports in use{busiest}"

    def _repr_html_(self) -> str:
        from .explain_usage import html

        return html(self)
