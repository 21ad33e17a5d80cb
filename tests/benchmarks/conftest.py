"""The benchmarks are scripts that import one another: pytest collects their tests only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

_HERE = Path(__file__).parent

collect_ignore = [
    name
    for name in os.listdir(_HERE)
    if name.endswith(".py") and name != "conftest.py" and not name.startswith("test_")
]


@pytest.fixture(scope="session")
def own_network():
    """Skip unless a child process can create a network namespace, as the benchmarks do."""
    probe = "from own_network import enter_own_network; enter_own_network()"
    tried = subprocess.run([sys.executable, "-c", probe], check=False, cwd=_HERE, capture_output=True, text=True)
    if tried.returncode != 0:
        pytest.skip(tried.stderr.strip().rpartition("\n")[2])


@pytest.fixture(scope="session")
def run_small(own_network, tmp_path_factory) -> Callable[[str], dict]:
    """A function that returns the figures and the document of a small run of a benchmark, with `before` and `after`.

    The run fails if the result of a contender is wrong.
    """

    def run(name: str) -> dict:
        directory = tmp_path_factory.mktemp(name)
        document, figures = directory / "document.md", directory / "figures.json"
        document.write_text(f"before\n<!-- {name}: begin -->\nold\n<!-- {name}: end -->\nafter\n", encoding="utf-8")
        files = ("--json", figures, "--update", document)
        done = subprocess.run(
            [sys.executable, _HERE / f"{name}.py", "--small", *files], check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return {**json.loads(figures.read_text()), "document": document.read_text(encoding="utf-8")}

    return run
