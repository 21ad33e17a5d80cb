"""The ephemeral port range, and its usage."""

from __future__ import annotations

from .._backends.select import backend_for
from .._host.host import system_of
from .arguments import family_name, one_of, protocol_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from .._answers.address import FamilyName, ProtocolName
    from .._answers.ephemeral import EphemeralRange
    from .._answers.usage import EphemeralUsage
    from .._host.host import Host


def ephemeral_range(
    *, protocol: ProtocolName = "tcp", family: FamilyName = "ipv4", host: Host | None = None
) -> EphemeralRange:
    """Return the ports that the operating system allocates automatically, to programs that do not choose a port.

    `first` and `last` are included; `len()`, `in` and iteration leave out reserved ports. `source` names the source of
    the range. If it cannot be read, the result is the documented default and `assumed` is True. The range may change
    at any time, so each call reads it again.

    On Linux: ``/proc/sys/net/ipv4/ip_local_port_range`` and ``ip_local_reserved_ports`` (ip-sysctl.rst in the
    kernel's documentation), the same for all protocols and both families, of the caller's network namespace.

    :param protocol: "tcp", "udp", "sctp" or "dccp". Some systems have a range for each.
    :param family: "ipv4" or "ipv6".
    :param host: The system to read. The default is the machine that Python runs on.

    Raises `ValueError` for an unknown protocol or family, `ParseError` if a setting is not in the documented format,
    `UnsupportedPlatformError` if the system has no such range that can be read.

    >>> import portrange
    >>> ports = portrange.ephemeral_range()
    >>> ports.first <= ports.last
    True
    """
    protocol, family = protocol_name(protocol), family_name(family)
    system = system_of(host)
    return backend_for(system).ephemeral_range(system, protocol, family)


def ephemeral_usage(*, protocol: Literal["tcp", "udp"] = "tcp", host: Host | None = None) -> EphemeralUsage:
    """Return how many ephemeral ports are in use, by which sockets, and per destination.

    A program that connects without choosing a port fails if each ephemeral port has a connection from the same source
    address to the same destination address and port, or belongs to a socket that listens or is bound. A program that
    binds port 0 fails if each ephemeral port is in use on that address. `explain()` describes which limit is reached or
    how near it is, which sockets use the ports, and what helps.

    Reserved ports are not counted, nor are sockets with a port outside the range. The time depends on the number of
    sockets with an ephemeral port, the memory on the number of destinations.

    Sources: sock_diag(7) on Linux, /proc/net where that is not permitted, psutil on other systems; ip(7) and the
    kernel's net/ipv4/inet_hashtables.c (`__inet_hash_connect`) for the limits.

    :param protocol: "tcp" or "udp".
    :param host: The system to read. The default is the machine that Python runs on.

    Raises `ValueError` for another protocol, `SourceError` if sockets cannot be listed, `ParseError` if the reply of
    the system is not in the documented format, `UnsupportedPlatformError` if the system is not supported.

    >>> import portrange
    >>> usage = portrange.ephemeral_usage()
    >>> usage.used <= usage.size
    True
    """
    protocol = one_of("protocol", protocol, ("tcp", "udp"))
    system = system_of(host)
    return system.cached(("ephemeral_usage", protocol), backend_for(system).ephemeral_usage, system, protocol)
