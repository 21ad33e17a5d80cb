"""Measure a cold process: importing, the first result and each command, beside bare Python, psutil, ss and lsof.

    python tests/benchmarks/bench_cold.py
    python tests/benchmarks/bench_cold.py --update docs/benchmarks.md     # write the table into the documentation

Each program runs in a new process; the figure is the CPU time of the whole process, user and system. Programs take
turns, so that other load on the machine affects all of them; the medians are compared within one run. As root on
Linux the machine is idle: a network and a PID namespace of their own, without listeners and other processes. The exit
status is 1 if a ratio is over its limit.
"""

from __future__ import annotations

import argparse
import compileall
import os
import shutil
import subprocess
import sys
from statistics import median
from typing import NamedTuple

from report import machine, update

import portrange

ROUNDS = 25
#: Programs by name: arguments of the Python interpreter.
PYTHON_PROGRAMS = {
    "python -c pass": ["-c", "pass"],
    "import portrange": ["-c", "import portrange"],
    "import psutil": ["-c", "import psutil"],
    "classify(443)": ["-c", "import portrange; portrange.classify(443)"],
    "ephemeral_range()": ["-c", "import portrange; portrange.ephemeral_range()"],
    "who_listens(22)": ["-c", "import portrange; portrange.who_listens(22)"],
    "listeners()": ["-c", "import portrange; portrange.listeners()"],
    "psutil.net_connections()": ["-c", "import psutil; psutil.net_connections()"],
    "portrange range": ["-m", "portrange", "range"],
    "portrange 443": ["-m", "portrange", "443"],
    "portrange": ["-m", "portrange"],
    "portrange suggest": ["-m", "portrange", "suggest", "my-service"],
    "portrange busy": ["-m", "portrange", "busy", "8000"],
    "portrange check": ["-m", "portrange", "check", "8080"],
    "portrange usage": ["-m", "portrange", "usage"],
}
#: Programs that are not Python, by name.
OTHER_PROGRAMS = {"ss -tulnp": ["ss", "-tulnp"], "lsof -nP -i": ["lsof", "-nP", "-i"]}
#: The installed ones of both kinds.
PROGRAMS = {
    **{name: [sys.executable, *arguments] for name, arguments in PYTHON_PROGRAMS.items()},
    **{name: command for name, command in OTHER_PROGRAMS.items() if shutil.which(command[0])},
}
#: Program, the program to compare with, and the most that the ratio of their medians may be (None: no limit).
RATIOS = [
    ("who_listens(22)", "psutil.net_connections()", 0.8),
    ("listeners()", "psutil.net_connections()", None),
    ("ss -tulnp", "listeners()", None),
    ("lsof -nP -i", "listeners()", None),
    ("classify(443)", "python -c pass", 2.0),
    ("ephemeral_range()", "python -c pass", None),
    ("portrange range", "python -c pass", 3.0),
    ("portrange 443", "python -c pass", 4.0),
    ("portrange", "python -c pass", 4.0),
    ("portrange suggest", "python -c pass", None),
    ("portrange busy", "python -c pass", None),
    ("portrange check", "python -c pass", None),
    ("portrange usage", "python -c pass", None),
]
#: Milliseconds that `import portrange` may take beyond bare Python.
IMPORT_LIMIT = 2.0
_IDLE = ["unshare", "--net", "--pid", "--fork", "--mount-proc"]
_INSIDE = "--inside"
#: As installed packages are: with bytecode, which the first run writes.
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


class Row(NamedTuple):
    """A line of the table: a figure, its limit and its unit."""

    name: str
    value: float
    limit: float | None
    unit: str

    @property
    def is_over(self) -> bool:
        return self.limit is not None and self.value > self.limit


def cpu_seconds(command: list[str]) -> float:
    """Run a command and return the CPU time of the process."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=_ENVIRONMENT,
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):  # 1 is a result of `check` and `busy`, and of lsof if it lists nothing
        raise RuntimeError(f"exit status {process.returncode}: {' '.join(command)}")
    return used.ru_utime + used.ru_stime


def measure(rounds: int) -> dict[str, float]:
    """Return the median milliseconds of each program; the first round is a warm-up."""
    compileall.compile_dir(os.path.dirname(portrange.__file__), quiet=2)
    samples: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for _ in range(rounds + 1):
        for name, command in PROGRAMS.items():
            samples[name].append(cpu_seconds(command) * 1e3)
    return {name: median(times[1:]) for name, times in samples.items()}


def rows(times: dict[str, float]) -> list[Row]:
    bare = times["python -c pass"]
    found = [Row(f"{name}, beyond bare Python", times[name] - bare, None, "ms") for name in ("import psutil",)]
    found.insert(0, Row("import portrange, beyond bare Python", times["import portrange"] - bare, IMPORT_LIMIT, "ms"))
    ratios = [ratio for ratio in RATIOS if ratio[0] in times]
    found += [Row(f"{name} / {base}", times[name] / times[base], limit, "x") for name, base, limit in ratios]
    return found


def markdown(found: list[Row], times: dict[str, float]) -> str:
    """Return the table for the documentation."""
    lines = [f"| {row.name} | {row.value:.2f} {row.unit} | {_limit(row)} |" for row in found]
    bare = times["python -c pass"]
    note = f"- Bare Python took {bare:.1f} ms. Machine: {machine()}."
    return "\n".join(["| what | measured | at most |", "|---|---|---|", *lines, "", note])


def _limit(row: Row) -> str:
    return "" if row.limit is None else f"{row.limit:g} {row.unit}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"runs of each program (default: {ROUNDS})")
    parser.add_argument("--update", metavar="FILE", help="replace the table in a Markdown document")
    parser.add_argument(_INSIDE, action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    is_idle = sys.platform == "linux" and os.geteuid() == 0 and shutil.which("unshare") is not None
    if is_idle and not arguments.inside:
        return subprocess.run([*_IDLE, sys.executable, *sys.argv, _INSIDE], check=False).returncode
    times = measure(arguments.rounds)
    found = rows(times)
    print("idle network and PID namespace" if is_idle else "this machine, not idle")
    for name, milliseconds in times.items():
        print(f"{name:<58}{milliseconds:>10.1f} ms")
    print()
    for row in found:
        print(f"{row.name:<58}{row.value:>10.2f} {row.unit}  {_limit(row):>8}{'   OVER' if row.is_over else ''}")
    if arguments.update:
        update(arguments.update, "bench_cold", markdown(found, times))
    return int(any(row.is_over for row in found))


if __name__ == "__main__":
    sys.exit(main())
