from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

_HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def output() -> str:
    """The output of a small run, which fails if a contender misses a connection."""
    probe = "from own_network import enter_own_network; enter_own_network()"
    tried = subprocess.run([sys.executable, "-c", probe], check=False, cwd=_HERE, capture_output=True, text=True)
    if tried.returncode != 0:
        pytest.skip(tried.stderr.strip().rpartition("\n")[2])
    command = [sys.executable, str(_HERE / "bench_usage.py"), "--small"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_both_sizes_are_measured(output: str):
    assert re.findall(r"^the ephemeral range's usage, (\d+) connections", output, re.MULTILINE) == ["100", "400"]


def test_memory_is_reported_and_independent_of_size(output: str):
    memory = re.search(r"([\d,]+) kB with 100 connections, ([\d,]+) kB with 400 connections", output)
    few, many = (int(figure.replace(",", "")) for figure in memory.groups())
    assert few > 0
    assert many < 1.1 * few
