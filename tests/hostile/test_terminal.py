"""Results about hostile neighbours in a real terminal are shown as text, and no escape sequence takes effect."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys

import pytest
from hostile.neighbours import OWNED, Neighbour, visible

import portrange

SOURCES = os.path.dirname(os.path.dirname(portrange.__file__))
TITLE = "untouched"


class Terminal:
    """A terminal emulator without a window, and its visible content."""

    def __init__(self, socket: str) -> None:
        self._tmux = ["tmux", "-S", socket, "-f", "/dev/null"]

    def show(self, program: str) -> str:
        """Run a program and return the screen, which is so tall that nothing scrolls off."""
        script = f"printf 'before\\n'; {program}; printf 'over\\n'; exec cat"
        start = ["new-session", "-d", "-x", "150", "-y", "500", "-s", "main", "sh", "-c", script]
        environment = {**os.environ, "PYTHONPATH": SOURCES, "LC_ALL": "C.UTF-8"}
        subprocess.run([*self._tmux, *start], check=True, env=environment, timeout=300)
        self._tmux_output("select-pane", "-t", "main", "-T", TITLE)
        capture = " ".join(map(shlex.quote, [*self._tmux, "capture-pane", "-p", "-t", "main"]))
        wait = f"until {capture} | grep -q '^over$'; do sleep 0.1; done"
        subprocess.run(wait, check=True, shell=True, timeout=300)
        return self._tmux_output("capture-pane", "-p", "-t", "main")

    def state(self) -> dict[str, str]:
        """Return the state that programs can change: title, scrollback, visible screen and modes."""
        names = ("pane_title", "history_size", "alternate_on", "scroll_region_lower", "insert_flag", "origin_flag")
        found = self._tmux_output("display-message", "-p", "-t", "main", "\t".join(f"#{{{name}}}" for name in names))
        return dict(zip(names, found.rstrip("\n").split("\t"), strict=True))

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], check=False, timeout=300, stderr=subprocess.DEVNULL)

    def _tmux_output(self, *arguments: str) -> str:
        done = subprocess.run([*self._tmux, *arguments], check=True, capture_output=True, timeout=300)
        return done.stdout.decode()


@pytest.fixture
def terminal(tmp_path):
    if not shutil.which("tmux"):
        pytest.skip("no tmux: install Debian's package of that name")
    running = Terminal(str(tmp_path / "socket"))
    yield running
    running.close()


def command(*arguments: object) -> str:
    return shlex.join([sys.executable, "-m", portrange.__name__, *map(str, arguments)])


def untouched(terminal: Terminal) -> bool:
    state = terminal.state()
    return state == {
        "pane_title": TITLE,
        "history_size": "0",
        "alternate_on": "0",
        "scroll_region_lower": "499",
        "insert_flag": "0",
        "origin_flag": "0",
    }


def test_unescaped_sequences_take_effect(terminal):
    """The next tests rely on this: unescaped output clears the screen and sets the title."""
    screen = terminal.show(r"sleep 1; printf '\033[2J\033[H\033]0;owned\007'")
    assert "before" not in screen
    assert terminal.state()["pane_title"] == OWNED


def test_list_of_all_listeners(terminal, neighbourhood: dict[str, Neighbour]):
    screen = terminal.show(command())
    assert screen.startswith("before\n")
    assert untouched(terminal)
    for neighbour in neighbourhood.values():
        [line] = [line for line in screen.splitlines() if f" {neighbour.pid} " in line]
        assert f" {neighbour.port}  127.0.0.1 " in line


@pytest.mark.parametrize("command_name", ["", "busy", "--exhaustive"])
def test_each_command(terminal, neighbourhood: dict[str, Neighbour], command_name):
    ports = [neighbour.port for neighbour in neighbourhood.values()]
    options = {"": [], "busy": ["busy"], "--exhaustive": []}[command_name]
    programs = (
        [command(*options, port) for port in ports] if command_name != "--exhaustive" else [command("--exhaustive")]
    )
    screen = terminal.show("; ".join(programs))
    assert screen.startswith("before\n")
    assert untouched(terminal)
    text = "".join(screen.split())
    for neighbour in neighbourhood.values():
        name = visible(neighbour.lines.comm).replace(" ", "")
        assert name in text


def test_json_output(terminal, neighbourhood: dict[str, Neighbour]):
    port = neighbourhood["escapes"].port
    screen = terminal.show(command(port, "--json") + " | head -c 100000")
    assert screen.startswith("before\n")
    assert untouched(terminal)
    done = subprocess.run(
        [sys.executable, "-m", portrange.__name__, "--json"],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": SOURCES},
    )
    assert done.stdout.isascii()
    ports = {listener["port"] for listener in json.loads(done.stdout)["listeners"]}
    assert ports >= {neighbour.port for neighbour in neighbourhood.values()}


def test_invalid_port_argument_is_escaped(terminal):
    screen = terminal.show(command("\x1b[2J\x1b]0;owned\x07"))
    assert screen.startswith("before\n")
    assert r"\x1b[2J" in screen
    assert untouched(terminal)
