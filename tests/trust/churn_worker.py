"""Processes that open, close, inherit and exchange sockets as fast as they can, and log their actions.

`trust.holding_log` describes the log. The workers run as children of `trust.churn` in separate namespaces. PIDs are
reused at once, which reveals code that identifies a process by its PID alone.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import random
import signal
import socket
import time
from collections.abc import Iterator
from typing import NamedTuple

from live.stage import tcp, udp
from trust.holding_log import IN_FLIGHT, Endpoint

#: Each worker cycles through its own ports, so that two sockets of one port are far apart in time.
FIRST_PORT, PORTS_EACH = 2000, 3000
_MOST_SOCKETS, _MOST_CHILDREN = 12, 3
#: In seconds; leaves processor time to the querying processes.
_LONGEST_PAUSE = 0.004
_PR_SET_NAME = 15
_libc = ctypes.CDLL(None, use_errno=True)
_LAST_PID = "/proc/sys/kernel/ns_last_pid"
#: PIDs are allocated from this one upwards, again and again.
_LOWEST_PID = 300

Held = dict[Endpoint, socket.socket]


class _Child(NamedTuple):
    """A child and its sockets; `held` is None if the child logs its own sockets and exits by itself."""

    who: tuple[int, int, int]
    held: Held | None


def started(pid: int) -> int:
    """Return the start time of a process in clock ticks since boot (proc(5))."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[19])


def now() -> int:
    """Return the time of a clock that all processes share, in nanoseconds."""
    return time.monotonic_ns()


class Worker:
    """A process and the sockets that it owns."""

    def __init__(self, number: int, seed: int, log: int, left: socket.socket, right: socket.socket) -> None:
        self.chosen = random.Random(seed)
        self.log = log
        self.left, self.right = left, right
        left.setblocking(False)
        right.setblocking(False)
        self.held: Held = {}
        self.children: dict[int, _Child] = {}
        first = FIRST_PORT + number * PORTS_EACH
        self.ports: Iterator[int] = itertools.cycle(range(first, first + PORTS_EACH))
        self.names = itertools.count(1)
        self.me = (os.getpid(), started(os.getpid()), now())
        self.name = ""
        self._rename(f"w{number}")

    def run(self) -> None:
        """Run until killed."""
        acts = [self._open] * 4 + [self._close] * 3 + [self._give] * 3 + [self._fork] * 2 + [self._end_a_child] * 2
        while True:
            self._take()
            self.chosen.choice(acts)()
            time.sleep(self.chosen.random() * _LONGEST_PAUSE)

    # --- log ---

    def _write(self, kind: str, before: int, after: int, who: tuple[int, int, int], *rest: object) -> None:
        os.write(self.log, (" ".join(map(str, (kind, before, after, *who, *rest))) + "\n").encode())

    def _rename(self, name: str) -> None:
        """Change the process name; a concurrent query may still report the previous one."""
        before = now()
        if self.name:
            self._write("name", before, before, self.me, self.name)
        self._write("name", before, before, self.me, name)
        _libc.prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)
        self.name = name

    # --- actions ---

    def _open(self) -> None:
        if len(self.held) >= _MOST_SOCKETS:
            self._close()
            return
        endpoint = Endpoint(self.chosen.choice(("tcp", "udp")), next(self.ports))
        before = now()
        try:
            made = (tcp if endpoint.protocol == "tcp" else udp)("127.0.0.1", endpoint.port)
        except OSError:
            return  # another process still has the last socket of this port
        made.set_inheritable(self.chosen.random() < 0.5)
        self.held[endpoint] = made
        self._write("take", before, now(), self.me, *endpoint)

    def _close(self) -> None:
        if self.held:
            self._release(self.chosen.choice(list(self.held)))

    def _release(self, endpoint: Endpoint) -> None:
        before = now()
        self.held.pop(endpoint).close()
        self._write("release", before, now(), self.me, *endpoint)

    def _give(self) -> None:
        """Send a socket to the next worker, and keep it in half of the cases."""
        if not self.held:
            return
        endpoint = self.chosen.choice(list(self.held))
        before = now()
        try:
            message = f"{endpoint.protocol} {endpoint.port} {before}".encode()
            socket.send_fds(self.right, [message], [self.held[endpoint].fileno()])
        except OSError:
            return  # the queue of the next worker is full
        self._write("take", before, now(), (IN_FLIGHT, 0, before), *endpoint)
        if self.chosen.random() < 0.5:
            self._release(endpoint)

    def _take(self) -> None:
        before = now()
        try:
            message, (descriptor, *_), _, _ = socket.recv_fds(self.left, 100, 1)
        except OSError:
            return
        after = now()
        protocol, port, sent = message.decode().split()
        endpoint = Endpoint(protocol, int(port))
        taken = socket.socket(fileno=descriptor)
        if endpoint in self.held:
            taken.close()  # a second descriptor of one socket
        else:
            self._write("take", before, after, self.me, *endpoint)
            self.held[endpoint] = taken
        # The socket may have been sent after this call started.
        self._write("release", max(before, int(sent)), after, (IN_FLIGHT, 0, int(sent)), *endpoint)

    def _fork(self) -> None:
        """Fork a child that shares all sockets: it idles, executes another program, or acts like its parent."""
        if len(self.children) >= _MOST_CHILDREN:
            self._end_a_child()
            return
        kind = self.chosen.choice(("idle", "program", "worker"))
        seed = self.chosen.random()
        ready, report = os.pipe()
        before = now()
        _reuse_pids()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(ready)
                self._as_child(kind, seed, before, report)
            finally:
                os._exit(1)
        os.close(report)
        forked = now()
        who = (pid, started(pid), before)
        self._write("name", before, forked, who, self.name)
        for endpoint in self.held:
            self._write("take", before, forked, who, *endpoint)
        os.read(ready, 1)  # end of file: the child has reached its final state
        os.close(ready)
        if kind == "worker":
            self.children[pid] = _Child(who, None)
            return
        kept = dict(self.held)
        if kind == "program":
            self._write("name", before, forked, who, "sleep")
            for endpoint in [endpoint for endpoint in kept if not kept[endpoint].get_inheritable()]:
                self._write("release", forked, now(), who, *endpoint)
                del kept[endpoint]
        self.children[pid] = _Child(who, kept)

    def _as_child(self, kind: str, seed: float, life: int, report: int) -> None:
        if kind == "program":
            os.execv("/bin/sleep", ["sleep", "1000"])  # closes the pipe
        if kind == "idle":
            os.close(report)
            signal.pause()
        self.chosen = random.Random(seed)
        self.me = (os.getpid(), started(os.getpid()), life)
        self._rename(f"c{next(self.names)}")
        os.close(report)
        # The child opens no sockets: two processes must not share one cycle of ports.
        for _ in range(self.chosen.randrange(20)):
            self._take()
            self.chosen.choice((self._close, self._give))()
        for endpoint in list(self.held):
            self._release(endpoint)
        os._exit(0)

    def _end_a_child(self) -> None:
        if not self.children:
            return
        pid = self.chosen.choice(list(self.children))
        child = self.children.pop(pid)
        before = now()
        if child.held is not None:
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        after = now()
        for endpoint in child.held or ():
            self._write("release", before, after, child.who, *endpoint)


def _reuse_pids() -> None:
    with open(_LAST_PID, "w", encoding="ascii") as file:
        file.write(str(_LOWEST_PID))
