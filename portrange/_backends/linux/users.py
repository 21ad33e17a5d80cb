"""Whether a user id means the user it names: in a user namespace one number may stand for many (user_namespaces(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._errors import ParseError
from .number import unsigned

if TYPE_CHECKING:
    from ..._host import Host

#: What the kernel shows in place of a user that the caller's user namespace does not know, unless it was told otherwise
#: (DEFAULT_OVERFLOWUID, linux/highuid.h).
_OVERFLOW = 65534
#: How many users there are: all 32-bit numbers but the last, which means none.
_USERS = (1 << 32) - 1


def parse_uid_map(text: str, source: str) -> int:
    r"""How many users a user namespace knows, by its /proc/PID/uid_map: the sum of the third column.

    >>> parse_uid_map("         0          0 4294967295\n", "an example")
    4294967295
    """
    known = 0
    for line in text.split("\n"):
        numbers = [unsigned(field, 32) for field in line.split()]
        if numbers and (len(numbers) != 3 or numbers[2] is None):
            raise ParseError(source, "three numbers in each line", line)
        known += (numbers[2] or 0) if numbers else 0
    return known


def overflow(host: Host) -> int:
    """The number that the kernel shows for users without one in the caller's user namespace; read once a host.

    No administrator changes it while programs run, as it stands in files by then.
    """
    known: int | None = host.proven.get("overflow uid")
    if known is None:
        try:
            told = unsigned(host.read(f"{host.procfs}/sys/kernel/overflowuid").decode("ascii", "replace").strip(), 32)
        except OSError:
            told = None
        known = host.proven["overflow uid"] = _OVERFLOW if told is None else told
    return known


def knows_all(host: Host) -> bool:
    """Whether the caller's user namespace has a number for each user (user_namespaces(7)), as the first one has."""
    source = f"{host.procfs}/self/uid_map"
    try:
        return parse_uid_map(host.read(source).decode("ascii", "replace"), source) >= _USERS
    except FileNotFoundError:
        return True  # a kernel without user namespaces
    except OSError:
        return False
