"""Typing as users see it: mypy and pyright accept the public names and report their misuse."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def run(module: str, *arguments: str | Path, cwd: Path) -> str:
    """Return the output of a type checker for this tree, not for an installed portrange."""
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed: pip install --group lint")
    environment = dict(os.environ, PYTHONPATH=str(ROOT), MYPYPATH=str(ROOT))
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
        timeout=300,
    )
    return done.stdout + done.stderr


def test_mypy_reports_only_the_misuse(tmp_path):
    output = run("mypy", "--strict", "--config-file=", f"--cache-dir={tmp_path}", HERE / "public.py", cwd=tmp_path)
    assert "Success: no issues found in 1 source file" in output, output


def test_pyright_reports_only_the_misuse(tmp_path):
    output = run("pyright", f"--pythonpath={sys.executable}", "--project", HERE / "pyrightconfig.json", cwd=tmp_path)
    assert "0 errors, 0 warnings" in output, output


def test_types_of_the_public_names_are_complete(tmp_path):
    output = run("pyright", f"--pythonpath={sys.executable}", "--verifytypes", "portrange", cwd=tmp_path)
    assert "Type completeness score: 100%" in output, output
