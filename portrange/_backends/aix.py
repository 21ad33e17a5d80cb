"""AIX: settings from the ``no`` command, sockets through psutil.

Sources: IBM's description of ``no`` and Oracle's installation guide for AIX (E96517): the tunables
``tcp_ephemeral_low`` and ``tcp_ephemeral_high``, and the same for UDP, 32768 and 65535; anybody may read them. Ports
below IPPORT_RESERVED (1024, netinet/in.h) need a privilege.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .._errors import ParseError
from .portable.backend import PortableBackend
from .portable.view import WHOLE_TABLE
from .settings import BY_PROTOCOL, Bounds, Found, SettingsReader, always, below, bounds, found_in

if TYPE_CHECKING:
    from .._host import Host

_COMMAND = ("/usr/sbin/no", "-a")


def parse_tunable(text: str, name: str, source: str) -> int:
    r"""The number of one tunable, from lines such as ``tcp_ephemeral_low = 32768``.

    >>> parse_tunable("  tcp_ephemeral_high = 65535\n   tcp_ephemeral_low = 32768\n", "tcp_ephemeral_low", "an example")
    32768
    """
    match = re.search(rf"^\s*{name}\s*=\s*([0-9]{{1,5}})\s*$", text, re.MULTILINE | re.ASCII)
    if match is None:
        raise ParseError(source, f"a line with {name} and a port", text)
    return int(match[1])


def _bounds(host: Host, protocol: str, _family: str) -> Found[Bounds]:
    names = (f"{protocol}_ephemeral_low", f"{protocol}_ephemeral_high")
    source = f"no -o {names[0]} -o {names[1]}"

    def read() -> Bounds:
        text = host.once(("run", *_COMMAND), lambda: host.run(*_COMMAND)).decode("ascii", "backslashreplace")
        low, high = (parse_tunable(text, name, source) for name in names)
        return bounds(low, high, source)

    return found_in(source, read)


SETTINGS = SettingsReader(
    platform="aix",
    protocols=("tcp", "udp"),
    apart=BY_PROTOCOL,
    default=lambda _host: Bounds(32768, 65535),
    bounds=_bounds,
    reserved=always(()),  # neither a list of ports that are never picked
    excluded=always(()),  # nor one of ports that are refused
    privileged=always(below(1024), "IPPORT_RESERVED, netinet/in.h"),
)

BACKEND = PortableBackend(SETTINGS, WHOLE_TABLE)
