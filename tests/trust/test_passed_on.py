"""A socket that is transferred between processes during the search is not reported without an owner."""

from __future__ import annotations

import errno
import os
import time

import pytest
from fakes import SystemHost
from live.world import Child, World

from portrange import listeners, who_listens, why_busy

pytestmark = pytest.mark.usefixtures("root", "sock_diag")


class Slippery(SystemHost):
    """A host on which each owner has just ended, for the first *times* descriptions of one."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times
        self.searches = 0

    def read_start(self, path: str, size: int) -> bytes:
        if self.times and path.endswith("/cmdline"):
            self.times -= 1
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return super().read_start(path, size)

    def list(self, path: str) -> list[str]:
        self.searches += path == "/proc"
        return super().list(path)


class Latecomer(SystemHost):
    """A host on which a process starts during the search: only later process lists contain it."""

    def __init__(self, pid: int) -> None:
        super().__init__()
        self.pid = str(pid)
        self.lists = 0

    def list(self, path: str) -> list[str]:
        names = super().list(path)
        if path == "/proc":
            self.lists += 1
            if self.lists == 1:
                names.remove(self.pid)
        return names


def serve(world: World) -> tuple[int, int]:
    child = world.start("made = tcp(); say(port(made)); wait()")
    return child.hear(), child.pid


@pytest.mark.parametrize("times", [1, 2, 3])
def test_owner_of_a_transferred_socket_is_searched_again(world: World, times: int):
    port, pid = serve(world)
    [listener] = who_listens(port, protocol="tcp", host=Slippery(times))
    assert (listener.pid, listener.hidden) == (pid, False)
    [obstacle] = why_busy(port, address="127.0.0.1", host=Slippery(times))
    assert obstacle.socket is not None
    assert obstacle.socket.pid == pid


def test_owner_of_a_repeatedly_transferred_socket_is_hidden(world: World):
    port, _ = serve(world)
    host = Slippery(10**9)
    [listener] = who_listens(port, protocol="tcp", host=host)
    assert (listener.owners, listener.hidden) == ((), True)
    assert "hidden" in listener.holder
    assert host.searches < 20  # the search ends
    [obstacle] = why_busy(port, address="127.0.0.1", host=host)
    assert obstacle.socket is not None
    assert obstacle.socket.hidden


def test_process_started_during_the_search_is_searched(world: World):
    port, pid = serve(world)
    for ask in (lambda host: who_listens(port, host=host), lambda host: listeners(host=host).on(port)):
        host = Latecomer(pid)
        [listener] = ask(host)
        assert (listener.pid, listener.hidden) == (pid, False)
        assert host.lists > 1


class Executing(SystemHost):
    """A host on which a process executes another program after it was identified for the first time."""

    def __init__(self, child: Child) -> None:
        super().__init__()
        self.child: Child | None = child

    def read_link(self, path: str) -> str:
        target = super().read_link(path)
        if self.child is not None and path == f"/proc/{self.child.pid}/exe":
            child, self.child = self.child, None
            child.send("execute")
            while os.readlink(path) == target:
                time.sleep(0.001)
        return target


def test_program_executed_during_the_search_is_an_owner_beside_others(world: World):
    # The other process reads nothing: it would receive the message that is meant for its parent.
    child = world.start("""
        import signal
        made = [tcp(), tcp()]
        for server in made:
            server.set_inheritable(True)
        other = fork(signal.pause)
        say([other, *map(port, made)])
        hear()
        os.execv("/bin/sleep", ["sleep", "60"])
    """)
    other, *ports = child.hear()
    found = [listener for listener in listeners(host=Executing(child)) if listener.port in ports]
    assert len(found) == 2
    for listener in found:
        names = {owner.pid: owner.name for owner in listener.owners}
        assert (names.keys(), names[child.pid]) == ({child.pid, other}, "sleep")
