"""Why can a port not be bound?"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, NamedTuple, SupportsIndex

from .._answers.listener import BoundSocket
from .._answers.obstacle import Obstacle
from .._answers.span import contains
from .._backends.select import backend_for
from .._errors import UnsupportedPlatformError
from .arguments import THIS_HOST, port_number, protocol_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._answers.pool import PortSettings
    from .._host import Host

_WILDCARDS = {"ipv4": "0.0.0.0", "ipv6": "::"}  # noqa: S104 - what a server would bind
#: Families and transports that this machine does not have; not every system knows every number.
_ABSENT = [getattr(errno, name, None) for name in ("EAFNOSUPPORT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT")]
#: Winsock says WSAEACCES where Unix says EACCES, and WSAEADDRINUSE for EADDRINUSE; Python maps the first only.
_REFUSED = (errno.EACCES, errno.EPERM, 10013)
_IN_USE = (errno.EADDRINUSE, 10048)
_NOT_LOCAL = (errno.EADDRNOTAVAIL, 10049)


class Endpoint(NamedTuple):
    """What somebody wants to bind."""

    protocol: str
    family: str
    address: str
    port: int


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
    asked = host or THIS_HOST
    backend = backend_for(asked)
    wanted = [Endpoint(protocol, family, place, number) for family, place in _places(asked, address)]
    settings = backend.settings(asked)
    known = _worth_knowing(number, settings)
    failures = _try(asked, wanted)
    blocking = _blocking(failures, settings, backend.bound(asked, protocol, number)) if failures else ()
    if failures and not blocking:
        # What was in the way may have gone while we looked for it.
        failures = _try(asked, wanted)
        blocking = tuple(_hidden(endpoint, error) for endpoint, error in failures.items())
    return (*blocking, *known)


def _places(host: Host, address: str) -> list[tuple[str, str]]:
    """The families to try, each with the address to bind there in its usual notation."""
    import ipaddress

    if not address:
        return list(_WILDCARDS.items())
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        raise ValueError(f"{address!r} is not a numeric IPv4 or IPv6 address; leave it empty for all") from None
    if str(parsed) == _WILDCARDS["ipv6"] and not host.is_v6only:
        return list(_WILDCARDS.items())
    mapped = getattr(parsed, "ipv4_mapped", None)
    return [(f"ipv{parsed.version}", str(parsed))] if mapped is None else [("ipv4", str(mapped))]


def _try(host: Host, wanted: list[Endpoint]) -> dict[Endpoint, OSError]:
    """What could not be bound, and how the system said so."""
    failures: dict[Endpoint, OSError] = {}
    absent: list[OSError] = []
    for endpoint in wanted:
        try:
            host.bind(*endpoint)
        except OSError as error:
            # A machine without IPv6 has no IPv6 wildcard either.
            if error.errno in _ABSENT or (error.errno in _NOT_LOCAL and endpoint.address in _WILDCARDS.values()):
                absent.append(error)
            else:
                failures[endpoint] = error
    if len(absent) == len(wanted):
        raise UnsupportedPlatformError(f"this machine has no {wanted[0].protocol} sockets: {absent[0].strerror}")
    return failures


def _blocking(
    failures: dict[Endpoint, OSError], settings: PortSettings, sockets: tuple[BoundSocket, ...]
) -> tuple[Obstacle, ...]:
    """The obstacles behind failed attempts, each once."""
    obstacles: list[Obstacle] = []
    for endpoint, error in failures.items():
        if error.errno in _REFUSED:
            obstacles.append(_refusal(endpoint, settings))
        elif error.errno not in _IN_USE:
            obstacles.append(_unusable(endpoint, error))
    if 0 in (endpoint.port for endpoint in failures):
        return (*dict.fromkeys(obstacles), *_exhausted(failures))
    in_the_way = [one for one in sockets if any(_conflict(one, endpoint) for endpoint in failures)]
    if not obstacles and not in_the_way:
        in_the_way = [one for one in sockets if any(_may_conflict(one, endpoint) for endpoint in failures)]
    obstacles += _grouped(in_the_way)
    return tuple(dict.fromkeys(obstacles))


def _conflict(socket: BoundSocket, wanted: Endpoint) -> bool:
    """Whether the kernel takes two addresses on one port for overlapping.

    Where it was not told whether an IPv6 wildcard takes IPv4 too, it may: binding failed, after all.
    """
    if socket.protocol != wanted.protocol:
        return False
    if socket.family != wanted.family:
        return wanted.family == "ipv4" and socket.dual_stack is not False
    wildcard = _WILDCARDS[wanted.family]
    return wildcard in (socket.address, wanted.address) or socket.address in ("", wanted.address.partition("%")[0])


def _may_conflict(socket: BoundSocket, wanted: Endpoint) -> bool:
    """A connection over IPv6 of a socket for both families keeps IPv4's wildcard (ipv4_rcv_saddr_equal).

    The system does not say whether its socket was one, so this is only asked where nothing else is in the way.
    """
    return socket.protocol == wanted.protocol and wanted.address == _WILDCARDS["ipv4"] and socket.state != "listen"


def _grouped(sockets: list[BoundSocket]) -> Iterator[Obstacle]:
    """One obstacle for all sockets of a kind with the same address and holders: a server may have thousands."""
    groups: dict[object, list[BoundSocket]] = {}
    for one in sockets:
        key = (one.state, one.family, one.address, one.owners, one.uid, one.unit)
        groups.setdefault(key if one.state != "listen" else object(), []).append(one)
    order = list(_SENTENCES)
    for group in sorted(groups.values(), key=lambda group: order.index(group[0].state)):
        kind, sentence = _SENTENCES[group[0].state]
        yield Obstacle(kind, _fill(sentence, group), socket=group[0], count=len(group))


#: The kind of obstacle that each state of a socket makes, and what to say of it.
_SENTENCES = {
    "listen": ("listener", "{endpoint} is listened on ({holder}); stop that program or take another port"),
    "bound": ("bound", "{endpoint} is bound but not listened on ({holder}); end that program or take another port"),
    "connection": (
        "connection",
        "{endpoint} is the local end of {count}{remote} ({holder}); end that program or take a port below the pool",
    ),
    "time-wait": (
        "time-wait",
        "{endpoint} is kept for a minute after {count}{remote}; wait, or set SO_REUSEADDR if the earlier socket had it",
    ),
}


def _fill(sentence: str, group: list[BoundSocket]) -> str:
    first = group[0]
    host = f"[{first.remote_address}]" if ":" in first.remote_address else first.remote_address
    return sentence.format(
        endpoint=f"{first.protocol} {first.endpoint}",
        holder=first.holder + (f", {first.unit}" if first.unit else ""),
        count="a connection" if len(group) == 1 else f"{len(group):,} connections",
        remote=f" with {host}:{first.remote_port}" + (" and others" if len(group) > 1 else ""),
    )


def _refusal(endpoint: Endpoint, settings: PortSettings) -> Obstacle:
    """Why the system refuses a port although nobody has it."""
    if settings.excluded is not None and contains(settings.excluded, endpoint.port):
        source = settings.source("excluded")
        detail = (
            f"the system keeps port {endpoint.port} from all programs ({source}); take another, or end the exclusion"
        )
        return Obstacle("excluded", detail)
    if settings.privileged is not None and contains(settings.privileged, endpoint.port):
        source = settings.source("privileged")
        detail = f"binding port {endpoint.port} needs a privilege ({source}); run with it, or take a higher port"
        return Obstacle("privileged", detail)
    detail = f"the system refuses port {endpoint.port} to this program; ask whoever set its security policy"
    return Obstacle("refused", detail)


def _unusable(wanted: Endpoint, error: OSError) -> Obstacle:
    """An address that cannot be bound whatever its port."""
    if error.errno in _NOT_LOCAL:
        detail = f"{wanted.address} is not an address of this machine; bind one that it has, or all of them"
    else:
        detail = (
            f"{wanted.address} cannot be bound ({error.strerror or error}); a link-local address needs the name of a "
            "network interface of this machine, as in fe80::1%eth0"
        )
    return Obstacle("address", detail)


def _exhausted(failures: dict[Endpoint, OSError]) -> Iterator[Obstacle]:
    """Port 0 stands for any port: it can only be the pool that has none left."""
    for endpoint, error in failures.items():
        if error.errno in _IN_USE:
            name = f"{endpoint.protocol} port on {endpoint.address}"
            yield Obstacle("exhausted", f"no {name} is left to be handed out; name one outside of the ephemeral range")


def _worth_knowing(port: int, settings: PortSettings) -> tuple[Obstacle, ...]:
    """What does not keep anybody from binding."""
    if settings.reserved and contains(settings.reserved, port):
        source = settings.source("reserved")
        detail = f"port {port} is set aside by the administrator ({source}): bind it only if it is meant for you"
        return (Obstacle("reserved", detail, blocks=False),)
    return ()


def _hidden(wanted: Endpoint, error: OSError) -> Obstacle:
    detail = (
        f"binding {wanted.protocol} {wanted.address} port {wanted.port} fails ({error.strerror or error}) and the "
        "system shows no socket there: one that is bound without listening (Linux shows those from 6.8 on), or "
        "another user's; look again as the administrator"
    )
    return Obstacle("hidden", detail)
