"""The properties of a port number: IANA's registration, the settings of this host, and the risks of a fixed use."""

from __future__ import annotations

from .._lazy import import_lock
from .ephemeral import ports_picture
from .record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import ClassVar, Literal, TypeAlias

    from .address import ProtocolName
    from .enums import Assignment, Band
    from .ephemeral import EphemeralRange, PortSettings, SettingName
    from .span import Spans

    Severity: TypeAlias = Literal["high", "low"]
    RiskKind: TypeAlias = Literal[
        "excluded",
        "host-range",
        "default-range",
        "dynamic-band",
        "reserved",
        "privileged",
        "unknown",
        "orchestrator",
        "registered",
        "common-use",
        "browser",
        "restricted",
    ]


def _band(name: str) -> Band:
    with import_lock:
        from .enums import Band
    return Band(name)


def _assignment(name: str) -> Assignment:
    with import_lock:
        from .enums import Assignment
    return Assignment(name)


class Service(Record):
    """A service name in IANA's registry, with its ports and protocols. It is registered, not necessarily running."""

    name: str
    """The registered name."""
    protocols: tuple[ProtocolName, ...]
    """The protocols in the order tcp, udp, sctp, dccp; empty if the registry lists none."""
    description: str
    """The registry's description."""
    first: int
    """The lowest port."""
    last: int
    """The highest port; it differs from `first` for ranges such as x11."""
    note: str = ""
    """The registry's note on unauthorized use."""

    def __str__(self) -> str:
        return f"{self.name} ({', '.join(self.protocols)})" if self.protocols else self.name


class RegistryEntry(Record):
    """An entry of IANA's registry for a port or range that does not name a service.

    Most are "Reserved" or "Unassigned", often for one protocol while another is assigned. A few ports are assigned
    without a name ("any private mail system"), and a few assignments were withdrawn ("De-registered").
    """

    _converters: ClassVar = {"assignment": _assignment}

    assignment: Assignment
    """The state of the ports."""
    protocols: tuple[ProtocolName, ...]
    """The protocols; empty if the registry lists none."""
    description: str
    """The registry's description."""
    first: int
    """The lowest port."""
    last: int
    """The highest port."""
    note: str = ""
    """The registry's remarks."""

    def __str__(self) -> str:
        return f"{self.description} ({', '.join(self.protocols)})" if self.protocols else self.description


class CommonUse(Record):
    """A widespread program that binds a port by default, without a registration or beside another one."""

    program: str
    """The program."""
    protocols: tuple[ProtocolName, ...]
    """The protocols that it uses."""
    source: str
    """The documentation of the project: its host and the title of the page."""

    def __str__(self) -> str:
        return f"{self.program} ({', '.join(self.protocols)})"


#: The kinds of `Risk` in the order of its docstring; risks of the same severity are in this order.
RISK_KINDS: tuple[RiskKind, ...] = (
    "excluded",
    "host-range",
    "default-range",
    "dynamic-band",
    "reserved",
    "privileged",
    "unknown",
    "orchestrator",
    "registered",
    "common-use",
    "browser",
    "restricted",
)


class Risk(Record):
    """A reason why a program should not rely on a fixed port number."""

    kind: RiskKind
    """The kind of risk:

    - "excluded": this host refuses to bind the port; "host-range": it is in the ephemeral range of this host and not
      reserved; "dynamic-band": in IANA's band for temporary use; "reserved": by IANA. All of these are high.
    - "default-range": in the default ephemeral range of a target. High, but low if the target is the system of this
      host and the port is reserved here.
    - "unknown": a setting of this host could not be read. High if it could make the port unsafe, otherwise low.
    - "privileged": binding it needs a privilege on this host; "orchestrator": in the default range of an orchestrator;
      "registered": with IANA, for a service; "common-use": a widespread program binds it by default; "browser":
      browsers refuse it; "restricted": by macOS. All of these are low.
    """
    severity: Severity
    """How serious it is: "high" if relying on the port will fail at some time, "low" if it is only a fact to know."""
    detail: str
    """The reason, a colon, and the remedy."""

    def __str__(self) -> str:
        return f"{self.severity}: {self.detail}"


def reason_of(risk: Risk) -> str:
    """Return the reason of a risk without the remedy."""
    return risk.detail.partition(": ")[0]


class PortInfo(Record):
    """The properties of a port number, as `classify` returns them. Sockets are not inspected.

    `ephemeral`, `reserved`, `excluded` and `privileged` are about the host that was queried. None means that the
    setting could not be read.
    """

    _converters: ClassVar = {"band": _band, "assignment": _assignment}
    _derived = ("name", "safe")
    _not_in_dict = frozenset({"settings"})
    _not_in_repr = frozenset({"settings"})

    number: int
    """The port number."""
    band: Band
    """The band of RFC 6335, section 6: system, user or dynamic."""
    assignment: Assignment
    """The state in IANA's registry."""
    services: tuple[Service, ...]
    """The services that IANA's registry has for the port, in its order."""
    unnamed: tuple[RegistryEntry, ...]
    """The entries of IANA's registry for the port that do not name a service."""
    ephemeral: bool | None
    """True if the host allocates the port automatically."""
    reserved: bool | None
    """True if the host never allocates the port automatically, although programs can bind it."""
    excluded: bool | None
    """True if the host refuses to bind the port."""
    privileged: bool | None
    """True if binding the port needs a privilege on the host."""
    ephemeral_by_default_on: tuple[str, ...]
    """The systems whose default ephemeral range contains the port."""
    common_uses: tuple[CommonUse, ...]
    """The widespread programs that bind the port by default, without a registration or beside another one."""
    risks: tuple[Risk, ...]
    """The reasons against relying on the number, worst first."""
    settings: PortSettings
    """The settings of the host, with their sources."""

    @property
    def name(self) -> str | None:
        """The primary service name in IANA's registry, None if there is none."""
        return self.services[0].name if self.services else None

    @property
    def safe(self) -> bool:
        """True if no risk has high severity."""
        return not any(risk.severity == "high" for risk in self.risks)

    def explain(self, columns: int | None = 80) -> str:
        """Return a page of text in lines of at most *columns*: verdict, registration, settings, what to use instead."""
        with import_lock:
            from .._render import text

        return text.page(self._title(), port_page(self), text.Style(columns), verdict(self))

    def __str__(self) -> str:
        return port_line(self)

    def _title(self) -> str:
        return f"Port {self.number}"

    def _entries(self) -> Iterable[tuple[str, object]]:
        return port_page(self).items()

    def _judgement(self) -> tuple[str, str]:
        return verdict(self)

    def _picture(self) -> str:
        settings = self.settings
        return ports_picture(settings.pools, settings.reserved, settings.excluded, self.number)


# --- text ------------------------------------------------------------------------------------------------------------

#: The widest page; longer lines are hard to read.
PAGE_COLUMNS = 80


def verdict(info: PortInfo) -> tuple[str, str]:
    """Return whether a project can hard-code a port, as text and as its role (see `Style.paint`)."""
    if not info.safe:
        return "not safe to hard-code", "bad"
    return ("safe to hard-code, with low risks", "notice") if info.risks else ("safe to hard-code", "good")


def port_page(info: PortInfo) -> dict[str, list[str]]:
    """Return the page of a port: labels, each with its lines.

    Each label has another source: IANA's registry, the settings of this host, the defaults of other systems.
    """
    parts = {
        "Registered": _registration_lines(info),
        "This host": _host_lines(info),
        "Elsewhere": _elsewhere(info),
        "Instead": _remedies(info),
    }
    page = {label: list(lines) for label, lines in parts.items()}
    return {label: lines for label, lines in page.items() if lines}


def port_line(info: PortInfo) -> str:
    """Return a summary of a port in one line."""
    ephemeral = {True: "ephemeral on this host", False: "not ephemeral on this host", None: "unknown if ephemeral here"}
    kinds = ", ".join(risk.kind for risk in info.risks if risk.severity == "high")
    verdict = f"not advised for fixed use ({kinds})" if kinds else "fixed use possible"
    return f"port {info.number}: {_registration(info)}; {ephemeral[info.ephemeral]}; {verdict}"


# --- IANA's registration


def _registration_lines(info: PortInfo) -> Iterator[str]:
    if info.services:
        yield from map(_service_line, info.services)
        yield from (f"also: {_entry(entry)}" for entry in info.unnamed)
    else:
        entries = [_entry(entry) for entry in info.unnamed if _is_specific(entry)]
        span = f" ({info.band.first}-{info.band.last})" if info.assignment == "dynamic" else ""
        yield "; ".join([f"{_NOT_REGISTERED[info.assignment]}{span}", *entries])
    notes = dict.fromkeys(service.note for service in info.services if service.note)
    yield from (f"note: {note}" for note in notes)
    if info.common_uses:
        yield used_by(info.common_uses)


_NOT_REGISTERED = {
    "assigned": "yes, without a service name",
    "reserved": "no: reserved by IANA",
    "unassigned": "no",
    "dynamic": "no: IANA's band for temporary use",
}


def _service_line(service: Service) -> str:
    has_description = service.description and service.description != service.name
    return _service(service) + (f": {service.description}" if has_description else "")


def _registration(info: PortInfo) -> str:
    band = f"{info.band.value} port ({info.band.first}-{info.band.last})"
    if info.services:
        return f"{band}, assigned: {', '.join(map(_service, info.services))}"
    return f"{band}: {_WITHOUT_SERVICE[info.assignment]}"


_WITHOUT_SERVICE = {
    "assigned": "assigned without a service name",
    "reserved": "reserved, not assigned",
    "unassigned": "unassigned",
    "dynamic": "never assigned, for temporary use",
}


def _service(service: Service) -> str:
    span = f", {service.first}-{service.last}" if service.first != service.last else ""
    return f"{service.name} ({_protocols(service)}{span})"


def _entry(entry: RegistryEntry) -> str:
    span = f", {entry.first}-{entry.last}" if entry.first != entry.last else ""
    note = f"; {entry.note}" if entry.note else ""
    return f"{entry.description} ({_protocols(entry)}{span}){note}"


def _protocols(entry: Service | RegistryEntry) -> str:
    return ", ".join(entry.protocols) or "no protocol given"


def _is_specific(entry: RegistryEntry) -> bool:
    """Return whether an entry has more information than the assignment."""
    return bool(entry.note) or entry.description.lower() != entry.assignment.value


def used_by(uses: Sequence[CommonUse], services: Sequence[Service] = ()) -> str:
    """Return which programs use a port, and the name it is registered for."""
    with import_lock:
        from .._render.strings import joined

    registration = f" (registered to {services[0].name})" if services else ""
    return f"commonly used by {joined(use.program for use in uses)}{registration}"


# --- this host


def _host_lines(info: PortInfo) -> Iterator[str]:
    settings = info.settings
    facts = [_ephemeral(info)]
    if info.reserved and not _pools(info):
        facts.append(f"reserved, never allocated automatically{_source(info, 'reserved')}")
    if info.excluded:
        span = _span(settings.excluded, info.number)
        facts.append(f"excluded: binding is refused ({span}{_source(info, 'excluded', '; ')})")
    if info.privileged:
        span = _span(settings.privileged, info.number)
        facts.append(f"binding needs privilege ({span}{_source(info, 'privileged', '; ')})")
    known = {"reserved": info.reserved, "excluded": info.excluded, "privileged": info.privileged}
    facts += [f"unknown if {fact}" for fact, value in known.items() if value is None]
    facts += [reason_of(risk) for risk in info.risks if risk.kind == "unknown" and risk.severity == "low"]
    yield from facts
    if None in (info.ephemeral, *known.values()):
        yield from (f"incomplete: {reason}" for reason in _in_short(settings.incomplete))


def _in_short(reasons: Iterable[str]) -> Iterator[str]:
    """Yield reasons, one for all files of a directory that cannot be read for the same reason.

    >>> list(_in_short(["/a/b: denied", "/a/c: denied", "d"]))
    ['/a/b, c: denied', 'd']
    """
    names: dict[tuple[str, str], list[str]] = {}
    for reason in reasons:
        source, colon, failure = reason.partition(": ")
        directory, _, name = source.rpartition("/")
        names.setdefault((directory and f"{directory}/", colon + failure), []).append(name)
    return (f"{directory}{', '.join(files)}{failure}" for (directory, failure), files in names.items())


def _ephemeral(info: PortInfo) -> str:
    if info.ephemeral is None:
        return "unknown if ephemeral"
    pools = _pools(info)
    if info.ephemeral:
        return f"ephemeral: allocated automatically ({_described(info, pools)})"
    if pools:
        return f"not ephemeral: reserved{_source(info, 'reserved')} in the ephemeral range ({_described(info, pools)})"
    ranges = _described(info, info.settings.pools or ())
    return f"not ephemeral (the range is {ranges})" if ranges else "not ephemeral"


def _pools(info: PortInfo) -> list[EphemeralRange]:
    """Return the ephemeral ranges that contain the port, reserved or not."""
    return [pool for pool in info.settings.pools or () if pool.first <= info.number <= pool.last]


def _described(info: PortInfo, pools: Iterable[EphemeralRange]) -> str:
    """Return bounds, size and source of ephemeral ranges, once for protocols that have the same range."""
    alike: dict[tuple[int, int, int], list[EphemeralRange]] = {}
    for pool in pools:
        alike.setdefault((pool.first, pool.last, len(pool)), []).append(pool)
    return "; ".join(
        f"{first}-{last}, {size:,} ports{_kinds(info, same)}; {', '.join(dict.fromkeys(pool.source for pool in same))}"
        for (first, last, size), same in alike.items()
    )


def _kinds(info: PortInfo, pools: list[EphemeralRange]) -> str:
    """Return the protocols and families of ephemeral ranges; empty if all have the same range."""
    if len(pools) == len(info.settings.pools or ()):
        return ""
    return f" for {', '.join(f'{pool.protocol} over {pool.family}' for pool in pools)}"


def _span(spans: Spans | None, port: int) -> str:
    """Return the span that contains a port; as "below N" if it begins with port 0 or 1."""
    span = next(span for span in spans or () if span.first <= port <= span.last)
    return f"below {span.last + 1}" if span.first <= 1 else str(span)


def _source(info: PortInfo, fact: SettingName, opening: str = " (") -> str:
    source = info.settings.source(fact)
    closing = ")" if opening.endswith("(") else ""
    return f"{opening}{source}{closing}" if source else ""


# --- other systems and programs, and what to use instead

#: The risks that are not facts about this host or its registration.
_FOREIGN = ("orchestrator", "browser", "restricted")


def _elsewhere(info: PortInfo) -> Iterator[str]:
    others = [system for system in info.ephemeral_by_default_on if system != info.settings.platform]
    if others:
        yield f"ephemeral by default on {', '.join(others)}"
    yield from (reason_of(risk) for risk in info.risks if risk.kind in _FOREIGN)


def _remedies(info: PortInfo) -> Iterator[str]:
    """Yield what to use in place of the port, each remedy once."""
    high = [risk for risk in info.risks if risk.severity == "high"]
    if high:
        # The remedy of the dynamic band is that of the ephemeral ranges, which it is part of.
        remedies = [_remedy(risk) for risk in high if risk.kind != "dynamic-band"] or [_remedy(risk) for risk in high]
        longest = sorted(dict.fromkeys(remedies), key=len, reverse=True)
        yield from (remedy for remedy in longest if not any(remedy in other and remedy != other for other in longest))
        return
    if {"registered", "common-use"} & {risk.kind for risk in info.risks}:
        yield "for other programs: an unassigned port"
    yield from (_remedy(risk) for risk in info.risks if risk.kind == "orchestrator")


def _remedy(risk: Risk) -> str:
    return risk.detail.partition(": ")[2].removeprefix("use ")
