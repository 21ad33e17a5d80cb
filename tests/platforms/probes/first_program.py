"""The init program of a machine that contains only this project: it runs the probes and powers off.

SOCK_DIAG consists of kernel modules there. The first round of probes runs without them and uses /proc/net; the second
round runs after they are loaded.
"""

from __future__ import annotations

import ctypes
import fcntl
import glob
import os
import socket
import struct
import subprocess
import sys
import traceback

_PROBES = "/project/probes"
_ENVIRONMENT = {"PYTHONPATH": f"/project:{_PROBES}", "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
#: __NR_finit_module by machine (arch/*/include/uapi/asm/unistd.h).
_FINIT_MODULE = {"s390x": 344, "x86_64": 313}
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_POWER_OFF = 0x4321FEDC  # linux/reboot.h

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    for directory, kind in (("/proc", "proc"), ("/sys", "sysfs"), ("/dev", "devtmpfs"), ("/tmp", "tmpfs")):
        os.makedirs(directory, exist_ok=True)
        _checked(_libc.mount(kind.encode(), directory.encode(), kind.encode(), 0, None), f"mounting {directory}")
    _loopback_up()
    _probe("answers.py")
    _probe("linux_sockets.py", "ephemeral", "any_source", "tables", "free_port")
    for path in sorted(glob.glob("/project/modules/*")):
        _load(path)
    _probe("linux_sockets.py", "any_source", "diag", "everything", "free_port")
    _probe("linux_sockets.py", "sctp", "sctp_to_many", "dccp", "unlisted")
    print("=== end", flush=True)


def _probe(name: str, *arguments: str) -> None:
    print(f"=== {name} {' '.join(arguments)}".rstrip(), flush=True)
    command = [sys.executable, f"{_PROBES}/{name}", *arguments]
    subprocess.run(command, env=_ENVIRONMENT, check=False, stderr=subprocess.STDOUT, timeout=600)


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack_from("h", fcntl.ioctl(control, _SIOCGIFFLAGS, request), 16)[0]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


def _load(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _checked(_libc.syscall(_FINIT_MODULE[os.uname().machine], descriptor, b"", 0), f"loading {path}")
    finally:
        os.close(descriptor)


def _checked(status: int, what: str) -> None:
    if status != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


if __name__ == "__main__":
    try:
        main()
    except BaseException:  # noqa: BLE001 - the machine must power off after any error
        traceback.print_exc()
    os.sync()
    _libc.reboot(_POWER_OFF)
