"""The last word on whether a port is free: binding it."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

_FAMILIES = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}
# The numbers of IANA's protocol registry; the socket module lacks some of them on some systems.
_KINDS = {
    "tcp": (socket.SOCK_STREAM, 6),
    "udp": (socket.SOCK_DGRAM, 17),
    "sctp": (socket.SOCK_STREAM, 132),
    "dccp": (getattr(socket, "SOCK_DCCP", 6), 33),
}
_NO_NAME = "No interface has such a name"


def try_bind(protocol: str, family: str, address: str, port: int) -> None:
    """Bind a fresh socket to `address` and `port`, and close it. Raises the `OSError` of socket() or bind().

    An IPv6 socket is bound for IPv6 alone, so that the answer is about that family. On Windows the socket asks for
    exclusive use: without it, binding succeeds beside a listener that shares (SO_EXCLUSIVEADDRUSE, Winsock).
    """
    kind, number = _KINDS[protocol]
    with _turn(), socket.socket(_FAMILIES[family], kind, number) as probe:
        if family == "ipv6":
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        exclusive = getattr(socket, "SO_EXCLUSIVEADDRUSE", None)
        if exclusive is not None:
            probe.setsockopt(socket.SOL_SOCKET, exclusive, 1)
        probe.bind(_endpoint(address, port, probe.family, kind))


def _endpoint(address: str, port: int, family: int, kind: int) -> tuple[Any, ...]:
    """What bind() takes: the zone of a link-local address (fe80::1%eth0) as a number of its own.

    Raises `OSError` with EINVAL for a zone that the system does not know.
    """
    try:
        # As bytes: Python would encode a string as the name of a domain (IDNA), which that of an interface is not.
        name = os.fsencode(address)
        if b"\0" in name:
            raise OSError(errno.EINVAL, _NO_NAME)  # the system would read no further
        return socket.getaddrinfo(name, port, family, kind, flags=socket.AI_NUMERICHOST)[0][4]
    except socket.gaierror as error:  # its numbers are not those of the system
        raise OSError(errno.EINVAL, error.strerror) from error
    except UnicodeError as error:
        raise OSError(errno.EINVAL, _NO_NAME) from error


@cache
def _turn() -> threading.RLock:
    """What a thread holds while it has a port, so that no other one takes its attempt for an obstacle.

    Nor is a process forked meanwhile: the child would have the socket too, and keep the port.
    """
    turn = threading.RLock()
    register: Callable[..., None] | None = getattr(os, "register_at_fork", None)
    if register is not None:
        register(before=turn.acquire, after_in_parent=turn.release, after_in_child=turn.release)
    return turn


def v6only_by_default() -> bool:
    """Whether an IPv6 socket takes IPv6 alone if nobody says so (ipv6(7), IPV6_V6ONLY); true where there is no IPv6."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            return bool(probe.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))
    except OSError:
        return True
