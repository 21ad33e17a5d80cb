"""AIX: settings from the ``no`` command, sockets through psutil.

Sources: IBM's description of ``no`` and Oracle's installation guide for AIX (E96517): the tunables
``tcp_ephemeral_low`` and ``tcp_ephemeral_high``, and the same for UDP, 32768 and 65535; reading them needs no
privilege. Binding ports below IPPORT_RESERVED (1024, netinet/in.h) does.
"""

from __future__ import annotations

import re

from .._answers.span import Span
from .._errors import ParseError
from .portable import WHOLE_TABLE, PortableBackend
from .settings import BY_PROTOCOL, SettingsReader, always, below, range_between, read_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._answers.address import FamilyName, ProtocolName
    from .._host.system import System

_COMMAND = ("/usr/sbin/no", "-a")


def parse_tunable(text: str, name: str, source: str) -> int:
    r"""Return the number of a tunable, from lines such as ``tcp_ephemeral_low = 32768``.

    >>> parse_tunable("  tcp_ephemeral_high = 65535\n   tcp_ephemeral_low = 32768\n", "tcp_ephemeral_low", "an example")
    32768
    """
    match = re.search(rf"^\s*{name}\s*=\s*([0-9]{{1,5}})\s*$", text, re.MULTILINE | re.ASCII)
    if match is None:
        raise ParseError(source, f"a line with {name} and a port", text)
    return int(match[1])


def _read_range(system: System, protocol: ProtocolName, _family: FamilyName) -> tuple[Span, str]:
    names = (f"{protocol}_ephemeral_low", f"{protocol}_ephemeral_high")
    source = f"no -o {names[0]} -o {names[1]}"

    def read() -> Span:
        text = system.cached(("run", *_COMMAND), system.run, *_COMMAND).decode("ascii", "backslashreplace")
        low, high = (parse_tunable(text, name, source) for name in names)
        return range_between(low, high, source)

    return read_from(source, read)


SETTINGS = SettingsReader(
    platform="aix",
    protocols=("tcp", "udp"),
    apart=BY_PROTOCOL,
    default=lambda _system: Span(32768, 65535),
    bounds=_read_range,
    reserved=always(()),  # AIX has no list of ports that are never allocated,
    excluded=always(()),  # and none of ports that cannot be bound
    privileged=always(below(1024), "IPPORT_RESERVED, netinet/in.h"),
)

BACKEND = PortableBackend(SETTINGS, WHOLE_TABLE)
