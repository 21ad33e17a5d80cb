"""A socket that is transferred between processes during the search is not reported without an owner."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from fakes import SystemHost
from live.world import World

from portrange import listeners, who_listens, why_busy

pytestmark = pytest.mark.usefixtures("root", "sock_diag")


class Slippery(SystemHost):
    """A host on which the owner has just closed the socket, for the first *times* reads of a descriptor."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times
        self.searches = 0

    def read_links(self, directory: str, names: Iterable[str] | None = None) -> dict[str, str]:
        if self.times:
            self.times -= 1
            return {}
        return super().read_links(directory, names)

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
