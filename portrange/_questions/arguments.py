"""Check the arguments of public functions. Messages name the argument and the accepted values."""

from __future__ import annotations

from .._answers.address import FAMILIES, PROTOCOLS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._answers.address import FamilyName, ProtocolName


def protocol_name(protocol: object) -> ProtocolName:
    """Return *protocol* if it is a known protocol; raise `ValueError` otherwise."""
    name: ProtocolName = one_of("protocol", protocol, PROTOCOLS)
    return name


def family_name(family: object) -> FamilyName:
    """Return *family* if it is an address family; raise `ValueError` otherwise."""
    name: FamilyName = one_of("family", family, FAMILIES)
    return name


def protocols_of(protocol: object) -> tuple[ProtocolName, ...] | None:
    """Return the protocols that *protocol* selects; None selects all, and the result is None."""
    return None if protocol is None else (protocol_name(protocol),)


def one_of(argument: str, given: object, allowed: tuple[str, ...]) -> Any:
    """Return *given* if it is one of the *allowed* strings; raise `ValueError` that names *argument* otherwise."""
    # The type first: arrays of NumPy cannot be searched for in a tuple.
    if isinstance(given, str) and given in allowed:
        return given
    raise ValueError(f"unknown {argument} {given!r}: use one of {', '.join(map(repr, allowed))}")
