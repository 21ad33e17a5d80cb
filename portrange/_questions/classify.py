"""What is this port?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._answers.port import Assignment, Band, PortInfo
from .._answers.span import contains
from .._backends.select import backend_for
from .arguments import THIS_HOST, port_number

if TYPE_CHECKING:
    from .._host import Host


def classify(port: int, *, host: Host | None = None) -> PortInfo:
    """What a port number is: to IANA, and to this machine.

    `band` has the names and bounds of RFC 6335, section 6. `ephemeral`, `reserved`, `excluded` and `privileged` are
    read from the host (see `ephemeral_range` for the sources) and are None where it does not tell; no socket is
    looked at. The settings are read anew for each call: for loops over many ports pass ``host=Host().frozen()``.

    Raises `TypeError` for what is not a whole number (a bool is not), `InvalidPortError` outside 0-65535.

    >>> import portrange
    >>> portrange.classify(443).band
    <Band.SYSTEM: 'system'>
    """
    number = port_number(port)
    asked = host or THIS_HOST
    settings = backend_for(asked).settings(asked)
    return PortInfo(
        number=number,
        band=_band(number),
        assignment=Assignment.UNASSIGNED,
        services=(),
        ephemeral=settings.ephemeral(number),
        reserved=None if settings.reserved is None else contains(settings.reserved, number),
        excluded=None if settings.excluded is None else contains(settings.excluded, number),
        privileged=None if settings.privileged is None else contains(settings.privileged, number),
        default_pools=(),
        risks=(),
        settings=settings,
    )


def _band(number: int) -> Band:
    if number < 1024:
        return Band.SYSTEM
    return Band.USER if number < 49152 else Band.DYNAMIC
