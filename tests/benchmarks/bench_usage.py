"""Benchmark ephemeral_usage() on a host with many connections against connection lists of psutil and ss.

    python tests/benchmarks/bench_usage.py                                 # 20,000 connections; a minute
    python tests/benchmarks/bench_usage.py --small                         # test the benchmark itself; takes seconds
    python tests/benchmarks/bench_usage.py --update docs/benchmarks.md     # update the table in the documentation

The connections are in a new network namespace, which requires root or unprivileged user namespaces; the row about
cgroups requires root. psutil and ss only list connections; counting destinations takes additional time. The run fails
if a contender misses a connection.
"""

from __future__ import annotations

import os
import resource
import socket
import sys
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from c_programs import Program, compiled
from command import run
from contenders import rivals
from host_builder import CgroupTree, connect, join
from measuring import Race, Timed, row_of_hosts, timed, timed_program
from report import US, Report, Row, Target

import portrange

_DUMP = "C dump"
_ONE_GROUP = "one cgroup"
_TARGETS = (Target("psutil", 15), Target("ss", 1.5), Target(_DUMP, 1.6, faster=False))
_SERVERS = range(9001, 9006)
#: Descriptors of a process that are not connections.
_SPARE = 100


@dataclass(frozen=True)
class Scale:
    """The size of a run."""

    connections: tuple[int, int]
    cgroups: int
    rounds: int


_FULL = Scale(connections=(5_000, 20_000), cgroups=300, rounds=11)
_SMALL = Scale(connections=(100, 400), cgroups=8, rounds=3)


class Connections:
    """Loopback connections to a few ports, held open by child processes that end with this one.

    They are spread evenly over *cgroups*; without any, they belong to that of the caller.
    """

    def __init__(self, wanted: int, cgroups: Sequence[str] = ()) -> None:
        self.wanted = wanted
        self.cgroups = cgroups
        self._children: list[int] = []
        self._end: int | None = None

    def __enter__(self) -> Connections:  # noqa: PYI034 - typing_extensions may be missing
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _start(self) -> None:
        waiting, self._end = os.pipe()
        done, report = os.pipe()
        most = _most_of_a_process()
        for first in range(0, self.wanted, most):
            numbers = range(first, min(first + most, self.wanted))
            child = os.fork()
            if child == 0:
                self._hold(numbers, waiting, report, (done, self._end))
            self._children.append(child)
            if os.read(done, 1) != b"+":
                raise OSError("no connections: a child process ended early")
        for descriptor in (waiting, done, report):
            os.close(descriptor)

    def _stop(self) -> None:
        if self._end is not None:
            os.close(self._end)
        for child in self._children:
            os.waitpid(child, 0)

    def _hold(self, numbers: range, waiting: int, report: int, others: tuple[int, ...]) -> None:
        """In the child: connect, report, and wait until the parent is gone."""
        try:
            for descriptor in others:
                os.close(descriptor)
            _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            held = self._connect(numbers)
            os.write(report, b"+")
            os.read(waiting, 1)
            del held
        except BaseException:  # noqa: BLE001 - a child must never go on with its parent's program
            sys.excepthook(*sys.exc_info())
            os.write(report, b"-")
        finally:
            os._exit(0)

    def _connect(self, numbers: range) -> list[socket.socket]:
        """Open the connections with these numbers, each in its cgroup, which the socket keeps."""
        servers = [socket.create_server(("127.0.0.1", port)) for port in _SERVERS]
        held: list[socket.socket] = []
        joined: str | None = None
        for number in numbers:
            group = self.cgroups[number * len(self.cgroups) // self.wanted] if self.cgroups else None
            if group is not None and group != joined:
                join(group)
                joined = group
            held += connect(servers[number % len(servers)], 1)
        for server in servers:
            server.close()
        return held


def _most_of_a_process() -> int:
    """Return how many connections a process can hold if it has both ends of each."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 8_000 if hard == resource.RLIM_INFINITY else hard
    return max(1, min(4_000, (most - _SPARE) // 2))


# --- contenders -----------------------------------------------------------------------------------------------------


def ask_portrange() -> tuple[float, int]:
    before = time.perf_counter()
    usage = portrange.ephemeral_usage()
    taken = time.perf_counter() - before
    return taken, dict(usage.states).get("established", 0)


def ask_owners() -> tuple[int, int]:
    """Return the number of sockets that have an owner, and that of the owners."""
    owners = portrange.ephemeral_usage().by_owner or ()
    return sum(owner.sockets for owner in owners), len(owners)


def ask_psutil() -> tuple[float, int]:
    import psutil

    before = time.perf_counter()
    rows = psutil.net_connections()
    taken = time.perf_counter() - before
    return taken, sum(bool(row.raddr) and row.raddr.port in _SERVERS and row.status == "ESTABLISHED" for row in rows)


def ask_ss() -> tuple[float, int]:
    taken, lines = timed_program("ss", "-tan")
    fields = [line.split() for line in lines]
    peers = [line[4].rpartition(":")[2] for line in fields if line[0] == "ESTAB"]
    return taken, sum(peer.isdigit() and int(peer) in _SERVERS for peer in peers)


def ask_dump(program: Program) -> tuple[float, int]:
    used = portrange.ephemeral_range()
    seconds, [sockets] = program(used.first, used.last)
    return seconds, sockets


#: The queries by contender. A query returns its seconds and the number of connections.
_ASK: dict[str, Timed] = {US: ask_portrange, "psutil": ask_psutil, "ss": ask_ss}


# --- rows -----------------------------------------------------------------------------------------------------------


def row(connections: int, part: dict[str, Timed], rounds: int, targets: Sequence[Target] = ()) -> Row:
    race = Race(connections)
    for name, ask in part.items():
        race.enter(name, ask)
    race.run(rounds)
    return race.row(f"the ephemeral range's usage, {connections:,} connections", targets)


def spread_row(scale: Scale) -> Row:
    """Compare the same connections in one cgroup and in many, each built twice in turn."""
    _, connections = scale.connections
    hosts = ((name, owners_race(connections, number)) for name, number in [(_ONE_GROUP, 1), (US, scale.cgroups)] * 2)
    query = f"the ephemeral range's usage, {connections:,} connections, 1 → {scale.cgroups} cgroups"
    return row_of_hosts(query, hosts, scale.rounds, Target(_ONE_GROUP, 1.25, faster=False))


@contextmanager
def owners_race(connections: int, cgroups: int) -> Iterator[Race]:
    with new_cgroups(cgroups) as tree, Connections(connections, tree.groups):
        race = Race((connections, cgroups))
        race.enter(US, timed(ask_owners))
        yield race


@contextmanager
def new_cgroups(number: int) -> Iterator[CgroupTree]:
    tree = CgroupTree()
    try:
        tree.make(number)
        yield tree
    finally:
        tree.remove()


def memory() -> int:
    """Return the peak memory of one query in bytes."""
    portrange.ephemeral_usage()
    tracemalloc.start()
    portrange.ephemeral_usage()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


# --- the run --------------------------------------------------------------------------------------------------------


def measure(is_small: bool) -> Report:  # noqa: FBT001 - command.run() passes it
    scale = _SMALL if is_small else _FULL
    others, left_out = rivals("psutil", "ss")
    versions = {US: portrange.__version__, **{tool.name: tool.version for tool in others}}
    part = {name: _ASK[name] for name in versions}
    rows: list[Row] = []
    peaks: dict[int, int] = {}
    few, many = scale.connections
    with Connections(few):
        rows.append(row(few, part, scale.rounds))
        peaks[few] = memory()
    with ExitStack() as stack:
        try:
            program = stack.enter_context(compiled("dump"))
        except FileNotFoundError as error:
            left_out.append(f"{error}, which {_DUMP} requires")
        else:
            part[_DUMP] = lambda: ask_dump(program)
        stack.enter_context(Connections(many))
        rows.append(row(many, part, scale.rounds, _TARGETS))
        peaks[many] = memory()
    with new_cgroups(1) as tree:
        why_none = tree.why_none
    if why_none:
        left_out.append(f"cgroups could not be created ({why_none}), which one row requires")
    else:
        rows.append(spread_row(scale))
    figures = ", ".join(f"{peak / 1000:,.0f} kB with {number:,} connections" for number, peak in peaks.items())
    notes = [f"Left out: {reason}." for reason in left_out]
    notes.append(f"Peak memory of one query (tracemalloc): {figures}.")
    return Report(rows, versions, notes)


if __name__ == "__main__":
    sys.exit(run("bench_usage", "Benchmark ephemeral_usage() with many connections.", measure))
