"""Importing does nothing: no I/O, and nothing loaded that only some questions need."""

from __future__ import annotations

import os
import subprocess
import sys
from modulefinder import ModuleFinder
from pathlib import Path

import pytest

import portrange

#: What no query loads that does not need it: each takes milliseconds of a cold process.
SLOW = ["typing", "typing_extensions", "dataclasses", "re", "json", "html", "argparse", "inspect", "textwrap", "psutil"]


def run(program: str) -> str:
    # Coverage.py loads what it needs into programs that it measures.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


def loaded_by(statements: str) -> set[str]:
    """The modules that a new process loads for some statements.

    `os` does not count: Python loads it at startup, except Python without site such as the embeddable one of Windows.
    """
    program = f"""
import os, sys
before = set(sys.modules)
import {portrange.__name__} as package
{statements}
print(*(set(sys.modules) - before))
"""
    return set(run(program).split())


def test_importing_loads_two_modules():
    name = portrange.__name__
    parts = name.split(".")
    parents = {".".join(parts[:end]) for end in range(1, len(parts))}  # of a vendored copy
    own = {module for module in loaded_by("") if not module.startswith("encodings")}
    assert {module for module in own if module.startswith(name)} == {name, f"{name}._lazy"}
    assert {module for module in own if not module.startswith(name)} - parents <= {"_thread", "__future__"}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems are queried through programs and libraries")
@pytest.mark.parametrize(
    "statements", ["package.classify(443)", "package.ephemeral_range()", "package.who_listens(1)", "package.Host()"]
)
def test_a_query_loads_no_slow_module(statements):
    assert {module for module in loaded_by(statements) if module.partition(".")[0] in SLOW} == set()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems are queried through programs and libraries")
def test_classify_loads_the_enumerations_when_they_are_read():
    assert not {"enum", "functools"} & loaded_by("package.classify(443)")
    assert "enum" in loaded_by("package.classify(443).band")


def test_importing_reads_nothing_but_modules():
    """Audit events report opened files, listed directories and started programs during the import."""
    program = f"""
import sys
seen = []
def watch(event, arguments):
    if event in ("open", "os.listdir", "os.scandir", "subprocess.Popen", "socket.__new__", "ctypes.dlopen"):
        seen.append((event, str(arguments[0])))
sys.addaudithook(watch)
import {portrange.__name__}
others = [entry for entry in seen if not entry[1].endswith((".py", ".pyc", ".so")) and "__pycache__" not in entry[1]]
others = [entry for entry in others if entry[1] not in sys.path]  # where modules lie, which may be in a zip file
print([entry for entry in others if entry[0] == "open" or entry[0] != "os.listdir"])
"""
    assert run(program).strip() == "[]"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems are asked through programs and libraries")
def test_classify_opens_files_and_loads_nothing_for_it():
    program = f"""
import sys
import {portrange.__name__} as package
package.classify(80)
print(sorted(name for name in sys.modules if name.split(".")[0] in ("psutil", "subprocess", "socket")))
"""
    assert run(program).strip() == "[]"


def test_programs_that_read_import_statements_find_every_module():
    """PyInstaller and others read the bytecode, so that they do not find modules that are imported by their names."""
    root = Path(portrange.__file__).parent
    finder = ModuleFinder(path=[str(root.parents[portrange.__name__.count(".")])])
    finder.import_hook(f"{portrange.__name__}.__main__")
    finder.import_hook(f"{portrange.__name__}.testing")  # the test suites of users import it by its name
    paths = [path.relative_to(root).with_suffix("") for path in root.rglob("*.py")]
    names = [".".join((portrange.__name__, *path.parts)).removesuffix(".__init__") for path in paths]
    assert sorted(set(names) - set(finder.modules)) == []
