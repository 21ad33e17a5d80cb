"""Sets of ports, as a flag for each: marked one by one, joined and counted as a whole."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from .._answers.pool import EphemeralRange

#: `flags[port] = 1` marks a port. A dictionary is smaller than 64 KiB only where few ports are marked.
Flags: TypeAlias = "bytearray | dict[int, int]"

PORTS = 1 << 16
_DENSE = 64


def new_flags(others: int = 0) -> Flags:
    """Flags for one local address; from the 65th address on, of which there may be thousands, in a sparse form."""
    return bytearray(PORTS) if others < _DENSE else {}


def joined(many: Iterable[Flags]) -> bytes:
    """The ports that any of them marks."""
    return union(map(bits, many)).to_bytes(PORTS, "big")


def is_marked(flags: Flags, port: int) -> bool:
    """Whether a port is among them."""
    return port in flags if isinstance(flags, dict) else bool(flags[port])


def of_pool(pool: EphemeralRange) -> bytes:
    """The ports that a pool hands out."""
    flags = bytearray(PORTS)
    flags[pool.first : pool.last + 1] = b"\1" * (pool.last - pool.first + 1)
    for first, last in pool.reserved:
        flags[first : last + 1] = bytes(last - first + 1)
    return bytes(flags)


def bits(flags: bytes | Flags) -> int:
    """The same flags as one number, a byte for each: whole sets are then joined, intersected and counted at once."""
    if isinstance(flags, dict):
        dense = bytearray(PORTS)
        for port in flags:
            dense[port] = 1
        return int.from_bytes(dense, "big")
    return int.from_bytes(flags, "big")


def union(sets: Iterable[int]) -> int:
    """What any of them has."""
    return reduce(int.__or__, sets, 0)
