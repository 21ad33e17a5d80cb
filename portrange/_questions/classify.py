"""Classify a port number."""

from __future__ import annotations

from .._answers.ephemeral import BAND_BOUNDS
from .._answers.port import PortInfo
from .._answers.span import contains, port_number
from .._backends.select import settings_of
from .._host.host import system_of
from .._registry.facts import DEFAULT_RANGES, DEFAULT_TARGETS, common_uses
from .._registry.lookup import registered
from .risks import HostFacts, risks, section_of, setting_risks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, SupportsIndex

    from .._answers.ephemeral import PortSettings
    from .._answers.span import Spans
    from .._host.host import Host
    from .._host.system import System
    from .risks import Section, SettingRisks

_SYSTEMS = tuple(ports.system for ports in DEFAULT_RANGES)
_USER, _DYNAMIC = BAND_BOUNDS["user"][0], BAND_BOUNDS["dynamic"][0]


def classify(port: SupportsIndex, *, targets: Iterable[str] = DEFAULT_TARGETS, host: Host | None = None) -> PortInfo:
    """Return the properties of a port number: its registration, the settings of this host, and the risks of fixed use.

    - `band` has the names and bounds of RFC 6335, section 6; `assignment`, `services` and `unnamed` are from IANA's
      registry as of `REGISTRY_DATE`. They describe what is registered, not what is running.
    - `ephemeral`, `reserved`, `excluded` and `privileged` are settings of the host (see `ephemeral_range` for the
      sources), None if they cannot be read. Sockets are not inspected.
    - `ephemeral_by_default_on` lists the systems whose default ephemeral range contains the port.
    - `common_uses` lists widespread programs that bind the port by default.
    - `risks` are the reasons why a program should not rely on the number, worst first; `safe` is True if none is
      "high".

    Each call reads the settings of the host again: for many ports pass ``host=Host().snapshot()``. The first call
    loads the registry, which takes a few milliseconds.

    :param port: The port number, 0 to 65535.
    :param targets: The systems on which the project runs: "linux", "macos", "windows", "freebsd", "openbsd", "netbsd",
        "dragonfly", "solaris" or "aix". The default ephemeral ranges of other systems cause no risk.
    :param host: The system to read. The default is the machine that Python runs on.

    Raises `TypeError` if *port* is not a whole number (a bool is not) or `targets` is not a collection of names,
    `InvalidPortError` outside 0-65535, `ValueError` for an unknown target. On an unknown platform, or if a setting
    cannot be read, the properties of the host are None, and `settings.incomplete` has the reasons.

    >>> import portrange
    >>> https = portrange.classify(443)
    >>> https.band, https.name, https.services[0].protocols
    (<Band.SYSTEM: 'system'>, 'https', ('tcp', 'udp', 'sctp'))
    >>> [risk.kind for risk in portrange.classify(60860).risks if risk.kind == "dynamic-band"]
    ['dynamic-band']
    """
    number = port_number(port)
    wanted = targets if targets is DEFAULT_TARGETS else target_names(targets)
    system = system_of(host)
    settings = system.cached("classify: settings", settings_of, system)
    record = registered(number)
    assignment: Any = record.assignment
    section = section_of(number)
    known = (
        settings.ephemeral(number),
        _within(settings.reserved, number),
        _within(settings.excluded, number),
        _within(settings.privileged, number),
    )
    # The key is all that the messages depend on: a snapshot formats each of them once.
    is_assignable = record.assignment != "reserved"
    key = ("classify: risks", section.first, wanted, known, is_assignable)
    of_settings = system.cached(key, _setting_risks, system, section, settings, wanted, known, is_assignable)
    return PortInfo(
        number,
        _band(number),
        assignment,
        record.services,
        record.unnamed,
        *known,
        section.ephemeral_by_default_on,
        common_uses(number),
        risks(number, record, of_settings),
        settings,
    )


def target_names(targets: Iterable[str]) -> tuple[str, ...]:
    """Return the names of *targets*, each once, in the order of `DEFAULT_RANGES`.

    Raises `TypeError` if it is not a collection of strings, `ValueError` for an unknown system.
    """
    if isinstance(targets, (str, bytes)):
        raise _not_a_collection(targets)
    try:
        names = [name.lower() for name in targets]
    except (TypeError, AttributeError):
        raise _not_a_collection(targets) from None
    for name in names:
        if name not in _SYSTEMS:
            raise ValueError(f"unknown target {name!r}: use one of {', '.join(map(repr, _SYSTEMS))}")
    return tuple(system for system in _SYSTEMS if system in names)


def _not_a_collection(targets: object) -> TypeError:
    return TypeError(f"targets is a collection of operating systems, such as ['linux', 'freebsd'], not {targets!r}")


def _setting_risks(  # noqa: PLR0913, PLR0917 - `System.cached` passes the arguments by position
    system: System,
    section: Section,
    settings: PortSettings,
    targets: tuple[str, ...],
    known: tuple[bool | None, bool | None, bool | None, bool | None],
    is_assignable: bool,  # noqa: FBT001 - as above
) -> SettingRisks:
    """Return the risks of a port that is known to be ephemeral, reserved, excluded and privileged, in that order."""
    *_, privileged = known
    facts = HostFacts(*known, may_bind=bool(privileged) and system.can_bind_privileged)
    return setting_risks(section, settings, facts, targets, is_assignable=is_assignable)


def _within(spans: Spans | None, number: int) -> bool | None:
    return None if spans is None else contains(spans, number)


def _band(number: int) -> Any:
    """Return the name of a band, which `PortInfo` converts when it is read."""
    if number < _USER:
        return "system"
    return "user" if number < _DYNAMIC else "dynamic"
