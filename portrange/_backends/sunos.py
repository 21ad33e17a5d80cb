"""Solaris and illumos: settings from ipadm(8) or, before Solaris 11, from ndd(8); sockets through psutil.

Sources: Oracle's "Solaris Tunable Parameters Reference Manual" (E36845, E54741, and that of Solaris 11.4), ipadm(8) of
illumos. Each transport has properties of its own, the same for IPv4 and IPv6:

- ``smallest_anon_port`` and ``largest_anon_port``, 32768 and 65535: the pool;
- ``smallest_nonpriv_port``, 1024: binding ports below it needs a privilege (net_privaddr in privileges(7)), and none
  of them is handed out (tcp_update_next_port, uts/common/inet/tcp/tcp_bind.c of illumos);
- ``extra_priv_ports``, 2049 and 4045: further ports of which both holds.

Solaris 11.4 writes the names with hyphens.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from .._answers.number import HIGHEST_PORT
from .._answers.span import Span, Spans, merge
from .._errors import ParseError, SourceError
from .portable.backend import PortableBackend
from .portable.view import WHOLE_TABLE
from .settings import BY_PROTOCOL, Bounds, Found, SettingsReader, always, below, bounds, found_in

if TYPE_CHECKING:
    from .._host import Host

_IPADM = "/usr/sbin/ipadm"
_NDD = "/usr/sbin/ndd"


def parse_properties(text: str, source: str) -> dict[str, str]:
    r"""The output of ``ipadm show-prop -c -o property,current``: a name, a colon and the value on each line.

    >>> parse_properties("smallest-anon-port:32768\nextra-priv-ports:2049,4045\n", "an example")
    {'smallest_anon_port': '32768', 'extra_priv_ports': '2049,4045'}
    """
    properties: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if not line.strip():
            continue
        if not colon:
            raise ParseError(source, "lines of a property, a colon and its value", line)
        properties[name.strip().replace("-", "_")] = value.strip()
    return properties


def parse_port(text: str, source: str) -> int:
    """One port number."""
    number = text.strip()
    if number.isascii() and number.isdigit() and len(number) <= 5 and int(number) <= HIGHEST_PORT + 1:
        return int(number)
    raise ParseError(source, "a port number", text)


def parse_ports(text: str, source: str) -> Spans:
    """Port numbers, separated by commas (ipadm) or white space (ndd); there may be none.

    >>> parse_ports("2049,4045", "an example")
    (Span(first=2049, last=2049), Span(first=4045, last=4045))
    """
    numbers = [parse_port(field, source) for field in text.replace(",", " ").split()]
    if numbers and max(numbers) > HIGHEST_PORT:
        raise ParseError(source, "port numbers", text)
    return merge(Span(number, number) for number in numbers)


def _property(host: Host, protocol: str, name: str) -> Found[str]:
    """One property of a transport: from ipadm, from ndd where the system has no ipadm."""
    command = ("show-prop", "-c", "-o", "property,current", protocol)
    source = f"ipadm show-prop {protocol}"
    try:
        text = _printed(host, source, _IPADM, *command)
    except SourceError as error:
        if error.errno != errno.ENOENT:
            raise
        source = f"ndd -get /dev/{protocol} {protocol}_{name}"
        return Found(_printed(host, source, _NDD, "-get", f"/dev/{protocol}", f"{protocol}_{name}"), source)
    properties = parse_properties(text, source)
    if name not in properties:
        raise ParseError(source, f"a property {name}", text)
    return Found(properties[name], source)


def _printed(host: Host, source: str, *command: str) -> str:
    printed = found_in(source, lambda: host.once(("run", *command), lambda: host.run(*command)))
    return printed.value.decode("ascii", "backslashreplace")


def _bounds(host: Host, protocol: str, _family: str) -> Found[Bounds]:
    smallest, largest = (_property(host, protocol, name) for name in ("smallest_anon_port", "largest_anon_port"))
    first, last = (parse_port(found.value, found.source) for found in (smallest, largest))
    pool, lowest = bounds(first, last, smallest.source), _lowest(host, protocol).value
    if lowest > pool.last:
        raise ParseError(smallest.source, f"a pool with ports from smallest_nonpriv_port on ({lowest})", f"{pool}")
    return Found(Bounds(max(pool.first, lowest), pool.last), smallest.source)


def _lowest(host: Host, protocol: str) -> Found[int]:
    """The first port that needs no privilege."""
    found = _property(host, protocol, "smallest_nonpriv_port")
    return Found(parse_port(found.value, found.source), found.source)


def _extra(host: Host, protocol: str, _family: str) -> Found[Spans]:
    found = _property(host, protocol, "extra_priv_ports")
    return Found(parse_ports(found.value, found.source), found.source)


def _privileged(host: Host, protocol: str, family: str) -> Found[Spans]:
    lowest, extra = _lowest(host, protocol), _extra(host, protocol, family)
    return Found(merge([*below(lowest.value), *extra.value]), lowest.source)


SETTINGS = SettingsReader(
    platform="solaris",
    protocols=("tcp", "udp", "sctp"),
    apart=BY_PROTOCOL,
    default=lambda _host: Bounds(32768, 65535),
    bounds=_bounds,
    reserved=_extra,
    excluded=always(()),  # no list of ports that are refused to everybody
    privileged=_privileged,
)

BACKEND = PortableBackend(SETTINGS, WHOLE_TABLE)
