"""Find all sockets at a local port, whatever their state."""

from __future__ import annotations

from .._answers.address import address_text, unmapped
from .._answers.span import port_number
from .._backends.base import PortQuery
from .._backends.select import backend_for
from .._errors import InvalidPortError
from .._host.host import system_of
from .._lazy import import_lock
from .arguments import protocols_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, SupportsIndex

    from .._answers.address import ProtocolName
    from .._answers.listener import Sockets
    from .._host.host import Host


def who_uses(
    port: SupportsIndex,
    *,
    protocol: ProtocolName | None = None,
    remote: tuple[str, SupportsIndex] | None = None,
    host: Host | None = None,
) -> Sockets:
    """Return every socket whose local port is *port*, in any state, with its owners; listeners first.

    These are listeners, connections in each state by name, sockets that are bound only, and the remains of closed
    connections (TIME_WAIT), which have no owner.

    `remote` limits the result to the connections with one peer. On Linux the kernel finds the connection from the
    address that it would choose itself as the source. Only if there is none, all sockets on the port are listed.

    :param port: The local port number, 0 to 65535.
    :param protocol: "tcp", "udp", "sctp" or "dccp". None means every protocol.
    :param remote: The numeric address and the port of the peer. None means every socket.
    :param host: The system to read. The default is the machine that Python runs on.

    Raises `TypeError` if a port is not a whole number or `remote` is not a pair, `InvalidPortError` for numbers that
    are not ports, `ValueError` for an unknown protocol or an address that is not numeric, `SourceError` if sockets
    cannot be listed, `UnsupportedPlatformError` if the system is not supported.

    Sources: sock_diag(7) and proc(5) on Linux, psutil on other systems. On macOS and the BSDs psutil shows neither
    sockets of processes that the caller may not inspect, nor those without a process; `incomplete` states it.

    >>> import portrange, socket
    >>> server = socket.create_server(("127.0.0.1", 0))
    >>> client = socket.create_connection(server.getsockname())
    >>> found = portrange.who_uses(client.getsockname()[1], remote=server.getsockname())
    >>> [used.remote_address for used in found]
    ['127.0.0.1']
    >>> client.close(), server.close()
    (None, None)
    """
    number = port_number(port)
    protocols = protocols_of(protocol)
    peer = None if remote is None else _peer(remote)
    system = system_of(host)
    backend = backend_for(system)
    query = PortQuery(number, protocols, peer)
    return system.cached(query, backend.sockets_on, system, query)


def _peer(remote: object) -> tuple[str, int]:
    """Return address and port of `remote`, the address as results contain it."""
    with import_lock:
        import ipaddress

    pair: list[Any] = list(remote) if isinstance(remote, (tuple, list)) else []  # pyright: ignore[reportUnknownArgumentType]
    if len(pair) < 2:
        raise TypeError(f"remote is a numeric address and a port, such as ('192.0.2.1', 443), not {remote!r}")
    address: object = pair[0]
    number = port_number(pair[1])
    if not isinstance(address, str):
        raise TypeError(f"an address is a string such as '192.0.2.1', not {type(address).__name__}: {address!r}")
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        raise ValueError(f"{address!r} is not a numeric IPv4 or IPv6 address") from None
    if number == 0:
        raise InvalidPortError("no peer has port 0")
    return address_text(unmapped(parsed.packed)), number
