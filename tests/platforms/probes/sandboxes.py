"""Linux with something taken away, one sandbox a run: sandboxes.py made it, and names it as the first argument.

What an answer may be there: a value, `hidden`, the documented default marked as `assumed`, None with a reason, or a
`SourceError`. Never an error of another kind, and never an empty answer about a port on which somebody listens.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable

import probing

import portrange

NOBODY = 65534
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # linux/audit.h
_NR_SOCKET = {"x86_64": 41, "aarch64": 198}


# --- what is taken away from this process itself --------------------------------------------------------------------


def refuse_netlink(number: int) -> None:
    """From now on socket(AF_NETLINK, …) fails with this error, as under many a seccomp profile (seccomp(2))."""
    machine = os.uname().machine
    load, jump_if_equal, answer = 0x20, 0x15, 0x06  # linux/bpf_common.h: absolute word; jump; return
    allow, fail = 0x7FFF0000, 0x00050000 | number
    program = (
        (load, 0, 0, 4),  # seccomp_data.arch
        (jump_if_equal, 0, 5, _AUDIT_ARCH[machine]),
        (load, 0, 0, 0),  # .nr
        (jump_if_equal, 0, 3, _NR_SOCKET[machine]),
        (load, 0, 0, 16),  # the first argument
        (jump_if_equal, 0, 1, socket.AF_NETLINK),
        (answer, 0, 0, fail),
        (answer, 0, 0, allow),
    )
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    filters = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    set_no_new_privileges, set_seccomp, filter_mode = 38, 22, 2  # linux/prctl.h
    assert libc.prctl(set_no_new_privileges, 1, 0, 0, 0) == 0
    assert libc.prctl(set_seccomp, filter_mode, filters, 0, 0) == 0, os.strerror(ctypes.get_errno())
    try:
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4)
    except OSError as error:
        assert error.errno == number, error
    else:
        raise AssertionError("the filter refuses nothing")


# --- what portrange answers ------------------------------------------------------------------------------------------


def own_listener_is_found() -> None:
    """this process's own listener with its owner"""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = portrange.who_listens(port)
        assert [(one.address, one.pid, one.hidden) for one in found] == [("127.0.0.1", os.getpid(), False)], found
        assert [one.kind for one in portrange.why_busy(port, address="127.0.0.1")] == ["listener"]


def own_listener_is_hidden() -> None:
    """a listener whose owner cannot be read is returned as hidden"""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = portrange.who_listens(port)
        assert [(one.address, one.owners, one.hidden) for one in found] == [("127.0.0.1", (), True)], found
        assert port in [one.port for one in portrange.listeners()]


def sockets_cannot_be_listed() -> None:
    """SourceError with the sources from every question about sockets"""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for ask in (lambda: portrange.who_listens(port), portrange.listeners, portrange.ephemeral_usage):
            error = probing.refusal(portrange.SourceError, ask)
            assert "NETLINK_SOCK_DIAG" in str(error), error
            assert "/proc" in str(error), error


def default_is_assumed() -> None:
    """the documented pool, marked as assumed, and None with a reason from classify"""
    pool = portrange.ephemeral_range()
    assert (pool.first, pool.last, pool.assumed, pool.source) == (32768, 60999, True, "documented default"), pool
    info = portrange.classify(40000)
    assert (info.ephemeral, info.reserved, info.privileged) == (None, None, None), info
    assert any("ip_local_port_range" in reason for reason in info.settings.incomplete), info.settings.incomplete


def pool_is_read() -> None:
    """the pool is read"""
    pool = portrange.ephemeral_range()
    assert not pool.assumed, pool
    assert pool.source == "/proc/sys/net/ipv4/ip_local_port_range", pool


def settings_are_read_only() -> None:
    """the sandbox is what it should be: settings cannot be changed"""
    try:
        _write_setting("ip_local_port_range", "32768 60999")
    except OSError as error:
        assert error.errno == errno.EROFS, error
    else:
        raise AssertionError("/proc can be written")


def others_are_hidden() -> None:
    """another user's listener is hidden and names its user; one's own has its owner"""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        own_listener_is_found()  # loads what is needed: another user may not be able to read this Python's files
        child = os.fork()
        if child == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            server.close()
            _exit_by(lambda: _as_another_user(port))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "see above"


def _as_another_user(port: int) -> None:
    assert str(os.getppid()) not in os.listdir("/proc"), "the sandbox hides nothing"
    found = portrange.who_listens(port)
    assert [(one.address, one.owners, one.hidden, one.uid) for one in found] == [("127.0.0.1", (), True, 0)], found
    own_listener_is_found()


def commands_say_so() -> None:
    """python -m portrange ends without a traceback"""
    for arguments in (["60860"], [], ["range"], ["busy", "60860"], ["suggest", "my-service"], ["usage"]):
        command = [sys.executable, "-m", "portrange", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        assert "Traceback" not in done.stdout + done.stderr, (arguments, done)
        assert done.stdout or done.stderr.count("\n") == 1, (arguments, done)
        assert (done.returncode == 0) == (not done.stderr), (arguments, done)


def changed_range() -> None:
    """a changed pool, reserved ports and privilege threshold, with what bind(0) really gives"""
    _write_setting("ip_local_port_range", "20000 20003")
    _write_setting("ip_local_reserved_ports", "20001,30000-30009")
    pool = portrange.ephemeral_range()
    assert (pool.first, pool.last, pool.assumed, list(pool)) == (20000, 20003, False, [20000, 20002, 20003]), pool
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    assert {server.getsockname()[1] for server in taken} == set(pool)
    probing.refusal(OSError, lambda: socket.create_server(("127.0.0.1", 0)))
    assert [one.port for one in portrange.listeners(protocol="tcp")] == [20000, 20002, 20003]
    for server in taken:
        server.close()
    assert not portrange.listeners()
    facts = [(info.ephemeral, info.reserved) for info in map(portrange.classify, (20000, 20001, 30000, 40000))]
    assert facts == [(True, False), (False, True), (False, True), (False, False)], facts
    for start, privileged in (("1024", True), ("80", False), ("0", False)):
        _write_setting("ip_unprivileged_port_start", start)
        assert portrange.classify(443).privileged is privileged, start


def _write_setting(name: str, value: str) -> None:
    descriptor = os.open(f"/proc/sys/net/ipv4/{name}", os.O_WRONLY)
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)


def _exit_by(function: Callable[[], None]) -> None:
    """Call it in a child, and end the child."""
    status = 1
    try:
        function()
        status = 0
    finally:
        if status:
            sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]  # there is one
        os._exit(status)


SANDBOXES: dict[str, tuple[Callable[[], None], ...]] = {
    "no-proc": (default_is_assumed, own_listener_is_hidden, commands_say_so),
    "read-only-proc": (settings_are_read_only, pool_is_read, own_listener_is_found, commands_say_so),
    "hidepid": (pool_is_read, others_are_hidden),
    "no-netlink": (pool_is_read, own_listener_is_found, commands_say_so),
    "neither": (default_is_assumed, sockets_cannot_be_listed, commands_say_so),
    "changed-range": (changed_range, own_listener_is_found, commands_say_so),
}
#: With which error AF_NETLINK is refused: systemd's RestrictAddressFamilies= says this one, Docker's profile EPERM.
REFUSALS = {"no-netlink": errno.EAFNOSUPPORT, "neither": errno.EPERM}

if __name__ == "__main__":
    sandbox = sys.argv[1]
    if sandbox in REFUSALS:
        refuse_netlink(REFUSALS[sandbox])
    probing.run(*SANDBOXES[sandbox])
