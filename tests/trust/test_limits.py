"""Very large and very slow machines: results stay correct and their cost stays bounded.

Cost is counted in system calls and compared with that of a smaller machine, so no test depends on timing.
`trust/descriptors.py` measures hundreds of thousands of descriptors.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from typing import Any

import pytest
from fakes import SystemHost
from live.cgroups import Cgroups
from live.world import World

import portrange

GROUPS = 5_000
SERVE = "join_cgroup(sys.argv[1]); made = tcp(); say(port(made)); wait()"
#: Duration of a system call on the slow host, in seconds.
_PAUSE = 0.002


class Slow(SystemHost):
    """A host on which every call is slow; `calls` counts them."""

    def __init__(self, pause: float = _PAUSE) -> None:
        super().__init__()
        self.pause = pause
        self.calls: Counter[str] = Counter()

    def _call(self, name: str, call: Callable[..., Any], *arguments: Any) -> Any:
        self.calls[name] += 1
        time.sleep(self.pause)
        return call(*arguments)

    def read(self, path: str) -> bytes:
        return self._call("read", super().read, path)

    def read_start(self, path: str, size: int) -> bytes:
        return self._call("read", super().read_start, path, size)

    def list(self, path: str) -> list[str]:
        return self._call("list", super().list, path)

    def inode(self, path: str) -> int:
        return self._call("inode", super().inode, path)

    def read_link(self, path: str) -> str:
        return self._call("read_link", super().read_link, path)

    def read_links(self, directory: str, *arguments: Any) -> dict[str, str]:
        return self._call("read_links", super().read_links, directory, *arguments)

    def subdirectories(self, path: str) -> list[str]:
        return self._call("subdirectories", super().subdirectories, path)

    def find_links(self, directory: str, *arguments: Any) -> dict[str, str]:
        return self._call("find_links", super().find_links, directory, *arguments)

    def find_directories(self, top: str, inodes: Collection[int]) -> dict[int, str]:
        return self._call("find_directories", super().find_directories, top, inodes)

    def sock_diag(self, request: bytes) -> Iterator[bytes]:  # type: ignore[override]  # also a generator
        self.calls["sock_diag"] += 1
        time.sleep(self.pause)
        yield from super().sock_diag(request)


# --- a slow machine ---------------------------------------------------------------------------------------------------


def test_slow_host_returns_the_same_results(world: World, sock_diag: None):
    port = world.start("made = tcp(); fork(wait); say(port(made)); wait()").hear()
    slow = Slow()
    assert portrange.who_listens(port, host=slow) == portrange.who_listens(port)
    assert portrange.why_busy(port, host=slow) == portrange.why_busy(port)
    assert portrange.classify(port, host=slow) == portrange.classify(port)


def test_free_port_query_reads_no_processes(world: World, sock_diag: None):
    port = world.ask("say(port(tcp()))")
    slow = Slow(0)
    assert not portrange.who_listens(port, host=slow)
    # Sockets of both families for each transport, and the list of transports: no process is read.
    assert slow.calls.keys() == {"sock_diag", "read"}
    assert slow.calls["sock_diag"] <= 8
    assert slow.calls["read"] == 1


def test_service_query_cost_is_independent_of_other_processes(cgroups: Cgroups, world: World):
    port = world.start(SERVE, cgroups.make("web.service")).hear()

    def cost() -> Counter[str]:
        slow = Slow(0)
        portrange.who_listens(port, host=slow)
        return slow.calls

    few = cost()
    children = world.start("pids = [fork(wait) for _ in range(50)]; say(len(pids)); wait()")
    assert children.hear() == 50
    assert cost() == few
    assert few["find_links"] == 1
    assert few.total() < 25


@pytest.mark.usefixtures("namespaces", "sock_diag")
def test_exhaustive_search_cost_is_linear_in_processes(world: World):
    """Runs in new namespaces, where no other processes start."""
    program = """
        import portrange
        from trust.test_limits import Slow
        new_network()
        new_processes()
        made = tcp()
        number = port(made)
        costs = []
        for _ in range(3):
            for _ in range(20):
                fork(wait)
            slow = Slow(0)
            [listener] = portrange.who_listens(number, exhaustive=True, host=slow)
            costs.append([len(listener.owners), slow.calls.total()])
        say(costs)
    """
    (few, cost), (more, costs_more), (most, costs_most) = world.ask(program)
    assert (few, more, most) == (21, 41, 61)
    # The same cost for each additional process.
    assert costs_most - costs_more == costs_more - cost
    assert costs_more - cost <= 20 * 10


# --- many control groups ----------------------------------------------------------------------------------------------


#: Queries two ports twice, and reports the results and the directories that each query listed.
COUNT_SCANS = """
    import portrange
    listed = []
    def note(event, arguments):
        if event in ("os.scandir", "os.listdir") and str(arguments[0]).startswith(sys.argv[1]):
            listed.append(arguments[0])
    sys.addaudithook(note)
    host, results = portrange.Host(), []
    for _ in range(2):
        listed.clear()
        found = [listener for port in sys.argv[2:] for listener in portrange.who_listens(int(port), host=host)]
        results.append([[[listener.unit, listener.scope] for listener in found], listed.copy()])
    say(results)
"""


def test_thousands_of_cgroups_are_listed_at_most_once_per_search(cgroups: Cgroups, world: World, report: list[str]):
    port = world.start(SERVE, cgroups.make("web.service")).hear()
    # Half of them have a child cgroup, so that they must be listed.
    parents = GROUPS // 2
    for number in range(parents):
        cgroups.make(f"many/{number}.slice/{number}.service")
    last = world.start(SERVE, cgroups.make(f"many/{parents - 1}.slice/{parents - 1}.service")).hear()
    (first, listed), (again, listed_again) = world.ask(COUNT_SCANS, cgroups.mount + cgroups.top, port, last)
    assert first == again == [["web.service", "service"], [f"{parents - 1}.service", "service"]]
    # At most two searches, each of which lists a directory once, and only directories with children.
    times = Counter(listed)
    assert 1 < len(times) <= parents + 3
    assert max(times.values()) <= 2
    # The second query lists none: the path of a cgroup cannot change.
    assert listed_again == []
    report.append(f"of {GROUPS} control groups {len(times)} were listed to find two, and none to find them again")


# --- a long list ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("namespaces")
def test_every_second_port_can_be_reserved(world: World):
    """32,768 items, the longest possible list, need more than a page."""
    program = """
        import portrange
        new_network()
        items = list(range(1, 65536, 2))
        with open("/proc/sys/net/ipv4/ip_local_reserved_ports", "wb", buffering=0) as file:
            for start in range(0, len(items), 500):  # the kernel accepts one page per write and appends it
                file.write((",".join(map(str, items[start : start + 500])) + "\\n").encode())
        own = portrange.ephemeral_range()
        info = [portrange.classify(port) for port in (33001, 33002, 65535)]
        usage = portrange.ephemeral_usage()
        facts = [[entry.reserved for entry in info], [entry.ephemeral for entry in info]]
        say([len(own.reserved), own.assumed, len(own), *facts, len(list(own)), len(usage.pool)])
    """
    spans, assumed, size, reserved, ephemeral, listed, used = world.ask(program)
    assert (spans, assumed) == (32_768, False)
    assert size == listed == used == (60999 - 32768 + 1) // 2
    assert reserved == [True, False, True]
    assert ephemeral == [False, True, False]
