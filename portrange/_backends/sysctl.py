"""What stands in a sysctl: C ints, and bitmaps with a bit for each port. Parsing is pure."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

from .._answers.span import Span, Spans, merge
from .._errors import ParseError

if TYPE_CHECKING:
    from .._host import Host

ByteOrder = Literal["little", "big"]
Name = str | tuple[int, ...]

_INT_SIZE = 4
_PORTS = 65536


def parse_number(value: bytes, source: str, byteorder: ByteOrder = sys.byteorder) -> int:
    r"""A C int.

    >>> parse_number(b"\x00\xc0\x00\x00", "an example", "little")
    49152
    """
    if len(value) != _INT_SIZE:
        raise ParseError(source, "a C int of 4 bytes", value.hex())
    return int.from_bytes(value, byteorder, signed=True)


def parse_ports(value: bytes, source: str, byteorder: ByteOrder = sys.byteorder) -> Spans:
    """A bitmap with a bit for each port, in words of 32 bits, the lowest port in the lowest bit.

    OpenBSD's words have 32 bits (DP_ISSET, netinet/in_pcb.h); XNU's have 64, which is the same on its machines: all
    of them are little-endian.
    """
    if len(value) != _PORTS // 8:
        raise ParseError(source, "a bitmap of 65,536 bits", value.hex())
    words = (int.from_bytes(value[start : start + 4], byteorder) for start in range(0, len(value), 4))
    numbers = (index * 32 + bit for index, word in enumerate(words) if word for bit in range(32) if word >> bit & 1)
    return merge(Span(port, port) for port in numbers)


def number(host: Host, name: Name) -> int:
    """A setting that is a number."""
    return parse_number(host.once(("sysctl", name), lambda: host.sysctl(name)), title(name))


def ports(host: Host, name: Name) -> Spans:
    """A setting that is a set of ports."""
    return parse_ports(host.once(("sysctl", name), lambda: host.sysctl(name)), title(name))


def ports_if_any(host: Host, name: Name) -> Spans:
    """The same; no ports where the system is older than the setting."""
    try:
        return ports(host, name)
    except FileNotFoundError:
        return ()


def title(name: Name) -> str:
    """How a setting is named in answers and errors."""
    return f"sysctl {name if isinstance(name, str) else '.'.join(map(str, name))}"
