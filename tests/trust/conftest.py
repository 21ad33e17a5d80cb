"""What the tests of trust share: they are about Linux, and say at the end what they tried."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

_SAID: list[str] = []


@pytest.fixture(autouse=True)
def _linux() -> None:
    if sys.platform != "linux":
        pytest.skip("about Linux itself")


@pytest.fixture
def report() -> Iterator[list[str]]:
    """Lines for the end of the test run: seeds and figures."""
    lines: list[str] = []
    yield lines
    _SAID.extend(lines)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _SAID:
        terminalreporter.section("trust")
        for line in _SAID:
            terminalreporter.line(line)
