"""A socket as the kernel describes it, whichever way it was asked."""

from __future__ import annotations

import socket
from typing import NamedTuple

_MAPPED = bytes(10) + b"\xff\xff"
_ANY_IPV6 = bytes(16)

#: Socket states, shared by all transports (include/net/tcp_states.h).
ESTABLISHED = 1
TIME_WAIT = 6
CLOSE = 7
LISTEN = 10
#: Only asked for: a socket that is bound and does not listen is shown as CLOSE. Known since Linux 6.8.
BOUND_INACTIVE = 13
ANY_STATE = frozenset(range(ESTABLISHED, BOUND_INACTIVE + 1))


class Address(NamedTuple):
    """One end of a socket: IPv4 in 4 bytes, IPv6 in 16, in network order."""

    packed: bytes
    port: int

    @property
    def family(self) -> str:
        """What kind of traffic it is about: an IPv4 address bound through IPv6 takes IPv4."""
        return "ipv4" if len(self.packed) == 4 or self.packed.startswith(_MAPPED) else "ipv6"

    def __str__(self) -> str:
        if self.family == "ipv4":
            return socket.inet_ntop(socket.AF_INET, self.packed[-4:])
        return socket.inet_ntop(socket.AF_INET6, self.packed)


class SocketRecord(NamedTuple):
    """One socket.

    `inode` is 0 where no process can hold it (TIME_WAIT). `cgroup_id`, `v6only` and `interface` are None where the
    source does not tell; `interface` is 0 where the socket is bound to none.
    """

    protocol: str
    state: int
    local: Address
    remote: Address
    inode: int
    uid: int
    v6only: bool | None = None
    cgroup_id: int | None = None
    interface: int | None = None

    @property
    def dual_stack(self) -> bool | None:
        """Whether it takes both IPv4 and IPv6; None where the source does not tell."""
        if self.local.packed != _ANY_IPV6:
            return False
        return None if self.v6only is None else not self.v6only


class SocketFilter(NamedTuple):
    """Which sockets of one transport are wanted: their states, and one local port or (0) all of them."""

    protocol: str
    states: frozenset[int]
    port: int = 0
