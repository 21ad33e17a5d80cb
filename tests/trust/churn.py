"""Processes that fork, exit and exchange sockets while threads and processes query listeners.

    python tests/trust/churn.py --queries 3000 [--seed N]

Requires root on Linux; runs in its own namespaces. Every result is compared with the log of the owners
(`trust.holding_log`): no owner without the socket, no process with a reused PID, no omission of a socket that certainly
existed. The descriptors and the memory of the querying processes must not grow. Exits with status 1 and one line per
fault.
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
#: Permanent sockets: they make a list span several netlink datagrams, between which the other sockets change.
STEADY = 120
_STEADY_PORT = FIRST_PORT + WORKERS * PORTS_EACH
#: The querying processes: number of threads, and whether they run as an unprivileged user.
CLIENTS = {"threads": (3, False), "process": (1, False), "unprivileged": (1, True)}
#: Memory that may vary between queries: a filled cache, a frame of a traceback.
_MEMORY_SLACK = 512 * 1024
_LAST_NOTES_SECONDS = 0.5
#: Number of recently reported ports to query next.
_RECENT = 20


@dataclass
class Outcome:
    """The counts and faults of a run."""

    seed: int
    answers: int = 0
    listeners: int = 0
    owners: int = 0
    #: Listeners reported without an owner although they always had one: transferred during the search.
    unseen: int = 0
    #: Listeners hidden from root, which can read everything: transferred during the search, too.
    hidden: int = 0
    holdings: int = 0
    processes: int = 0
    numbers: int = 0
    faults: list[str] = field(default_factory=list)
    #: Log lines about the endpoints of the first faulty result.
    histories: list[str] = field(default_factory=list)
    clients: dict[str, dict[str, Any]] = field(default_factory=dict)


# --- the querying processes -------------------------------------------------------------------------------------------


class Client:
    """A process that queries from one or several threads and logs the results."""

    def __init__(self, name: str, directory: Path, seed: int) -> None:
        self.name = name
        self.seed = seed
        self.answers = os.open(directory / f"answers-{name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        self.summary = os.open(directory / f"summary-{name}", os.O_WRONLY | os.O_CREAT, 0o666)
        self.booted = _booted()
        self.ticks = os.sysconf("SC_CLK_TCK")

    def run(self, threads: int, queries: int) -> None:
        """Query *queries* times from each thread. Memory in use after half of them counts as filled caches."""
        quarter = queries // 4
        self._ask_from(threads, quarter)
        tracemalloc.start()
        self._ask_from(threads, quarter)
        before = _resources_in_use()
        self._ask_from(threads, queries - 2 * quarter)
        after = _resources_in_use()
        tracemalloc.stop()
        os.write(self.summary, json.dumps({"before": before, "after": after}).encode())

    def _ask_from(self, threads: int, queries: int) -> None:
        started_threads = [threading.Thread(target=self._ask, args=(number, queries)) for number in range(threads)]
        for thread in started_threads:
            thread.start()
        for thread in started_threads:
            thread.join()

    def _ask(self, number: int, queries: int) -> None:
        chosen = random.Random(self.seed + number)
        host = portrange.Host()
        recent = [_STEADY_PORT]
        for _ in range(queries):
            port = chosen.choice(recent) if chosen.random() < 0.7 else None
            exhaustive = chosen.random() < 0.3
            queried = chosen.choice((None, host, portrange.Host().snapshot()))
            began = now()
            try:
                if port is None:
                    found = portrange.listeners(exhaustive=exhaustive, host=queried)
                else:
                    found = portrange.who_listens(port, exhaustive=exhaustive, host=queried)
                    portrange.why_busy(port, address="127.0.0.1")
            except Exception:  # noqa: BLE001 - every exception is a fault
                self._write({"error": traceback.format_exc()})
                continue
            ended = now()
            recent = [listener.port for listener in found if listener.port < _STEADY_PORT][-_RECENT:] or [_STEADY_PORT]
            rows = [self._row(listener) for listener in found]
            self._write(
                {
                    "began": began,
                    "ended": ended,
                    "port": port,
                    "all": exhaustive,
                    "incomplete": found.incomplete,
                    "rows": rows,
                }
            )

    def _row(self, listener: portrange.Socket) -> list[Any]:
        owners = [
            [owner.pid, round(((owner.started or 0) - self.booted) * self.ticks), owner.name]
            for owner in listener.owners
        ]
        return [listener.protocol, listener.port, listener.scope, listener.hidden, owners]

    def _write(self, answer: dict[str, Any]) -> None:
        os.write(self.answers, json.dumps(answer).encode() + b"\n")


def _resources_in_use() -> dict[str, int]:
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


def churn(directory: Path, queries: int, seed: int, groups: list[str]) -> None:
    """As process 1 of the namespaces: start all processes and wait for the querying ones."""
    log = os.open(directory / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    steady = _stay(log)
    portrange.listeners()
    # The children inherit the steady sockets. Clients wait for the end of this pipe: then every child has closed them.
    gate, closed = os.pipe()
    ends = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(WORKERS)]
    for number in range(WORKERS):
        if os.fork() == 0:
            _close_all(steady)
            os.close(closed)
            if groups:
                join_cgroup(groups[number % len(groups)])
            _run(lambda: Worker(number, seed + number, log, ends[number - 1][1], ends[number][0]).run())  # noqa: B023
    for left, right in ends:
        left.close()
        right.close()
    os.chmod(directory, 0o777)  # one of the writers is an unprivileged user
    pids = []
    for name, (threads, as_nobody) in CLIENTS.items():
        pid = os.fork()
        if pid == 0:
            _close_all(steady)
            os.close(closed)
            os.read(gate, 1)
            client = Client(name, directory, seed)
            if as_nobody:
                become_nobody()
            _run(lambda: client.run(threads, queries))  # noqa: B023
        pids.append(pid)
    os.close(closed)
    for pid in pids:
        _, status = os.waitpid(pid, 0)
        if status:
            raise ChildProcessError(f"a querying process exited with status {status}")
    # The workers may still have to log their last actions.
    time.sleep(_LAST_NOTES_SECONDS)
    del steady


def _stay(log: int) -> list[socket.socket]:
    """Open the permanent sockets of process 1."""
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
    for made in sockets:
        made.close()


def _run(program: Callable[[], None]) -> None:
    """Run *program* in a child process and exit."""
    try:
        program()
        os._exit(0)
    except BaseException:  # noqa: BLE001 - a child must never go on with its parent's program
        traceback.print_exc()
        os._exit(1)


def in_own_namespaces(program: Callable[[], None]) -> None:
    """Run *program* as process 1 of new namespaces; all processes in them end with it."""

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
        raise ChildProcessError("the child process failed; see the traceback above")


# --- evaluation -------------------------------------------------------------------------------------------------------


def evaluate(directory: Path, seed: int) -> Outcome:
    outcome = Outcome(seed)
    log = Log()
    with open(directory / "log", encoding="utf-8") as file:
        log.read(file)
    outcome.holdings = sum(len(holdings) for by_process in log.holdings.values() for holdings in by_process.values())
    outcome.processes = len(log.names)
    outcome.numbers = len({identity.pid for identity in log.names})
    for name, (_, is_nobody) in CLIENTS.items():
        answers = list(_read_answers(directory / f"answers-{name}", outcome, name, sees_all=not is_nobody))
        for answer, faults in log.check(answers):
            outcome.answers += 1
            outcome.listeners += len(answer.owners)
            outcome.owners += sum(map(len, answer.owners.values()))
            outcome.unseen += sum(
                log.always_held(endpoint, answer.began, answer.ended) for endpoint in answer.ownerless
            )
            when = f"queried {answer.port or 'all'} from {answer.began} to {answer.ended}"
            outcome.faults += [f"{name}: {fault} ({when})" for fault in faults]
            if faults and not outcome.histories:
                mentioned = [endpoint for endpoint in log.holdings if any(str(endpoint) in fault for fault in faults)]
                outcome.histories += [when, *(line for endpoint in mentioned for line in log.history(endpoint))]
        summary = json.loads((directory / f"summary-{name}").read_text(encoding="utf-8"))
        outcome.clients[name] = summary
    for name, summary in outcome.clients.items():
        outcome.faults += [f"{name}: {fault}" for fault in leaks(summary["before"], summary["after"])]
    return outcome


def leaks(before: dict[str, int], after: dict[str, int]) -> list[str]:
    """Return the resources of a querying process that grew during the run."""
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
            found = json.loads(line)
            if "error" in found:
                outcome.faults.append(f"{name}: {found['error']}")
                continue
            owners: dict[Endpoint, list[Owner]] = {}
            complete, ownerless = set(), set()
            for protocol, port, scope, hidden, reported in found["rows"]:
                endpoint = Endpoint(protocol, port)
                owners.setdefault(endpoint, []).extend(Owner(*owner) for owner in reported)
                if sees_all and (found["all"] or scope == "host"):
                    complete.add(endpoint)
                if not reported and (sees_all or not hidden):
                    ownerless.add(endpoint)
                outcome.hidden += hidden and sees_all
            outcome.faults += [f"{name}: incomplete: {reason}" for reason in found["incomplete"]]
            yield Answer(found["began"], found["ended"], found["port"], owners, complete, ownerless)


def run(queries: int, seed: int) -> Outcome:
    """Run the churn in new namespaces and evaluate every result."""
    groups = Cgroups.where_possible()
    try:
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            directory.chmod(0o755)
            made = [] if groups is None else [groups.make(f"churn-{number}.service") for number in range(2)]
            in_own_namespaces(lambda: churn(directory, queries, seed, made))
            return evaluate(directory, seed)
    finally:
        if groups is not None:
            groups.close()


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Query listeners while processes and sockets change, and check every result."
    )
    parser.add_argument("--queries", type=int, default=3000, help="queries of each thread (default: 3000)")
    parser.add_argument("--seed", type=int, help="seed of the actions, but not of their timing (default: random)")
    arguments = parser.parse_args()
    seed = secrets.randbelow(10**6) if arguments.seed is None else arguments.seed
    outcome = run(arguments.queries, seed)
    print(f"seed {seed}, queries of each thread {arguments.queries}, workers {WORKERS}, steady sockets {STEADY}")
    print(f"holdings {outcome.holdings} by {outcome.processes} processes with {outcome.numbers} numbers")
    print(f"answers {outcome.answers}, listeners {outcome.listeners}, owners checked {outcome.owners}")
    print(f"transferred during the search: {outcome.unseen} without an owner, {outcome.hidden} hidden")
    for name, summary in outcome.clients.items():
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
