"""Benchmark listener queries on a busy host against other tools.

    python tests/benchmarks/bench_listen.py                                  # print the table; takes about four minutes
    python tests/benchmarks/bench_listen.py --small                          # test the benchmark itself; takes seconds
    python tests/benchmarks/bench_listen.py --update docs/benchmarks.md      # update the table in the documentation

Run as root, so that cgroups can be created. The run fails if a contender returns a wrong result.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

from busy_host import BusyHost, Service
from c_programs import Program, compiled
from command import run
from contenders import (
    Contender,
    Pairs,
    Pids,
    ask_first_query,
    ask_new_python,
    compiled_modules,
    portrange_itself,
    rivals,
)
from host_plan import FIRST_PORT, Shape
from measuring import Race, row_of_hosts, timed
from report import US, Report, Row, Target

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
    many_listeners=400,
    connections=(0, 50_000),
    processes=(100, 1_000),
    rounds=9,
    repeats=20,
    listeners_of_one_process=5_000,
)
_SMALL = Scale(
    Shape(processes=20, descriptors=20, cgroups=8, listeners=4, connections=100),
    many_listeners=16,
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
    floor: Program
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
            yield self._command(host, f"the command, {number:,} sockets of one process")

    def _listing(self, host: BusyHost, query: str, targets: list[Target]) -> Row:
        """Compare portrange and ss."""
        race = Race(_pairs(host))
        for contender in (self.us, *(tool for tool in self.others if tool.name == "ss")):
            race.enter(contender.name, timed(contender.everyone))
        return self._run(race, query, targets)

    def _command(self, host: BusyHost, query: str) -> Row:
        """Compare two programs that print the listeners: a new Python and ss."""
        race = Race(_pairs(host))
        with compiled_modules() as environment:
            for contender in (self.us, *(tool for tool in self.others if tool.name == "ss")):
                race.enter(contender.name, lambda contender=contender: contender.program(environment))
            return self._run(race, query, [Target("ss", 2.5, faster=False)])

    def _one_cgroup(self) -> Iterator[Row]:
        """A query that searches every process."""
        with self._host(replace(self.scale.shape, cgroups=0)) as host:
            service = _middle(host)
            targets = [Target(_FLOOR, 1.35, faster=False), Target("ss", 1)]
            race = self._race_for_port(service.port, {service.pid}, repeats=3)
            race.enter(_FLOOR, lambda: self._scan(service), repeats=3)
            yield self._run(race, "the owner, one cgroup for all", targets)

    def _growth(self, query: str, shapes: list[Shape], factor: float) -> Row:
        """Compare the owner query in a small cgroup on a small and on a large host, each built twice in turn."""
        hosts = ((name, self._owner_race(shape)) for name, shape in [*zip((_SMALLER, US), shapes, strict=True)] * 2)
        return row_of_hosts(query, hosts, self.scale.rounds, Target(_SMALLER, factor, faster=False))

    @contextmanager
    def _owner_race(self, shape: Shape) -> Iterator[Race]:
        with self._host(shape) as host:
            service = _middle(host)
            race = Race({service.pid})
            race.enter(US, timed(lambda: self.us.who(service.port)), self.scale.repeats)
            yield race

    def _with_processes(self, number: int) -> Shape:
        """Return a shape with *number* processes and an unchanged number per cgroup."""
        usual = self.scale.shape
        return replace(usual, processes=number, cgroups=usual.cgroups * number // usual.processes)

    # --- helpers --------------------------------------------------------------------------------------------------

    def _who(self, query: str, port: int, expected: Pids, targets: list[Target]) -> Row:
        return self._run(self._race_for_port(port, expected, self.scale.repeats), query, targets)

    def _scan(self, service: Service) -> tuple[float, Pids]:
        seconds, pids = self.floor(service.inode)
        return seconds, set(pids)

    def _race_for_port(self, port: int, expected: Pids, repeats: int) -> Race:
        race = Race(expected)
        race.enter(US, timed(lambda: self.us.who(port)), repeats)
        for tool in self.others:
            race.enter(tool.name, timed(lambda tool=tool: tool.who(port)))
        return race

    def _everyone(self, host: BusyHost, *targets: Target) -> Row:
        race = Race(_pairs(host))
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
        with compiled_modules() as environment:
            race.enter(US, timed(lambda: ask_new_python(service.port, environment)), 3)
            for tool in self.others:
                if tool.is_program:
                    race.enter(tool.name, timed(lambda tool=tool: tool.who(service.port)))
            return self._run(race, query, [])

    def _run(self, race: Race, query: str, targets: list[Target]) -> Row:
        race.run(self.scale.rounds)
        return race.row(query, targets)

    def _host(self, shape: Shape) -> BusyHost:
        print(
            f"on a host with {', '.join(f'{value:,} {name}' for name, value in asdict(shape).items())} …",
            file=sys.stderr,
        )
        return BusyHost(shape)


def _middle(host: BusyHost) -> Service:
    return host.services[len(host.services) // 2]


def _pairs(host: BusyHost) -> Pairs:
    """Return each listener with its owner."""
    return {(service.port, service.pid) for service in host.services}


def _with_cgroups(host: BusyHost, *targets: Target) -> list[Target]:
    """Return the targets that apply only if cgroups exist."""
    return list(targets) if host.cgroups else []


def measure(is_small: bool) -> Report:  # noqa: FBT001 - command.run() passes it
    others, left_out = rivals()
    notes = [f"Left out: {reason}." for reason in left_out]
    with compiled("floor") as floor:
        bench = Bench(_SMALL if is_small else _FULL, portrange_itself(), others, floor, notes)
        rows = list(bench.rows())
    return Report(rows, {contender.name: contender.version for contender in (bench.us, *others)}, notes)


if __name__ == "__main__":
    sys.exit(run(_NAME, "Benchmark listener queries on a busy host.", measure))
