"""Commands in a pseudo-terminal: output fits the width, and colours are used only where supported."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys

import pytest

import portrange
from portrange._render.text import width

pty = pytest.importorskip("pty", reason="this system has no pseudo-terminals")
termios = pytest.importorskip("termios", reason="this system has no pseudo-terminals")

SOURCES = os.path.dirname(os.path.dirname(portrange.__file__))
COLOUR = re.compile(r"\x1b\[\d*m")

#: A server that renames its process to its argument and prints its port.
SERVER = r"""
import socket, sys
with open("/proc/self/comm", "wb") as name:
    name.write(sys.argv[1].encode().decode("unicode_escape").encode())
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
sys.stdin.read()
"""


def in_terminal(*arguments: str, columns: int = 80, **environment: str) -> tuple[int, str]:
    """Return the exit status and the output of a command in a terminal of *columns* columns."""
    master, terminal = pty.openpty()
    termios.tcsetwinsize(master, (24, columns)) if hasattr(termios, "tcsetwinsize") else _resize(master, columns)
    unset = ("NO_COLOR", "COLUMNS", "LINES", "FORCE_COLOR", "PYTHON_COLORS")
    inherited = {name: value for name, value in os.environ.items() if name not in unset}
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", portrange.__name__, *arguments],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env={**inherited, "PYTHONPATH": SOURCES, "PYTHONUTF8": "1", "TERM": "xterm", **environment},
        )
    finally:
        os.close(terminal)
    shown = bytearray()
    with process, open(master, "rb", buffering=0) as reader:
        try:
            while part := reader.read(4096):
                shown += part
        except OSError:
            pass  # Linux raises EIO once the last process has closed the terminal
    return process.returncode, shown.decode().replace("\r\n", "\n")


def _resize(master: int, columns: int) -> None:
    import fcntl
    import struct

    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("=4H", 24, columns, 0, 0))


@pytest.fixture
def hostile(tmp_path):
    """Yield the port and PID of a server whose name would clear the screen and break the column."""
    if sys.platform != "linux":
        pytest.skip("requires /proc/self/comm")
    program = tmp_path / "server.py"
    program.write_text(SERVER)
    process = subprocess.Popen(
        [sys.executable, "server.py", r"\x1b[2J\nname\x07", "\x1b[31mred", "argument" * 40],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield int(process.stdout.readline()), process.pid
        process.stdin.close()


@pytest.mark.parametrize("columns", [40, 80, 120])
@pytest.mark.parametrize(
    "command",
    ["", "{port}", "busy {port}", "check {port} 60860 443", "range", "usage", "suggest a-name", "--help"],
)
def test_output_fits_the_terminal_and_escapes_control_characters(hostile, columns, command):
    port, _ = hostile
    status, shown = in_terminal(*command.format(port=port).split(), columns=columns)
    assert status in (0, 1)
    plain = COLOUR.sub("", shown)
    assert all(line.isprintable() for line in plain.splitlines())
    assert all(width(line) <= columns for line in plain.splitlines())


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_long_line_shortens_the_name_and_keeps_the_pid(hostile, columns):
    port, pid = hostile
    _, shown = in_terminal(columns=columns)
    # Other rows of this machine may leave less room for the address, which is shortened first.
    [line] = [line for line in shown.splitlines() if f" {port}  127." in line]
    assert f" {pid} " in line
    assert r"\x1b[2J"[:5] in line


def test_long_page_lines_have_a_hanging_indent(hostile):
    _, shown = in_terminal("60860", columns=60)
    lines = COLOUR.sub("", shown).splitlines()
    [position] = [index for index, line in enumerate(lines) if line.startswith("  This host    ")]
    assert re.match(" {17}[^ ]", lines[position + 1])


@pytest.mark.parametrize("columns", [80, 200])
def test_page_has_at_most_80_columns(columns):
    _, shown = in_terminal("60860", columns=columns)
    assert max(map(width, COLOUR.sub("", shown).splitlines())) <= 80


def test_piped_output_has_long_lines_and_no_colours():
    done = subprocess.run(
        [sys.executable, "-m", portrange.__name__, "check", "60860"],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": SOURCES, "COLUMNS": "40", "TERM": "xterm"},
    )
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) > 80


@pytest.mark.parametrize("arguments", [(), ("60860",), ("range",), ("check", "60860"), ("--help",)])
def test_terminal_output_has_colours(arguments):
    with socket.create_server(("127.0.0.1", 0)):
        _, shown = in_terminal(*arguments)
    assert COLOUR.search(shown)
    # Each colour is followed by a reset.
    assert shown.count("\x1b[0m") * 2 == len(COLOUR.findall(shown))


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
@pytest.mark.parametrize("arguments", [(), ("60860",), ("check", "60860"), ("busy", "1"), ("--help",)])
def test_no_color_and_dumb_terminal_disable_colours(arguments, environment):
    _, shown = in_terminal(*arguments, **environment)
    assert shown
    assert "\x1b" not in shown


def test_coloured_and_plain_output_have_the_same_text():
    _, coloured = in_terminal("check", "60860", "8080")
    _, plain = in_terminal("check", "60860", "8080", NO_COLOR="1")
    assert COLOUR.sub("", coloured) == plain
    assert {"FAIL", "ok"} <= set(plain.split())


@pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed")
def test_tmux_screen_shows_escaped_names(hostile, tmp_path):
    """Check the screen that tmux shows after it has interpreted the output."""
    port, pid = hostile
    tmux = ["tmux", "-S", str(tmp_path / "socket"), "-f", "/dev/null"]
    program = f"{sys.executable} -m {portrange.__name__} {port}; echo over; cat"
    environment = {**os.environ, "PYTHONPATH": SOURCES, "LC_ALL": "C.UTF-8"}
    # More than one word: tmux runs them itself. One word is for the login shell, which can be "nologin".
    start = ["new-session", "-d", "-x", "80", "-y", "50", "-s", "session", "sh", "-c", program]
    subprocess.run([*tmux, *start], check=True, env=environment, timeout=300)
    try:
        capture = [*tmux, "capture-pane", "-p", "-t", "session"]
        wait = f"until {' '.join(capture)} | grep -q '^over$'; do sleep 0.1; done"
        subprocess.run(wait, check=True, shell=True, timeout=300)
        screen = subprocess.run(capture, check=True, capture_output=True, text=True, timeout=300).stdout
    finally:
        subprocess.run([*tmux, "kill-server"], check=False, timeout=300)
    assert screen.startswith(f"Port {port}    ")
    assert rf"\x1b[2J\nname\x07 {pid} " in screen
    assert r" \x1b[31mred " in " ".join(screen.split())
