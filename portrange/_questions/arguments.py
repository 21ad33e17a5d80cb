"""Checking what callers pass in: one clear sentence that names the input."""

from __future__ import annotations

import operator
from collections.abc import Sequence

from .._backends.base import FAMILIES, PROTOCOLS
from .._errors import InvalidPortError
from .._host import Host

HIGHEST_PORT = 65535

#: The machine that Python runs on; asked wherever no other host is given.
THIS_HOST = Host()


def host_asked(host: object) -> Host:
    """The host to ask: this machine where none is given."""
    if host is None:
        return THIS_HOST
    if not isinstance(host, Host):
        raise TypeError(f"host is a portrange.Host, such as Host('/host/proc'), not {type(host).__name__}: {host!r}")
    return host


def port_number(port: object) -> int:
    """A port as a plain int: anything with `__index__` but a bool, from 0 to 65535."""
    number = port if type(port) is int else _index(port)  # the fast way is nearly always taken
    if not 0 <= number <= HIGHEST_PORT:
        raise InvalidPortError(f"{_shown(number)} is not a port: ports are whole numbers from 0 to 65535")
    return number


def protocol_name(protocol: object) -> str:
    """One of the transports, or `ValueError`."""
    return _one_of("protocol", protocol, PROTOCOLS)


def family_name(family: object) -> str:
    """One of the address families, or `ValueError`."""
    return _one_of("family", family, FAMILIES)


def protocols_asked(protocol: object) -> tuple[str, ...] | None:
    """The transports that a question is about; None for all."""
    return None if protocol is None else (protocol_name(protocol),)


def _index(port: object) -> int:
    kind = type(port).__name__
    # NumPy's bool has no __index__ any more, but had one for long.
    if isinstance(port, bool) or kind in ("bool_", "bool"):
        raise TypeError(f"a port is a whole number, not a bool: {port!r}")
    try:
        return operator.index(port)  # type: ignore[arg-type]  # the point is to find out
    except TypeError:
        raise TypeError(f"a port is a whole number, not {kind}: {port!r}") from None


def _shown(number: int) -> str:
    """`number` in a message; Python refuses to print integers of many thousand digits."""
    return str(number) if abs(number) < 10**40 else "a number of more than 40 digits"


def _one_of(what: str, given: object, allowed: Sequence[str]) -> str:
    if isinstance(given, str) and given in allowed:
        return given
    raise ValueError(f"unknown {what} {given!r}: use one of {', '.join(map(repr, allowed))}")
