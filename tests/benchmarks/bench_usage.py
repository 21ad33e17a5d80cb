"""Benchmark ephemeral_usage() on a host with many connections against connection lists of psutil and ss.

    python tests/benchmarks/bench_usage.py                                 # 20,000 connections; half a minute
    python tests/benchmarks/bench_usage.py --small                         # test the benchmark itself; takes seconds
    python tests/benchmarks/bench_usage.py --update docs/benchmarks.md     # update the table in the documentation

The connections are in a new network namespace, which requires root or unprivileged user namespaces. psutil and ss only
list connections; counting destinations takes additional time. The run fails if a contender misses a connection.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from types import TracebackType
from typing import Any

from measuring import Race, WrongAnswerError
from own_network import enter_own_network
from report import US, Report, Row, Target, update

import portrange

_FULL, _SMALL = (5_000, 20_000), (100, 400)
_TARGETS = (Target("psutil", 15), Target("ss", 1.5))
_SERVERS = range(9001, 9006)
#: Descriptors of a process that are not connections.
_SPARE = 100


class Connections:
    """Loopback connections to a few ports, held open by child processes that end with this one."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self._children: list[int] = []
        self._end: int | None = None

    def __enter__(self) -> Connections:  # noqa: PYI034 - typing_extensions may be missing
        waiting, self._end = os.pipe()
        done, report = os.pipe()
        left = self.wanted
        while left:
            share = min(left, _most_of_a_process())
            left -= share
            child = os.fork()
            if child == 0:
                _hold(share, waiting, report, (done, self._end))
            self._children.append(child)
            if os.read(done, 1) != b"+":
                raise OSError("no connections: a child process ended early")
        for descriptor in (waiting, done, report):
            os.close(descriptor)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._end is not None:
            os.close(self._end)
        for child in self._children:
            os.waitpid(child, 0)


def _most_of_a_process() -> int:
    """Return how many connections a process can hold if it has both ends of each."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 8_000 if hard == resource.RLIM_INFINITY else hard
    return max(1, min(4_000, (most - _SPARE) // 2))


def _hold(share: int, waiting: int, report: int, others: tuple[int, ...]) -> None:
    """In the child: connect, report, and wait until the parent is gone."""
    try:
        for descriptor in others:
            os.close(descriptor)
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        held: list[socket.socket] = []
        for number, server_port in enumerate(_SERVERS):
            with socket.create_server(("127.0.0.1", server_port)) as server:
                for _ in range(number, share, len(_SERVERS)):
                    held += [socket.create_connection(server.getsockname()), server.accept()[0]]
        os.write(report, b"+")
        os.read(waiting, 1)
    except BaseException:  # noqa: BLE001 - a child must never go on with its parent's program
        sys.excepthook(*sys.exc_info())
        os.write(report, b"-")
    finally:
        os._exit(0)


# --- contenders -----------------------------------------------------------------------------------------------------


def ask_portrange() -> tuple[float, int]:
    before = time.perf_counter()
    usage = portrange.ephemeral_usage()
    taken = time.perf_counter() - before
    return taken, dict(usage.states).get("established", 0)


def ask_psutil() -> tuple[float, int]:
    import psutil

    before = time.perf_counter()
    rows = psutil.net_connections()
    taken = time.perf_counter() - before
    return taken, sum(bool(row.raddr) and row.raddr.port in _SERVERS and row.status == "ESTABLISHED" for row in rows)


def ask_ss() -> tuple[float, int]:
    with tempfile.TemporaryFile("w+") as output:
        before = time.perf_counter()
        subprocess.run(["ss", "-tan"], check=True, stdout=output)
        taken = time.perf_counter() - before
        output.seek(0)
        fields = [line.split() for line in output]
    peers = [line[4].rpartition(":")[2] for line in fields if line[0] == "ESTAB"]
    return taken, sum(peer.isdigit() and int(peer) in _SERVERS for peer in peers)


def contenders() -> tuple[dict[str, Callable[[], tuple[float, Any]]], dict[str, str], list[str]]:
    """Return the contenders, their versions, and remarks about missing ones."""
    part: dict[str, Callable[[], tuple[float, Any]]] = {US: ask_portrange}
    versions = {US: portrange.__version__}
    absent: list[str] = []
    try:
        import psutil
    except ImportError:
        absent.append("Left out: psutil is not installed.")
    else:
        part["psutil"], versions["psutil"] = ask_psutil, psutil.__version__
    if shutil.which("ss") is None:
        absent.append("Left out: ss is not installed.")
    else:
        output = subprocess.run(["ss", "-V"], check=True, capture_output=True, text=True).stdout
        part["ss"], versions["ss"] = ask_ss, output.strip().rpartition(" ")[2]
    return part, versions, absent


# --- the run --------------------------------------------------------------------------------------------------------


def race(
    connections: int, part: dict[str, Callable[[], tuple[float, Any]]], rounds: int, targets: tuple[Target, ...]
) -> Row:
    run = Race(connections)
    for name, ask in part.items():
        run.enter(name, ask)
    run.run(rounds)
    return Row(f"the ephemeral range's usage, {connections:,} connections", run.medians(), targets, run.samples)


def memory() -> int:
    """Return the peak memory of one query in bytes."""
    portrange.ephemeral_usage()
    tracemalloc.start()
    portrange.ephemeral_usage()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def main() -> int:
    parser = argparse.ArgumentParser(description="Benchmark ephemeral_usage() with many connections.")
    parser.add_argument("--small", action="store_true", help="short run that tests the benchmark itself")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--update", metavar="FILE", help="replace the table in a Markdown document")
    arguments = parser.parse_args()
    try:
        enter_own_network()
    except OSError as error:
        print(f"bench_usage: {error}; run it as root", file=sys.stderr)
        return 1
    part, versions, notes = contenders()
    rows: list[Row] = []
    peaks: dict[int, int] = {}
    few, many = _SMALL if arguments.small else _FULL
    for connections, targets in ((few, ()), (many, _TARGETS)):
        with Connections(connections):
            try:
                rows.append(race(connections, part, 3 if arguments.small else 11, targets))
            except WrongAnswerError as error:
                print(f"bench_usage: {error}", file=sys.stderr)
                return 1
            peaks[connections] = memory()
    figures = ", ".join(f"{peak / 1000:,.0f} kB with {number:,} connections" for number, peak in peaks.items())
    notes.append(f"Peak memory of one query (tracemalloc): {figures}.")
    if arguments.small:
        notes.append("A small run, which tests the benchmark itself; its times are not meaningful.")
    report = Report(rows, versions, notes, judged=not arguments.small)
    print(report.markdown() if arguments.markdown else report.text())
    if arguments.update:
        update(arguments.update, "bench_usage", report.markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())
