"""Look up ports and service names in IANA's registry.

The table stays one text, searched by bisection: splitting its 8,000 lines takes longer than many lookups.
"""

from __future__ import annotations

from bisect import bisect_right

from .._answers.ephemeral import BAND_BOUNDS
from .._answers.port import RegistryEntry, Service
from .._answers.span import Span
from .._frozen import Frozen
from .._lazy import import_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, Literal, TypeAlias

    from .._answers.address import ProtocolName

    State: TypeAlias = Literal["assigned", "unassigned", "reserved", "dynamic"]

#: The first port of the dynamic band, in which nothing is registered (RFC 6335, section 6).
_DYNAMIC = BAND_BOUNDS["dynamic"][0]
#: A range that overlaps a later line is less than this many lines before it; tests/registry/generate.py checks that.
REACH = 16


class PortRecord(Frozen):
    """The registrations of a port."""

    assignment: State
    """The state of the port over all protocols, a value of `Assignment`."""
    services: tuple[Service, ...] = ()
    """The registered services, in the order of the registry."""
    unnamed: tuple[RegistryEntry, ...] = ()
    """Entries without a service name."""


_DYNAMIC_RECORD = PortRecord("dynamic")
#: The records read so far, by port: the registry never changes. A dictionary of all ports would take ten times as much.
_records: list[PortRecord | None] = [None] * _DYNAMIC
#: The table in lower case, once a name was looked up.
_lowered: list[str] = []
#: One tuple for each combination of protocols in the table, of which there are a dozen.
_protocols: dict[str, tuple[ProtocolName, ...]] = {}


def registered(port: int) -> PortRecord:
    """Return the registrations of a port; ports without a difference share one record."""
    if port >= _DYNAMIC:
        return _DYNAMIC_RECORD
    record = _records[port]
    return _read(port) if record is None else record


def services_named(name: str) -> tuple[Service, ...]:
    """Return the services with a name, in any case, in the order of their ports."""
    wanted = name.lower()
    return tuple(
        service
        for port in ports_of(_lowered_table(), wanted)
        for service in registered(port).services
        if service.first == port and service.name.lower() == wanted
    )


def _read(port: int) -> PortRecord:
    """Read the record of a port from the table, and keep it. Concurrent threads read equal records."""
    span, lines = lines_of(_table(), port)
    record = parse_record(lines)
    _records[span.first : span.last + 1] = [record] * (span.last + 1 - span.first)
    return record


def _table() -> str:
    with import_lock:
        from .table import TABLE
    return TABLE


def _lowered_table() -> str:
    if not _lowered:
        _lowered.append(_table().lower())
    return _lowered[0]


# --- the text of the table -------------------------------------------------------------------------------------------


def lines_of(table: str, port: int) -> tuple[Span, list[str]]:
    r"""Return the lines of *table* that include *port*, and the ports around it that have the same lines.

    >>> lines_of("8-9\t\t(unassigned)\n9\tudp\tdiscard\n", 9)
    (Span(first=9, last=9), ['8-9\t\t(unassigned)', '9\tudp\tdiscard'])
    """
    # The key of an offset is the first port of its line, so the result is where the first line after *port* begins.
    end = bisect_right(range(len(table)), port, key=lambda offset: span_at(table, _line_start(table, offset)).first)
    first = 0
    last = span_at(table, end).first - 1 if end < len(table) else _DYNAMIC - 1
    lines: list[str] = []
    for _ in range(REACH):
        if end == 0:
            break
        start = _line_start(table, end - 1)
        span = span_at(table, start)
        if span.last < port:
            first = max(first, span.last + 1)
        else:
            first, last = max(first, span.first), min(last, span.last)
            lines.append(table[start : end - 1])
        end = start
    lines.reverse()
    return Span(first, last), lines


def ports_of(lowered: str, name: str) -> Iterator[int]:
    r"""Yield the first port of each line with a service name. Table and name are in lower case.

    >>> list(ports_of("7\ttcp\techo\n8-9\tudp\tdiscard\techo\n11\tudp\techo\techo\n", "echo"))
    [7, 11]
    """
    found = lowered.find(f"\t{name}")
    while found >= 0:
        start, end = _line_start(lowered, found), lowered.find("\n", found)
        if lowered[start:end].split("\t", 3)[2] == name:
            yield span_at(lowered, start).first
        found = lowered.find(f"\t{name}", end)


def _line_start(table: str, offset: int) -> int:
    return table.rfind("\n", 0, offset) + 1


def span_at(table: str, start: int) -> Span:
    """Return the ports of the line that begins at *start*."""
    first, _, last = table[start : table.index("\t", start)].partition("-")
    return Span(int(first), int(last or first))


def parse_record(lines: Iterable[str]) -> PortRecord:
    r"""Return the registrations that lines of the table contain together.

    >>> parse_record(["49150\ttcp\tinspider\tInSpider System", "49150\tudp\t(reserved)\tReserved"]).assignment
    'assigned'
    """
    services: list[Service] = []
    unnamed: list[RegistryEntry] = []
    states: set[str] = set()
    for line in lines:
        _, protocols, name, description, note, *_ = (line + "\t\t").split("\t")
        span = span_at(line, 0)
        if name.startswith("("):  # the generator's mark for rows without a name
            state: Any = name[1:-1]
            states.add(state)
            unnamed.append(RegistryEntry(state, _split(protocols), description, span.first, span.last, note))
        else:
            states.add("assigned")
            services.append(Service(name, _split(protocols), description, span.first, span.last, note))
    return PortRecord(_state(states), tuple(services), tuple(unnamed))


def _split(protocols: str) -> tuple[ProtocolName, ...]:
    known: tuple[Any, ...] = tuple(protocols.split())
    return _protocols.setdefault(protocols, known)


def _state(states: set[str]) -> State:
    """Return the state of a port: assigned if it is for any protocol, else reserved if it is for any."""
    if "assigned" in states:
        return "assigned"
    return "reserved" if "reserved" in states else "unassigned"
