"""Values of sysctl(3): C ints, and bitmaps with a bit per port."""

from __future__ import annotations

from sys import byteorder

from .._answers.span import Span, merge
from .._errors import ParseError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from .._answers.span import Spans
    from .._host.system import System

    #: The name of a setting; its numbers on OpenBSD, which has no names.
    Name: TypeAlias = str | tuple[int, ...]

_INT_SIZE = 4
_BITMAP_SIZE = 65536 // 8


def parse_number(value: bytes, source: str) -> int:
    r"""Return a C int.

    >>> parse_number(b"\xff\xff\xff\xff", "an example")
    -1
    """
    if len(value) != _INT_SIZE:
        raise ParseError(source, "a C int of 4 bytes", value.hex())
    return int.from_bytes(value, byteorder, signed=True)


def parse_ports(value: bytes, source: str) -> Spans:
    """Return the ports of a bitmap of 32-bit integers, with the lowest port in the lowest bit.

    OpenBSD uses 32-bit integers (DP_ISSET, netinet/in_pcb.h). XNU uses 64-bit ones, which is the same on its machines:
    they are little-endian.
    """
    if len(value) != _BITMAP_SIZE:
        raise ParseError(source, "a bitmap of 65,536 bits", value.hex())
    integers = (int.from_bytes(value[start : start + 4], byteorder) for start in range(0, len(value), 4))
    numbers = (index * 32 + bit for index, bits in enumerate(integers) if bits for bit in range(32) if bits >> bit & 1)
    return merge(Span(port, port) for port in numbers)


def number(system: System, name: Name) -> int:
    """Return a setting that is a number."""
    return parse_number(_read(system, name), title(name))


def ports(system: System, name: Name) -> Spans:
    """Return a setting that is a set of ports."""
    return parse_ports(_read(system, name), title(name))


def ports_if_any(system: System, name: Name) -> Spans:
    """Return a setting that is a set of ports; no ports if this version of the system does not have the setting."""
    try:
        return ports(system, name)
    except FileNotFoundError:
        return ()


def _read(system: System, name: Name) -> bytes:
    return system.cached(("sysctl", name), system.sysctl, name)


def title(name: Name) -> str:
    """Return the name of a setting for results and errors."""
    return f"sysctl {name if isinstance(name, str) else '.'.join(map(str, name))}"
