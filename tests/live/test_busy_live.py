"""why_busy() compared with the result of a plain bind()."""

from __future__ import annotations

import shutil

import pytest
from live.world import World

import portrange
from portrange._render.text import visible


def kinds(obstacles: tuple[portrange.Obstacle, ...]) -> list[str]:
    return [obstacle.kind for obstacle in obstacles]


def owner_pids(obstacle: portrange.Obstacle) -> list[int]:
    assert obstacle.socket is not None
    return [owner.pid for owner in obstacle.socket.owners]


def obstacles_after_fin(port: int) -> tuple[portrange.Obstacle, ...]:
    """Return the obstacles once the peers have acknowledged each FIN, which they may delay."""
    while True:
        found = portrange.why_busy(port, address="127.0.0.1")
        if not any(obstacle.socket is not None and obstacle.socket.state == "fin-wait-1" for obstacle in found):
            return found


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_why_busy_listener_names_its_process(world: World, kind: str):
    child = world.start(f"made = {kind}(); say(port(made)); wait()")
    port = child.hear()
    [obstacle] = portrange.why_busy(port, protocol=kind, address="127.0.0.1")
    assert (obstacle.kind, obstacle.blocks, owner_pids(obstacle)) == ("listener", True, [child.pid])
    assert str(child.pid) in obstacle.detail
    assert kinds(portrange.why_busy(port, protocol=kind)) == ["listener"]


def test_why_busy_counts_listeners_sharing_a_port(world: World):
    child = world.start("""
        first = tcp(reuse_port=True)
        made = [first, *(tcp("127.0.0.1", port(first), reuse_port=True) for _ in range(2))]
        say(port(first))
        wait()
    """)
    port = child.hear()
    [obstacle] = portrange.why_busy(port, address="127.0.0.1")
    assert (obstacle.kind, obstacle.count, owner_pids(obstacle)) == ("listener", 3, [child.pid])
    assert len(portrange.who_listens(port)) == 3


def test_tcp_listener_leaves_udp_port_free(world: World):
    child = world.start("made = tcp(); say(port(made)); wait()")
    assert not portrange.why_busy(child.hear(), protocol="udp")


@pytest.mark.usefixtures("bound_inactive", "sock_diag")
def test_why_busy_bound_socket_names_its_process(world: World):
    child = world.start("made = bound(); say(port(made)); wait()")
    port = child.hear()
    assert not portrange.who_listens(port)
    [obstacle] = portrange.why_busy(port, address="127.0.0.1")
    assert (obstacle.kind, obstacle.blocks, owner_pids(obstacle)) == ("bound", True, [child.pid])


def test_why_busy_client_source_port_names_its_process(world: World):
    server = world.start("made = tcp(); say(port(made)); taken = made.accept(); wait()")
    port = server.hear()
    client = world.start(
        "made = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); say(port(made)); wait()", port
    )
    [obstacle] = portrange.why_busy(client.hear(), address="127.0.0.1")
    assert (obstacle.kind, owner_pids(obstacle)) == ("connection", [client.pid])
    assert obstacle.socket is not None
    assert (obstacle.socket.remote_address, obstacle.socket.remote_port) == ("127.0.0.1", port)


def test_accepted_connections_keep_port_busy_after_listener_closes(world: World):
    child = world.start("""
        server = tcp()
        number = port(server)
        clients = [socket.create_connection(server.getsockname()) for _ in range(3)]
        accepted = [server.accept()[0] for _ in clients]
        server.close()
        say(number)
        wait()
    """)
    [obstacle] = portrange.why_busy(child.hear(), address="127.0.0.1")
    assert (obstacle.kind, obstacle.count, owner_pids(obstacle)) == ("connection", 3, [child.pid])


def test_connections_to_a_listener_advise_stopping_the_listener(world: World):
    child = world.start("""
        server = tcp()
        clients = [socket.create_connection(server.getsockname()) for _ in range(3)]
        say(port(server))
        wait()
    """)
    listener, connections = portrange.why_busy(child.hear(), address="127.0.0.1")
    assert (listener.kind, connections.kind, connections.count) == ("listener", "connection", 3)
    assert connections.detail.endswith("made to the listener; stop it or use another port")


def test_connection_outside_ephemeral_range_does_not_mention_the_range(world: World):
    ephemeral = portrange.ephemeral_range()
    child = world.start(
        """
        server = tcp()
        client = bound(number=int(sys.argv[1]))
        client.connect(server.getsockname())
        say(port(client))
        wait()
        """,
        portrange.suggest_port("client with its own port"),
    )
    port = child.hear()
    assert port not in ephemeral
    [obstacle] = portrange.why_busy(port, address="127.0.0.1")
    assert (obstacle.kind, obstacle.detail.rpartition(": ")[2]) == (
        "connection",
        "stop it or use another port",
    )


@pytest.mark.usefixtures("namespaces")
def test_why_busy_raises_when_network_namespace_cannot_be_entered(world: World):
    child = world.start("""
        new_network()
        say(os.getpid())
        wait()
    """)
    message = world.ask(
        """
        import portrange
        from fakes import SystemHost
        become_nobody()
        try:
            portrange.why_busy(8181, host=SystemHost().in_network(f"/proc/{sys.argv[1]}"))
        except portrange.SourceError as error:
            say(str(error))
        """,
        child.hear(),
    )
    assert f"/proc/{child.pid}/ns/net: cannot enter this network namespace" in message
    assert "CAP_SYS_ADMIN" in message


@pytest.mark.parametrize("reuse_address", ["no", "yes"])
def test_time_wait_is_a_separate_obstacle_kind(world: World, reuse_address: str):
    child = world.start(
        """
        server = tcp(reuse_address=sys.argv[1] == "yes")
        number = port(server)
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        accepted.close()
        client.recv(1)
        client.close()
        server.close()
        say(number)
        hear()
        try:
            tcp("127.0.0.1", number, reuse_address=True)
            say(True)
        except OSError:
            say(False)
        """,
        reuse_address,
    )
    port = child.hear()
    [obstacle] = portrange.why_busy(port, address="127.0.0.1")
    assert (obstacle.kind, obstacle.blocks) == ("time-wait", True)
    assert obstacle.socket is not None
    assert (obstacle.socket.owners, obstacle.socket.hidden) == ((), False)
    assert (obstacle.socket.uid, obstacle.socket.user) == (None, None), "UID 0 of TIME-WAIT does not mean root"
    assert "set SO_REUSEADDR if the earlier socket had it" in obstacle.detail
    child.send("bind")
    assert child.hear() is (reuse_address == "yes")


@pytest.mark.parametrize("reuse_address", ["no", "yes"])
def test_connection_of_crashed_server_is_closing_and_allows_restart_with_so_reuseaddr(world: World, reuse_address: str):
    server = world.start(
        """
        server = tcp(reuse_address=sys.argv[1] == "yes")
        say(port(server))
        accepted = [server.accept()[0] for _ in range(2)]
        say(len(accepted))
        wait()
        """,
        reuse_address,
    )
    port = server.hear()
    client = world.start(
        "made = [socket.create_connection(('127.0.0.1', int(sys.argv[1]))) for _ in range(2)]; say(0); wait()", port
    )
    client.hear()
    assert server.hear() == 2
    [_, connections] = portrange.why_busy(port, address="127.0.0.1")
    assert (connections.kind, connections.count) == ("connection", 2)
    assert connections.socket is not None
    assert connections.socket.state == "established"
    assert "(ESTABLISHED)" in connections.detail

    world.end(server)  # by SIGKILL
    [closing] = obstacles_after_fin(port)
    later = portrange.why_busy(port, address="127.0.0.1")  # shows in a failure whether a connection is lost for good
    assert (closing.kind, closing.blocks, closing.count) == ("closing", True, 2), (closing, later)
    assert closing.socket is not None
    assert (closing.socket.state, closing.socket.owners, closing.socket.hidden) == ("fin-wait-2", (), False)
    assert "in state FIN-WAIT-2 after 2 connections with 127.0.0.1:" in closing.detail
    assert "set SO_REUSEADDR if the earlier socket had it: the server then starts at once" in closing.detail
    program = """
        try:
            tcp("127.0.0.1", int(sys.argv[1]), reuse_address=True)
            say(True)
        except OSError:
            say(False)
    """
    assert world.ask(program, port) is (reuse_address == "yes")


@pytest.mark.usefixtures("namespaces")
def test_connections_of_a_server_that_ends_during_the_search_are_closing(world: World):
    """They have inodes when the sockets are listed, and none when they are listed again for lack of owners."""
    found = world.ask("""
        from fakes import SystemHost
        import portrange

        new_network()
        new_processes()  # otherwise a process that cannot be inspected may own them
        ready, started = os.pipe()

        def serve():
            server = tcp()
            os.write(started, str(port(server)).encode())
            accepted = [server.accept()[0] for _ in range(2)]
            os.write(started, b"+")
            wait()

        pid = fork(serve)
        number = int(os.read(ready, 10))
        made = [socket.create_connection(("127.0.0.1", number)) for _ in range(2)]
        os.read(ready, 1)
        lists = iter(("ipv4", "ipv6"))

        class Host(SystemHost):
            "The server ends as soon as the sockets of both families are listed."

            def sock_diag(self, request):
                try:
                    yield from super().sock_diag(request)
                finally:
                    if next(lists, None) == "ipv6":
                        os.kill(pid, signal.SIGKILL)
                        os.waitpid(pid, 0)

        obstacles = portrange.why_busy(number, address="127.0.0.1", host=Host())
        say([[obstacle.kind, obstacle.count] for obstacle in obstacles])
    """)
    assert {kind for kind, _ in found} == {"closing"}
    assert sum(count for _, count in found) == 2


def test_half_closed_connection_with_an_owner_is_not_closing(world: World):
    server = world.start("""
        server = tcp()
        say(port(server))
        accepted, _ = server.accept()
        server.close()
        accepted.shutdown(socket.SHUT_WR)
        say(0)
        wait()
    """)
    port = server.hear()
    client = world.start("made = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); say(0); wait()", port)
    client.hear()
    server.hear()
    [obstacle] = obstacles_after_fin(port)
    assert (obstacle.kind, owner_pids(obstacle)) == ("connection", [server.pid])
    assert obstacle.socket is not None
    assert obstacle.socket.state == "fin-wait-2"


@pytest.mark.parametrize(
    ("program", "advice"),
    [
        ("conmon", "stop that container (podman ps lists it) or use another port"),
        ("pasta.avx2", "stop that container (podman ps lists it) or use another port"),
    ],
)
def test_advice_for_process_named_like_a_proxy_names_the_container(world: World, program: str, advice: str):
    child = world.start(
        """
        with open("/proc/self/comm", "w") as file:
            file.write(sys.argv[1])
        server = tcp()
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        say(port(server))
        wait()
        """,
        program,
    )
    listener, connection = portrange.why_busy(child.hear(), address="127.0.0.1")
    assert listener.detail.endswith(
        f" in use by {program} (pid {child.pid}): it publishes a container's port; {advice}"
    )
    assert connection.detail.endswith(f"made to the listener; it publishes a container's port; {advice}")


def test_connected_udp_socket_is_a_connection_obstacle(world: World):
    child = world.start("""
        server = udp()
        client = udp()
        client.connect(server.getsockname())
        say([port(server), port(client)])
        wait()
    """)
    server, client = child.hear()
    assert kinds(portrange.why_busy(client, protocol="udp")) == ["connection"]
    assert kinds(portrange.why_busy(server, protocol="udp")) == ["listener"]


def test_free_port_has_no_obstacle_and_can_be_bound(world: World):
    port = world.ask("say(port(tcp()))")
    for protocol in ("tcp", "udp"):
        assert not portrange.why_busy(port, protocol=protocol)
    assert world.ask("say(port(tcp('0.0.0.0', int(sys.argv[1]))))", port) == port


def test_why_busy_leaves_port_free(world: World):
    port = world.ask("say(port(tcp()))")
    for _ in range(3):
        assert not portrange.why_busy(port)


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
def test_address_of_another_machine_is_an_obstacle(ipv6: None, world: World, address: str):
    port = world.ask("say(port(tcp()))")
    [obstacle] = portrange.why_busy(port, address=address)
    assert (obstacle.kind, obstacle.blocks) == ("address", True)
    assert address in obstacle.detail


@pytest.mark.parametrize("written", ["0:0:0:0:0:0:0:1", "::0001", "0::1"])
def test_why_busy_accepts_any_ipv6_notation(ipv6: None, world: World, written: str):
    child = world.start("made = tcp('::1'); say(port(made)); wait()")
    [obstacle] = portrange.why_busy(child.hear(), address=written)
    assert (obstacle.kind, owner_pids(obstacle)) == ("listener", [child.pid])


def test_link_local_address_without_interface_is_an_address_obstacle(ipv6: None, world: World):
    port = world.ask("say(port(tcp()))")
    [obstacle] = portrange.why_busy(port, address="fe80::1")
    assert obstacle.kind == "address"
    assert "another user" not in obstacle.detail


@pytest.mark.parametrize(
    "zone", ["x" * 100, "v\udcff", "\ud800", "lo\0x", "é", "9" * 5000, "4294967297", "nosuch", "#1"]
)
def test_zone_of_unknown_interface_is_an_obstacle(ipv6: None, zone: str):
    [obstacle] = portrange.why_busy(1, address=f"fe80::1%{zone}")
    assert obstacle.kind == "address"
    assert obstacle.detail.isprintable()
    assert visible(f"fe80::1%{zone} cannot be bound") in obstacle.detail
    assert "as in fe80::1%eth0" in obstacle.detail


@pytest.mark.parametrize(
    ("address", "protocol", "advice"),
    [
        (
            "2001:db8::1%e0",
            "tcp",
            "only link-local addresses (fe80::/10) have a network interface: remove %e0",
        ),
        ("::1%lo", "udp", "only link-local addresses (fe80::/10) have a network interface: remove %lo"),
        ("ff0e::1%lo", "udp", "remove %lo"),
        ("ff0e::1", "tcp", "it is a multicast address, which tcp does not support"),
        ("ff02::1", "udp", "needs the name of a network interface of this machine, as in ff02::1%eth0"),
        ("fe80::1", "tcp", "needs the name of a network interface of this machine, as in fe80::1%eth0"),
    ],
)
def test_address_obstacle_advice_matches_the_address(ipv6: None, address: str, protocol: str, advice: str):
    [obstacle] = portrange.why_busy(portrange.suggest_port("advice"), address=address, protocol=protocol)
    assert obstacle.kind == "address"
    assert advice in obstacle.detail
    assert ("link-local address needs" in obstacle.detail) is ("needs" in advice)


#: Helpers that add an IPv6 address to the loopback interface of a new network namespace and listen on it.
_ADDRESS = """
    import fcntl, portrange, struct, time
    new_network()
    with open("/proc/sys/net/ipv6/conf/lo/accept_dad", "w") as file:
        file.write("0")

    def add_address(text, index=1):
        # struct in6_ifreq { struct in6_addr; u32 prefixlen; int ifindex; }, by SIOCSIFADDR.
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as any_socket:
            fcntl.ioctl(any_socket, 0x8916, struct.pack("16sIi", socket.inet_pton(socket.AF_INET6, text), 64, index))

    def listening(*end):
        made = socket.socket(socket.AF_INET6)
        while True:
            try:
                made.bind(end)
                break
            except OSError:
                time.sleep(0.01)  # an address is tentative for a moment
        made.listen()
        return made
"""


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("written", ["::1.2.3.4", "::102:304", "0:0:0:0:0:0:102:304"])
def test_why_busy_accepts_any_ipv4_compatible_notation(ipv6: None, world: World, written: str):
    kinds = world.ask(
        _ADDRESS
        + """
    add_address("::1.2.3.4")
    made = listening("::1.2.3.4", 4711)
    say([[obstacle.kind for obstacle in portrange.why_busy(number, address=sys.argv[1])] for number in (4711, 4712)])
    """,
        written,
    )
    assert kinds == [["listener"], []]


@pytest.mark.usefixtures("namespaces")
def test_zone_accepts_interface_number_or_name(ipv6: None, world: World):
    if shutil.which("ip") is None:
        pytest.skip("ip (iproute2) is not installed")
    output = world.ask(
        _ADDRESS
        + """
    import subprocess
    try:
        for command in ("link add v0 type veth peer name w0", "link set v0 up", "link set w0 up"):
            subprocess.run(["ip", *command.split()], check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        say(error.stderr)
        wait()
    ends = {name: socket.if_nametoindex(name) for name in ("v0", "w0")}
    for index in ends.values():
        subprocess.run(
            ["ip", "address", "add", "fe80::9/64", "dev", socket.if_indextoname(index), "nodad"], check=True
        )
    made = [listening("fe80::9", 4711, 0, index) for index in ends.values()]
    made.append(listening("fe80::9", 4712, 0, ends["v0"]))
    answers = {}
    for name, index in ends.items():
        for zone in (name, str(index)):
            answers[zone] = [
                [obstacle.socket.interface for obstacle in portrange.why_busy(number, address=f"fe80::9%{zone}")]
                for number in (4711, 4712)
            ]
    say([ends, answers])
    """
    )
    if isinstance(output, str):
        pytest.skip(f"cannot create network links: {output}")
    ends, answers = output
    for name, index in ends.items():
        assert answers[name] == answers[str(index)] == [[name], ["v0"] if name == "v0" else []]


@pytest.mark.usefixtures("namespaces")
def test_link_local_listener_names_its_interface(world: World):
    found, pid = world.ask("""
        import fcntl, portrange, struct, time
        new_network()
        with open("/proc/sys/net/ipv6/conf/lo/accept_dad", "w") as file:
            file.write("0")
        # struct in6_ifreq { struct in6_addr; u32 prefixlen; int ifindex; }, by SIOCSIFADDR.
        address = socket.inet_pton(socket.AF_INET6, "fe80::7")
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as any_socket:
            fcntl.ioctl(any_socket, 0x8916, struct.pack("16sIi", address, 64, 1))
        made = socket.socket(socket.AF_INET6)
        while True:
            try:
                made.bind(("fe80::7", 4711, 0, 1))
                break
            except OSError:
                time.sleep(0.01)  # an address is tentative for a moment
        made.listen()
        ask = lambda number: [obstacle.to_dict() for obstacle in portrange.why_busy(number, address="fe80::7%lo")]
        say([[ask(4711), ask(4712)], os.getpid()])
    """)
    [obstacle], free = found
    assert free == []
    assert obstacle["kind"] == "listener"
    assert obstacle["socket"]["interface"] == "lo"
    assert [owner["pid"] for owner in obstacle["socket"]["owners"]] == [pid]


@pytest.mark.usefixtures("namespaces")
def test_reserved_port_is_reported_and_does_not_block(world: World):
    free, taken, works = world.ask("""
        import portrange
        new_network()
        with open("/proc/sys/net/ipv4/ip_local_reserved_ports", "w") as file:
            file.write("40000-40010")
        free = [[obstacle.kind, obstacle.blocks] for obstacle in portrange.why_busy(40005)]
        made = tcp("127.0.0.1", 40005)
        say([free, [[obstacle.kind, obstacle.blocks] for obstacle in portrange.why_busy(40005)], port(made) == 40005])
    """)
    assert free == [["reserved", False]]
    assert taken == [["listener", True], ["reserved", False]]
    assert works


@pytest.mark.usefixtures("namespaces")
def test_unprivileged_user_low_port_is_privileged(world: World):
    low, high, listened = world.ask("""
        import portrange
        new_network()
        made = tcp("127.0.0.1", 443)
        become_nobody()
        say([[[busy.kind, busy.blocks] for busy in portrange.why_busy(number)] for number in (80, 1024, 443)])
    """)
    assert low == [["privileged", True]]
    assert high == []
    assert listened == [["privileged", True], ["listener", True]]


@pytest.mark.usefixtures("namespaces", "several_users", "bound_inactive")
def test_unprivileged_user_sees_uid_of_blocking_socket(world: World):
    rows = world.ask("""
        import portrange
        new_network()
        made, other = tcp(), bound()
        become_nobody()
        say([[obstacle.to_dict() for obstacle in portrange.why_busy(port(taken))] for taken in (made, other)])
    """)
    assert [[obstacle["kind"] for obstacle in row] for row in rows] == [["listener"], ["bound"]]
    assert [row[0]["socket"]["uid"] for row in rows] == [0, 0]
    # The querying process owns the sockets itself and can see that.
    assert all(row[0]["socket"]["owners"] for row in rows)


@pytest.mark.usefixtures("namespaces")
def test_exhausted_ephemeral_range_is_not_a_listener(world: World):
    # Port 0 requests any ephemeral port; the only one is taken.
    obstacles, error = world.ask("""
        import portrange
        new_network()
        with open("/proc/sys/net/ipv4/ip_local_port_range", "w") as file:
            file.write("40000 40000")
        before = portrange.why_busy(0)
        made, elsewhere = tcp("0.0.0.0", 40000), tcp("0.0.0.0", 50000)
        try:
            bound("0.0.0.0").close()
            error = None
        except OSError as failure:
            error = failure.errno
        say([[[busy.kind for busy in before], [busy.to_dict() for busy in portrange.why_busy(0)]], error])
    """)
    before, after = obstacles
    assert error is not None
    assert before == []
    assert after
    assert all(obstacle["blocks"] for obstacle in after)
    assert 50000 not in [obstacle["socket"]["port"] for obstacle in after if obstacle["socket"]]


#: Every way to occupy an address; each returns a socket or raises OSError where it does not apply.
MATRIX = """
    import itertools, portrange, random, time
    new_network()
    new_processes()  # no other processes to search
    ADDRESSES = ["127.0.0.1", "127.0.0.2", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1", "::ffff:0.0.0.0"]
    # why_busy() treats the last address as IPv4, but the kernel does not treat it as 0.0.0.0.
    WANTED = ADDRESSES[:-1]
    WAYS = [
        lambda kind, address, number: listening(kind, address, number, {}),
        lambda kind, address, number: listening(kind, address, number, {"v6only": True}),
        lambda kind, address, number: listening(kind, address, number, {"v6only": False}),
        lambda kind, address, number: listening(kind, address, number, {"reuse_address": True}),
        lambda kind, address, number: listening(kind, address, number, {"reuse_port": True}),
        lambda kind, address, number: listening(kind, address, number, {"device": "lo"}),
        lambda kind, address, number: bound(address, number, kind),
        lambda kind, address, number: bound(address, number, kind, reuse_address=True),
        lambda kind, address, number: connected(kind, address, number),
        lambda kind, address, number: accepted(kind, address, number)[0],
        lambda kind, address, number: ended(kind, address, number),
    ]
    KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
    numbers = itertools.count(2000)

    def listening(kind, address, number, options):
        if "v6only" in options and ":" not in address:
            raise OSError("IPv4")
        made = bound(address, number, kind, **options)
        if kind == socket.SOCK_STREAM:
            made.listen()
        return made

    def connected(kind, address, number):
        made = bound(address, number, kind)
        ends = {"::1": "::1", "::": "::1"}
        made.connect((ends.get(address, "127.0.0.1" if ":" not in address else "::ffff:127.0.0.1"), TARGETS[kind]))
        return made

    def accepted(kind, address, number):
        if kind != socket.SOCK_STREAM:
            raise OSError("no connections")
        server = bound(address, number)
        server.listen()
        end = {"::": "::1", "0.0.0.0": "127.0.0.1"}.get(address, address).removeprefix("::ffff:")
        clients.append(socket.create_connection((end, number)))
        taken, _ = server.accept()
        server.close()
        return taken, clients[-1]

    def ended(kind, address, number):
        # The end that closes first keeps the port in TIME_WAIT.
        first, second = accepted(kind, address, number)
        first.close()
        second.recv(1)
        second.close()
        return second

    def answers(name, number, wanted):
        obstacles = [busy for busy in portrange.why_busy(number, protocol=name, address=wanted) if busy.blocks]
        works = bind_works(wanted, number, KINDS[name])
        wrong = bool(obstacles) is works or any(obstacle.kind == "hidden" for obstacle in obstacles)
        return None if not wrong else [works, [str(obstacle) for obstacle in obstacles]]

    servers = [tcp("0.0.0.0", 1999), tcp("::1", 1999)]
    receivers = [udp("0.0.0.0", 1999), udp("::1", 1999)]
    clients = []
    TARGETS = {socket.SOCK_STREAM: 1999, socket.SOCK_DGRAM: 1999}
"""


@pytest.mark.usefixtures("namespaces", "bound_inactive")
@pytest.mark.parametrize("name", ["tcp", "udp"])
def test_blocking_obstacle_exists_exactly_when_bind_fails(world: World, name: str):
    checks, wrong = world.ask(
        MATRIX
        + """
    checks, wrong = 0, []
    name = sys.argv[1]
    for way, address in itertools.product(range(len(WAYS)), ADDRESSES):
        number = next(numbers)
        try:
            taken = WAYS[way](KINDS[name], address, number)
        except OSError:
            continue
        for wanted in WANTED:
            checks += 1
            answer = answers(name, number, wanted)
            if answer:
                wrong.append([way, address, wanted, *answer])
        taken.close()
    say([checks, wrong])
    """,
        name,
    )
    assert checks > 250
    assert wrong == []


@pytest.mark.usefixtures("namespaces", "bound_inactive")
def test_blocking_obstacle_exists_exactly_when_bind_fails_with_several_sockets(world: World):
    checks, wrong = world.ask(
        MATRIX
        + """
    checks, wrong = 0, []
    chosen = random.Random(60860)
    for _ in range(60):
        name, number = chosen.choice(["tcp", "udp"]), next(numbers)
        taken, recipe = [], []
        for _ in range(3):
            way, address = chosen.randrange(len(WAYS)), chosen.choice(ADDRESSES)
            try:
                taken.append(WAYS[way](KINDS[name], address, number))
                recipe.append([way, address])
            except OSError:
                continue
        for wanted in WANTED:
            checks += 1
            answer = answers(name, number, wanted)
            if answer:
                wrong.append([recipe, wanted, *answer])
        for made in taken:
            made.close()
    say([checks, wrong])
    """
    )
    assert checks > 250
    assert wrong == []


@pytest.mark.usefixtures("namespaces")
def test_why_busy_follows_bindv6only(world: World):
    # bindv6only decides whether "::" includes IPv4 (ip-sysctl.rst).
    assert world.ask("""
        import portrange
        new_network()
        made = tcp("127.0.0.1", 4711)
        answers = []
        for value in "01":
            with open("/proc/sys/net/ipv6/bindv6only", "w") as file:
                file.write(value)
            obstacles = portrange.why_busy(4711, address="::")
            answers.append([[obstacle.kind for obstacle in obstacles], bind_works("::", 4711)])
        say(answers)
    """) == [[["listener"], False], [[], True]]


def test_workers_that_share_a_port_are_one_obstacle_that_names_their_parent(world: World):
    child = world.start("""
        first = tcp(reuse_port=True)
        number = port(first)
        def work():
            first.close()
            own = tcp("127.0.0.1", number, reuse_port=True)
            say(number)
            wait()
        for _ in range(3):
            fork(work)
        wait()
    """)
    [port] = {child.hear() for _ in range(3)}
    [obstacle] = portrange.why_busy(port, address="127.0.0.1")
    assert obstacle.count == 4
    assert len(obstacle.socket.owners) == 4
    assert f" (parent {child.pid}, 3 workers): stop pid {child.pid} or use another port" in obstacle.detail
