"""Network namespaces: each has its own ports, listeners and settings."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import Any

import pytest
from live.test_refused import NoSockDiag
from live.world import World

import portrange

pytestmark = pytest.mark.usefixtures("namespaces")

SERVE = """
    new_network()
    made = tcp()
    other = udp("127.0.0.1", port(made))
    say([port(made), os.readlink("/proc/self/ns/net")])
    wait()
"""


def pids(rows: list[dict[str, Any]]) -> list[list[int]]:
    return [[owner["pid"] for owner in row["owners"]] for row in rows]


def mine(rows: list[dict[str, Any]], *ports: int) -> list[dict[str, Any]]:
    return [row for row in rows if row["port"] in ports]


def test_listeners_in_all_namespaces_are_found_once_with_their_namespace(world: World):
    children = [world.start(SERVE) for _ in range(2)]
    heard = [child.hear() for child in children]
    found = portrange.listeners(namespaces="all")
    for child, (port, name) in zip(children, heard, strict=True):
        inside = [listener for listener in found.on(port) if listener.namespace == name]
        assert [listener.protocol for listener in inside] == ["tcp", "udp"]
        assert [[owner.pid for owner in listener.owners] for listener in inside] == [[child.pid], [child.pid]]


def test_listeners_default_to_the_own_namespace(world: World):
    child = world.start(SERVE)
    port, name = child.hear()
    own = portrange.listeners()
    assert all(listener.namespace is None for listener in own)
    assert child.pid not in {owner.pid for listener in own for owner in listener.owners}
    assert child.pid not in {owner.pid for listener in portrange.who_listens(port) for owner in listener.owners}
    assert name != os.readlink("/proc/self/ns/net")


def test_listeners_in_all_namespaces_include_the_own_namespace(world: World):
    child = world.start("made = tcp(); say(port(made)); wait()")
    port = child.hear()
    own = os.readlink("/proc/self/ns/net")
    [listener] = [listener for listener in portrange.listeners(namespaces="all").on(port) if listener.namespace == own]
    assert [owner.pid for owner in listener.owners] == [child.pid]


def test_same_port_in_two_namespaces_is_two_listeners(world: World):
    first = world.start(SERVE)
    port, first_name = first.hear()
    second = world.start(
        """
        new_network()
        made = tcp("127.0.0.1", int(sys.argv[1]))
        say(os.readlink("/proc/self/ns/net"))
        wait()
        """,
        port,
    )
    second_name = second.hear()
    found = portrange.listeners(namespaces="all", protocol="tcp").on(port)
    owners = {listener.namespace: listener.pid for listener in found}
    assert owners[first_name] == first.pid
    assert owners[second_name] == second.pid


def test_namespace_shared_by_many_processes_is_queried_once(world: World):
    child = world.start("""
        new_network()
        made = tcp()
        for _ in range(3):
            fork(wait)
        say(port(made))
        wait()
    """)
    port = child.hear()
    found = portrange.listeners(namespaces="all").on(port)
    inside = [listener for listener in found if child.pid in [owner.pid for owner in listener.owners]]
    assert len(inside) == 1
    assert len(inside[0].owners) == 4


def test_interface_is_named_as_in_its_namespace(world: World):
    child = world.start("""
        new_network()
        made = udp("0.0.0.0", 0, device="lo")
        say(port(made))
        wait()
    """)
    port = child.hear()
    interfaces = {listener.pid: listener.interface for listener in portrange.listeners(namespaces="all").on(port)}
    assert interfaces[child.pid] == "lo"


def test_zombie_does_not_make_the_result_incomplete(world: World):
    child = world.start("""
        workers = [fork(new_network)]
        while ") Z " not in open(f"/proc/{workers[0]}/stat").read():
            pass
        say(workers[0])
        wait()
    """)
    pid = child.hear()
    found = portrange.listeners(namespaces="all")
    assert not [reason for reason in found.incomplete if str(pid) in reason]


def test_namespace_of_a_thread_without_main_thread_is_queried(world: World):
    child = world.start("""
        new_network()
        made = tcp()
        outlive_main_thread(lambda: say(port(made)))
    """)
    port = child.hear()
    assert child.pid in {listener.pid for listener in portrange.listeners(namespaces="all").on(port)}


@pytest.mark.usefixtures("sock_diag")
@pytest.mark.parametrize("host", [portrange.Host(), NoSockDiag()], ids=["sock_diag", "tables"])
def test_namespace_entered_by_a_single_thread_is_queried(world: World, host: portrange.Host):
    child = world.start("""
        def serve():
            new_network()
            made = tcp()
            say([port(made), os.readlink("/proc/thread-self/ns/net")])
            wait()
        threading.Thread(target=serve).start()
        wait()
    """)
    port, name = child.hear()
    found = portrange.listeners(namespaces="all", host=host)
    [listener] = [listener for listener in found.on(port) if listener.namespace == name]
    assert [owner.pid for owner in listener.owners] == [child.pid]
    assert [reason for reason in found.incomplete if not reason.startswith("units")] == []


def test_namespace_of_many_threads_is_queried_once(world: World):
    child = world.start("""
        new_network()
        made = tcp()
        for _ in range(5):
            threading.Thread(target=wait).start()
        say(port(made))
        wait()
    """)
    port = child.hear()
    assert [listener.pid for listener in portrange.listeners(namespaces="all").on(port)].count(child.pid) == 1


def test_unprivileged_user_finds_listeners_in_other_namespaces(world: World):
    child = world.start(SERVE)
    port, _ = child.hear()
    found = world.ask("""
        import portrange
        become_nobody()
        found = portrange.listeners(namespaces="all")
        say([found.to_dicts(), list(found.incomplete)])
    """)
    inside = mine(found[0], port)
    # Namespaces that cannot be entered are read through procfs, or reported as incomplete.
    assert [row["protocol"] for row in inside if row["namespace"] != os.readlink("/proc/self/ns/net")] == ["tcp", "udp"]
    assert all(row["hidden"] for row in inside)
    assert len({row["namespace"] for row in inside}) == 1


def test_processes_hidden_by_hidepid_make_the_result_incomplete(world: World):
    child = world.start(SERVE)
    port, _ = child.hear()
    rows, incomplete, truth = world.ask("""
        new_mounts()
        mount_proc("/proc", "hidepid=2")
        import portrange
        become_nobody()
        found = portrange.listeners(namespaces="all")
        say([found.to_dicts(), list(found.incomplete), bool(found.on(1))])
    """)
    assert mine(rows, port) or incomplete
    assert truth is True


def test_new_namespace_has_exactly_its_own_listeners(world: World):
    rows, made = world.ask("""
        import portrange
        new_network()
        sockets = [tcp(), udp(), tcp("::1"), tcp("::", v6only=False), udp("::", v6only=True)]
        say([portrange.listeners().to_dicts(), sorted(port(listener) for listener in sockets)])
    """)
    assert [row["port"] for row in rows] == made
    assert all(len(row["owners"]) == 1 for row in rows)


def test_empty_namespace_has_a_complete_empty_result(world: World):
    assert world.ask("""
        import portrange
        new_network()
        found = portrange.listeners()
        say([len(found), bool(found), list(found.incomplete), str(found)])
    """) == [0, False, [], "no listeners"]


def test_namespace_has_its_own_ephemeral_range(world: World):
    ephemeral, facts, allocated = world.ask("""
        import portrange
        new_network()
        def write(name, text):
            with open(f"/proc/sys/net/ipv4/{name}", "w") as file:
                file.write(text)
        write("ip_local_port_range", "40000 40009")
        write("ip_local_reserved_ports", "40001-40003,40009,50000")
        own = portrange.ephemeral_range()
        facts = {}
        for number in (39999, 40000, 40001, 40009, 40010, 50000):
            info = portrange.classify(number)
            facts[number] = [info.ephemeral, info.reserved]
        made = []
        try:
            while True:
                made.append(udp("0.0.0.0"))
        except OSError:
            pass
        say([[own.first, own.last, len(own), list(own), own.assumed], facts, sorted(map(port, made))])
    """)
    assert ephemeral == [40000, 40009, 6, allocated, False]
    assert facts == {
        "39999": [False, False],
        "40000": [True, False],
        "40001": [False, True],
        "40009": [False, True],
        "40010": [False, False],
        "50000": [False, True],
    }


def test_namespace_has_its_own_privileged_ports(world: World):
    assert world.ask("""
        import portrange
        new_network()
        answers = []
        for start in (1024, 80, 0):
            with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", "w") as file:
                file.write(str(start))
            answers.append([portrange.classify(number).privileged for number in (1, 79, 80, 1023, 1024)])
        say(answers)
    """) == [[True, True, True, True, False], [True, True, False, False, False], [False] * 5]


def test_procfs_without_processes_raises_source_error(tmp_path):
    with pytest.raises(portrange.SourceError, match="no processes found"):
        portrange.listeners(namespaces="all", host=portrange.Host(str(tmp_path / "nowhere")))


#: Creates a network namespace with a listener, bind-mounts it and leaves it: only the mount keeps it.
KEEP = """
    import portrange
    new_mounts()
    directory = sys.argv[1]
    mount("tmpfs", directory, "tmpfs")
    def keep(name):
        open(f"{directory}/{name}", "w").close()
        own = os.open("/proc/self/ns/net", os.O_RDONLY)
        new_network()
        bind_mount("/proc/self/ns/net", f"{directory}/{name}")
        made, inside = tcp(), os.readlink("/proc/self/ns/net")
        ctypes.CDLL(None).setns(own, 0)
        return made, inside
    made, inside = keep("blue")
    def ask(**options):
        found = portrange.listeners(namespaces="all", **options)
        return [[listener.to_dict() for listener in found if listener.namespace == inside], list(found.incomplete)]
"""


def test_namespace_kept_by_a_mount_is_queried(world: World, open_directory: str):
    child = world.start(
        KEEP
        + """
    other = udp("127.0.0.1", port(made))
    say([port(made), ask()])
    wait()
    """,
        open_directory,
    )
    number, (rows, incomplete) = child.hear()
    assert [(row["protocol"], row["port"], row["owners"][0]["pid"]) for row in rows] == [("tcp", number, child.pid)]
    assert incomplete == []


@pytest.mark.usefixtures("sock_diag")
def test_namespace_kept_by_a_mount_is_queried_through_tables_and_names_interfaces(world: World, open_directory: str):
    number, (rows, incomplete) = world.ask(
        KEEP
        + """
    from live.test_refused import NoSockDiag
    made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    say([port(made), [ask()[0] + ask(host=NoSockDiag())[0], ask(host=NoSockDiag())[1]]])
    """,
        open_directory,
    )
    assert [(row["port"], row["interface"]) for row in rows] == [(number, "lo"), (number, None)]
    assert [reason for reason in incomplete if not reason.startswith("units")] == []


def test_mounted_namespace_with_processes_is_queried_once(world: World, open_directory: str):
    number, rows, incomplete = world.ask(
        KEEP
        + """
    own = os.open("/proc/self/ns/net", os.O_RDONLY)
    within = os.open(f"{directory}/blue", os.O_RDONLY)
    def stay():
        ctypes.CDLL(None).setns(within, 0)
        os.write(started, b"x")
        wait()
    ready, started = os.pipe()
    fork(stay)
    os.read(ready, 1)
    open(f"{directory}/again", "w").close()
    bind_mount(f"{directory}/blue", f"{directory}/again")
    say([port(made), *ask()])
    """,
        open_directory,
    )
    assert [row["port"] for row in rows] == [number]
    assert incomplete == []


def test_mounted_namespace_is_entered_by_its_mount_when_its_last_process_ends(world: World, open_directory: str):
    number, ended, rows, incomplete = world.ask(
        KEEP
        + """
    within = os.open(f"{directory}/blue", os.O_RDONLY)
    ready, started = os.pipe()
    def stay():
        ctypes.CDLL(None).setns(within, 0)
        os.write(started, b"x")
        wait()
    last = fork(stay)
    os.read(ready, 1)
    ended = []
    from fakes import SystemHost
    class Ending(SystemHost):
        def in_network(self, process, expected=None):
            if process == f"/proc/{last}":
                os.kill(last, signal.SIGKILL)
                ended.append(os.waitpid(last, 0)[0] == last)
            return super().in_network(process, expected)
    say([port(made), ended, *ask(host=Ending())])
    """,
        open_directory,
    )
    assert ended == [True]
    assert [row["port"] for row in rows] == [number]
    assert incomplete == []


def test_namespace_unmounted_during_the_query_leaves_the_result_complete(world: World, open_directory: str):
    unmounted, rows, incomplete = world.ask(
        KEEP
        + """
    unmounted = []
    from fakes import SystemHost
    class Going(SystemHost):
        def in_network(self, process, expected=None):
            if process == f"{directory}/blue" and expected is not None:
                unmount(process)
                unmounted.append(process)
            return super().in_network(process, expected)
    answer = ask(host=Going())
    say([unmounted, *answer])
    """,
        open_directory,
    )
    assert unmounted
    assert rows == []
    assert incomplete == []


def test_only_a_few_inaccessible_namespaces_are_named(world: World, open_directory: str):
    incomplete = world.ask(
        KEEP
        + """
    for number in range(8):
        keep(str(number))
    os.chmod(directory, 0o755)
    become_nobody()
    say(list(portrange.listeners(namespaces="all").incomplete))
    """,
        open_directory,
    )
    assert len([reason for reason in incomplete if reason.startswith("network namespace net:[")]) <= 5
    [rest] = [reason for reason in incomplete if "more network namespaces" in reason]
    assert int(rest.split()[0]) >= 4


def test_mounted_namespace_inaccessible_to_unprivileged_user_is_reported(world: World, open_directory: str):
    inside, rows, incomplete, truth = world.ask(
        KEEP
        + """
    os.chmod(directory, 0o755)
    become_nobody()
    found = portrange.listeners(namespaces="all")
    say([inside, *ask(), bool(found.on(port(made)))])
    """,
        open_directory,
    )
    assert rows == []
    assert [reason for reason in incomplete if inside in reason and "cannot enter" in reason]
    assert truth is True


def test_namespace_with_covered_mount_is_reported(world: World, open_directory: str):
    inside, rows, incomplete = world.ask(
        KEEP
        + """
    open(f"{directory}/cover", "w").close()
    bind_mount(f"{directory}/cover", f"{directory}/blue")
    say([inside, *ask()])
    """,
        open_directory,
    )
    assert rows == []
    assert [reason for reason in incomplete if inside in reason]


def test_namespace_mounted_over_another_is_not_confused_with_it(world: World, open_directory: str):
    inside, rows, incomplete = world.ask(
        KEEP
        + """
    keep("red")
    bind_mount(f"{directory}/red", f"{directory}/blue")
    say([inside, *ask()])
    """,
        open_directory,
    )
    assert rows == []
    assert [reason for reason in incomplete if inside in reason and "mounted over" in reason]


def test_another_procfs_uses_the_mounts_of_its_process_1(world: World, open_directory: str):
    rows, incomplete = world.ask(
        """
        import portrange
        new_processes()
        os.mkdir(f"{sys.argv[1]}/proc")
        mount_proc(f"{sys.argv[1]}/proc")
        open(f"{sys.argv[1]}/blue", "w").close()
        own = os.open("/proc/self/ns/net", os.O_RDONLY)
        new_network()
        bind_mount("/proc/self/ns/net", f"{sys.argv[1]}/blue")
        made, inside = tcp(), os.readlink("/proc/self/ns/net")
        ctypes.CDLL(None).setns(own, 0)
        ready, report = os.pipe()
        def look():
            new_mounts()
            unmount(f"{sys.argv[1]}/blue")
            found = portrange.listeners(namespaces="all", host=portrange.Host(f"{sys.argv[1]}/proc"))
            rows = [listener.pid for listener in found if listener.namespace == inside]
            os.write(report, json.dumps([rows, list(found.incomplete)]).encode())
        fork(look)
        say(json.loads(os.read(ready, 1 << 16)))
        """,
        open_directory,
    )
    assert rows
    assert rows[0] == 1
    assert incomplete == []


@pytest.mark.skipif(shutil.which("ip") is None, reason="the program 'ip' (iproute2) is not on the PATH")
def test_command_names_namespaces_by_mount_process_and_own(world: World):
    name = f"portrange-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        server = "import socket, sys; s = socket.create_server(('', 0)); print(s.getsockname()[1], flush=True); input()"
        with subprocess.Popen(
            ["ip", "netns", "exec", name, sys.executable, "-c", server],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as mounted:
            port = int(mounted.stdout.readline())
            inside, own = world.start(SERVE), world.start("made = tcp(); say(port(made)); wait()")
            expected = {port: name, inside.hear()[0]: f"pid {inside.pid}", own.hear(): "own"}
            shown = subprocess.run(
                [sys.executable, "-m", portrange.__name__, "--all-namespaces", "-p", "tcp"],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
            mounted.communicate("\n")
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)
    rows = {int(line.split()[1]): line for line in shown.splitlines()[1:]}
    assert {port: rows[port].rpartition("  ")[2] for port in expected} == expected
