"""Owners and units of sockets that a service manager keeps, with real cgroups and PID namespaces."""

from __future__ import annotations

import os
from typing import Any

import pytest
from fakes import SystemHost
from live.cgroups import Cgroups
from live.test_refused import NoSockDiag
from live.world import World

import portrange

SERVE = "join_cgroup(sys.argv[1]); made = tcp(); say(port(made)); wait()"
USER_MANAGER = "user.slice/user-7.slice/user@7.service/init.scope"
USER_SERVICE = "user.slice/user-7.slice/user@7.service/app.slice/web.service"

#: Process 1 of a new PID namespace keeps a socket of web.socket. `serve_in` starts a process that shares it.
MANAGER = """
    import select
    import portrange
    from live.test_service_managers import Inspected
    new_processes()
    top = sys.argv[1]
    others = [fork(wait) for _ in range(10)]
    join_cgroup(f"{top}/system.slice/web.socket")
    made = tcp()
    number = port(made)
    join_cgroup(f"{top}/init.scope")

    def serve_in(directory):
        ready, started = os.pipe()
        def serve():
            join_cgroup(directory)
            os.write(started, b"x")
            wait()
        pid = fork(serve)
        os.read(ready, 1)
        return pid

    def report(**expected):
        host = Inspected()
        [row] = portrange.who_listens(number, host=host).to_dicts()
        [listed] = portrange.listeners().on(number).to_dicts()
        say({**expected, "same": row == listed, "row": row, "inspected": sorted(host.inspected)})
"""


class Inspected(SystemHost):
    """A host that records the processes whose descriptors were read."""

    def __init__(self, procfs: str = "/proc") -> None:
        super().__init__(procfs)
        self.inspected: set[int] = set()

    def find_links(self, directory: str, *arguments: Any) -> dict[str, str]:
        self.inspected.add(int(directory.removeprefix(self.procfs).split("/")[1]))
        return super().find_links(directory, *arguments)


def pids(processes: list[dict[str, int]]) -> list[int]:
    return [process["pid"] for process in processes]


@pytest.fixture
def tree(cgroups: Cgroups, namespaces: None) -> str:
    """Groups of a system with systemd: init.scope, a socket unit, its service and another one."""
    for name in ("init.scope", "system.slice/web.socket", "system.slice/web.service", "system.slice/other.service"):
        cgroups.make(name)
    return f"{cgroups.mount}{cgroups.top}"


def test_socket_unit_is_owned_by_its_manager_and_its_service(tree: str, world: World):
    found = world.ask(
        MANAGER + '    report(service=serve_in(f"{top}/system.slice/web.service"))',
        tree,
    )
    row = found["row"]
    assert pids(row["owners"]) == [1, found["service"]]
    assert (row["unit"], row["user_unit"], row["scope"], found["same"]) == ("web.socket", False, "service", True)
    assert found["inspected"] == [1, found["service"]]


def test_socket_unit_of_a_template_is_owned_by_its_instance(cgroups: Cgroups, tree: str, world: World):
    instance = cgroups.make("system.slice/system-web.slice/web@7.service")
    found = world.ask(MANAGER + "    report(service=serve_in(sys.argv[2]))", tree, instance)
    assert pids(found["row"]["owners"]) == [1, found["service"]]
    assert (found["row"]["scope"], found["inspected"]) == ("service", [1, found["service"]])


def test_manager_that_waits_for_connections_is_the_only_owner(tree: str, world: World):
    found = world.ask(
        MANAGER
        + """
    poll = select.epoll()
    poll.register(made, select.EPOLLIN)
    report()
    """,
        tree,
    )
    assert pids(found["row"]["owners"]) == [1]
    assert (found["row"]["scope"], found["inspected"]) == ("service", [1])


def test_service_of_another_name_is_found_among_all_processes(tree: str, world: World):
    found = world.ask(MANAGER + '    report(service=serve_in(f"{top}/system.slice/other.service"))', tree)
    assert pids(found["row"]["owners"]) == [1, found["service"]]
    assert (found["row"]["unit"], found["row"]["scope"]) == ("web.socket", "host")


def test_manager_and_service_are_possible_owners_for_other_users(tree: str, world: World):
    found = world.ask(
        MANAGER
        + """
    service = serve_in(f"{top}/system.slice/web.service")
    def ask():
        made.close()
        become_nobody()
        report(service=service)
    fork(ask)
    wait()
    """,
        tree,
    )
    row = found["row"]
    assert (row["owners"], row["hidden"], row["unit"], found["same"]) == ([], True, "web.socket", True)
    assert pids(row["possible_owners"]) == [1, found["service"]]


USER_SOCKET = """
    import portrange
    join_cgroup(sys.argv[1])
    made = tcp()
    ready, started = os.pipe()
    def serve():
        join_cgroup(sys.argv[2])
        os.write(started, b"x")
        wait()
    service = fork(serve)
    os.read(ready, 1)
    say([port(made), service])
    wait()
"""


def test_socket_of_a_user_manager_is_owned_by_the_service_as_well(cgroups: Cgroups, world: World):
    manager = world.start(USER_SOCKET, cgroups.make(USER_MANAGER), cgroups.make(USER_SERVICE))
    port, service = manager.hear()
    host = Inspected()
    [listener] = portrange.who_listens(port, host=host)
    assert [owner.pid for owner in listener.owners] == [manager.pid, service]
    assert (listener.unit, listener.user_unit, listener.scope) == ("web.service", True, "service")
    assert listener.cgroup == cgroups.path(USER_SERVICE)
    assert host.inspected == {manager.pid, service}
    assert portrange.listeners().on(port)[0] == listener
    # The creator of this socket is root, who is not the user of the service manager.
    assert "web.service (user 7)" in str(portrange.who_listens(port))
    [obstacle] = portrange.why_busy(port, address="127.0.0.1")
    assert "web.service (user 7)" in obstacle.detail


def test_members_of_deeply_nested_groups_are_found(cgroups: Cgroups, world: World):
    deepest = USER_SERVICE + "/a" * 1_200  # deeper than Python nests calls
    manager = world.start(USER_SOCKET, cgroups.make(USER_MANAGER), cgroups.make(deepest))
    port, service = manager.hear()
    [listener] = portrange.who_listens(port)
    assert [owner.pid for owner in listener.owners] == [manager.pid, service]
    assert (listener.unit, listener.scope) == ("web.service", "service")


def test_user_manager_without_a_service_has_no_unit(cgroups: Cgroups, world: World):
    manager = world.start(SERVE, cgroups.make(USER_MANAGER))
    [listener] = portrange.who_listens(manager.hear())
    assert [owner.pid for owner in listener.owners] == [manager.pid]
    assert (listener.unit, listener.user_unit) == (None, False)
    assert listener.cgroup == cgroups.path(USER_MANAGER)


def test_unit_of_the_owner_is_used_without_sock_diag(cgroups: Cgroups, world: World):
    child = world.start(SERVE, cgroups.make("web.service"))
    [listener] = portrange.who_listens(child.hear(), host=NoSockDiag())
    assert (listener.unit, listener.cgroup) == ("web.service", cgroups.path("web.service"))


def test_missing_units_of_hidden_owners_are_incomplete(cgroups: Cgroups, world: World):
    child = world.start(SERVE, cgroups.make("web.service"))
    rows, incomplete = world.ask(
        """
        import portrange
        from live.test_refused import NoSockDiag
        become_nobody()
        found = portrange.who_listens(int(sys.argv[1]), host=NoSockDiag())
        say([found.to_dicts(), found.incomplete])
        """,
        child.hear(),
    )
    assert [(row["hidden"], row["unit"]) for row in rows] == [(True, None)]
    assert [reason.partition(":")[0] for reason in incomplete] == ["units and containers"]


#: Queries the procfs of another PID namespace, as a container does that monitors its host.
MONITOR = """
    from live.test_service_managers import Inspected
    from live.stage import unshare
    import portrange
    if sys.argv[3]:
        join_cgroup(sys.argv[3])
        unshare(0x02000000)  # CLONE_NEWCGROUP (linux/sched.h)
    new_mounts()
    bind_mount("/proc", sys.argv[2])
    new_processes()
    host = Inspected(sys.argv[2])
    say([portrange.who_listens(int(sys.argv[1]), host=host).to_dicts(), sorted(host.inspected)])
"""


@pytest.mark.usefixtures("namespaces", "network_of_process_1")
@pytest.mark.parametrize("monitor", ["", "monitor", "agents/monitor"])
def test_members_are_found_from_another_pid_namespace(
    cgroups: Cgroups, world: World, open_directory: str, monitor: str
):
    child = world.start(SERVE, cgroups.make("web.service"))
    others = world.start("pids = [fork(wait) for _ in range(5)]; say(pids); wait()")
    assert len(others.hear()) == 5
    own = cgroups.make(monitor) if monitor else ""
    [row], inspected = world.ask(MONITOR, child.hear(), open_directory, own)
    assert pids(row["owners"]) == [child.pid]
    assert (row["unit"], row["scope"]) == ("web.service", "service")
    assert child.pid in inspected
    assert not set(others_of(others.pid)) & set(inspected)


@pytest.mark.usefixtures("namespaces")
def test_cgroups_of_the_host_are_read_through_its_process_1(cgroups: Cgroups, world: World, open_directory: str):
    service, rows, inspected = world.ask(
        """
        from live.test_service_managers import Inspected
        import portrange
        new_processes()
        def serve():
            join_cgroup(sys.argv[1])
            with tcp() as made:
                os.write(started, str(port(made)).encode())
                wait()
        ready, started = os.pipe()
        service = fork(serve)
        number = int(os.read(ready, 10))
        def monitor():
            new_mounts()
            bind_mount("/proc", sys.argv[2])
            try:
                unmount(sys.argv[3])
            except OSError as error:
                say([service, str(error), []])  # locked in a user namespace (mount_namespaces(7))
                wait()
            new_processes()
            host = Inspected(sys.argv[2])
            say([service, portrange.who_listens(number, host=host).to_dicts(), sorted(host.inspected)])
        fork(monitor)
        wait()
        """,
        cgroups.make("web.service"),
        open_directory,
        cgroups.mount,
    )
    if isinstance(rows, str):
        pytest.skip(f"cannot unmount cgroups: {rows}")
    [row] = rows
    assert pids(row["owners"]) == [service]
    assert (row["cgroup"], row["unit"], row["scope"]) == (cgroups.path("web.service"), "web.service", "service")
    assert inspected == [service]


def others_of(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [pid, *map(int, file.read().split())]


def test_owners_are_confirmed_once_per_process(world: World):
    def cost(sockets: int) -> dict[str, int]:
        child = world.start("made = [tcp() for _ in range(int(sys.argv[1]))]; say([*map(port, made)]); wait()", sockets)
        ports = set(child.hear())
        host = Counting(child.pid)
        found = [listener for listener in portrange.listeners(host=host) if listener.port in ports]
        assert {owner.pid for listener in found for owner in listener.owners} == {child.pid}
        assert len(found) == sockets
        return host.calls

    assert cost(1) == cost(30)


class Counting(SystemHost):
    """A host that counts the files and directories of one process that are read."""

    def __init__(self, pid: int) -> None:
        super().__init__()
        self.directory = f"/proc/{pid}/"
        self.calls: dict[str, int] = {}

    def read(self, path: str) -> bytes:
        self._count(path)
        return super().read(path)

    def read_link(self, path: str) -> str:
        self._count(path)
        return super().read_link(path)

    def find_links(self, directory: str, *arguments: Any) -> dict[str, str]:
        self._count(directory)
        return super().find_links(directory, *arguments)

    def _count(self, path: str) -> None:
        if path.startswith(self.directory):
            name = os.path.basename(path)
            self.calls[name] = self.calls.get(name, 0) + 1
