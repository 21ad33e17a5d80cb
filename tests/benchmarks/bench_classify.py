"""Benchmark classify() against socket.getservbyport().

    python tests/benchmarks/bench_classify.py
    python tests/benchmarks/bench_classify.py --update docs/benchmarks.md     # update the table in the documentation

`getservbyport` returns only the name, from /etc/services. Both functions process the same mixed ports in alternating
rounds, so that other load affects both. Times are medians; each figure is printed beside its limit, which for times is
a multiple of the time of `getservbyport`. The exit status is 1 if a figure exceeds its limit.
"""

from __future__ import annotations

import argparse
import importlib
import os
import random
import socket
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterable
from math import isinf
from statistics import median
from typing import NamedTuple

from report import machine, update

from portrange import Host, classify
from portrange._registry import lookup, table

ROUNDS = 7
FIRST_CALL = """
import time, portrange
before = time.perf_counter()
portrange.classify(80)
print(time.perf_counter() - before)
"""


class Figure(NamedTuple):
    """One line of the table."""

    what: str
    value: float
    limit: float
    unit: str

    def __str__(self) -> str:
        mark = "" if self.value <= self.limit else "   OVER"
        return f"{self.what:<58}{self.value:>10.2f}{self.limit:>10.2f}  {self.unit}{mark}"


def seconds(call: Callable[[], object]) -> float:
    before = time.perf_counter()
    call()
    return time.perf_counter() - before


def mixed_ports(count: int) -> list[int]:
    """Return *count* ports, half of them registered and half of them random."""
    chance = random.Random(6335)
    registered = [port for port in range(49152) if lookup.registered(port).services]
    return chance.sample(registered, count // 2) + chance.sample(range(65536), count - count // 2)


def ask_getservbyport(ports: Iterable[int]) -> None:
    for port in ports:
        try:
            socket.getservbyport(port)
        except OSError:
            pass


def ask_classify(ports: Iterable[int], host: Host | None) -> None:
    for port in ports:
        classify(port, host=host)


def call_times() -> list[Figure]:
    """Return microseconds per call for a warm snapshot, an uncached host, and getservbyport."""
    ports, snapshot = mixed_ports(2000), Host().snapshot()
    contenders: dict[str, Callable[[], None]] = {
        "snapshot": lambda: ask_classify(ports, snapshot),
        "getservbyport": lambda: ask_getservbyport(ports),
        "fresh": lambda: ask_classify(ports, None),
    }
    contenders["snapshot"]()
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, ask in contenders.items():
            samples[name].append(seconds(ask))
    taken = {name: median(times) / len(ports) * 1e6 for name, times in samples.items()}
    return [
        Figure("socket.getservbyport(port), one call", taken["getservbyport"], float("inf"), "us"),
        Figure("classify(port), snapshot, one call", taken["snapshot"], taken["getservbyport"] / 2, "us"),
        Figure("classify(port), host read afresh, one call", taken["fresh"], taken["getservbyport"] * 4, "us"),
    ]


def all_ports(getservbyport: float) -> Figure:
    """Measure every port; *getservbyport* is the microseconds of one call of that."""
    snapshot = Host().snapshot()
    ask_classify(range(65536), snapshot)
    taken = median(seconds(lambda: ask_classify(range(65536), snapshot)) for _ in range(ROUNDS))
    return Figure("classify, all 65,536 ports, snapshot, warm", taken, 65536 * getservbyport / 2e6, "s")


def first_call() -> Figure:
    """Measure the first call in a new process, including the load of the registry and the backend."""
    taken = [float(subprocess.check_output([sys.executable, "-c", FIRST_CALL])) for _ in range(ROUNDS)]
    return Figure("classify(80), first call of a process", median(taken) * 1e3, float("inf"), "ms")


def sizes() -> list[Figure]:
    """Return the size of the table module, and the memory in use before and after a lookup of every port."""
    tracemalloc.start()
    importlib.reload(lookup)  # without what was asked before
    loaded, _ = tracemalloc.get_traced_memory()
    for port in range(65536):
        lookup.registered(port)
    lookup.services_named("http")
    queried, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    text = sys.getsizeof(table.TABLE)
    return [
        Figure("the table's module", os.path.getsize(table.__file__) / 1e3, 350, "kB"),
        Figure("in memory with the table's text, loaded", (loaded + text) / 1e6, 8, "MB"),
        Figure("in memory with the table's text, every port asked", (queried + text) / 1e6, 8, "MB"),
    ]


def markdown(figures: list[Figure]) -> str:
    """Return the table for the documentation."""
    lines = [f"| {figure.what} | {figure.value:.3g} {figure.unit} | {_limit(figure)} |" for figure in figures]
    return "\n".join(["| what | measured | at most |", "|---|---|---|", *lines, "", f"- Machine: {machine()}."])


def _limit(figure: Figure) -> str:
    return "" if isinf(figure.limit) else f"{figure.limit:.3g} {figure.unit}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure time and memory of classify().")
    parser.add_argument("--update", metavar="FILE", help="replace the table in a Markdown document")
    arguments = parser.parse_args()
    calls = call_times()
    figures = [*calls, all_ports(calls[0].value), first_call(), *sizes()]
    print(f"{'':<58}{'measured':>10}{'at most':>10}")
    print(*figures, sep="\n")
    base, snapshot = figures[0].value, figures[1].value
    print(f"\nclassify with a snapshot is {base / snapshot:.1f} times as fast as socket.getservbyport")
    if arguments.update:
        update(arguments.update, "bench_classify", markdown(figures))
    return int(any(figure.value > figure.limit for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
