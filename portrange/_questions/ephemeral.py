"""Which ports does the operating system hand out by itself?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._backends.select import backend_for
from .arguments import family_name, host_asked, protocol_name

if TYPE_CHECKING:
    from .._answers.pool import EphemeralRange
    from .._host import Host


def ephemeral_range(*, protocol: str = "tcp", family: str = "ipv4", host: Host | None = None) -> EphemeralRange:
    """The ports that the operating system gives to programs which name none.

    `first` and `last` are included; `len()`, `in` and iteration leave out what the administrator has set aside.
    `source` says where it was read. Where a setting cannot be read, the documented default stands in for it, and
    `assumed` is true. The range can change at any time, so it is read anew for each call.

    On Linux: ``/proc/sys/net/ipv4/ip_local_port_range`` and ``ip_local_reserved_ports`` (ip-sysctl.rst in the
    kernel's documentation), the same for all protocols and both families, and for the caller's network namespace.

    Raises `ValueError` for an unknown protocol or family, `ParseError` where a setting is not what is documented,
    `UnsupportedPlatformError` where the system has no such range that could be read.

    >>> import portrange
    >>> pool = portrange.ephemeral_range()
    >>> pool.first <= pool.last
    True
    """
    protocol, family = protocol_name(protocol), family_name(family)
    asked = host_asked(host)
    return backend_for(asked).pool(asked, protocol, family)
