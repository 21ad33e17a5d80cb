"""What counts as a port number."""

from __future__ import annotations

import operator

from .._errors import InvalidPortError

HIGHEST_PORT = 65535


def port_number(port: object) -> int:
    """A port as a plain int: anything with `__index__` but a bool, from 0 to 65535."""
    number = port if type(port) is int else _index(port)  # the fast way is nearly always taken
    if not 0 <= number <= HIGHEST_PORT:
        raise InvalidPortError(f"{_shown(number)} is not a port: ports are whole numbers from 0 to 65535")
    return number


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
