"""Log of which process owned which socket when, and the comparison of query results with it. No I/O.

A process records the time before and after each action. Two intervals are therefore known for each ownership: outside
the longer one the process *certainly did not* own the socket, within the shorter one it *certainly did*. A query takes
an interval of time, too. Its result is wrong if it names an owner that certainly did not own the socket during that
interval, or omits a socket or owner that certainly existed all the time.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

#: PID for a socket in transfer from one process to another (unix(7), SCM_RIGHTS).
IN_FLIGHT = 0


class Endpoint(NamedTuple):
    protocol: str
    port: int


class Identity(NamedTuple):
    """PID and start time in clock ticks since boot, because PIDs are reused."""

    pid: int
    started: int


class Process(NamedTuple):
    """A process; `life` distinguishes processes that reuse a PID within one clock tick."""

    identity: Identity
    life: int


class Moment(NamedTuple):
    """The interval from `before` to `after` in which an action took place."""

    before: int
    after: int


@dataclass
class Holding:
    """One ownership of a socket by a process."""

    taken: Moment
    #: None if no release was recorded.
    released: Moment | None = None

    def possible(self, began: int, ended: int) -> bool:
        """Return whether the socket may have been owned at some time from `began` to `ended`."""
        return self.taken.before <= ended and (self.released is None or self.released.after >= began)

    def lasts(self, until: int) -> bool:
        """Return whether the release had not started before `until`."""
        return self.released is None or self.released.before >= until

    def certain(self, began: int, ended: int) -> bool:
        """Return whether the socket was certainly owned all the time from `began` to `ended`."""
        return self.taken.after <= began and self.lasts(ended)


@dataclass
class Owner:
    """An owner in a query result."""

    pid: int
    started: int
    name: str


@dataclass
class Answer:
    """The result of a query that ran from `began` to `ended`.

    - `port`: the queried port, or None for all ports.
    - `complete`: endpoints whose owners were searched in all processes.
    - `ownerless`: endpoints reported without an owner by a query that could see all owners, or as not hidden. No
      process may have owned one all the time, but it may have passed from one process to another during the search.
    """

    began: int
    ended: int
    port: int | None
    owners: dict[Endpoint, list[Owner]]
    complete: set[Endpoint] = field(default_factory=set)
    ownerless: set[Endpoint] = field(default_factory=set)


class Log:
    """All recorded ownerships, and the names of the processes."""

    def __init__(self) -> None:
        self.holdings: dict[Endpoint, dict[Process, list[Holding]]] = defaultdict(lambda: defaultdict(list))
        self.names: dict[Identity, set[str]] = defaultdict(set)

    def take(self, endpoint: Endpoint, process: Process, moment: Moment) -> None:
        self.holdings[endpoint][process].append(Holding(moment))

    def release(self, endpoint: Endpoint, process: Process, moment: Moment) -> None:
        holdings = self.holdings[endpoint][process]
        if holdings and holdings[-1].released is None:
            holdings[-1].released = moment
        else:
            # The run ended before the process recorded that it took the socket.
            holdings.append(Holding(Moment(0, moment.before), moment))

    def read(self, lines: Iterable[str]) -> None:
        """Read lines of `churn_worker`: kind, before, after, three numbers of the process, endpoint or name."""
        entries = [line.split() for line in lines]
        # Several processes write concurrently, so the lines are not ordered by time.
        for kind, before, after, pid, started, life, *rest in sorted(entries, key=_order):
            process = Process(Identity(int(pid), int(started)), int(life))
            moment = Moment(int(before), int(after))
            if kind == "name":
                self.names[process.identity].add(rest[0])
            elif kind == "take":
                self.take(Endpoint(rest[0], int(rest[1])), process, moment)
            else:
                self.release(Endpoint(rest[0], int(rest[1])), process, moment)

    def check(self, answers: Iterable[Answer]) -> Iterator[tuple[Answer, list[str]]]:
        """Yield each answer in order of time with a list of its faults."""
        ordered = sorted(
            (
                (endpoint, holding)
                for endpoint, by_process in self.holdings.items()
                for holdings in by_process.values()
                for holding in holdings
            ),
            key=lambda entry: entry[1].taken.after,
        )
        coming = deque(ordered)
        #: Ownerships that have begun and may last into this or a later answer.
        current: list[tuple[Endpoint, Holding]] = []
        for answer in sorted(answers, key=lambda answer: answer.began):
            while coming and coming[0][1].taken.after <= answer.began:
                current.append(coming.popleft())
            current = [entry for entry in current if entry[1].lasts(answer.began)]
            certain = {endpoint for endpoint, holding in current if holding.certain(answer.began, answer.ended)}
            yield answer, self._faults(answer, certain)

    def always_held(self, endpoint: Endpoint, began: int, ended: int) -> bool:
        """Return whether some process certainly owned it at each moment from `began` to `ended`."""
        reached = began
        held = [
            holding
            for process, holdings in self.holdings.get(endpoint, {}).items()
            for holding in holdings
            if process.identity.pid != IN_FLIGHT
        ]
        for holding in sorted(held, key=lambda holding: holding.taken.after):
            if holding.taken.after <= reached:
                reached = max(reached, ended if holding.released is None else holding.released.before)
        return reached >= ended

    def history(self, endpoint: Endpoint) -> list[str]:
        """Return one line for each recorded ownership of an endpoint."""
        return [
            f"{endpoint} {process} from {holding.taken} to {holding.released}"
            for process, holdings in self.holdings.get(endpoint, {}).items()
            for holding in holdings
        ]

    def _faults(self, answer: Answer, certain: set[Endpoint]) -> list[str]:
        found = []
        for endpoint, owners in answer.owners.items():
            found += self._invented(endpoint, owners, answer)
        for endpoint in certain - answer.owners.keys():
            if answer.port in (None, endpoint.port):
                found.append(f"{endpoint} existed all the time and was not reported")
        for endpoint in answer.complete | answer.ownerless:
            found += self._left_out(endpoint, answer)
        return found

    def _invented(self, endpoint: Endpoint, owners: list[Owner], answer: Answer) -> list[str]:
        by_process = self.holdings.get(endpoint, {})
        if not any(
            holding.possible(answer.began, answer.ended) for holdings in by_process.values() for holding in holdings
        ):
            return [f"{endpoint} did not exist"]
        found = []
        for owner in owners:
            identity = Identity(owner.pid, owner.started)
            held = [
                holding
                for process, holdings in by_process.items()
                if process.identity == identity
                for holding in holdings
            ]
            if not any(holding.possible(answer.began, answer.ended) for holding in held):
                found.append(f"{owner} did not own {endpoint}")
            elif owner.name not in self.names[identity]:
                found.append(f"{owner} of {endpoint} is called {self.names[identity]}")
        return found

    def _left_out(self, endpoint: Endpoint, answer: Answer) -> list[str]:
        reported = {Identity(owner.pid, owner.started) for owner in answer.owners.get(endpoint, ())}
        return [
            f"{process} owned {endpoint} all the time and was not reported"
            for process, held in self.holdings[endpoint].items()
            if process.identity.pid != IN_FLIGHT
            and process.identity not in reported
            and any(holding.certain(answer.began, answer.ended) for holding in held)
        ]


def _order(entry: list[str]) -> tuple[int, bool]:
    """Sort by time; at the same time, a send precedes the matching receive."""
    return int(entry[1]), entry[0] == "release"
