"""The right to bind privileged ports (capabilities(7), Linux). Imports little: most programs ask once."""

from __future__ import annotations

import os

from .._lazy import import_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: The bit of CAP_NET_BIND_SERVICE (linux/capability.h).
_BIND_SERVICE = 1 << 10
#: The user namespace that owns a namespace (linux/nsfs.h), since Linux 4.9.
_NS_GET_USERNS = 0xB701
#: The contents of uid_map in the initial user namespace: user_namespaces(7).
_ALL_USERS = [b"0", b"0", b"4294967295"]


def has_bind_capability() -> bool:
    """Return whether the calling thread is known to have CAP_NET_BIND_SERVICE in its network namespace.

    The kernel looks for it in the user namespace that owns the network (inet_bind, net/ipv4/af_inet.c): root of a
    rootless container with the network of the host does not have it.
    """
    # Kernels before 3.17 have no thread-self.
    thread = "/proc/thread-self" if os.path.exists("/proc/thread-self") else "/proc/self"
    try:
        with open(f"{thread}/status", "rb") as file:
            [effective] = [int(line.split()[1], 16) for line in file if line.startswith(b"CapEff:")]
        return bool(effective & _BIND_SERVICE) and _owns_network(thread)
    except (OSError, ValueError):
        return False


def _owns_network(thread: str) -> bool:
    """Return whether capabilities of a thread's user namespace are valid for its network namespace."""
    with open(f"{thread}/uid_map", "rb") as file:
        if file.read().split() == _ALL_USERS:
            return True  # the initial user namespace, which is above all others
    with import_lock:
        import fcntl as module

    fcntl: Any = module  # type checkers for Windows know none of its functions
    network = os.open(f"{thread}/ns/net", os.O_RDONLY)
    try:
        owner = fcntl.ioctl(network, _NS_GET_USERNS)
    finally:
        os.close(network)
    try:
        return os.fstat(owner).st_ino == os.stat(f"{thread}/ns/user").st_ino
    finally:
        os.close(owner)
