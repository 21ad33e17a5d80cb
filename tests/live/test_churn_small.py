"""Processes and sockets that come and go while somebody looks."""

from __future__ import annotations

import os

import pytest
from live.world import World

import portrange

#: Workers that are all called "churner": each opens and closes sockets, forks, and becomes another program.
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
def test_of_many_workers_on_one_port_none_is_left_out_or_named_twice_while_others_come_and_go(world: World):
    # More than the kernel tells in one datagram, each with its own socket; those that go lie among those that stay.
    child = world.start("""
        def worker():
            for inherited in going:
                inherited.close()
            made = tcp(number=number, reuse_port=True)
            os.write(report, b"+")
            wait()
        first = tcp(reuse_port=True)
        number = port(first)
        told, report = os.pipe()
        going, staying = [first], []
        for place in range(60):
            if place % 3:
                staying.append(fork(worker))
                os.read(told, 1)
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
        named = [owner.pid for one in found for owner in one.owners if owner.pid in staying]
        assert sorted(named) == staying


@pytest.mark.usefixtures("sock_diag")
def test_what_comes_and_goes_disturbs_no_answer(world: World):
    steady = world.start("made = tcp(); say(port(made)); fork(wait); say(0); wait()")
    port = steady.hear()
    steady.hear()
    [before] = portrange.who_listens(port)
    world.start(CHURN).hear()
    names = set()
    for _ in range(ROUNDS):
        found = portrange.listeners()
        assert found.incomplete == ()
        assert list(found.on(port)) == [before]
        for one in found:
            assert one.port
            assert [owner.started for owner in one.owners] == sorted(owner.started or 0 for owner in one.owners)
            if "churner" in {owner.name for owner in one.owners}:
                names |= {owner.name for owner in one.owners}
        assert list(portrange.who_listens(port, exhaustive=True)) != []
    # Each was seen while it had the socket: nobody else has ever got into their company.
    assert names <= {"churner", "true"}
    assert "churner" in names


@pytest.mark.usefixtures("sock_diag")
def test_no_owner_is_a_process_that_was_started_later(world: World):
    world.start(CHURN).hear()
    checked = 0
    for _ in range(ROUNDS):
        for one in portrange.listeners(protocol="tcp"):
            for owner in one.owners:
                assert owner.started is not None
                now = started(owner.pid)
                if now is None:
                    continue
                checked += 1
                # The owner ended meanwhile, or is still the one that was reported.
                with open("/proc/stat", encoding="ascii") as file:
                    booted = next(int(line.split()[1]) for line in file if line.startswith("btime"))
                assert owner.started <= booted + int(now) / os.sysconf("SC_CLK_TCK") + 1e-6
    assert checked


@pytest.mark.usefixtures("namespaces")
def test_namespaces_that_come_and_go_disturb_no_answer(world: World):
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
        assert [one.pid for one in found.on(port) if one.namespace == name] == [steady.pid]


@pytest.mark.usefixtures("sock_diag")
def test_asking_from_many_threads_gives_each_its_answer(world: World):
    from concurrent.futures import ThreadPoolExecutor

    children = [world.start("made = tcp(); say(port(made)); wait()") for _ in range(4)]
    ports = [child.hear() for child in children]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(portrange.who_listens, ports * 5))
    assert [[one.pid for one in answer] for answer in answers] == [[child.pid] for child in children] * 5
