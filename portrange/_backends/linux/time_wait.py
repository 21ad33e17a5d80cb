"""When a new connection may have the port of one that is in TIME-WAIT."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ..._host import Host
    from .socket_record import Address

#: How many milliseconds a socket stays in TIME-WAIT: TCP_TIMEWAIT_LEN, include/net/tcp.h.
_MINUTE = 60_000
#: The kernel counts the rest of that minute in ticks, of at most 10 ms (CONFIG_HZ=100), and what is over when it
#: decides in whole milliseconds: a socket that is this much older than it has to be is old enough by either.
_TICK = 12
_IPV6_LOOPBACK = bytes(15) + b"\1"


class Reuse(NamedTuple):
    """What the system's settings say of the port of a TIME-WAIT socket, for a connection to the same destination.

    The rule of tcp_twsk_unique, net/ipv4/tcp_ipv4.c: after net.ipv4.tcp_tw_reuse_delay (a second, where there is no
    such setting), if net.ipv4.tcp_tw_reuse says so, on loopback alone if it is 2. It takes timestamps of both sides.

    `expires`: the most milliseconds that such a socket has left. From then on the kernel surely gives its port away; it
    may do so a few milliseconds earlier.
    """

    everywhere: bool
    loopback: bool
    expires: int

    @classmethod
    def of(cls, host: Host) -> Reuse:
        """As the host has it; never, where that cannot be read."""
        reuse = _setting(host, "tcp_tw_reuse", 0) if _setting(host, "tcp_timestamps", 0) else 0
        delay = _setting(host, "tcp_tw_reuse_delay", 1000)
        return cls(reuse == 1, reuse in (1, 2), _MINUTE - delay - _TICK)

    def holds(self, *addresses: Address) -> bool:
        """Whether it holds for a connection between two addresses."""
        return self.everywhere or (self.loopback and any(_is_loopback(address.packed) for address in addresses))


def _setting(host: Host, name: str, default: int) -> int:
    try:
        return int(host.read_sysctl(f"ipv4/{name}"))
    except (OSError, ValueError):
        return default


def _is_loopback(packed: bytes) -> bool:
    return packed[0] == 127 if len(packed) == 4 else packed == _IPV6_LOOPBACK
