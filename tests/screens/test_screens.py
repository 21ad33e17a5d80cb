"""What people see: the screens of every command, compared with the golden files."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

import portrange
from portrange._render.text import width

sys.path.insert(0, str(Path(__file__).parent))
try:
    import host
    import screens
finally:
    sys.path.pop(0)

pytestmark = [
    pytest.mark.usefixtures("namespaces", "sock_diag"),
    pytest.mark.skipif(
        portrange.__name__ != "portrange", reason="the screens are those of the repository's own package"
    ),
    pytest.mark.skipif(os.name != "posix" or not shutil.which("ip"), reason="the program 'ip' is not on the PATH"),
    pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed"),
]


@pytest.mark.parametrize(("user", "columns"), screens.FILES)
def test_screens_are_those_of_the_golden_files(user, columns):
    try:
        shown = screens.screens(user, columns)
    except OSError as error:
        pytest.skip(f"cannot create a cgroup: {error}")
    golden = (screens.GOLDEN / f"{user}-{columns}.txt").read_text(encoding="utf-8")
    assert shown == golden, "if the change is intended, run python tests/screens/screens.py"
    assert max(map(width, shown.splitlines())) <= columns


@pytest.mark.parametrize(("user", "columns"), screens.FILES)
def test_golden_tables_have_whole_ports_and_process_names(user, columns):
    text = (screens.GOLDEN / f"{user}-{columns}.txt").read_text(encoding="utf-8")
    rows = text.partition("exit status")[0].splitlines()[2:]
    names = [name for name, *_ in host.SERVERS]
    shown = {line.split()[1]: line for line in rows if line.startswith(("tcp", "udp"))}
    assert {"22", "53", "80", "443", "5432", "8000", "8080", "15432"} == set(shown)
    if user == "root":
        assert [name for name in names if f" {name} " not in "\n".join(rows)] == []
