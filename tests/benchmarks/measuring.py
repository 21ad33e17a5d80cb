"""Measure several contenders in rounds, so that other load affects all of them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any, TypeVar

T = TypeVar("T")

#: A query that returns its seconds and its result.
Timed = Callable[[], tuple[float, Any]]


def timed(ask: Callable[[], T]) -> Callable[[], tuple[float, T]]:
    def ask_by_the_clock() -> tuple[float, T]:
        before = time.perf_counter()
        answer = ask()
        return time.perf_counter() - before, answer

    return ask_by_the_clock


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
                    self.samples.setdefault(name, []).append(seconds)
                    self.answers[name] = answer

    def medians(self) -> dict[str, float]:
        return {name: median(self.samples[name]) for name in self.contenders}
