"""Sockets through psutil on the machine that runs the tests, whichever it is."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from packaging.requirements import Requirement
from this_system import IS_WINE, use_once

from portrange import Host, ParseError, SourceError, UnsupportedPlatformError, listeners, who_listens
from portrange._backends.portable.table import PsutilTable, open_table, parse_address, parse_row, printable
from portrange._backends.portable.view import SocketRow

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
HOST = Host(backend="portable")
UDP = socket.SOCK_DGRAM


@pytest.fixture
def server():
    with socket.create_server(("127.0.0.1", 0)) as made:
        use_once(made)
        yield made


@pytest.fixture
def datagrams():
    with socket.socket(socket.AF_INET, UDP) as made:
        made.bind(("127.0.0.1", 0))
        yield made


def port(of: socket.socket) -> int:
    return of.getsockname()[1]


def test_a_listener_is_found(server):
    (one,) = who_listens(port(server), host=HOST)
    assert (one.protocol, one.family, one.address, one.port) == ("tcp", "ipv4", "127.0.0.1", port(server))
    assert one.dual_stack is False


@pytest.mark.skipif(IS_WINE, reason="Wine does not tell psutil which program a process runs")
def test_its_owner_is_this_process_and_described(server):
    (one,) = who_listens(port(server), host=HOST)
    (owner,) = one.owners
    assert (owner.pid, one.pid, one.hidden) == (os.getpid(), os.getpid(), False)
    assert owner.name == psutil.Process().name()
    assert owner.cmdline
    assert owner.cmdline[0]
    assert owner.exe
    assert os.path.samefile(owner.exe, psutil.Process().exe())
    assert owner.user == one.user == psutil.Process().username()
    assert owner.started is not None
    assert 0 < owner.started <= time.time()


def test_a_datagram_socket_that_waits_for_anybody_is_a_listener(datagrams):
    assert [one.protocol for one in who_listens(port(datagrams), host=HOST)] == ["udp"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell the other end of UDP sockets")
def test_a_datagram_socket_with_another_end_is_none(datagrams):
    datagrams.connect(("127.0.0.1", 9))
    assert not who_listens(port(datagrams), host=HOST)


def test_protocols_are_asked_for_one_by_one(server):
    assert len(who_listens(port(server), protocol="tcp", host=HOST)) == 1
    assert len(who_listens(port(server), protocol="udp", host=HOST)) == 0


def test_nobody_is_nobody(server):
    free = port(server)
    server.close()
    assert not who_listens(free, host=HOST)


def test_a_connection_is_no_listener_but_takes_the_port(server):
    with socket.create_connection(server.getsockname()) as client:
        taken = port(client)
        assert not who_listens(taken, host=HOST)


def test_over_ipv6():
    try:
        made = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError as error:
        pytest.skip(f"no IPv6 loopback: {error}")
    with made:
        (one,) = who_listens(port(made), host=HOST)
        assert (one.family, one.address) == ("ipv6", "::1")
        assert one.pid == (None if IS_WINE else os.getpid())  # Wine names nobody for TCP over IPv6


def test_for_both_families():
    if not socket.has_dualstack_ipv6():
        pytest.skip("no sockets for both families")
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as made:
        found = who_listens(port(made), host=HOST)
        assert [(one.family, one.address, one.dual_stack) for one in found if one.family == "ipv6"] == [
            ("ipv6", "::", None)
        ]


def test_all_listeners_are_listed(server, datagrams):
    found = listeners(host=HOST)
    assert {("tcp", port(server)), ("udp", port(datagrams))} <= {(one.protocol, one.port) for one in found}
    assert [one.port for one in found] == sorted(one.port for one in found)


def test_a_frozen_host_asks_psutil_once(server):
    frozen = HOST.snapshot()
    before = listeners(host=frozen)
    server.close()
    assert listeners(host=frozen) is before
    assert len(who_listens(before[0].port, host=frozen)) >= 1


def test_psutil_lists_no_other_transports():
    with pytest.raises(UnsupportedPlatformError, match="psutil knows only tcp and udp"):
        who_listens(80, protocol="sctp", host=HOST)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has network namespaces to ask")
def test_other_namespaces_are_named_as_a_gap():
    assert "network namespaces" in listeners(namespaces="all", host=HOST).incomplete[-1]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a procfs of another machine")
def test_another_machine_is_not_mistaken_for_this_one():
    with pytest.raises(SourceError, match="psutil: looks only at the machine it runs on"):
        listeners(host=Host("/host/proc", backend="portable"))


def test_without_psutil_the_error_says_what_to_install():
    program = """
import sys
sys.modules["psutil"] = None
import portrange
try:
    portrange.listeners(host=portrange.Host(backend="portable"))
except portrange.SourceError as error:
    print(error.source, "|", error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("psutil | psutil: is needed to list sockets")
    assert "install it" in done.stdout


@pytest.mark.parametrize("platform", ["cygwin", "dragonfly6", "ios", "android", "haiku1"])
def test_where_psutil_cannot_be_installed_nobody_is_told_to(platform):
    program = f"""
import sys
sys.platform = {platform!r}
from portrange._backends.portable.table import open_table
try:
    open_table()
except OSError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"psutil: does not support {platform}, ")


def test_where_psutil_is_supported_it_is_installed_along():
    [wanted] = re.findall(r'"(psutil[^"]*)"', PYPROJECT.read_text("utf-8"))
    marker = Requirement(wanted).marker
    assert marker is not None
    for platform in ("linux", "darwin", "win32", "freebsd14", "openbsd7", "netbsd10", "sunos5", "aix7"):
        assert marker.evaluate({"sys_platform": platform}), platform
    for platform in ("emscripten", "wasi", "cygwin", "msys", "dragonfly6", "ios", "android", "haiku1", "zos"):
        assert not marker.evaluate({"sys_platform": platform}), platform


class Answers:
    """psutil's own names, and the error that a call ends in."""

    NoSuchProcess, AccessDenied = psutil.NoSuchProcess, psutil.AccessDenied

    def __init__(self, error: Exception) -> None:
        self.error = error

    def net_connections(self, kind):
        raise self.error

    def pids(self):
        raise self.error


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (psutil.AccessDenied(1), PermissionError),
        (PermissionError(13, "Permission denied", "/proc/net/tcp"), PermissionError),
        (FileNotFoundError(2, "No such file or directory", "/proc/net/tcp"), SourceError),
        (RuntimeError("error while parsing /proc/net/tcp; malformed line"), ParseError),
        (KeyError("0D"), ParseError),
    ],
)
def test_what_psutil_raises_becomes_what_is_documented(raised, expected):
    with pytest.raises(expected):
        PsutilTable(Answers(raised)).pids()
    with pytest.raises(expected) as caught:
        PsutilTable(Answers(raised)).sockets(("tcp",))
    assert type(caught.value) is expected


def test_a_psutil_before_version_6_serves_as_well(server):
    """It calls the question about one process `connections`."""

    class Older(psutil.Process):
        net_connections = None

        def connections(self, kind):
            process = psutil.Process(self.pid)
            return getattr(process, "net_connections", process.connections)(kind)

    class OlderPsutil:
        NoSuchProcess, AccessDenied, Process = psutil.NoSuchProcess, psutil.AccessDenied, Older

    rows = PsutilTable(OlderPsutil).sockets_of(os.getpid(), ("tcp",))
    assert [row.state for row in rows if row.port == port(server)] == ["listen"]


def test_the_kernel_is_no_process_that_refuses():
    class Kernel(Answers):
        def pids(self):
            return [0, 1, 4242]

    assert PsutilTable(Kernel(OSError())).pids() == [1, 4242]


def test_processes_that_have_ended_are_not_described():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    table = open_table()
    assert table.describe(ended.pid) is None
    with pytest.raises(ProcessLookupError):
        table.sockets_of(ended.pid, ("tcp",))


def test_a_process_that_ends_meanwhile_is_not_the_same_any_more():
    running = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    table = open_table()
    try:
        assert table.describe(running.pid) is not None
        assert table.is_same(running.pid)
    finally:
        running.communicate()
    assert not table.is_same(running.pid)
    assert table.describe(running.pid) is None


def entry(family, kind, local, remote=(), status="LISTEN", **more):
    def end(address):
        return SimpleNamespace(ip=address[0], port=address[1]) if address else ()

    return SimpleNamespace(family=family, type=kind, laddr=end(local), raddr=end(remote), status=status, **more)


V4, V6, TCP = socket.AF_INET, socket.AF_INET6, socket.SOCK_STREAM


@pytest.mark.parametrize(
    ("given", "row"),
    [
        (entry(V4, TCP, ("0.0.0.0", 80), pid=7), SocketRow("tcp", "ipv4", "0.0.0.0", 80, "listen", pid=7)),
        (entry(V4, TCP, ("0.0.0.0", 80), pid=0), SocketRow("tcp", "ipv4", "0.0.0.0", 80, "listen")),
        (entry(V4, TCP, ("0.0.0.0", 80)), SocketRow("tcp", "ipv4", "0.0.0.0", 80, "listen")),
        (entry(V6, TCP, ("::ffff:127.0.0.1", 80)), SocketRow("tcp", "ipv4", "127.0.0.1", 80, "listen")),
        (entry(V6, TCP, ("fe80:4::1", 80)), SocketRow("tcp", "ipv6", "fe80::1", 80, "listen", scope=4)),
        (entry(V4, UDP, ("0.0.0.0", 53), status="NONE"), SocketRow("udp", "ipv4", "0.0.0.0", 53, "listen")),
        (
            entry(V4, UDP, ("10.0.0.1", 5353), ("10.0.0.2", 53), "NONE"),
            SocketRow("udp", "ipv4", "10.0.0.1", 5353, "connection", "10.0.0.2", 53),
        ),
        (
            entry(V4, TCP, ("10.0.0.1", 5000), ("10.0.0.2", 80), "TIME_WAIT", pid=0),
            SocketRow("tcp", "ipv4", "10.0.0.1", 5000, "time-wait", "10.0.0.2", 80),
        ),
        (entry(V4, TCP, ("10.0.0.1", 5000), status="CLOSE"), SocketRow("tcp", "ipv4", "10.0.0.1", 5000, "bound")),
        (
            entry(V4, TCP, ("10.0.0.1", 5000), status="A NEW ONE"),
            SocketRow("tcp", "ipv4", "10.0.0.1", 5000, "connection"),
        ),
        (entry(V4, TCP, ()), None),
        (entry(V4, UDP, ("0.0.0.0", 0), status="NONE"), None),
        (entry(1, TCP, ("/run/a.sock", 1)), None),
    ],
)
def test_rows(given, row):
    assert parse_row(given) == row


def test_what_is_no_address_is_an_error():
    with pytest.raises(ParseError, match="an IPv6 address"):
        parse_address(V6, "not an address")


@pytest.mark.parametrize(
    ("text", "shown"), [("näme", "näme"), ("\udcff", "\\xff"), ("a\ud800b", "a\\ud800b"), ("\x1b[2J", "\x1b[2J")]
)
def test_text_of_strangers_has_no_surrogates(text, shown):
    assert printable(text) == shown
