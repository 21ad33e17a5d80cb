"""A socket that changes hands while its holders are looked for is not said to be nobody's."""

from __future__ import annotations

import errno
import os

import pytest
from live.world import World

from portrange import Host, listeners, who_listens, why_busy

pytestmark = pytest.mark.usefixtures("root", "sock_diag")


class Slippery(Host):
    """A holder that has just closed the socket each time it is looked at once more, so many times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times
        self.searches = 0

    def read_link(self, path: str) -> str:
        if "/fd/" in path and self.times:
            self.times -= 1
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return super().read_link(path)

    def list(self, path: str) -> list[str]:
        self.searches += path == "/proc"
        return super().list(path)


class Latecomer(Host):
    """A process that is started while the others are looked into: it is in the second list of all, not in the first."""

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
def test_it_is_looked_for_again(world: World, times: int):
    port, pid = serve(world)
    [one] = who_listens(port, protocol="tcp", host=Slippery(times))
    assert (one.pid, one.hidden) == (pid, False)
    [obstacle] = why_busy(port, address="127.0.0.1", host=Slippery(times))
    assert obstacle.socket is not None
    assert obstacle.socket.pid == pid


def test_what_slips_away_again_and_again_is_hidden_and_not_nobodys(world: World):
    port, _ = serve(world)
    host = Slippery(10**9)
    [one] = who_listens(port, protocol="tcp", host=host)
    assert (one.owners, one.hidden) == ((), True)
    assert "hidden" in one.holder
    assert host.searches < 20  # and not for ever
    [obstacle] = why_busy(port, address="127.0.0.1", host=host)
    assert obstacle.socket is not None
    assert obstacle.socket.hidden


def test_a_process_that_is_started_meanwhile_is_looked_into(world: World):
    port, pid = serve(world)
    for ask in (lambda host: who_listens(port, host=host), lambda host: listeners(host=host).on(port)):
        host = Latecomer(pid)
        [one] = ask(host)
        assert (one.pid, one.hidden) == (pid, False)
        assert host.lists > 1
