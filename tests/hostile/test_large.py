"""An ordinary user's process may have more arguments than anybody wants to read: that is not done to the end."""

from __future__ import annotations

import portrange

#: With a larger stack, execve(2) takes up to 6 MiB of arguments, each of at most 128 KiB.
PROGRAM = """
import resource
hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
resource.setrlimit(resource.RLIMIT_STACK, (1 << 26 if hard == resource.RLIM_INFINITY else hard, hard))
made = tcp()
made.set_inheritable(True)
say(port(made))
os.execv("/bin/sh", ["sh", "-c", "echo null; read rest", *["a" * 100_000] * 45])
"""


def test_of_a_long_command_line_the_beginning_is_told(world, root, sock_diag):
    child = world.start(PROGRAM)
    port = child.hear()
    child.hear()
    with open(f"/proc/{child.pid}/cmdline", "rb") as file:
        assert len(file.read()) > 4_000_000
    [one] = portrange.who_listens(port)
    [owner] = one.owners
    assert (owner.pid, owner.name) == (child.pid, "sh")
    assert len("\0".join(owner.cmdline)) == 1 << 21
    assert len(owner._repr_html_()) < 100_000
