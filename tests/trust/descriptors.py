"""Measure the cost of a search through all processes by the number of open descriptors, and extrapolate to a million.

    python tests/trust/descriptors.py

Requires root on Linux. On each of three busy hosts (tests/benchmarks), the owner of one port is queried through its
cgroup and by a search through all processes. A linear regression over the three gives the last row.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable

import portrange

if __name__ == "__main__":
    # For the imports of busy_host, host_plan and own_network.
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "benchmarks"))

DESCRIPTORS = (10_000, 50_000, 200_000)
EXTRAPOLATED = 1_000_000
_PROCESSES = 500
_REPEATS = 7


def measure(descriptors: int) -> tuple[float, float, float]:
    """Return the seconds of a query for the owner by cgroup, for all owners, and for a free port."""
    from busy_host import BusyHost
    from host_plan import Shape

    shape = Shape(
        processes=_PROCESSES, descriptors=descriptors // _PROCESSES, cgroups=200, listeners=20, connections=2_000
    )
    with BusyHost(shape) as host:
        service = host.services[len(host.services) // 2]

        def ask(*, exhaustive: bool) -> None:
            [listener] = portrange.who_listens(service.port, exhaustive=exhaustive)
            if [owner.pid for owner in listener.owners] != [service.pid]:
                raise AssertionError(f"{service} is reported with owners {listener.owners}")

        return (
            typical(lambda: ask(exhaustive=False)),
            typical(lambda: ask(exhaustive=True)),
            typical(lambda: portrange.who_listens(1)),
        )


def typical(call: Callable[[], object]) -> float:
    """Return the median duration of several calls, after one that fills caches."""
    call()
    times = []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def line(points: list[tuple[float, float]]) -> tuple[float, float]:
    """Return intercept and slope of the regression line (least squares)."""
    slope, start = statistics.linear_regression(*zip(*points, strict=True))
    return start, slope


def main() -> int:
    from own_network import enter_own_network

    argparse.ArgumentParser(description="Measure a search by the number of open descriptors.").parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))
    enter_own_network()
    print("| open descriptors | no listener | the owner, by its service | every owner (`exhaustive=True`) |")
    print("|---|---|---|---|")
    points = []
    for descriptors in DESCRIPTORS:
        service, exhaustive, free = measure(descriptors)
        points.append((float(descriptors), exhaustive))
        print(
            f"| {descriptors:,} | {free * 1e3:.2f} ms | {service * 1e3:.2f} ms | {exhaustive * 1e3:.0f} ms |",
            flush=True,
        )
    start, slope = line(points)
    print(f"| {EXTRAPOLATED:,} (extrapolated) | | | {(start + slope * EXTRAPOLATED) * 1e3:,.0f} ms |")
    print(f"\n{slope * 1e6:.2f} microseconds for each descriptor", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
