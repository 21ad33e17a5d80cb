"""Start and end the child processes of a test.

A test contains the source of its child, which runs after `from live.stage import *`. The processes that a child forks
end with it: they share its process group and its standard input.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import textwrap
from typing import Any

#: Every step takes less than a second on a quiet machine; a child that is silent for this long hangs.
_SECONDS = 120.0


class Child:
    """A child process of a test."""

    def __init__(self, program: str, arguments: tuple[object, ...] = (), pass_fds: tuple[int, ...] = ()) -> None:
        """Start *program*, which receives *arguments* as strings in `sys.argv[1:]`."""
        whole = f"import sys; sys.path[:] = {sys.path!r}\nfrom live.stage import *\n{textwrap.dedent(program)}"
        # -I and -S reduce the start to a few milliseconds.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", whole, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            pass_fds=pass_fds,
            bufsize=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self.pid = self._process.pid
        self._heard = b""

    def hear(self) -> Any:
        """Return the next value that the child writes."""
        while b"\n" not in self._heard:
            block = self._read()
            if not block:
                raise EOFError(f"the child exited without a reply, with status {self._process.wait(_SECONDS)}")
            self._heard += block
        line, _, self._heard = self._heard.partition(b"\n")
        return json.loads(line)

    def send(self, line: str) -> None:
        """Write one line to the standard input of the child."""
        self._stdin.write(line.encode() + b"\n")

    def end(self) -> None:
        """End the child and its process group, and wait for their exit."""
        self._stdin.close()
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        while self._read():  # end of file once the last process has closed the pipe
            pass
        self._stdout.close()
        self._process.wait(_SECONDS)

    def _read(self) -> bytes:
        if not select.select([self._stdout], [], [], _SECONDS)[0]:
            raise TimeoutError(f"no output from process {self.pid}")
        return os.read(self._stdout.fileno(), 1 << 16)


class World:
    """The child processes of one test."""

    def __init__(self) -> None:
        self._children: list[Child] = []

    def start(self, program: str, *arguments: object, pass_fds: tuple[int, ...] = ()) -> Child:
        """Start a child that runs until the test is over."""
        child = Child(program, arguments, pass_fds)
        self._children.append(child)
        return child

    def ask(self, program: str, *arguments: object) -> Any:
        """Run *program* in a child and return the first value that it writes."""
        child = self.start(program, *arguments)
        value = child.hear()
        self.end(child)
        return value

    def end(self, child: Child) -> None:
        """End one child before the test is over."""
        self._children.remove(child)
        child.end()

    def close(self) -> None:
        for child in reversed(self._children):
            child.end()
        self._children.clear()
