"""The README is true: its snippet gives the results it shows, and its commands are the ones that CI runs."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from pathlib import Path

import pytest

import portrange

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def has_default_pool() -> bool:
    pool = portrange.ephemeral_range()
    return (pool.first, pool.last, pool.assumed) == (32768, 60999, False)


@pytest.mark.skipif(
    sys.platform != "linux" or not has_default_pool(), reason="the snippet shows a Linux machine with the default pool"
)
def test_the_snippet_gives_what_it_shows():
    text = next(content for kind, content in BLOCKS if kind == "pycon")
    test = doctest.DocTestParser().get_doctest(text, {}, "README", str(README), 0)
    assert len(test.examples) > 10
    output: list[str] = []
    results = doctest.DocTestRunner().run(test, out=output.append)
    assert results.failed == 0, "".join(output)


@pytest.mark.skipif(
    sys.platform != "linux" or not has_default_pool(),
    reason="the page is that of a Linux machine with the default pool",
)
def test_the_first_command_prints_what_it_shows():
    shown = next(content for kind, content in BLOCKS if kind == "text")
    command = [sys.executable, "-m", portrange.__name__, "60860"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, cwd=README.parent).stdout
    # Whether somebody happens to have been given the port meanwhile is no property of the README.
    without_listeners = [line for line in printed.splitlines() if not line.startswith("  Listening")]
    assert without_listeners == [line for line in shown.splitlines() if not line.startswith("  Listening")]


def test_there_are_exactly_two_commands_of_one_line():
    commands = [content.strip() for kind, content in BLOCKS if kind == "sh"]
    assert len(commands) == 2
    assert all("\n" not in command and command.startswith("python3 -m venv") for command in commands)
    assert commands[0].endswith("-m portrange 60860")
    assert commands[1].endswith("-m pytest")


def test_its_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README.read_text(encoding="utf-8")):
        assert "://" in target or (README.parent / target).exists(), target
