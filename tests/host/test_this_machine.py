"""The one seam to the operating system, on the machine that runs the tests."""

from __future__ import annotations

import errno
import os
import socket
import sys

import pytest

from portrange import Host
from portrange._host import files, programs
from portrange._host.binding import try_bind

PYTHON = sys.executable


def test_it_says_what_it_asks():
    assert repr(Host()) == "Host('/proc')"
    assert repr(Host("/host/proc/")) == "Host('/host/proc')"
    assert repr(Host(backend="portable")) == "Host('/proc', backend='portable')"
    assert Host("/").procfs == "/"


def test_a_frozen_host_is_frozen_already():
    frozen = Host().snapshot()
    assert (Host().is_snapshot, frozen.is_snapshot) == (False, True)
    assert frozen.snapshot() is frozen


def test_a_frozen_host_remembers_a_value_and_a_failure():
    frozen, asked = Host().snapshot(), []

    def fails() -> None:
        asked.append(1)
        raise PermissionError(errno.EACCES, "Permission denied")

    assert [frozen.once("a", lambda: asked.append(0) or 7) for _ in range(2)] == [7, 7]
    for _ in range(2):
        with pytest.raises(PermissionError):
            frozen.once("b", fails)
    assert asked == [0, 1]


# --- files ---


def test_a_file_is_read_whole(tmp_path):
    path = tmp_path / "file"
    content = os.urandom(200_000)
    path.write_bytes(content)
    assert Host().read(str(path)) == content
    assert Host().read_start(str(path), 150_000) == content[:150_000]
    assert Host().read_start(str(path), 300_000) == content
    with pytest.raises(FileNotFoundError):
        Host().read(str(tmp_path / "none"))


@pytest.mark.parametrize("size", [10, 4084, 4085, 5000, 200_000])
def test_a_setting_is_read_whole_at_once(tmp_path, size):
    """It gives everything to the first read and nothing to a second one: a longer one is read anew with more room."""
    path = tmp_path / "setting"
    path.write_bytes(b"8" * size)
    assert files.read_at_once(str(path)) == b"8" * size


def test_a_directory_is_found_by_its_number(tmp_path):
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / "file").write_text("")
    assert Host().find_directory(str(tmp_path), below.stat().st_ino) == str(below)
    assert Host().find_directory(str(tmp_path), (tmp_path / "file").stat().st_ino) is None
    assert Host().find_directory(str(tmp_path / "none"), 1) is None


# --- names ---


@pytest.mark.skipif(sys.platform == "win32", reason="users have no numbers")
def test_users_have_names_on_this_machine_alone():
    import pwd

    entry = pwd.getpwall()[0]
    assert Host().user_name(entry.pw_uid) == pwd.getpwuid(entry.pw_uid).pw_name
    unknown = max(one.pw_uid for one in pwd.getpwall() if one.pw_uid < 1 << 31) + 7
    assert Host().user_name(unknown) is None
    assert Host("/host/proc").user_name(entry.pw_uid) is None
    assert Host().uid == os.geteuid()


def test_interfaces_have_names_or_at_least_numbers():
    index, name = socket.if_nameindex()[0]
    assert Host().interface_name(index) == name
    assert Host().interface_name(0x7FFF_FFFF) == "#2147483647"


@pytest.mark.skipif(sys.platform == "win32", reason="it has a code page")
def test_consoles_elsewhere_have_no_code_page():
    assert Host().console_encoding == "ascii"


# --- programs ---


def test_a_program_is_run_in_its_untranslated_form():
    program = "import os; print(os.environ['LC_ALL'], os.environ['LANG'])"
    assert Host().run(PYTHON, "-c", program).split() == [b"C", b"C"]


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_program_that_fails_says_why(stream):
    program = f"import sys; print('no such\\nthing', file=sys.{stream}); sys.exit(3)"
    with pytest.raises(OSError, match=r"^exit status 3: no such$"):
        Host().run(PYTHON, "-c", program)


def test_a_program_that_is_not_there():
    with pytest.raises(FileNotFoundError):
        Host().run("/nowhere/at/all")


def test_a_program_that_does_not_answer_is_given_up(monkeypatch):
    monkeypatch.setattr(programs, "_SECONDS", 0.2)
    with pytest.raises(TimeoutError, match=r"no answer within 0\.2 seconds"):
        Host().run(PYTHON, "-c", "import time; time.sleep(60)")


# --- sockets ---


def test_binding_tells_what_a_server_would_meet():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is what counts
            Host().bind("tcp", "ipv4", "127.0.0.1", port)
    assert caught.value.errno == errno.EADDRINUSE
    Host().bind("udp", "ipv4", "127.0.0.1", 0)


def test_an_ipv6_socket_is_bound_for_ipv6_alone(ipv6: None):
    with socket.create_server(("0.0.0.0", 0)) as server:
        try_bind("tcp", "ipv6", "::", server.getsockname()[1])


def test_whether_ipv6_is_alone_is_what_a_new_socket_says(ipv6: None):
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as fresh:
        assert Host().is_v6only is bool(fresh.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))
