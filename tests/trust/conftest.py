"""Fixtures of the trust tests, which run on Linux only and print their figures in the terminal summary."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

_REPORTED: list[str] = []


@pytest.fixture(autouse=True)
def _linux() -> None:
    if sys.platform != "linux":
        pytest.skip("Linux only")


@pytest.fixture
def report() -> Iterator[list[str]]:
    """Lines for the terminal summary: seeds and figures."""
    lines: list[str] = []
    yield lines
    _REPORTED.extend(lines)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _REPORTED:
        terminalreporter.section("trust")
        for line in _REPORTED:
            terminalreporter.line(line)
