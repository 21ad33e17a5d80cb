"""The BSDs: settings from sysctl(3), sockets through psutil.

Sources:

- FreeBSD, sys/netinet/in_pcb.c, in.h and ip(4): ``net.inet.ip.portrange.first`` and ``last``, 10000 to 65535, one range
  for all protocols and both families, one in each jail with its own network (vnet). Binding a port from
  ``reservedlow`` to ``reservedhigh`` needs a privilege: 0 to 1023, unless the administrator changed it.
- DragonFly, sys/netinet/in_pcb.c, in.h: the same names, 1024 to 5000.
- OpenBSD, sys/netinet/in.h, tcp_var.h, udp_var.h: sysctl(2) has numbers only. The range is 1024 to 49151. The ports of
  ``baddynamic`` are never allocated, those of ``rootonly`` need a privilege like those below 1024, each per protocol.
- NetBSD, sys/netinet/in.h, netinet6/in6.h, rfc6056(7): ``net.inet.ip.anonportmin`` and ``anonportmax``, and the same
  below ``net.inet6.ip6`` for IPv6; 49152 to 65535. The ports of ``anonportalgo.reserve``, one setting per family, are
  never allocated (sys/netinet/portalgo.c).

Ports below IPPORT_RESERVED (1024, netinet/in.h) need a privilege where nothing else is stated.

Sockets, in psutil's folder arch and the kernels:

- FreeBSD: the table of the whole system joins ``net.inet.tcp.pcblist`` and ``udp.pcblist`` with ``kern.file``, which
  show all users unless ``security.bsd.see_other_uids`` or ``see_other_gids`` is 0 (cr_canseeinpcb, p_cansee). It has
  one owner per socket. A process shows its descriptors to its user only (kinfo_getfile, PGET_CANDEBUG).
- OpenBSD: KERN_FILE_BYPID lists each descriptor of each process, without a check of the caller (kern_sysctl.c).
- NetBSD: KERN_FILE2 and the lists of PCBs are joined by kernel addresses, which ``security.expose_address`` can hide.
"""

from __future__ import annotations

from .._answers.span import HIGHEST_PORT, Span, merge
from .._errors import ParseError
from .._frozen import Frozen
from . import sysctl
from .portable import DESCRIPTORS, MATCHED, ONE_BY_ONE, WITH_OTHERS, PortableBackend
from .settings import BY_FAMILY, BY_PROTOCOL, TOGETHER, SettingsReader, always, below, range_between, read_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._answers.address import FamilyName, ProtocolName
    from .._answers.span import Spans
    from .._host.system import System
    from .settings import Reader

_IPPORT_RESERVED = always(below(1024), "IPPORT_RESERVED, netinet/in.h")
_NO_PORTS: Reader[Spans] = always(())


class _RangeSettings(Frozen):
    """The sysctls of an ephemeral range."""

    first: sysctl.Name
    """The setting of the first port."""
    last: sysctl.Name
    """The setting of the last port."""
    source: str
    """The name of both in results."""


def _range_reader(ipv4: _RangeSettings, ipv6: _RangeSettings) -> Reader[Span]:
    by_family = {"ipv4": ipv4, "ipv6": ipv6}

    def read(system: System, _protocol: ProtocolName, family: FamilyName) -> tuple[Span, str]:
        settings = by_family[family]

        def read_range() -> Span:
            # OpenBSD accepts 0 as the first port, which cannot be allocated.
            first = sysctl.number(system, settings.first) or 1
            return range_between(first, sysctl.number(system, settings.last), settings.source)

        return read_from(settings.source, read_range)

    return read


# --- FreeBSD and DragonFly -------------------------------------------------------------------------------------------

_PORTRANGE = _RangeSettings(
    "net.inet.ip.portrange.first",
    "net.inet.ip.portrange.last",
    "sysctl net.inet.ip.portrange.first, net.inet.ip.portrange.last",
)
_RESERVED_LOW = "net.inet.ip.portrange.reservedlow"
_RESERVED_HIGH = "net.inet.ip.portrange.reservedhigh"


def _read_freebsd_privileged(system: System, _protocol: ProtocolName, _family: FamilyName) -> tuple[Spans, str]:
    source = f"sysctl {_RESERVED_LOW}, {_RESERVED_HIGH}"

    def read() -> Spans:
        low, high = max(1, sysctl.number(system, _RESERVED_LOW)), sysctl.number(system, _RESERVED_HIGH)
        if high > HIGHEST_PORT:
            raise ParseError(source, f"ports from 0 to {HIGHEST_PORT}", f"{low} and {high}")
        return (Span(low, high),) if low <= high else ()

    return read_from(source, read)


FREEBSD = SettingsReader(
    platform="freebsd",
    protocols=("tcp", "udp", "sctp"),
    apart=TOGETHER,
    default=lambda _system: Span(10000, 65535),
    bounds=_range_reader(_PORTRANGE, _PORTRANGE),
    reserved=_NO_PORTS,
    excluded=_NO_PORTS,
    privileged=_read_freebsd_privileged,
)

DRAGONFLY = SettingsReader(
    platform="dragonfly",
    protocols=("tcp", "udp"),
    apart=TOGETHER,
    default=lambda _system: Span(1024, 5000),
    bounds=_range_reader(_PORTRANGE, _PORTRANGE),
    reserved=_NO_PORTS,
    excluded=_NO_PORTS,
    privileged=_IPPORT_RESERVED,
)


# --- OpenBSD ---------------------------------------------------------------------------------------------------------

# CTL_NET, PF_INET, then the protocol (IPPROTO_IP, IPPROTO_TCP, IPPROTO_UDP) and its setting.
# IPCTL_IPPORT_FIRSTAUTO, IPCTL_IPPORT_LASTAUTO
_OPENBSD_RANGE = _RangeSettings((4, 2, 0, 7), (4, 2, 0, 8), "sysctl net.inet.ip.portfirst, net.inet.ip.portlast")
_OPENBSD_BADDYNAMIC = {"tcp": (4, 2, 6, 6), "udp": (4, 2, 17, 2)}  # TCPCTL_BADDYNAMIC, UDPCTL_BADDYNAMIC
_OPENBSD_ROOTONLY = {"tcp": (4, 2, 6, 24), "udp": (4, 2, 17, 6)}  # TCPCTL_ROOTONLY, UDPCTL_ROOTONLY


def _read_baddynamic(system: System, protocol: ProtocolName, _family: FamilyName) -> tuple[Spans, str]:
    name = _OPENBSD_BADDYNAMIC[protocol]
    return read_from(f"sysctl net.inet.{protocol}.baddynamic", lambda: sysctl.ports(system, name))


def _read_openbsd_privileged(system: System, protocol: ProtocolName, _family: FamilyName) -> tuple[Spans, str]:
    name = _OPENBSD_ROOTONLY[protocol]
    root_only, source = read_from(f"sysctl net.inet.{protocol}.rootonly", lambda: sysctl.ports(system, name))
    return merge([*below(1024), *root_only]), f"IPPORT_RESERVED, netinet/in.h, and {source}"


OPENBSD = SettingsReader(
    platform="openbsd",
    protocols=("tcp", "udp"),
    apart=BY_PROTOCOL,
    default=lambda _system: Span(1024, 49151),
    bounds=_range_reader(_OPENBSD_RANGE, _OPENBSD_RANGE),
    reserved=_read_baddynamic,
    excluded=_NO_PORTS,
    privileged=_read_openbsd_privileged,
)


# --- NetBSD ----------------------------------------------------------------------------------------------------------

_NETBSD_RESERVE = {
    "ipv4": "net.inet.ip.anonportalgo.reserve",
    "ipv6": "net.inet6.ip6.anonportalgo.reserve",
}


def _anonymous_ports(node: str) -> _RangeSettings:
    first, last = f"{node}.anonportmin", f"{node}.anonportmax"
    return _RangeSettings(first, last, f"sysctl {first}, {last}")


def _read_netbsd_reserved(system: System, _protocol: ProtocolName, family: FamilyName) -> tuple[Spans, str]:
    name = _NETBSD_RESERVE[family]
    # NetBSD 5 and earlier cannot reserve ports.
    return read_from(f"sysctl {name}", lambda: sysctl.ports_if_any(system, name))


NETBSD = SettingsReader(
    platform="netbsd",
    protocols=("tcp", "udp"),
    apart=BY_FAMILY,
    default=lambda _system: Span(49152, 65535),
    bounds=_range_reader(_anonymous_ports("net.inet.ip"), _anonymous_ports("net.inet6.ip6")),
    reserved=_read_netbsd_reserved,
    excluded=_NO_PORTS,
    privileged=_IPPORT_RESERVED,
)

FREEBSD_BACKEND = PortableBackend(FREEBSD, WITH_OTHERS)
DRAGONFLY_BACKEND = PortableBackend(DRAGONFLY, ONE_BY_ONE)
OPENBSD_BACKEND = PortableBackend(OPENBSD, DESCRIPTORS)
NETBSD_BACKEND = PortableBackend(NETBSD, MATCHED)
