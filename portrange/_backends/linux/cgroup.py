"""Control groups: from the id that the kernel keeps with a socket to the processes that may hold it.

The id is the inode number of the group's directory in cgroup2 (cgroup_id(), kernel/cgroup/cgroup.c). A group is
found by looking through the tree once. Ids are never used again: what was found holds as long as the directory
has that number, and an id that is not in the whole tree will never be, as long as the mounts show the same of it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ..._errors import ParseError
from ..._host.words import printable
from .mounts import read_mounts
from .number import unsigned

if TYPE_CHECKING:
    from ..._host import Host

#: Where cgroup2 is mounted on unified and on hybrid systems (systemd's file-hierarchy); others are looked up.
_USUAL_MOUNTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
_REMEMBERED = 4096

#: Bytes that systemd escapes in names (systemd-escape(1)); several in a row may be one character.
_ESCAPES = re.compile(r"(?:\\x[0-9a-fA-F]{2})+")
#: The unit types that hold processes (systemd.unit(5)).
_UNIT_SUFFIXES = (".service", ".scope", ".socket", ".mount", ".swap")
_ID = "([0-9a-f]{64})"
#: The last or last but one part of a container's path, by the engine that made it.
_CONTAINER_SHAPES = tuple(
    re.compile(shape)
    for shape in (
        rf"docker-{_ID}\.scope",  # docker with systemd
        rf"libpod-{_ID}(?:\.scope)?",  # podman
        rf"libpod-payload-{_ID}",  # podman in a group that systemd gave to it (--cgroups=split, quadlets)
        rf"nerdctl-{_ID}\.scope",  # containerd by way of nerdctl
        rf"cri-containerd-{_ID}\.scope",  # containerd under kubernetes
        rf"[^:]+\.slice:(?:cri-containerd|crio|docker):{_ID}",  # a path meant for systemd, with the cgroupfs driver
        rf"crio-{_ID}(?:\.scope)?",  # cri-o
        r"lxc\.payload\.(.+)",  # lxc 4 and later
    )
)
#: The path before a bare id, by the engine that made it with the cgroupfs driver: /docker/ID, /kubepods/…/podUID/ID,
#: /ecs/TASK/ID and /ecs/CLUSTER/TASK/ID, where a task is 32 digits or a UUID.
_BARE_PARENTS = re.compile(
    r"(?:.*/)?(?:docker|libpod_parent|default|k8s\.io|moby|pod[0-9a-f-]{36}|kubepods[^/]*-pod[0-9a-f_]{36}\.slice"
    r"|ecs/(?:[^/]+/)?(?:[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}))",
    re.DOTALL,
)


class Cgroup(NamedTuple):
    """A control group: its directory, and its path as seen from the mount."""

    directory: str
    path: str


def find(host: Host, cgroup_id: int) -> Cgroup | None:
    """The group with this id; None where it is gone, or lies outside of what the caller's mount shows."""
    known: dict[int, Cgroup | None] = host.proven.setdefault("cgroups", {})
    group = known.get(cgroup_id)
    if group is not None and _inode(host, group.directory) == cgroup_id:
        return group
    missing = _missing(host)
    if cgroup_id in missing:
        return None
    try:
        group = _search(host, cgroup_id)
    except OSError:
        return None  # not all of it could be searched: this proves nothing
    there = missing if group is None else known
    if len(there) >= _REMEMBERED:
        there.clear()
    there[cgroup_id] = group
    return group


def _missing(host: Host) -> dict[int, Cgroup | None]:
    """The ids that are not in the tree: for as long as the same file systems are mounted, which show it or hide it."""
    try:
        mounted = host.read(f"{host.procfs}/self/mountinfo")
    except OSError:
        return {}
    before: tuple[bytes, dict[int, Cgroup | None]] | None = host.proven.get("missing cgroups")
    if before is not None and before[0] == mounted:
        return before[1]
    missing: dict[int, Cgroup | None] = {}
    host.proven["missing cgroups"] = (mounted, missing)
    return missing


def _search(host: Host, cgroup_id: int) -> Cgroup | None:
    there = mounts(host)
    if not there:
        raise FileNotFoundError("cgroup2 is not mounted")
    for mount in there:
        directory = mount if _inode(host, mount) == cgroup_id else host.find_directory(mount, cgroup_id)
        if directory is not None:
            return Cgroup(directory, printable(directory.removeprefix(mount)) or "/")
    return None


def _inode(host: Host, path: str) -> int | None:
    try:
        return host.inode(path)
    except OSError:
        return None


def mounts(host: Host) -> list[str]:
    """Where cgroup2 is mounted."""
    usual = [mount for mount in _USUAL_MOUNTS if _is_cgroup2(host, mount)]
    if usual:
        return usual
    return [mount.point for mount in read_mounts(host) if mount.kind == "cgroup2"]


def processes(host: Host, group: Cgroup) -> list[int]:
    """The pids in a group; none where it is gone or may not be read. Processes outside the PID namespace are 0."""
    try:
        listed = host.read(f"{group.directory}/cgroup.procs")
    except OSError:
        return []
    numbers = (unsigned(line.decode("ascii", "replace"), 32) for line in listed.split())
    return [pid for pid in numbers if pid]


def says_nothing(group: Cgroup) -> bool:
    """Whether a process of this group may be in others: in the root of cgroup2, beside hierarchies of version 1.

    A hybrid machine (systemd's file-hierarchy) may leave all there and keep services and containers apart elsewhere.
    """
    return group.path == "/" and group.directory != _USUAL_MOUNTS[0]


def parse_memberships(text: str, source: str) -> str | None:
    r"""The group of a process by its /proc/PID/cgroup (cgroups(7)): that in systemd's hierarchy, if there are several.

    None where there are several, and none of them is systemd's: what the others are for is anybody's own affair.

    >>> parse_memberships("4:cpu:/\n1:name=systemd:/system.slice/nginx.service\n0::/\n", "an example")
    '/system.slice/nginx.service'
    """
    paths: dict[str, str] = {}
    for line in filter(None, text.split("\n")):
        _, colon, rest = line.partition(":")
        names, separator, path = rest.partition(":")
        if not colon or not separator:
            raise ParseError(source, "a number, names and a path in each line", line)
        paths[names] = path
    return paths.get("name=systemd", paths.get("") if len(paths) == 1 else None)


def unit(path: str) -> str | None:
    r"""The systemd unit that a path belongs to: its last part that names one, with the escapes of the name undone.

    >>> unit("/system.slice/nginx.service"), unit("/user.slice/user-7.slice/session-3.scope"), unit("/")
    ('nginx.service', 'session-3.scope', None)
    >>> unit(r"/system.slice/my\x2dapp.service")
    'my-app.service'
    """
    for part in reversed(path.split("/")):
        # A leading underscore keeps a name apart from the kernel's own files (cg_escape, systemd).
        name = part.removeprefix("_")
        if name.endswith(_UNIT_SUFFIXES):
            return _unescape(name)
    return None


def _unescape(name: str) -> str:
    return _ESCAPES.sub(
        lambda match: bytes.fromhex(match[0].replace(r"\x", "")).decode("utf-8", "backslashreplace"), name
    )


def container(path: str) -> str | None:
    """The id of the container that a path belongs to, by the exact shapes that container engines give it."""
    parts = path.strip("/").split("/")
    for place in reversed(range(len(parts))):
        for shape in _CONTAINER_SHAPES:
            match = shape.fullmatch(parts[place])
            if match:
                return match[1]
        if re.fullmatch(_ID, parts[place]) and _BARE_PARENTS.fullmatch("/".join(parts[:place])):
            return parts[place]
        if place and parts[place - 1] == "lxc":
            return parts[place]  # lxc before version 4
    return None


def _is_cgroup2(host: Host, mount: str) -> bool:
    try:
        return "cgroup.controllers" in host.list(mount)
    except OSError:
        return False
