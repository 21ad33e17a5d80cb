"""Windows: settings from netsh, sockets and their processes through psutil.

Sources:

- Microsoft's KB 929851 on the default dynamic port range: since Vista it is 49152 to 65535, and each transport protocol
  (TCP, UDP) and each version of IP has its own range.
- ``netsh int ipv4 show dynamicport tcp`` prints the first port and the number of ports, without any privilege. Its text
  is in the language of the system, so only the order of the numbers can be relied on.
- ``netsh int ipv4 show excludedportrange protocol=tcp`` prints the first and last port of each exclusion. Those with an
  asterisk are administered: never allocated, but a program can bind them by number. The others belong to the system
  (Hyper-V and http.sys reserve them at each start): bind() fails with WSAEACCES (10013) although nothing listens.
- Winsock requires no privilege for any port.

Cygwin uses the sockets of Windows.
"""

from __future__ import annotations

import os
import re

from .._answers.span import HIGHEST_PORT, Span, merge
from .._errors import ParseError, SourceError
from .._frozen import Frozen
from .portable import WHOLE_TABLE, PortableBackend
from .settings import BY_PROTOCOL_AND_FAMILY, SettingsReader, always, range_between, read_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._answers.address import FamilyName, ProtocolName
    from .._answers.span import Spans
    from .._host.system import System

_AFTER_COLON = re.compile(r":\s*([0-9]{1,5})\s*$", re.MULTILINE | re.ASCII)
_EXCLUSION = re.compile(r"\s*([0-9]{1,5})\s+([0-9]{1,5})\s*(\*?)\s*", re.ASCII)
_RULE = re.compile(r"\s*-{3,}\s+-{3,}\s*", re.ASCII)


class Exclusions(Frozen):
    """The excluded port ranges, by kind."""

    administered: Spans
    """Ports that are never allocated and that programs can bind by number."""
    runtime: Spans
    """Ports that the system reserves: bind() fails."""


def parse_dynamic_ports(text: str, source: str) -> Span:
    r"""Return the range from two lines that end in a colon and a number: the first port, and the number of ports.

    >>> parse_dynamic_ports("Startport       : 49152\nAnzahl von Ports: 16384\n", "an example")
    Span(first=49152, last=65535)
    """
    numbers = [int(number) for number in _AFTER_COLON.findall(text)]
    if len(numbers) != 2 or numbers[1] < 1:
        raise ParseError(source, "a first port and a number of ports, each after a colon", text)
    return range_between(numbers[0], numbers[0] + numbers[1] - 1, source, text)


def parse_exclusions(text: str, source: str) -> Exclusions:
    r"""Return the exclusions from the rows of two numbers below a ruled header; there may be no rows.

    >>> parse_exclusions("Start Port  End Port\n---------- --------\n 5357  5357\n 50000 50059 *\n", "an example")
    Exclusions(administered=(Span(first=50000, last=50059),), runtime=(Span(first=5357, last=5357),))
    """
    lines = iter(text.splitlines())
    if not any(_RULE.fullmatch(line) for line in lines):
        raise ParseError(source, "a table with a ruled header", text)
    by_mark: dict[str, list[Span]] = {"*": [], "": []}
    for line in lines:
        row = _EXCLUSION.fullmatch(line)
        if row is None:
            if any(character.isdecimal() for character in line):
                raise ParseError(source, "rows of two ports and an optional asterisk", line)
            continue  # an empty line, or the explanation of the asterisk
        first, last = int(row[1]), int(row[2])
        if not first <= last <= HIGHEST_PORT:
            raise ParseError(source, "rows of two ascending ports", line)
        by_mark[row[3]].append(Span(first, last))
    return Exclusions(administered=merge(by_mark["*"]), runtime=merge(by_mark[""]))


def _netsh(system: System, *arguments: str) -> str:
    """Return the output of netsh.

    It is started by its full path, because Windows searches the working directory first. The path has forward slashes,
    which Windows accepts: Cygwin's Python searches PATH for a name without any. Under Wine netsh prints nothing.
    """
    program = os.environ.get("SYSTEMROOT", r"C:\Windows").replace("\\", "/") + "/System32/netsh.exe"
    output = system.cached(("run", *arguments), system.run, program, *arguments)
    try:
        text = output.decode(system.console_encoding, "replace")
    except LookupError:
        text = output.decode("ascii", "replace")  # only the numbers are needed
    if not text.strip():
        raise SourceError(" ".join(("netsh", *arguments)), "printed nothing (Wine does not implement it)")
    return text.removeprefix("\ufeff")


def _read_dynamic_ports(system: System, protocol: ProtocolName, family: FamilyName) -> tuple[Span, str]:
    arguments = ("int", family, "show", "dynamicport", protocol)
    source = " ".join(("netsh", *arguments))
    return read_from(source, lambda: parse_dynamic_ports(_netsh(system, *arguments), source))


def _read_exclusions(system: System, protocol: ProtocolName, family: FamilyName) -> tuple[Exclusions, str]:
    arguments = ("int", family, "show", "excludedportrange", f"protocol={protocol}")
    source = " ".join(("netsh", *arguments))
    return read_from(source, lambda: parse_exclusions(_netsh(system, *arguments), source))


def _read_administered(system: System, protocol: ProtocolName, family: FamilyName) -> tuple[Spans, str]:
    exclusions, source = _read_exclusions(system, protocol, family)
    return exclusions.administered, source


def _read_runtime(system: System, protocol: ProtocolName, family: FamilyName) -> tuple[Spans, str]:
    exclusions, source = _read_exclusions(system, protocol, family)
    return exclusions.runtime, source


SETTINGS = SettingsReader(
    platform="windows",
    protocols=("tcp", "udp"),
    apart=BY_PROTOCOL_AND_FAMILY,
    default=lambda _system: Span(49152, 65535),
    bounds=_read_dynamic_ports,
    reserved=_read_administered,
    excluded=_read_runtime,
    privileged=always(()),  # Winsock has no privileged ports
)

BACKEND = PortableBackend(SETTINGS, WHOLE_TABLE)
