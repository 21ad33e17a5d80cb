"""Very large, very slow: the answers stay right, and what they cost stays bounded.

What something costs is counted, in calls to the system, and compared with a smaller machine; nothing here waits for a
clock. Descriptors by the hundred thousand are measured by a command (`trust/descriptors.py`).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from live.cgroups import Cgroups
from live.world import World

import portrange
from portrange import Host

GROUPS = 5_000
SERVE = "join_cgroup(sys.argv[1]); made = tcp(); say(port(made)); wait()"
#: How long a system call takes on the slow machine, in seconds.
_PAUSE = 0.002


class Slow(Host):
    """A machine on which every call takes its time; `calls` counts them."""

    def __init__(self, pause: float = _PAUSE) -> None:
        super().__init__()
        self.pause = pause
        self.calls: Counter[str] = Counter()

    def _one(self, name: str, call: Callable[..., Any], *arguments: Any) -> Any:
        self.calls[name] += 1
        time.sleep(self.pause)
        return call(*arguments)

    def read(self, path: str) -> bytes:
        return self._one("read", super().read, path)

    def read_start(self, path: str, size: int) -> bytes:
        return self._one("read", super().read_start, path, size)

    def list(self, path: str) -> list[str]:
        return self._one("list", super().list, path)

    def inode(self, path: str) -> int:
        return self._one("inode", super().inode, path)

    def read_link(self, path: str) -> str:
        return self._one("read_link", super().read_link, path)

    def find_links(self, directory: str, targets: frozenset[str]) -> dict[str, str]:
        return self._one("find_links", super().find_links, directory, targets)

    def find_directory(self, top: str, inode: int) -> str | None:
        return self._one("find_directory", super().find_directory, top, inode)

    def sock_diag(self, request: bytes) -> Iterator[bytes]:  # type: ignore[override]  # a generator all the same
        self.calls["sock_diag"] += 1
        time.sleep(self.pause)
        yield from super().sock_diag(request)


# --- a slow machine ---------------------------------------------------------------------------------------------------


def test_a_slow_machine_gives_the_same_answers(world: World, sock_diag: None):
    port = world.start("made = tcp(); fork(wait); say(port(made)); wait()").hear()
    slow = Slow()
    assert portrange.who_listens(port, host=slow) == portrange.who_listens(port)
    assert portrange.why_busy(port, host=slow) == portrange.why_busy(port)
    assert portrange.classify(port, host=slow) == portrange.classify(port)


def test_nobody_costs_nothing_but_the_question(world: World, sock_diag: None):
    port = world.ask("say(port(tcp()))")
    slow = Slow(0)
    assert not portrange.who_listens(port, host=slow)
    # IPv4 and IPv6 of each transport, and which transports there are: no process is looked at.
    assert slow.calls.keys() == {"sock_diag", "read"}
    assert slow.calls["sock_diag"] <= 8
    assert slow.calls["read"] == 1


def test_a_service_costs_its_own_processes_and_not_those_of_the_machine(cgroups: Cgroups, world: World):
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
def test_a_full_search_costs_so_much_for_each_process(world: World):
    """In namespaces of its own, so that nobody else starts processes there."""
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
            [one] = portrange.who_listens(number, exhaustive=True, host=slow)
            costs.append([len(one.owners), slow.calls.total()])
        say(costs)
    """
    (few, cost), (more, costs_more), (most, costs_most) = world.ask(program)
    assert (few, more, most) == (21, 41, 61)
    # The same for each process more.
    assert costs_most - costs_more == costs_more - cost
    assert costs_more - cost <= 20 * 10


# --- many control groups ----------------------------------------------------------------------------------------------


#: Asks about two ports, twice, and tells what was answered and which directories were listed for it.
COUNT_SCANS = """
    import portrange
    listed = []
    def note(event, arguments):
        if event in ("os.scandir", "os.listdir") and str(arguments[0]).startswith(sys.argv[1]):
            listed.append(arguments[0])
    sys.addaudithook(note)
    host, told = portrange.Host(), []
    for _ in range(2):
        listed.clear()
        found = [one for port in sys.argv[2:] for one in portrange.who_listens(int(port), host=host)]
        told.append([[[one.unit, one.scope] for one in found], listed.copy()])
    say(told)
"""


def test_thousands_of_groups_are_searched_once_and_at_most_once_each(cgroups: Cgroups, world: World, report: list[str]):
    port = world.start(SERVE, cgroups.make("web.service")).hear()
    # Half of them have a group below, so that they have to be listed.
    parents = GROUPS // 2
    for number in range(parents):
        cgroups.make(f"many/{number}.slice/{number}.service")
    last = world.start(SERVE, cgroups.make(f"many/{parents - 1}.slice/{parents - 1}.service")).hear()
    (first, listed), (again, listed_again) = world.ask(COUNT_SCANS, cgroups.mount + cgroups.top, port, last)
    assert first == again == [["web.service", "service"], [f"{parents - 1}.service", "service"]]
    # Two searches at most, each of which lists a directory once, and only those that have something below them.
    times = Counter(listed)
    assert 1 < len(times) <= parents + 3
    assert max(times.values()) <= 2
    # And never again: where a group is cannot change.
    assert listed_again == []
    report.append(f"of {GROUPS} control groups {len(times)} were listed to find two, and none to find them again")


# --- a long list ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("namespaces")
def test_every_other_port_may_be_reserved(world: World):
    """32,768 items, which is more than a page: no list can be longer."""
    program = """
        import portrange
        new_network()
        items = list(range(1, 65536, 2))
        with open("/proc/sys/net/ipv4/ip_local_reserved_ports", "wb", buffering=0) as file:
            for start in range(0, len(items), 500):  # the kernel takes a page at a time, and adds to it
                file.write((",".join(map(str, items[start : start + 500])) + "\\n").encode())
        pool = portrange.ephemeral_range()
        info = [portrange.classify(port) for port in (33001, 33002, 65535)]
        usage = portrange.ephemeral_usage()
        told = [[one.reserved for one in info], [one.ephemeral for one in info]]
        say([len(pool.reserved), pool.assumed, len(pool), *told, len(list(pool)), len(usage.pool)])
    """
    spans, assumed, size, reserved, ephemeral, listed, used = world.ask(program)
    assert (spans, assumed) == (32_768, False)
    assert size == listed == used == (60999 - 32768 + 1) // 2
    assert reserved == [True, False, True]
    assert ephemeral == [False, True, False]
