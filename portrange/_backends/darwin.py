"""macOS and its relatives: settings from sysctl(3), sockets process by process through psutil.

Sources, in Apple's kernel (github.com/apple-oss-distributions/xnu, version 11417):

- bsd/netinet/in_pcb.c: ``net.inet.ip.portrange.first`` and ``last`` bound what bind(2) to port 0 and connect(2) pick,
  for TCP and UDP, IPv4 and IPv6 (in6_src.c) alike. The first may be above the last: then the kernel counts down.
- bsd/netinet/in.h: IPPORT_HIFIRSTAUTO 49152, IPPORT_HILASTAUTO 65535, the defaults.
- bsd/net/restricted_in_port.c: the ports of ``net.restricted_port.bitmap`` are never picked, whatever the transport,
  and bind(2) refuses them with EADDRINUSE to programs without Apple's entitlement. Some are refused for one transport
  alone (55555 on macOS for TCP, 62743 on iOS for UDP), which the bitmap does not tell.
- in_pcbbind(), in6_pcbbind(): a port below 1024 needs a privilege, but on macOS not with the wildcard address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._answers.span import Spans
from . import sysctl
from .portable.backend import PortableBackend
from .portable.view import ONE_BY_ONE
from .settings import TOGETHER, Bounds, Found, SettingsReader, always, below, bounds, found_in

if TYPE_CHECKING:
    from .._host import Host

FIRST = "net.inet.ip.portrange.first"
LAST = "net.inet.ip.portrange.last"
RESTRICTED = "net.restricted_port.bitmap"


def _bounds(host: Host, _protocol: str, _family: str) -> Found[Bounds]:
    source = f"sysctl {FIRST}, {LAST}"
    return found_in(source, lambda: bounds(sysctl.number(host, FIRST), sysctl.number(host, LAST), source))


def _restricted(host: Host, _protocol: str, _family: str) -> Found[Spans]:
    # On macOS 10.14 and before no port is restricted.
    return found_in(f"sysctl {RESTRICTED}", lambda: sysctl.ports_if_any(host, RESTRICTED))


SETTINGS = SettingsReader(
    platform="macos",
    protocols=("tcp", "udp"),
    apart=TOGETHER,
    default=lambda _host: Bounds(49152, 65535),
    bounds=_bounds,
    reserved=always(()),  # nothing else is kept from being picked
    excluded=_restricted,
    privileged=always(below(1024), "in_pcbbind(); macOS asks for no privilege on the wildcard address"),
)

BACKEND = PortableBackend(SETTINGS, ONE_BY_ONE)
