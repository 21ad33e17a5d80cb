"""Host, the interface to the operating system, on the machine that runs the tests."""

from __future__ import annotations

import errno
import os
import socket
import sys

import pytest

from portrange import Host, SourceError
from portrange._host import system
from portrange._host.binding import probe
from portrange._host.system import System

PYTHON = sys.executable


def test_repr_names_procfs_and_backend():
    assert repr(Host()) == "Host('/proc')"
    assert repr(Host("/host/proc/")) == "Host('/host/proc')"
    assert repr(Host(backend="portable")) == "Host('/proc', backend='portable')"
    assert Host("/").procfs == "/"


def test_snapshot_of_a_snapshot_is_itself():
    snapshot = Host().snapshot()
    assert (Host().is_snapshot, snapshot.is_snapshot) == (False, True)
    assert snapshot.snapshot() is snapshot


def test_snapshot_caches_values_and_failures():
    snapshot, calls = System().snapshot(), []

    def fails() -> None:
        calls.append(1)
        raise PermissionError(errno.EACCES, "Permission denied")

    assert [snapshot.cached("a", lambda: calls.append(0) or 7) for _ in range(2)] == [7, 7]
    for _ in range(2):
        with pytest.raises(PermissionError):
            snapshot.cached("b", fails)
    assert calls == [0, 1]


def test_snapshot_raises_a_new_error_each_time():
    # Threads must not share one: raising an error sets its traceback and its context.
    snapshot, raised = System().snapshot(), []

    def fails() -> None:
        raise SourceError("/proc/net/tcp", "cannot be read", errno.EACCES) from KeyError("cause")

    for _ in range(2):
        with pytest.raises(SourceError) as caught:
            snapshot.cached("a", fails)
        raised.append(caught.value)
    first, second = raised
    assert first is not second
    assert (first.source, first.reason, first.errno) == (second.source, second.reason, second.errno)
    assert [repr(error.__cause__) for error in raised] == ["KeyError('cause')"] * 2


# --- files ---


def test_file_is_read_completely(tmp_path):
    path = tmp_path / "file"
    content = os.urandom(200_000)
    path.write_bytes(content)
    assert System().read(str(path)) == content
    assert System().read_start(str(path), 150_000) == content[:150_000]
    assert System().read_start(str(path), 300_000) == content
    with pytest.raises(FileNotFoundError):
        System().read(str(tmp_path / "none"))


@pytest.mark.parametrize("size", [10, 4084, 4085, 5000, 200_000])
def test_setting_is_read_with_one_call(tmp_path, size):
    """A setting is returned by the first read only, so a longer one is read again with a larger buffer."""
    path = tmp_path / "setting"
    path.write_bytes(b"8" * size)
    assert system._read_sysctl_file(str(path)) == b"8" * size


def test_directory_is_found_by_inode_number(tmp_path):
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / "file").write_text("")
    assert System().find_directories(str(tmp_path), {below.stat().st_ino}) == {below.stat().st_ino: str(below)}
    assert System().find_directories(str(tmp_path), {(tmp_path / "file").stat().st_ino}) == {}
    assert System().find_directories(str(tmp_path / "none"), {1}) == {}
    beside = tmp_path / "beside"
    beside.mkdir()
    inodes = {directory.stat().st_ino: str(directory) for directory in (below, beside)}
    assert System().find_directories(str(tmp_path), {*inodes, (tmp_path / "file").stat().st_ino}) == inodes


# --- names ---


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no numeric user IDs")
def test_user_names_are_resolved_only_for_this_machine():
    import pwd

    entry = pwd.getpwall()[0]
    assert System().user_name(entry.pw_uid) == pwd.getpwuid(entry.pw_uid).pw_name
    unknown = max(user.pw_uid for user in pwd.getpwall() if user.pw_uid < 1 << 31) + 7
    assert System().user_name(unknown) is None
    assert System("/host/proc").user_name(entry.pw_uid) is None
    assert System().uid == os.geteuid()


def test_unknown_interface_is_named_by_its_index():
    index, name = socket.if_nameindex()[0]
    assert System().interface_name(index) == name
    assert System().interface_name(0x7FFF_FFFF) == "#2147483647"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows consoles have a code page")
def test_console_encoding_is_ascii_outside_windows():
    assert System().console_encoding == "ascii"


# --- programs ---


def test_run_sets_the_c_locale():
    program = "import os; print(os.environ['LC_ALL'], os.environ['LANG'])"
    assert System().run(PYTHON, "-c", program).split() == [b"C", b"C"]


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_run_failure_reports_the_first_line_of_output(stream):
    program = f"import sys; print('no such\\nthing', file=sys.{stream}); sys.exit(3)"
    with pytest.raises(OSError, match=r"^exit status 3: no such$"):
        System().run(PYTHON, "-c", program)


def test_run_missing_program_raises_file_not_found_error():
    with pytest.raises(FileNotFoundError):
        System().run("/nowhere/at/all")


def test_run_hanging_program_raises_timeout_error(monkeypatch):
    monkeypatch.setattr(system, "_PROGRAM_TIMEOUT", 0.2)
    with pytest.raises(TimeoutError, match=r"no output within 0\.2 seconds"):
        System().run(PYTHON, "-c", "import time; time.sleep(60)")


# --- sockets ---


def test_bind_fails_as_for_a_server():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(OSError) as caught:  # noqa: PT011 - only the errno matters
            System().bind("tcp", "ipv4", "127.0.0.1", port)
    assert caught.value.errno == errno.EADDRINUSE
    System().bind("udp", "ipv4", "127.0.0.1", 0)


def test_ipv6_bind_does_not_conflict_with_ipv4(ipv6: None):
    with socket.create_server(("0.0.0.0", 0)) as server:
        probe("tcp", "ipv6", "::", server.getsockname()[1])


def test_is_v6only_matches_a_new_socket(ipv6: None):
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as fresh:
        assert System().is_v6only is bool(fresh.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))


def test_held_probes_have_their_ports_until_the_end_of_the_context():
    system = System()
    with system.held_probes() as probes:
        assert probes.pid == os.getpid()
        assert set(probes.ports) == {"tcp", "udp"}
        for protocol, port in probes.ports.items():
            with pytest.raises(OSError):  # noqa: PT011 - the message differs between systems
                system.bind(protocol, "ipv4", "127.0.0.1", port)
    for protocol, port in probes.ports.items():
        system.bind(protocol, "ipv4", "127.0.0.1", port)
