"""listeners() and who_listens() with real sockets of real processes."""

from __future__ import annotations

import os
import signal
import socket

import pytest
from live.world import World

import portrange
from portrange._cli.cmd_show import listener_lines
from portrange._frozen import replace


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
def test_ipv4_listener_is_found_with_its_process(world: World, program: str, expected: tuple[object, ...]):
    child = world.start(f"made = {program}; say(port(made)); wait()")
    port = child.hear()
    [listener] = portrange.who_listens(port)
    assert where(listener) == expected
    assert pids(listener) == [child.pid]
    assert (listener.port, listener.pid, listener.uid, listener.hidden, listener.possible_owners) == (
        port,
        child.pid,
        os.getuid(),
        False,
        (),
    )


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
def test_ipv6_listener_is_found_with_its_process(world: World, program: str, expected: tuple[object, ...]):
    child = world.start(f"made = {program}; say(port(made)); wait()")
    [listener] = portrange.who_listens(child.hear())
    assert where(listener) == expected
    assert pids(listener) == [child.pid]


def test_connected_udp_socket_is_not_a_listener(world: World):
    child = world.start("""
        server = udp()
        client = udp()
        client.connect(server.getsockname())
        say([port(server), port(client)])
        wait()
    """)
    server, client = child.hear()
    assert [pids(listener) for listener in portrange.who_listens(server)] == [[child.pid]]
    assert not portrange.who_listens(client)
    assert not portrange.listeners().on(client)


def test_clients_and_accepted_connections_are_not_listeners(world: World):
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


def test_unbound_udp_socket_is_not_a_listener(world: World):
    child = world.start("""
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        say(None)
        wait()
    """)
    child.hear()
    assert not portrange.listeners(protocol="udp").on(0)


def test_who_listens_free_port_is_empty_and_false(world: World):
    port = world.ask("say(port(tcp()))")
    found = portrange.who_listens(port)
    assert len(found) == 0
    assert not found
    assert found.incomplete == ()
    assert str(found) == "no listeners"


def test_tcp_and_udp_on_one_port_are_two_listeners(world: World):
    child = world.start("""
        first = tcp()
        second = udp('127.0.0.1', port(first))
        say(port(first))
        wait()
    """)
    port = child.hear()
    assert [listener.protocol for listener in portrange.who_listens(port)] == ["tcp", "udp"]
    assert [listener.protocol for listener in portrange.who_listens(port, protocol="tcp")] == ["tcp"]
    assert [listener.protocol for listener in portrange.who_listens(port, protocol="udp")] == ["udp"]


def test_different_addresses_of_one_port_are_separate_listeners(world: World):
    child = world.start("""
        first = tcp("127.0.0.1")
        second = tcp("127.0.0.2", port(first))
        say(port(first))
        wait()
    """)
    assert [listener.address for listener in portrange.who_listens(child.hear())] == ["127.0.0.1", "127.0.0.2"]


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_reuseport_sockets_have_their_own_process(world: World, kind: str):
    first = world.start(f"made = {kind}(reuse_port=True); say(port(made)); wait()")
    port = first.hear()
    others = [
        world.start(f"made = {kind}('127.0.0.1', int(sys.argv[1]), reuse_port=True); say(0); wait()", port)
        for _ in range(3)
    ]
    for other in others:
        other.hear()
    found = portrange.who_listens(port)
    assert all(len(listener.owners) == 1 for listener in found)
    assert sorted(listener.pid or 0 for listener in found) == sorted([first.pid, *(other.pid for other in others)])


@pytest.mark.usefixtures("mptcp")
def test_multipath_tcp_listener_is_found_with_its_process(world: World):
    child = world.start("made = tcp(protocol=MPTCP); say(port(made)); wait()")
    [listener] = portrange.who_listens(child.hear())
    assert where(listener) == ("tcp", "ipv4", "127.0.0.1", False)
    assert pids(listener) == [child.pid]


def test_prefork_server_processes_are_owners_oldest_first(world: World):
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
    [listener] = portrange.who_listens(port)
    assert pids(listener) == [child.pid, *workers]
    started = [owner.started for owner in listener.owners]
    assert None not in started
    assert started == sorted(started)
    assert started[0] < started[-1]


def test_socket_inherited_across_exec_is_owned_by_the_new_program(world: World):
    child = world.start("""
        made = tcp()
        made.set_inheritable(True)
        program = f"import os; os.write(1, b'{port(made)}\\\\n'); os.read(0, 1)"
        os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", program])
    """)
    [listener] = portrange.who_listens(child.hear())
    assert pids(listener) == [child.pid]
    assert listener.owners[0].cmdline is not None
    assert listener.owners[0].cmdline[-1].startswith("import os; os.write(1")


def test_socket_sent_over_unix_socket_is_owned_by_its_receiver(world: World):
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
    giver.send("close")
    giver.hear()
    [listener] = portrange.who_listens(port)
    assert pids(listener) == [taker.pid]


@pytest.mark.usefixtures("sock_diag", "root")
@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_listener_bound_to_an_interface_names_it(world: World, kind: str):
    child = world.start(f"made = {kind}('0.0.0.0', device='lo'); say(port(made)); wait()")
    [listener] = portrange.who_listens(child.hear())
    assert listener.interface == "lo"
    assert listener.endpoint == f"0.0.0.0%lo:{listener.port}"
    assert pids(listener) == [child.pid]


def test_duplicated_descriptor_is_one_owner(world: World):
    child = world.start("made = tcp(); again = made.dup(); say(port(made)); wait()")
    [listener] = portrange.who_listens(child.hear())
    assert pids(listener) == [child.pid]


def test_all_listener_queries_return_the_same_listeners(world: World):
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
    assert all(len(listener.owners) == 2 for listener in found)
    assert portrange.listeners().on(port) == found
    snapshot = portrange.Host().snapshot()
    assert portrange.who_listens(port, host=snapshot) == found
    assert portrange.listeners(host=snapshot).on(port) == found
    exhaustive = portrange.who_listens(port, exhaustive=True)
    assert {listener.scope for listener in exhaustive} == {"host"}
    assert [pids(listener) for listener in exhaustive] == [pids(listener) for listener in found]


def test_snapshot_queries_are_consistent_with_each_other(world: World):
    snapshot = portrange.Host().snapshot()
    before = portrange.listeners(host=snapshot)
    port = world.start("made = tcp(); say(port(made)); wait()").hear()
    assert portrange.who_listens(port)
    assert not portrange.who_listens(port, host=snapshot)
    assert not portrange.who_listens(port, protocol="tcp", host=snapshot)
    assert [
        *portrange.listeners(protocol="tcp", host=snapshot),
        *portrange.listeners(protocol="udp", host=snapshot),
    ] == (sorted(before, key=lambda listener: listener.protocol))


def test_snapshot_keeps_a_listener_that_was_closed_later(world: World):
    child = world.start("made = tcp(); say(port(made)); hear(); made.close(); say(0); wait()")
    port = child.hear()
    snapshot = portrange.Host().snapshot()
    before = portrange.who_listens(port, host=snapshot)
    child.send("close")
    child.hear()
    assert not portrange.who_listens(port)
    assert portrange.who_listens(port, host=snapshot) == before
    assert before


NAMES = ["a) S 1 (b", "two parts", "line\nbreak", "((((", "))))", "tab\there", "\x1b[2J", "fünfzehn Zeic"]


@pytest.mark.parametrize("name", NAMES)
def test_process_name_with_special_characters_is_reported(world: World, name: str):
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
    [listener] = portrange.who_listens(child.hear())
    assert listener.process == name
    assert pids(listener) == [child.pid]
    assert listener.owners[0].started is not None
    assert "\x1b" not in str(portrange.who_listens(listener.port))
    assert len(str(portrange.who_listens(listener.port)).splitlines()) == 2


def test_truncated_process_name_is_completed_from_cmdline(world: World):
    child = world.start("""
        made = tcp()
        made.set_inheritable(True)
        program = f"import os; os.write(1, b'{port(made)}\\\\n'); os.read(0, 1)"
        with open("/proc/self/comm", "w") as file:
            file.write("a-rather-long-name")
        keep = "import os, sys; open('/proc/self/comm', 'w').write('a-rather-long-name'); " + program
        os.execv(sys.executable, ["/opt/a-rather-long-name", "-I", "-S", "-c", keep])
    """)
    [listener] = portrange.who_listens(child.hear())
    assert listener.process == "a-rather-long-name"


def test_process_whose_main_thread_ended_is_an_owner(world: World):
    # The thread group leader is a zombie without descriptors; only its threads list them.
    child = world.start("""
        made = tcp()
        outlive_main_thread(lambda: say(port(made)))
    """)
    [listener] = portrange.who_listens(child.hear())
    assert pids(listener) == [child.pid]


def test_zombie_is_not_an_owner(world: World):
    child = world.start("""
        made = tcp()
        workers = [fork(lambda: None)]
        while ") Z " not in open(f"/proc/{workers[0]}/stat").read():
            pass
        say(port(made))
        wait()
    """)
    [listener] = portrange.who_listens(child.hear(), exhaustive=True)
    assert pids(listener) == [child.pid]


@pytest.mark.usefixtures("namespaces", "network_of_process_1")
def test_another_procfs_mount_returns_the_same_listeners(world: World, tmp_path: object):
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
    # User names belong to the machine of that procfs and are unknown here.
    for row in same:
        row["user"] = None
        for owner in row["owners"]:
            owner["user"] = str(row["uid"])
    assert rows == same


@pytest.mark.usefixtures("namespaces", "network_of_process_1")
def test_another_procfs_uses_the_network_of_its_process_1(world: World, tmp_path: object):
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
        for queried in (portrange.Host(), host):
            say([[owner.pid for owner in listener.owners] for listener in portrange.who_listens(number, host=queried)])
        say(portrange.ephemeral_range(host=host).to_dict())
        wait()
        """,
        tmp_path,
        port,
    )
    assert monitor.hear() == [[monitor.pid]]
    assert monitor.hear() == [[listener.pid]]
    ephemeral = monitor.hear()
    assert (ephemeral["first"], ephemeral["last"]) != (40000, 40009)
    # Some sandboxes deny even root access to the namespaces of process 1.
    entered = os.access("/proc/1/ns/net", os.R_OK)
    assert ephemeral["assumed"] is not entered
    assert ephemeral["source"] == (f"{tmp_path}/sys/net/ipv4/ip_local_port_range" if entered else "documented default")


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("written", ["/proc/", "/proc//"])
def test_proc_path_with_trailing_slashes_uses_the_own_network(world: World, written: str):
    own, found = world.ask(
        """
        import portrange
        new_network()
        made = tcp()
        found = portrange.who_listens(port(made), host=portrange.Host(sys.argv[1]))
        say([os.getpid(), [[owner.pid for owner in listener.owners] for listener in found]])
        """,
        written,
    )
    assert found == [[own]]


def test_workers_that_share_a_port_are_one_row_and_one_line(world: World):
    child = world.start("""
        first = tcp(reuse_port=True)
        number = port(first)
        made = [tcp("127.0.0.1", number, reuse_port=True) for _ in range(15)]
        def work():
            for inherited in (first, *made):
                inherited.close()
            made[:] = [tcp("127.0.0.1", number, reuse_port=True) for _ in range(16)]
            say(number)
            wait()
        fork(work)
        wait()
    """)
    port = child.hear()
    found = portrange.who_listens(port)
    assert len(found) == len(found.to_dicts()) == 32
    _, row = str(found).splitlines()
    owners = sorted({(owner.pid, owner.name) for listener in found for owner in listener.owners})
    assert len(owners) == 2
    [(oldest, name), _] = owners
    assert f" {port}  127.0.0.1  {name} {oldest} +1" in row
    line, *commands = listener_lines(found)
    assert f"tcp  127.0.0.1  {name}: parent {oldest}, 1 worker" in line
    assert len(commands) == 1


@pytest.mark.usefixtures("sock_diag")
def test_full_accept_queue_is_on_the_page(world: World):
    child = world.start("""
        server = socket.create_server(("127.0.0.1", 0), backlog=1)
        say(port(server))
        hear()
        accepted = [server.accept() for _ in range(2)]
        say(0)
        wait()
    """)
    port = child.hear()
    [idle] = portrange.who_listens(port)
    assert (idle.backlog, idle.queued) == (1, 0)
    assert not any("accept queue" in line for line in listener_lines(portrange.who_listens(port)))
    # The kernel drops connections only once the queue is longer than its limit.
    clients = world.start(
        "made = [socket.create_connection(('127.0.0.1', int(sys.argv[1]))) for _ in range(2)]; say(0); wait()", port
    )
    clients.hear()
    found = portrange.who_listens(port)
    assert [(listener.backlog, listener.queued) for listener in found] == [(1, 2)]
    line = "  accept queue full: 2 connections wait to be accepted (backlog 1), new ones are dropped"
    assert line in listener_lines(found)
    assert found.to_dicts()[0]["queued"] == 2
    child.send("accept")
    child.hear()
    assert [listener.queued for listener in portrange.who_listens(port)] == [0]


def test_sockets_without_an_accept_queue_have_no_backlog(world: World):
    child = world.start("made = udp(); say(port(made)); wait()")
    [listener] = portrange.who_listens(child.hear())
    assert (listener.backlog, listener.queued) == (None, None)


def test_stopped_owner_is_on_the_page(world: World):
    child = world.start("made = tcp(); say(port(made)); wait()")
    port = child.hear()
    [running] = portrange.who_listens(port)[0].owners
    assert running.stopped is False
    os.kill(child.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED)
    found = portrange.who_listens(port)
    assert found[0].owners == (replace(running, stopped=True),)
    line = f"  stopped: {running} will not respond until continued (kill -CONT {child.pid})"
    assert line in listener_lines(found)
    os.kill(child.pid, signal.SIGCONT)
    os.waitid(os.P_PID, child.pid, os.WCONTINUED)
    assert not any("stopped" in line for line in listener_lines(portrange.who_listens(port)))


def test_results_of_this_machine_are_sequences(world: World):
    child = world.start("made = tcp(); say(port(made)); wait()")
    port = child.hear()
    found = portrange.listeners()
    assert port in found
    assert [item.port for item in found.where(process=child.pid)] == [port]
    assert port in portrange.why_busy(port, address="127.0.0.1")
