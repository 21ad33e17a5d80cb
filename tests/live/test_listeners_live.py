"""Who listens, against real sockets of real processes."""

from __future__ import annotations

import os
import socket

import pytest
from live.world import World

import portrange


def pids(listener: portrange.Socket) -> list[int]:
    return [owner.pid for owner in listener.owners]


def where(listener: portrange.Socket) -> tuple[str, str, str, bool | None]:
    return listener.protocol, listener.family, listener.address, listener.dual_stack


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("tcp()", ("tcp", "ipv4", "127.0.0.1", False)),
        ("tcp('0.0.0.0')", ("tcp", "ipv4", "0.0.0.0", False)),
        ("udp()", ("udp", "ipv4", "127.0.0.1", False)),
        ("udp('0.0.0.0')", ("udp", "ipv4", "0.0.0.0", False)),
    ],
)
def test_an_ipv4_listener_is_found_with_its_process(world: World, program: str, expected: tuple[object, ...]):
    child = world.start(f"made = {program}; say(port(made)); wait()")
    port = child.hear()
    [one] = portrange.who_listens(port)
    assert where(one) == expected
    assert pids(one) == [child.pid]
    assert (one.port, one.pid, one.uid, one.hidden, one.possible_owners) == (port, child.pid, os.getuid(), False, ())


@pytest.mark.usefixtures("ipv6", "sock_diag")
@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("tcp('::1')", ("tcp", "ipv6", "::1", False)),
        ("tcp('::', v6only=True)", ("tcp", "ipv6", "::", False)),
        ("tcp('::', v6only=False)", ("tcp", "ipv6", "::", True)),
        ("tcp('::ffff:127.0.0.1')", ("tcp", "ipv4", "127.0.0.1", False)),
        ("tcp('::ffff:0.0.0.0')", ("tcp", "ipv4", "0.0.0.0", False)),
        ("udp('::1')", ("udp", "ipv6", "::1", False)),
        ("udp('::', v6only=True)", ("udp", "ipv6", "::", False)),
        ("udp('::', v6only=False)", ("udp", "ipv6", "::", True)),
        ("udp('::ffff:127.0.0.1')", ("udp", "ipv4", "127.0.0.1", False)),
    ],
)
def test_an_ipv6_listener_is_found_with_its_process(world: World, program: str, expected: tuple[object, ...]):
    child = world.start(f"made = {program}; say(port(made)); wait()")
    [one] = portrange.who_listens(child.hear())
    assert where(one) == expected
    assert pids(one) == [child.pid]


def test_a_connected_udp_socket_is_no_listener(world: World):
    child = world.start("""
        server = udp()
        client = udp()
        client.connect(server.getsockname())
        say([port(server), port(client)])
        wait()
    """)
    server, client = child.hear()
    assert [pids(one) for one in portrange.who_listens(server)] == [[child.pid]]
    assert not portrange.who_listens(client)
    assert not portrange.listeners().on(client)


def test_neither_clients_nor_accepted_connections_are_listeners(world: World):
    child = world.start("""
        server = tcp()
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        say([port(server), port(client)])
        wait()
    """)
    server, client = child.hear()
    assert len(portrange.who_listens(server)) == 1
    assert not portrange.who_listens(client)


def test_a_udp_socket_without_a_port_is_no_listener(world: World):
    child = world.start("""
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        say(None)
        wait()
    """)
    child.hear()
    assert not portrange.listeners(protocol="udp").on(0)


def test_a_free_port_is_empty_and_false(world: World):
    port = world.ask("say(port(tcp()))")
    found = portrange.who_listens(port)
    assert len(found) == 0
    assert not found
    assert found.incomplete == ()
    assert str(found) == "nobody listens"


def test_tcp_and_udp_on_one_port_are_two_listeners(world: World):
    child = world.start("""
        first = tcp()
        second = udp('127.0.0.1', port(first))
        say(port(first))
        wait()
    """)
    port = child.hear()
    assert [one.protocol for one in portrange.who_listens(port)] == ["tcp", "udp"]
    assert [one.protocol for one in portrange.who_listens(port, protocol="tcp")] == ["tcp"]
    assert [one.protocol for one in portrange.who_listens(port, protocol="udp")] == ["udp"]


def test_different_addresses_of_one_port_are_different_listeners(world: World):
    child = world.start("""
        first = tcp("127.0.0.1")
        second = tcp("127.0.0.2", port(first))
        say(port(first))
        wait()
    """)
    assert [one.address for one in portrange.who_listens(child.hear())] == ["127.0.0.1", "127.0.0.2"]


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_each_socket_of_a_reuseport_group_has_its_own_process(world: World, kind: str):
    first = world.start(f"made = {kind}(reuse_port=True); say(port(made)); wait()")
    port = first.hear()
    others = [
        world.start(f"made = {kind}('127.0.0.1', int(sys.argv[1]), reuse_port=True); say(0); wait()", port)
        for _ in range(3)
    ]
    for other in others:
        other.hear()
    found = portrange.who_listens(port)
    assert all(len(one.owners) == 1 for one in found)
    assert sorted(one.pid or 0 for one in found) == sorted([first.pid, *(other.pid for other in others)])


@pytest.mark.usefixtures("mptcp")
def test_a_multipath_tcp_listener_is_found_with_its_process(world: World):
    child = world.start("made = tcp(protocol=MPTCP); say(port(made)); wait()")
    [one] = portrange.who_listens(child.hear())
    assert where(one) == ("tcp", "ipv4", "127.0.0.1", False)
    assert pids(one) == [child.pid]


def test_all_processes_of_a_prefork_server_are_owners_oldest_first(world: World):
    child = world.start("""
        import time
        made = tcp()
        workers = []
        for _ in range(3):
            time.sleep(0.02)
            workers.append(fork(wait))
        say([port(made), workers])
        wait()
    """)
    port, workers = child.hear()
    [one] = portrange.who_listens(port)
    assert pids(one) == [child.pid, *workers]
    started = [owner.started for owner in one.owners]
    assert None not in started
    assert started == sorted(started)
    assert started[0] < started[-1]


def test_a_socket_that_outlived_exec_belongs_to_the_new_program(world: World):
    child = world.start("""
        made = tcp()
        made.set_inheritable(True)
        program = f"import os; os.write(1, b'{port(made)}\\\\n'); os.read(0, 1)"
        os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", program])
    """)
    [one] = portrange.who_listens(child.hear())
    assert pids(one) == [child.pid]
    assert one.owners[0].cmdline is not None
    assert one.owners[0].cmdline[-1].startswith("import os; os.write(1")


def test_a_socket_that_was_passed_on_belongs_to_whoever_has_it(world: World):
    left, right = socket.socketpair()
    with left, right:
        giver = world.start(
            """
            with socket.socket(fileno=int(sys.argv[1])) as channel, tcp() as made:
                say(port(made))
                socket.send_fds(channel, [b"x"], [made.fileno()])
                hear()
            say(None)
            wait()
            """,
            left.fileno(),
            pass_fds=(left.fileno(),),
        )
        taker = world.start(
            """
            with socket.socket(fileno=int(sys.argv[1])) as channel:
                taken = socket.recv_fds(channel, 1, 1)[1]
            say(None)
            wait()
            """,
            right.fileno(),
            pass_fds=(right.fileno(),),
        )
    port = giver.hear()
    taker.hear()
    [both] = portrange.who_listens(port, exhaustive=True)
    assert sorted(pids(both)) == sorted([giver.pid, taker.pid])
    giver.tell("close it")
    giver.hear()
    [one] = portrange.who_listens(port)
    assert pids(one) == [taker.pid]


@pytest.mark.usefixtures("sock_diag", "root")
@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_the_interface_of_a_listener_is_named(world: World, kind: str):
    child = world.start(f"made = {kind}('0.0.0.0', device='lo'); say(port(made)); wait()")
    [one] = portrange.who_listens(child.hear())
    assert one.interface == "lo"
    assert one.endpoint == f"0.0.0.0%lo:{one.port}"
    assert pids(one) == [child.pid]


def test_one_process_with_one_socket_twice_is_one_owner(world: World):
    child = world.start("made = tcp(); again = made.dup(); say(port(made)); wait()")
    [one] = portrange.who_listens(child.hear())
    assert pids(one) == [child.pid]


def test_all_ways_to_ask_give_the_same_answer(world: World):
    child = world.start("""
        made = tcp()
        other = udp("127.0.0.1", port(made))
        fork(wait)
        say(port(made))
        wait()
    """)
    port = child.hear()
    found = portrange.who_listens(port)
    assert len(found) == 2
    assert all(len(one.owners) == 2 for one in found)
    assert portrange.listeners().on(port) == found
    frozen = portrange.Host().snapshot()
    assert portrange.who_listens(port, host=frozen) == found
    assert portrange.listeners(host=frozen).on(port) == found
    exhaustive = portrange.who_listens(port, exhaustive=True)
    assert {one.scope for one in exhaustive} == {"host"}
    assert [pids(one) for one in exhaustive] == [pids(one) for one in found]


def test_all_questions_about_listeners_see_the_same_moment_of_a_frozen_host(world: World):
    frozen = portrange.Host().snapshot()
    before = portrange.listeners(host=frozen)
    port = world.start("made = tcp(); say(port(made)); wait()").hear()
    assert portrange.who_listens(port)
    assert not portrange.who_listens(port, host=frozen)
    assert not portrange.who_listens(port, protocol="tcp", host=frozen)
    assert [*portrange.listeners(protocol="tcp", host=frozen), *portrange.listeners(protocol="udp", host=frozen)] == (
        sorted(before, key=lambda one: one.protocol)
    )


def test_a_frozen_host_keeps_its_moment(world: World):
    child = world.start("made = tcp(); say(port(made)); hear(); made.close(); say(0); wait()")
    port = child.hear()
    frozen = portrange.Host().snapshot()
    before = portrange.who_listens(port, host=frozen)
    child.tell("close it")
    child.hear()
    assert not portrange.who_listens(port)
    assert portrange.who_listens(port, host=frozen) == before
    assert before


NAMES = ["a) S 1 (b", "two words", "line\nbreak", "((((", "))))", "tab\there", "\x1b[2J", "fünfzehn Zeic"]


@pytest.mark.parametrize("name", NAMES)
def test_a_process_may_call_itself_anything(world: World, name: str):
    child = world.start(
        """
        with open("/proc/self/comm", "w", encoding="utf-8") as file:
            file.write(sys.argv[1])
        made = tcp()
        say(port(made))
        wait()
        """,
        name,
    )
    [one] = portrange.who_listens(child.hear())
    assert one.process == name
    assert pids(one) == [child.pid]
    assert one.owners[0].started is not None
    assert "\x1b" not in str(portrange.who_listens(one.port))
    assert len(str(portrange.who_listens(one.port)).splitlines()) == 2


def test_a_name_longer_than_the_kernel_keeps_is_completed_from_the_command_line(world: World):
    child = world.start("""
        made = tcp()
        made.set_inheritable(True)
        program = f"import os; os.write(1, b'{port(made)}\\\\n'); os.read(0, 1)"
        with open("/proc/self/comm", "w") as file:
            file.write("a-rather-long-name")
        keep = "import os, sys; open('/proc/self/comm', 'w').write('a-rather-long-name'); " + program
        os.execv(sys.executable, ["/opt/a-rather-long-name", "-I", "-S", "-c", keep])
    """)
    [one] = portrange.who_listens(child.hear())
    assert one.process == "a-rather-long-name"


def test_a_thread_that_outlived_its_main_thread_is_an_owner(world: World):
    # The leader is a zombie without descriptors of its own; they are to be found in its threads only.
    child = world.start("""
        made = tcp()
        outlive_main_thread(lambda: say(port(made)))
    """)
    [one] = portrange.who_listens(child.hear())
    assert pids(one) == [child.pid]


def test_a_zombie_holds_nothing(world: World):
    child = world.start("""
        made = tcp()
        workers = [fork(lambda: None)]
        while ") Z " not in open(f"/proc/{workers[0]}/stat").read():
            pass
        say(port(made))
        wait()
    """)
    [one] = portrange.who_listens(child.hear(), exhaustive=True)
    assert pids(one) == [child.pid]


@pytest.mark.usefixtures("namespaces", "network_of_process_1")
def test_another_mount_of_procfs_gives_the_same_answer(world: World, tmp_path: object):
    answer = world.ask(
        """
        import portrange
        new_mounts()
        bind_mount("/proc", sys.argv[1])
        made = tcp()
        os.dup(made.fileno())
        fork(wait)
        rows = portrange.who_listens(port(made), host=portrange.Host(sys.argv[1])).to_dicts()
        same = portrange.who_listens(port(made)).to_dicts()
        say([rows, same])
        """,
        tmp_path,
    )
    rows, same = answer
    assert len(rows) == 1
    assert len(rows[0]["owners"]) == 2
    # The names of users belong to the machine that procfs is about, and are not known.
    for row in same:
        row["user"] = None
        for owner in row["owners"]:
            owner["user"] = str(row["uid"])
    assert rows == same


@pytest.mark.usefixtures("namespaces", "network_of_process_1")
def test_another_procfs_is_about_the_network_of_its_first_process(world: World, tmp_path: object):
    listener = world.start("made = tcp(); say(port(made)); wait()")
    port = listener.hear()
    monitor = world.start(
        """
        import portrange
        new_mounts()
        bind_mount("/proc", sys.argv[1])
        new_network()
        number = int(sys.argv[2])
        own = tcp("127.0.0.1", number)
        with open("/proc/sys/net/ipv4/ip_local_port_range", "w") as file:
            file.write("40000 40009")
        host = portrange.Host(sys.argv[1])
        for asked in (portrange.Host(), host):
            say([[owner.pid for owner in one.owners] for one in portrange.who_listens(number, host=asked)])
        say(portrange.ephemeral_range(host=host).to_dict())
        wait()
        """,
        tmp_path,
        port,
    )
    assert monitor.hear() == [[monitor.pid]]
    assert monitor.hear() == [[listener.pid]]
    pool = monitor.hear()
    assert (pool["first"], pool["last"]) != (40000, 40009)
    # Some sandboxes keep even root from the namespaces of process 1.
    entered = os.access("/proc/1/ns/net", os.R_OK)
    assert pool["assumed"] is not entered
    assert pool["source"] == (f"{tmp_path}/sys/net/ipv4/ip_local_port_range" if entered else "documented default")


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("written", ["/proc/", "/proc//"])
def test_the_usual_procfs_is_about_ones_own_network_however_it_is_written(world: World, written: str):
    own, found = world.ask(
        """
        import portrange
        new_network()
        made = tcp()
        found = portrange.who_listens(port(made), host=portrange.Host(sys.argv[1]))
        say([os.getpid(), [[owner.pid for owner in one.owners] for one in found]])
        """,
        written,
    )
    assert found == [[own]]
