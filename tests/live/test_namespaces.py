"""Network namespaces: each has its own ports, listeners and settings."""

from __future__ import annotations

import os
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


def test_each_listener_of_each_namespace_is_found_once_with_its_namespace(world: World):
    children = [world.start(SERVE) for _ in range(2)]
    heard = [child.hear() for child in children]
    found = portrange.listeners(namespaces="all")
    for child, (port, name) in zip(children, heard, strict=True):
        there = [one for one in found.on(port) if one.namespace == name]
        assert [one.protocol for one in there] == ["tcp", "udp"]
        assert [[owner.pid for owner in one.owners] for one in there] == [[child.pid], [child.pid]]


def test_by_default_only_ones_own_namespace_is_asked(world: World):
    child = world.start(SERVE)
    port, name = child.hear()
    own = portrange.listeners()
    assert all(one.namespace is None for one in own)
    assert child.pid not in {owner.pid for one in own for owner in one.owners}
    assert child.pid not in {owner.pid for one in portrange.who_listens(port) for owner in one.owners}
    assert name != os.readlink("/proc/self/ns/net")


def test_ones_own_listeners_are_among_all(world: World):
    child = world.start("made = tcp(); say(port(made)); wait()")
    port = child.hear()
    own = os.readlink("/proc/self/ns/net")
    [one] = [one for one in portrange.listeners(namespaces="all").on(port) if one.namespace == own]
    assert [owner.pid for owner in one.owners] == [child.pid]


def test_the_same_port_in_two_namespaces_is_two_listeners(world: World):
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
    holders = {one.namespace: one.pid for one in found}
    assert holders[first_name] == first.pid
    assert holders[second_name] == second.pid


def test_a_namespace_shared_by_many_processes_is_asked_once(world: World):
    child = world.start("""
        new_network()
        made = tcp()
        for _ in range(3):
            fork(wait)
        say(port(made))
        wait()
    """)
    port = child.hear()
    there = [one for one in portrange.listeners(namespaces="all").on(port) if child.pid in [o.pid for o in one.owners]]
    assert len(there) == 1
    assert len(there[0].owners) == 4


def test_the_interface_is_named_as_in_its_own_namespace(world: World):
    child = world.start("""
        new_network()
        made = udp("0.0.0.0", 0, device="lo")
        say(port(made))
        wait()
    """)
    port = child.hear()
    interfaces = {one.pid: one.interface for one in portrange.listeners(namespaces="all").on(port)}
    assert interfaces[child.pid] == "lo"


def test_a_zombie_has_no_namespace_to_ask_for(world: World):
    child = world.start("""
        workers = [fork(new_network)]
        while ") Z " not in open(f"/proc/{workers[0]}/stat").read():
            pass
        say(workers[0])
        wait()
    """)
    pid = child.hear()
    found = portrange.listeners(namespaces="all")
    assert not [gap for gap in found.incomplete if str(pid) in gap]


def test_a_namespace_that_only_a_thread_is_left_in_is_asked(world: World):
    child = world.start("""
        new_network()
        made = tcp()
        outlive_main_thread(lambda: say(port(made)))
    """)
    port = child.hear()
    assert child.pid in {one.pid for one in portrange.listeners(namespaces="all").on(port)}


@pytest.mark.usefixtures("sock_diag")
@pytest.mark.parametrize("host", [portrange.Host(), NoSockDiag()], ids=["sock_diag", "tables"])
def test_a_namespace_that_only_a_thread_of_a_running_program_is_in_is_asked(world: World, host: portrange.Host):
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
    [one] = [one for one in found.on(port) if one.namespace == name]
    assert [owner.pid for owner in one.owners] == [child.pid]
    assert found.incomplete == ()


def test_a_namespace_of_many_threads_is_asked_once(world: World):
    child = world.start("""
        new_network()
        made = tcp()
        for _ in range(5):
            threading.Thread(target=wait).start()
        say(port(made))
        wait()
    """)
    port = child.hear()
    assert [one.pid for one in portrange.listeners(namespaces="all").on(port)].count(child.pid) == 1


def test_an_ordinary_user_finds_the_listeners_of_other_namespaces(world: World):
    child = world.start(SERVE)
    port, _ = child.hear()
    found = world.ask("""
        import portrange
        become_nobody()
        found = portrange.listeners(namespaces="all")
        say([found.to_dicts(), list(found.incomplete)])
    """)
    there = mine(found[0], port)
    # What may not be entered can still be read, or is said not to be.
    assert [row["protocol"] for row in there if row["namespace"] != os.readlink("/proc/self/ns/net")] == ["tcp", "udp"]
    assert all(row["hidden"] for row in there)
    assert len({row["namespace"] for row in there}) == 1


def test_what_procfs_keeps_out_of_sight_is_reported(world: World):
    child = world.start(SERVE)
    port, _ = child.hear()
    rows, gaps, truth = world.ask("""
        new_mounts()
        mount_proc("/proc", "hidepid=2")
        import portrange
        become_nobody()
        found = portrange.listeners(namespaces="all")
        say([found.to_dicts(), list(found.incomplete), bool(found.on(1))])
    """)
    assert mine(rows, port) or gaps
    assert truth is True


def test_the_listeners_of_a_new_namespace_are_exactly_those_that_were_made_there(world: World):
    rows, made = world.ask("""
        import portrange
        new_network()
        sockets = [tcp(), udp(), tcp("::1"), tcp("::", v6only=False), udp("::", v6only=True)]
        say([portrange.listeners().to_dicts(), sorted(port(one) for one in sockets)])
    """)
    assert [row["port"] for row in rows] == made
    assert all(len(row["owners"]) == 1 for row in rows)


def test_an_empty_namespace_has_proven_nobody(world: World):
    assert world.ask("""
        import portrange
        new_network()
        found = portrange.listeners()
        say([len(found), bool(found), list(found.incomplete), str(found)])
    """) == [0, False, [], "nobody listens"]


def test_the_pool_of_a_namespace_is_its_own(world: World):
    pool, facts, handed_out = world.ask("""
        import portrange
        new_network()
        def write(name, text):
            with open(f"/proc/sys/net/ipv4/{name}", "w") as file:
                file.write(text)
        write("ip_local_port_range", "40000 40009")
        write("ip_local_reserved_ports", "40001-40003,40009,50000")
        pool = portrange.ephemeral_range()
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
        say([[pool.first, pool.last, len(pool), list(pool), pool.assumed], facts, sorted(map(port, made))])
    """)
    assert pool == [40000, 40009, 6, handed_out, False]
    assert facts == {
        "39999": [False, False],
        "40000": [True, False],
        "40001": [False, True],
        "40009": [False, True],
        "40010": [False, False],
        "50000": [False, True],
    }


def test_the_privileged_ports_of_a_namespace_are_its_own(world: World):
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


def test_a_procfs_without_processes_tells_no_namespaces(tmp_path):
    with pytest.raises(portrange.SourceError, match="shows no processes"):
        portrange.listeners(namespaces="all", host=portrange.Host(str(tmp_path / "nowhere")))


#: Makes a network namespace with a listener, has it mounted, and leaves it: no thread is in it any more.
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
        return [[one.to_dict() for one in found if one.namespace == inside], list(found.incomplete)]
"""


def test_a_namespace_that_only_a_mount_keeps_is_asked(world: World, open_directory: str):
    child = world.start(
        KEEP
        + """
    other = udp("127.0.0.1", port(made))
    say([port(made), ask()])
    wait()
    """,
        open_directory,
    )
    number, (rows, gaps) = child.hear()
    assert [(row["protocol"], row["port"], row["owners"][0]["pid"]) for row in rows] == [("tcp", number, child.pid)]
    assert gaps == []


@pytest.mark.usefixtures("sock_diag")
def test_a_namespace_that_only_a_mount_keeps_is_asked_by_tables_and_shows_its_interfaces(
    world: World, open_directory: str
):
    number, (rows, gaps) = world.ask(
        KEEP
        + """
    from live.test_refused import NoSockDiag
    made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    say([port(made), [ask()[0] + ask(host=NoSockDiag())[0], ask(host=NoSockDiag())[1]]])
    """,
        open_directory,
    )
    assert [(row["port"], row["interface"]) for row in rows] == [(number, "lo"), (number, None)]
    assert gaps == []


def test_a_mounted_namespace_with_processes_is_asked_once(world: World, open_directory: str):
    number, rows, gaps = world.ask(
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
    assert gaps == []


def test_a_mounted_namespace_whose_last_process_ends_while_one_looks_is_entered_by_the_mount(
    world: World, open_directory: str
):
    number, ended, rows, gaps = world.ask(
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
    class Ending(portrange.Host):
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
    assert gaps == []


def test_a_mount_that_goes_while_one_looks_is_no_gap(world: World, open_directory: str):
    unmounted, rows, gaps = world.ask(
        KEEP
        + """
    unmounted = []
    class Going(portrange.Host):
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
    assert gaps == []


def test_of_many_namespaces_that_may_not_be_entered_a_few_are_named(world: World, open_directory: str):
    gaps = world.ask(
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
    assert len([gap for gap in gaps if gap.startswith("network namespace net:[")]) <= 5
    [rest] = [gap for gap in gaps if "more network namespaces" in gap]
    assert int(rest.split()[0]) >= 4


def test_a_mounted_namespace_that_an_ordinary_user_may_not_enter_is_reported(world: World, open_directory: str):
    inside, rows, gaps, truth = world.ask(
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
    assert [gap for gap in gaps if inside in gap and "cannot be entered" in gap]
    assert truth is True


def test_a_namespace_whose_mount_is_covered_is_reported(world: World, open_directory: str):
    inside, rows, gaps = world.ask(
        KEEP
        + """
    open(f"{directory}/cover", "w").close()
    bind_mount(f"{directory}/cover", f"{directory}/blue")
    say([inside, *ask()])
    """,
        open_directory,
    )
    assert rows == []
    assert [gap for gap in gaps if inside in gap]


def test_another_namespace_mounted_over_one_is_not_taken_for_it(world: World, open_directory: str):
    inside, rows, gaps = world.ask(
        KEEP
        + """
    keep("red")
    bind_mount(f"{directory}/red", f"{directory}/blue")
    say([inside, *ask()])
    """,
        open_directory,
    )
    assert rows == []
    assert [gap for gap in gaps if inside in gap and "mounted over" in gap]


def test_with_another_procfs_the_mounts_are_those_of_its_first_process(world: World, open_directory: str):
    rows, gaps = world.ask(
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
        ready, asked = os.pipe()
        def look():
            new_mounts()
            unmount(f"{sys.argv[1]}/blue")
            found = portrange.listeners(namespaces="all", host=portrange.Host(f"{sys.argv[1]}/proc"))
            rows = [one.pid for one in found if one.namespace == inside]
            os.write(asked, json.dumps([rows, list(found.incomplete)]).encode())
        fork(look)
        say(json.loads(os.read(ready, 1 << 16)))
        """,
        open_directory,
    )
    assert rows
    assert rows[0] == 1
    assert gaps == []
