"""Owners by way of the socket's control group, in real groups."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest
from live.cgroups import Cgroups
from live.world import Child, World

import portrange

SERVE = "join_cgroup(sys.argv[1]); made = tcp(); say(port(made)); wait()"
ID = "0123456789abcdef" * 4


def hierarchy_of_systemd() -> str | None:
    """Where systemd's hierarchy of version 1 is mounted (cgroups(7))."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        for line in file:
            before, _, after = line.partition(" - ")
            if after.startswith("cgroup ") and "name=systemd" in after.split()[-1].split(","):
                return before.split(" ")[4]
    return None


@pytest.fixture
def engine_group(cgroups: Cgroups, world: World) -> Iterator[str]:
    """A container's group in systemd's hierarchy of version 1 on a machine that has cgroup2 beside it."""
    mount = hierarchy_of_systemd()
    if mount is None or cgroups.mount == "/sys/fs/cgroup":
        pytest.skip("systemd's hierarchy of version 1 is not mounted beside cgroup2")
    directory = f"{mount}/docker-{ID}.scope"
    try:
        os.mkdir(directory)
    except OSError as error:
        pytest.skip(f"no group of version 1 can be made: {error}")
    yield directory
    world.close()
    os.rmdir(directory)


def pids(listener: portrange.Socket) -> list[int]:
    return [owner.pid for owner in listener.owners]


def pass_on(world: World, giver_group: str, taker_group: str) -> tuple[int, Child, Child]:
    """A listener of one group that is also held by a process of another; the giver closes its own when told."""
    left, right = socket.socketpair()
    with left, right:
        giver = world.start(
            """
            join_cgroup(sys.argv[1])
            with socket.socket(fileno=int(sys.argv[2])) as channel, tcp() as made:
                socket.send_fds(channel, [b"x"], [made.fileno()])
                say(port(made))
                hear()
            say(None)
            wait()
            """,
            giver_group,
            left.fileno(),
            pass_fds=(left.fileno(),),
        )
        taker = world.start(
            """
            join_cgroup(sys.argv[1])
            with socket.socket(fileno=int(sys.argv[2])) as channel:
                taken = socket.recv_fds(channel, 1, 1)[1]
            say(None)
            wait()
            """,
            taker_group,
            right.fileno(),
            pass_fds=(right.fileno(),),
        )
    port = giver.hear()
    taker.hear()
    return port, giver, taker


def test_a_service_is_searched_alone(cgroups: Cgroups, world: World):
    child = world.start(SERVE, cgroups.make("web.service"))
    port = child.hear()
    [one] = portrange.who_listens(port)
    assert (one.scope, one.cgroup, one.unit, one.container) == (
        "service",
        cgroups.path("web.service"),
        "web.service",
        None,
    )
    assert pids(one) == [child.pid]
    [everywhere] = portrange.who_listens(port, exhaustive=True)
    assert (everywhere.scope, pids(everywhere)) == ("host", [child.pid])


def test_a_new_group_is_found_after_others_were_looked_up(cgroups: Cgroups, world: World):
    host = portrange.Host()
    for name in ("first.service", "second.service", "third.service"):
        child = world.start(SERVE, cgroups.make(name))
        [one] = portrange.who_listens(child.hear(), host=host)
        assert (one.unit, one.scope, pids(one)) == (name, "service", [child.pid])


def test_by_default_the_holder_in_the_service_is_named_and_exhaustively_all(cgroups: Cgroups, world: World):
    port, giver, taker = pass_on(world, cgroups.make("giver.service"), cgroups.make("taker.service"))
    [one] = portrange.who_listens(port)
    assert (one.unit, one.scope, pids(one)) == ("giver.service", "service", [giver.pid])
    [one] = portrange.who_listens(port, exhaustive=True)
    assert (one.scope, pids(one)) == ("host", [giver.pid, taker.pid])


def test_where_the_service_has_no_holder_any_more_everybody_is_searched(cgroups: Cgroups, world: World):
    port, giver, taker = pass_on(world, cgroups.make("giver.service"), cgroups.make("taker.service"))
    giver.tell("close it")
    giver.hear()
    [one] = portrange.who_listens(port)
    assert (one.unit, one.scope, pids(one)) == ("giver.service", "host", [taker.pid])


def test_a_holder_in_another_service_that_is_searched_too_settles_nothing(cgroups: Cgroups, world: World):
    port, giver, taker = pass_on(world, cgroups.make("giver.service"), cgroups.make("taker.service"))
    child = world.start(
        """
        join_cgroup(sys.argv[1])
        made = tcp()
        say(port(made))
        wait()
        """,
        cgroups.make("taker.service"),
    )
    child.hear()
    giver.tell("close it")
    giver.hear()
    # All listeners: the taker is met while its own service is searched, for the sake of the child's socket.
    [one] = portrange.listeners().on(port)
    assert (one.unit, one.scope, pids(one)) == ("giver.service", "host", [taker.pid])


def test_a_holder_is_found_after_its_group_is_gone(cgroups: Cgroups, world: World):
    directory = cgroups.make("gone.service")
    child = world.start(
        """
        join_cgroup(sys.argv[1])
        made = tcp()
        join_cgroup(sys.argv[2])
        say(port(made))
        wait()
        """,
        directory,
        cgroups.make("next.service"),
    )
    port = child.hear()
    host = portrange.Host()
    [moved] = portrange.who_listens(port, host=host)
    assert (moved.unit, moved.scope, pids(moved)) == ("gone.service", "host", [child.pid])
    cgroups.remove(directory)
    for asked in (host, host, portrange.Host()):
        [one] = portrange.who_listens(port, host=asked)
        assert (one.cgroup, one.unit, one.scope, pids(one)) == (None, None, "host", [child.pid])


def test_a_group_that_took_the_place_of_another_is_not_taken_for_it(cgroups: Cgroups, world: World):
    directory = cgroups.make("same.service")
    old = world.start(
        "join_cgroup(sys.argv[1]); made = tcp(); join_cgroup(sys.argv[2]); say(port(made)); wait()",
        directory,
        cgroups.make("other.service"),
    )
    host = portrange.Host()
    [before] = portrange.who_listens(old.hear(), host=host)
    assert before.unit == "same.service"
    cgroups.remove(directory)
    new = world.start(SERVE, cgroups.make("same.service"))
    [now] = portrange.who_listens(new.hear(), host=host)
    assert (now.unit, now.scope, pids(now)) == ("same.service", "service", [new.pid])
    [then] = portrange.who_listens(before.port, host=host)
    assert (then.unit, pids(then)) == (None, [old.pid])


def test_each_socket_of_a_reuseport_group_has_its_own_service(cgroups: Cgroups, world: World):
    serve = """
        join_cgroup(sys.argv[1])
        made = tcp("127.0.0.1", int(sys.argv[2]), reuse_port=True)
        say(port(made))
        wait()
    """
    first = world.start(serve, cgroups.make("first.service"), 0)
    port = first.hear()
    second = world.start(serve, cgroups.make("second.service"), port)
    second.hear()
    found = portrange.who_listens(port)
    assert {one.unit: pids(one) for one in found} == {"first.service": [first.pid], "second.service": [second.pid]}
    assert {one.scope for one in found} == {"service"}


def test_a_fork_that_moved_is_found_exhaustively(cgroups: Cgroups, world: World):
    child = world.start(
        """
        join_cgroup(sys.argv[1])
        made = tcp()
        def move():
            join_cgroup(sys.argv[2])
            say([port(made), os.getpid()])
            wait()
        fork(move)
        wait()
        """,
        cgroups.make("parent.service"),
        cgroups.make("moved.service"),
    )
    port, moved = child.hear()
    [one] = portrange.who_listens(port, exhaustive=True)
    assert pids(one) == [child.pid, moved]


@pytest.mark.usefixtures("namespaces")
def test_a_socket_of_process_1_alone_belongs_to_process_1(cgroups: Cgroups, world: World):
    [alone] = world.ask(
        """
        import portrange
        new_processes()
        join_cgroup(sys.argv[1])
        made = tcp()
        say(portrange.who_listens(port(made)).to_dicts())
        """,
        cgroups.make("init.scope"),
    )
    assert [owner["pid"] for owner in alone["owners"]] == [1]
    assert (alone["hidden"], alone["unit"]) == (False, "init.scope")


@pytest.mark.usefixtures("namespaces")
def test_the_activated_service_is_an_owner_beside_process_1(cgroups: Cgroups, world: World):
    # Socket activation: process 1 makes the socket, starts the service with it, and keeps its own.
    service, [one] = world.ask(
        """
        import portrange
        new_processes()
        join_cgroup(sys.argv[1])
        made = tcp()
        ready, started = os.pipe()
        def serve():
            join_cgroup(sys.argv[2])
            os.write(started, b"x")
            wait()
        service = fork(serve)
        os.read(ready, 1)
        say([service, portrange.who_listens(port(made)).to_dicts()])
        """,
        cgroups.make("init.scope"),
        cgroups.make("web.service"),
    )
    assert [owner["pid"] for owner in one["owners"]] == [1, service]
    assert one["scope"] == "host"


SHAPES = {
    f"system.slice/docker-{ID}.scope": ID,
    f"docker/{ID}": ID,
    f"machine.slice/libpod-{ID}.scope": ID,
    f"machine.slice/libpod-{ID}.scope/container": ID,
    f"kubepods.slice/kubepods-pod0a1b2c3d_0a1b_2c3d_4e5f_0123456789ab.slice/cri-containerd-{ID}.scope": ID,
    f"kubepods/besteffort/pod0a1b2c3d-0a1b-2c3d-4e5f-0123456789ab/{ID}": ID,
    f"kubepods.slice/crio-{ID}.scope": ID,
    "lxc.payload.web": "web",
    "lxc/web": "web",
    # What only looks like one.
    f"my-docker-{ID}.scope": None,
    f"docker-{ID[:-1]}.scope": None,
    f"docker-{ID}.service": None,
    f"notes/{ID}": None,
    "docker.service": None,
}


@pytest.mark.parametrize(("path", "expected"), SHAPES.items(), ids=lambda value: str(value)[:30])
def test_a_container_is_known_by_the_shape_of_its_path(cgroups: Cgroups, world: World, path: str, expected: str | None):
    child = world.start(SERVE, cgroups.make(path))
    [one] = portrange.who_listens(child.hear())
    assert one.cgroup == cgroups.path(path)
    assert one.container == expected
    assert pids(one) == [child.pid]


def test_the_name_of_a_group_may_be_anything(cgroups: Cgroups, world: World):
    name = "two words, Ümläute, \x1b[2J"
    child = world.start(SERVE, cgroups.make(name))
    found = portrange.who_listens(child.hear())
    assert found[0].cgroup == cgroups.path(name)
    assert "\x1b" not in str(found)


def test_an_escaped_unit_name_is_undone(cgroups: Cgroups, world: World):
    child = world.start(SERVE, cgroups.make(r"b\xc3\xbcro\x2dserver.service"))
    [one] = portrange.who_listens(child.hear())
    assert one.unit == "büro-server.service"


@pytest.mark.usefixtures("namespaces", "network_of_process_1")
def test_the_processes_of_another_pid_namespace_are_not_taken_for_neighbours(
    cgroups: Cgroups, world: World, open_directory: str
):
    # cgroup.procs counts as its reader's PID namespace does; another procfs may count differently.
    child = world.start(SERVE, cgroups.make("web.service"))
    port = child.hear()
    [one] = world.ask(
        """
        import portrange
        new_mounts()
        bind_mount("/proc", sys.argv[2])
        new_processes()
        join_cgroup(sys.argv[1])
        fork(wait)
        become_nobody()
        say(portrange.who_listens(int(sys.argv[3]), host=portrange.Host(sys.argv[2])).to_dicts())
        """,
        cgroups.make("web.service"),
        open_directory,
        port,
    )
    assert one["hidden"] is True
    assert one["unit"] == "web.service"
    assert {candidate["pid"] for candidate in one["possible_owners"]} <= {child.pid}


IN_HIERARCHIES = """
    join_cgroup(sys.argv[1])
    join_cgroup(sys.argv[2])
    made = tcp()
    say(port(made))
    wait()
"""


def test_a_container_that_only_other_hierarchies_know_is_named(cgroups: Cgroups, engine_group: str, world: World):
    child = world.start(IN_HIERARCHIES, cgroups.mount, engine_group)
    [one] = portrange.who_listens(child.hear())
    assert pids(one) == [child.pid]
    assert (one.cgroup, one.container) == (f"/docker-{ID}.scope", ID)


def test_where_only_other_hierarchies_know_the_group_of_a_hidden_holder_it_is_not_told(
    cgroups: Cgroups, engine_group: str, world: World
):
    child = world.start(IN_HIERARCHIES, cgroups.mount, engine_group)
    [one] = world.ask(
        "import portrange; become_nobody(); say(portrange.who_listens(int(sys.argv[1])).to_dicts())", child.hear()
    )
    assert (one["hidden"], one["cgroup"], one["unit"], one["container"]) == (True, None, None, None)
