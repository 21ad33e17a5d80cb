"""What an ordinary user learns about the sockets of others: never less than that there is a listener."""

from __future__ import annotations

import getpass
import os
from typing import Any

import pytest
from live.cgroups import Cgroups
from live.stage import NOBODY
from live.world import World

pytestmark = pytest.mark.usefixtures("root")


@pytest.fixture
def user_namespaces(world: World) -> None:
    answer = world.ask("""
        try:
            unshare(0x10000000)
            with open("/proc/self/uid_map", "w") as file:
                file.write("0 0 1")
            say(None)
        except OSError as error:
            say(str(error))
    """)
    if answer is not None:
        pytest.skip(f"no user namespace can be made: {answer}")


ASK = """
    import portrange
    become_nobody()
    say(portrange.who_listens(int(sys.argv[1])).to_dicts())
"""


def ask_as_nobody(world: World, port: int) -> list[dict[str, Any]]:
    return world.ask(ASK, port)


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_the_service_of_a_hidden_holder_is_named(cgroups: Cgroups, world: World, kind: str):
    name = r"web\x2dapp.service"
    child = world.start(
        f"""
        join_cgroup(sys.argv[1])
        made = {kind}()
        say([port(made), fork(wait)])
        wait()
        """,
        cgroups.make(name),
    )
    port, worker = child.hear()
    [one] = ask_as_nobody(world, port)
    assert one["hidden"] is True
    assert one["owners"] == []
    assert one["pid"] is None
    assert (one["uid"], one["user"]) == (0, getpass.getuser())
    assert one["cgroup"] == cgroups.path(name)
    assert one["unit"] == "web-app.service"
    assert [candidate["pid"] for candidate in one["possible_owners"]] == [child.pid, worker]
    assert all(candidate["name"].startswith("python") for candidate in one["possible_owners"])
    assert all(candidate["started"] for candidate in one["possible_owners"])
    assert all(candidate["exe"] is None for candidate in one["possible_owners"])


def test_only_what_may_hold_the_socket_is_a_candidate(cgroups: Cgroups, world: World):
    world.start("join_cgroup(sys.argv[1]); say(0); wait()", cgroups.make("other.service")).hear()
    child = world.start("join_cgroup(sys.argv[1]); made = tcp(); say(port(made)); wait()", cgroups.make("web.service"))
    own = world.start("join_cgroup(sys.argv[1]); become_nobody(); say(0); wait()", cgroups.make("web.service"))
    port = child.hear()
    own.hear()
    [one] = ask_as_nobody(world, port)
    # A process of the asking user could be looked into, and does not hold it.
    assert [candidate["pid"] for candidate in one["possible_owners"]] == [child.pid]
    assert one["hidden"] is True


def test_a_holder_outside_of_any_service_is_hidden(world: World):
    child = world.start("made = tcp(); say(port(made)); wait()")
    [one] = ask_as_nobody(world, child.hear())
    assert one["hidden"] is True
    assert (one["owners"], one["uid"]) == ([], os.getuid())


def test_a_listener_of_the_same_user_is_found_in_full(cgroups: Cgroups, world: World):
    child = world.start(
        "join_cgroup(sys.argv[1]); become_nobody(); made = tcp(); say(port(made)); wait()",
        cgroups.make("own.service"),
    )
    [one] = ask_as_nobody(world, child.hear())
    assert [owner["pid"] for owner in one["owners"]] == [child.pid]
    assert (one["hidden"], one["uid"], one["unit"]) == (False, NOBODY, "own.service")
    assert one["owners"][0]["exe"] is not None


def test_a_holder_that_was_seen_is_an_owner_beside_one_that_was_not(cgroups: Cgroups, world: World):
    child = world.start(
        """
        join_cgroup(sys.argv[1])
        made = tcp()
        def work():
            become_nobody()
            say([port(made), os.getpid()])
            wait()
        fork(work)
        wait()
        """,
        cgroups.make("web.service"),
    )
    port, worker = child.hear()
    [one] = ask_as_nobody(world, port)
    assert [owner["pid"] for owner in one["owners"]] == [worker]
    assert one["hidden"] is False
    assert [candidate["pid"] for candidate in one["possible_owners"]] == [child.pid]


def test_no_listener_vanishes(world: World):
    child = world.start("""
        sockets = [tcp(), udp(), tcp("0.0.0.0"), udp("0.0.0.0"), tcp("127.0.0.2")]
        say([port(one) for one in sockets])
        wait()
    """)
    ports = child.hear()
    rows = world.ask("import portrange; become_nobody(); say(portrange.listeners().to_dicts())")
    assert set(ports) <= {row["port"] for row in rows}
    assert all(row["hidden"] for row in rows if row["port"] in ports)


def test_a_free_port_is_proven_free_for_anybody(world: World):
    port = world.ask("say(port(tcp()))")
    assert ask_as_nobody(world, port) == []


def test_the_name_of_a_hidden_holder_is_never_said_to_be_nobody(world: World):
    child = world.start("made = tcp(); say(port(made)); wait()")
    text = world.ask(
        "import portrange; become_nobody(); say(str(portrange.who_listens(int(sys.argv[1]))))", child.hear()
    )
    assert "hidden from you" in text
    assert "nobody listens" not in text


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("options", ["hidepid=1", "hidepid=2", "hidepid=4"])
def test_processes_that_procfs_keeps_out_of_sight_may_hold_the_socket(world: World, options: str):
    child = world.start("made = tcp(); say(port(made)); wait()")
    [one] = world.ask(
        """
        new_mounts()
        mount_proc("/proc", sys.argv[2])
        import portrange
        become_nobody()
        say(portrange.who_listens(int(sys.argv[1])).to_dicts())
        """,
        child.hear(),
        options,
    )
    assert one["hidden"] is True
    assert one["owners"] == []
    assert one["uid"] == 0


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("options", ["hidepid=1", "hidepid=2"])
def test_processes_may_be_out_of_sight_also_where_process_1_is_seen(world: World, options: str):
    # A container whose first process belongs to the asking user.
    [one] = world.ask(
        """
        import portrange
        new_processes()
        mount_proc("/proc", sys.argv[1])
        ready, started = os.pipe()
        def hold():
            made = tcp()
            os.write(started, str(port(made)).encode())
            wait()
        fork(hold)
        number = int(os.read(ready, 10))
        become_nobody()
        say(portrange.who_listens(number).to_dicts())
        """,
        options,
    )
    assert one["owners"] == []
    assert one["hidden"] is True


@pytest.mark.usefixtures("namespaces")
def test_processes_may_be_out_of_sight_of_root_without_the_right_to_look_into_them(world: World):
    [one] = world.ask("""
        import portrange
        new_processes()
        mount_proc("/proc", "hidepid=4")
        ready, started = os.pipe()
        def hold():
            made = tcp()
            os.write(started, str(port(made)).encode())
            wait()
        fork(hold)
        number = int(os.read(ready, 10))
        # capset(2): a header with the version, then effective, permitted and inheritable capabilities in two halves.
        system, header, held = ctypes.CDLL(None), struct.pack("Ii", 0x20080522, 0), ctypes.create_string_buffer(24)
        assert system.capget(header, held) == 0
        words = struct.unpack("6I", held.raw)
        held.raw = struct.pack("6I", *(word & ~(1 << 19) for word in words[:3]), *words[3:])
        assert system.capset(header, held) == 0
        say(portrange.who_listens(number).to_dicts())
    """)
    assert one["owners"] == []
    assert one["hidden"] is True


@pytest.mark.usefixtures("user_namespaces")
def test_a_user_that_the_callers_user_namespace_does_not_know_is_not_said_to_be_nobody(world: World):
    child = world.start("os.setresuid(1234, 1234, 1234); made = tcp(); say(port(made)); wait()")
    own = world.start("made = tcp(); say(port(made)); wait()")
    theirs, ours, user = world.ask(
        """
        import portrange
        from portrange._backends.linux.processes import ProcessReader
        unshare(0x10000000)  # CLONE_NEWUSER
        with open("/proc/self/uid_map", "w") as file:
            file.write("0 0 1")
        answers = [portrange.who_listens(int(number)).to_dicts()[0] for number in sys.argv[1:3]]
        say([*answers, ProcessReader(portrange.Host()).describe(int(sys.argv[3]))[0].user])
        """,
        child.hear(),
        own.hear(),
        child.pid,
    )
    assert (theirs["uid"], theirs["user"], user) == (None, None, None)
    assert (ours["uid"], ours["user"]) == (0, getpass.getuser())


@pytest.mark.usefixtures("namespaces")
def test_candidates_that_procfs_keeps_out_of_sight_are_known_by_number(cgroups: Cgroups, world: World):
    child = world.start("join_cgroup(sys.argv[1]); made = tcp(); say(port(made)); wait()", cgroups.make("web.service"))
    [one] = world.ask(
        """
        new_mounts()
        mount_proc("/proc", "hidepid=2")
        import portrange
        become_nobody()
        say(portrange.who_listens(int(sys.argv[1])).to_dicts())
        """,
        child.hear(),
    )
    assert one["unit"] == "web.service"
    assert [candidate["pid"] for candidate in one["possible_owners"]] == [child.pid]


@pytest.mark.usefixtures("sock_diag")
@pytest.mark.parametrize("directory", ["present", "missing"])
def test_without_procfs_a_listener_is_hidden(world: World, tmp_path: object, directory: str):
    child = world.start("made = tcp(); say(port(made)); wait()")
    [one] = world.ask(
        """
        import portrange
        portrange.listeners()  # loads what it needs
        if sys.argv[3] == "present":
            os.mkdir(sys.argv[2] + "/proc")
        os.chroot(sys.argv[2])
        os.chdir("/")
        say(portrange.who_listens(int(sys.argv[1]), protocol="tcp").to_dicts())
        """,
        child.hear(),
        tmp_path,
        directory,
    )
    assert one["hidden"] is True
    assert one["owners"] == []
    assert one["uid"] == 0


@pytest.mark.parametrize("search", ["scoped", "exhaustive"])
def test_whoever_asks_for_all_holders_is_told_that_some_may_not_be_looked_at(world: World, search: str):
    child = world.start("""
        made = tcp()
        kept_by_root = fork(wait)
        become_nobody()
        say(port(made))
        wait()
    """)
    port = child.hear()
    answer = world.ask(
        f"""
        import portrange
        become_nobody()
        found = portrange.who_listens(int(sys.argv[1]), exhaustive={search == "exhaustive"})
        say([found.to_dicts(), found.incomplete])
        """,
        port,
    )
    [one], gaps = answer
    assert [owner["pid"] for owner in one["owners"]] == [child.pid]
    assert any("may hold these sockets too" in gap for gap in gaps) is (search == "exhaustive")
