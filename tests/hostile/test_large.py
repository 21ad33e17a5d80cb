"""Command lines of several megabytes, which an ordinary user's process can have, are read only in part."""

from __future__ import annotations

import portrange

#: With a larger stack, execve(2) takes up to 6 MiB of arguments, each of at most 128 KiB.
PROGRAM = """
import resource
hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
resource.setrlimit(resource.RLIMIT_STACK, (1 << 26 if hard == resource.RLIM_INFINITY else hard, hard))
server = tcp()
server.set_inheritable(True)
say(port(server))
os.execv("/bin/sh", ["sh", "-c", "echo null; read rest", *["a" * 100_000] * 45])
"""


def test_long_command_line_is_truncated(world, root, sock_diag):
    child = world.start(PROGRAM)
    port = child.hear()
    child.hear()
    with open(f"/proc/{child.pid}/cmdline", "rb") as file:
        assert len(file.read()) > 4_000_000
    [listener] = portrange.who_listens(port)
    [owner] = listener.owners
    assert (owner.pid, owner.name) == (child.pid, "sh")
    assert len("\0".join(owner.cmdline)) == 1 << 21
    assert len(owner._repr_html_()) < 100_000
