"""The BSDs: settings from sysctl(3), sockets process by process through psutil.

Sources:

- FreeBSD, sys/netinet/in_pcb.c, in.h and ip(4): ``net.inet.ip.portrange.first`` and ``last``, 10000 to 65535, one pool
  for all protocols and both families, one in each jail that has its own network (vnet). Binding a port from
  ``reservedlow`` to ``reservedhigh`` needs a privilege: 0 to 1023, unless the administrator changed it.
- DragonFly, sys/netinet/in_pcb.c, in.h: the same names, 1024 to 5000.
- OpenBSD, sys/netinet/in.h, tcp_var.h, udp_var.h: sysctl(2) has numbers only. The pool is 1024 to 49151. The ports of
  ``baddynamic`` are never picked, those of ``rootonly`` need a privilege like those below 1024, each per protocol.
- NetBSD, sys/netinet/in.h, netinet6/in6.h, rfc6056(7): ``net.inet.ip.anonportmin`` and ``anonportmax``, and the same
  below ``net.inet6.ip6`` for IPv6; 49152 to 65535. The ports of ``anonportalgo.reserve``, one for each family, are
  never picked (sys/netinet/portalgo.c).

Unless a system says otherwise, ports below IPPORT_RESERVED (1024, netinet/in.h) need a privilege.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .._answers.number import HIGHEST_PORT
from .._answers.span import Span, Spans, merge
from .._errors import ParseError
from . import sysctl
from .portable.backend import PortableBackend
from .portable.view import ONE_BY_ONE
from .settings import (
    BY_FAMILY,
    BY_PROTOCOL,
    TOGETHER,
    Bounds,
    Found,
    Reader,
    SettingsReader,
    always,
    below,
    bounds,
    found_in,
)

if TYPE_CHECKING:
    from .._host import Host

_IPPORT_RESERVED = always(below(1024), "IPPORT_RESERVED, netinet/in.h")
_NOTHING: Reader[Spans] = always(())


class _Pair(NamedTuple):
    """The two sysctls of a pool, and how they are named in answers."""

    first: sysctl.Name
    last: sysctl.Name
    source: str


def _pool(ipv4: _Pair, ipv6: _Pair) -> Reader[Bounds]:
    pairs = {"ipv4": ipv4, "ipv6": ipv6}

    def read(host: Host, _protocol: str, family: str) -> Found[Bounds]:
        first, last, source = pairs[family]
        # OpenBSD lets a pool begin at 0, which is no port that could be handed out.
        return found_in(source, lambda: bounds(sysctl.number(host, first) or 1, sysctl.number(host, last), source))

    return read


# --- FreeBSD and DragonFly -------------------------------------------------------------------------------------------

_PORTRANGE = _Pair(
    "net.inet.ip.portrange.first",
    "net.inet.ip.portrange.last",
    "sysctl net.inet.ip.portrange.first, net.inet.ip.portrange.last",
)
_RESERVED_LOW = "net.inet.ip.portrange.reservedlow"
_RESERVED_HIGH = "net.inet.ip.portrange.reservedhigh"


def _freebsd_privileged(host: Host, _protocol: str, _family: str) -> Found[Spans]:
    def read() -> Spans:
        low, high = max(1, sysctl.number(host, _RESERVED_LOW)), sysctl.number(host, _RESERVED_HIGH)
        if high > HIGHEST_PORT:
            raise ParseError(source, f"ports from 0 to {HIGHEST_PORT}", f"{low} and {high}")
        return (Span(low, high),) if low <= high else ()

    source = f"sysctl {_RESERVED_LOW}, {_RESERVED_HIGH}"
    return found_in(source, read)


FREEBSD = SettingsReader(
    platform="freebsd",
    protocols=("tcp", "udp", "sctp"),
    apart=TOGETHER,
    default=lambda _host: Bounds(10000, 65535),
    bounds=_pool(_PORTRANGE, _PORTRANGE),
    reserved=_NOTHING,
    excluded=_NOTHING,
    privileged=_freebsd_privileged,
)

DRAGONFLY = SettingsReader(
    platform="dragonfly",
    protocols=("tcp", "udp"),
    apart=TOGETHER,
    default=lambda _host: Bounds(1024, 5000),
    bounds=_pool(_PORTRANGE, _PORTRANGE),
    reserved=_NOTHING,
    excluded=_NOTHING,
    privileged=_IPPORT_RESERVED,
)


# --- OpenBSD ---------------------------------------------------------------------------------------------------------

# CTL_NET, PF_INET, then the protocol (IPPROTO_IP, IPPROTO_TCP, IPPROTO_UDP) and its setting.
# IPCTL_IPPORT_FIRSTAUTO, IPCTL_IPPORT_LASTAUTO
_OPENBSD_POOL = _Pair((4, 2, 0, 7), (4, 2, 0, 8), "sysctl net.inet.ip.portfirst, net.inet.ip.portlast")
_OPENBSD_BADDYNAMIC = {"tcp": (4, 2, 6, 6), "udp": (4, 2, 17, 2)}  # TCPCTL_BADDYNAMIC, UDPCTL_BADDYNAMIC
_OPENBSD_ROOTONLY = {"tcp": (4, 2, 6, 24), "udp": (4, 2, 17, 6)}  # TCPCTL_ROOTONLY, UDPCTL_ROOTONLY


def _openbsd_reserved(host: Host, protocol: str, _family: str) -> Found[Spans]:
    return found_in(f"sysctl net.inet.{protocol}.baddynamic", lambda: sysctl.ports(host, _OPENBSD_BADDYNAMIC[protocol]))


def _openbsd_privileged(host: Host, protocol: str, _family: str) -> Found[Spans]:
    found = found_in(f"sysctl net.inet.{protocol}.rootonly", lambda: sysctl.ports(host, _OPENBSD_ROOTONLY[protocol]))
    return Found(merge([*below(1024), *found.value]), f"IPPORT_RESERVED, netinet/in.h, and {found.source}")


OPENBSD = SettingsReader(
    platform="openbsd",
    protocols=("tcp", "udp"),
    apart=BY_PROTOCOL,
    default=lambda _host: Bounds(1024, 49151),
    bounds=_pool(_OPENBSD_POOL, _OPENBSD_POOL),
    reserved=_openbsd_reserved,
    excluded=_NOTHING,
    privileged=_openbsd_privileged,
)


# --- NetBSD ----------------------------------------------------------------------------------------------------------

_NETBSD_RESERVE = {
    "ipv4": "net.inet.ip.anonportalgo.reserve",
    "ipv6": "net.inet6.ip6.anonportalgo.reserve",
}


def _anonymous(node: str) -> _Pair:
    first, last = f"{node}.anonportmin", f"{node}.anonportmax"
    return _Pair(first, last, f"sysctl {first}, {last}")


def _netbsd_reserved(host: Host, _protocol: str, family: str) -> Found[Spans]:
    name = _NETBSD_RESERVE[family]
    # On NetBSD 5 and before no port can be set aside.
    return found_in(f"sysctl {name}", lambda: sysctl.ports_if_any(host, name))


NETBSD = SettingsReader(
    platform="netbsd",
    protocols=("tcp", "udp"),
    apart=BY_FAMILY,
    default=lambda _host: Bounds(49152, 65535),
    bounds=_pool(_anonymous("net.inet.ip"), _anonymous("net.inet6.ip6")),
    reserved=_netbsd_reserved,
    excluded=_NOTHING,
    privileged=_IPPORT_RESERVED,
)

FREEBSD_BACKEND = PortableBackend(FREEBSD, ONE_BY_ONE)
DRAGONFLY_BACKEND = PortableBackend(DRAGONFLY, ONE_BY_ONE)
OPENBSD_BACKEND = PortableBackend(OPENBSD, ONE_BY_ONE)
NETBSD_BACKEND = PortableBackend(NETBSD, ONE_BY_ONE)
