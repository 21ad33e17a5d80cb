"""Format the results of a benchmark as text, Markdown and JSON-compatible values."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import asdict, dataclass, field
from typing import Any

US = "portrange"


@dataclass(frozen=True)
class Target:
    """A target against one contender.

    If `faster`, the contender must take at least `factor` times as long as portrange. Otherwise portrange must take at
    most `factor` times as long as the contender.
    """

    against: str
    factor: float
    faster: bool = True

    def __str__(self) -> str:
        return f"{'≥' if self.faster else '≤'} {self.factor:g}×"

    def reached(self, medians: dict[str, float]) -> float:
        slower, quicker = (self.against, US) if self.faster else (US, self.against)
        return medians[slower] / medians[quicker]

    def is_met(self, medians: dict[str, float]) -> bool:
        reached = self.reached(medians)
        return reached >= self.factor if self.faster else reached <= self.factor


@dataclass(frozen=True)
class Row:
    """One query: the medians in seconds, and the targets. Targets against missing contenders are ignored."""

    query: str
    medians: dict[str, float]
    targets: tuple[Target, ...] = ()
    samples: dict[str, list[float]] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)

    @property
    def judged(self) -> list[Target]:
        return [target for target in self.targets if target.against in self.medians]

    def wanted(self) -> str:
        """Return the targets as text, grouped by factor: "≥ 100× ss; ≥ 200× psutil, lsof"."""
        against: dict[str, list[str]] = {}
        for target in self.judged:
            against.setdefault(str(target), []).append(target.against)
        return "; ".join(f"{factor} {', '.join(names)}" for factor, names in against.items())

    def outcome(self) -> str:
        """Return "yes" or "no", with the ratios that were missed or that the columns do not show."""
        if not self.judged:
            return ""
        missed = [target for target in self.judged if not target.is_met(self.medians)]
        shown = [target for target in self.judged if target in missed or not target.faster]
        ratios = ", ".join(f"{ratio(target.reached(self.medians))} {target.against}" for target in shown)
        return ("no" if missed else "yes") + (f": {ratios}" if ratios else "")


@dataclass(frozen=True)
class Report:
    """The queries of one run.

    `versions` contains the compared tools; contenders without a version are limits. `judged` is False for a run that is
    too small to be meaningful.
    """

    rows: list[Row]
    versions: dict[str, str]
    notes: list[str]
    judged: bool = True

    def cells(self) -> list[list[str]]:
        """Return the heading and one line for each query."""
        others = list(dict.fromkeys(name for row in self.rows for name in row.medians if name != US))
        table = [["query", US, *others, "target", "met"]]
        for row in self.rows:
            times = [self._time(row, name) for name in others]
            outcome = row.outcome() if self.judged else ""
            table.append([row.query, duration(row.medians[US]), *times, row.wanted(), outcome])
        return table

    def text(self) -> str:
        table = self.cells()
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table
        ]
        return "\n".join([*lines, "", *self._remarks()])

    def markdown(self) -> str:
        heading, *lines = (f"| {' | '.join(line)} |" for line in self.cells())
        rule = "|---" * len(self.cells()[0]) + "|"
        return "\n".join([heading, rule, *lines, "", *(f"- {remark}" for remark in self._remarks())])

    def to_dict(self) -> dict[str, Any]:
        rows = [
            {
                **asdict(row),
                "targets": [{**asdict(target), "met": target.is_met(row.medians)} for target in row.judged],
                "answers": {name: _json_safe(answer) for name, answer in row.answers.items()},
            }
            for row in self.rows
        ]
        return {"machine": machine(), "versions": self.versions, "notes": self.notes, "rows": rows}

    def _time(self, row: Row, name: str) -> str:
        """Return the time of a contender and its ratio to portrange; only the time of a limit, which has no version."""
        if name not in row.medians:
            return ""
        time = duration(row.medians[name])
        return f"{time} ({ratio(row.medians[name] / row.medians[US])})" if name in self.versions else time

    def _remarks(self) -> list[str]:
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return [f"Machine: {machine()}.", f"Compared: {versions}.", *self.notes]


def _json_safe(answer: Any) -> Any:
    return sorted(answer) if isinstance(answer, set) else answer


def duration(seconds: float) -> str:
    """Format a duration in milliseconds, such as "0.234 ms" or "1,500 ms"."""
    milliseconds = seconds * 1000
    return f"{milliseconds:,.0f} ms" if milliseconds >= 100 else f"{milliseconds:.3g} ms"


def ratio(value: float) -> str:
    """Format a ratio such as "1.23×" or "1,234×"."""
    return f"{value:,.0f}×" if value >= 10 else f"{value:.2f}×"


def machine() -> str:
    """Describe the machine that the figures belong to."""
    kernel = re.match(r"[\d.]+", platform.release())
    cpu, virtual = "", False
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            name, _, value = line.partition(":")
            cpu = cpu or (value.strip() if name.strip() in ("model name", "Model") else "")
            virtual = virtual or (name.strip() == "flags" and "hypervisor" in value.split())
    kind = "a virtual machine" if virtual else "no virtual machine that shows"
    return (
        f"{os.cpu_count()} cores ({cpu or platform.machine()}), {kind}, Linux {kernel[0] if kernel else '?'}, "
        f"{platform.python_implementation()} {platform.python_version()}"
    )


def place(path: str, name: str) -> tuple[str, str]:
    """Return the parts of a document before and after the table of benchmark `name`, including its markers."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    with open(path, encoding="utf-8") as file:
        before, found, rest = file.read().partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"{path}: put the comments {begin} and {end} where the table belongs")
    return before + begin, end + after


def update(path: str, name: str, table: str) -> None:
    """Replace the table of benchmark `name` in a document."""
    before, after = place(path, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{before}\n\n{table}\n\n{after}")
