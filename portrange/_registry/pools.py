"""The ephemeral pools that operating systems have by default, before anybody changes a setting."""

from __future__ import annotations

from typing import NamedTuple


class DefaultPool(NamedTuple):
    """The ports that a freshly installed system hands out by itself."""

    system: str
    title: str
    first: int
    last: int


#: In the order of answers: the three that most programs meet, then the others.
DEFAULT_POOLS = (
    # net/ipv4/af_inet.c, inet_init_net; ip-sysctl.rst: "The default values are 32768 and 60999 respectively."
    DefaultPool("linux", "Linux", 32768, 60999),
    # bsd/netinet/in.h of XNU: IPPORT_HIFIRSTAUTO, IPPORT_HILASTAUTO; sysctl net.inet.ip.portrange.first, .last
    DefaultPool("macos", "macOS", 49152, 65535),
    # Microsoft's article 929851, since Windows Vista and Server 2008
    DefaultPool("windows", "Windows", 49152, 65535),
    # sys/netinet/in.h: IPPORT_EPHEMERALFIRST, IPPORT_EPHEMERALLAST
    DefaultPool("freebsd", "FreeBSD", 10000, 65535),
    # sys/netinet/in.h: IPPORT_RESERVED, IPPORT_USERRESERVED; sysctl net.inet.ip.portfirst, .portlast
    DefaultPool("openbsd", "OpenBSD", 1024, 49151),
    # sys/netinet/in.h: IPPORT_ANONMIN, IPPORT_ANONMAX; sysctl net.inet.ip.anonportmin, .anonportmax
    DefaultPool("netbsd", "NetBSD", 49152, 65535),
    # sys/netinet/in.h: IPPORT_RESERVED, IPPORT_USERRESERVED
    DefaultPool("dragonfly", "DragonFly", 1024, 5000),
    # Oracle's Tunable Parameters manual: smallest_anon_port, largest_anon_port (tcp, udp, sctp)
    DefaultPool("solaris", "Solaris", 32768, 65535),
    # IBM's no command: tcp_ephemeral_low, tcp_ephemeral_high, and the same for udp
    DefaultPool("aix", "AIX", 32768, 65535),
)

#: A program that is written on one of these is sooner or later run on another.
COMMON_SYSTEMS = frozenset({"linux", "macos", "windows"})
