"""Random worlds of sockets, described by portrange, ss, lsof and psutil, and compared with what is true.

    python tests/trust/oracle.py --worlds 1000          random seeds, which are printed
    python tests/trust/oracle.py --seed 4711            one world again

As root, on Linux. What portrange says must be exactly the truth; what the others say must follow from it by the rules
of `trust.rivals`. Ends with status 1 and a line for each difference that does not.
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

from live.cgroups import Cgroups
from trust import rivals, witnesses
from trust.random_world import PORTS, Made, as_plain, in_a_world
from trust.witnesses import Row

import portrange

_GROUPS = ("web.service", "data.service", "docker/" + "5" * 64)
_ANSWERS = ("listeners", "exhaustive", "who_listens", "frozen", "tables")
#: lsof closes as many descriptors as it may have; a world needs few.
_DESCRIPTORS = 256
#: Where cgroup2 is alone, its root is here (systemd's file-hierarchy).
_UNIFIED = Path("/sys/fs/cgroup/cgroup.controllers")


class NoSockDiag(portrange.Host):
    """A kernel that does not answer: the tables of procfs have to do."""

    def sock_diag(self, request: bytes) -> Iterator[bytes]:
        raise PermissionError("no NETLINK_SOCK_DIAG here")


@dataclass
class Report:
    """What was found out about one world."""

    seed: int
    listeners: int = 0
    others: int = 0
    holders: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    unexplained: list[str] = field(default_factory=list)


# --- in the midst of a world ----------------------------------------------------------------------------------------


def ask(tools: tuple[str, ...], made: list[Made]) -> dict[str, Any]:
    """What everybody says, as plain values."""
    ports = sorted({*PORTS, *(one.port for one in made)})
    frozen = portrange.Host().snapshot()
    refused = NoSockDiag()
    said: dict[str, Any] = {
        "truth": as_plain(made),
        "listeners": portrange.listeners().to_dicts(),
        "exhaustive": portrange.listeners(exhaustive=True).to_dicts(),
        "who_listens": [row for port in ports for row in portrange.who_listens(port).to_dicts()],
        "frozen": [row for port in ports for row in portrange.who_listens(port, host=frozen).to_dicts()],
        "tables": portrange.listeners(host=refused).to_dicts(),
    }
    if "psutil" in tools:
        said["portable"] = portrange.listeners(host=portrange.Host(backend="portable")).to_dicts()
    if "ss" in tools:
        said["ss"] = witnesses.run(witnesses.SS)
    if "lsof" in tools:
        said["lsof"] = witnesses.run(witnesses.LSOF)
    if "psutil" in tools:
        said["psutil"] = witnesses.ask_psutil()
    return said


def check(tools: tuple[str, ...], groups: list[tuple[str, str]], seed: int) -> Report:
    """Make the world of a seed, ask everybody, compare."""
    memory = os.memfd_create("what was said")

    def then(made: list[Made]) -> None:
        with open(memory, "w", encoding="utf-8", closefd=False) as file:
            json.dump(ask(tools, made), file)

    try:
        in_a_world(seed, groups, then)
        with open(memory, encoding="utf-8", closefd=False) as file:
            file.seek(0)
            said = json.load(file)
    finally:
        os.close(memory)
    return compare(seed, said)


# --- outside --------------------------------------------------------------------------------------------------------


def compare(seed: int, said: dict[str, Any]) -> Report:
    made = [Made(**{**one, "holders": dict(one["holders"])}) for one in said["truth"]]
    there = [one for one in made if one.listens]
    report = Report(seed, len(there), len(made) - len(there), sum(len(one.holders) for one in there))
    report.kinds.update(one.kind for one in made)
    truth = [true_row(one) for one in there]
    plain = [row._replace(family="ipv4") if row.family == "ipv4-mapped" else row for row in truth]
    for name in _ANSWERS:
        report.unexplained += own_differences(name, there, plain, said[name])
    if "portable" in said:
        report.unexplained += rivals.difference("portable", merged(plain), merged(witnesses.read_own(said["portable"])))
    readers = {"ss": witnesses.parse_ss, "lsof": witnesses.parse_lsof, "psutil": witnesses.read_psutil}
    for tool, read in readers.items():
        if tool in said:
            needed, unexplained = rivals.judge(tool, truth, read(said[tool]))
            report.rules += needed
            report.unexplained += unexplained
    return report


def true_row(one: Made) -> Row:
    """The truth in the form of a witness; how an IPv4 address was bound is kept for what the rivals make of it."""
    pids = tuple(sorted(one.holders))
    family = "ipv4-mapped" if one.mapped else one.family
    names = tuple(one.holders[pid] for pid in pids)
    return Row(one.protocol, family, one.address, one.port, one.dual_stack, one.interface, pids, names)


def merged(rows: list[Row]) -> list[Row]:
    """As psutil has it, which knows no sockets but addresses: those that share one are one listener."""
    holders: dict[Row, dict[int, str]] = {}
    for row in rows:
        bare = row._replace(pids=(), names=(), dual_stack=None, interface=None)
        holders.setdefault(bare, {}).update(zip(row.pids, row.names or (), strict=True))
    return [
        row._replace(pids=tuple(sorted(names)), names=tuple(names[pid] for pid in sorted(names)))
        for row, names in holders.items()
    ]


def own_differences(name: str, there: list[Made], truth: list[Row], said: list[dict[str, Any]]) -> list[str]:
    """Whatever an answer of portrange says that is not so, or does not say."""
    rows = witnesses.read_own(said)
    if name == "tables":  # which do not tell these
        truth = [row._replace(dual_stack=None if _is_any(row) else False, interface=None) for row in truth]
        return rivals.difference(name, truth, rows)
    if name == "exhaustive":
        found = rivals.difference(name, truth, rows)
    else:
        # Without owners: those outside of the socket's own service need not be among them.
        bare = [row._replace(pids=(), names=()) for row in truth]
        found = rivals.difference(name, bare, [row._replace(pids=(), names=()) for row in rows])
        found += _owner_differences(name, there, said)
    facts = Counter((one.protocol, one.address, one.port, one.uid, one.cgroup) for one in there)
    told = Counter((row["protocol"], row["address"], row["port"], row["uid"], _group(row)) for row in said)
    if all(one.cgroup == "/" for one in there):  # perhaps there are no groups here at all
        facts = Counter({key[:4]: count for key, count in _by(facts, 4).items()})
        told = _by(told, 4)
    if facts != told:
        found.append(f"{name}: user or control group: {facts - told} is so, and {told - facts} is said")
    found += [f"{name}: hidden from root: {row}" for row in said if row["hidden"] or row["possible_owners"]]
    return found


def _group(row: dict[str, Any]) -> str | None:
    """A control group. The root of cgroup2 says nothing beside hierarchies of version 1, so it is not told without a
    holder, whose group in another one counts then."""
    untold = row["cgroup"] is None and not row["owners"] and not _UNIFIED.exists()
    return "/" if untold else row["cgroup"]


def _by(counted: Counter[Any], length: int) -> Counter[Any]:
    shorter: Counter[Any] = Counter()
    for key, count in counted.items():
        shorter[key[:length]] += count
    return shorter


def _is_any(row: Row) -> bool:
    return row.address == "::"


def _owner_differences(name: str, there: list[Made], said: list[dict[str, Any]]) -> list[str]:
    """Owners that hold nothing, and holders left out though their own service, or everybody, was looked into.

    Sockets that share everything that is shown of them stand for each other: each row must fit one that is there.
    """
    found = []
    for row in said:
        same = [one for one in there if (one.protocol, one.address, one.port) == _key(row)]
        if not any(_fits(one, row) for one in same):
            found.append(f"{name}: {_shown(row)}, where there are {same}")
    return found


def _shown(row: dict[str, Any]) -> str:
    owners = [f"{owner['name']} ({owner['pid']})" for owner in row["owners"]]
    return f"{_key(row)} of {row['cgroup']} held by {owners} in scope {row['scope']}"


def _key(row: dict[str, Any]) -> tuple[str, str, int]:
    return row["protocol"], row["address"], row["port"]


def _fits(one: Made, row: dict[str, Any]) -> bool:
    owners = {owner["pid"]: owner["name"] for owner in row["owners"]}
    if not owners.items() <= one.holders.items():
        return False
    if row["scope"] == "host":
        return owners == one.holders
    return bool(one.neighbours) and set(one.neighbours) <= set(owners)


def tools_here() -> tuple[str, ...]:
    """The rivals that are installed."""
    found = [name for name in ("ss", "lsof") if shutil.which(name)]
    try:
        import psutil
    except ImportError:
        return tuple(found)
    del psutil
    return (*found, "psutil")


def check_all(seeds: list[int], jobs: int) -> Iterator[Report]:
    """The reports of many worlds, with control groups where they can be made."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    portrange.listeners()  # loads what it needs, for all worlds
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
    parser.add_argument("--worlds", type=int, default=200, metavar="N", help="how many (default: 200)")
    parser.add_argument("--first", type=int, metavar="SEED", help="the first of N seeds in a row (default: random)")
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
        total.holders += report.holders
        total.kinds += report.kinds
        total.rules += report.rules
        total.unexplained += [f"seed {report.seed}: {line}" for line in report.unexplained]
    print(f"worlds {len(seeds)}, seeds {seeds[0]} to {seeds[-1]}, beside {', '.join(tools_here())}")
    print(f"listeners {total.listeners} with {total.holders} holders, other sockets {total.others}")
    print("made: " + ", ".join(f"{kind} {count}" for kind, count in total.kinds.most_common()))
    for rule in rivals.RULES:
        print(f"explained {total.rules[rule.about]:5}  {rule.about}")
    print(f"unexplained {len(total.unexplained):3}")
    print("\n".join(total.unexplained))
    print(f"seconds {time.monotonic() - began:.0f}", flush=True)
    return 1 if total.unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
