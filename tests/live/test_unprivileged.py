"""Queries of an unprivileged user about sockets of other users: listeners are never omitted."""

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
        pytest.skip(f"cannot create a user namespace: {answer}")


ASK = """
    import portrange
    become_nobody()
    say(portrange.who_listens(int(sys.argv[1])).to_dicts())
"""


def ask_as_nobody(world: World, port: int) -> list[dict[str, Any]]:
    return world.ask(ASK, port)


@pytest.mark.usefixtures("several_users")
@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_hidden_owner_has_its_service_named(cgroups: Cgroups, world: World, kind: str):
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
    [row] = ask_as_nobody(world, port)
    assert row["hidden"] is True
    assert row["owners"] == []
    assert row["pid"] is None
    assert (row["uid"], row["user"]) == (0, getpass.getuser())
    assert row["cgroup"] == cgroups.path(name)
    assert row["unit"] == "web-app.service"
    assert [owner["pid"] for owner in row["possible_owners"]] == [child.pid, worker]
    assert all(owner["name"].startswith("python") for owner in row["possible_owners"])
    assert all(owner["started"] for owner in row["possible_owners"])
    assert all(owner["exe"] is None for owner in row["possible_owners"])


@pytest.mark.usefixtures("several_users")
def test_searched_process_is_not_a_possible_owner(cgroups: Cgroups, world: World):
    world.start("join_cgroup(sys.argv[1]); say(0); wait()", cgroups.make("other.service")).hear()
    child = world.start("join_cgroup(sys.argv[1]); made = tcp(); say(port(made)); wait()", cgroups.make("web.service"))
    own = world.start("join_cgroup(sys.argv[1]); become_nobody(); say(0); wait()", cgroups.make("web.service"))
    port = child.hear()
    own.hear()
    [row] = ask_as_nobody(world, port)
    # The process of the querying user was searched and does not have the socket.
    assert [owner["pid"] for owner in row["possible_owners"]] == [child.pid]
    assert row["hidden"] is True


@pytest.mark.usefixtures("several_users")
def test_owner_outside_any_service_is_hidden(world: World):
    child = world.start("made = tcp(); say(port(made)); wait()")
    [row] = ask_as_nobody(world, child.hear())
    assert row["hidden"] is True
    assert (row["owners"], row["uid"]) == ([], os.getuid())


@pytest.mark.usefixtures("several_users")
def test_listener_of_the_same_user_has_full_details(cgroups: Cgroups, world: World):
    child = world.start(
        "join_cgroup(sys.argv[1]); become_nobody(); made = tcp(); say(port(made)); wait()",
        cgroups.make("own.service"),
    )
    [row] = ask_as_nobody(world, child.hear())
    assert [owner["pid"] for owner in row["owners"]] == [child.pid]
    assert (row["hidden"], row["uid"], row["unit"]) == (False, NOBODY, "own.service")
    assert row["owners"][0]["exe"] is not None


@pytest.mark.usefixtures("several_users")
def test_visible_owner_is_listed_beside_possible_owners(cgroups: Cgroups, world: World):
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
    [row] = ask_as_nobody(world, port)
    assert [owner["pid"] for owner in row["owners"]] == [worker]
    assert row["hidden"] is False
    assert [owner["pid"] for owner in row["possible_owners"]] == [child.pid]


def test_listeners_of_other_users_are_never_omitted(world: World):
    child = world.start("""
        sockets = [tcp(), udp(), tcp("0.0.0.0"), udp("0.0.0.0"), tcp("127.0.0.2")]
        say([port(made) for made in sockets])
        wait()
    """)
    ports = child.hear()
    rows = world.ask("import portrange; become_nobody(); say(portrange.listeners().to_dicts())")
    assert set(ports) <= {row["port"] for row in rows}
    assert all(row["hidden"] for row in rows if row["port"] in ports)


def test_free_port_is_empty_for_unprivileged_user(world: World):
    port = world.ask("say(port(tcp()))")
    assert ask_as_nobody(world, port) == []


def test_text_for_hidden_owner_does_not_claim_a_free_port(world: World):
    child = world.start("made = tcp(); say(port(made)); wait()")
    text = world.ask(
        "import portrange; become_nobody(); say(str(portrange.who_listens(int(sys.argv[1]))))", child.hear()
    )
    assert text.splitlines()[1].split()[3] == "?"


@pytest.mark.usefixtures("namespaces", "several_users")
@pytest.mark.parametrize("options", ["hidepid=1", "hidepid=2", "hidepid=4"])
def test_owner_is_hidden_when_hidepid_hides_processes(world: World, options: str):
    child = world.start("made = tcp(); say(port(made)); wait()")
    [row] = world.ask(
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
    assert row["hidden"] is True
    assert row["owners"] == []
    assert row["uid"] == 0


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("options", ["hidepid=1", "hidepid=2"])
def test_owner_is_hidden_when_hidepid_leaves_only_process_1_visible(world: World, options: str):
    # A container whose process 1 belongs to the querying user.
    [row] = world.ask(
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
    assert row["owners"] == []
    assert row["hidden"] is True


@pytest.mark.usefixtures("namespaces")
def test_owner_is_hidden_from_root_without_cap_sys_ptrace(world: World):
    [row] = world.ask("""
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
        # capset(2): a header with the version, then effective, permitted and inheritable sets in two halves.
        system, header, held = ctypes.CDLL(None), struct.pack("Ii", 0x20080522, 0), ctypes.create_string_buffer(24)
        assert system.capget(header, held) == 0
        masks = struct.unpack("6I", held.raw)
        held.raw = struct.pack("6I", *(mask & ~(1 << 19) for mask in masks[:3]), *masks[3:])
        assert system.capset(header, held) == 0
        say(portrange.who_listens(number).to_dicts())
    """)
    assert row["owners"] == []
    assert row["hidden"] is True


@pytest.mark.usefixtures("user_namespaces", "several_users")
def test_uid_unmapped_in_user_namespace_is_unknown_instead_of_nobody(world: World):
    child = world.start("os.setresuid(1234, 1234, 1234); made = tcp(); say(port(made)); wait()")
    own = world.start("made = tcp(); say(port(made)); wait()")
    theirs, ours, user = world.ask(
        """
        import portrange
        from portrange._backends.linux.procfs import ProcessReader
        from portrange._host.system import System
        unshare(0x10000000)  # CLONE_NEWUSER
        with open("/proc/self/uid_map", "w") as file:
            file.write("0 0 1")
        answers = [portrange.who_listens(int(number)).to_dicts()[0] for number in sys.argv[1:3]]
        say([*answers, ProcessReader(System()).describe(int(sys.argv[3]))[0].user])
        """,
        child.hear(),
        own.hear(),
        child.pid,
    )
    assert (theirs["uid"], theirs["user"], user) == (None, None, None)
    assert (ours["uid"], ours["user"]) == (0, getpass.getuser())


@pytest.mark.usefixtures("namespaces")
def test_possible_owners_hidden_by_hidepid_are_listed_by_pid(cgroups: Cgroups, world: World):
    child = world.start("join_cgroup(sys.argv[1]); made = tcp(); say(port(made)); wait()", cgroups.make("web.service"))
    [row] = world.ask(
        """
        new_mounts()
        mount_proc("/proc", "hidepid=2")
        import portrange
        become_nobody()
        say(portrange.who_listens(int(sys.argv[1])).to_dicts())
        """,
        child.hear(),
    )
    assert row["unit"] == "web.service"
    assert [owner["pid"] for owner in row["possible_owners"]] == [child.pid]


@pytest.mark.usefixtures("sock_diag")
@pytest.mark.parametrize("directory", ["present", "missing"])
def test_owner_is_hidden_without_procfs(world: World, tmp_path: object, directory: str):
    child = world.start("made = tcp(); say(port(made)); wait()")
    [row] = world.ask(
        """
        import portrange
        portrange.listeners()  # imports all modules
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
    assert row["hidden"] is True
    assert row["owners"] == []
    assert row["uid"] == 0


@pytest.mark.usefixtures("several_users")
@pytest.mark.parametrize("search", ["scoped", "exhaustive"])
def test_exhaustive_search_reports_inaccessible_processes_as_incomplete(world: World, search: str):
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
    [row], incomplete = answer
    assert [owner["pid"] for owner in row["owners"]] == [child.pid]
    assert any("may own these sockets too" in reason for reason in incomplete) is (search == "exhaustive")
