"""Linux, behind the common interface.

What looks at sockets is imported when sockets are asked for: `classify` must not pay for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import settings

if TYPE_CHECKING:
    from ..._answers.listener import BoundSocket, Listeners
    from ..._answers.pool import EphemeralRange, PortSettings
    from ..._answers.usage import EphemeralUsage
    from ..._host import Host
    from ..base import SocketQuery


class LinuxBackend:
    """Everything from the kernel itself: sysctl, sock_diag and procfs."""

    def pool(self, host: Host, protocol: str, family: str) -> EphemeralRange:
        return settings.pool(host, protocol, family)

    def settings(self, host: Host) -> PortSettings:
        return settings.settings(host)

    def listeners(self, host: Host, query: SocketQuery) -> Listeners:
        from . import listing

        return listing.listeners(host, query)

    def bound(self, host: Host, protocol: str, port: int) -> tuple[BoundSocket, ...]:
        from . import listing

        return listing.bound(host, protocol, port)

    def usage(self, host: Host, protocol: str) -> EphemeralUsage:
        from . import usage

        return usage.usage(host, protocol)
