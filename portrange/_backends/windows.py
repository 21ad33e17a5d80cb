"""Windows: settings from netsh, sockets and their processes through psutil.

Sources:

- Microsoft's KB 929851 on the default dynamic port range: since Vista the pool is 49152 to 65535, and there is one for
  each transport (TCP, UDP) and each version of IP.
- ``netsh int ipv4 show dynamicport tcp`` prints the first port and the number of ports; anybody may ask. It speaks the
  language of the system, so what counts is the order of the numbers.
- ``netsh int ipv4 show excludedportrange protocol=tcp`` prints the first and last port of each exclusion. Those with an
  asterisk were administered: never picked, but free to be bound by number. The others belong to the system (Hyper-V
  and http.sys take them at each start): binding there fails with WSAEACCES (10013) although nobody listens.
- Winsock needs no privilege for any port.

Cygwin's sockets are Windows' own.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from .._answers.number import HIGHEST_PORT
from .._answers.span import Span, Spans, merge
from .._errors import ParseError, SourceError
from .portable.backend import PortableBackend
from .portable.view import WHOLE_TABLE
from .settings import BY_PROTOCOL_AND_FAMILY, Bounds, Found, SettingsReader, always, bounds, found_in

if TYPE_CHECKING:
    from .._host import Host

_AFTER_COLON = re.compile(r":\s*([0-9]+)\s*$", re.MULTILINE | re.ASCII)
_EXCLUSION = re.compile(r"\s*([0-9]{1,5})\s+([0-9]{1,5})\s*(\*?)\s*", re.ASCII)
_RULE = re.compile(r"\s*-{3,}\s+-{3,}\s*", re.ASCII)


class Exclusions(NamedTuple):
    """Exclusions by what they mean: `administered` ports may be bound by number, the others not."""

    administered: Spans
    runtime: Spans


def parse_dynamic_ports(text: str, source: str) -> Bounds:
    r"""The pool, from two lines that end in a colon and a number: the first port, then how many ports.

    >>> parse_dynamic_ports("Startport       : 49152\nAnzahl von Ports: 16384\n", "an example")
    Bounds(first=49152, last=65535)
    """
    numbers = [int(number) for number in _AFTER_COLON.findall(text) if len(number) <= 5]
    if len(numbers) != 2 or numbers[1] < 1:
        raise ParseError(source, "a first port and a number of ports, each after a colon", text)
    return bounds(numbers[0], numbers[0] + numbers[1] - 1, source, text)


def parse_exclusions(text: str, source: str) -> Exclusions:
    r"""The exclusions, from the rows of two numbers below a ruled head; often there are none.

    >>> parse_exclusions("Start Port  End Port\n---------- --------\n 5357  5357\n 50000 50059 *\n", "an example")
    Exclusions(administered=(Span(first=50000, last=50059),), runtime=(Span(first=5357, last=5357),))
    """
    lines = iter(text.splitlines())
    if not any(_RULE.fullmatch(line) for line in lines):
        raise ParseError(source, "a table with a ruled head", text)
    found: dict[str, list[Span]] = {"*": [], "": []}
    for line in lines:
        row = _EXCLUSION.fullmatch(line)
        if row is None:
            if any(character.isdecimal() for character in line):
                raise ParseError(source, "rows of two ports and perhaps an asterisk", line)
            continue  # an empty line, or what the asterisk means
        first, last = int(row[1]), int(row[2])
        if not first <= last <= HIGHEST_PORT:
            raise ParseError(source, "rows of two ascending ports", line)
        found[row[3]].append(Span(first, last))
    return Exclusions(administered=merge(found["*"]), runtime=merge(found[""]))


def _netsh(host: Host, *arguments: str) -> str:
    """What netsh prints. Its full path, because Windows would look for it in the working directory first.

    The path has slashes only, which Windows takes as well: without any, Cygwin's Python would look for a file of that
    name along the PATH. Under Wine netsh prints nothing at all, which is no answer.
    """
    program = os.environ.get("SYSTEMROOT", r"C:\Windows").replace("\\", "/") + "/System32/netsh.exe"
    printed = host.once(("run", *arguments), lambda: host.run(program, *arguments))
    try:
        text = printed.decode(host.console_encoding, "replace")
    except LookupError:
        text = printed.decode("ascii", "replace")  # the numbers are what counts
    if not text.strip():
        raise SourceError(" ".join(("netsh", *arguments)), "printed nothing; is this Wine?")
    return text.removeprefix("\ufeff")


def _dynamic_ports(host: Host, protocol: str, family: str) -> Found[Bounds]:
    arguments = ("int", family, "show", "dynamicport", protocol)
    source = " ".join(("netsh", *arguments))
    return found_in(source, lambda: parse_dynamic_ports(_netsh(host, *arguments), source))


def _exclusions(host: Host, protocol: str, family: str) -> Found[Exclusions]:
    arguments = ("int", family, "show", "excludedportrange", f"protocol={protocol}")
    source = " ".join(("netsh", *arguments))
    return found_in(source, lambda: parse_exclusions(_netsh(host, *arguments), source))


def _administered(host: Host, protocol: str, family: str) -> Found[Spans]:
    found = _exclusions(host, protocol, family)
    return Found(found.value.administered, found.source)


def _runtime(host: Host, protocol: str, family: str) -> Found[Spans]:
    found = _exclusions(host, protocol, family)
    return Found(found.value.runtime, found.source)


SETTINGS = SettingsReader(
    platform="windows",
    protocols=("tcp", "udp"),
    apart=BY_PROTOCOL_AND_FAMILY,
    default=lambda _host: Bounds(49152, 65535),
    bounds=_dynamic_ports,
    reserved=_administered,
    excluded=_runtime,
    privileged=always(()),  # Winsock has no privileged ports
)

BACKEND = PortableBackend(SETTINGS, WHOLE_TABLE)
