"""The risks of a fixed use of a port, with messages that say what to do instead."""

from __future__ import annotations

from bisect import bisect_right

from .._answers.ephemeral import BAND_BOUNDS
from .._answers.port import SEVERITIES, Assignment, Risk
from .._frozen import Frozen
from .._registry.facts import BAD_PORTS, COMMON_SYSTEMS, DEFAULT_RANGES, MACOS_RESTRICTED, DefaultRange
from .._render.text import joined

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .._answers.ephemeral import PortSettings, SettingName
    from .._answers.port import RiskKind
    from .._registry.lookup import PortRecord


class HostRisks(Frozen):
    """The risks of a port on the host that is queried."""

    high: tuple[Risk, ...]
    """Risks of high severity."""
    low: tuple[Risk, ...]
    """Risks of low severity."""


class Section(Frozen):
    """Consecutive ports of the same band and in the same default ranges, and their risks."""

    first: int
    """The lowest port; the section ends where the next one begins."""
    ephemeral_by_default_on: tuple[str, ...]
    """The systems whose default range contains the ports."""
    high: tuple[Risk, ...]
    """Risks of high severity."""
    low: tuple[Risk, ...]
    """Risks of low severity."""


def risks(port: int, record: PortRecord, section: Section, host: HostRisks) -> tuple[Risk, ...]:
    """Return all risks of a port, worst first: those of this host, then IANA's, then those of other systems."""
    high = host.high
    low: tuple[Risk, ...] = ()
    if record.assignment is Assignment.RESERVED:
        high += (_RESERVED if port else _ZERO,)
    elif record.assignment is Assignment.ASSIGNED:
        low = (_registered(record),)
    if port in BAD_PORTS:
        low += (_BROWSER,)
    if port in MACOS_RESTRICTED:
        low += (_RESTRICTED,)
    return high + section.high + low + section.low + host.low


def _risk(kind: RiskKind, detail: str) -> Risk:
    return Risk(kind, SEVERITIES[kind], detail)


# --- IANA's registry, browsers and macOS -----------------------------------------------------------------------------

_ADVICE = "choose a port from 1024 to 32767"

_ZERO = _risk("reserved", "port 0 means any free port, and no program can connect to it: choose another")
_RESERVED = _risk("reserved", "reserved by IANA, not available for assignment: choose an unassigned port")
_BROWSER = _risk(
    "browser",
    "browsers refuse http and https URLs with it (bad ports of the Fetch standard): choose another for web servers",
)
_RESTRICTED = _risk(
    "restricted",
    "macOS allows this TCP port only to programs with an entitlement from Apple: choose another to run there",
)


def _registered(record: PortRecord) -> Risk:
    names = [service.name for service in record.services]
    if names:
        use = f"{names[0]} (also {', '.join(names[1:])})" if len(names) > 1 else names[0]
    else:
        use = next(entry.description for entry in record.unnamed if entry.assignment is Assignment.ASSIGNED)
    return _risk("registered", f"registered with IANA for {use}: use it for that, or choose an unassigned port")


# --- this host -------------------------------------------------------------------------------------------------------

#: How to keep a port in the ephemeral range, where the system supports it.
_RESERVE = {"linux": ", or reserve it in net.ipv4.ip_local_reserved_ports"}


def host_risks(
    settings: PortSettings, *, ephemeral: bool | None, excluded: bool | None, privileged: bool | None
) -> HostRisks:
    """Return the risks of a host's settings, the same for all ports with the same three properties."""
    high: list[Risk] = []
    low: list[Risk] = []
    if excluded:
        source = _source(settings, "excluded")
        high.append(_risk("excluded", f"this host refuses to bind it{source}: choose a port that is not excluded"))
    if ephemeral:
        ranges = joined(dict.fromkeys(f"{pool.first}-{pool.last}" for pool in settings.pools or ()))
        detail = (
            "this host may allocate it to any outgoing connection at any time: choose a port outside its ephemeral "
            f"range ({ranges}){_RESERVE.get(settings.platform, '')}"
        )
        high.append(_risk("host-range", detail))
    if privileged:
        source = _source(settings, "privileged")
        high.append(
            _risk("privileged", f"binding it needs a privilege on this host{source}: grant it, or choose another port")
        )
    known = {
        "allocates it automatically": ephemeral,
        "refuses to bind it": excluded,
        "requires a privilege for it": privileged,
    }
    unknown = [fact for fact, value in known.items() if value is None]
    if unknown:
        detail = f"cannot determine whether this host {joined(unknown, 'or')}: check before relying on it"
        low.append(_risk("unknown", detail))
    return HostRisks(tuple(high), tuple(low))


def _source(settings: PortSettings, fact: SettingName) -> str:
    source = settings.source(fact)
    return f" ({source})" if source else ""


# --- bands, and the default ranges of other systems ------------------------------------------------------------------


def section_of(port: int) -> Section:
    """Return the section that contains a port."""
    return _SECTIONS[bisect_right(_FIRSTS, port) - 1]


def _sections() -> Iterator[Section]:
    dynamic, highest = BAND_BOUNDS["dynamic"]
    temporary = _risk(
        "dynamic-band", f"in IANA's dynamic band, {dynamic}-{highest}, for temporary use only (RFC 6335): {_ADVICE}"
    )
    edges = {0, dynamic, *(edge for ports in DEFAULT_RANGES for edge in (ports.first, ports.last + 1))}
    for first in sorted(edges):
        containing = [ports for ports in DEFAULT_RANGES if ports.first <= first <= ports.last]
        common = [ports for ports in containing if ports.system in COMMON_SYSTEMS]
        others = [ports for ports in containing if ports.system not in COMMON_SYSTEMS]
        high: tuple[Risk, ...] = (temporary,) if first >= dynamic else ()
        low: tuple[Risk, ...] = ()
        if common:
            detail = f"in the default range of {_titles(common)}, which may allocate it at any time: {_ADVICE}"
            high += (_risk("default-range", detail),)
        if others:
            detail = f"in the default range of {_titles(others)}: to run there, reserve it or choose another"
            low = (_risk("other-range", detail),)
        yield Section(first, tuple(ports.system for ports in containing), high, low)


def _titles(ranges: Iterable[DefaultRange]) -> str:
    return joined(f"{ports.title} ({ports.first}-{ports.last})" for ports in ranges)


_SECTIONS = tuple(_sections())
_FIRSTS = [section.first for section in _SECTIONS]
