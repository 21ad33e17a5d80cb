"""The Linux backend: settings from sysctl files, sockets from sock_diag, owners from the socket's cgroup and procfs.

The functions are those of `Backend`. Each imports its module when it is called: `classify` does not pay for sockets.
"""

from __future__ import annotations

from ..._lazy import import_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..._answers.address import FamilyName, ProtocolName
    from ..._answers.ephemeral import EphemeralRange, PortSettings
    from ..._answers.listener import Listener, Listeners, Process, Sockets
    from ..._answers.usage import EphemeralUsage
    from ..._host.system import System
    from ..base import PortQuery, SocketQuery, Target


def ephemeral_range(system: System, protocol: ProtocolName, family: FamilyName) -> EphemeralRange:
    """Return the ephemeral port range of one protocol over one address family."""
    with import_lock:
        from . import settings

    return settings.SETTINGS.ephemeral_range(system, protocol, family)


def port_settings(system: System) -> PortSettings:
    """Return all port settings; those that cannot be read are None and listed in `incomplete`."""
    with import_lock:
        from . import settings

    return settings.SETTINGS.port_settings(system)


def listeners(system: System, query: SocketQuery) -> Listeners:
    """Return the listening sockets that match *query*, with their owners."""
    with import_lock:
        from . import listing

    return listing.listeners(system, query)


def sockets_on(system: System, query: PortQuery) -> Sockets:
    """Return every socket on a port, or those of connections with a peer, with their owners."""
    with import_lock:
        from . import listing

    return listing.sockets_on(system, query)


def running(system: System, process: Process) -> Process | None:
    """Return a process; None if it has ended, or if its pid belongs to a process that started later."""
    with import_lock:
        from . import trees

    return trees.running(system, process)


def reached(
    system: System, protocol: ProtocolName, port: int, targets: tuple[Target, ...]
) -> tuple[tuple[Listener, ...], ...] | None:
    """Return the listeners that a connection to each target reaches; None if the kernel's lookup is not available."""
    with import_lock:
        from . import lookup

    return lookup.reached(system, protocol, port, targets)


def ephemeral_usage(system: System, protocol: ProtocolName) -> EphemeralUsage:
    """Return how many ephemeral ports of "tcp" or "udp" are in use, over both families."""
    with import_lock:
        from . import usage

    return usage.ephemeral_usage(system, protocol)
