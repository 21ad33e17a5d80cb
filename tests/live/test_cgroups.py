"""Find owners through the cgroup of a socket, with real cgroups."""

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
    """Return the mount point of systemd's cgroup v1 hierarchy (cgroups(7))."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        for line in file:
            before, _, after = line.partition(" - ")
            if after.startswith("cgroup ") and "name=systemd" in after.split()[-1].split(","):
                return before.split(" ")[4]
    return None


@pytest.fixture
def engine_group(cgroups: Cgroups, world: World) -> Iterator[str]:
    """A container cgroup in systemd's v1 hierarchy, on a machine that also has cgroup2."""
    mount = hierarchy_of_systemd()
    if mount is None or cgroups.mount == "/sys/fs/cgroup":
        pytest.skip("systemd's cgroup v1 hierarchy is not mounted beside cgroup2")
    directory = f"{mount}/docker-{ID}.scope"
    try:
        os.mkdir(directory)
    except OSError as error:
        pytest.skip(f"cannot create a v1 cgroup: {error}")
    yield directory
    world.close()
    os.rmdir(directory)


def pids(listener: portrange.Socket) -> list[int]:
    return [owner.pid for owner in listener.owners]


def pass_on(world: World, giver_group: str, taker_group: str) -> tuple[int, Child, Child]:
    """A listener shared by processes in two cgroups; the giver closes its copy on request."""
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


def test_search_is_limited_to_the_service(cgroups: Cgroups, world: World):
    child = world.start(SERVE, cgroups.make("web.service"))
    port = child.hear()
    [listener] = portrange.who_listens(port)
    assert (listener.scope, listener.cgroup, listener.unit, listener.container) == (
        "service",
        cgroups.path("web.service"),
        "web.service",
        None,
    )
    assert pids(listener) == [child.pid]
    [everywhere] = portrange.who_listens(port, exhaustive=True)
    assert (everywhere.scope, pids(everywhere)) == ("host", [child.pid])


def test_new_cgroup_is_found_by_a_host_with_cached_cgroups(cgroups: Cgroups, world: World):
    host = portrange.Host()
    for name in ("first.service", "second.service", "third.service"):
        child = world.start(SERVE, cgroups.make(name))
        [listener] = portrange.who_listens(child.hear(), host=host)
        assert (listener.unit, listener.scope, pids(listener)) == (name, "service", [child.pid])


def test_default_search_finds_owner_in_service_and_exhaustive_search_finds_all(cgroups: Cgroups, world: World):
    port, giver, taker = pass_on(world, cgroups.make("giver.service"), cgroups.make("taker.service"))
    [listener] = portrange.who_listens(port)
    assert (listener.unit, listener.scope, pids(listener)) == ("giver.service", "service", [giver.pid])
    [listener] = portrange.who_listens(port, exhaustive=True)
    assert (listener.scope, pids(listener)) == ("host", [giver.pid, taker.pid])


def test_search_widens_to_all_processes_when_service_has_no_owner(cgroups: Cgroups, world: World):
    port, giver, taker = pass_on(world, cgroups.make("giver.service"), cgroups.make("taker.service"))
    giver.send("close")
    giver.hear()
    [listener] = portrange.who_listens(port)
    assert (listener.unit, listener.scope, pids(listener)) == ("giver.service", "host", [taker.pid])


def test_owner_met_in_another_searched_service_still_widens_the_search(cgroups: Cgroups, world: World):
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
    giver.send("close")
    giver.hear()
    # listeners() also searches the taker's service, because of the child's socket.
    [listener] = portrange.listeners().on(port)
    assert (listener.unit, listener.scope, pids(listener)) == ("giver.service", "host", [taker.pid])


def test_owner_is_found_after_its_cgroup_is_removed(cgroups: Cgroups, world: World):
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
    for queried in (host, host, portrange.Host()):
        [listener] = portrange.who_listens(port, host=queried)
        # The unit is that of the owner.
        assert (listener.unit, listener.scope, pids(listener)) == ("next.service", "host", [child.pid])
        assert listener.cgroup == cgroups.path("next.service")


def test_recreated_cgroup_is_not_confused_with_the_removed_one(cgroups: Cgroups, world: World):
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
    assert (then.unit, pids(then)) == ("other.service", [old.pid])


def test_reuseport_sockets_have_their_own_service(cgroups: Cgroups, world: World):
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
    assert {listener.unit: pids(listener) for listener in found} == {
        "first.service": [first.pid],
        "second.service": [second.pid],
    }
    assert {listener.scope for listener in found} == {"service"}


def test_exhaustive_search_finds_child_in_another_cgroup(cgroups: Cgroups, world: World):
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
    [listener] = portrange.who_listens(port, exhaustive=True)
    assert pids(listener) == [child.pid, moved]


@pytest.mark.usefixtures("namespaces")
def test_socket_of_process_1_is_owned_by_process_1(cgroups: Cgroups, world: World):
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
    assert (alone["hidden"], alone["unit"]) == (False, None)


@pytest.mark.usefixtures("namespaces")
def test_socket_activated_service_is_an_owner_beside_process_1(cgroups: Cgroups, world: World):
    # Socket activation: process 1 creates the socket, passes it to the service and keeps its own copy.
    service, [row] = world.ask(
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
    assert [owner["pid"] for owner in row["owners"]] == [1, service]
    assert (row["scope"], row["unit"]) == ("service", "web.service")


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
    # Paths that resemble a container but are not one.
    f"my-docker-{ID}.scope": None,
    f"docker-{ID[:-1]}.scope": None,
    f"docker-{ID}.service": None,
    f"notes/{ID}": None,
    "docker.service": None,
}


@pytest.mark.parametrize(("path", "expected"), SHAPES.items(), ids=lambda value: str(value)[:30])
def test_container_id_is_parsed_from_cgroup_path(cgroups: Cgroups, world: World, path: str, expected: str | None):
    child = world.start(SERVE, cgroups.make(path))
    [listener] = portrange.who_listens(child.hear())
    assert listener.cgroup == cgroups.path(path)
    assert listener.container == expected
    assert pids(listener) == [child.pid]


def test_cgroup_name_with_control_characters_is_escaped_in_text(cgroups: Cgroups, world: World):
    name = "a space, Ümläute, \x1b[2J"
    child = world.start(SERVE, cgroups.make(name))
    found = portrange.who_listens(child.hear())
    assert found[0].cgroup == cgroups.path(name)
    assert "\x1b" not in str(found)


def test_escaped_unit_name_is_decoded(cgroups: Cgroups, world: World):
    child = world.start(SERVE, cgroups.make(r"b\xc3\xbcro\x2dserver.service"))
    [listener] = portrange.who_listens(child.hear())
    assert listener.unit == "büro-server.service"


@pytest.mark.usefixtures("namespaces", "network_of_process_1")
def test_possible_owners_have_the_pids_of_procfs(cgroups: Cgroups, world: World, open_directory: str):
    # cgroup.procs uses the PID namespace of the reader; another procfs may use a different one.
    child = world.start(SERVE, cgroups.make("web.service"))
    port = child.hear()
    [row], members = world.ask(
        """
        import portrange
        new_mounts()
        bind_mount("/proc", sys.argv[2])
        new_processes()
        join_cgroup(sys.argv[1])
        fork(wait)
        become_nobody()
        rows = portrange.who_listens(int(sys.argv[3]), host=portrange.Host(sys.argv[2])).to_dicts()
        def group_of(owner):
            with open(f"{sys.argv[2]}/{owner['pid']}/cgroup", encoding="ascii") as file:
                return file.read()
        say([rows, [group_of(owner) for owner in rows[0]["possible_owners"]]])
        """,
        cgroups.make("web.service"),
        open_directory,
        port,
    )
    assert row["hidden"] is True
    assert row["unit"] == "web.service"
    assert child.pid in {owner["pid"] for owner in row["possible_owners"]}
    assert all("/web.service\n" in group for group in members)


IN_HIERARCHIES = """
    join_cgroup(sys.argv[1])
    join_cgroup(sys.argv[2])
    made = tcp()
    say(port(made))
    wait()
"""


def test_container_known_only_to_cgroup_v1_is_named(cgroups: Cgroups, engine_group: str, world: World):
    child = world.start(IN_HIERARCHIES, cgroups.mount, engine_group)
    [listener] = portrange.who_listens(child.hear())
    assert pids(listener) == [child.pid]
    assert (listener.cgroup, listener.container) == (f"/docker-{ID}.scope", ID)


def test_cgroup_v1_of_hidden_owner_is_unknown(cgroups: Cgroups, engine_group: str, world: World):
    child = world.start(IN_HIERARCHIES, cgroups.mount, engine_group)
    [row] = world.ask(
        "import portrange; become_nobody(); say(portrange.who_listens(int(sys.argv[1])).to_dicts())", child.hear()
    )
    assert (row["hidden"], row["cgroup"], row["unit"], row["container"]) == (True, None, None, None)
