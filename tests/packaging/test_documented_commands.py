"""The commands of the pages about installation and vendoring, run as the pages show them."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
from importlib.util import find_spec
from pathlib import Path

import pytest
from docs.pages import blocks, run_script

import portrange

DOCS = Path(__file__).parents[2] / "docs"
#: How the page about vendoring makes one file: the module of each tool, and a line of its block.
TOOLS = {"zipapp": "python -m zipapp", "shiv": "shiv --console-script", "PyInstaller": "pyinstaller --onefile"}


def commands(page: str, line: str) -> str:
    """Return the block of a page that has a line with this beginning."""
    [block] = [block for block in blocks(DOCS / page) if f"\n{line}" in f"\n{block.text}"]
    return block.text


def run(script: str, cwd: Path) -> str:
    """Run commands; the package is that of *cwd*, and shiv and PyInstaller write there, not in the home folder."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PYTEST"))}
    environment |= {"SHIV_ROOT": f"{cwd}/.shiv", "PYINSTALLER_CONFIG_DIR": f"{cwd}/.pyinstaller"}
    return run_script(script, cwd, environment)


@pytest.mark.parametrize("tool", TOOLS)
def test_file_made_by_the_documented_commands_gives_the_results_of_the_library(tool, own_tree):
    if find_spec(tool) is None:
        pytest.skip(f"{tool} is not installed: pip install --group packaging")
    if tool == "PyInstaller" and shutil.which("objcopy") is None:
        pytest.skip("the program 'objcopy' is not on the PATH: Debian has it in binutils")
    script = commands("vendoring.md", TOOLS[tool])
    printed = run(script, own_tree)
    assert "\n  Registered   https (tcp, udp, sctp): " in printed[printed.index("Port 443 ") :]
    program, port = shlex.split(script.splitlines()[-1])
    assert port == "443"
    os.rename(own_tree / "portrange", own_tree / "moved")  # the file contains the package
    [page] = json.loads(run(f"{program} --json 443", own_tree))
    assert page["port"] == json.loads(json.dumps(portrange.classify(443).to_dict()))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        [listed] = json.loads(run(f"{program} list --json {port}", own_tree))["listeners"]
        [listener] = portrange.who_listens(port).to_dicts()
        assert listed["owners"][0]["pid"] == os.getpid()
        assert {name: listener[name] for name in listed} == listed


def test_documented_installation_works_and_can_be_removed(own_tree):
    page = run(commands("installation.md", ".venv/bin/pip install ."), own_tree)
    assert "Port 60860 " in page
    removed = run(commands("installation.md", ".venv/bin/pip uninstall"), own_tree)
    assert "Successfully uninstalled portrange" in removed
    assert not (own_tree / ".venv" / "bin" / "portrange").exists()
