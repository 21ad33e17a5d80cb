"""The interface of a backend."""

from __future__ import annotations

from .._frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from .._answers.address import FamilyName, ProtocolName
    from .._answers.ephemeral import EphemeralRange, PortSettings
    from .._answers.listener import Listener, Listeners, Process, Sockets
    from .._answers.usage import EphemeralUsage
    from .._host.system import System

    class Backend(Protocol):
        """How the ports and sockets of an operating system are read: a module or an object with these functions.

        To add a system, add a backend, a row in the table of `select`, and a recorded machine for the tests.
        """

        def ephemeral_range(self, system: System, protocol: ProtocolName, family: FamilyName, /) -> EphemeralRange:
            """Return the ephemeral range of a protocol and an address family."""
            ...

        def port_settings(self, system: System, /) -> PortSettings:
            """Return all port settings; those that cannot be read are None, and `incomplete` has the reasons."""
            ...

        def listeners(self, system: System, query: SocketQuery, /) -> Listeners:
            """Return the listeners that match *query*, with their owners."""
            ...

        def sockets_on(self, system: System, query: PortQuery, /) -> Sockets:
            """Return all sockets that match *query*, whatever their state, with their owners; listeners first."""
            ...

        def running(self, system: System, process: Process, /) -> Process | None:
            """Return a process; None if it has ended, or if its pid belongs to a process that started later."""
            ...

        def reached(
            self, system: System, protocol: ProtocolName, port: int, targets: tuple[Target, ...], /
        ) -> tuple[tuple[Listener, ...], ...] | None:
            """Return the listeners that a connection to each target reaches; None if the system does not show it."""
            ...

        def ephemeral_usage(self, system: System, protocol: ProtocolName, /) -> EphemeralUsage:
            """Return the usage of the ephemeral ranges of "tcp" or "udp", over both address families."""
            ...


#: Seconds. Systems round start times, and Linux adds a time of boot without fractions.
_SAME_START = 1.5


def may_be_same(process: Process, other: Process) -> bool:
    """Return whether two processes with the same pid started at the same time; True if that is unknown."""
    if process.started is None or other.started is None:
        return True
    return abs(process.started - other.started) <= _SAME_START


class Target(Frozen):
    """An address of this machine, as a client connects to it."""

    packed: bytes
    """The address in network order: 4 bytes for IPv4, also if a client wrote it as an IPv4-mapped one; 16 for IPv6."""
    interface: int = 0
    """The index of the interface that has the address, at which packets arrive; 0 if it is unknown."""


class SocketQuery(Frozen):
    """A query for listeners, and how far to search for their owners."""

    port: int | None = None
    """The port; None for all ports."""
    protocols: tuple[ProtocolName, ...] | None = None
    """The protocols; None for all that the system can list."""
    exhaustive: bool = False
    """True to search every process, even if the processes of the socket's own cgroup include an owner."""
    all_namespaces: bool = False
    """True to query every network namespace that a visible process or a mount belongs to."""
    process: Process | None = None
    """The process whose sockets are wanted, with those of its descendants; None for all processes. If its `started` is
    known, another process with the same pid does not count."""
    own_only: bool = False
    """True to leave out sockets that the processes only have because the caller was forked."""
    may_bind: bool = True
    """False if no bind probe of the port may be made, because a process is about to bind it."""


class PortQuery(Frozen):
    """A query for the sockets on a port, whatever their state."""

    port: int
    """The local port."""
    protocols: tuple[ProtocolName, ...] | None = None
    """The protocols; None for all that the system can list."""
    peer: tuple[str, int] | None = None
    """The address and port of the peer; None for all sockets."""
