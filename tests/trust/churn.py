"""Processes that fork, exit and exchange sockets while threads and processes ask who listens.

    python tests/trust/churn.py --seconds 60 [--seed N]

As root, on Linux; all of it happens in namespaces of its own. Every answer is held against what the holders wrote down
(`trust.holding_log`): no owner that did not hold the socket, no process under a number that was used again, nothing
left out that was certainly there. Whoever asks must have as many descriptors and as much memory at the end as before.
Ends with status 1 and a line for each fault.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import secrets
import socket
import sys
import tempfile
import threading
import time
import traceback
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from live.cgroups import Cgroups
from live.stage import (
    CLONE_NEWPID,
    become_nobody,
    join_cgroup,
    mount_proc,
    new_mounts,
    new_network,
    tcp,
    udp,
    unshare,
)
from trust.churn_worker import FIRST_PORT, PORTS_EACH, Worker, now, started
from trust.holding_log import Answer, Endpoint, Log, Owner

import portrange

WORKERS = 6
#: Sockets that stay: with them a list takes several datagrams of the kernel's, between which the others change.
STEADY = 120
_STEADY_PORT = FIRST_PORT + WORKERS * PORTS_EACH
#: Who asks: how many threads, and as whom.
ASKERS = {"threads": (3, False), "process": (1, False), "nobody": (1, True)}
#: What may come and go with one answer or another: a cache that is filled, a frame of a traceback.
_MEMORY_SLACK = 512 * 1024
#: A socket that is passed on at that very moment may be seen with nobody; more often than so, it is a defect.
_FEW, _RARELY = 3, 0.003
_LAST_NOTES_SECONDS = 0.5
#: How many of the ports just heard of are asked about next.
_RECENT = 20


@dataclass
class Outcome:
    """What came of it."""

    seed: int
    answers: int = 0
    listeners: int = 0
    owners: int = 0
    #: Told to be held by nobody whom one can see, although somebody had it all the time: passed on while one looked.
    unseen: int = 0
    #: Hidden from root, to whom nothing is: passed on faster than one can look.
    hidden: int = 0
    holdings: int = 0
    processes: int = 0
    numbers: int = 0
    faults: list[str] = field(default_factory=list)
    #: What was written down about the endpoints of the first faulty answer.
    histories: list[str] = field(default_factory=list)
    askers: dict[str, dict[str, Any]] = field(default_factory=dict)


# --- those who ask ----------------------------------------------------------------------------------------------------


class Asker:
    """A process that asks from one or several threads, and writes down what it was told."""

    def __init__(self, name: str, directory: Path, seed: int) -> None:
        self.name = name
        self.seed = seed
        self.answers = os.open(directory / f"answers-{name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        self.summary = os.open(directory / f"summary-{name}", os.O_WRONLY | os.O_CREAT, 0o666)
        self.booted = _booted()
        self.ticks = os.sysconf("SC_CLK_TCK")

    def run(self, threads: int, seconds: float) -> None:
        """Ask for so long; what a quarter of the time leaves behind counts as filled caches."""
        began = time.monotonic()
        self._ask_from(threads, began + seconds / 4)
        tracemalloc.start()
        self._ask_from(threads, began + seconds / 2)
        before = _possessions()
        self._ask_from(threads, began + seconds)
        after = _possessions()
        tracemalloc.stop()
        os.write(self.summary, json.dumps({"before": before, "after": after}).encode())

    def _ask_from(self, threads: int, until: float) -> None:
        there = [threading.Thread(target=self._ask, args=(number, until)) for number in range(threads)]
        for thread in there:
            thread.start()
        for thread in there:
            thread.join()

    def _ask(self, number: int, until: float) -> None:
        chosen = random.Random(self.seed + number)
        host = portrange.Host()
        seen = [_STEADY_PORT]
        while time.monotonic() < until:
            port = chosen.choice(seen) if chosen.random() < 0.7 else None
            exhaustive = chosen.random() < 0.3
            asked = chosen.choice((None, host, portrange.Host().snapshot()))
            began = now()
            try:
                if port is None:
                    told = portrange.listeners(exhaustive=exhaustive, host=asked)
                else:
                    told = portrange.who_listens(port, exhaustive=exhaustive, host=asked)
                    portrange.why_busy(port, address="127.0.0.1")
            except Exception:  # noqa: BLE001 - which is what must not happen
                self._write({"error": traceback.format_exc()})
                continue
            ended = now()
            seen = [one.port for one in told if one.port < _STEADY_PORT][-_RECENT:] or [_STEADY_PORT]
            rows = [self._row(one) for one in told]
            self._write(
                {"began": began, "ended": ended, "asked": port, "all": exhaustive, "incomplete": told.incomplete, "rows": rows}
            )

    def _row(self, one: portrange.Socket) -> list[Any]:
        owners = [
            [owner.pid, round(((owner.started or 0) - self.booted) * self.ticks), owner.name] for owner in one.owners
        ]
        return [one.protocol, one.port, one.scope, one.hidden, owners]

    def _write(self, answer: dict[str, Any]) -> None:
        os.write(self.answers, json.dumps(answer).encode() + b"\n")


def _possessions() -> dict[str, int]:
    gc.collect()
    with open("/proc/self/status", encoding="utf-8") as file:
        resident = next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "traced": tracemalloc.get_traced_memory()[0],
        "resident": resident * 1024,
    }


def _booted() -> int:
    with open("/proc/stat", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("btime"))


# --- the world --------------------------------------------------------------------------------------------------------


def churn(directory: Path, seconds: float, seed: int, groups: list[str]) -> None:
    """As process 1 of a world: start everybody, wait for those who ask, end."""
    log = os.open(directory / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    steady = _stay(log)
    portrange.listeners()
    ends = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(WORKERS)]
    for number in range(WORKERS):
        if os.fork() == 0:
            _close_all(steady)
            if groups:
                join_cgroup(groups[number % len(groups)])
            _run(lambda: Worker(number, seed + number, log, ends[number - 1][1], ends[number][0]).run())  # noqa: B023
    for left, right in ends:
        left.close()
        right.close()
    os.chmod(directory, 0o777)  # one of those who write there is nobody
    asking = []
    for name, (threads, as_nobody) in ASKERS.items():
        pid = os.fork()
        if pid == 0:
            _close_all(steady)
            asker = Asker(name, directory, seed)
            if as_nobody:
                become_nobody()
            _run(lambda: asker.run(threads, seconds))  # noqa: B023
        asking.append(pid)
    for pid in asking:
        _, status = os.waitpid(pid, 0)
        if status:
            raise ChildProcessError(f"somebody who asked ended with status {status}")
    # Whoever has done something may still have to write it down.
    time.sleep(_LAST_NOTES_SECONDS)
    del steady


def _stay(log: int) -> list[socket.socket]:
    """Sockets of process 1 that are there all the time."""
    who = f"{os.getpid()} {started(os.getpid())} 0"
    with open("/proc/self/comm", encoding="utf-8") as file:
        name = file.read().strip()
    os.write(log, f"name 0 0 {who} {name}\n".encode())
    made = []
    for number in range(STEADY):
        kind, endpoint = ((tcp, "tcp"), (udp, "udp"))[number % 2], _STEADY_PORT + number
        before = now()
        made.append(kind[0]("127.0.0.1", endpoint))
        os.write(log, f"take {before} {now()} {who} {kind[1]} {endpoint}\n".encode())
    return made


def _close_all(sockets: list[socket.socket]) -> None:
    for one in sockets:
        one.close()


def _run(program: Callable[[], None]) -> None:
    """As a child: do it and end."""
    try:
        program()
        os._exit(0)
    except BaseException:  # noqa: BLE001 - a child must never go on with its parent's program
        traceback.print_exc()
        os._exit(1)


def in_own_namespaces(program: Callable[[], None]) -> None:
    """Run it as process 1 of new namespaces; every process there ends with it."""

    def enter() -> None:
        new_network()
        new_mounts()
        unshare(CLONE_NEWPID)
        first = os.fork()
        if first == 0:
            mount_proc()
            _run(program)
        _, status = os.waitpid(first, 0)
        os._exit(1 if status else 0)

    pid = os.fork()
    if pid == 0:
        _run(enter)
    _, status = os.waitpid(pid, 0)
    if status:
        raise ChildProcessError("the world failed; the reason was printed above")


# --- the judgement ----------------------------------------------------------------------------------------------------


def judge(directory: Path, seed: int) -> Outcome:
    outcome = Outcome(seed)
    log = Log()
    with open(directory / "log", encoding="utf-8") as file:
        log.read(file)
    outcome.holdings = sum(len(held) for there in log.holdings.values() for held in there.values())
    outcome.processes = len(log.names)
    outcome.numbers = len({identity.pid for identity in log.names})
    for name, (_, is_nobody) in ASKERS.items():
        answers = list(_read_answers(directory / f"answers-{name}", outcome, name, sees_all=not is_nobody))
        for answer, faults in log.judge(answers):
            outcome.answers += 1
            outcome.listeners += len(answer.owners)
            outcome.owners += sum(map(len, answer.owners.values()))
            outcome.unseen += sum(log.always_held(one, answer.began, answer.ended) for one in answer.nobody)
            when = f"asked for {answer.asked or 'all'} from {answer.began} to {answer.ended}"
            outcome.faults += [f"{name}: {fault} ({when})" for fault in faults]
            if faults and not outcome.histories:
                mentioned = [endpoint for endpoint in log.holdings if any(str(endpoint) in fault for fault in faults)]
                outcome.histories += [when, *(line for endpoint in mentioned for line in log.history(endpoint))]
        summary = json.loads((directory / f"summary-{name}").read_text(encoding="utf-8"))
        outcome.askers[name] = summary
    for what, number in (("seen with nobody", outcome.unseen), ("hidden from root", outcome.hidden)):
        if number > max(_FEW, outcome.listeners * _RARELY):
            outcome.faults.append(f"{number} listeners were {what}")
    for name, summary in outcome.askers.items():
        outcome.faults += [f"{name}: {fault}" for fault in leaks(summary["before"], summary["after"])]
    return outcome


def leaks(before: dict[str, int], after: dict[str, int]) -> list[str]:
    """What somebody who asked for a while has that was not there before."""
    found = [
        f"{name} were {before[name]} and are {after[name]}"
        for name in ("descriptors", "threads")
        if before[name] != after[name]
    ]
    if after["traced"] > before["traced"] + _MEMORY_SLACK:
        found.append(f"memory grew from {before['traced']} to {after['traced']} bytes")
    return found


def _read_answers(path: Path, outcome: Outcome, name: str, *, sees_all: bool) -> Iterator[Answer]:
    with open(path, encoding="utf-8") as file:
        for line in file:
            told = json.loads(line)
            if "error" in told:
                outcome.faults.append(f"{name}: {told['error']}")
                continue
            owners: dict[Endpoint, list[Owner]] = {}
            complete, nobody = set(), set()
            for protocol, port, scope, hidden, holders in told["rows"]:
                endpoint = Endpoint(protocol, port)
                owners.setdefault(endpoint, []).extend(Owner(*holder) for holder in holders)
                if sees_all and (told["all"] or scope == "host"):
                    complete.add(endpoint)
                if not holders and not hidden:
                    nobody.add(endpoint)
                outcome.hidden += hidden and sees_all
            outcome.faults += [f"{name}: gap: {gap}" for gap in told["incomplete"]]
            yield Answer(told["began"], told["ended"], told["asked"], owners, complete, nobody)


def run(seconds: float, seed: int) -> Outcome:
    """Make the world, let it churn, judge every answer that was given there."""
    groups = Cgroups.where_possible()
    try:
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            directory.chmod(0o755)
            made = [] if groups is None else [groups.make(f"churn-{number}.service") for number in range(2)]
            in_own_namespaces(lambda: churn(directory, seconds, seed, made))
            return judge(directory, seed)
    finally:
        if groups is not None:
            groups.close()


def main() -> int:
    parser = argparse.ArgumentParser(description="Ask who listens while everything changes, and check every answer.")
    parser.add_argument("--seconds", type=float, default=60, help="how long (default: 60)")
    parser.add_argument("--seed", type=int, help="what everybody does follows from it, but not when (default: random)")
    arguments = parser.parse_args()
    seed = secrets.randbelow(10**6) if arguments.seed is None else arguments.seed
    outcome = run(arguments.seconds, seed)
    print(f"seed {seed}, seconds {arguments.seconds:g}, workers {WORKERS}, steady sockets {STEADY}")
    print(f"holdings {outcome.holdings} by {outcome.processes} processes with {outcome.numbers} numbers")
    print(f"answers {outcome.answers}, listeners {outcome.listeners}, owners checked {outcome.owners}")
    print(f"passed on behind the search: {outcome.unseen} seen with nobody, {outcome.hidden} hidden")
    for name, summary in outcome.askers.items():
        changes = ", ".join(
            f"{what} {summary['before'][what]} -> {summary['after'][what]}" for what in summary["after"]
        )
        print(f"{name}: {changes}")
    kinds = Counter(fault.partition(" (")[0] for fault in outcome.faults)
    print(f"faults {len(outcome.faults)}")
    print("\n".join(f"{count} x {fault}" for fault, count in kinds.most_common(50)))
    print("\n".join(outcome.histories), flush=True)
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())
