"""The README is correct: its snippet produces the output shown, and its commands are those that CI runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import portrange

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def has_default_range() -> bool:
    ephemeral = portrange.ephemeral_range()
    return (ephemeral.first, ephemeral.last, ephemeral.assumed) == (32768, 60999, False)


def test_readme_snippet_prints_the_output_shown(namespaces):
    """A new network namespace has the kernel's default settings and only the listener of the snippet."""
    [snippet] = [content for kind, content in BLOCKS if kind == "python"]
    shown = [content for kind, content in BLOCKS if kind == "text"][1]
    program = f"open('/proc/self/comm', 'w').write('python')\n{snippet}\nimport os; print(os.getpid())"
    in_a_new_network = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    printed = subprocess.run(
        [*in_a_new_network, sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        cwd=README.parent,
    ).stdout
    *lines, pid = printed.splitlines()
    assert [line.replace(f"pid {pid}", "pid 4242") for line in lines] == shown.splitlines()


@pytest.mark.skipif(
    sys.platform != "linux" or not has_default_range(),
    reason="the output shown assumes a Linux machine with the default ephemeral range",
)
def test_readme_command_prints_the_output_shown():
    shown = next(content for kind, content in BLOCKS if kind == "text")
    command = [sys.executable, "-m", portrange.__name__, "60860"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, cwd=README.parent).stdout
    # The port is ephemeral, so any process may use it at the moment: ignore listeners.
    without_listeners = [line for line in printed.splitlines() if not line.startswith("  Listening")]
    assert without_listeners == [line for line in shown.splitlines() if not line.startswith("  Listening")]


def test_readme_has_exactly_two_one_line_commands():
    commands = [content.strip() for kind, content in BLOCKS if kind == "sh"]
    assert len(commands) == 2
    assert all("\n" not in command and command.startswith("python3 -m venv") for command in commands)
    assert commands[0].endswith("-m portrange 60860")
    assert commands[1].endswith("-m pytest")


def test_readme_links_resolve():
    for target in re.findall(r"\]\(([^)#]+)\)", README.read_text(encoding="utf-8")):
        assert "://" in target or (README.parent / target).exists(), target
