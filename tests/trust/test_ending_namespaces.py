"""Network namespaces that end during a query leave the result complete; those that persist are not omitted."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

import pytest
from fakes import SystemHost
from live.world import Child, World

import portrange
from portrange._host.system import System

pytestmark = pytest.mark.usefixtures("namespaces", "sock_diag")


class Ending(SystemHost):
    """A host on which a process ends as soon as its namespace is entered."""

    def __init__(self, pid: int, *, ends: bool = True) -> None:
        super().__init__()
        self.directory = f"/proc/{pid}"
        self.ends = ends
        self.entered: list[str] = []

    def sock_diag(self, request: bytes) -> Iterator[bytes]:  # type: ignore[override]  # also a generator
        self._enter(self.network or "")
        yield from super().sock_diag(request)

    def read(self, path: str) -> bytes:
        if path.startswith(f"{self.directory}/net/"):
            self._enter(self.directory)
        return super().read(path)

    def identity_of(self, process: str) -> int:
        if process == self.directory and self.entered and self.ends:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), process)
        return super().identity_of(process)

    def _enter(self, process: str) -> None:
        if process == self.directory:
            self.entered.append(process)
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), process)


SERVE = """
    new_network()
    made = tcp()
    pids = [fork(wait) for _ in range(int(sys.argv[1]))]
    say([port(made), min([os.getpid(), *pids]), os.readlink("/proc/self/ns/net")])
    wait()
"""


def ask(host: Ending, name: str, port: int) -> tuple[list[int], list[str]]:
    """Return the ports reported in a namespace and the reasons for incompleteness that name it."""
    found = portrange.listeners(namespaces="all", protocol="tcp", host=host)
    assert host.entered
    ports = [listener.port for listener in found.on(port) if listener.namespace == name]
    return ports, [reason for reason in found.incomplete if name in reason]


def test_namespace_is_entered_through_another_process_when_the_first_ends(world: World):
    port, first, name = world.start(SERVE, 1).hear()
    assert ask(Ending(first), name, port) == ([port], [])


def test_namespace_without_processes_is_not_reported(world: World):
    port, only, name = world.start(SERVE, 0).hear()
    assert ask(Ending(only), name, port) == ([], [])


class Leaving(SystemHost):
    """A host on which a process moves to another namespace as soon as its own is queried."""

    def __init__(self, child: Child, *, tables: bool) -> None:
        super().__init__()
        self.child = child
        self.tables = tables
        self.moved: list[object] = []
        self.expected: int | None = None

    def in_network(self, process: str, expected: int | None = None) -> SystemHost:
        if process == f"/proc/{self.child.pid}" and not self.moved:
            self.child.send("leave")
            self.moved.append(self.child.hear())
            self.expected = expected
        return super().in_network(process, expected)

    def sock_diag(self, request: bytes) -> Iterator[bytes]:  # type: ignore[override]  # also a generator
        if self.tables:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        yield from super().sock_diag(request)


@pytest.mark.parametrize("tables", [False, True], ids=["sock_diag", "tables"])
def test_listeners_of_a_namespace_that_its_process_left_are_not_reported(world: World, *, tables: bool):
    """The same check covers a reused PID: only the namespace identity distinguishes the processes."""
    child = world.start("""
        new_network()
        say(os.readlink("/proc/self/ns/net"))
        hear()
        new_network()
        made = tcp()
        say(port(made))
        wait()
    """)
    name = child.hear()
    before = System().identity_of(f"/proc/{child.pid}")
    host = Leaving(child, tables=tables)
    found = portrange.listeners(namespaces="all", host=host)
    assert len(host.moved) == 1
    assert host.expected == before, "later lookups of interface names check it as well"
    assert name not in {listener.namespace for listener in found}
    # Without sock_diag the units of hidden owners are unknown.
    assert [reason for reason in found.incomplete if not reason.startswith("units")] == []


def test_existing_namespace_that_cannot_be_entered_is_reported_as_incomplete(world: World):
    port, only, name = world.start(SERVE, 0).hear()
    ports, incomplete = ask(Ending(only, ends=False), name, port)
    assert ports == []
    assert len(incomplete) == 1
