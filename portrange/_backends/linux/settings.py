"""What Linux does with port numbers, from the sysctl files below /proc/sys/net/ipv4.

The kernel's Documentation/networking/ip-sysctl.rst describes all three. They hold for IPv4 and IPv6 alike and for
every transport (net/ipv4/inet_connection_sock.c, udp.c, net/sctp/socket.c), and belong to a network namespace.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from ..._answers.pool import DOCUMENTED_DEFAULT, EphemeralRange, PortSettings
from ..._answers.span import Span, Spans, merge
from ..._errors import ParseError

if TYPE_CHECKING:
    from ..._host import Host

T = TypeVar("T")

RANGE = "ipv4/ip_local_port_range"
RESERVED = "ipv4/ip_local_reserved_ports"
UNPRIVILEGED_START = "ipv4/ip_unprivileged_port_start"

#: ip-sysctl.rst: "The default values are 32768 and 60999 respectively."
DEFAULT_RANGE = (32768, 60999)
_HIGHEST = 65535
_RESERVED_ITEM = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")


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
        if not first <= last <= _HIGHEST:
            raise ParseError(source, "port numbers and ranges separated by commas", text)
        spans.append(Span(first, last))
    return merge(spans)


def parse_unprivileged_start(text: str, source: str) -> int:
    r"""The first port that needs no privilege, 0 to 65536.

    >>> parse_unprivileged_start("1024\n", "an example")
    1024
    """
    number = text.strip()
    if number.isascii() and number.isdigit() and int(number) <= _HIGHEST + 1:
        return int(number)
    raise ParseError(source, "one number from 0 to 65536", text)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= _HIGHEST


def path(host: Host, name: str) -> str:
    """Where a setting is found, as it is named in answers."""
    return f"{host.procfs}/sys/net/{name}"


def _read(host: Host, name: str, parse: Callable[[str, str], T]) -> T:
    return host.once(name, lambda: parse(host.read_sysctl(name).decode("ascii", "backslashreplace"), path(host, name)))


def pool(host: Host, protocol: str, family: str) -> EphemeralRange:
    """The ephemeral range; the documented default, marked as assumed, where a file cannot be read."""
    source, assumed = path(host, RANGE), False
    try:
        first, last = _read(host, RANGE, parse_range)
    except OSError:
        (first, last), source, assumed = DEFAULT_RANGE, DOCUMENTED_DEFAULT, True
    try:
        reserved = _read(host, RESERVED, parse_reserved)
    except OSError:
        reserved, assumed = (), True
    return EphemeralRange(first, last, protocol, family, reserved, source, assumed)


def settings(host: Host) -> PortSettings:
    """All of it; what cannot be read or understood is None, and named in `unread`."""
    return host.once("linux settings", lambda: _settings(host))


def _settings(host: Host) -> PortSettings:
    unread: list[str] = []
    sources: list[tuple[str, str]] = []

    def attempt(fact: str, name: str, parse: Callable[[str, str], T]) -> T | None:
        try:
            value = _read(host, name, parse)
        except ParseError as error:
            unread.append(str(error))
        except OSError as error:
            unread.append(f"{path(host, name)}: {error.strerror or error}")
        else:
            sources.append((fact, path(host, name)))
            return value
        return None

    bounds = attempt("pools", RANGE, parse_range)
    reserved = attempt("reserved", RESERVED, parse_reserved)
    start = attempt("privileged", UNPRIVILEGED_START, parse_unprivileged_start)
    pools = None
    if bounds is not None:
        pools = (EphemeralRange(*bounds, reserved=reserved or (), source=path(host, RANGE), assumed=reserved is None),)
    privileged: Spans | None = None
    if start is not None:
        # Port 0 asks for any port, which needs no privilege (inet_port_requires_bind_service, net/ipv4/af_inet.c).
        privileged = (Span(1, start - 1),) if start > 1 else ()
    return PortSettings(
        platform="linux",
        pools=pools,
        reserved=reserved,
        excluded=(),  # Linux refuses no port to everybody
        privileged=privileged,
        sources=tuple(sources),
        unread=tuple(unread),
    )
