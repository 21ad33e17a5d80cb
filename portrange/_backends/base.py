"""The interface that every backend fulfils, and the words it speaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .._answers.listener import BoundSocket, Listeners
    from .._answers.pool import EphemeralRange, PortSettings
    from .._answers.usage import EphemeralUsage
    from .._host import Host

#: Transports whose sockets can be asked for, in the order of answers.
PROTOCOLS = ("tcp", "udp", "sctp", "dccp")
FAMILIES = ("ipv4", "ipv6")
#: The address that stands for all of a family.
WILDCARDS = {"ipv4": "0.0.0.0", "ipv6": "::"}  # noqa: S104 - nothing of ours ever listens there


@dataclass(frozen=True, slots=True)
class SocketQuery:
    """Which listening sockets are wanted, and how far to go for their owners.

    - `port` None: every port. `protocols` None: all that the system can list.
    - `exhaustive`: look into every process, also where the socket's own cgroup named an owner.
    - `all_namespaces`: every network namespace that a visible process is in, or that a mount keeps.
    """

    port: int | None = None
    protocols: tuple[str, ...] | None = None
    exhaustive: bool = False
    all_namespaces: bool = False


class Backend(Protocol):
    """What a question asks of an operating system.

    Adding a system is adding a class with these methods, a row in the table of `select`, and a recorded machine.
    """

    def pool(self, host: Host, protocol: str, family: str) -> EphemeralRange:
        """The ephemeral range of one transport over one address family."""
        ...

    def settings(self, host: Host) -> PortSettings:
        """Everything the system does with port numbers. What cannot be read is None there and named in `incomplete`."""
        ...

    def listeners(self, host: Host, query: SocketQuery) -> Listeners:
        """The sockets asked for, with their owners."""
        ...

    def bound(self, host: Host, protocol: str, port: int) -> tuple[BoundSocket, ...]:
        """Every socket that occupies a port, whatever its state, with its owners."""
        ...

    def usage(self, host: Host, protocol: str) -> EphemeralUsage:
        """How full the ephemeral range of "tcp" or "udp" is, over both families."""
        ...
