"""Solaris and illumos: settings from ipadm(8) or, before Solaris 11, from ndd(8); sockets through psutil.

Sources: Oracle's "Solaris Tunable Parameters Reference Manual" (E36845, E54741, and that of Solaris 11.4), ipadm(8) of
illumos. Each transport protocol has its own properties, the same for IPv4 and IPv6:

- ``smallest_anon_port`` and ``largest_anon_port``, 32768 and 65535: the ephemeral range;
- ``smallest_nonpriv_port``, 1024: binding ports below it needs a privilege (net_privaddr in privileges(7)), and none
  of them is allocated automatically (tcp_update_next_port, uts/common/inet/tcp/tcp_bind.c of illumos);
- ``extra_priv_ports``, 2049 and 4045: more ports for which both is true.

Solaris 11.4 writes the names with hyphens.
"""

from __future__ import annotations

from errno import ENOENT

from .._answers.span import HIGHEST_PORT, Span, merge, parse_decimal
from .._errors import ParseError, SourceError
from .portable import WHOLE_TABLE, PortableBackend
from .settings import BY_PROTOCOL, SettingsReader, always, below, range_between, read_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._answers.address import FamilyName, ProtocolName
    from .._answers.span import Spans
    from .._host.system import System

_IPADM = "/usr/sbin/ipadm"
_NDD = "/usr/sbin/ndd"


def parse_properties(text: str, source: str) -> dict[str, str]:
    r"""Return the properties in the output of ``ipadm show-prop -c -o property,current``: lines of ``name:value``.

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
    """Return one port number; 65536 is valid as the first port that needs no privilege."""
    number = parse_decimal(text.strip(), HIGHEST_PORT + 1)
    if number is None:
        raise ParseError(source, "a port number", text)
    return number


def parse_ports(text: str, source: str) -> Spans:
    """Return port numbers separated by commas (ipadm) or white space (ndd); there may be none.

    >>> parse_ports("2049,4045", "an example")
    (Span(first=2049, last=2049), Span(first=4045, last=4045))
    """
    numbers = [parse_port(field, source) for field in text.replace(",", " ").split()]
    if numbers and max(numbers) > HIGHEST_PORT:
        raise ParseError(source, "port numbers", text)
    return merge(Span(number, number) for number in numbers)


def _read_property(system: System, protocol: str, name: str) -> tuple[str, str]:
    """Return a property of a protocol and its source: ipadm, or ndd if the system has no ipadm."""
    command = ("show-prop", "-c", "-o", "property,current", protocol)
    source = f"ipadm show-prop {protocol}"
    try:
        text = _output(system, source, _IPADM, *command)
    except SourceError as error:
        if error.errno != ENOENT:
            raise
        source = f"ndd -get /dev/{protocol} {protocol}_{name}"
        return _output(system, source, _NDD, "-get", f"/dev/{protocol}", f"{protocol}_{name}"), source
    properties = parse_properties(text, source)
    if name not in properties:
        raise ParseError(source, f"a property {name}", text)
    return properties[name], source


def _output(system: System, source: str, *command: str) -> str:
    output, _ = read_from(source, lambda: system.cached(("run", *command), system.run, *command))
    return output.decode("ascii", "backslashreplace")


def _read_port(system: System, protocol: str, name: str) -> tuple[int, str]:
    text, source = _read_property(system, protocol, name)
    return parse_port(text, source), source


def _read_range(system: System, protocol: ProtocolName, _family: FamilyName) -> tuple[Span, str]:
    smallest, source = _read_port(system, protocol, "smallest_anon_port")
    largest, _ = _read_port(system, protocol, "largest_anon_port")
    ports = range_between(smallest, largest, source)
    lowest, _ = _read_port(system, protocol, "smallest_nonpriv_port")
    if lowest > ports.last:
        raise ParseError(source, f"an ephemeral range with ports from smallest_nonpriv_port ({lowest}) up", str(ports))
    return Span(max(ports.first, lowest), ports.last), source


def _read_extra(system: System, protocol: ProtocolName, _family: FamilyName) -> tuple[Spans, str]:
    text, source = _read_property(system, protocol, "extra_priv_ports")
    return parse_ports(text, source), source


def _read_privileged(system: System, protocol: ProtocolName, family: FamilyName) -> tuple[Spans, str]:
    lowest, source = _read_port(system, protocol, "smallest_nonpriv_port")
    extra, _ = _read_extra(system, protocol, family)
    return merge([*below(lowest), *extra]), source


SETTINGS = SettingsReader(
    platform="solaris",
    protocols=("tcp", "udp", "sctp"),
    apart=BY_PROTOCOL,
    default=lambda _system: Span(32768, 65535),
    bounds=_read_range,
    reserved=_read_extra,
    excluded=always(()),  # Solaris has no list of ports that cannot be bound
    privileged=_read_privileged,
)

BACKEND = PortableBackend(SETTINGS, WHOLE_TABLE)
