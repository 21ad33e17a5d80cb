"""One test for each mistake known from other tools; docs/trust.md lists the mistakes and the tools.

The tests use real sockets, processes and settings where possible, and recorded machines otherwise.
"""

from __future__ import annotations

import errno
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import SystemHost
from live.cgroups import Cgroups
from live.world import World
from process_rows import Rows, listening
from recorded import RecordedHost

import portrange
from portrange import Host, classify, ephemeral_range, listeners, who_listens, why_busy
from portrange._backends.base import SocketQuery
from portrange._backends.portable import PortableBackend
from portrange._backends.select import backend_for
from portrange._frozen import replace
from portrange._questions import obstacles

#: Queries a listener of another user as an unprivileged user.
AS_NOBODY = """
    import portrange
    portrange.listeners()
    become_nobody()
    say(portrange.who_listens(int(sys.argv[1])).to_dicts())
"""
TIME_WAIT = """
    def time_wait(server):
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        accepted.close()
        client.recv(1)
        client.close()
"""


def pids(listener: portrange.Socket) -> list[int]:
    return [owner.pid for owner in listener.owners]


def kinds(found: tuple[portrange.Obstacle, ...]) -> list[str]:
    return [obstacle.kind for obstacle in found]


class Refused(SystemHost):
    """A host without NETLINK_SOCK_DIAG, which falls back to the procfs tables."""

    def sock_diag(self, request: bytes) -> Iterator[bytes]:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


# --- ephemeral range --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("namespaces")
def test_trap_01_ephemeral_range_is_that_of_the_kernel_instead_of_iana(world: World):
    program = """
        import portrange
        new_network()
        with open("/proc/sys/net/ipv4/ip_local_port_range", "w") as file:
            file.write("20000 20100")
        ephemeral = portrange.ephemeral_range()
        say([ephemeral.first, ephemeral.last, *(portrange.classify(port).ephemeral for port in (20050, 32768, 60860))])
    """
    assert world.ask(program) == [20000, 20100, True, False, False]
    assert classify(33333, host=RecordedHost("linux-6.18")).ephemeral is True
    assert classify(63105, host=RecordedHost("linux-6.18")).ephemeral is False


@pytest.mark.parametrize("name", ["linux-6.18-denied", "linux-5.10-android", "win32-10.0-wine"])
def test_trap_02_unreadable_ephemeral_range_is_marked_as_assumed(name: str):
    host = RecordedHost(name)
    assert (ephemeral_range(host=host).assumed, ephemeral_range(host=host).source) == (True, "documented default")
    info = classify(50000, host=host)
    assert info.ephemeral is None
    assert info.settings.incomplete


@pytest.mark.usefixtures("namespaces")
def test_trap_03_very_large_ephemeral_range_is_supported(world: World):
    program = """
        import portrange
        new_network()
        with open("/proc/sys/net/ipv4/ip_local_port_range", "w") as file:
            file.write("1024 65535")
        try:
            suggested = portrange.suggest_port("anything")
        except portrange.PortrangeError as error:
            suggested = str(error)
        ephemeral = portrange.ephemeral_range()
        say([len(ephemeral), portrange.classify(8080).ephemeral, portrange.classify(1023).ephemeral, suggested])
    """
    size, inside, outside, suggested = world.ask(program)
    assert (size, inside, outside) == (65535 - 1024 + 1, True, False)
    # No candidate is left, so suggest_port() raises.
    assert "no port is left" in suggested


# --- listeners --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("namespaces", "sock_diag")
def test_trap_04_other_sockets_on_the_port_are_not_listeners(world: World):
    program = (
        TIME_WAIT
        + """
    import portrange
    new_network()
    other, server = tcp("127.0.0.1", 4000), tcp("127.0.0.1", 5000, reuse_address=True)
    time_wait(server)
    number = port(server)
    def connect():
        server.close()
        client = bound("127.0.0.2", number, reuse_address=True)  # its source port is the listener's
        client.connect(other.getsockname())
        say(0)
        wait()
    fork(connect)
    hold = other.accept()
    say([portrange.who_listens(number).to_dicts(), [obstacle.kind for obstacle in portrange.why_busy(number)]])
    wait()
    """
    )
    child = world.start(program)
    child.hear()
    found, busy = child.hear()
    assert [(row["address"], [owner["pid"] for owner in row["owners"]]) for row in found] == [
        ("127.0.0.1", [child.pid])
    ]
    assert sorted(set(busy)) == ["connection", "listener", "time-wait"]


@pytest.mark.usefixtures("namespaces", "sock_diag")
def test_trap_05_sockets_without_an_inode_are_distinct(world: World):
    program = (
        TIME_WAIT
        + """
    import portrange
    from portrange._backends.linux import sock_diag, sockets
    from portrange._host.system import System
    new_network()
    servers = [tcp("127.0.0.1", number, reuse_address=True) for number in (5001, 5002)]
    for server in servers * 2:
        time_wait(server)
    for server in servers:
        server.close()
    found = [obstacle for number in (5001, 5002) for obstacle in portrange.why_busy(number, address="127.0.0.1")]
    filters = [sock_diag.SocketFilter("tcp", sock_diag.ANY_STATE, number) for number in (5001, 5002)]
    records = [record for wanted in filters for record in sockets.matching(System(), wanted)]
    rows = [[busy.kind, busy.count, busy.socket.owners, busy.socket.port] for busy in found]
    say([rows, [record.inode for record in records]])
    """
    )
    found, inodes = world.ask(program)
    assert found == [["time-wait", 2, [], 5001], ["time-wait", 2, [], 5002]]
    assert inodes == [0, 0, 0, 0]


def test_trap_06_connected_udp_client_is_not_a_listener(world: World, sock_diag: None):
    child = world.start("""
        server, client = udp(), udp()
        client.connect(server.getsockname())
        say([port(server), port(client)])
        wait()
    """)
    server, client = child.hear()
    for host in (Host(), Refused(), Host(backend="portable")):
        assert [pids(listener) for listener in who_listens(server, protocol="udp", host=host)] == [[child.pid]]
        assert list(who_listens(client, protocol="udp", host=host)) == []
    assert kinds(why_busy(client, protocol="udp")) == ["connection"]


def test_trap_07_every_process_of_a_prefork_server_is_an_owner(world: World):
    child = world.start("made = tcp(); say([port(made), os.getpid(), *(fork(wait) for _ in range(3))]); wait()")
    port, *family = child.hear()
    for host in (Host(), Refused(), Host(backend="portable")):
        [listener] = who_listens(port, host=host)
        assert pids(listener) == family


@pytest.mark.usefixtures("root", "sock_diag")
def test_trap_08_listener_without_a_visible_owner_is_reported(world: World):
    child = world.start("""
        made = tcp()
        pair = socket.socketpair()
        socket.send_fds(pair[0], [b"x"], [made.fileno()])  # in transfer: no process owns it
        number = port(made)
        made.close()
        say(number)
        wait()
    """)
    port = child.hear()
    for host in (Host(), Refused(), Host(backend="portable")):
        found = who_listens(port, host=host)
        assert found
        assert [pids(listener) for listener in found] == [[]]
    foreign = world.start("made = tcp(); say(port(made)); wait()").hear()
    assert [row["port"] for row in world.ask(AS_NOBODY, foreign)] == [foreign]


@pytest.mark.usefixtures("root", "sock_diag")
def test_trap_09_hidden_owner_is_marked_without_an_exception(world: World):
    port = world.start("made = tcp(); say(port(made)); wait()").hear()
    [row] = world.ask(AS_NOBODY, port)
    assert (row["owners"], row["hidden"], row["uid"]) == ([], True, 0)
    # For root, nothing is hidden.
    assert [listener.hidden for listener in who_listens(port)] == [False]


@pytest.mark.usefixtures("namespaces", "sock_diag")
def test_trap_10_reasons_for_a_missing_owner_are_distinguished(world: World):
    program = (
        TIME_WAIT
        + """
    import portrange
    new_network()
    outside = tcp("127.0.0.1", 6001)
    server = tcp("127.0.0.1", 6002, reuse_address=True)
    time_wait(server)
    server.close()
    def within():
        new_processes()
        outside.close()
        [time_wait] = portrange.why_busy(6002, address="127.0.0.1")
        [listener] = portrange.who_listens(6001)
        say([time_wait.kind, time_wait.socket.hidden, time_wait.socket.owners, listener.hidden, listener.holder])
        wait()
    fork(within)
    wait()
    """
    )
    child = world.start(program)
    kind, hidden, owners, of_other_pids, text = child.hear()
    assert (kind, hidden, owners) == ("time-wait", False, [])
    assert of_other_pids is False
    assert "another PID namespace" in text
    # The third reason: a missing privilege.
    port = world.start("made = tcp(); say(port(made)); wait()").hear()
    [row] = world.ask(AS_NOBODY, port)
    assert row["hidden"] is True


def test_trap_11_socket_without_a_port_is_ignored(world: World):
    child = world.start("""
        unbound = [socket.socket(family, kind) for family in (socket.AF_INET, socket.AF_INET6)
                 for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)]
        made = udp()
        say(port(made))
        wait()
    """)
    port = child.hear()
    for host in (Host(), Refused(), Host(backend="portable")):
        found = listeners(host=host)
        assert all(listener.port for listener in found)
        assert [pids(listener) for listener in found.on(port)] == [[child.pid]]


@pytest.mark.usefixtures("sock_diag", "bound_inactive")
def test_trap_12_bound_socket_is_named_with_its_process(world: World):
    child = world.start("made = bound(); say(port(made)); wait()")
    port = child.hear()
    assert not who_listens(port)
    [obstacle] = why_busy(port, address="127.0.0.1")
    assert obstacle.kind == "bound"
    assert obstacle.socket is not None
    assert pids(obstacle.socket) == [child.pid]


# --- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("sock_diag", "ipv6", "bound_inactive")
def test_trap_13_wildcards_conflict_with_every_address_unless_v6only(world: World):
    child = world.start("""
        made = [tcp("0.0.0.0"), tcp("127.0.0.1"), tcp("::", v6only=False), tcp("::", v6only=True), tcp("::1")]
        say([port(listener) for listener in made])
        wait()
    """)
    any4, local4, both, only6, local6 = child.hear()
    for port in (any4, local4, both, only6, local6):
        assert [pids(listener) for listener in who_listens(port)] == [[child.pid]]
    meets = {
        port: [bool(why_busy(port, address=address)) for address in ("127.0.0.1", "0.0.0.0", "::1")]
        for port in (any4, local4, both, only6, local6)
    }
    assert meets == {
        any4: [True, True, False],
        local4: [True, True, False],
        both: [True, True, True],
        only6: [False, False, True],
        local6: [False, False, True],
    }
    assert [who_listens(port)[0].dual_stack for port in (both, only6, any4)] == [True, False, False]


@pytest.mark.usefixtures("sock_diag", "ipv6")
def test_trap_14_ipv4_mapped_address_is_reported_as_ipv4(world: World):
    child = world.start("made = [tcp('::ffff:127.0.0.1'), udp('::ffff:127.0.0.2')]; say([*map(port, made)]); wait()")
    for port, address in zip(child.hear(), ("127.0.0.1", "127.0.0.2"), strict=True):
        for host in (Host(), Refused(), Host(backend="portable")):
            [listener] = who_listens(port, host=host)
            assert (listener.family, listener.address, listener.endpoint) == ("ipv4", address, f"{address}:{port}")


class WithoutIPv6(Refused):
    """A host booted with ipv6.disable=1: no IPv6 tables and no IPv6 sockets."""

    def read(self, path: str) -> bytes:
        if path.endswith(("/tcp6", "/udp6")):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return super().read(path)

    def bind(self, protocol: str, family: str, address: str, port: int) -> None:
        if family == "ipv6":
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        super().bind(protocol, family, address, port)


def test_trap_15_machine_without_ipv6_returns_ipv4(world: World):
    child = world.start("made = tcp(); say(port(made)); wait()")
    port = child.hear()
    assert [pids(listener) for listener in who_listens(port, host=WithoutIPv6())] == [[child.pid]]
    assert kinds(why_busy(port, address="127.0.0.1", host=WithoutIPv6())) == ["listener"]
    free = world.ask("say(port(tcp()))")
    assert not why_busy(free, host=WithoutIPv6())


def test_trap_16_every_binding_of_a_port_is_a_separate_listener(world: World, ipv6: None, sock_diag: None):
    child = world.start("""
        made = tcp("127.0.0.1")
        others = [tcp("127.0.0.2", port(made)), tcp("::1", port(made)), udp("127.0.0.1", port(made))]
        say(port(made))
        wait()
    """)
    found = [(listener.protocol, listener.address) for listener in who_listens(child.hear())]
    assert found == [("tcp", "127.0.0.1"), ("tcp", "127.0.0.2"), ("tcp", "::1"), ("udp", "127.0.0.1")]


# --- the registry -----------------------------------------------------------------------------------------------------


def test_trap_17_primary_names_ranges_and_unnamed_rows_are_kept():
    http = classify(80)
    assert http.name == "http"
    assert [service.name for service in http.services] == ["http", "www", "www-http"]
    assert {classify(port).name for port in range(6000, 6064)} == {"x11"}
    assert classify(6064).name != "x11"
    private_mail = classify(24)
    assert private_mail.services == ()
    assert private_mail.assignment is portrange.Assignment.ASSIGNED
    assert any("private mail" in entry.description for entry in private_mail.unnamed)


def test_trap_18_registry_is_recent():
    assert portrange.REGISTRY_DATE >= "2026"
    # Assigned after 2017.
    for port in (4317, 4460, 5540, 10443, 11434):
        assert classify(port).services, port


def test_trap_19_unknown_transport_is_rejected():
    http = {service.name: service.protocols for service in classify(80).services}
    assert "sctp" in http["http"]
    assert "sctp" not in http["www"]
    for wrong in ("quic", "TCP", "sctp6", ""):
        for ask in (lambda wrong: who_listens(80, protocol=wrong), lambda wrong: why_busy(80, protocol=wrong)):
            with pytest.raises(ValueError, match=re.escape(repr(wrong))):
                ask(wrong)


@pytest.mark.usefixtures("namespaces")
def test_trap_20_names_do_not_come_from_etc_services(world: World):
    program = """
        import portrange
        new_mounts()
        if os.path.exists("/etc/services"):
            bind_mount("/dev/null", "/etc/services")
        try:
            system = socket.getservbyport(443)
        except OSError:
            system = None
        say([system, portrange.classify(443).name, [service.name for service in portrange.services("https")]])
    """
    assert world.ask(program) == [None, "https", ["https"]]


# --- processes --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("namespaces", "sock_diag")
def test_trap_21_reused_pid_is_another_process(world: World):
    program = """
        import portrange, time
        new_network()
        new_processes()
        host = portrange.Host()
        def serve(name):
            made = tcp("127.0.0.1", 7000, reuse_address=True)
            with open("/proc/self/comm", "w") as file:
                file.write(name)
            os.write(report, b"x")
            wait()
        owners_found = []
        for name in ("first", "second"):
            ready, report = os.pipe()
            with open("/proc/sys/kernel/ns_last_pid", "w") as file:
                file.write("400")
            pid = fork(lambda: serve(name))
            os.read(ready, 1)
            [listener] = portrange.who_listens(7000, host=host)
            owners_found.append([pid, *((owner.pid, owner.name, owner.started) for owner in listener.owners)])
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            time.sleep(0.05)  # several ticks of the clock that measures process starts
        say(owners_found)
    """
    [first, old], [second, new] = world.ask(program)
    assert first == second == old[0] == new[0]
    assert (old[1], new[1]) == ("first", "second")
    assert old[2] < new[2]


@pytest.mark.usefixtures("sock_diag")
@pytest.mark.parametrize("name", ["a b", "a) R 1 (b", '"quoted"', "fifteen-letters", ")", "((", "tab\tand\nline"])
def test_trap_22_process_name_with_special_characters_is_reported(world: World, name: str):
    child = world.start(
        """
        made = tcp()
        with open("/proc/self/comm", "w") as file:
            file.write(sys.argv[1])
        say(port(made))
        wait()
        """,
        name,
    )
    [listener] = who_listens(child.hear())
    assert (listener.process, pids(listener)) == (name, [child.pid])


@pytest.mark.parametrize("language", ["", "-de", "-es", "-fr", "-ja"])
def test_trap_23_translated_netsh_output_is_parsed(language: str):
    host, english = RecordedHost(f"win32-10.0{language}"), RecordedHost("win32-10.0")
    ephemeral = ephemeral_range(host=host)
    assert (ephemeral.first, ephemeral.last, ephemeral.assumed) == (49152, 65535, False)
    translated, expected = (classify(5357, host=queried_host) for queried_host in (host, english))
    assert (translated.excluded, translated.ephemeral) == (expected.excluded, expected.ephemeral) == (True, False)


class OfRelease(SystemHost):
    """This machine with another kernel release."""

    release = ""

    def read(self, path: str) -> bytes:
        return self.release.encode() if path.endswith("/osrelease") else super().read(path)


def test_trap_24_results_do_not_depend_on_kernel_versions_compared_as_text(world: World):
    child = world.start("made = tcp(); say(port(made)); wait()")
    port = child.hear()
    answers = set()
    for release in ("2.6.32", "3.6.0", "3.10.0-1160.el7", "4.19", "5.9", "5.10", "6.8", "6.18", "10.0.1"):
        host = OfRelease()
        host.release = release
        assert [pids(listener) for listener in who_listens(port, host=host)] == [[child.pid]]
        answers.add((str(ephemeral_range(host=host)), str(classify(50000, host=host)), str(why_busy(port, host=host))))
    assert len(answers) == 1
    package = Path(portrange.__file__).parent
    compared = re.compile(r"(release|version\b(?!_info)|uname).*[<>]=?|[<>]=?.*(release\b|uname)")
    found = [
        f"{path.name}: {line}"
        for path in package.rglob("*.py")
        if path.name not in {"table.py", "pcblist.py"}  # in pcblist.py, the release is an integer
        for line in path.read_text(encoding="utf-8").splitlines()
        if compared.search(line) and "->" not in line and "def " not in line
    ]
    assert found == []


class Replay(SystemHost):
    """A host that modifies the replies of the kernel; `requests` counts the requests."""

    def __init__(self, *changes: Any) -> None:
        super().__init__()
        self.changes = list(changes)
        self.requests = 0

    def sock_diag(self, request: bytes) -> Iterator[bytes]:  # type: ignore[override]  # also a generator
        self.requests += 1
        reply = super().sock_diag(request)
        change = self.changes.pop(0) if self.changes else None
        (sequence,) = struct.unpack_from("=8xI", request)
        yield from reply if change is None else change(reply, sequence)


def refuse(_: Iterator[bytes], sequence: int) -> Iterator[bytes]:
    yield struct.pack("=IHHIIi16x", 36, 2, 0, sequence, 0, -errno.EPERM)


def cut(reply: Iterator[bytes], _: int) -> Iterator[bytes]:
    yield next(iter(reply))[:-3]


def nothing(_: Iterator[bytes], __: int) -> Iterator[bytes]:
    yield from ()


def interrupt(reply: Iterator[bytes], _: int) -> Iterator[bytes]:
    first = bytearray(next(iter(reply)))
    struct.pack_into("=H", first, 6, 0x12)  # NLM_F_MULTI | NLM_F_DUMP_INTR
    yield bytes(first)
    yield from reply


def test_trap_25_netlink_error_or_broken_reply_is_not_an_empty_result(world: World, sock_diag: None):
    child = world.start("many = [tcp() for _ in range(200)]; say(port(many[-1])); wait()")
    port = child.hear()
    # The reply spans many datagrams, and the last socket is found, too.
    assert [pids(listener) for listener in listeners(protocol="tcp").on(port)] == [[child.pid]]
    # An error message: fall back to the procfs tables.
    assert [pids(listener) for listener in who_listens(port, protocol="tcp", host=Replay(refuse))] == [[child.pid]]
    # A reply that is truncated after or within a message.
    for broken in (cut, nothing):
        with pytest.raises(portrange.ParseError, match="NETLINK_SOCK_DIAG"):
            who_listens(port, protocol="tcp", host=Replay(broken))
    # An interrupted dump: retry a limited number of times, then fall back to the procfs tables.
    host = Replay(interrupt, interrupt)
    assert [pids(listener) for listener in who_listens(port, protocol="tcp", host=host)] == [[child.pid]]
    assert host.requests > 3
    host = Replay(*[interrupt] * 50)
    assert [pids(listener) for listener in who_listens(port, protocol="tcp", host=host)] == [[child.pid]]
    assert 1 < host.requests < 50


class Unreadable(SystemHost):
    """A host on which one process is unreadable and another one ends while it is read."""

    def __init__(self, refused: int, gone: int) -> None:
        super().__init__()
        self.refused, self.gone = refused, gone

    def find_links(self, directory: str, *arguments: Any) -> dict[str, str]:
        if directory.startswith(f"/proc/{self.refused}/"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), directory)
        if directory.startswith(f"/proc/{self.gone}/"):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), directory)
        return super().find_links(directory, *arguments)


@pytest.mark.usefixtures("root", "sock_diag")
def test_trap_26_unreadable_process_does_not_affect_other_results(world: World):
    children = [world.start("made = tcp(); say(port(made)); wait()") for _ in range(3)]
    ports = [child.hear() for child in children]
    host = Unreadable(children[0].pid, children[1].pid)
    found = [who_listens(port, host=host) for port in ports]
    assert [pids(listener) for answer in found for listener in answer] == [[], [], [children[2].pid]]
    assert [listener.hidden for answer in found for listener in answer] == [True, True, False]
    assert {port for port in ports if listeners(host=host).on(port).listeners} == set(ports)


# --- numbers ----------------------------------------------------------------------------------------------------------


def test_trap_27_bounds_of_every_range_are_correct():
    linux = RecordedHost("linux-6.18")
    bands = [classify(port, host=linux).band.value for port in (0, 1023, 1024, 49151, 49152, 65535)]
    assert bands == ["system", "system", "user", "user", "dynamic", "dynamic"]
    ephemeral = ephemeral_range(host=linux)
    assert [port in ephemeral for port in (32767, 32768, 60999, 61000)] == [False, True, True, False]
    assert [classify(port, host=linux).ephemeral for port in (32767, 32768, 60999, 61000)] == [False, True, True, False]
    assert [classify(port, host=linux).privileged for port in (0, 1, 1023, 1024)] == [False, True, True, False]
    assert len(ephemeral) == len(list(ephemeral)) == 60999 - 32768 + 1
    assert list(who_listens(0)) == []
    for ask in (classify, who_listens, why_busy):
        for wrong in (-1, 65536, 10**6):
            with pytest.raises(portrange.InvalidPortError):
                ask(wrong)
        for wrong in ("80", True, 80.0, None):
            with pytest.raises(TypeError):
                ask(wrong)  # type: ignore[arg-type]  # wrong types on purpose


@pytest.mark.usefixtures("namespaces", "sock_diag")
def test_trap_28_table_belongs_to_a_network_instead_of_a_process(world: World):
    serve = """
        if sys.argv[1] == "own":
            new_network()
        made = tcp("127.0.0.1", int(sys.argv[2]))
        say([port(made), os.readlink("/proc/self/ns/net")])
        for _ in range(3):
            fork(wait)
        say(0)
        wait()
    """
    own_child = world.start(serve, "shared", 0)
    port, name = own_child.hear()
    other_child = world.start(serve, "own", port)
    _, other = other_child.hear()
    for child in (own_child, other_child):
        child.hear()
    for host in (Host(), Refused()):
        [listener] = who_listens(port, protocol="tcp", host=host)
        assert listener.pid == own_child.pid  # and not repeated for each process of either network
    found = listeners(namespaces="all", protocol="tcp").on(port)
    assert sorted((listener.namespace or "", listener.pid or 0) for listener in found) == sorted(
        [(name, own_child.pid), (other, other_child.pid)]
    )


@pytest.mark.usefixtures("sock_diag")
def test_trap_29_port_is_free_only_if_bind_succeeds(world: World):
    child = world.start(
        TIME_WAIT
        + """
    shared, server = tcp(reuse_port=True, reuse_address=True), tcp(reuse_address=True)
    time_wait(server)
    number = port(server)
    server.close()
    say([port(shared), number])
    while True:
        say(bind_works("127.0.0.1", int(hear())))
    """
    )
    shared, waiting = child.hear()
    for port, kind in ((shared, "listener"), (waiting, "time-wait")):
        assert kinds(why_busy(port, address="127.0.0.1")) == [kind]
        child.send(str(port))
        assert child.hear() is False
    free = world.ask("say(port(tcp()))")
    assert not why_busy(free, address="127.0.0.1")
    # The query left no socket open.
    child.send(str(free))
    assert child.hear() is True


# --- environment ------------------------------------------------------------------------------------------------------


class NoPrograms(SystemHost):
    """A host on which no program may be run."""

    def run(self, *command: str) -> bytes:
        raise AssertionError(f"ran {command}")


class WindowsWithoutPrograms(RecordedHost):
    def run(self, *command: str) -> bytes:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), command[0])


def test_trap_30_linux_needs_no_program_and_windows_reports_a_missing_one(world: World):
    child = world.start("made = tcp(); say(port(made)); wait()")
    port = child.hear()
    host = NoPrograms()
    assert [pids(listener) for listener in who_listens(port, host=host)] == [[child.pid]]
    assert kinds(why_busy(port, address="127.0.0.1", host=host)) == ["listener"]
    assert classify(port, host=host).settings.incomplete == ()
    assert not ephemeral_range(host=host).assumed
    assert portrange.ephemeral_usage(host=host).pool.source
    windows = WindowsWithoutPrograms("win32-10.0")
    assert ephemeral_range(host=windows).assumed is True
    assert classify(50000, host=windows).ephemeral is None


@pytest.mark.parametrize(
    ("pid", "name", "advice"),
    [
        (4, "System", "netsh http show servicestate"),
        (812, "docker-proxy", "docker ps"),
        (813, "com.docker.backend.exe", "docker ps"),
        (814, "wslrelay.exe", "inside WSL"),
        (815, "ControlCenter", "AirPlay"),
        (818, "conmon", "podman ps"),
        (818, "slirp4netns", "podman ps"),
        (818, "rootlessport", "podman ps"),
        (818, "pasta", "podman ps"),
        (818, "pasta.avx2", "podman ps"),
        (818, "gvproxy", "podman ps"),
        (818, "passt", "virsh list"),
        (818, "passt.avx2", "virsh list"),
        (818, "dockerd", "docker ps"),
        (818, "rootlesskit", "docker ps"),
        (818, "kube-proxy", "kubectl get services"),
        (818, "xinetd", "/etc/xinetd.d"),
        (818, "svchost.exe", "tasklist /svc"),
        (1, "systemd", "systemctl list-sockets"),
        (816, "nginx", "stop it"),
        (817, "System", "stop it"),
    ],
)
def test_trap_31_proxy_process_is_named_with_advice(pid: int, name: str, advice: str):
    bound_socket = portrange.BoundSocket(
        "tcp", "ipv4", "0.0.0.0", 80, owners=(portrange.Process(pid, name),), state="listen"
    )
    [obstacle] = obstacles.of_sockets([bound_socket], portrange.PortSettings("linux"))
    assert f" in use by {name} (pid {pid}): " in obstacle.detail
    assert advice in obstacle.detail


def test_trap_31_hidden_owner_that_can_only_be_a_proxy_has_its_advice():
    docker = (portrange.Process(811, "dockerd"), portrange.Process(812, "docker-proxy"))
    bound_socket = portrange.BoundSocket(
        "tcp", "ipv4", "0.0.0.0", 80, possible_owners=docker, hidden=True, uid=0, state="listen"
    )
    settings = portrange.PortSettings("linux")
    [obstacle] = obstacles.of_sockets([bound_socket], settings)
    assert obstacle.detail.endswith("stop that container (docker ps lists it) or use another port")
    other = replace(bound_socket, possible_owners=(*docker, portrange.Process(813, "nginx")))
    [obstacle] = obstacles.of_sockets([other], settings)
    assert obstacle.detail.endswith(": stop it or use another port")


def test_trap_31_process_0_of_windows_is_not_an_owner():
    backend = backend_for(RecordedHost("win32-10.0"))
    assert isinstance(backend, PortableBackend)
    rows = Rows({0: [listening("tcp", "0.0.0.0", 80)], 4: [listening("tcp", "::", 80)]})
    table = PortableBackend(backend.reader, backend.view, rows)
    found = table.listeners(RecordedHost("win32-10.0"), SocketQuery(80))
    assert [(listener.address, pids(listener), listener.hidden) for listener in found] == [
        ("0.0.0.0", [], True),
        ("::", [4], False),
    ]


@pytest.mark.parametrize(
    "name",
    ["docker-compose.service", "mydocker.slice/docker-proxy.service", "docker/registry", "docker/" + "z" * 64, "lxc"],
)
def test_trap_32_cgroup_path_mentioning_docker_is_not_a_container(cgroups: Cgroups, world: World, name: str):
    child = world.start("join_cgroup(sys.argv[1]); made = tcp(); say(port(made)); wait()", cgroups.make(name))
    [listener] = who_listens(child.hear())
    assert listener.cgroup == cgroups.path(name)
    assert listener.container is None


@pytest.mark.usefixtures("namespaces")
def test_trap_33_reserved_ports_can_be_none_one_a_range_or_many(world: World):
    program = """
        import portrange
        new_network()
        def range_facts(text):
            with open("/proc/sys/net/ipv4/ip_local_reserved_ports", "w") as file:
                file.write(text)
            ephemeral = portrange.ephemeral_range()
            return [len(ephemeral), sum(span.last - span.first + 1 for span in ephemeral.reserved), ephemeral.assumed]
        many = ",".join(map(str, range(33001, 33600, 2)))
        say([range_facts(text) for text in ("", "1,2-4,10-10", "33000,40000-40009", many)])
    """
    everything = 60999 - 32768 + 1
    assert world.ask(program) == [
        [everything, 0, False],
        [everything, 5, False],
        [everything - 11, 11, False],
        [everything - 300, 300, False],
    ]
    missing = classify(40000, host=RecordedHost("linux-6.18-no-reserved"))
    assert (missing.reserved, missing.ephemeral) == (None, None)
    assert missing.settings.incomplete


def test_every_trap_is_tested_and_documented():
    names = [name for name in globals() if name.startswith("test_trap_")]
    numbers = sorted({int(name.split("_")[2]) for name in names})
    assert numbers == list(range(1, 34))
    page = (Path(__file__).parents[2] / "docs" / "trust.md").read_text(encoding="utf-8")
    assert [int(number) for number in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)] == numbers
