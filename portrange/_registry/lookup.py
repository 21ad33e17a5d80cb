"""IANA's registry, by port and by name. Loaded when it is first asked for, and then kept: it never changes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple

from .._answers.port import Assignment, Band, RegistryEntry, Service


class PortRecord(NamedTuple):
    """What the registry says of a port."""

    assignment: Assignment
    services: tuple[Service, ...] = ()
    unnamed: tuple[RegistryEntry, ...] = ()


class Registry:
    """The registry, ready to be asked.

    Ports between which nothing changes share a record; the records lie in order, and bisection finds one. A record
    stays lines of the table until it is asked for: to read all 8,000 takes longer than a short program wants to wait.
    Two threads that ask first may both read it, and get equal records.
    """

    def __init__(self, table: str) -> None:
        self._lines = table.splitlines()
        self._starts: list[int] = []
        self._records: list[PortRecord | tuple[str, ...]] = []
        for first, lines in runs(self._lines):
            self._starts.append(first)
            self._records.append(lines)
        self._ports: dict[str, list[int]] | None = None

    def at(self, port: int) -> PortRecord:
        """What is registered for a port."""
        place = bisect_right(self._starts, port) - 1
        found = self._records[place]
        if isinstance(found, PortRecord):
            return found
        self._records[place] = read = record(self._starts[place], found)
        return read

    def named(self, name: str) -> tuple[Service, ...]:
        """What is registered under a name, in whatever case, in the order of ports."""
        if self._ports is None:
            self._ports = ports_by_name(self._lines)
        wanted = name.lower()
        return tuple(
            service
            for port in self._ports.get(wanted, ())
            for service in self.at(port).services
            if service.first == port and service.name.lower() == wanted
        )


def span(line: str) -> tuple[int, int]:
    """The ports of a line of the table."""
    first, _, last = line.partition("\t")[0].partition("-")
    return int(first), int(last or first)


def runs(lines: Iterable[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
    r"""Where something changes, and the lines that hold from there to the next change; from port 0 without a gap.

    >>> list(runs(["8-9\t\t(unassigned)", "9\tudp\tdiscard"]))[1:3]
    [(8, ('8-9\t\t(unassigned)',)), (9, ('8-9\t\t(unassigned)', '9\tudp\tdiscard'))]
    """
    starting: dict[int, list[str]] = {}
    ends: dict[str, int] = {}
    edges = {0, Band.DYNAMIC.first, Band.DYNAMIC.last + 1}
    for line in lines:
        first, last = span(line)
        starting.setdefault(first, []).append(line)
        edges.add(first)
        edges.add(last + 1)
        ends[line] = last
    current: list[str] = []
    for first, _ in pairwise(sorted(edges)):
        current = [line for line in current if ends[line] >= first]
        current += starting.get(first, ())
        yield first, tuple(current)


def ports_by_name(lines: Iterable[str]) -> dict[str, list[int]]:
    """The first ports of every name, in small letters."""
    ports: dict[str, list[int]] = {}
    for line in lines:
        name = line.split("\t", 3)[2].lower()
        ports.setdefault(name, []).append(span(line)[0])
    return ports


@cache
def transports_of(text: str) -> tuple[str, ...]:
    """The transports of a line; one tuple for all lines that name the same, of which there are a dozen."""
    return tuple(text.split())


def record(first: int, lines: Iterable[str]) -> PortRecord:
    r"""What the lines say together of the ports from `first` on.

    >>> record(49150, ["49150\ttcp\tinspider\tInSpider System", "49150\tudp\t(reserved)\tReserved"]).assignment
    <Assignment.ASSIGNED: 'assigned'>
    """
    services: list[Service] = []
    unnamed: list[RegistryEntry] = []
    for line in lines:
        _, protocols, name, description, note, *_ = (line + "\t\t").split("\t")
        transports = transports_of(protocols)
        if name.startswith("("):  # the generator's mark for rows without a name
            unnamed.append(RegistryEntry(Assignment(name[1:-1]), transports, description, *span(line), note))
        else:
            services.append(Service(name, transports, description, *span(line), note))
    return PortRecord(assignment(first, services, unnamed), tuple(services), tuple(unnamed))


def assignment(first: int, services: Sequence[Service], unnamed: Iterable[RegistryEntry]) -> Assignment:
    """The state of a port: assigned if it is for any transport, else reserved if it is for any."""
    if first >= Band.DYNAMIC.first:
        return Assignment.DYNAMIC
    said = {entry.assignment for entry in unnamed}
    if services or Assignment.ASSIGNED in said:
        return Assignment.ASSIGNED
    return Assignment.RESERVED if Assignment.RESERVED in said else Assignment.UNASSIGNED


_loaded: dict[str, Registry] = {}


def registry() -> Registry:
    """The registry. Threads that are the first at the same moment may each build one, and all get the same."""
    found = _loaded.get("registry")
    if found is None:
        from .table import TABLE  # a third of a megabyte, for whoever asks

        found = _loaded.setdefault("registry", Registry(TABLE))
    return found
