"""What is mounted where, as the caller sees it (/proc/PID/mountinfo, proc(5))."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ..._errors import ParseError

if TYPE_CHECKING:
    from ..._host import Host


class Mount(NamedTuple):
    """One mount: its place, the type of its file system, and the options of that."""

    point: str
    kind: str
    options: tuple[str, ...]


def parse_mounts(text: str, source: str) -> list[Mount]:
    r"""All mounts, of two at one place the one on top later; white space in a path stands there in octal.

    Of what ends a line for Python only the newline is escaped so (mangle, fs/proc_namespace.c).

    >>> parse_mounts("42 35 0:39 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n", "an example")
    [Mount(point='/sys/fs/cgroup', kind='cgroup2', options=('rw', 'nsdelegate'))]
    """
    found: list[Mount] = []
    for line in filter(None, text.split("\n")):
        before, separator, after = line.partition(" - ")
        fields, (kind, *rest) = before.split(" "), after.split(" ")
        if not separator or len(fields) < 6:
            raise ParseError(source, "mounts with a separator and a type", line)
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4])
        found.append(Mount(point, kind, tuple(rest[-1].split(",")) if rest else ()))
    return found


def read_mounts(host: Host) -> list[Mount]:
    """All mounts; none where that cannot be read."""
    source = f"{host.procfs}/self/mountinfo"
    try:
        return parse_mounts(host.read(source).decode("utf-8", "surrogateescape"), source)
    except OSError:
        return []
