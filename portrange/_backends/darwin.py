"""macOS and its relatives: settings from sysctl(3), sockets per process through psutil and from `pcblist`.

Sources, in Apple's kernel (github.com/apple-oss-distributions/xnu, version 11417):

- bsd/netinet/in_pcb.c: ``net.inet.ip.portrange.first`` and ``last`` are the limits of the ports that bind(2) to port 0
  and connect(2) allocate, for TCP and UDP, IPv4 and IPv6 (in6_src.c) alike. If the first is above the last, the kernel
  counts down.
- bsd/netinet/in.h: IPPORT_HIFIRSTAUTO 49152, IPPORT_HILASTAUTO 65535, the defaults.
- bsd/net/restricted_in_port.c: the ports of ``net.restricted_port.bitmap`` are never allocated, whatever the protocol,
  and bind(2) fails with EADDRINUSE in programs without Apple's entitlement. Some are refused for one protocol only
  (55555 on macOS for TCP, 62743 on iOS for UDP), which the bitmap does not show.
- in_pcbbind(), in6_pcbbind(): binding a port below 1024 needs a privilege, except on the wildcard address of macOS.
"""

from __future__ import annotations

from .._answers.span import Span
from .._lazy import import_lock
from . import sysctl
from .portable import ONE_BY_ONE, PortableBackend
from .settings import TOGETHER, SettingsReader, always, below, range_between, read_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._answers.address import FamilyName, ProtocolName
    from .._answers.span import Spans
    from .._host.system import System
    from .pcblist import KernelListeners

FIRST = "net.inet.ip.portrange.first"
LAST = "net.inet.ip.portrange.last"
RESTRICTED = "net.restricted_port.bitmap"


def _read_range(system: System, _protocol: ProtocolName, _family: FamilyName) -> tuple[Span, str]:
    source = f"sysctl {FIRST}, {LAST}"
    return read_from(source, lambda: range_between(sysctl.number(system, FIRST), sysctl.number(system, LAST), source))


def _read_restricted(system: System, _protocol: ProtocolName, _family: FamilyName) -> tuple[Spans, str]:
    # macOS 10.14 and earlier restrict no ports.
    return read_from(f"sysctl {RESTRICTED}", lambda: sysctl.ports_if_any(system, RESTRICTED))


SETTINGS = SettingsReader(
    platform="macos",
    protocols=("tcp", "udp"),
    apart=TOGETHER,
    default=lambda _system: Span(49152, 65535),
    bounds=_read_range,
    reserved=always(()),  # macOS has no other list of ports that are never allocated
    excluded=_read_restricted,
    privileged=always(below(1024), "in_pcbbind(); macOS requires no privilege on the wildcard address"),
)


def _read_listeners(system: System, protocols: Iterable[ProtocolName]) -> KernelListeners:
    with import_lock:
        from .pcblist import read_listeners
    return read_listeners(system, protocols)


BACKEND = PortableBackend(SETTINGS, ONE_BY_ONE, kernel=_read_listeners)
