"""Compare portrange, ss, lsof and psutil with the truth on random sockets and processes.

    python tests/trust/oracle.py --worlds 1000          random seeds, which are printed
    python tests/trust/oracle.py --seed 4711            repeat one world

Requires root on Linux. The results of portrange must be exact; those of the other tools must follow from the truth by
the rules of `trust.rivals`. Exits with status 1 and one line per unexplained difference.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import secrets
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from fakes import SystemHost
from live.cgroups import Cgroups
from trust import rivals, witnesses
from trust.random_world import PORTS, Made, as_plain, in_a_world
from trust.witnesses import Row

import portrange

_GROUPS = ("web.service", "data.service", "docker/" + "5" * 64)
_ANSWERS = ("listeners", "exhaustive", "who_listens", "snapshot", "tables")
#: lsof closes all descriptors up to the limit, so a low limit makes it faster.
_DESCRIPTORS = 256
#: Exists if cgroup2 is the only hierarchy (systemd's file-hierarchy).
_UNIFIED = Path("/sys/fs/cgroup/cgroup.controllers")


class NoSockDiag(SystemHost):
    """A host without NETLINK_SOCK_DIAG, which falls back to the procfs tables."""

    def sock_diag(self, request: bytes) -> Iterator[bytes]:
        raise PermissionError("no NETLINK_SOCK_DIAG here")


@dataclass
class Report:
    """The counts and differences of one world."""

    seed: int
    listeners: int = 0
    others: int = 0
    owners: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    unexplained: list[str] = field(default_factory=list)


# --- within a world -------------------------------------------------------------------------------------------------


def ask(tools: tuple[str, ...], made: list[Made]) -> dict[str, Any]:
    """Return the results of all tools and the truth as JSON-compatible values."""
    ports = sorted({*PORTS, *(entry.port for entry in made)})
    snapshot = portrange.Host().snapshot()
    refused = NoSockDiag()
    reported: dict[str, Any] = {
        "truth": as_plain(made),
        "listeners": portrange.listeners().to_dicts(),
        "exhaustive": portrange.listeners(exhaustive=True).to_dicts(),
        "who_listens": [row for port in ports for row in portrange.who_listens(port).to_dicts()],
        "snapshot": [row for port in ports for row in portrange.who_listens(port, host=snapshot).to_dicts()],
        "tables": portrange.listeners(host=refused).to_dicts(),
    }
    if "psutil" in tools:
        reported["portable"] = portrange.listeners(host=portrange.Host(backend="portable")).to_dicts()
    if "ss" in tools:
        reported["ss"] = witnesses.run(witnesses.SS)
    if "lsof" in tools:
        reported["lsof"] = witnesses.run(witnesses.LSOF)
    if "psutil" in tools:
        reported["psutil"] = witnesses.ask_psutil()
    return reported


def check(tools: tuple[str, ...], groups: list[tuple[str, str]], seed: int) -> Report:
    """Create the world of a seed, run all tools in it, and compare their results."""
    memory = os.memfd_create("results")

    def then(made: list[Made]) -> None:
        with open(memory, "w", encoding="utf-8", closefd=False) as file:
            json.dump(ask(tools, made), file)

    try:
        in_a_world(seed, groups, then)
        with open(memory, encoding="utf-8", closefd=False) as file:
            file.seek(0)
            reported = json.load(file)
    finally:
        os.close(memory)
    return compare(seed, reported)


# --- comparison -----------------------------------------------------------------------------------------------------


def compare(seed: int, reported: dict[str, Any]) -> Report:
    made = [Made(**{**entry, "owners": dict(entry["owners"])}) for entry in reported["truth"]]
    listeners = [entry for entry in made if entry.listens]
    report = Report(seed, len(listeners), len(made) - len(listeners), sum(len(entry.owners) for entry in listeners))
    report.kinds.update(entry.kind for entry in made)
    truth = [true_row(entry) for entry in listeners]
    plain = [row._replace(family="ipv4") if row.family == "ipv4-mapped" else row for row in truth]
    for name in _ANSWERS:
        report.unexplained += own_differences(name, listeners, plain, reported[name])
    if "portable" in reported:
        report.unexplained += rivals.difference(
            "portable", merged(plain), merged(witnesses.read_own(reported["portable"]))
        )
    readers = {"ss": witnesses.parse_ss, "lsof": witnesses.parse_lsof, "psutil": witnesses.read_psutil}
    for tool, read in readers.items():
        if tool in reported:
            needed, unexplained = rivals.explain(tool, truth, read(reported[tool]))
            report.rules += needed
            report.unexplained += unexplained
    return report


def true_row(made: Made) -> Row:
    """Convert the truth to a row; keeps whether an address is IPv4-mapped, because the rules depend on it."""
    pids = tuple(sorted(made.owners))
    family = "ipv4-mapped" if made.mapped else made.family
    names = tuple(made.owners[pid] for pid in pids)
    return Row(made.protocol, family, made.address, made.port, made.dual_stack, made.interface, pids, names)


def merged(rows: list[Row]) -> list[Row]:
    """Merge sockets with the same address, as psutil reports addresses instead of sockets."""
    owners: dict[Row, dict[int, str]] = {}
    for row in rows:
        bare = row._replace(pids=(), names=(), dual_stack=None, interface=None)
        owners.setdefault(bare, {}).update(zip(row.pids, row.names or (), strict=True))
    return [
        row._replace(pids=tuple(sorted(names)), names=tuple(names[pid] for pid in sorted(names)))
        for row, names in owners.items()
    ]


def own_differences(name: str, listeners: list[Made], truth: list[Row], reported: list[dict[str, Any]]) -> list[str]:
    """Return the differences between a portrange result and the truth."""
    rows = witnesses.read_own(reported)
    if name == "tables":  # the tables do not contain these fields
        truth = [row._replace(dual_stack=None if _is_any(row) else False, interface=None) for row in truth]
        return rivals.difference(name, truth, rows)
    if name == "exhaustive":
        found = rivals.difference(name, truth, rows)
    else:
        # Compare without owners, because owners outside the service of the socket may be missing.
        bare = [row._replace(pids=(), names=()) for row in truth]
        found = rivals.difference(name, bare, [row._replace(pids=(), names=()) for row in rows])
        found += _owner_differences(name, listeners, reported)
    facts = Counter((made.protocol, made.address, made.port, made.uid, made.cgroup) for made in listeners)
    found_facts = Counter((row["protocol"], row["address"], row["port"], row["uid"], _group(row)) for row in reported)
    if all(made.cgroup == "/" for made in listeners):  # cgroups may be unavailable on this machine
        facts = Counter({key[:4]: count for key, count in _by(facts, 4).items()})
        found_facts = _by(found_facts, 4)
    if facts != found_facts:
        found.append(f"{name}: user or cgroup: expected {facts - found_facts}, reported {found_facts - facts}")
    found += [f"{name}: hidden from root: {row}" for row in reported if row["hidden"] or row["possible_owners"]]
    return found


def _group(row: dict[str, Any]) -> str | None:
    """Return the cgroup of a row. Beside cgroup v1, the cgroup2 root is reported only for sockets with an owner."""
    unknown = row["cgroup"] is None and not row["owners"] and not _UNIFIED.exists()
    return "/" if unknown else row["cgroup"]


def _by(counted: Counter[Any], length: int) -> Counter[Any]:
    shorter: Counter[Any] = Counter()
    for key, count in counted.items():
        shorter[key[:length]] += count
    return shorter


def _is_any(row: Row) -> bool:
    return row.address == "::"


def _owner_differences(name: str, listeners: list[Made], reported: list[dict[str, Any]]) -> list[str]:
    """Return rows with wrong owners, or without owners that the search must have found.

    Sockets with equal fields are interchangeable: each row must match one of them.
    """
    found = []
    for row in reported:
        same = [made for made in listeners if (made.protocol, made.address, made.port) == _key(row)]
        if not any(_fits(made, row) for made in same):
            found.append(f"{name}: {_shown(row)}, expected one of {same}")
    return found


def _shown(row: dict[str, Any]) -> str:
    owners = [f"{owner['name']} ({owner['pid']})" for owner in row["owners"]]
    return f"{_key(row)} of {row['cgroup']} owned by {owners} in scope {row['scope']}"


def _key(row: dict[str, Any]) -> tuple[str, str, int]:
    return row["protocol"], row["address"], row["port"]


def _fits(made: Made, row: dict[str, Any]) -> bool:
    owners = {owner["pid"]: owner["name"] for owner in row["owners"]}
    if not owners.items() <= made.owners.items():
        return False
    if row["scope"] == "host":
        return owners == made.owners
    return bool(made.neighbours) and set(made.neighbours) <= set(owners)


def tools_here() -> tuple[str, ...]:
    """Return the names of the installed tools."""
    found = [name for name in ("ss", "lsof") if shutil.which(name)]
    try:
        import psutil
    except ImportError:
        return tuple(found)
    del psutil
    return (*found, "psutil")


def check_all(seeds: list[int], jobs: int) -> Iterator[Report]:
    """Yield the reports of many worlds, with cgroups if they can be created."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    portrange.listeners()  # imports all modules before the fork
    made = Cgroups.where_possible()
    groups = [] if made is None else [(made.make(name), made.path(name)) for name in _GROUPS]
    try:
        with ProcessPoolExecutor(jobs, get_context("fork")) as pool:
            yield from pool.map(partial(check, tools_here(), groups), seeds)
    finally:
        if made is not None:
            made.close()


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare portrange with ss, lsof, psutil and the truth.")
    parser.add_argument("--worlds", type=int, default=200, metavar="N", help="number of worlds (default: 200)")
    parser.add_argument("--first", type=int, metavar="SEED", help="the first of N consecutive seeds (default: random)")
    parser.add_argument("--seed", type=int, help="one world only")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="worlds at a time")
    arguments = parser.parse_args()
    first = secrets.randbelow(10**6) if arguments.first is None else arguments.first
    seeds = [arguments.seed] if arguments.seed is not None else list(range(first, first + arguments.worlds))
    began = time.monotonic()
    total = Report(first)
    for report in check_all(seeds, arguments.jobs):
        total.listeners += report.listeners
        total.others += report.others
        total.owners += report.owners
        total.kinds += report.kinds
        total.rules += report.rules
        total.unexplained += [f"seed {report.seed}: {line}" for line in report.unexplained]
    print(f"worlds {len(seeds)}, seeds {seeds[0]} to {seeds[-1]}, beside {', '.join(tools_here())}")
    print(f"listeners {total.listeners} with {total.owners} owners, other sockets {total.others}")
    print("made: " + ", ".join(f"{kind} {count}" for kind, count in total.kinds.most_common()))
    for rule in rivals.RULES:
        print(f"explained {total.rules[rule.about]:5}  {rule.about}")
    print(f"unexplained {len(total.unexplained):3}")
    print("\n".join(total.unexplained))
    print(f"seconds {time.monotonic() - began:.0f}", flush=True)
    return 1 if total.unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
