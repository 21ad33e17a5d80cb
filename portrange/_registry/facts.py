"""Default ephemeral ranges of operating systems, default ranges of orchestrators, and ports that software refuses."""

from __future__ import annotations

from .._frozen import Frozen


class DefaultRange(Frozen):
    """The ephemeral port range of a freshly installed operating system."""

    system: str
    """The operating system in results and arguments, such as "linux"."""
    title: str
    """The operating system in messages, such as "Linux"."""
    first: int
    """The lowest port of the range."""
    last: int
    """The highest port of the range."""


#: In the order of results and of targets: the three most widespread systems, then the others.
DEFAULT_RANGES = (
    # net/ipv4/af_inet.c, inet_init_net; ip-sysctl.rst: "The default values are 32768 and 60999 respectively."
    DefaultRange("linux", "Linux", 32768, 60999),
    # bsd/netinet/in.h of XNU: IPPORT_HIFIRSTAUTO, IPPORT_HILASTAUTO; sysctl net.inet.ip.portrange.first, .last
    DefaultRange("macos", "macOS", 49152, 65535),
    # Microsoft's article 929851, since Windows Vista and Server 2008
    DefaultRange("windows", "Windows", 49152, 65535),
    # sys/netinet/in.h: IPPORT_EPHEMERALFIRST, IPPORT_EPHEMERALLAST
    DefaultRange("freebsd", "FreeBSD", 10000, 65535),
    # sys/netinet/in.h: IPPORT_RESERVED, IPPORT_USERRESERVED; sysctl net.inet.ip.portfirst, .portlast
    DefaultRange("openbsd", "OpenBSD", 1024, 49151),
    # sys/netinet/in.h: IPPORT_ANONMIN, IPPORT_ANONMAX; sysctl net.inet.ip.anonportmin, .anonportmax
    DefaultRange("netbsd", "NetBSD", 49152, 65535),
    # sys/netinet/in.h: IPPORT_RESERVED, IPPORT_USERRESERVED
    DefaultRange("dragonfly", "DragonFly", 1024, 5000),
    # Oracle's Tunable Parameters manual: smallest_anon_port, largest_anon_port (tcp, udp, sctp)
    DefaultRange("solaris", "Solaris", 32768, 65535),
    # IBM's no command: tcp_ephemeral_low, tcp_ephemeral_high, and the same for udp
    DefaultRange("aix", "AIX", 32768, 65535),
)

#: The systems that a fixed port is judged for unless the caller names others: a program written on one of them is
#: sooner or later run on another.
DEFAULT_TARGETS = ("linux", "macos", "windows")


class OrchestratorRange(Frozen):
    """The ports that an orchestrator allocates to workloads, by default."""

    name: str
    """The orchestrator in arguments, such as "kubernetes"."""
    title: str
    """The orchestrator in messages, such as "Kubernetes NodePort"."""
    first: int
    """The lowest port of the range."""
    last: int
    """The highest port of the range."""
    source: str
    """The documentation of the project, and the version that it describes."""


#: As of 2026-11-24. Docker is not among them: ``docker run -P`` takes ports from the ephemeral range of the host
#: (docs.docker.com, "docker container run").
ORCHESTRATOR_RANGES = (
    OrchestratorRange(
        "kubernetes", "Kubernetes NodePort", 30000, 32767, "kubernetes.io: Ports and Protocols, NodePort (since 1.0)"
    ),
    OrchestratorRange("nomad", "Nomad", 20000, 32000, "developer.hashicorp.com: client block, min_dynamic_port (1.7)"),
    OrchestratorRange(
        "swarm", "Docker Swarm", 30000, 32767, "docs.docker.com: Swarm mode key concepts (since Engine 1.12)"
    ),
    OrchestratorRange("mesos", "Mesos", 31000, 32000, "src/slave/constants.hpp of apache/mesos: DEFAULT_PORTS (1.x)"),
)

#: "Bad ports" of the Fetch standard (WHATWG, https://fetch.spec.whatwg.org/#port-blocking, as of July 2026): a browser
#: fails an http or https URL with one of them with a network error, without contacting the server.
BAD_PORTS = frozenset(
    {
        *(0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95),
        *(101, 102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179),
        *(389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587),
        *(601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061),
        *(6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080),
    }
)

#: macOS allows these TCP ports only to programs with an entitlement from Apple (bsd/net/restricted_in_port.c of XNU):
#: a bind fails with EADDRINUSE although no socket has the port.
MACOS_RESTRICTED = frozenset({55555})
