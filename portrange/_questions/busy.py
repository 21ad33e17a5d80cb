"""Find the reasons why a port cannot be bound."""

from __future__ import annotations

from .._answers.address import HIGHEST_INDEX, WILDCARDS
from .._answers.listener import Obstacles
from .._answers.span import parse_decimal, port_number
from .._backends.base import PortQuery
from .._backends.select import backend_for
from .._errors import SourceError, UnsupportedPlatformError
from .._host.binding import ABSENT, IN_USE, NOT_LOCAL, REFUSED, UNUSABLE
from .._host.host import system_of
from .._lazy import import_lock
from .._render.strings import printable
from . import obstacles
from .arguments import protocol_name
from .obstacles import Endpoint, needs_interface

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import SupportsIndex

    from .._answers.address import ProtocolName
    from .._answers.ephemeral import PortSettings
    from .._answers.listener import BoundSocket, Obstacle
    from .._host.host import Host
    from .._host.system import System

#: Seconds between bind probes of a port that may be in use for a moment only. Another process in `why_busy` may have to
#: wait for a processor before it closes its probe socket.
_PAUSES = (0.001, 0.002, 0.004, 0.008, 0.016)


def why_busy(
    port: SupportsIndex, *, protocol: ProtocolName = "tcp", address: str = "", host: Host | None = None
) -> Obstacles:
    """Return the reasons why binding *port* fails, worst first; empty means that a bind probe succeeded.

    The probe binds the port without SO_REUSEADDR and SO_REUSEPORT and closes it at once. Obstacles that do not block
    (`Obstacle.blocks`) may occur with a free port.

    Sockets are matched as the kernel does it (inet_csk_bind_conflict, net/ipv4/inet_connection_sock.c): a wildcard
    conflicts with every address of its family, and ``::`` with IPv4 addresses as well unless it is IPv6-only.

    :param port: The port number, 0 to 65535.
    :param protocol: "tcp", "udp", "sctp" or "dccp".
    :param address: A numeric IPv4 or IPv6 address. ``""`` means all addresses of both families, and so does ``"::"``
        where such a socket accepts IPv4 as well (ipv6(7), IPV6_V6ONLY).
    :param host: The system to read. The default is the machine that Python runs on.

    Raises `TypeError` and `InvalidPortError` if *port* is not a port, `ValueError` for an unknown protocol or an
    address that is not numeric, `SourceError` if neither a bind probe nor the list of sockets gives the reason,
    `UnsupportedPlatformError` if the system has no such sockets.

    >>> import portrange, socket
    >>> server = socket.create_server(("127.0.0.1", 0))
    >>> [obstacle.kind for obstacle in portrange.why_busy(server.getsockname()[1], address="127.0.0.1")]
    ['listener']
    >>> server.close()
    """
    number, protocol = port_number(port), protocol_name(protocol)
    system = system_of(host)
    backend = backend_for(system)
    wanted = _endpoints(system, protocol, address, number)
    settings = backend.port_settings(system)
    notes = obstacles.notes(number, settings)
    failures = _probe(system, wanted)
    sockets = backend.sockets_on(system, PortQuery(number, (protocol,))).sockets if failures else ()
    # The socket in the way may be closed by now, or may be the probe socket of another process in why_busy().
    transient = [endpoint for endpoint, error in failures.items() if _may_be_transient(endpoint, error, sockets)]
    for endpoint in _probe_again(system, transient):
        del failures[endpoint]
    blocking = _blocking(failures, settings, sockets)
    if failures and not blocking:
        blocking = tuple(obstacles.hidden(endpoint, error, settings) for endpoint, error in failures.items())
    return Obstacles((*blocking, *notes))


# --- what to bind ----------------------------------------------------------------------------------------------------


def _endpoints(system: System, protocol: ProtocolName, address: object, port: int) -> list[Endpoint]:
    """Return what to bind for *address*, one endpoint for each family, with the address as backends write it."""
    with import_lock:
        import ipaddress
        import socket

    if not isinstance(address, str):
        raise TypeError(f"an address is a string such as '127.0.0.1', not {type(address).__name__}: {address!r}")
    everything = [
        Endpoint(protocol, "ipv4", WILDCARDS["ipv4"], port),
        Endpoint(protocol, "ipv6", WILDCARDS["ipv6"], port),
    ]
    if not address:
        return everything
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        if address.lower().rstrip(".") == "localhost":
            raise ValueError("localhost is a name, and a server binds an address: use 127.0.0.1 or ::1") from None
        raise ValueError(
            f"{address!r} is not a numeric IPv4 or IPv6 address; leave it empty for all addresses"
        ) from None
    if str(parsed) == WILDCARDS["ipv6"] and not system.is_v6only:
        return everything
    if isinstance(parsed, ipaddress.IPv4Address):
        return [Endpoint(protocol, "ipv4", str(parsed), port)]
    if parsed.ipv4_mapped is not None:
        return [Endpoint(protocol, "ipv4", str(parsed.ipv4_mapped), port)]
    # Some addresses have another notation in `ipaddress`, such as ::192.0.2.1 (RFC 4291, section 2.5.5.1).
    text = socket.inet_ntop(socket.AF_INET6, parsed.packed)
    zone = parsed.scope_id
    if zone is None:
        return [Endpoint(protocol, "ipv6", text, port)]
    interface = _interface(system, zone) if needs_interface(text) else None
    return [Endpoint(protocol, "ipv6", f"{text}%{zone}", port, interface)]


def _interface(system: System, zone: str) -> str:
    """Return the name of the interface that a zone means, which may be its index (RFC 4007, section 11.2)."""
    index = parse_decimal(zone, HIGHEST_INDEX)
    if index is None:
        return printable(zone)
    name = system.interface_name(index)
    return zone if name.startswith("#") else name


# --- bind probes -----------------------------------------------------------------------------------------------------


def _probe(system: System, wanted: list[Endpoint]) -> dict[Endpoint, OSError]:
    """Bind each endpoint for a moment; return the errors."""
    failures: dict[Endpoint, OSError] = {}
    absent: list[OSError] = []
    for endpoint in wanted:
        try:
            system.bind(endpoint.protocol, endpoint.family, endpoint.address, endpoint.port)
        except SourceError:
            raise  # the network namespace could not be entered: nothing was bound
        except OSError as error:
            # A machine without IPv6 has no IPv6 wildcard either.
            if error.errno in ABSENT or (error.errno in NOT_LOCAL and endpoint.address in WILDCARDS.values()):
                absent.append(error)
            else:
                failures[endpoint] = error
    if len(absent) == len(wanted):
        family = {"ipv4": " IPv4", "ipv6": " IPv6"}[wanted[0].family] if len(wanted) == 1 else ""
        reason = absent[0].strerror
        raise UnsupportedPlatformError(f"this machine has no{family} {wanted[0].protocol} sockets: {reason}")
    return failures


def _may_be_transient(endpoint: Endpoint, error: OSError, sockets: tuple[BoundSocket, ...]) -> bool:
    """Return whether a bind may succeed a moment later: no socket conflicts, or only sockets in state "bound"."""
    return error.errno in IN_USE and all(socket.state == "bound" for socket in sockets if conflict(socket, endpoint))


def _probe_again(system: System, wanted: list[Endpoint]) -> list[Endpoint]:
    """Return the endpoints that can be bound now or within some milliseconds."""
    with import_lock:
        import time

    bound = [endpoint for endpoint in wanted if endpoint not in _probe(system, [endpoint])]
    for pause in _PAUSES:
        if len(bound) == len(wanted):
            break
        time.sleep(pause)
        bound += [
            endpoint for endpoint in wanted if endpoint not in bound and endpoint not in _probe(system, [endpoint])
        ]
    return bound


# --- reasons ---------------------------------------------------------------------------------------------------------


def _blocking(
    failures: dict[Endpoint, OSError], settings: PortSettings, sockets: tuple[BoundSocket, ...]
) -> tuple[Obstacle, ...]:
    """Return the obstacles that explain failed bind probes."""
    found: list[Obstacle] = []
    for endpoint, error in failures.items():
        if error.errno in REFUSED:
            refusal = obstacles.refusal(endpoint, settings)
            # Winsock reports WSAEACCES also if another program has the port for its exclusive use.
            is_in_use = settings.platform == "windows" and any(conflict(socket, endpoint) for socket in sockets)
            if refusal.kind != "refused" or not is_in_use:
                found.append(refusal)
        elif error.errno in UNUSABLE:
            found.append(obstacles.unusable(endpoint, error, is_local=error.errno not in NOT_LOCAL))
        elif error.errno not in IN_USE:
            # The error is about the machine, such as a lack of memory or descriptors, and not about the port.
            source = f"binding {endpoint.protocol} {endpoint.address} port {endpoint.port}"
            raise SourceError.from_os_error(source, error) from error
        elif endpoint.port == 0:
            found.append(obstacles.exhausted(endpoint, settings))
    named = [endpoint for endpoint in failures if endpoint.port]
    conflicting = [socket for socket in sockets if any(conflict(socket, endpoint) for endpoint in named)]
    if not found and not conflicting:
        # macOS reports its restricted ports as in use (net.restricted_port).
        restricted = [endpoint for endpoint in named if obstacles.is_excluded(endpoint.port, settings)]
        found = [obstacles.restricted(endpoint, settings) for endpoint in restricted]
    if not found and not conflicting:
        conflicting = [socket for socket in sockets if any(may_conflict(socket, endpoint) for endpoint in named)]
    # Both families may fail for the same reason.
    return (*dict.fromkeys(found), *obstacles.of_sockets(conflicting, settings))


def conflict(socket: BoundSocket, wanted: Endpoint) -> bool:
    """Return whether the addresses of two sockets on one port overlap for the kernel.

    An IPv6 wildcard of which it is unknown whether it accepts IPv4 counts as one that does: the bind failed.
    """
    if socket.protocol != wanted.protocol:
        return False
    if socket.family != wanted.family:
        return wanted.family == "ipv4" and socket.dual_stack is not False
    # Sockets that are bound to different interfaces never conflict.
    if socket.interface and wanted.interface and socket.interface != wanted.interface:
        return False
    address = wanted.address.partition("%")[0]
    return WILDCARDS[wanted.family] in (socket.address, address) or socket.address in ("", address)


def may_conflict(socket: BoundSocket, wanted: Endpoint) -> bool:
    """Return whether *socket* blocks the IPv4 wildcard if it is dual-stack (ipv4_rcv_saddr_equal).

    An IPv6 connection of a dual-stack socket does. The system does not show which sockets are dual-stack, so this
    matters only if no other obstacle is found.
    """
    return socket.protocol == wanted.protocol and wanted.address == WILDCARDS["ipv4"] and socket.state != "listen"
