"""The risks of a fixed use of a port, with messages that say what to do instead."""

from __future__ import annotations

from bisect import bisect_right

from .._answers.ephemeral import BAND_BOUNDS
from .._answers.port import Risk, used_by
from .._answers.span import Span, merge
from .._frozen import Frozen
from .._registry.facts import (
    BAD_PORTS,
    COMMON_PORTS,
    DEFAULT_RANGES,
    DEFAULT_TARGETS,
    MACOS_RESTRICTED,
    ORCHESTRATOR_RANGES,
    DefaultRange,
    OrchestratorRange,
    common_uses,
)
from .._render.strings import joined

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._answers.ephemeral import PortSettings, SettingName
    from .._answers.port import RiskKind, Service, Severity
    from .._registry.lookup import PortRecord

#: The ports that are advised and suggested: above those of system services, below the ranges of orchestrators.
FIRST, LAST = 1024, min(ports.first for ports in ORCHESTRATOR_RANGES) - 1
#: How the advice begins where this host or a target allocates all of them.
NO_ADVICE = f"no port from {FIRST} to {LAST}"
_DYNAMIC, _HIGHEST = BAND_BOUNDS["dynamic"]
#: Systems on which no default range begins below this port, and on which ports below it are privileged by default.
_PRIVILEGED_END = BAND_BOUNDS["user"][0]
_UNIX = frozenset(ports.system for ports in DEFAULT_RANGES) - {"windows"}


class Section(Frozen):
    """Consecutive ports of the same band and in the same default ranges."""

    first: int
    """The lowest port; the section ends where the next one begins."""
    ranges: tuple[DefaultRange, ...]
    """The default ranges that contain the ports."""
    orchestrators: tuple[OrchestratorRange, ...]
    """The ranges of orchestrators that contain the ports."""
    ephemeral_by_default_on: tuple[str, ...]
    """The systems whose default range contains the ports."""


class HostFacts(Frozen):
    """The properties of a port on the host that is queried; None where a setting could not be read."""

    ephemeral: bool | None = False
    """True if the host allocates the port automatically."""
    reserved: bool | None = False
    """True if the host never allocates the port automatically."""
    excluded: bool | None = False
    """True if the host refuses to bind the port."""
    privileged: bool | None = False
    """True if binding the port needs a privilege."""
    may_bind: bool = False
    """True if the caller is known to have that privilege."""


class SettingRisks(Frozen):
    """The risks of the ports of a section that do not depend on the registry."""

    high: tuple[Risk, ...]
    """Risks of high severity that come before that of a port reserved by IANA."""
    unknown: tuple[Risk, ...]
    """The risk of high severity that a setting could not be read."""
    low: tuple[Risk, ...]
    """Risks of low severity."""


def risks(port: int, record: PortRecord, settings: SettingRisks) -> tuple[Risk, ...]:
    """Return all risks of a port: those of high severity first, in the order of `RISK_KINDS`."""
    high, low = settings.high, settings.low
    if record.assignment == "reserved":
        high += (_RESERVED if port else _ZERO,)
    elif record.assignment == "assigned":
        low += (_registered(record),)
    if port in COMMON_PORTS:
        low += (_common_use(port, record.services),)
    if port in BAD_PORTS:
        low += (_BROWSER,)
    if port in MACOS_RESTRICTED:
        low += (_RESTRICTED,)
    return high + settings.unknown + low


def _high(kind: RiskKind, reason: str, remedy: str) -> Risk:
    return _risk(kind, "high", reason, remedy)


def _low(kind: RiskKind, reason: str, remedy: str) -> Risk:
    return _risk(kind, "low", reason, remedy)


def _risk(kind: RiskKind, severity: Severity, reason: str, remedy: str) -> Risk:
    return Risk(kind, severity, f"{reason}: {remedy}")


# --- IANA's registry, common uses, browsers and macOS ----------------------------------------------------------------

_ZERO = _high("reserved", "port 0 means any free port, and no program can connect to it", "choose another")
_RESERVED = _high("reserved", "reserved by IANA, not available for assignment", "choose an unassigned port")
_BROWSER = _low(
    "browser",
    "refused by browsers in http and https URLs",
    "choose another for web servers (bad ports of the Fetch standard)",
)
_RESTRICTED = _low(
    "restricted",
    "restricted by macOS",
    "only programs with an entitlement from Apple can bind the TCP port there",
)


def _registered(record: PortRecord) -> Risk:
    use = _names(record.services) if record.services else _description(record)
    return _low("registered", f"registered {use}", "use it for that, or choose an unassigned port")


def _names(services: tuple[Service, ...]) -> str:
    """Return the names of services; with protocols where another protocol has another service (514: shell, syslog)."""
    first = services[0]
    others = services[1:]
    if any(set(first.protocols).isdisjoint(service.protocols) for service in others):
        return f"as {joined(map(str, services))}"
    return f"as {first.name} (also {', '.join(service.name for service in others)})" if others else f"as {first.name}"


def _description(record: PortRecord) -> str:
    described = (entry.description for entry in record.unnamed if entry.assignment == "assigned")
    return f"for {next(described)}"


def _common_use(port: int, services: tuple[Service, ...]) -> Risk:
    if port not in _common_uses:
        reason = used_by(common_uses(port), services)
        _common_uses[port] = _low("common-use", reason, "choose another for other programs")
    return _common_uses[port]


#: The risks of common uses by port: neither table changes.
_common_uses: dict[int, Risk] = {}


# --- this host, and the default ranges of targets --------------------------------------------------------------------

#: Where a port of the ephemeral range is reserved, by system.
_RESERVE = {"linux": "net.ipv4.ip_local_reserved_ports"}


def setting_risks(
    section: Section,
    settings: PortSettings,
    facts: HostFacts,
    targets: tuple[str, ...] = DEFAULT_TARGETS,
    *,
    is_assignable: bool,
) -> SettingRisks:
    """Return the risks of all ports of a section for which the host has the same *facts*.

    *is_assignable* is False for ports that IANA reserves, which remains a high risk.
    """
    ranges = [ports for ports in section.ranges if ports.system in targets]
    # A reservation keeps a port out of the ephemeral range of this host, and of others with the same setting.
    own = [ports for ports in ranges if ports.system == settings.platform and facts.reserved]
    others = [ports for ports in ranges if ports not in own]
    advice = _advice(settings, targets)
    high: list[Risk] = []
    low: list[Risk] = []
    if facts.excluded:
        source = _source(settings, "excluded")
        high.append(_high("excluded", f"this host refuses to bind it{source}", "choose a port that is not excluded"))
    if facts.ephemeral:
        high.append(_host_range(section, settings, ranges, advice, is_assignable=is_assignable))
    if others:
        high.append(_high("default-range", f"in the default ephemeral range of {joined(map(_range, others))}", advice))
    if section.first >= _DYNAMIC:
        reason = f"in IANA's dynamic band ({_DYNAMIC}-{_HIGHEST})"
        high.append(_high("dynamic-band", reason, f"it is for temporary use only (RFC 6335), {advice}"))
    if own:
        reason = f"in the default ephemeral range of {joined(map(_range, own))}, reserved on this host"
        machines = f"other {own[0].title} machines"
        low.append(_low("default-range", reason, f"{machines} need the same sysctl"))
    if facts.privileged:
        low.append(_privileged(settings, may_bind=facts.may_bind))
    unknown = _unknown(section, settings, facts)
    if unknown and unknown.severity == "low":
        low.append(unknown)
    if section.orchestrators:
        reason = f"in the default range of {joined(map(_range, section.orchestrators))}"
        low.append(_low("orchestrator", reason, f"use {FIRST}-{LAST} on machines of such a cluster"))
    return SettingRisks(tuple(high), (unknown,) if unknown and unknown.severity == "high" else (), tuple(low))


def _host_range(
    section: Section, settings: PortSettings, ranges: list[DefaultRange], advice: str, *, is_assignable: bool
) -> Risk:
    """Return the risk of an ephemeral port. Reserving it helps only if no other high risk remains."""
    is_default_elsewhere = any(ports.system != settings.platform for ports in ranges)
    remaining = section.first >= _DYNAMIC or is_default_elsewhere or not is_assignable
    setting = _RESERVE.get(settings.platform)
    spans = joined(dict.fromkeys(f"{pool.first}-{pool.last}" for pool in settings.pools or ()))
    reserve = f", or reserve it ({setting})" if setting and not remaining else ""
    return _high("host-range", f"in this host's ephemeral range ({spans})", f"{advice}{reserve}")


def _privileged(settings: PortSettings, *, may_bind: bool) -> Risk:
    if may_bind:
        remedy = "this process has it"
    elif settings.platform == "linux":
        remedy = "run as root, or grant CAP_NET_BIND_SERVICE"
    else:
        remedy = "run as root"
    return _low("privileged", "binding it needs a privilege", f"{remedy}{_source(settings, 'privileged')}")


def _unknown(section: Section, settings: PortSettings, facts: HostFacts) -> Risk | None:
    """Return the risk of settings that could not be read, None if they make no difference."""
    is_low = section.first < _PRIVILEGED_END
    if is_low and settings.platform in _UNIX:
        if None not in (facts.ephemeral, facts.excluded, facts.privileged):
            return None
        # No Unix allocates these ports automatically by default, and each needs a privilege.
        reason = (
            f"settings of this host could not be read, so the documented defaults are assumed (ports below "
            f"{_PRIVILEGED_END} are not ephemeral, and need a privilege)"
        )
        return _low("unknown", reason, "check before relying on it")
    # From 1024 on no Unix requires a privilege by default, and the risk would be low.
    missing = {"allocates it automatically": facts.ephemeral, "refuses to bind it": facts.excluded}
    unknown = [fact for fact, value in missing.items() if value is None]
    if not unknown:
        return None
    return _high("unknown", f"cannot determine whether this host {joined(unknown, 'or')}", "check before relying on it")


def _advice(settings: PortSettings, targets: tuple[str, ...]) -> str:
    """Return which ports to use: the most consecutive advised ones that no target and not this host allocates."""
    ranges = [Span(ports.first, ports.last) for ports in DEFAULT_RANGES if ports.system in targets]
    pools = [Span(pool.first, pool.last) for pool in settings.pools or ()]
    best, first = Span(0, -1), FIRST
    for span in (*merge([*ranges, *pools]), Span(LAST + 1, _HIGHEST)):
        left = Span(first, min(span.first - 1, LAST))
        if left.last - left.first > best.last - best.first:
            best = left
        first = max(first, span.last + 1)
    return f"use {best}" if best.first <= best.last else f"{NO_ADVICE} is outside; bind port 0"


def _source(settings: PortSettings, fact: SettingName) -> str:
    source = settings.source(fact)
    return f" ({source})" if source else ""


# --- bands, default ranges and orchestrators -------------------------------------------------------------------------


def section_of(port: int) -> Section:
    """Return the section that contains a port."""
    return _SECTIONS[bisect_right(_FIRSTS, port) - 1]


def _sections() -> Iterator[Section]:
    spans = [(ports.first, ports.last) for ports in (*DEFAULT_RANGES, *ORCHESTRATOR_RANGES)]
    edges = {0, _PRIVILEGED_END, _DYNAMIC, *(edge for first, last in spans for edge in (first, last + 1))}
    for first in sorted(edges):
        ranges = tuple(ports for ports in DEFAULT_RANGES if ports.first <= first <= ports.last)
        orchestrators = tuple(ports for ports in ORCHESTRATOR_RANGES if ports.first <= first <= ports.last)
        yield Section(first, ranges, orchestrators, tuple(ports.system for ports in ranges))


def _range(ports: DefaultRange | OrchestratorRange) -> str:
    return f"{ports.title} ({ports.first}-{ports.last})"


_SECTIONS = tuple(_sections())
_FIRSTS = [section.first for section in _SECTIONS]
