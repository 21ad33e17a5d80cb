"""Real processes that do what a test tells them, and their end.

The program of a child is written in its test, and begins with all that is in `live.stage`. Whatever a child starts
ends with it: everything that it forks shares its process group, and waits for the same standard input to end.
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

#: Nothing here takes a second; a child that is silent for so long has met a defect.
_SECONDS = 30.0


class Child:
    """A process that was started for a test."""

    def __init__(self, program: str, arguments: tuple[object, ...] = (), pass_fds: tuple[int, ...] = ()) -> None:
        """`program` finds its arguments, strings, in `sys.argv[1:]`."""
        whole = f"import sys; sys.path[:] = {sys.path!r}\nfrom live.stage import *\n{textwrap.dedent(program)}"
        # Isolated and without site, it starts in a few milliseconds.
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
        """The next value that it says."""
        while b"\n" not in self._heard:
            block = self._read()
            if not block:
                raise EOFError(f"the child ended without a word, with status {self._process.wait(_SECONDS)}")
            self._heard += block
        line, _, self._heard = self._heard.partition(b"\n")
        return json.loads(line)

    def tell(self, line: str) -> None:
        self._stdin.write(line.encode() + b"\n")

    def end(self) -> None:
        """End it and all that it started, and wait until they are gone."""
        self._stdin.close()
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        while self._read():  # the pipe ends with the last process that has it
            pass
        self._stdout.close()
        self._process.wait(_SECONDS)

    def _read(self) -> bytes:
        if not select.select([self._stdout], [], [], _SECONDS)[0]:
            raise TimeoutError(f"process {self.pid} says nothing")
        return os.read(self._stdout.fileno(), 1 << 16)


class World:
    """The processes of one test."""

    def __init__(self) -> None:
        self._children: list[Child] = []

    def start(self, program: str, *arguments: object, pass_fds: tuple[int, ...] = ()) -> Child:
        """A child that runs until the test is over."""
        child = Child(program, arguments, pass_fds)
        self._children.append(child)
        return child

    def ask(self, program: str, *arguments: object) -> Any:
        """The one value that a child says."""
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
