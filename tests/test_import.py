"""Importing does nothing: no I/O, and nothing loaded that only some questions need."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import portrange

NOT_AT_IMPORT = ["psutil", "subprocess", "argparse", "html", "json", "socket", "ctypes", "hashlib", "ipaddress"]


def run(program: str) -> str:
    # Coverage.py loads what it needs into programs that it measures.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


def test_importing_loads_nothing_heavy():
    program = f"""
import sys
before = set(sys.modules)
import {portrange.__name__} as package
loaded = set(sys.modules) - before
unwanted = {{name for name in loaded if name.split(".")[0] in {NOT_AT_IMPORT!r} or name.endswith("_registry.table")}}
unwanted |= {{name for name in loaded if "_backends." in name and not name.endswith((".base", ".select"))}}
print(sorted(unwanted))
"""
    assert run(program).strip() == "[]"


def test_importing_reads_nothing_but_modules():
    """Audit events tell what is opened, listed or started while the package is imported."""
    program = f"""
import sys
seen = []
def watch(event, arguments):
    if event in ("open", "os.listdir", "os.scandir", "subprocess.Popen", "socket.__new__", "ctypes.dlopen"):
        seen.append((event, str(arguments[0])))
import dataclasses, typing, unicodedata, enum, re, operator, copy, functools, itertools, errno, ast, inspect
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
