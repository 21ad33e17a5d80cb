"""What is this port?"""

from __future__ import annotations

from typing import TYPE_CHECKING, SupportsIndex

from .._answers.number import port_number
from .._answers.port import Band, PortInfo
from .._answers.span import contains
from .._backends.select import settings_of
from .._registry.lookup import registry
from .arguments import host_asked
from .risks import host_risks, risks, stretch

if TYPE_CHECKING:
    from .._answers.span import Spans
    from .._host import Host


def classify(port: SupportsIndex, *, host: Host | None = None) -> PortInfo:
    """What a port number is: to IANA, to this machine, and to somebody who wants to write it down.

    - `band` has the names and bounds of RFC 6335, section 6; `assignment`, `services` and `unnamed` are IANA's registry
      as of `REGISTRY_DATE`. They say what was registered, not what is running.
    - `ephemeral`, `reserved`, `excluded` and `privileged` are read from the host (see `ephemeral_range` for the
      sources) and are None where it does not tell; no socket is looked at.
    - `ephemeral_by_default_on` are the systems that hand the port out unless somebody changed a setting.
    - `risks` say why a program should not rely on the number, worst first; `safe` means that none is "high".

    The settings are read anew for each call: for loops over many ports pass ``host=Host().snapshot()``. The first call
    loads the registry, which takes some 20 milliseconds.

    Raises `TypeError` for what is not a whole number (a bool is not), `InvalidPortError` outside 0-65535. Where a
    platform is unknown or a setting unreadable, the facts of the host are None, and `settings.incomplete` says why.

    >>> import portrange
    >>> https = portrange.classify(443)
    >>> https.band, https.name, https.services[0].protocols
    (<Band.SYSTEM: 'system'>, 'https', ('tcp', 'udp', 'sctp'))
    >>> [risk.kind for risk in portrange.classify(60860).risks if risk.kind == "dynamic-band"]
    ['dynamic-band']
    """
    number = port_number(port)
    asked = host_asked(host)
    settings = asked.once("classify: settings", lambda: settings_of(asked))
    record = registry().at(number)
    around = stretch(number)
    ephemeral = settings.ephemeral(number)
    excluded = _within(settings.excluded, number)
    privileged = _within(settings.privileged, number)
    # The key is all that the sentences depend on: a frozen host writes each of them once.
    here = asked.once(
        ("classify: risks", ephemeral, excluded, privileged),
        lambda: host_risks(settings, ephemeral=ephemeral, excluded=excluded, privileged=privileged),
    )
    return PortInfo(
        number=number,
        band=_band(number),
        assignment=record.assignment,
        services=record.services,
        unnamed=record.unnamed,
        ephemeral=ephemeral,
        reserved=_within(settings.reserved, number),
        excluded=excluded,
        privileged=privileged,
        ephemeral_by_default_on=around.ephemeral_by_default_on,
        risks=risks(number, record, around, here),
        settings=settings,
    )


def _within(spans: Spans | None, number: int) -> bool | None:
    return None if spans is None else contains(spans, number)


def _band(number: int) -> Band:
    if number < 1024:
        return Band.SYSTEM
    return Band.USER if number < 49152 else Band.DYNAMIC
