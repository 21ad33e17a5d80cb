"""Run portrange on every system that can be had on this machine: `python tests/platforms/run_all.py [NAME…]`.

Each check is a program of its own beside this one, and installs what it needs. Two run at a time. At the end stands a
table; the exit status is 1 where a check failed, or where two systems gave different answers to what must be the same.
With --no-skip a check that was skipped as a whole counts as failed, which is right where everything can be installed.
Parts of checks are named at the end: those that were skipped (SKIP), and apart from them those that ran nowhere else
either (LACK), as the oldest Python, which no registry has for Linux.
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

#: The longest first, so that the short ones fill the gaps.
CHECKS = ("pythons", "wine", "s390x", "i386", "emscripten", "sandboxes")
_MINUTES = 25


@dataclass
class Outcome:
    name: str
    status: int
    seconds: float
    output: str

    @property
    def verdict(self) -> str:
        return {0: "passed", machine.SKIPPED: "skipped"}.get(self.status, "FAILED")

    def lines(self, word: str) -> list[str]:
        """What stands behind a word such as PASS at the beginning of lines."""
        return re.findall(rf"^{word} +(.*)$", self.output, re.MULTILINE)


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
    print("\ncheck       verdict  passed  seconds  skipped")
    for one in outcomes:
        skipped = "; ".join(one.lines("SKIP"))
        print(f"{one.name:<10}  {one.verdict:<7}  {len(one.lines('PASS')):>6}  {one.seconds:>7.0f}  {skipped}".rstrip())
    for difference in differences:
        print(f"DIFFERENT: {difference}")
    for line in (line for one in outcomes for line in one.lines("LACK")):
        print(f"LACKING: {line}")
    bad = {"FAILED", "skipped"} if arguments.no_skip else {"FAILED"}
    failed = sum(one.verdict in bad for one in outcomes) + len(differences)
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
        process.terminate()  # it clears up, and ends what it has started
        output = process.communicate()[0] + f"FAIL  {name}: no end within {_MINUTES} minutes\n"
    outcome = Outcome(name, process.returncode, time.monotonic() - started, output)
    print(f"=== {name}: {outcome.verdict} after {outcome.seconds:.0f} s\n{output}", end="", flush=True)
    return outcome


def compare(outcomes: list[Outcome]) -> list[str]:
    """The values that are not the same everywhere."""
    seen: dict[str, dict[str, list[str]]] = {}
    for outcome in outcomes:
        for line in outcome.lines("VALUE"):
            name, _, value = line.partition(" = ")
            seen.setdefault(name, {}).setdefault(value, []).append(outcome.name)
    for name, values in seen.items():
        if len(values) == 1:
            ((value, where),) = values.items()
            print(f"SAME  {name} = {value} in all {len(where)} runs")
    return [f"{name}: {values}" for name, values in seen.items() if len(values) > 1]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=CHECKS, metavar="NAME", help=f"of {', '.join(CHECKS)} (all)")
    parser.add_argument("--jobs", type=int, default=2, help="how many run at a time (2)")
    parser.add_argument("--no-skip", action="store_true", help="a check that was skipped as a whole has failed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
