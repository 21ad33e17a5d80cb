"""Is the pool of automatic ports running out, and towards whom?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._backends.select import backend_for
from .arguments import host_asked

if TYPE_CHECKING:
    from .._answers.usage import EphemeralUsage
    from .._host import Host

_PROTOCOLS = ("tcp", "udp")


def ephemeral_usage(*, protocol: str = "tcp", host: Host | None = None) -> EphemeralUsage:
    """How much of the pool of automatic ports is in use, by which sockets, and towards whom.

    A program that connects without a port of its own is refused when each port of the pool has a connection from the
    same source address to the same destination address and port, or belongs to a socket that listens or is bound; one
    that binds port 0, when each port is in use on that address. `explain()` says in words which of it has happened,
    or how near it is, what holds the ports and what helps.

    `protocol` is "tcp" or "udp". Ports set aside by the administrator are not counted, sockets outside the pool
    neither. The cost follows the number of sockets with a port of the pool, the memory the number of destinations.

    Sources: sock_diag(7) on Linux, /proc/net where that is not allowed, psutil elsewhere; ip(7) and the kernel's
    net/ipv4/inet_hashtables.c (`__inet_hash_connect`) for the limits.

    Raises `ValueError` for another protocol, `SourceError` where sockets cannot be listed, `ParseError` where the
    system's answer is not what is documented, `UnsupportedPlatformError` where no way is known.

    >>> import portrange
    >>> usage = portrange.ephemeral_usage()
    >>> usage.used <= usage.size
    True
    """
    if protocol not in _PROTOCOLS:
        raise ValueError(f"unknown protocol {protocol!r}: the pool's usage is known for {' and '.join(_PROTOCOLS)}")
    asked = host_asked(host)
    return asked.once(("usage", protocol), lambda: backend_for(asked).usage(asked, protocol))
