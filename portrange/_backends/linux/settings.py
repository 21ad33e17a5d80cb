"""Port settings of Linux, from the sysctl files below /proc/sys/net/ipv4.

Documentation/networking/ip-sysctl.rst of the kernel describes all three. They apply to IPv4 and IPv6 and to every
protocol (net/ipv4/inet_connection_sock.c, udp.c, net/sctp/socket.c), and each network namespace has its own.
"""

from __future__ import annotations

from ..._answers.address import PROTOCOLS
from ..._answers.span import HIGHEST_PORT, Span, merge, parse_decimal
from ..._errors import ParseError, SourceError
from ..settings import TOGETHER, SettingsReader, below, read_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from ..._answers.span import Spans
    from ..._host.system import System

    T = TypeVar("T")

RANGE = "ipv4/ip_local_port_range"
RESERVED = "ipv4/ip_local_reserved_ports"
UNPRIVILEGED_START = "ipv4/ip_unprivileged_port_start"

#: ip-sysctl.rst: "The default values are 32768 and 60999 respectively."
DEFAULT_RANGE = Span(32768, 60999)
#: The default of Windows, which owns the sockets of WSL 1.
WINDOWS_RANGE = Span(49152, 65535)


def parse_range(text: str, source: str) -> Span:
    r"""Return the ports of ip_local_port_range: two numbers, separated by white space.

    >>> parse_range("32768\t60999\n", "an example")
    Span(first=32768, last=60999)
    """
    fields = text.split()
    if len(fields) == 2:
        first, last = map(parse_decimal, fields)
        if first is not None and last is not None and first <= last:
            return Span(first, last)
    raise ParseError(source, "two ascending port numbers", text)


def parse_reserved(text: str, source: str) -> Spans:
    r"""Return the ports of ip_local_reserved_ports: numbers and ranges, separated by commas; it may be empty.

    >>> parse_reserved("8080,9148-9150\n", "an example")
    (Span(first=8080, last=8080), Span(first=9148, last=9150))
    """
    spans: list[Span] = []
    for item in text.strip().split(",") if text.strip() else ():
        start, dash, end = item.strip().partition("-")
        first = parse_decimal(start)
        last = parse_decimal(end) if dash else first
        if first is None or last is None or first > last:
            raise ParseError(source, "port numbers and ranges separated by commas", text)
        spans.append(Span(first, last))
    return merge(spans)


def parse_unprivileged_start(text: str, source: str) -> int:
    r"""Return the first port that needs no privilege, 0 to 65536.

    >>> parse_unprivileged_start("1024\n", "an example")
    1024
    """
    start = parse_decimal(text.strip(), HIGHEST_PORT + 1)
    if start is None:
        raise ParseError(source, "one number from 0 to 65536", text)
    return start


def path(system: System, name: str) -> str:
    """Return the path of a setting, which results name as its source."""
    return f"{system.procfs}/sys/net/{name}"


def is_wsl1(system: System) -> bool | None:
    """Return whether this is WSL 1, which translates system calls to Windows: its sockets and settings are Windows'.

    Its kernel release ends in "-Microsoft"; that of WSL 2, which is Linux, in "-microsoft-standard-WSL2". None if the
    release cannot be read.
    """
    constants = system.constants
    if constants.is_wsl1 is None:
        try:
            release = system.read(_release_file(system)).decode("ascii", "replace")
        except OSError:
            return None
        constants.is_wsl1 = release.strip().endswith("-Microsoft")
    return constants.is_wsl1


def _release_file(system: System) -> str:
    return f"{system.procfs}/sys/kernel/osrelease"


# --- readers of `SettingsReader` -------------------------------------------------------------------------------------


def _read(system: System, name: str, parse: Callable[[str, str], T]) -> tuple[T, str]:
    return system.cached(name, _read_now, system, name, parse)


def _read_now(system: System, name: str, parse: Callable[[str, str], T]) -> tuple[T, str]:
    source = path(system, name)
    return read_from(source, lambda: parse(system.read_sysctl(name).decode("ascii", "backslashreplace"), source))


def _range(system: System, _protocol: str, _family: str) -> tuple[Span, str]:
    return _read(system, RANGE, parse_range)


def _reserved(system: System, _protocol: str, _family: str) -> tuple[Spans, str]:
    return _read(system, RESERVED, parse_reserved)


def _excluded(system: System, _protocol: str, _family: str) -> tuple[Spans, str]:
    translated = is_wsl1(system)
    if translated is None:
        raise SourceError(
            _release_file(system),
            "cannot be read, so this may be WSL 1, where Windows excludes ports; allow reading it",
        )
    if translated:
        raise SourceError(
            "WSL 1", "Windows owns its sockets, and the ports it excludes cannot be read here; use Python for Windows"
        )
    return (), ""  # Linux excludes no port


def _privileged(system: System, _protocol: str, _family: str) -> tuple[Spans, str]:
    # Port 0 requests any port, which needs no privilege (inet_port_requires_bind_service, net/ipv4/af_inet.c).
    start, source = _read(system, UNPRIVILEGED_START, parse_unprivileged_start)
    return below(start), source


def _default(system: System) -> Span:
    return WINDOWS_RANGE if is_wsl1(system) else DEFAULT_RANGE


SETTINGS = SettingsReader(
    platform="linux",
    protocols=PROTOCOLS,
    apart=TOGETHER,
    default=_default,
    bounds=_range,
    reserved=_reserved,
    excluded=_excluded,
    privileged=_privileged,
)
