"""A port in plain words: one line, and a page of labelled lines.

Each part of the page has another source: IANA's registry, this host's settings, the defaults of other systems. What the
registry says is never put as if it were running.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from .port import Assignment

if TYPE_CHECKING:
    from .pool import EphemeralRange
    from .port import PortInfo, RegistryEntry, Service
    from .span import Spans


def port_page(info: PortInfo) -> dict[str, list[str]]:
    """The page as labels, each with its lines."""
    parts = {
        "IANA": _iana(info),
        "This host": _host(info),
        "Elsewhere": _elsewhere(info),
        "Fixed use": _fixed_use(info),
    }
    page = {label: list(lines) for label, lines in parts.items()}
    return {label: lines for label, lines in page.items() if lines}


def port_line(info: PortInfo) -> str:
    """Everything that matters in one line."""
    ephemeral = {True: "ephemeral on this host", False: "not ephemeral on this host", None: "unknown if ephemeral here"}
    kinds = ", ".join(risk.kind for risk in info.risks if risk.severity == "high")
    verdict = f"not advised for fixed use ({kinds})" if kinds else "fixed use possible"
    return f"port {info.number}: {_registered(info)}; {ephemeral[info.ephemeral]}; {verdict}"


# --- IANA ----------------------------------------------------------------------------------------------------------


def _iana(info: PortInfo) -> Iterator[str]:
    yield _registered(info)
    for service in info.services:
        if service.description and service.description != service.name:
            yield f"{service.name}: {service.description}"
    if info.services:
        yield from (f"besides: {_entry(entry)}" for entry in info.unnamed)
    else:
        yield from (_entry(entry) for entry in info.unnamed if _says_more(entry))
    notes = dict.fromkeys(service.note for service in info.services if service.note)
    yield from (f"note: {note}" for note in notes)
    if info.assignment is Assignment.ASSIGNED:
        yield "this is what was registered, not what is running"


def _registered(info: PortInfo) -> str:
    band = f"{info.band.value} port ({info.band.first}-{info.band.last})"
    if info.services:
        return f"{band}, assigned: {', '.join(map(_service, info.services))}"
    return f"{band}: {_WITHOUT_SERVICE[info.assignment]}"


_WITHOUT_SERVICE = {
    Assignment.ASSIGNED: "assigned without a service name",
    Assignment.RESERVED: "reserved, given to nobody",
    Assignment.UNASSIGNED: "unassigned",
    Assignment.DYNAMIC: "never assigned to anybody, for temporary use",
}


def _service(service: Service) -> str:
    within = f", {service.first}-{service.last}" if service.first != service.last else ""
    return f"{service.name} ({', '.join(service.protocols) or 'no transport named'}{within})"


def _entry(entry: RegistryEntry) -> str:
    span = f", {entry.first}-{entry.last}" if entry.first != entry.last else ""
    note = f"; {entry.note}" if entry.note else ""
    return f"{entry.description} ({', '.join(entry.protocols) or 'no transport named'}{span}){note}"


def _says_more(entry: RegistryEntry) -> bool:
    """Whether an entry says more than the assignment itself."""
    return bool(entry.note) or entry.description.lower() != entry.assignment.value


# --- this host -----------------------------------------------------------------------------------------------------


def _host(info: PortInfo) -> Iterator[str]:
    settings = info.settings
    said = [_ephemeral(info)]
    if info.reserved and not _pools(info):
        said.append(f"set aside, never handed out{_source(info, 'reserved')}")
    if info.excluded:
        said.append(f"binding is refused ({_span(settings.excluded, info.number)}{_source(info, 'excluded', '; ')})")
    if info.privileged:
        said.append(
            f"binding needs privilege ({_span(settings.privileged, info.number)}{_source(info, 'privileged', '; ')})"
        )
    unknown = {"set aside": info.reserved, "refused": info.excluded, "privileged": info.privileged}
    said += [f"unknown if {question}" for question, answer in unknown.items() if answer is None]
    yield "; ".join(said)
    if None in (info.ephemeral, *unknown.values()):
        yield from (f"not read: {reason}" for reason in settings.incomplete)


def _ephemeral(info: PortInfo) -> str:
    if info.ephemeral is None:
        return "unknown if ephemeral"
    around = _pools(info)
    if info.ephemeral:
        return f"ephemeral: handed out automatically ({_described(info, around)})"
    if around:
        return f"not ephemeral: set aside{_source(info, 'reserved')} from the pool ({_described(info, around)})"
    elsewhere = _described(info, info.settings.pools or ())
    return f"not ephemeral (the pool is {elsewhere})" if elsewhere else "not ephemeral"


def _pools(info: PortInfo) -> list[EphemeralRange]:
    """The pools that have the port between their bounds."""
    return [pool for pool in info.settings.pools or () if pool.first <= info.number <= pool.last]


def _described(info: PortInfo, pools: Iterable[EphemeralRange]) -> str:
    """Bounds, size and source of pools; those that are the same for several transports together."""
    alike: dict[tuple[int, int, int], list[EphemeralRange]] = {}
    for pool in pools:
        alike.setdefault((pool.first, pool.last, len(pool)), []).append(pool)
    return "; ".join(
        f"{first}-{last}, {size:,} ports{_whose(info, same)}; {', '.join(dict.fromkeys(pool.source for pool in same))}"
        for (first, last, size), same in alike.items()
    )


def _whose(info: PortInfo, pools: list[EphemeralRange]) -> str:
    """Which transports have a pool; nothing where all have the same."""
    if len(pools) == len(info.settings.pools or ()):
        return ""
    return f" for {', '.join(f'{pool.protocol} over {pool.family}' for pool in pools)}"


def _span(spans: Spans | None, port: int) -> str:
    """The span around a port, in the words people use for privileged ports."""
    span = next(span for span in spans or () if span.first <= port <= span.last)
    return f"below {span.last + 1}" if span.first <= 1 else str(span)


def _source(info: PortInfo, fact: str, opening: str = " (") -> str:
    source = info.settings.source(fact)
    closing = ")" if opening.endswith("(") else ""
    return f"{opening}{source}{closing}" if source else ""


# --- other systems, and the verdict ---------------------------------------------------------------------------------


def _elsewhere(info: PortInfo) -> Iterable[str]:
    return [f"in the default pool of {', '.join(info.ephemeral_by_default_on)}"] if info.ephemeral_by_default_on else []


def _fixed_use(info: PortInfo) -> Iterator[str]:
    if not info.risks:
        yield "fine: nothing is known to speak against it"
        return
    verdict = "possible, but" if info.safe else "not advised:"
    for index, risk in enumerate(info.risks):
        yield risk.detail if index else f"{verdict} {risk.detail}"
