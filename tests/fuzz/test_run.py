"""The fuzzer itself: it runs, counts executions and reports failures."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("run.py")

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris is not installed: pip install --group trust"
)


def test_fuzzing_for_one_second():
    command = [sys.executable, PROGRAM, "--seconds", "1", "sysctl-number"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith("1 parsers, 1 s each: ")
    assert last.endswith(" executions; nothing broke")
    assert int(last.split()[5].replace(",", "")) > 0


def test_input_that_breaks_a_parser_is_kept(tmp_path):
    """The parser name is unknown, so every input fails; libFuzzer writes it to -artifact_prefix."""
    command = [sys.executable, PROGRAM, "--inside", "no such parser", f"-artifact_prefix={tmp_path}/", "-runs=10"]
    done = subprocess.run(command, check=False, capture_output=True, timeout=300)
    assert done.returncode != 0
    [kept] = tmp_path.iterdir()
    assert kept.name.startswith("crash-")
