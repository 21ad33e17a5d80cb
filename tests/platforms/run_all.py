"""Run portrange on every system that is available on this machine: `python tests/platforms/run_all.py [NAME…]`.

Each check is a separate program in this directory and installs its requirements. Two run at a time. A table is printed
at the end; the exit status is 1 if a check failed, or if systems differ in a value that must be equal. With --no-skip,
a completely skipped check counts as failed, which suits machines where everything can be installed. Skipped parts of
checks (SKIP) are listed at the end, and separately those that no other check runs either (LACK), such as the oldest
Python, which no registry offers for Linux.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import machine

#: The longest first, so that the short ones run beside them.
CHECKS = ("pythons", "freethreaded", "wine", "s390x", "systemd", "i386", "emscripten", "sandboxes")
_MINUTES = 60


@dataclass
class Outcome:
    name: str
    status: int
    seconds: float
    output: str

    @property
    def result(self) -> str:
        return {0: "passed", machine.SKIPPED: "skipped"}.get(self.status, "FAILED")

    def lines(self, keyword: str) -> list[str]:
        """Return the rest of the lines that begin with a keyword such as PASS."""
        return re.findall(rf"^{keyword} +(.*)$", self.output, re.MULTILINE)


def main() -> int:
    parser = _parser()
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(CHECKS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    started = time.monotonic()
    with ThreadPoolExecutor(arguments.jobs) as pool:
        outcomes = list(pool.map(run, [name for name in CHECKS if name in arguments.names]))
    differences = compare(outcomes)
    print("\ncheck       result   passed  seconds  skipped")
    for outcome in outcomes:
        skipped = "; ".join(outcome.lines("SKIP"))
        passed = len(outcome.lines("PASS"))
        print(f"{outcome.name:<10}  {outcome.result:<7}  {passed:>6}  {outcome.seconds:>7.0f}  {skipped}".rstrip())
    for difference in differences:
        print(f"DIFFERENT: {difference}")
    for line in (line for outcome in outcomes for line in outcome.lines("LACK")):
        print(f"LACKING: {line}")
    bad = {"FAILED", "skipped"} if arguments.no_skip else {"FAILED"}
    failures = [outcome.name for outcome in outcomes if outcome.result in bad]
    if failures:
        print(f"repeat with: {sys.executable} tests/platforms/run_all.py {' '.join(failures)}")
    failed = len(failures) + len(differences)
    print(f"{len(outcomes)} checks in {time.monotonic() - started:.0f} s, {failed} failed")
    return 1 if failed else 0


def run(name: str) -> Outcome:
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, machine.PLATFORMS / f"{name}.py"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    try:
        output = process.communicate(timeout=_MINUTES * 60)[0]
    except subprocess.TimeoutExpired:
        process.terminate()  # it removes its files and ends its processes
        output = process.communicate()[0] + f"FAIL  {name}: no end within {_MINUTES} minutes\n"
    outcome = Outcome(name, process.returncode, time.monotonic() - started, output)
    print(f"=== {name}: {outcome.result} after {outcome.seconds:.0f} s\n{output}", end="", flush=True)
    return outcome


def compare(outcomes: list[Outcome]) -> list[str]:
    """Return the values that differ between systems."""
    by_name: dict[str, dict[str, list[str]]] = {}
    for outcome in outcomes:
        for line in outcome.lines("VALUE"):
            name, _, value = line.partition(" = ")
            by_name.setdefault(name, {}).setdefault(value, []).append(outcome.name)
    for name, values in by_name.items():
        if len(values) == 1:
            ((value, where),) = values.items()
            print(f"SAME  {name} = {value} in all {len(where)} runs")
    return [f"{name}: {values}" for name, values in by_name.items() if len(values) > 1]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=CHECKS, metavar="NAME", help=f"of {', '.join(CHECKS)} (all)")
    parser.add_argument("--jobs", type=int, default=2, help="number of concurrent checks (2)")
    parser.add_argument("--no-skip", action="store_true", help="count a completely skipped check as failed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
