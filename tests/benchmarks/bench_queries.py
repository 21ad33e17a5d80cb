"""Benchmark queries about processes and connections on a busy host against other tools.

    python tests/benchmarks/bench_queries.py                                 # print the table; takes two minutes
    python tests/benchmarks/bench_queries.py --small                         # test the benchmark itself; takes seconds
    python tests/benchmarks/bench_queries.py --update docs/benchmarks.md     # update the table in the documentation

Run as root, so that cgroups can be created. The run fails if a contender returns a wrong result.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

from busy_host import BusyHost, Service
from command import run
from contenders import Contender, Peer, portrange_itself, rivals
from host_plan import FIRST_PORT, Shape
from measuring import Race, timed
from report import Report, Row, Target

import portrange

#: A free port, just below that of the first listener.
_FREE_PORT = FIRST_PORT - 1
_RIVALS = ("psutil", "ss", "lsof")
#: The state of a connection in /proc/net/tcp (include/net/tcp_states.h).
_ESTABLISHED = "01"
_SERVER = """
import socket, sys, time
time.sleep(0.03)
server = socket.create_server(("127.0.0.1", 0))
print(time.monotonic(), flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Scale:
    """The size of a run."""

    shape: Shape
    rounds: int
    repeats: int
    delays: int


_FULL = Scale(Shape(), rounds=9, repeats=20, delays=25)
_SMALL = Scale(
    Shape(processes=20, descriptors=20, cgroups=8, listeners=4, connections=100), rounds=2, repeats=2, delays=2
)


class Connection(NamedTuple):
    """One end of a connection, and the process that owns it."""

    port: int
    peer: Peer
    pid: int


@dataclass(frozen=True)
class Bench:
    """One run: its size and its contenders."""

    scale: Scale
    us: Contender
    others: list[Contender]

    def rows(self, host: BusyHost) -> Iterator[Row]:
        service, connection = _listener(host), _connection(host)
        owner, listener = {connection.pid}, {service.pid}
        yield self._row("listeners(process=)", "ports", [service.pid], {service.port}, [Target("psutil", 20)])
        yield self._row("who_uses(port)", "users", [connection.port, None], owner, _against_all(5))
        yield self._row(
            "who_uses(port, remote=)", "users", [connection.port, connection.peer], owner, _against_all(100)
        )
        yield self._row("who_answers(port)", "reached", [service.port], listener, [Target("psutil", 200)])
        yield self._row("who_answers(port), refused", "reached", [_FREE_PORT], set(), [Target("psutil", 200)])

    def _row(self, query: str, name: str, arguments: list[Any], expected: set[int], targets: list[Target]) -> Row:
        """Compare the contenders that have the query *name*."""
        race = Race(expected)
        for tool in (self.us, *self.others):
            ask = getattr(tool, name)
            if ask:
                repeats = self.scale.repeats if tool is self.us else 1
                race.enter(tool.name, timed(lambda ask=ask: ask(*arguments)), repeats)
        race.run(self.scale.rounds)
        return race.row(query, targets)


def _against_all(factor: float) -> list[Target]:
    return [Target(name, factor) for name in _RIVALS]


def _listener(host: BusyHost) -> Service:
    """Return a TCP listener in the middle of the host."""
    listeners = [service for service in host.services if service.protocol == "tcp"]
    return listeners[len(listeners) // 2]


def _connection(host: BusyHost) -> Connection:
    """Return a connection of a process in the middle of the host; no other socket has its local port (proc(5))."""
    pid = host.pids[len(host.pids) // 2]
    held = {os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")}
    with open(f"/proc/{pid}/net/tcp", encoding="ascii") as lines:
        rows = [line.split() for line in lines][1:]
    ports = Counter(_port(local) for _, local, *_ in rows)
    for _, local, remote, state, *rest in rows:
        if state == _ESTABLISHED and ports[_port(local)] == 1 and f"socket:[{rest[5]}]" in held:
            return Connection(_port(local), ("127.0.0.1", _port(remote)), pid)
    raise RuntimeError(f"process {pid} has no connection whose local port no other socket has")


def _port(endpoint: str) -> int:
    return int(endpoint.rpartition(":")[2], 16)


def delay() -> float:
    """Return the seconds from the listen() of a child process until wait_for_listener() returns."""
    command = [sys.executable, "-I", "-S", "-c", _SERVER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        portrange.wait_for_listener(server)
        found = time.monotonic()
        assert server.stdout is not None
        return found - float(server.stdout.readline())


def measure(is_small: bool) -> Report:  # noqa: FBT001 - command.run() passes it
    scale = _SMALL if is_small else _FULL
    others, left_out = rivals(*_RIVALS)
    notes = [f"Left out: {reason}." for reason in left_out]
    bench = Bench(scale, portrange_itself(), others)
    with BusyHost(scale.shape) as host:
        if host.why_no_cgroups:
            notes.append(f"Every search is a full scan: cgroups could not be created ({host.why_no_cgroups}).")
        rows = list(bench.rows(host))
        delays = [delay() for _ in range(scale.delays)]
    notes.append(
        f"`wait_for_listener()` returned {median(delays) * 1000:.2g} ms after the listen() of a child process (median "
        f"of {scale.delays})."
    )
    return Report(rows, {contender.name: contender.version for contender in (bench.us, *others)}, notes)


if __name__ == "__main__":
    sys.exit(run("bench_queries", "Benchmark queries about processes and connections on a busy host.", measure))
