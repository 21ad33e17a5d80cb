"""What classify costs, beside socket.getservbyport, in one run.

    python tests/benchmarks/bench_classify.py
    python tests/benchmarks/bench_classify.py --update docs/benchmarks.md     # the table into the documentation

`getservbyport` answers one of the facts, the name, from /etc/services. Both are asked for the same mixed ports in
alternating rounds, so that whatever else the machine does falls on both. Times are medians; each figure stands beside
the most that it may be. The exit status is 1 where a figure is over it.
"""

from __future__ import annotations

import argparse
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
        verdict = "" if self.value <= self.limit else "   OVER"
        return f"{self.what:<58}{self.value:>10.2f}{self.limit:>10.2f}  {self.unit}{verdict}"


def seconds(call: Callable[[], object]) -> float:
    before = time.perf_counter()
    call()
    return time.perf_counter() - before


def mixed_ports(count: int) -> list[int]:
    """Half of them registered, half of them any."""
    chance = random.Random(6335)
    registered = [port for port in range(49152) if lookup.registry().at(port).services]
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
    """Microseconds a call: a warm frozen host, the host read afresh, and getservbyport."""
    ports, frozen = mixed_ports(2000), Host().snapshot()
    contenders: dict[str, Callable[[], None]] = {
        "frozen": lambda: ask_classify(ports, frozen),
        "getservbyport": lambda: ask_getservbyport(ports),
        "fresh": lambda: ask_classify(ports, None),
    }
    contenders["frozen"]()
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, ask in contenders.items():
            samples[name].append(seconds(ask))
    taken = {name: median(times) / len(ports) * 1e6 for name, times in samples.items()}
    return [
        Figure("socket.getservbyport(port), one call", taken["getservbyport"], float("inf"), "us"),
        Figure("classify(port), frozen host, one call", taken["frozen"], taken["getservbyport"] / 2, "us"),
        Figure("classify(port), host read afresh, one call", taken["fresh"], 60, "us"),
    ]


def all_ports() -> Figure:
    frozen = Host().snapshot()
    ask_classify(range(65536), frozen)
    taken = median(seconds(lambda: ask_classify(range(65536), frozen)) for _ in range(ROUNDS))
    return Figure("classify, all 65,536 ports, frozen host, warm", taken, 0.8, "s")


def first_call() -> Figure:
    """In a new process each time: the registry is loaded, and the backend imported."""
    taken = [float(subprocess.check_output([sys.executable, "-c", FIRST_CALL])) for _ in range(ROUNDS)]
    return Figure("classify(80), first call of a process", median(taken) * 1e3, 40, "ms")


def sizes() -> list[Figure]:
    """The table's source, and what stays in memory: before anything was asked, and after everything was."""
    tracemalloc.start()
    registry = lookup.Registry(table.TABLE)
    loaded, _ = tracemalloc.get_traced_memory()
    for port in range(65536):
        registry.at(port)
    registry.named("http")
    asked, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    text = sys.getsizeof(table.TABLE)
    return [
        Figure("the table's module", os.path.getsize(table.__file__) / 1e3, 350, "kB"),
        Figure("in memory with the table's text, loaded", (loaded + text) / 1e6, 8, "MB"),
        Figure("in memory with the table's text, every port asked", (asked + text) / 1e6, 8, "MB"),
    ]


def markdown(figures: list[Figure]) -> str:
    """The table for the documentation."""
    lines = [f"| {one.what} | {one.value:.3g} {one.unit} | {_limit(one)} |" for one in figures]
    return "\n".join(["| what | measured | at most |", "|---|---|---|", *lines, "", f"- Machine: {machine()}."])


def _limit(figure: Figure) -> str:
    return "" if isinf(figure.limit) else f"{figure.limit:.3g} {figure.unit}"


def main() -> int:
    parser = argparse.ArgumentParser(description="What does classify cost?")
    parser.add_argument("--update", metavar="FILE", help="replace the table in a Markdown document")
    arguments = parser.parse_args()
    figures = [*call_times(), all_ports(), first_call(), *sizes()]
    print(f"{'':<58}{'measured':>10}{'at most':>10}")
    print(*figures, sep="\n")
    base, frozen = figures[0].value, figures[1].value
    print(f"\nclassify with a frozen host is {base / frozen:.1f} times as fast as socket.getservbyport")
    if arguments.update:
        update(arguments.update, "bench_classify", markdown(figures))
    return int(any(figure.value > figure.limit for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
