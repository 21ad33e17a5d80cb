"""Measure several contenders in rounds, so that other load affects all of them."""

from __future__ import annotations

import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from statistics import median
from typing import Any, TypeVar

from report import US, Row, Target

T = TypeVar("T")

#: A query that returns its seconds and its result.
Timed = Callable[[], tuple[float, Any]]


def timed(ask: Callable[[], T]) -> Callable[[], tuple[float, T]]:
    def ask_by_the_clock() -> tuple[float, T]:
        before = time.perf_counter()
        answer = ask()
        return time.perf_counter() - before, answer

    return ask_by_the_clock


def timed_program(*command: str, environment: dict[str, str] | None = None) -> tuple[float, list[str]]:
    """Return the seconds of a program, and the lines of its output."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        before = time.perf_counter()
        subprocess.run(command, check=True, stdout=output, env=environment)
        seconds = time.perf_counter() - before
        output.seek(0)
        return seconds, output.read().splitlines()


class WrongAnswerError(Exception):
    """A contender returned a wrong result, so its time is meaningless."""


@dataclass
class Race:
    """One query to several contenders.

    `repeats` is the number of queries per round; fast contenders repeat more often, for a stable median.
    """

    expected: Any
    contenders: dict[str, Timed] = field(default_factory=dict)
    repeats: dict[str, int] = field(default_factory=dict)
    samples: dict[str, list[float]] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)

    def enter(self, name: str, ask: Timed, repeats: int = 1) -> None:
        self.contenders[name] = ask
        self.repeats[name] = repeats
        self.samples[name] = []

    def run(self, rounds: int) -> None:
        names = list(self.contenders)
        for number in range(rounds):
            # Vary the order, because each contender leaves the caches in a different state.
            random.Random(number).shuffle(names)
            for name in names:
                for _ in range(self.repeats[name]):
                    seconds, answer = self.contenders[name]()
                    if answer != self.expected:
                        raise WrongAnswerError(f"{name} answered {answer}, expected {self.expected}")
                    self.samples[name].append(seconds)
                    self.answers[name] = answer

    def row(self, query: str, targets: Iterable[Target] = ()) -> Row:
        """Return the row of the table."""
        return Row(query, _medians(self.samples), tuple(targets), self.samples, self.answers)


def row_of_hosts(
    query: str, hosts: Iterable[tuple[str, AbstractContextManager[Race]]], rounds: int, target: Target
) -> Row:
    """Return a row that compares portrange on several hosts by name. Each exists only during its race."""
    samples: dict[str, list[float]] = {}
    for name, host in hosts:
        with host as race:
            race.run(rounds)
        samples.setdefault(name, []).extend(race.samples[US])
    return Row(query, _medians(samples), (target,), samples)


def _medians(samples: dict[str, list[float]]) -> dict[str, float]:
    return {name: median(times) for name, times in samples.items()}
