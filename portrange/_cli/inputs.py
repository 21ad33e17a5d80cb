"""Read what people type for a port: numbers, ranges, names of services, addresses with a port, URLs."""

from __future__ import annotations

import sys

from .._answers.address import PROTOCOLS
from .._answers.span import HIGHEST_PORT, parse_decimal
from .._frozen import Frozen, replace
from .._lazy import import_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .._answers.address import ProtocolName
    from .._answers.port import Service

#: The argument that stands for standard input.
STDIN = "-"
_SHOWN = 60
#: The most bytes of ports on standard input: more than all 65,536 ports as numbers.
_MOST_BYTES = 1 << 20


class Target(Frozen):
    """A port or a range from the command line, with what was typed beside the number."""

    first: int
    """The port, or the lowest port of a range."""
    last: int
    """The highest port of a range."""
    protocol: ProtocolName | None = None
    """The protocol, as in 80/udp; None if it was not given."""
    address: str = ""
    """The address or host name, as in 127.0.0.1:80; empty if it was not given."""

    @property
    def is_range(self) -> bool:
        """True for a range of several ports."""
        return self.first != self.last

    def __contains__(self, port: object) -> bool:
        return isinstance(port, int) and self.first <= port <= self.last


def targets(arguments: Iterable[str]) -> list[Target]:
    """Return the ports of the command line, with those of standard input in place of ``-``.

    Raises `ValueError` for anything else.
    """
    found: list[Target] = []
    for argument in arguments:
        if argument == STDIN:
            found += _of_stdin()
        else:
            found += parse_target(argument)
    return found


def ports(arguments: Iterable[str]) -> list[Target]:
    """Return the ports of the command line as `targets` does, each port of a range by itself, without duplicates."""
    single = (
        replace(target, first=port, last=port)
        for target in targets(arguments)
        for port in range(target.first, target.last + 1)
    )
    return list(dict.fromkeys(single))


def parse_target(text: str) -> list[Target]:
    """Return what an argument means; several targets for a name with several ports, or for a list with commas.

    >>> parse_target("[::1]:80/udp")
    [Target(first=80, last=80, protocol='udp', address='::1')]
    >>> parse_target("8000-8010") + parse_target("https")
    [Target(first=8000, last=8010, protocol=None, address=''), Target(first=443, last=443, protocol=None, address='')]
    """
    parts = text.replace(",", " ").split()
    if not parts:
        raise _not_a_port(text)
    return [target for part in parts for target in _parse(part)]


def one_target(text: str) -> Target:
    """Return what an argument means that names one port which a program can listen on; `ValueError` otherwise."""
    targets = parse_target(text)
    if len(targets) > 1 or targets[0].is_range:
        raise ValueError(f"{_short(text)} is several ports: name one of them")
    if targets[0].first == 0:
        raise ValueError("nothing can listen on port 0: name a port from 1 to 65535")
    return targets[0]


def address_of(target: Target, given: str | None) -> str:
    """Return the address of a target, or else the one *given* beside it; `ValueError` if there are two."""
    if target.address and given:
        raise ValueError(f"two addresses, {target.address} and {given}: name one of them")
    return target.address or given or ""


def is_range(text: str) -> bool:
    """Return whether an argument is a range of ports, such as 8000-8010."""
    return any(_bounds(_protocol(part)[0].rpartition(":")[2]) for part in text.replace(",", " ").split())


def _parse(text: str) -> list[Target]:
    scheme, is_url, rest = text.partition("://")
    if is_url:
        rest = _before(rest, "/?#").rpartition("@")[2]
        address, port = _split(rest, is_url=True)
        return [replace(target, address=address) for target in _named(port or scheme, text)]
    rest, protocol = _protocol(text)
    address, port = _split(rest)
    return [replace(target, protocol=protocol, address=address) for target in _named(port, text)]


def _before(text: str, marks: str) -> str:
    return text[: min((text.find(mark) for mark in marks if mark in text), default=len(text))]


def _protocol(text: str) -> tuple[str, ProtocolName | None]:
    """Return an argument without its protocol (80/udp, udp/80, udp:80), and the protocol."""
    for rest, separator, name in (text.rpartition("/"), text.partition("/")[::-1], text.partition(":")[::-1]):
        for protocol in PROTOCOLS:
            if separator and name.lower() == protocol:
                return rest, protocol
    return text, None


def _split(text: str, *, is_url: bool = False) -> tuple[str, str]:
    """Return the address, without brackets, and the port of ``address:port``; ``*`` is any address."""
    if text.startswith("[") and "]" in text:
        address, _, port = text[1:].partition("]")
        return address, port.removeprefix(":")
    if text.count(":") > 1:
        raise _not_a_port(text, f"; an IPv6 address is written in brackets, as in [::1]:{text.rpartition(':')[2]}")
    address, colon, port = text.rpartition(":")
    if is_url and not colon:
        return text, ""
    if colon and address.isdigit():
        raise ValueError(f"{_short(text)} has two ports: name the one on this machine (the first one in docker -p)")
    return "" if address == "*" else address, port


def _named(port: str, text: str) -> list[Target]:
    """Return the targets of the part that is a number, a range or a name."""
    number = parse_decimal(port)
    if number is not None:
        return [Target(number, number)]
    bounds = _bounds(port)
    if bounds:
        first, last = map(parse_decimal, bounds)
        if first is None or last is None or first > last:
            raise ValueError(f"{_short(text)} is not a range of ports: it begins with the lower port, as in 8000-8010")
        return [Target(first, last)]
    found = list(dict.fromkeys(Target(service.first, service.last) for service in _services(port)))
    if not found:
        raise _not_a_port(text)
    return found


def _bounds(port: str) -> tuple[str, str] | None:
    """Return the bounds of a range as text, None for other texts."""
    first, dash, last = port.partition("-")
    return (first, last) if dash and all(part.isascii() and part.isdigit() for part in (first, last)) else None


def _services(name: str) -> tuple[Service, ...]:
    if not name[:1].isalnum() or name.lstrip("-").isdigit():
        return ()
    with import_lock:
        from .._registry.lookup import services_named

    return services_named(name)


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


def _not_a_port(text: str, hint: str = "") -> ValueError:
    if text.removeprefix("-").isdigit() and text.isascii():
        return ValueError(f"{text[:40]} is not a port: ports are whole numbers from 0 to {HIGHEST_PORT}")
    if text == "localhost" or (text.count(".") == 3 and text.replace(".", "").isdigit()):
        hint = f"; an address has a port, as in {text}:80"
    kinds = f"a number from 0 to {HIGHEST_PORT}, a registered service name, or address:port"
    return ValueError(f"{_short(text)} is not a port: use {kinds}{hint}")


# --- standard input --------------------------------------------------------------------------------------------------


def _of_stdin() -> Iterator[Target]:
    content = read_stdin(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ValueError(f"standard input has more than {_MOST_BYTES:,} bytes: is it a list of ports?")
    items = content.decode("ascii", "backslashreplace").split()
    if not items:
        raise ValueError("standard input has no port numbers")
    for item in items:
        try:
            yield from parse_target(item)
        except ValueError as error:
            raise ValueError(f"standard input: {error}") from None


def read_stdin(most: int) -> bytes:
    """Return the first *most* bytes of standard input; `ValueError` if it is closed or cannot be read."""
    if sys.stdin is None:
        raise ValueError("standard input is closed")
    try:
        return sys.stdin.buffer.read(most)
    except OSError as error:
        raise ValueError(f"cannot read standard input: {error.strerror}") from error
