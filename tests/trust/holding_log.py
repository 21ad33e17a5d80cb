"""Who had which socket when, as the holders themselves wrote it down, and whether an answer agrees with that. Pure.

Nothing happens at an instant: a holder notes the time before it does something and after it. So of each holding two
spans of time are known: outside of the longer one the socket was *certainly not* held, inside the shorter one it
*certainly was*. An answer was given within a span of time too. It is wrong if it names an owner that certainly did not
hold the socket then, or leaves out what was certainly there all the time.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

#: Stands for a socket on its way from one process to another (unix(7), SCM_RIGHTS).
IN_FLIGHT = 0


class Endpoint(NamedTuple):
    protocol: str
    port: int


class Identity(NamedTuple):
    """How processes are told apart, numbers being used again: by number and start, in clock ticks since boot."""

    pid: int
    started: int


class Holder(NamedTuple):
    """A process. Where a number is free again within a clock tick, two may have one identity: `life` tells them."""

    identity: Identity
    life: int


class Moment(NamedTuple):
    """Something happened after `before` and was done at `after`."""

    before: int
    after: int


@dataclass
class Holding:
    taken: Moment
    #: None: never, as far as was written down.
    released: Moment | None = None

    def possible(self, began: int, ended: int) -> bool:
        """Whether it may have been held at some time from `began` to `ended`."""
        return self.taken.before <= ended and (self.released is None or self.released.after >= began)

    def lasts(self, until: int) -> bool:
        """Whether its end was not begun before `until`."""
        return self.released is None or self.released.before >= until

    def certain(self, began: int, ended: int) -> bool:
        """Whether it was certainly held all the time from `began` to `ended`."""
        return self.taken.after <= began and self.lasts(ended)


@dataclass
class Owner:
    """An owner in an answer."""

    pid: int
    started: int
    name: str


@dataclass
class Answer:
    """What somebody was told between `began` and `ended`.

    - `asked`: the port, or None for all.
    - `complete`: endpoints whose holders were looked for everywhere.
    - `nobody`: those that nobody visible is said to hold.
    """

    began: int
    ended: int
    asked: int | None
    owners: dict[Endpoint, list[Owner]]
    complete: set[Endpoint] = field(default_factory=set)
    nobody: set[Endpoint] = field(default_factory=set)


class Log:
    """All holdings, and the names of the holders."""

    def __init__(self) -> None:
        self.holdings: dict[Endpoint, dict[Holder, list[Holding]]] = defaultdict(lambda: defaultdict(list))
        self.names: dict[Identity, set[str]] = defaultdict(set)

    def take(self, endpoint: Endpoint, holder: Holder, moment: Moment) -> None:
        self.holdings[endpoint][holder].append(Holding(moment))

    def release(self, endpoint: Endpoint, holder: Holder, moment: Moment) -> None:
        there = self.holdings[endpoint][holder]
        if there and there[-1].released is None:
            there[-1].released = moment
        else:
            # At the end of the world, somebody did not come to write down when this one was taken.
            there.append(Holding(Moment(0, moment.before), moment))

    def read(self, lines: Iterable[str]) -> None:
        """What `churn_worker` wrote: kind, before, after, the holder in three numbers, and the endpoint or a name."""
        entries = [line.split() for line in lines]
        # Several processes write, each in its own order.
        for kind, before, after, pid, started, life, *rest in sorted(entries, key=_order):
            holder = Holder(Identity(int(pid), int(started)), int(life))
            moment = Moment(int(before), int(after))
            if kind == "name":
                self.names[holder.identity].add(rest[0])
            elif kind == "take":
                self.take(Endpoint(rest[0], int(rest[1])), holder, moment)
            else:
                self.release(Endpoint(rest[0], int(rest[1])), holder, moment)

    def judge(self, answers: Iterable[Answer]) -> Iterator[tuple[Answer, list[str]]]:
        """Each answer, in the order of time, with what is wrong with it, a sentence each."""
        ordered = sorted(
            ((endpoint, one) for endpoint, there in self.holdings.items() for held in there.values() for one in held),
            key=lambda entry: entry[1].taken.after,
        )
        coming = deque(ordered)
        #: Holdings that have begun, without those that no later answer can have been given within.
        current: list[tuple[Endpoint, Holding]] = []
        for answer in sorted(answers, key=lambda one: one.began):
            while coming and coming[0][1].taken.after <= answer.began:
                current.append(coming.popleft())
            current = [entry for entry in current if entry[1].lasts(answer.began)]
            certain = {endpoint for endpoint, one in current if one.certain(answer.began, answer.ended)}
            yield answer, self._faults(answer, certain)

    def always_held(self, endpoint: Endpoint, began: int, ended: int) -> bool:
        """Whether at each moment from `began` to `ended` some process certainly held it, be it one after the other."""
        reached = began
        held = [
            one
            for holder, there in self.holdings.get(endpoint, {}).items()
            for one in there
            if holder.identity.pid != IN_FLIGHT
        ]
        for one in sorted(held, key=lambda one: one.taken.after):
            if one.taken.after <= reached:
                reached = max(reached, ended if one.released is None else one.released.before)
        return reached >= ended

    def history(self, endpoint: Endpoint) -> list[str]:
        """Everything that was written down about an endpoint, a line each."""
        return [
            f"{endpoint} {holder} from {one.taken} to {one.released}"
            for holder, held in self.holdings.get(endpoint, {}).items()
            for one in held
        ]

    def _faults(self, answer: Answer, certain: set[Endpoint]) -> list[str]:
        found = []
        for endpoint, owners in answer.owners.items():
            found += self._invented(endpoint, owners, answer)
        for endpoint in certain - answer.owners.keys():
            if answer.asked in (None, endpoint.port):
                found.append(f"{endpoint} was there all the time and was not told")
        for endpoint in answer.complete:
            found += self._left_out(endpoint, answer)
        return found

    def _invented(self, endpoint: Endpoint, owners: list[Owner], answer: Answer) -> list[str]:
        there = self.holdings.get(endpoint, {})
        if not any(one.possible(answer.began, answer.ended) for held in there.values() for one in held):
            return [f"{endpoint} was not there"]
        found = []
        for owner in owners:
            identity = Identity(owner.pid, owner.started)
            held = [one for holder, held in there.items() if holder.identity == identity for one in held]
            if not any(one.possible(answer.began, answer.ended) for one in held):
                found.append(f"{owner} did not hold {endpoint}")
            elif owner.name not in self.names[identity]:
                found.append(f"{owner} of {endpoint} is called {self.names[identity]}")
        return found

    def _left_out(self, endpoint: Endpoint, answer: Answer) -> list[str]:
        told = {Identity(owner.pid, owner.started) for owner in answer.owners.get(endpoint, ())}
        return [
            f"{holder} held {endpoint} all the time and was not told"
            for holder, held in self.holdings[endpoint].items()
            if holder.identity.pid != IN_FLIGHT
            and holder.identity not in told
            and any(one.certain(answer.began, answer.ended) for one in held)
        ]


def _order(entry: list[str]) -> tuple[int, bool]:
    """By time. What was sent and received at one moment, as far as was noted, was sent first."""
    return int(entry[1]), entry[0] == "release"
