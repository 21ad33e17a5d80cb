"""Hostile names that processes on the same machine can have, and processes with these names."""

from __future__ import annotations

import json
import os
import zlib
from typing import NamedTuple

from live.cgroups import Cgroups
from live.world import World

#: The title of a page or terminal that receives an unescaped name.
OWNED = "owned"


class Lines(NamedTuple):
    """Names that a process chooses: its own (15 bytes), its arguments and its cgroup."""

    comm: bytes
    arguments: tuple[bytes, ...]
    cgroup: bytes


class Neighbour(NamedTuple):
    """A process that listens."""

    lines: Lines
    port: int
    pid: int


_SCRIPT = b"<script>document.title='owned'</script>"
_ATTRIBUTE = b"\"'><img src=x onerror=\"document.title='owned'\">"
_ESCAPES = b"\x1b[2J\x1b[H\x1b]0;owned\x07\x1b[?1049h\x9b31m\x1bP"

NEIGHBOURS: dict[str, Lines] = {
    "html": Lines(b"<script>x='own'", (_SCRIPT, _ATTRIBUTE), _ATTRIBUTE.replace(b"/", b"") + b".service"),
    "svg": Lines(b"</title></svg>", (b"</title></svg>" + _SCRIPT, b"&#60;b&#62;"), b"]]>--><svg onload=x>.service"),
    "escapes": Lines(b"\x1b[2J\x1b]0;own\x07\x1bc", (_ESCAPES, b"\x1b[31mred"), b"\x1b[2J\x1b]0;owned\x07.service"),
    "lines": Lines(
        b"a\nb\rc\vd\fe\x85f", (b"one\ntwo\rthree", b"\xe2\x80\xa8\xc2\x85"), b"a\rb\vc\xe2\x80\xa8.service"
    ),
    "user": Lines(b"\rUid:\t0\t0\t0\t0", (b"-",), b"user.service"),
    "broken": Lines(b"\xff\xfe\x80bad\xc3", (b"\xff\xc3(", b"\xed\xb3\xbf"), b"\xff\xfe\xed\xb3\xbf.service"),
    "parentheses": Lines(b"a) S 1 (b c) R", (b") ) (",), b"( ) .scope"),
    "reversed": Lines(
        "\u202etxt.\u2066".encode(), ("\u202egnp.exe\u200b\ufeff".encode(),), "\u202ecod.service".encode()
    ),
    "long": Lines(b"x" * 15, (b"x" * 100_000, b"y" * 100_000), b"z" * 247 + b".service"),
    "container": Lines(b"docker-init", (b"run",), b"lxc.payload.<img src=x onerror=alert(1)>\x1b[2J"),
    "empty": Lines(b" ", (b"", b""), b" "),
    "formats": Lines(b"%s%n{0}{x}$(id)", (b"%s%n{0}{x!r}$(id)`id`",), b"{0}%s$(id).service"),
}

#: Joins its cgroup, listens, reports its port and executes a program with the chosen command line.
_BEGIN = """
join_cgroup(os.fsdecode(bytes.fromhex(sys.argv[1])))
server = tcp()
server.set_inheritable(True)
say(port(server))
import zlib
command = json.loads(zlib.decompress(bytes.fromhex(hear())))
os.execv("/bin/sh", [bytes.fromhex(argument) for argument in command])
"""
#: Sets its name to its first argument and waits until the test ends.
_GO_ON = b'printf %b "$0" > /proc/$$/comm; echo null; read rest'


def move_in(world: World, cgroups: Cgroups, lines: Lines) -> Neighbour:
    """Start a neighbour and return when it has its names."""
    directory = cgroups.make(os.fsdecode(lines.cgroup))
    comm = "".join(f"\\0{byte:03o}" for byte in lines.comm).encode()
    command = (lines.arguments[0] or b" ", b"-c", _GO_ON, comm, *lines.arguments)
    child = world.start(_BEGIN, os.fsencode(directory).hex())
    port = child.hear()
    child.send(zlib.compress(json.dumps([part.hex() for part in command]).encode()).hex())
    child.hear()
    with open(f"/proc/{child.pid}/comm", "rb") as file:
        assert file.read() == lines.comm[:15] + b"\n"
    return Neighbour(lines, port, child.pid)


def visible(name: bytes) -> str:
    """Return a name as it may be shown: invalid UTF-8 and unprintable characters as escapes."""
    text = name.decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
