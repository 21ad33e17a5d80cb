"""What is mounted where, as the caller sees it (/proc/PID/mountinfo, proc(5))."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ..._errors import ParseError

if TYPE_CHECKING:
    from ..._host import Host


class Mount(NamedTuple):
    """One mount: its place, the type of its file system, the options of that, and what of it is mounted there."""

    point: str
    kind: str
    options: tuple[str, ...]
    root: str = "/"


def parse_mounts(text: str, source: str) -> list[Mount]:
    r"""All mounts, of two at one place the one on top later; white space in a path stands there in octal.

    Of what ends a line for Python only the newline is escaped so (mangle, fs/proc_namespace.c).

    >>> parse_mounts("42 35 0:39 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n", "an example")
    [Mount(point='/sys/fs/cgroup', kind='cgroup2', options=('rw', 'nsdelegate'), root='/')]
    """
    found: list[Mount] = []
    for line in filter(None, text.split("\n")):
        before, separator, after = line.partition(" - ")
        fields, (kind, *rest) = before.split(" "), after.split(" ")
        if not separator or len(fields) < 6:
            raise ParseError(source, "mounts with a separator and a type", line)
        root, point = (re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field) for field in fields[3:5])
        found.append(Mount(point, kind, tuple(rest[-1].split(",")) if rest else (), root))
    return found


def read_mounts(host: Host) -> list[Mount]:
    """All mounts; none where that cannot be read."""
    try:
        return mounts_of(host, f"{host.procfs}/self")
    except OSError:
        return []


def mounts_of(host: Host, process: str) -> list[Mount]:
    """All mounts that a process sees, given as a directory such as ``/proc/4242``. Raises the `OSError` of reading."""
    source = f"{process}/mountinfo"
    return parse_mounts(host.read(source).decode("utf-8", "surrogateescape"), source)
