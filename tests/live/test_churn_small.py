"""Queries while processes and sockets appear and disappear."""

from __future__ import annotations

import os

import pytest
from live.world import World

import portrange

#: Workers named "churner": each opens and closes sockets, forks, and executes another program.
CHURN = """
    import itertools, random
    with open("/proc/self/comm", "w") as file:
        file.write("churner")
    def churn(seed):
        chosen = random.Random(seed)
        stay = tcp()
        for _ in itertools.count():
            match chosen.randrange(4):
                case 0:
                    tcp().close()
                case 1:
                    made = [tcp("127.0.0.1"), udp("0.0.0.0"), bound()]
                    made[0].close()
                    del made
                case 2:
                    os.waitpid(fork(lambda: tcp().close()), 0)
                case 3:
                    made = tcp()
                    made.set_inheritable(True)
                    pid = os.fork()
                    if pid == 0:
                        os.execv("/bin/true", ["churner"])
                    os.waitpid(pid, 0)
                    made.close()
    for seed in range(4):
        fork(lambda: churn(seed))
    say(0)
    wait()
"""
ROUNDS = 120


def started(pid: int) -> str | None:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return None


@pytest.mark.usefixtures("sock_diag")
def test_each_of_many_workers_on_a_port_is_named_once_during_churn(world: World):
    # More sockets than fit into one netlink datagram; temporary sockets lie between permanent ones.
    child = world.start("""
        def worker():
            for inherited in going:
                inherited.close()
            made = tcp(number=number, reuse_port=True)
            os.write(report, b"+")
            wait()
        first = tcp(reuse_port=True)
        number = port(first)
        ready, report = os.pipe()
        going, staying = [first], []
        for place in range(60):
            if place % 3:
                staying.append(fork(worker))
                os.read(ready, 1)
            else:
                going.append(tcp(number=number, reuse_port=True))
        say([number, sorted(staying)])
        while True:
            going.pop(0).close()
            going.append(tcp(number=number, reuse_port=True))
    """)
    number, staying = child.hear()
    for _ in range(60):
        found = portrange.who_listens(number)
        named = [owner.pid for listener in found for owner in listener.owners if owner.pid in staying]
        assert sorted(named) == staying


@pytest.mark.usefixtures("sock_diag")
def test_listeners_are_correct_during_process_churn(world: World):
    steady = world.start("made = tcp(); say(port(made)); fork(wait); say(0); wait()")
    port = steady.hear()
    steady.hear()
    [before] = portrange.who_listens(port)
    world.start(CHURN).hear()
    names = set()
    for _ in range(ROUNDS):
        found = portrange.listeners()
        assert found.incomplete == ()
        [now] = found.on(port)
        # An ordinary user cannot inspect a process that is exiting, so `scope` and `possible_owners` can differ.
        assert (now.endpoint, now.owners, now.hidden) == (before.endpoint, before.owners, before.hidden)
        for listener in found:
            assert listener.port
            assert [owner.started for owner in listener.owners] == sorted(
                owner.started or 0 for owner in listener.owners
            )
            if "churner" in {owner.name for owner in listener.owners}:
                names |= {owner.name for owner in listener.owners}
        assert list(portrange.who_listens(port, exhaustive=True)) != []
    # Each owner was found while it had the socket: no unrelated process appears next to a churner.
    assert names <= {"churner", "true"}
    assert "churner" in names


@pytest.mark.usefixtures("sock_diag")
def test_owner_is_not_a_later_process_with_the_same_pid(world: World):
    world.start(CHURN).hear()
    checked = 0
    for _ in range(ROUNDS):
        for listener in portrange.listeners(protocol="tcp"):
            for owner in listener.owners:
                assert owner.started is not None
                now = started(owner.pid)
                if now is None:
                    continue
                checked += 1
                # The PID belongs to the reported owner or to a later process.
                with open("/proc/stat", encoding="ascii") as file:
                    booted = next(int(line.split()[1]) for line in file if line.startswith("btime"))
                assert owner.started <= booted + int(now) / os.sysconf("SC_CLK_TCK") + 1e-6
    assert checked


@pytest.mark.usefixtures("namespaces")
def test_listeners_are_correct_during_namespace_churn(world: World):
    steady = world.start("new_network(); made = tcp(); say([port(made), os.readlink('/proc/self/ns/net')]); wait()")
    port, name = steady.hear()
    world.start("""
        def visit():
            new_network()
            tcp("127.0.0.1", 4711)
        while True:
            os.waitpid(fork(visit), 0)
            say(0)
    """).hear()
    for _ in range(20):
        found = portrange.listeners(namespaces="all", protocol="tcp")
        assert [listener.pid for listener in found.on(port) if listener.namespace == name] == [steady.pid]


@pytest.mark.usefixtures("sock_diag")
def test_concurrent_queries_return_their_own_results(world: World):
    from concurrent.futures import ThreadPoolExecutor

    children = [world.start("made = tcp(); say(port(made)); wait()") for _ in range(4)]
    ports = [child.hear() for child in children]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(portrange.who_listens, ports * 5))
    assert [[listener.pid for listener in answer] for answer in answers] == [[child.pid] for child in children] * 5
