"""psutil's own tests of connections, with portrange beside every call (`beside_psutil`).

The wheel of psutil has no tests, so pip downloads the source distribution of the installed version.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import psutil
import pytest
from live.world import Child, World

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
#: The interpreter that psutil's tests start is not that of the virtual environment.
MODULES = [ROOT, HERE, Path(psutil.__file__).parents[1]]
#: A psutil that invents a listener, and a test that calls it.
INVENT = """
import socket, psutil
from psutil._ntuples import addr, sconn
invented = sconn(-1, socket.AF_INET, socket.SOCK_STREAM, addr("127.0.0.1", 9), (), "LISTEN", 1)
psutil.net_connections = lambda kind: [invented]
"""
WRONG = """
import psutil
def test_it():
    psutil.net_connections("tcp")
"""


@pytest.fixture
def network(namespaces: None, ipv6: None, world: World) -> Child:
    """A process in a network namespace without sockets."""
    child = world.start("new_network(); say(None); wait()")
    child.hear()
    return child


def run(network: Child, directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest with the plugin, in a network namespace."""
    enter = ("nsenter", f"--net=/proc/{network.pid}/ns/net")
    options = ("-q", "-W", "ignore", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(directory))
    return subprocess.run(
        [*enter, sys.executable, "-m", "pytest", *options, *arguments],
        cwd=directory,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(map(str, MODULES)), PYTEST_ADDOPTS=""),
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_portrange_agrees_with_psutil_in_psutils_own_tests(network: Child, tmp_path: Path):
    wanted = ("--no-deps", "--no-binary=psutil", f"--dest={tmp_path}", f"psutil=={psutil.__version__}")
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", *wanted], check=True, timeout=300)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        # Without the package, which would be imported in place of the installed one.
        parts = [part for part in files.getmembers() if part.name.split("/")[1:2] == ["tests"]]
        files.extractall(tmp_path, parts)
    (directory,) = (path.parent for path in tmp_path.glob("*/tests"))
    done = run(network, directory, "-p", "beside_psutil", "tests/test_connections.py")
    assert done.returncode == 0, done.stdout + done.stderr
    compared = ast.literal_eval(done.stdout.partition("compared: ")[2].partition("\n")[0])
    assert compared.keys() == {"listeners()", "listeners(process=)", "who_listens()", "who_uses()"}, done.stdout


def test_comparison_with_psutil_fails_for_a_listener_that_only_psutil_has(network: Child, tmp_path: Path):
    (tmp_path / "invent.py").write_text(INVENT, encoding="utf-8")
    (tmp_path / "test_wrong.py").write_text(WRONG, encoding="utf-8")
    done = run(network, tmp_path, "-p", "invent", "-p", "beside_psutil", "test_wrong.py")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "who_listens(9) lacks" in done.stdout
