"""A network namespace that ends while one looks is no gap in the answer, and one that goes on is not lost."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

import pytest
from live.world import Child, World

import portrange
from portrange import Host
from portrange._compat import Self

pytestmark = pytest.mark.usefixtures("namespaces", "sock_diag")


class Ending(Host):
    """A machine on which a process ends as soon as its namespace is to be entered."""

    def __init__(self, pid: int, *, ends: bool = True) -> None:
        super().__init__()
        self.directory = f"/proc/{pid}"
        self.ends = ends
        self.entered: list[str] = []

    def sock_diag(self, request: bytes) -> Iterator[bytes]:  # type: ignore[override]  # a generator all the same
        self._enter(self.network or "")
        yield from super().sock_diag(request)

    def read(self, path: str) -> bytes:
        if path.startswith(f"{self.directory}/net/"):
            self._enter(self.directory)
        return super().read(path)

    def network_identity(self, process: str) -> int:
        if process == self.directory and self.entered and self.ends:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), process)
        return super().network_identity(process)

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
    """The ports told in a namespace, and the gaps that are about it."""
    found = portrange.listeners(namespaces="all", protocol="tcp", host=host)
    assert host.entered
    there = [one.port for one in found.on(port) if one.namespace == name]
    return there, [gap for gap in found.incomplete if name in gap]


def test_it_is_entered_by_way_of_another_process(world: World):
    port, first, name = world.start(SERVE, 1).hear()
    assert ask(Ending(first), name, port) == ([port], [])


def test_one_without_processes_is_gone(world: World):
    port, only, name = world.start(SERVE, 0).hear()
    assert ask(Ending(only), name, port) == ([], [])


class Leaving(Host):
    """A machine on which a process goes into another namespace as soon as its own is to be looked at from."""

    def __init__(self, child: Child, *, tables: bool) -> None:
        super().__init__()
        self.child = child
        self.tables = tables
        self.moved: list[object] = []
        self.expected: int | None = None

    def in_network(self, process: str, expected: int | None = None) -> Self:
        if process == f"/proc/{self.child.pid}" and not self.moved:
            self.child.tell("leave")
            self.moved.append(self.child.hear())
            self.expected = expected
        return super().in_network(process, expected)

    def sock_diag(self, request: bytes) -> Iterator[bytes]:  # type: ignore[override]  # a generator all the same
        if self.tables:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        yield from super().sock_diag(request)


@pytest.mark.parametrize("tables", [False, True], ids=["sock_diag", "tables"])
def test_listeners_are_not_told_of_a_namespace_that_its_process_has_left(world: World, *, tables: bool):
    """Nor of that of another process, which got the number of one that has ended: nothing else tells these apart."""
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
    before = Host().network_identity(f"/proc/{child.pid}")
    host = Leaving(child, tables=tables)
    found = portrange.listeners(namespaces="all", host=host)
    assert len(host.moved) == 1
    assert host.expected == before, "nor are names of interfaces asked for later"
    assert name not in {one.namespace for one in found}
    assert found.incomplete == ()


def test_one_that_goes_on_and_cannot_be_entered_is_a_gap(world: World):
    port, only, name = world.start(SERVE, 0).hear()
    there, gaps = ask(Ending(only, ends=False), name, port)
    assert there == []
    assert len(gaps) == 1
