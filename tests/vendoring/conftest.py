"""What the tests of vendored copies share: the package as it lies in another program, and bare interpreters."""

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
#: Loaded whenever a bare interpreter starts, so that whoever names the original is told, in child processes too.
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
    """A virtual environment with nothing in it but what a test puts there; the original package is forbidden."""

    def __init__(self, directory: Path, python: str = sys.executable) -> None:
        # No pip is needed inside, and without it this takes a tenth of a second.
        subprocess.run([python, "-m", "venv", "--without-pip", directory], check=True, timeout=60)
        self.python = directory / "bin" / "python"
        [self._packages] = directory.glob("lib/python3*/site-packages")
        (self._packages / "forbid_original.py").write_text(_FORBID)

    def see(self, *places: Path) -> None:
        """Put directories (or zip files) onto the module path."""
        lines = ["import forbid_original", *map(str, places)]
        (self._packages / "places.pth").write_text("\n".join(lines) + "\n")

    def borrow(self, *unwanted: str) -> None:
        """Every distribution of the running interpreter but the original, and but those that are not wanted."""
        for place in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
            for entry in os.scandir(place):
                is_portrange = "portrange" in entry.name
                target = self._packages / entry.name
                if not (is_portrange or entry.name.endswith(".pth") or entry.name.partition(".")[0] in unwanted):
                    target.exists() or target.symlink_to(entry.path)

    def run(self, *arguments: str | Path, cwd: Path, seconds: float = 60) -> subprocess.CompletedProcess[str]:
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

    def answer(self, program: str, cwd: Path) -> str:
        """What a program prints; it must end well."""
        done = self.run("-c", textwrap.dedent(program), cwd=cwd)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture
def bare(tmp_path: Path) -> Callable[..., BareInterpreter]:
    """Makes bare interpreters below the directory of the test."""
    if os.name != "posix":
        pytest.skip(f"virtual environments are laid out differently on {os.name}")
    made = 0

    def make(python: str = sys.executable) -> BareInterpreter:
        nonlocal made
        made += 1
        return BareInterpreter(tmp_path / f"interpreter-{made}", python)

    return make


@pytest.fixture
def vendored(tmp_path: Path) -> Path:
    """A program `acme` that carries a copy of the package; the directory to put onto the module path."""
    vendor = tmp_path / "acme" / "_vendor"
    vendor.mkdir(parents=True)
    (tmp_path / "acme" / "__init__.py").touch()
    (vendor / "__init__.py").touch()
    shutil.copytree(PACKAGE, vendor / "portrange", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path
