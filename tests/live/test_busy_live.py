"""Why a port cannot be bound, held against the kernel's own answer to a plain bind."""

from __future__ import annotations

import shutil

import pytest
from live.world import World

import portrange
from portrange._render.text import visible


def kinds(obstacles: tuple[portrange.Obstacle, ...]) -> list[str]:
    return [one.kind for one in obstacles]


def holders(obstacle: portrange.Obstacle) -> list[int]:
    assert obstacle.socket is not None
    return [owner.pid for owner in obstacle.socket.owners]


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_a_listener_is_named_with_its_process(world: World, kind: str):
    child = world.start(f"made = {kind}(); say(port(made)); wait()")
    port = child.hear()
    [one] = portrange.why_busy(port, protocol=kind, address="127.0.0.1")
    assert (one.kind, one.blocks, holders(one)) == ("listener", True, [child.pid])
    assert str(child.pid) in one.detail
    assert kinds(portrange.why_busy(port, protocol=kind)) == ["listener"]


def test_listeners_that_share_a_port_are_counted(world: World):
    child = world.start("""
        first = tcp(reuse_port=True)
        made = [first, *(tcp("127.0.0.1", port(first), reuse_port=True) for _ in range(2))]
        say(port(first))
        wait()
    """)
    port = child.hear()
    [one] = portrange.why_busy(port, address="127.0.0.1")
    assert (one.kind, one.count, holders(one)) == ("listener", 3, [child.pid])
    assert len(portrange.who_listens(port)) == 3


def test_a_port_of_one_transport_is_free_for_the_other(world: World):
    child = world.start("made = tcp(); say(port(made)); wait()")
    assert portrange.why_busy(child.hear(), protocol="udp") == ()


@pytest.mark.usefixtures("bound_inactive", "sock_diag")
def test_a_socket_that_is_bound_and_does_not_listen_is_named_with_its_process(world: World):
    child = world.start("made = bound(); say(port(made)); wait()")
    port = child.hear()
    assert not portrange.who_listens(port)
    [one] = portrange.why_busy(port, address="127.0.0.1")
    assert (one.kind, one.blocks, holders(one)) == ("bound", True, [child.pid])


def test_the_source_port_of_a_client_is_named_with_its_process(world: World):
    server = world.start("made = tcp(); say(port(made)); taken = made.accept(); wait()")
    port = server.hear()
    client = world.start(
        "made = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); say(port(made)); wait()", port
    )
    [one] = portrange.why_busy(client.hear(), address="127.0.0.1")
    assert (one.kind, holders(one)) == ("connection", [client.pid])
    assert one.socket is not None
    assert (one.socket.remote_address, one.socket.remote_port) == ("127.0.0.1", port)


def test_accepted_connections_keep_the_port_after_their_listener_is_closed(world: World):
    child = world.start("""
        server = tcp()
        number = port(server)
        clients = [socket.create_connection(server.getsockname()) for _ in range(3)]
        accepted = [server.accept()[0] for _ in clients]
        server.close()
        say(number)
        wait()
    """)
    [one] = portrange.why_busy(child.hear(), address="127.0.0.1")
    assert (one.kind, one.count, holders(one)) == ("connection", 3, [child.pid])


def test_connections_to_a_listener_are_told_to_be_made_to_it(world: World):
    child = world.start("""
        server = tcp()
        clients = [socket.create_connection(server.getsockname()) for _ in range(3)]
        say(port(server))
        wait()
    """)
    listener, connections = portrange.why_busy(child.hear(), address="127.0.0.1")
    assert (listener.kind, connections.kind, connections.count) == ("listener", "connection", 3)
    assert connections.detail.endswith("made to the program that listens: stop that, or take another port")


def test_a_connection_outside_of_the_pool_does_not_speak_of_the_pool(world: World):
    pool = portrange.ephemeral_range()
    child = world.start(
        """
        server = tcp()
        client = bound(number=int(sys.argv[1]))
        client.connect(server.getsockname())
        say(port(client))
        wait()
        """,
        portrange.suggest_port("a client with a port of its own"),
    )
    port = child.hear()
    assert port not in pool
    [one] = portrange.why_busy(port, address="127.0.0.1")
    assert (one.kind, one.detail.rpartition("; ")[2]) == ("connection", "stop that program or take another port")


@pytest.mark.usefixtures("namespaces")
def test_a_network_that_may_not_be_entered_is_not_a_refused_port(world: World):
    child = world.start("""
        new_network()
        say(os.getpid())
        wait()
    """)
    told = world.ask(
        """
        import portrange
        become_nobody()
        try:
            portrange.why_busy(8181, host=portrange.Host().in_network(f"/proc/{sys.argv[1]}"))
        except portrange.SourceError as error:
            say(str(error))
        """,
        child.hear(),
    )
    assert f"/proc/{child.pid}/ns/net: this network namespace cannot be entered" in told
    assert "CAP_SYS_ADMIN" in told


@pytest.mark.parametrize("reuse_address", ["no", "yes"])
def test_what_the_kernel_keeps_after_a_connection_is_told_apart(world: World, reuse_address: str):
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
    [one] = portrange.why_busy(port, address="127.0.0.1")
    assert (one.kind, one.blocks) == ("time-wait", True)
    assert one.socket is not None
    assert (one.socket.owners, one.socket.hidden) == ((), False)
    assert (one.socket.uid, one.socket.user) == (None, None), "the kernel writes 0 there, which is not root"
    assert "set SO_REUSEADDR if the earlier socket had it" in one.detail
    child.tell("try it")
    assert child.hear() is (reuse_address == "yes")


def test_a_connected_udp_socket_is_a_connection(world: World):
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


def test_a_free_port_has_no_obstacle_and_can_be_bound(world: World):
    port = world.ask("say(port(tcp()))")
    for protocol in ("tcp", "udp"):
        assert portrange.why_busy(port, protocol=protocol) == ()
    assert world.ask("say(port(tcp('0.0.0.0', int(sys.argv[1]))))", port) == port


def test_looking_takes_no_port_away(world: World):
    port = world.ask("say(port(tcp()))")
    for _ in range(3):
        assert portrange.why_busy(port) == ()


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
def test_an_address_of_another_machine_is_an_obstacle(ipv6: None, world: World, address: str):
    port = world.ask("say(port(tcp()))")
    [one] = portrange.why_busy(port, address=address)
    assert (one.kind, one.blocks) == ("address", True)
    assert address in one.detail


@pytest.mark.parametrize("written", ["0:0:0:0:0:0:0:1", "::0001", "0::1"])
def test_an_address_may_be_written_in_any_way(ipv6: None, world: World, written: str):
    child = world.start("made = tcp('::1'); say(port(made)); wait()")
    [one] = portrange.why_busy(child.hear(), address=written)
    assert (one.kind, holders(one)) == ("listener", [child.pid])


def test_an_address_that_needs_an_interface_is_not_called_busy(ipv6: None, world: World):
    port = world.ask("say(port(tcp()))")
    [one] = portrange.why_busy(port, address="fe80::1")
    assert one.kind == "address"
    assert "another user" not in one.detail


@pytest.mark.parametrize(
    "zone", ["x" * 100, "v\udcff", "\ud800", "lo\0x", "é", "9" * 5000, "4294967297", "nosuch", "#1"]
)
def test_a_zone_that_names_no_interface_is_an_obstacle(ipv6: None, zone: str):
    [one] = portrange.why_busy(1, address=f"fe80::1%{zone}")
    assert one.kind == "address"
    assert one.detail.isprintable()
    assert visible(f"fe80::1%{zone} cannot be bound") in one.detail
    assert "as in fe80::1%eth0" in one.detail


@pytest.mark.parametrize(
    ("address", "protocol", "advice"),
    [
        (
            "2001:db8::1%e0",
            "tcp",
            "only a link-local address (fe80::/10) is tied to a network interface: leave out %e0",
        ),
        ("::1%lo", "udp", "only a link-local address (fe80::/10) is tied to a network interface: leave out %lo"),
        ("ff0e::1%lo", "udp", "leave out %lo"),
        ("ff0e::1", "tcp", "it stands for a group of machines, which tcp does not know"),
        ("ff02::1", "udp", "needs the name of a network interface of this machine, as in ff02::1%eth0"),
        ("fe80::1", "tcp", "needs the name of a network interface of this machine, as in fe80::1%eth0"),
    ],
)
def test_the_advice_fits_the_address(ipv6: None, address: str, protocol: str, advice: str):
    [one] = portrange.why_busy(1, address=address, protocol=protocol)
    assert one.kind == "address"
    assert advice in one.detail
    assert ("link-local address needs" in one.detail) is ("needs" in advice)


#: What gives the loopback interface of a network of one's own another address; call it with a packed one.
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
def test_an_ipv4_compatible_address_is_the_same_however_it_is_written(ipv6: None, world: World, written: str):
    kinds = world.ask(
        _ADDRESS
        + """
    add_address("::1.2.3.4")
    made = listening("::1.2.3.4", 4711)
    say([[one.kind for one in portrange.why_busy(number, address=sys.argv[1])] for number in (4711, 4712)])
    """,
        written,
    )
    assert kinds == [["listener"], []]


@pytest.mark.usefixtures("namespaces")
def test_the_number_of_an_interface_is_as_good_as_its_name(ipv6: None, world: World):
    if shutil.which("ip") is None:
        pytest.skip("no program ip to make links with")
    said = world.ask(
        _ADDRESS
        + """
    import subprocess
    try:
        for words in ("link add v0 type veth peer name w0", "link set v0 up", "link set w0 up"):
            subprocess.run(["ip", *words.split()], check=True, capture_output=True, text=True)
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
                [one.socket.interface for one in portrange.why_busy(number, address=f"fe80::9%{zone}")]
                for number in (4711, 4712)
            ]
    say([ends, answers])
    """
    )
    if isinstance(said, str):
        pytest.skip(f"no links can be made: {said}")
    ends, answers = said
    for name, index in ends.items():
        assert answers[name] == answers[str(index)] == [[name], ["v0"] if name == "v0" else []]


@pytest.mark.usefixtures("namespaces")
def test_a_link_local_address_names_its_interface(world: World):
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
        ask = lambda number: [one.to_dict() for one in portrange.why_busy(number, address="fe80::7%lo")]
        say([[ask(4711), ask(4712)], os.getpid()])
    """)
    [one], free = found
    assert free == []
    assert one["kind"] == "listener"
    assert one["socket"]["interface"] == "lo"
    assert [owner["pid"] for owner in one["socket"]["owners"]] == [pid]


@pytest.mark.usefixtures("namespaces")
def test_a_reserved_port_is_worth_knowing_and_can_be_bound(world: World):
    free, taken, works = world.ask("""
        import portrange
        new_network()
        with open("/proc/sys/net/ipv4/ip_local_reserved_ports", "w") as file:
            file.write("40000-40010")
        free = [[one.kind, one.blocks] for one in portrange.why_busy(40005)]
        made = tcp("127.0.0.1", 40005)
        say([free, [[one.kind, one.blocks] for one in portrange.why_busy(40005)], port(made) == 40005])
    """)
    assert free == [["reserved", False]]
    assert taken == [["listener", True], ["reserved", False]]
    assert works


@pytest.mark.usefixtures("namespaces")
def test_an_ordinary_user_lacks_the_privilege_for_low_ports(world: World):
    low, high, listened = world.ask("""
        import portrange
        new_network()
        made = tcp("127.0.0.1", 443)
        become_nobody()
        say([[[one.kind, one.blocks] for one in portrange.why_busy(number)] for number in (80, 1024, 443)])
    """)
    assert low == [["privileged", True]]
    assert high == []
    assert listened == [["privileged", True], ["listener", True]]


@pytest.mark.usefixtures("namespaces", "bound_inactive")
def test_an_ordinary_user_learns_whose_socket_is_in_the_way(world: World):
    rows = world.ask("""
        import portrange
        new_network()
        made, other = tcp(), bound()
        become_nobody()
        say([[one.to_dict() for one in portrange.why_busy(port(one))] for one in (made, other)])
    """)
    assert [[one["kind"] for one in row] for row in rows] == [["listener"], ["bound"]]
    assert [row[0]["socket"]["uid"] for row in rows] == [0, 0]
    # The asking process holds the sockets itself, and sees that.
    assert all(row[0]["socket"]["owners"] for row in rows)


@pytest.mark.usefixtures("namespaces")
def test_an_empty_pool_is_no_listener(world: World):
    # Port 0 asks for any port; the one that there is, is taken.
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
        say([[[one.kind for one in before], [one.to_dict() for one in portrange.why_busy(0)]], error])
    """)
    before, after = obstacles
    assert error is not None
    assert before == []
    assert after
    assert all(one["blocks"] for one in after)
    assert 50000 not in [one["socket"]["port"] for one in after if one["socket"]]


#: Every way to occupy an address; each makes a socket, or raises OSError where it does not apply.
MATRIX = """
    import itertools, portrange, random, time
    new_network()
    new_processes()  # there is nobody else to look into
    ADDRESSES = ["127.0.0.1", "127.0.0.2", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1", "::ffff:0.0.0.0"]
    # Asked for as IPv4; to the kernel the last one is not quite 0.0.0.0.
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
        # Who closes first keeps the port in TIME_WAIT.
        first, second = accepted(kind, address, number)
        first.close()
        second.recv(1)
        second.close()
        return second

    def answers(name, number, wanted):
        obstacles = [one for one in portrange.why_busy(number, protocol=name, address=wanted) if one.blocks]
        works = bind_works(wanted, number, KINDS[name])
        wrong = bool(obstacles) is works or any(one.kind == "hidden" for one in obstacles)
        return None if not wrong else [works, [str(one) for one in obstacles]]

    servers = [tcp("0.0.0.0", 1999), tcp("::1", 1999)]
    receivers = [udp("0.0.0.0", 1999), udp("::1", 1999)]
    clients = []
    TARGETS = {socket.SOCK_STREAM: 1999, socket.SOCK_DGRAM: 1999}
"""


@pytest.mark.usefixtures("namespaces", "bound_inactive")
@pytest.mark.parametrize("name", ["tcp", "udp"])
def test_a_blocking_obstacle_stands_exactly_where_a_plain_bind_fails(world: World, name: str):
    asked, wrong = world.ask(
        MATRIX
        + """
    asked, wrong = 0, []
    name = sys.argv[1]
    for way, address in itertools.product(range(len(WAYS)), ADDRESSES):
        number = next(numbers)
        try:
            taken = WAYS[way](KINDS[name], address, number)
        except OSError:
            continue
        for wanted in WANTED:
            asked += 1
            answer = answers(name, number, wanted)
            if answer:
                wrong.append([way, address, wanted, *answer])
        taken.close()
    say([asked, wrong])
    """,
        name,
    )
    assert asked > 250
    assert wrong == []


@pytest.mark.usefixtures("namespaces", "bound_inactive")
def test_a_blocking_obstacle_stands_exactly_where_a_plain_bind_fails_among_several_sockets(world: World):
    asked, wrong = world.ask(
        MATRIX
        + """
    asked, wrong = 0, []
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
            asked += 1
            answer = answers(name, number, wanted)
            if answer:
                wrong.append([recipe, wanted, *answer])
        for one in taken:
            one.close()
    say([asked, wrong])
    """
    )
    assert asked > 250
    assert wrong == []


@pytest.mark.usefixtures("namespaces")
def test_where_ipv6_means_ipv6_only_the_answer_follows(world: World):
    # bindv6only changes what "::" stands for (ip-sysctl.rst).
    assert world.ask("""
        import portrange
        new_network()
        made = tcp("127.0.0.1", 4711)
        answers = []
        for value in "01":
            with open("/proc/sys/net/ipv6/bindv6only", "w") as file:
                file.write(value)
            obstacles = portrange.why_busy(4711, address="::")
            answers.append([[one.kind for one in obstacles], bind_works("::", 4711)])
        say(answers)
    """) == [[["listener"], False], [[], True]]
