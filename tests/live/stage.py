"""Helpers for the child processes of the live tests; every child program starts with `from live.stage import *`.

`live.world` starts the children. A child writes one JSON value per line and exits when its standard input closes.
"""

from __future__ import annotations

import ctypes
import fcntl
import importlib
import json
import os
import pkgutil
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable
from typing import Any

NOBODY = 65534

# linux/sched.h
CLONE_FILES = 0x00000400
CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
# linux/mount.h
_MS_NOSUID, _MS_BIND, _MS_REC, _MS_PRIVATE = 2, 4096, 16384, 1 << 18
# System call number of exit(2), which ends one thread, by architecture (arch/*/include/**/unistd*.h); all other
# architectures, including every 32-bit one, use 1.
_SYS_EXIT = {"x86_64": 60, "aarch64": 93, "riscv64": 93, "loongarch64": 93}
# linux/prctl.h
_PR_SET_DUMPABLE = 4
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
# linux/in.h
MPTCP = 262
#: Modules that portrange or the standard library import lazily.
_LOADED_LATE = ("pwd", "ipaddress", "threading", "encodings.idna", "unicodedata", "subprocess", "html")

_libc = ctypes.CDLL(None, use_errno=True)


def _measure() -> Callable[[], None]:
    """Start coverage.py in this child if the tests run under it, and return a function that saves the data so far.

    A child without site does not start coverage.py itself, and it is killed before it can save. The data file is
    writable by all users because the child may change its user.
    """
    if "COVERAGE_PROCESS_CONFIG" not in os.environ or not sys.flags.isolated:
        return lambda: None
    import coverage

    coverage.process_startup()
    measured = coverage.Coverage.current()
    assert measured is not None

    def save() -> None:
        try:
            measured.save()
            os.chmod(measured.get_data().data_filename(), 0o666)
        except (OSError, coverage.CoverageException):
            pass  # no longer accessible

    return save


_save = _measure()


# --- communication with the test ------------------------------------------------------------------------------------


def say(value: Any) -> None:
    _save()
    os.write(1, json.dumps(value).encode() + b"\n")


def hear() -> str:
    """Return the next line sent by the test, or an empty string at end of input."""
    line = b""
    while not line.endswith(b"\n"):
        sign = os.read(0, 1)
        if not sign:
            return ""
        line += sign
    return line.decode().strip()


def answers_in(pipe: int) -> list[Any]:
    """Return the JSON values, one per line, that other processes wrote to *pipe* until its last writer closed it."""
    written = b""
    while block := os.read(pipe, 1 << 16):
        written += block
    return [json.loads(line) for line in written.splitlines()]


def wait() -> None:
    """Block until the test is over."""
    while os.read(0, 4096):
        pass


def fork(then: Callable[[], object]) -> int:
    """Fork a process that shares all descriptors, calls *then* and exits; return its PID."""
    pid = os.fork()
    if pid == 0:
        try:
            then()
        except BaseException:  # noqa: BLE001 - a child must never go on with its parent's program
            sys.excepthook(*sys.exc_info())
            os.kill(0, signal.SIGKILL)  # the whole process group, so that no process waits in vain
        os._exit(0)
    return pid


def outlive_main_thread(then: Callable[[], object]) -> None:
    """End the main thread; another thread calls *then* once the thread group leader is a zombie."""
    leader = f"/proc/{os.getpid()}/stat"

    def outlive() -> None:
        while True:
            with open(leader, encoding="ascii") as file:
                if ") Z " in file.read():
                    break
        then()
        wait()

    threading.Thread(target=outlive).start()
    wide = ctypes.sizeof(ctypes.c_void_p) == 8
    _libc.syscall(_SYS_EXIT.get(os.uname().machine, 1) if wide else 1, 0)


# --- sockets --------------------------------------------------------------------------------------------------------


def port(of: socket.socket) -> int:
    return of.getsockname()[1]


def bound(
    address: str = "127.0.0.1",
    number: int = 0,
    kind: int = socket.SOCK_STREAM,
    *,
    protocol: int = 0,
    v6only: bool | None = None,
    reuse_address: bool = False,
    reuse_port: bool = False,
    device: str = "",
) -> socket.socket:
    """Return a bound socket; *address* decides its family."""
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind, protocol)
    try:
        if v6only is not None:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
        if reuse_address:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if device:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        made.bind((address, number))
    except OSError:
        made.close()
        raise
    return made


def tcp(*arguments: Any, **options: Any) -> socket.socket:
    """Return a listening TCP socket."""
    made = bound(*arguments, **options)
    made.listen()
    return made


def udp(*arguments: Any, **options: Any) -> socket.socket:
    """Return an unconnected UDP socket."""
    return bound(*arguments, **options, kind=socket.SOCK_DGRAM)


def bind_works(address: str, number: int, kind: int = socket.SOCK_STREAM) -> bool:
    """Return whether bind() succeeds without socket options."""
    try:
        bound(address, number, kind).close()
    except OSError:
        return False
    return True


# --- privileges and namespaces --------------------------------------------------------------------------------------


def become_nobody() -> None:
    """Become an unprivileged user. Imports all of portrange first, because its files may be unreadable afterwards."""
    import portrange

    for module in pkgutil.walk_packages(portrange.__path__, f"{portrange.__name__}."):
        if not module.name.endswith(("portable", "__main__")):
            importlib.import_module(module.name)
    for name in _LOADED_LATE:
        importlib.import_module(name)
    _save()
    try:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    except PermissionError:
        new_user(NOBODY)
    # As after exec(): a process that changes its user is otherwise inaccessible even to processes of that user.
    _checked(_libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0))


def join_cgroup(directory: str) -> None:
    with open(f"{directory}/cgroup.procs", "w", encoding="ascii") as file:
        file.write("0")


def unshare(flags: int) -> None:
    _checked(_libc.unshare(flags))


def new_root() -> None:
    """Become root of a new user namespace (user_namespaces(7)), unless this process is root."""
    if os.geteuid() != 0:
        new_user(0)


def new_user(uid: int) -> None:
    """Enter a new user namespace, in which the present user has the number *uid* and no other user exists."""
    outside, group = os.geteuid(), os.getegid()
    unshare(CLONE_NEWUSER)
    for name, text in (("setgroups", "deny"), ("gid_map", f"{uid} {group} 1"), ("uid_map", f"{uid} {outside} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def new_network() -> None:
    """Enter a new network namespace and bring its loopback interface up."""
    unshare(CLONE_NEWNET)
    loopback_up()


def loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        # struct ifreq with IFF_UP, by SIOCSIFFLAGS (netdevice(7)).
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh22x", b"lo", 1))


def new_processes() -> None:
    """Continue as process 1 of a new PID namespace with its own procfs."""
    new_mounts()
    unshare(CLONE_NEWPID)
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        os._exit(0)
    mount_proc()


def new_mounts() -> None:
    """Enter a new mount namespace with private propagation."""
    unshare(CLONE_NEWNS)
    mount("none", "/", None, _MS_REC | _MS_PRIVATE)


def mount(source: str, target: str, kind: str | None, flags: int = 0, options: str | None = None) -> None:
    text = (None if value is None else value.encode() for value in (source, target, kind))
    _checked(_libc.mount(*text, flags, None if options is None else options.encode()))


def bind_mount(source: str, target: str) -> None:
    mount(source, target, None, _MS_BIND | _MS_REC)


def unmount(target: str) -> None:
    _checked(_libc.umount2(target.encode(), 0))


def mount_proc(target: str = "/proc", options: str | None = None) -> None:
    mount("proc", target, "proc", _MS_NOSUID, options)


def forbid_netlink() -> None:
    """Install a seccomp(2) filter that makes socket(AF_NETLINK, ...) fail with EPERM, as some sandboxes do."""
    # System call number of socket(2), by machine.
    numbers = {"x86_64": 41, "aarch64": 198, "riscv64": 198, "s390x": 359, "ppc64le": 326}
    load, equal, answer = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
    # struct seccomp_data { int nr; u32 arch; u64 instruction_pointer; u64 args[6]; }
    argument = 16 if sys.byteorder == "little" else 20
    program = (
        (load, 0, 0, 0),
        (equal, 0, 3, numbers[os.uname().machine]),
        (load, 0, 0, argument),
        (equal, 0, 1, socket.AF_NETLINK),
        (answer, 0, 0, 0x00050000 | 1),  # SECCOMP_RET_ERRNO with EPERM
        (answer, 0, 0, 0x7FFF0000),  # SECCOMP_RET_ALLOW
    )
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    # struct sock_fprog { unsigned short len; struct sock_filter *filter; }
    filters = struct.pack("HP", len(program), ctypes.addressof(code))
    _checked(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _checked(_libc.prctl(_PR_SET_SECCOMP, 2, filters, 0, 0))


def _checked(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
