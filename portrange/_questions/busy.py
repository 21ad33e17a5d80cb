"""Why can a port not be bound?"""

from __future__ import annotations

from typing import TYPE_CHECKING, SupportsIndex

from .._answers.number import port_number
from .._backends.base import WILDCARDS
from .._backends.select import backend_for
from .._errors import SourceError, UnsupportedPlatformError
from .._host.bind_errors import ABSENT, IN_USE, NOT_LOCAL, REFUSED, UNUSABLE
from .._host.words import printable
from . import obstacles
from .arguments import host_asked, protocol_name
from .endpoints import Endpoint, conflict, may_conflict, needs_interface

if TYPE_CHECKING:
    from .._answers.listener import BoundSocket
    from .._answers.obstacle import Obstacle
    from .._answers.pool import PortSettings
    from .._host import Host

#: Seconds between attempts at a port that nobody seems to need for long. Another process that asks the same may have to
#: wait for its turn on the machine before it closes what it has bound.
_PAUSES = (0.001, 0.002, 0.004, 0.008, 0.016)
#: The digits of the highest number of an interface.
_DIGITS = 10


def why_busy(
    port: SupportsIndex, *, protocol: str = "tcp", address: str = "", host: Host | None = None
) -> tuple[Obstacle, ...]:
    """Every reason why binding a port fails, worst first.

    `address` is a numeric IPv4 or IPv6 address; empty stands for all of both families, and so does ``::`` where the
    system lets such a socket take IPv4 too (ipv6(7), IPV6_V6ONLY). The port is bound for a moment, without
    SO_REUSEADDR and SO_REUSEPORT: an empty answer means that this worked. Obstacles that do not
    block (`Obstacle.blocks`) are worth knowing and may come with a port that is free.

    Sockets are matched as the kernel does it (inet_csk_bind_conflict, net/ipv4/inet_connection_sock.c): a wildcard
    meets every address of its family, and ``::`` those of IPv4 as well unless it is for IPv6 only.

    Raises `TypeError` and `InvalidPortError` for what is no port, `ValueError` for an unknown protocol or an address
    that is not numeric, `SourceError` where neither binding nor listing sockets can settle it,
    `UnsupportedPlatformError` where the system has no such sockets.

    >>> import portrange, socket
    >>> server = socket.create_server(("127.0.0.1", 0))
    >>> [obstacle.kind for obstacle in portrange.why_busy(server.getsockname()[1], address="127.0.0.1")]
    ['listener']
    >>> server.close()
    """
    number, protocol = port_number(port), protocol_name(protocol)
    asked = host_asked(host)
    backend = backend_for(asked)
    places = _places(asked, address)
    wanted = [Endpoint(protocol, family, place, number, interface) for family, place, interface in places]
    settings = backend.settings(asked)
    known = obstacles.worth_knowing(number, settings)
    failures = _try(asked, wanted)
    sockets = backend.bound(asked, protocol, number) if failures else ()
    # What was in the way may have gone while we looked for it, or may have been this very question of somebody else's,
    # who binds the port for a moment as well.
    doubtful = [endpoint for endpoint, error in failures.items() if _may_pass(endpoint, error, sockets)]
    for endpoint in _try_again(asked, doubtful):
        del failures[endpoint]
    blocking = _blocking(failures, settings, sockets) if failures else ()
    if failures and not blocking:
        blocking = tuple(obstacles.hidden(endpoint, error) for endpoint, error in failures.items())
    return (*blocking, *known)


def _places(host: Host, address: object) -> list[tuple[str, str, str | None]]:
    """The families to try, each with the address to bind there as backends write it, and the interface of that."""
    import ipaddress
    import socket

    if not isinstance(address, str):
        raise TypeError(f"an address is a string such as '127.0.0.1', not {type(address).__name__}: {address!r}")
    if not address:
        return [(family, everywhere, None) for family, everywhere in WILDCARDS.items()]
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        raise ValueError(f"{address!r} is not a numeric IPv4 or IPv6 address; leave it empty for all") from None
    if str(parsed) == WILDCARDS["ipv6"] and not host.is_v6only:
        return [(family, everywhere, None) for family, everywhere in WILDCARDS.items()]
    if isinstance(parsed, ipaddress.IPv4Address):
        return [("ipv4", str(parsed), None)]
    if parsed.ipv4_mapped is not None:
        return [("ipv4", str(parsed.ipv4_mapped), None)]
    # The system has another notation than `ipaddress` for some, such as ::192.0.2.1 (RFC 4291, section 2.5.5.1).
    text = socket.inet_ntop(socket.AF_INET6, parsed.packed)
    zone = parsed.scope_id
    if zone is None:
        return [("ipv6", text, None)]
    return [("ipv6", f"{text}%{zone}", _interface(host, zone) if needs_interface(text) else None)]


def _interface(host: Host, zone: str) -> str:
    """The name of the interface that a zone means (RFC 4007, section 11.2), which may be given by its number."""
    if not (zone.isascii() and zone.isdigit() and len(zone) <= _DIGITS):
        return printable(zone)
    name = host.interface_name(int(zone))
    return zone if name.startswith("#") else name


def _try(host: Host, wanted: list[Endpoint]) -> dict[Endpoint, OSError]:
    """What could not be bound, and how the system said so."""
    failures: dict[Endpoint, OSError] = {}
    absent: list[OSError] = []
    for endpoint in wanted:
        try:
            host.bind(endpoint.protocol, endpoint.family, endpoint.address, endpoint.port)
        except SourceError:
            raise  # the network that was asked about could not be reached: nothing was bound there
        except OSError as error:
            # A machine without IPv6 has no IPv6 wildcard either.
            if error.errno in ABSENT or (error.errno in NOT_LOCAL and endpoint.address in WILDCARDS.values()):
                absent.append(error)
            else:
                failures[endpoint] = error
    if len(absent) == len(wanted):
        raise UnsupportedPlatformError(f"this machine has no {wanted[0].protocol} sockets: {absent[0].strerror}")
    return failures


def _may_pass(endpoint: Endpoint, error: OSError, sockets: tuple[BoundSocket, ...]) -> bool:
    """Whether nothing is in the way that is there to stay: nothing at all, or what is only bound."""
    return error.errno in IN_USE and all(one.state == "bound" for one in sockets if conflict(one, endpoint))


def _try_again(host: Host, wanted: list[Endpoint]) -> list[Endpoint]:
    """What can be bound after all, now or within some milliseconds."""
    import time

    done = [endpoint for endpoint in wanted if endpoint not in _try(host, [endpoint])]
    for pause in _PAUSES:
        if len(done) == len(wanted):
            break
        time.sleep(pause)
        done += [endpoint for endpoint in wanted if endpoint not in done and endpoint not in _try(host, [endpoint])]
    return done


def _blocking(
    failures: dict[Endpoint, OSError], settings: PortSettings, sockets: tuple[BoundSocket, ...]
) -> tuple[Obstacle, ...]:
    """The obstacles behind failed attempts."""
    found: list[Obstacle] = []
    for endpoint, error in failures.items():
        if error.errno in REFUSED:
            refusal = obstacles.refusal(endpoint, settings)
            # WSAEACCES is also what Winsock says where another program has the port for its exclusive use.
            is_in_use = settings.platform == "windows" and any(conflict(one, endpoint) for one in sockets)
            if refusal.kind != "refused" or not is_in_use:
                found.append(refusal)
        elif error.errno in UNUSABLE:
            found.append(obstacles.unusable(endpoint, error, is_local=error.errno not in NOT_LOCAL))
        elif error.errno not in IN_USE:
            # A machine that is short of something, say: that is no word about the port.
            what = f"binding {endpoint.protocol} {endpoint.address} port {endpoint.port}"
            raise SourceError.from_os_error(what, error) from error
        elif endpoint.port == 0:
            found.append(obstacles.exhausted(endpoint, settings))
    named = [endpoint for endpoint in failures if endpoint.port]
    in_the_way = [one for one in sockets if any(conflict(one, endpoint) for endpoint in named)]
    if not found and not in_the_way:
        # macOS calls the ports that it keeps for itself "in use" (net.restricted_port).
        found += [obstacles.restricted(one, settings) for one in named if obstacles.is_excluded(one.port, settings)]
    if not found and not in_the_way:
        in_the_way = [one for one in sockets if any(may_conflict(one, endpoint) for endpoint in named)]
    # Both families may be refused for the same reason.
    return (*dict.fromkeys(found), *obstacles.of_sockets(in_the_way, settings))
