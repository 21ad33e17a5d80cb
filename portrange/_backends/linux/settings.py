"""What Linux does with port numbers, from the sysctl files below /proc/sys/net/ipv4.

The kernel's Documentation/networking/ip-sysctl.rst describes all three. They hold for IPv4 and IPv6 alike and for
every transport (net/ipv4/inet_connection_sock.c, udp.c, net/sctp/socket.c), and belong to a network namespace.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from ..._answers.number import HIGHEST_PORT
from ..._answers.span import Span, Spans, merge
from ..._errors import ParseError, SourceError
from ..base import PROTOCOLS
from ..settings import TOGETHER, Bounds, Found, SettingsReader, below, found_in

if TYPE_CHECKING:
    from ..._host import Host

T = TypeVar("T")

RANGE = "ipv4/ip_local_port_range"
RESERVED = "ipv4/ip_local_reserved_ports"
UNPRIVILEGED_START = "ipv4/ip_unprivileged_port_start"

#: ip-sysctl.rst: "The default values are 32768 and 60999 respectively."
DEFAULT_RANGE = Bounds(32768, 60999)
WINDOWS_RANGE = Bounds(49152, 65535)
#: Linux refuses no port to everybody.
_NOTHING: Found[Spans] = Found(())
_RESERVED_ITEM = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?", re.ASCII)


def parse_range(text: str, source: str) -> tuple[int, int]:
    r"""The first and last port of ip_local_port_range: two numbers, separated by white space.

    >>> parse_range("32768\t60999\n", "an example")
    (32768, 60999)
    """
    fields = text.split()
    if len(fields) == 2 and all(_is_port(field) for field in fields):
        first, last = map(int, fields)
        if first <= last:
            return first, last
    raise ParseError(source, "two ascending port numbers", text)


def parse_reserved(text: str, source: str) -> Spans:
    r"""The ports of ip_local_reserved_ports: numbers and ranges, separated by commas; empty where there are none.

    >>> parse_reserved("8080,9148-9150\n", "an example")
    (Span(first=8080, last=8080), Span(first=9148, last=9150))
    """
    spans: list[Span] = []
    for item in text.strip().split(",") if text.strip() else ():
        match = _RESERVED_ITEM.fullmatch(item.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last <= HIGHEST_PORT:
            raise ParseError(source, "port numbers and ranges separated by commas", text)
        spans.append(Span(first, last))
    return merge(spans)


def parse_unprivileged_start(text: str, source: str) -> int:
    r"""The first port that needs no privilege, 0 to 65536.

    >>> parse_unprivileged_start("1024\n", "an example")
    1024
    """
    number = text.strip()
    if number.isascii() and number.isdigit() and len(number) <= 5 and int(number) <= HIGHEST_PORT + 1:
        return int(number)
    raise ParseError(source, "one number from 0 to 65536", text)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= HIGHEST_PORT


def path(host: Host, name: str) -> str:
    """Where a setting is found, as it is named in answers."""
    return f"{host.procfs}/sys/net/{name}"


def _read(host: Host, name: str, parse: Callable[[str, str], T]) -> Found[T]:
    source = path(host, name)

    def read() -> T:
        return parse(host.read_sysctl(name).decode("ascii", "backslashreplace"), source)

    return host.once(name, lambda: found_in(source, read))


def _bounds(host: Host, _protocol: str, _family: str) -> Found[Bounds]:
    found = _read(host, RANGE, parse_range)
    return Found(Bounds(*found.value), found.source)


def _reserved(host: Host, _protocol: str, _family: str) -> Found[Spans]:
    return _read(host, RESERVED, parse_reserved)


def _privileged(host: Host, _protocol: str, _family: str) -> Found[Spans]:
    # Port 0 asks for any port, which needs no privilege (inet_port_requires_bind_service, net/ipv4/af_inet.c).
    found = _read(host, UNPRIVILEGED_START, parse_unprivileged_start)
    return Found(below(found.value), found.source)


def is_wsl1(host: Host) -> bool | None:
    """Whether this is WSL 1, which translates system calls: its sockets are those of Windows, with Windows' settings.

    Its kernel release ends in "-Microsoft"; that of WSL 2, which is Linux, in "-microsoft-standard-WSL2". None where
    the release cannot be read.
    """
    known: bool | None = host.proven.get("WSL 1")
    if known is None:
        try:
            release = host.read(_release(host)).decode("ascii", "replace")
        except OSError:
            return None
        known = host.proven["WSL 1"] = release.strip().endswith("-Microsoft")  # until this machine starts again
    return known


def _release(host: Host) -> str:
    return f"{host.procfs}/sys/kernel/osrelease"


def _excluded(host: Host, _protocol: str, _family: str) -> Found[Spans]:
    translated = is_wsl1(host)
    if translated is None:
        raise SourceError(_release(host), "cannot be read; it tells Linux from WSL 1, where Windows excludes ports")
    if translated:
        raise SourceError("WSL 1", "its sockets are those of Windows, which does not tell here what it excludes")
    return _NOTHING


def _default(host: Host) -> Bounds:
    return WINDOWS_RANGE if is_wsl1(host) else DEFAULT_RANGE


SETTINGS = SettingsReader(
    platform="linux",
    protocols=PROTOCOLS,
    apart=TOGETHER,
    default=_default,
    bounds=_bounds,
    reserved=_reserved,
    excluded=_excluded,
    privileged=_privileged,
)

pool = SETTINGS.pool
settings = SETTINGS.settings
