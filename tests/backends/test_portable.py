"""Sockets through psutil on the machine that runs the tests."""

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
from portrange._backends.portable.psutil_table import PsutilTable, SocketRow, open_table, parse_address, parse_row
from portrange._render.strings import printable

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
HOST = Host(backend="portable")
UDP = socket.SOCK_DGRAM


@pytest.fixture
def server():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        use_once(sock)
        yield sock


@pytest.fixture
def datagrams():
    with socket.socket(socket.AF_INET, UDP) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock


def port(sock: socket.socket) -> int:
    return sock.getsockname()[1]


def test_listener_is_found(server):
    (listener,) = who_listens(port(server), host=HOST)
    assert (listener.protocol, listener.family, listener.address, listener.port) == (
        "tcp",
        "ipv4",
        "127.0.0.1",
        port(server),
    )
    assert listener.dual_stack is False


@pytest.mark.skipif(IS_WINE, reason="psutil cannot read the program of a process under Wine")
def test_owner_is_this_process(server):
    (listener,) = who_listens(port(server), host=HOST)
    (owner,) = listener.owners
    assert (owner.pid, listener.pid, listener.hidden) == (os.getpid(), os.getpid(), False)
    assert owner.name == psutil.Process().name()
    assert owner.cmdline
    assert owner.cmdline[0]
    assert owner.exe
    assert os.path.samefile(owner.exe, psutil.Process().exe())
    assert owner.user == listener.user == psutil.Process().username()
    assert owner.started is not None
    assert 0 < owner.started <= time.time()


def test_unconnected_udp_socket_is_a_listener(datagrams):
    assert [listener.protocol for listener in who_listens(port(datagrams), host=HOST)] == ["udp"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not report the remote address of UDP sockets")
def test_connected_udp_socket_is_not_a_listener(datagrams):
    datagrams.connect(("127.0.0.1", 9))
    assert not who_listens(port(datagrams), host=HOST)


def test_who_listens_filters_by_protocol(server):
    assert len(who_listens(port(server), protocol="tcp", host=HOST)) == 1
    assert len(who_listens(port(server), protocol="udp", host=HOST)) == 0


def test_free_port_has_no_listeners(server):
    free = port(server)
    server.close()
    assert not who_listens(free, host=HOST)


def test_connection_is_not_a_listener(server):
    with socket.create_connection(server.getsockname()) as client:
        taken = port(client)
        assert not who_listens(taken, host=HOST)


def test_ipv6_listener():
    try:
        sock = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError as error:
        pytest.skip(f"no IPv6 loopback: {error}")
    with sock:
        (listener,) = who_listens(port(sock), host=HOST)
        assert (listener.family, listener.address) == ("ipv6", "::1")
        assert listener.pid == (None if IS_WINE else os.getpid())  # Wine reports no pid for TCP over IPv6


def test_dual_stack_listener():
    if not socket.has_dualstack_ipv6():
        pytest.skip("no sockets for both families")
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as sock:
        found = who_listens(port(sock), host=HOST)
        assert [
            (listener.family, listener.address, listener.dual_stack) for listener in found if listener.family == "ipv6"
        ] == [("ipv6", "::", None)]


def test_all_listeners_are_listed_in_order_of_ports(server, datagrams):
    found = listeners(host=HOST)
    assert {("tcp", port(server)), ("udp", port(datagrams))} <= {
        (listener.protocol, listener.port) for listener in found
    }
    assert [listener.port for listener in found] == sorted(listener.port for listener in found)


def test_snapshot_queries_psutil_once(server):
    snapshot = HOST.snapshot()
    before = listeners(host=snapshot)
    server.close()
    assert listeners(host=snapshot) is before
    assert len(who_listens(before[0].port, host=snapshot)) >= 1


def test_sctp_is_unsupported():
    with pytest.raises(UnsupportedPlatformError, match="psutil lists only tcp and udp"):
        who_listens(80, protocol="sctp", host=HOST)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has network namespaces")
def test_other_namespaces_are_reported_as_incomplete():
    assert "network namespaces" in listeners(namespaces="all", host=HOST).incomplete[-1]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a procfs of another machine")
def test_procfs_of_another_machine_raises_source_error():
    with pytest.raises(SourceError, match="psutil: lists sockets of this machine only"):
        listeners(host=Host("/host/proc", backend="portable"))


def test_missing_psutil_error_names_the_package():
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
def test_missing_psutil_error_on_unsupported_platforms(platform):
    program = f"""
import sys
sys.platform = {platform!r}
from portrange._backends.portable.psutil_table import open_table
try:
    open_table()
except OSError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"psutil: does not support {platform}, ")


def test_psutil_is_a_dependency_on_supported_platforms():
    [wanted] = re.findall(r'"(psutil[^"]*)"', PYPROJECT.read_text("utf-8"))
    marker = Requirement(wanted).marker
    assert marker is not None
    for platform in ("linux", "darwin", "win32", "freebsd14", "openbsd7", "netbsd10", "sunos5", "aix7"):
        assert marker.evaluate({"sys_platform": platform}), platform
    for platform in ("emscripten", "wasi", "cygwin", "msys", "dragonfly6", "ios", "android", "haiku1", "zos"):
        assert not marker.evaluate({"sys_platform": platform}), platform


class FakePsutil:
    """A fake psutil whose calls raise *error*."""

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
def test_psutil_errors_are_converted(raised, expected):
    with pytest.raises(expected):
        PsutilTable(FakePsutil(raised)).pids()
    with pytest.raises(expected) as caught:
        PsutilTable(FakePsutil(raised)).sockets(("tcp",))
    assert type(caught.value) is expected


def test_psutil_5_is_supported(server):
    """psutil 5 has `Process.connections` instead of `Process.net_connections`."""

    class Older(psutil.Process):
        net_connections = None

        def connections(self, kind):
            process = psutil.Process(self.pid)
            return getattr(process, "net_connections", process.connections)(kind)

    class OlderPsutil:
        NoSuchProcess, AccessDenied, Process = psutil.NoSuchProcess, psutil.AccessDenied, Older

    rows = PsutilTable(OlderPsutil).sockets_of(os.getpid(), ("tcp",))
    assert [row.state for row in rows if row.port == port(server)] == ["listen"]


def test_pids_omit_pid_0():
    class Kernel(FakePsutil):
        def pids(self):
            return [0, 1, 4242]

    assert PsutilTable(Kernel(OSError())).pids() == [1, 4242]


def test_ended_process_is_not_described():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    table = open_table()
    assert table.describe(ended.pid) is None
    with pytest.raises(ProcessLookupError):
        table.sockets_of(ended.pid, ("tcp",))


def test_is_same_is_false_after_the_process_has_ended():
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
def test_parse_row(given, row):
    assert parse_row(given) == row


def test_parse_address_rejects_invalid_address():
    with pytest.raises(ParseError, match="an IPv6 address"):
        parse_address(V6, "not an address")


@pytest.mark.parametrize(
    ("text", "shown"), [("näme", "näme"), ("\udcff", "\\xff"), ("a\ud800b", "a\\ud800b"), ("\x1b[2J", "\x1b[2J")]
)
def test_printable_escapes_surrogates(text, shown):
    assert printable(text) == shown
