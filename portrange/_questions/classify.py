"""Classify a port number."""

from __future__ import annotations

from .._answers.ephemeral import BAND_BOUNDS
from .._answers.port import Band, PortInfo
from .._answers.span import contains, port_number
from .._backends.select import settings_of
from .._host.host import system_of
from .._registry.lookup import registered
from .risks import host_risks, risks, section_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import SupportsIndex

    from .._answers.span import Spans
    from .._host.host import Host


_USER, _DYNAMIC = BAND_BOUNDS["user"][0], BAND_BOUNDS["dynamic"][0]


def classify(port: SupportsIndex, *, host: Host | None = None) -> PortInfo:
    """Return the properties of a port number: its registration, the settings of this host, and the risks of fixed use.

    - `band` has the names and bounds of RFC 6335, section 6; `assignment`, `services` and `unnamed` are from IANA's
      registry as of `REGISTRY_DATE`. They describe what is registered, not what is running.
    - `ephemeral`, `reserved`, `excluded` and `privileged` are settings of the host (see `ephemeral_range` for the
      sources), None if they cannot be read. Sockets are not inspected.
    - `ephemeral_by_default_on` lists the systems whose default ephemeral range contains the port.
    - `risks` are the reasons why a program should not rely on the number, worst first; `safe` is True if none is
      "high".

    Each call reads the settings of the host again: for many ports pass ``host=Host().snapshot()``. The first call
    loads the registry, which takes a few milliseconds.

    Raises `TypeError` if *port* is not a whole number (a bool is not), `InvalidPortError` outside 0-65535. On an
    unknown platform, or if a setting cannot be read, the properties of the host are None, and `settings.incomplete`
    has the reasons.

    >>> import portrange
    >>> https = portrange.classify(443)
    >>> https.band, https.name, https.services[0].protocols
    (<Band.SYSTEM: 'system'>, 'https', ('tcp', 'udp', 'sctp'))
    >>> [risk.kind for risk in portrange.classify(60860).risks if risk.kind == "dynamic-band"]
    ['dynamic-band']
    """
    number = port_number(port)
    system = system_of(host)
    settings = system.cached("classify: settings", settings_of, system)
    record = registered(number)
    section = section_of(number)
    ephemeral = settings.ephemeral(number)
    excluded = _within(settings.excluded, number)
    privileged = _within(settings.privileged, number)
    # The key is all that the messages depend on: a snapshot formats each of them once.
    key = ("classify: risks", ephemeral, excluded, privileged)
    of_host = system.cached(
        key, lambda: host_risks(settings, ephemeral=ephemeral, excluded=excluded, privileged=privileged)
    )
    return PortInfo(
        number,
        _band(number),
        record.assignment,
        record.services,
        record.unnamed,
        ephemeral,
        _within(settings.reserved, number),
        excluded,
        privileged,
        section.ephemeral_by_default_on,
        risks(number, record, section, of_host),
        settings,
    )


def _within(spans: Spans | None, number: int) -> bool | None:
    return None if spans is None else contains(spans, number)


def _band(number: int) -> Band:
    if number < _USER:
        return Band.SYSTEM
    return Band.USER if number < _DYNAMIC else Band.DYNAMIC
