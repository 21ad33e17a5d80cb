"""listeners(process=...) with real processes."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import socket
import subprocess
import sys
import threading

import pytest
from fakes import SystemHost
from live.world import World

import portrange
from portrange._frozen import replace


def ports(found: portrange.Listeners) -> list[int]:
    return [listener.port for listener in found]


def owners(found: portrange.Listeners) -> set[int]:
    return {owner.pid for listener in found for owner in listener.owners}


HOSTS = pytest.mark.parametrize("host", [None, portrange.Host(backend="portable")], ids=["linux", "portable"])


@HOSTS
def test_port_of_a_child_on_port_0_is_found(world: World, host: portrange.Host | None):
    child = world.start("server = tcp()\nsay(port(server))\nwait()")
    port = child.hear()
    with socket.create_server(("127.0.0.1", 0)):  # not one of the child's
        found = portrange.listeners(process=child, host=host)
    assert ports(found) == [port]
    assert owners(found) == {child.pid}
    assert found.incomplete == ()
    assert found[0].scope == "process"


@HOSTS
def test_descendants_of_descendants_are_included(world: World, host: portrange.Host | None):
    child = world.start("""
        def grandchild():
            server = tcp()
            say([os.getpid(), port(server)])
            wait()
        fork(lambda: [fork(grandchild), wait()])
        wait()
    """)
    pid, port = child.hear()
    found = portrange.listeners(process=child.pid, host=host)
    assert ports(found) == [port]
    assert owners(found) == {pid}
    assert found.incomplete == ()


def test_children_of_other_threads_are_included(world: World):
    child = world.start("""
        def grandchild():
            server = tcp()
            say(port(server))
            wait()
        thread = threading.Thread(target=lambda: [fork(grandchild), wait()])
        thread.start()
        wait()
    """)
    port = child.hear()
    assert ports(portrange.listeners(process=child)) == [port]


def test_workers_of_a_shared_port_are_separate_listeners(world: World):
    child = world.start("""
        first = socket.socket()
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        first.bind(("127.0.0.1", 0))
        def worker():
            own = socket.socket()
            own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            own.bind(first.getsockname())
            first.close()
            own.listen()
            say([os.getpid(), port(own)])
            wait()
        for _ in range(3):
            fork(worker)
        wait()
    """)
    workers = dict(child.hear() for _ in range(3))
    found = portrange.listeners(process=child)
    assert sorted([owner.pid for owner in listener.owners] for listener in found) == [[pid] for pid in sorted(workers)]
    assert set(ports(found)) == set(workers.values())


def test_other_owners_are_listed_only_if_exhaustive():
    with socket.create_server(("127.0.0.1", 0)) as server:
        child = subprocess.Popen(["sleep", "60"], pass_fds=[server.fileno()])
        try:
            port = server.getsockname()[1]
            found = portrange.listeners(process=child)
            assert (ports(found), owners(found)) == ([port], {child.pid})
            assert owners(portrange.listeners(process=child, exhaustive=True)) == {child.pid, os.getpid()}
        finally:
            child.kill()
            child.wait()


def test_protocol_selects_sockets(world: World):
    child = world.start("server, other = tcp(), udp()\nsay([port(server), port(other)])\nwait()")
    tcp, udp = child.hear()
    assert ports(portrange.listeners(process=child, protocol="tcp")) == [tcp]
    assert ports(portrange.listeners(process=child, protocol="udp")) == [udp]
    assert sorted(ports(portrange.listeners(process=child))) == sorted([tcp, udp])


def test_process_objects_of_the_standard_library_are_accepted():
    assert portrange.listeners(process=multiprocessing.current_process()) is not None

    async def start() -> portrange.Listeners:
        child = await asyncio.create_subprocess_exec("sleep", "60")
        try:
            return await asyncio.to_thread(portrange.listeners, process=child)
        finally:
            child.kill()
            await child.wait()

    found = asyncio.run(start())
    assert (tuple(found), found.incomplete) == ((), ())


def test_process_of_a_listener_is_accepted_and_a_reused_pid_is_not(world: World):
    child = world.start("server = tcp()\nsay(port(server))\nwait()")
    port = child.hear()
    [process] = portrange.who_listens(port)[0].owners
    assert ports(portrange.listeners(process=process)) == [port]
    assert process.started is not None
    earlier = replace(process, started=process.started - 60)
    found = portrange.listeners(process=earlier)
    assert tuple(found) == ()
    assert "has ended" in found.incomplete[0]


@HOSTS
def test_zombie_is_incomplete(host: portrange.Host | None):
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    found = portrange.listeners(process=child, host=host)
    assert (tuple(found), bool(found)) == ((), True)
    assert f"process {child.pid} does not exist or has ended" in found.incomplete[0]
    child.wait()
    assert portrange.listeners(process=child, host=host).incomplete
    assert portrange.listeners(process=child.pid, host=host).incomplete


def test_threads_that_outlive_the_main_thread_are_inspected(world: World):
    child = world.start("server = tcp()\noutlive_main_thread(lambda: say(port(server)))")
    port = child.hear()
    found = portrange.listeners(process=child)
    assert (ports(found), found.incomplete) == ([port], ())


def test_process_of_another_user_is_incomplete(root: None, world: World):
    child = world.start("server = tcp()\nsay(port(server))\nwait()")
    child.hear()
    rows, reasons = world.ask(
        """
        import portrange
        become_nobody()
        found = portrange.listeners(process=int(sys.argv[1]))
        say([found.to_dicts(), found.incomplete])
        """,
        child.pid,
    )
    assert rows == []
    assert reasons == [f"sockets of process {child.pid} (permission denied): run as its user, or as root"]


def test_process_in_another_network_namespace_is_incomplete(namespaces: None, world: World):
    child = world.start("new_network()\nloopback_up()\nserver = tcp()\nsay(port(server))\nwait()")
    port = child.hear()
    found = portrange.listeners(process=child)
    assert tuple(found) == ()
    assert found.incomplete[0].endswith(
        "in another network namespace: enter it (nsenter --net), or list all of them (--all-namespaces)"
    )
    everywhere = portrange.listeners(process=child, namespaces="all")
    assert ports(everywhere) == [port]
    assert everywhere[0].namespace


class WithoutChildren(SystemHost):
    """A kernel without CONFIG_PROC_CHILDREN."""

    def read(self, path: str) -> bytes:
        if path.endswith("/children"):
            raise FileNotFoundError(path)
        return super().read(path)


def test_descendants_are_found_by_their_parents_where_the_kernel_lists_no_children(world: World):
    child = world.start("""
        def grandchild():
            server = tcp()
            say(port(server))
            wait()
        fork(lambda: [fork(grandchild), wait()])
        wait()
    """)
    port = child.hear()
    assert ports(portrange.listeners(process=child, host=WithoutChildren())) == [port]


def test_snapshot_reads_a_process_once(world: World):
    child = world.start("server = tcp()\nsay(port(server))\nhear()\nserver.close()\nsay(None)\nwait()")
    port = child.hear()
    host = portrange.Host().snapshot()
    assert ports(portrange.listeners(process=child, host=host)) == [port]
    child.send("close")
    child.hear()
    assert ports(portrange.listeners(process=child, host=host)) == [port]
    assert ports(portrange.listeners(process=child)) == []


def test_threads_can_query_while_processes_are_forked(world: World):
    child = world.start("server = tcp()\nsay(port(server))\nwait()")
    port = child.hear()
    results: list[list[int]] = []
    threads = [
        threading.Thread(target=lambda: results.append(ports(portrange.listeners(process=child)))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for _ in range(4):
        subprocess.run([sys.executable, "-S", "-c", ""], check=True)
    for thread in threads:
        thread.join()
    assert results == [[port]] * 4


@pytest.mark.parametrize(
    ("process", "error"),
    [
        (True, TypeError),
        ("4242", TypeError),
        (1.5, TypeError),
        (object(), TypeError),
        (0, ValueError),
        (-1, ValueError),
        (1 << 70, ValueError),
        (multiprocessing.Process(), ValueError),
    ],
)
def test_what_is_no_process_is_refused(process: object, error: type[Exception]):
    with pytest.raises(error, match=r"process|pid"):
        portrange.listeners(process=process)  # type: ignore[call-overload,arg-type]
