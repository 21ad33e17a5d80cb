"""The test suite passes on a vendored copy of the package when the original cannot be imported."""

from __future__ import annotations

import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
ROOT = TESTS.parent
HOME = "acme._vendor"

#: Tests that are not about the package: of the repository, of other machines and of copies, and long searches for
#: defects, which would find the same defects here.
NOT_ABOUT_THE_PACKAGE = (
    "benchmarks",
    "docs",
    "downstream",
    "fleet",
    "fuzz",
    "hostile",
    "mutation",
    "notebooks",
    "packaging",
    "platforms",
    "registry",
    "screens",
    "share",
    "test_readme.py",
    "trust",
    "typing",
    "vendoring",
)

#: A plugin that prints the portrange modules in sys.modules after the test run.
PLUGIN = """
import sys

def pytest_unconfigure():
    named = sorted(name for name in sys.modules if name.partition(".")[0] == "portrange")
    copied = sum(name.startswith("acme._vendor.portrange.") for name in sys.modules)
    print(f"named portrange: {named}; modules of the copy: {copied}")
"""

_IMPORT = re.compile(r"(?<![\w.])import ((?:\w+, )*)portrange\b(?!\.)((?:, \w+)*)")
_FROM = re.compile(r"(?<![\w.])from portrange(?=[. ])")


def moved(text: str) -> str:
    """Redirect every import of portrange in *text* to the copy: in code, in doctests and in embedded programs.

    >>> moved("import portrange")
    'from acme._vendor import portrange'
    >>> moved("import json, portrange, time")
    'from acme._vendor import portrange; import json, time'
    >>> moved("from portrange._host import Host")
    'from acme._vendor.portrange._host import Host'
    """
    return _FROM.sub(f"from {HOME}.portrange", _IMPORT.sub(_moved_import, text))


def _moved_import(match: re.Match[str]) -> str:
    others = ", ".join(filter(None, [match[1].removesuffix(", "), match[2].removeprefix(", ")]))
    return f"from {HOME} import portrange" + (f"; import {others}" if others else "")


def move(directory: Path) -> list[tuple[str, str]]:
    """Redirect the imports of every Python file and return the changed lines, before and after."""
    changes: list[tuple[str, str]] = []
    for path in directory.rglob("*.py"):
        before = path.read_text(encoding="utf-8")
        after = moved(before)
        if after != before:
            path.write_text(after, encoding="utf-8")
            lines = zip(before.splitlines(), after.splitlines(), strict=True)
            changes += [(old, new) for old, new in lines if old != new]
    return changes


@pytest.mark.slow
def test_suite_passes_without_the_original_package(vendored, bare):
    tests = vendored / "tests"
    ignored = shutil.ignore_patterns("__pycache__", *NOT_ABOUT_THE_PACKAGE)
    shutil.copytree(TESTS, tests, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", vendored)
    move(tests)
    # Examples in docstrings use the installed name; only they change in the copy.
    changes = move(vendored / "acme")
    assert changes
    assert all(old.strip().startswith(">>> ") for old, _ in changes)
    (vendored / "last_look.py").write_text(PLUGIN)

    interpreter = bare()
    interpreter.link_packages()
    interpreter.add_to_path(vendored)
    done = interpreter.run(
        *("-m", "pytest", "-q", "-p", "last_look", "-p", "no:cacheprovider", "--color=no", "--junitxml=report.xml"),
        *("-o", "testpaths=tests acme"),
        cwd=vendored,
        seconds=1800,
    )
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-2_000:]
    assert re.search(r"^named portrange: \[\]; modules of the copy: \d\d+$", done.stdout, re.MULTILINE)

    cases = ET.parse(vendored / "report.xml").getroot().iter("testcase")
    ran = {case.get("classname", "") for case in cases if case.find("skipped") is None}
    for path in sorted(tests.rglob("test_*.py")):
        name = ".".join(path.relative_to(vendored).with_suffix("").parts)
        assert name in ran or "live" in name, f"{name} ran no test in the copy"
    assert any(name.startswith("acme._vendor.portrange") for name in ran), "no doctest ran in the copy"
