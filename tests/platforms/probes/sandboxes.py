"""Checks in a restricted Linux; the first argument names the sandbox that sandboxes.py created.

Valid results are a value, `hidden`, the documented default marked as `assumed`, None with a reason, or a `SourceError`.
Errors of another type and empty results for a port with a listener are failures.
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


# --- restrictions of this process ------------------------------------------------------------------------------------


def refuse_netlink(number: int) -> None:
    """Make socket(AF_NETLINK, …) fail with error *number*, as some seccomp(2) profiles do."""
    machine = os.uname().machine
    load, jump_if_equal, answer = 0x20, 0x15, 0x06  # linux/bpf_common.h: BPF_LD|BPF_W|BPF_ABS; BPF_JMP|BPF_JEQ; BPF_RET
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
        raise AssertionError("the filter has no effect")


# --- results of portrange --------------------------------------------------------------------------------------------


def own_listener_is_found() -> None:
    """a listener of this process with its owner"""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = portrange.who_listens(port)
        assert [(listener.address, listener.pid, listener.hidden) for listener in found] == [
            ("127.0.0.1", os.getpid(), False)
        ], found
        assert [obstacle.kind for obstacle in portrange.why_busy(port, address="127.0.0.1")] == ["listener"]


def own_listener_is_hidden() -> None:
    """a listener whose owner cannot be read is returned as hidden"""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = portrange.who_listens(port)
        assert [(listener.address, listener.owners, listener.hidden) for listener in found] == [
            ("127.0.0.1", (), True)
        ], found
        assert port in [listener.port for listener in portrange.listeners()]


def sockets_cannot_be_listed() -> None:
    """SourceError with the sources from every query about sockets"""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for ask in (lambda: portrange.who_listens(port), portrange.listeners, portrange.ephemeral_usage):
            error = probing.refusal(portrange.SourceError, ask)
            assert "NETLINK_SOCK_DIAG" in str(error), error
            assert "/proc" in str(error), error


def default_is_assumed() -> None:
    """the documented ephemeral range, marked as assumed, and None with a reason from classify"""
    ephemeral = portrange.ephemeral_range()
    assert (ephemeral.first, ephemeral.last, ephemeral.assumed, ephemeral.source) == (
        32768,
        60999,
        True,
        "documented default",
    ), ephemeral
    info = portrange.classify(40000)
    assert (info.ephemeral, info.reserved, info.privileged) == (None, None, None), info
    assert any("ip_local_port_range" in reason for reason in info.settings.incomplete), info.settings.incomplete


def ephemeral_range_is_read() -> None:
    """the ephemeral range is read"""
    ephemeral = portrange.ephemeral_range()
    assert not ephemeral.assumed, ephemeral
    assert ephemeral.source == "/proc/sys/net/ipv4/ip_local_port_range", ephemeral


def settings_are_read_only() -> None:
    """settings cannot be changed in this sandbox"""
    try:
        _write_setting("ip_local_port_range", "32768 60999")
    except OSError as error:
        assert error.errno == errno.EROFS, error
    else:
        raise AssertionError("/proc can be written")


def others_are_hidden() -> None:
    """a listener of another user is hidden and names its user; that of the own user has its owner"""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        own_listener_is_found()  # imports all modules while this Python's files are readable
        child = os.fork()
        if child == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            server.close()
            _exit_by(lambda: _as_another_user(port))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "the child failed; see its traceback above"


def _as_another_user(port: int) -> None:
    assert str(os.getppid()) not in os.listdir("/proc"), "other processes are visible in the sandbox"
    found = portrange.who_listens(port)
    assert [(listener.address, listener.owners, listener.hidden, listener.uid) for listener in found] == [
        ("127.0.0.1", (), True, 0)
    ], found
    own_listener_is_found()


def commands_say_so() -> None:
    """python -m portrange ends without a traceback"""
    for arguments in (["60860"], [], ["range"], ["busy", "60860"], ["suggest", "my-service"], ["usage"]):
        command = [sys.executable, "-m", "portrange", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert "Traceback" not in done.stdout + done.stderr, (arguments, done)
        assert done.stdout or done.stderr.count("\n") == 1, (arguments, done)
        assert done.returncode in (0, 1) or done.stderr, (arguments, done)
        # Each remark is one line, such as that owners are hidden.
        assert all(line.startswith("portrange") for line in done.stderr.splitlines()), (arguments, done)


def changed_range() -> None:
    """changed ephemeral range, reserved ports and privilege threshold, compared with bind(0)"""
    _write_setting("ip_local_port_range", "20000 20003")
    _write_setting("ip_local_reserved_ports", "20001,30000-30009")
    ephemeral = portrange.ephemeral_range()
    assert (ephemeral.first, ephemeral.last, ephemeral.assumed, list(ephemeral)) == (
        20000,
        20003,
        False,
        [20000, 20002, 20003],
    ), ephemeral
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    assert {server.getsockname()[1] for server in taken} == set(ephemeral)
    probing.refusal(OSError, lambda: socket.create_server(("127.0.0.1", 0)))
    assert [listener.port for listener in portrange.listeners(protocol="tcp")] == [20000, 20002, 20003]
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
    """Call *function* in a child process and exit."""
    status = 1
    try:
        function()
        status = 0
    finally:
        if status:
            sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]  # an exception is active
        os._exit(status)


SANDBOXES: dict[str, tuple[Callable[[], None], ...]] = {
    "no-proc": (default_is_assumed, own_listener_is_hidden, commands_say_so),
    "read-only-proc": (settings_are_read_only, ephemeral_range_is_read, own_listener_is_found, commands_say_so),
    "hidepid": (ephemeral_range_is_read, others_are_hidden),
    "no-netlink": (ephemeral_range_is_read, own_listener_is_found, commands_say_so),
    "neither": (default_is_assumed, sockets_cannot_be_listed, commands_say_so),
    "changed-range": (changed_range, own_listener_is_found, commands_say_so),
}
#: Errors of refused AF_NETLINK sockets: EAFNOSUPPORT by RestrictAddressFamilies= of systemd, EPERM by Docker.
REFUSALS = {"no-netlink": errno.EAFNOSUPPORT, "neither": errno.EPERM}

if __name__ == "__main__":
    sandbox = sys.argv[1]
    if sandbox in REFUSALS:
        refuse_netlink(REFUSALS[sandbox])
    probing.run(*SANDBOXES[sandbox])
