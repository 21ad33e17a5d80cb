"""Fixtures for vendored copies: a program that contains the package, and bare interpreters."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

import portrange

PACKAGE = Path(portrange.__file__).parent
#: Loaded when a bare interpreter starts, so that importing the original package fails, also in child processes.
_FORBID = """
import sys

class Forbid:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] == "portrange":
            raise ImportError(f"{name!r} is imported by its own name: the copy must not need the original")

sys.meta_path.insert(0, Forbid)
"""


class BareInterpreter:
    """A virtual environment that contains only what a test adds; importing the original package fails."""

    def __init__(self, directory: Path, python: str = sys.executable) -> None:
        # pip is not needed, and creation without it takes a tenth of a second.
        subprocess.run([python, "-m", "venv", "--without-pip", directory], check=True, timeout=300)
        self.python = directory / "bin" / "python"
        [self._packages] = directory.glob("lib/python3*/site-packages")
        (self._packages / "forbid_original.py").write_text(_FORBID)

    def add_to_path(self, *places: Path) -> None:
        """Put directories or zip files on the module path."""
        lines = ["import forbid_original", *map(str, places)]
        (self._packages / "places.pth").write_text("\n".join(lines) + "\n")

    def link_packages(self, *unwanted: str) -> None:
        """Link every distribution of the running interpreter except the original and *unwanted*."""
        for place in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
            for entry in os.scandir(place):
                is_portrange = "portrange" in entry.name
                target = self._packages / entry.name
                if not (is_portrange or entry.name.endswith(".pth") or entry.name.partition(".")[0] in unwanted):
                    target.exists() or target.symlink_to(entry.path)

    def run(self, *arguments: str | Path, cwd: Path, seconds: float = 300) -> subprocess.CompletedProcess[str]:
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PYTEST"))}
        return subprocess.run(
            [self.python, *arguments],
            check=False,
            capture_output=True,
            text=True,
            cwd=cwd,
            env=environment,
            timeout=seconds,
            stdin=subprocess.DEVNULL,
        )

    def output(self, program: str, cwd: Path) -> str:
        """Run a program, which must exit with status 0, and return its output."""
        done = self.run("-c", textwrap.dedent(program), cwd=cwd)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture
def bare(tmp_path: Path) -> Callable[..., BareInterpreter]:
    """Return a function that creates bare interpreters below the directory of the test."""
    if os.name != "posix":
        pytest.skip(f"virtual environments are laid out differently on {os.name}")
    created = 0

    def make(python: str = sys.executable) -> BareInterpreter:
        nonlocal created
        created += 1
        return BareInterpreter(tmp_path / f"interpreter-{created}", python)

    return make


@pytest.fixture
def vendored(tmp_path: Path) -> Path:
    """Create a program `acme` with a copy of the package; return the directory for the module path."""
    vendor = tmp_path / "acme" / "_vendor"
    vendor.mkdir(parents=True)
    (tmp_path / "acme" / "__init__.py").touch()
    (vendor / "__init__.py").touch()
    shutil.copytree(PACKAGE, vendor / "portrange", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path
