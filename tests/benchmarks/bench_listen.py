"""Benchmark listener queries on a busy host against other tools.

    python tests/benchmarks/bench_listen.py                                  # print the table; takes about four minutes
    python tests/benchmarks/bench_listen.py --small                          # test the benchmark itself; takes seconds
    python tests/benchmarks/bench_listen.py --update docs/benchmarks.md      # update the table in the documentation

Run as root, so that cgroups can be created. The run fails if a contender returns a wrong result.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from statistics import median

from busy_host import BusyHost, Service
from contenders import (
    Contender,
    Pairs,
    Pids,
    ask_first_query,
    compiled_floor,
    fresh_python,
    portrange_itself,
    rivals,
)
from host_plan import FIRST_PORT, Shape
from measuring import Race, WrongAnswerError, timed
from own_network import enter_own_network
from report import US, Report, Row, Target, place, update

#: A free port, just below that of the first listener.
_FREE_PORT = FIRST_PORT - 1
_NAME = "bench_listen"
_FLOOR = "C floor"
_SMALLER = "smaller host"


@dataclass(frozen=True)
class Scale:
    """The size of a run."""

    shape: Shape
    many_listeners: int
    connections: tuple[int, int]
    processes: tuple[int, int]
    rounds: int
    repeats: int
    listeners_of_one_process: int


_FULL = Scale(
    Shape(),
    many_listeners=200,
    connections=(0, 50_000),
    processes=(100, 1_000),
    rounds=9,
    repeats=20,
    listeners_of_one_process=5_000,
)
_SMALL = Scale(
    Shape(processes=20, descriptors=20, cgroups=8, listeners=4, connections=100),
    many_listeners=8,
    connections=(0, 200),
    processes=(10, 20),
    rounds=2,
    repeats=2,
    listeners_of_one_process=50,
)


@dataclass(frozen=True)
class Bench:
    """One run: its size and its contenders."""

    scale: Scale
    us: Contender
    others: list[Contender]
    floor: Callable[[Service], tuple[float, Pids]]
    #: Remarks for the report, collected during the run.
    notes: list[str]

    def rows(self) -> Iterator[Row]:
        yield from self._few_services()
        yield from self._many_services()
        yield from self._socket_unit()
        yield from self._one_process()
        yield from self._one_cgroup()
        few, many = self.scale.connections
        shapes = [replace(self.scale.shape, connections=number) for number in (few, many)]
        yield self._growth(f"the owner, {few:,} → {many:,} connections", shapes, 1.3)
        few, many = self.scale.processes
        yield self._growth(
            f"the owner, {few:,} → {many:,} processes", list(map(self._with_processes, (few, many))), 1.5
        )

    # --- rows of the table ----------------------------------------------------------------------------------------

    def _few_services(self) -> Iterator[Row]:
        """Most queries, on the default host."""
        with self._host(self.scale.shape) as host:
            if host.why_no_cgroups:
                self.notes.append(f"Every search is a full scan: cgroups could not be created ({host.why_no_cgroups}).")
            yield self._who("no listener", _FREE_PORT, set(), [Target(tool.name, 500) for tool in self.others])
            service = _middle(host)
            owner = f"the owner, {host.cgroups} cgroups"
            targets = _with_cgroups(host, Target("ss", 100), Target("psutil", 200), Target("lsof", 200))
            yield self._who(owner, service.port, {service.pid}, targets)
            yield self._first_query(f"{owner}, first query of a program", service)
            yield self._new_program(f"{owner}, a new Python for it", service)
            yield self._everyone(host, Target("ss", 5), Target("psutil", 10))

    def _many_services(self) -> Iterator[Row]:
        with self._host(replace(self.scale.shape, listeners=self.scale.many_listeners)) as host:
            yield self._everyone(host, Target("ss", 1.2), Target("psutil", 2))

    def _socket_unit(self) -> Iterator[Row]:
        """One of the sockets belongs to a socket unit; psutil names one of its two owners."""
        with self._host(replace(self.scale.shape, socket_units=1)) as host:
            yield self._listing(host, "all listeners, one of a socket unit", _with_cgroups(host, Target("ss", 5)))

    def _one_process(self) -> Iterator[Row]:
        number = self.scale.listeners_of_one_process
        shape = Shape(processes=1, descriptors=number + 100, cgroups=0, listeners=number, connections=0)
        with self._host(shape) as host:
            yield self._listing(host, f"all listeners: {number:,} sockets of one process", [Target("ss", 1)])

    def _listing(self, host: BusyHost, query: str, targets: list[Target]) -> Row:
        """Compare portrange and ss."""
        race = Race({(service.port, service.pid) for service in host.services})
        for contender in (self.us, *(tool for tool in self.others if tool.name == "ss")):
            race.enter(contender.name, timed(contender.everyone))
        return self._run(race, query, targets)

    def _one_cgroup(self) -> Iterator[Row]:
        """A query that searches every process."""
        with self._host(replace(self.scale.shape, cgroups=0)) as host:
            service = _middle(host)
            targets = [Target(_FLOOR, 1.35, faster=False), Target("ss", 1)]
            race = self._race_for_port(service.port, {service.pid}, repeats=3)
            race.enter(_FLOOR, lambda: self.floor(service), repeats=3)
            yield self._run(race, "the owner, one cgroup for all", targets)

    def _growth(self, query: str, shapes: list[Shape], factor: float) -> Row:
        """Compare the owner query in a small cgroup on a small and on a large host, each built twice in turn."""
        samples: dict[str, list[float]] = {}
        for name, shape in [*zip((_SMALLER, US), shapes, strict=True)] * 2:
            with self._host(shape) as host:
                service = _middle(host)
                race = Race({service.pid})
                race.enter(US, timed(lambda port=service.port: self.us.who(port)), self.scale.repeats)
                race.run(self.scale.rounds)
                samples.setdefault(name, []).extend(race.samples[US])
        medians = {name: median(times) for name, times in samples.items()}
        return Row(query, medians, (Target(_SMALLER, factor, faster=False),), samples)

    def _with_processes(self, number: int) -> Shape:
        """Return a shape with *number* processes and an unchanged number per cgroup."""
        usual = self.scale.shape
        return replace(usual, processes=number, cgroups=usual.cgroups * number // usual.processes)

    # --- helpers --------------------------------------------------------------------------------------------------

    def _who(self, query: str, port: int, expected: Pids, targets: list[Target]) -> Row:
        return self._run(self._race_for_port(port, expected, self.scale.repeats), query, targets)

    def _race_for_port(self, port: int, expected: Pids, repeats: int) -> Race:
        race = Race(expected)
        race.enter(US, timed(lambda: self.us.who(port)), repeats)
        for tool in self.others:
            race.enter(tool.name, timed(lambda tool=tool: tool.who(port)))
        return race

    def _everyone(self, host: BusyHost, *targets: Target) -> Row:
        expected: Pairs = {(service.port, service.pid) for service in host.services}
        race = Race(expected)
        for contender in (self.us, *self.others):
            race.enter(contender.name, timed(contender.everyone))
        query = f"all listeners: {len(host.services)} sockets, {host.cgroups} cgroups"
        return self._run(race, query, _with_cgroups(host, *targets))

    def _first_query(self, query: str, service: Service) -> Row:
        race = Race({service.pid})
        race.enter(US, timed(lambda: ask_first_query(service.port)), self.scale.repeats)
        return self._run(race, query, [])

    def _new_program(self, query: str, service: Service) -> Row:
        """Measure a new Python per query, as in a shell script; ss and lsof always start."""
        race = Race({service.pid})
        with fresh_python() as ask:
            race.enter(US, timed(lambda: ask(service.port)), 3)
            for tool in self.others:
                if tool.is_program:
                    race.enter(tool.name, timed(lambda tool=tool: tool.who(service.port)))
            return self._run(race, query, [])

    def _run(self, race: Race, query: str, targets: list[Target]) -> Row:
        race.run(self.scale.rounds)
        return Row(query, race.medians(), tuple(targets), race.samples, race.answers)

    def _host(self, shape: Shape) -> BusyHost:
        print(
            f"on a host with {', '.join(f'{value:,} {name}' for name, value in asdict(shape).items())} …",
            file=sys.stderr,
        )
        return BusyHost(shape)


def _middle(host: BusyHost) -> Service:
    return host.services[len(host.services) // 2]


def _with_cgroups(host: BusyHost, *targets: Target) -> list[Target]:
    """Return the targets that apply only if cgroups exist."""
    return list(targets) if host.cgroups else []


def main() -> int:
    parser = argparse.ArgumentParser(description="Benchmark listener queries on a busy host.")
    parser.add_argument("--small", action="store_true", help="short run that tests the benchmark itself")
    parser.add_argument("--json", metavar="FILE", help="write all times in seconds to a file")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--update", metavar="FILE", help="replace the table in a Markdown document")
    arguments = parser.parse_args()
    if arguments.update:
        place(arguments.update, _NAME)  # fail before the long run if the markers are missing
    enter_own_network()
    others, left_out = rivals()
    notes = [f"Left out: {reason}." for reason in left_out]
    with compiled_floor() as floor:
        bench = Bench(_SMALL if arguments.small else _FULL, portrange_itself(), others, floor, notes)
        try:
            rows = list(bench.rows())
        except WrongAnswerError as error:
            print(f"bench_listen: {error}", file=sys.stderr)
            return 1
    if arguments.small:
        notes.append("A small run, which tests the benchmark itself; its times are not meaningful.")
    versions = {contender.name: contender.version for contender in (bench.us, *others)}
    report = Report(rows, versions, notes, judged=not arguments.small)
    print(report.markdown() if arguments.markdown else report.text())
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(report.to_dict(), file, indent=1)
    if arguments.update:
        update(arguments.update, _NAME, report.markdown())
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
