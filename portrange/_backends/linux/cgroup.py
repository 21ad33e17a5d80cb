"""Control groups: from the ID that the kernel keeps with a socket to the group, its unit and its container.

The ID is the inode number of the directory in cgroup2 (cgroup_id(), kernel/cgroup/cgroup.c). A group is found by
one search of the tree. IDs are not reused: a result is valid while the directory has that inode number, and an ID that
is not in the tree never will be, while the mounts show the same part of the tree.
"""

from __future__ import annotations

from functools import partial

from ..._errors import ParseError
from ..._frozen import Frozen
from ..._lazy import import_lock
from ..._render.strings import printable
from .procfs import mounts_of, read_mounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from ..._host.system import System

#: The mounts of cgroup2 on unified and on hybrid systems (systemd's file-hierarchy); others are found in mountinfo.
_USUAL_MOUNTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
_MOST_CACHED = 4096


class Cgroup(Frozen):
    """A control group."""

    directory: str
    """Its directory."""
    path: str
    """Its path as seen from the mount."""


# --- groups of sockets -----------------------------------------------------------------------------------------------


def find(system: System, cgroup_id: int) -> Cgroup | None:
    """Return the group with this ID; None if it was removed, or if the caller's mounts do not show it."""
    known = system.constants.cgroups
    try:
        group = Cgroup(*known[cgroup_id])
    except KeyError:  # not cached, or another thread has just cleared the cache
        group = None
    if group is not None and _inode(system, group.directory) == cgroup_id:
        return group
    missing = _missing(system)
    if cgroup_id in missing:
        return None
    try:
        found = _search(system, cgroup_id)
    except OSError:
        return None  # a part of the tree could not be searched, so this is not certain
    if found is None:
        if len(missing) >= _MOST_CACHED:
            missing.clear()
        missing.add(cgroup_id)
        return None
    if len(known) >= _MOST_CACHED:
        known.clear()
    known[cgroup_id] = (found.directory, found.path)
    return found


def find_all(system: System, cgroup_ids: Collection[int]) -> dict[int, Cgroup | None]:
    """Return the groups with these IDs, as `find` does; those that are not cached are found in one search."""
    known = system.constants.cgroups
    wanted = {number for number in cgroup_ids if number not in known}
    if 1 < len(wanted) <= _MOST_CACHED - len(known):
        try:
            for top in mounts(system):
                found = system.find_directories(top, wanted)
                for number, directory in found.items():
                    known[number] = (directory, _path(directory, top))
                wanted.difference_update(found)
        except OSError:
            pass  # one by one
    return {number: find(system, number) for number in cgroup_ids}


def _missing(system: System) -> set[int]:
    """Return the IDs that are not in the tree; valid while the mounts are the same, which show it or hide it."""
    try:
        mountinfo = system.read(f"{system.procfs}/self/mountinfo")
        if system.procfs != "/proc":
            mountinfo += system.read(f"{system.procfs}/1/mountinfo")
    except OSError:
        return set()
    cached, missing = system.constants.missing_cgroups
    if cached != mountinfo:
        missing = set[int]()
        system.constants.missing_cgroups = (mountinfo, missing)
    return missing


def _search(system: System, cgroup_id: int) -> Cgroup | None:
    tops = mounts(system)
    if not tops:
        raise FileNotFoundError  # cgroup2 is not mounted
    for top in tops:
        is_top = _inode(system, top) == cgroup_id
        directory = top if is_top else system.find_directories(top, {cgroup_id}).get(cgroup_id)
        if directory is not None:
            return Cgroup(directory, _path(directory, top))
    return None


def _path(directory: str, top: str) -> str:
    """Return the path of a group below a mount."""
    return printable(directory.removeprefix(top)) or "/"


def _inode(system: System, path: str) -> int | None:
    try:
        return system.inode(path)
    except OSError:
        return None


def mounts(system: System) -> list[str]:
    """Return where cgroup2 is mounted; of another procfs, first the mounts of its process 1."""
    usual = [mount for mount in _USUAL_MOUNTS if _is_cgroup2(system, mount)]
    own = usual or [mount.point for mount in read_mounts(system) if mount.kind == "cgroup2"]
    return [*filter(partial(_is_cgroup2, system), mounts_of_host(system)), *own]


def mounts_of_host(system: System) -> dict[str, str]:
    """Return where process 1 of another procfs mounted cgroup2, each with the part of the tree that is mounted.

    A container reaches these mounts through the root directory of that process, which needs CAP_SYS_PTRACE (proc(5)).
    """
    if system.procfs == "/proc":
        return {}
    try:
        mounts = mounts_of(system, f"{system.procfs}/1")
    except OSError:
        return {}
    return {f"{system.procfs}/1/root{mount.point}": mount.root for mount in mounts if mount.kind == "cgroup2"}


def _is_cgroup2(system: System, mount: str) -> bool:
    try:
        return "cgroup.controllers" in system.list(mount)
    except OSError:
        return False


# --- groups of processes ---------------------------------------------------------------------------------------------

#: The unit of a service manager below the group that it manages (systemd.special(7)).
_MANAGER = "/init.scope"


def is_of_manager(path: str) -> bool:
    """Return whether a path is that of a service manager: of systemd as PID 1, or of a user's ``systemd --user``.

    Its processes keep the sockets of other units, so it is never the unit of a socket.
    """
    return path.endswith(_MANAGER)


def is_ambiguous(group: Cgroup) -> bool:
    """Return whether the processes of a group may be in other groups: in the root of cgroup2, beside cgroup v1.

    A hybrid system (systemd's file-hierarchy) may leave all processes in that root and use v1 hierarchies for services
    and containers.
    """
    return group.path == "/" and group.directory != _USUAL_MOUNTS[0]


def parse_memberships(text: str, source: str, *, unified: bool = True) -> str | None:
    r"""Return the group of a process from /proc/PID/cgroup (cgroups(7)): of several, the one in systemd's hierarchy.

    If that is the root, the hierarchy may be unused and the group in cgroup2 counts, unless *unified* is False. None if
    there are several hierarchies and neither names a group: the purpose of the others is unknown.

    >>> parse_memberships("4:cpu:/\n1:name=systemd:/system.slice/nginx.service\n0::/\n", "an example")
    '/system.slice/nginx.service'
    >>> parse_memberships("9:name=systemd:/\n0::/system.slice/nginx.service\n", "an example")
    '/system.slice/nginx.service'
    """
    paths = _memberships(text, source)
    of_systemd, in_cgroup2 = paths.get("name=systemd"), paths.get("")
    if unified and of_systemd in (None, "/") and in_cgroup2 not in (None, "/"):
        return in_cgroup2
    return of_systemd or (in_cgroup2 if len(paths) == 1 else None)


def parse_unified(text: str, source: str) -> str | None:
    r"""Return the group of a process in cgroup2 from /proc/PID/cgroup; None without cgroup2.

    >>> parse_unified("1:name=systemd:/a\n0::/b\n", "an example")
    '/b'
    """
    return _memberships(text, source).get("")


def _memberships(text: str, source: str) -> dict[str, str]:
    """Return the path of a process in each hierarchy, by the names in /proc/PID/cgroup."""
    paths: dict[str, str] = {}
    for line in filter(None, text.split("\n")):
        _, colon, rest = line.partition(":")
        names, separator, path = rest.partition(":")
        if not colon or not separator:
            raise ParseError(source, "a number, names and a path in each line", line)
        paths[names] = path
    return paths


# --- units and containers --------------------------------------------------------------------------------------------

#: The unit types that contain processes (systemd.unit(5)).
_UNIT_SUFFIXES = (".service", ".scope", ".socket", ".mount", ".swap")


def unit(path: str) -> str | None:
    r"""Return the systemd unit of a path: its last part that is the name of a unit, unescaped (systemd-escape(1)).

    None for the group of a service manager.

    >>> unit("/system.slice/nginx.service"), unit("/user.slice/user-7.slice/session-3.scope"), unit("/init.scope")
    ('nginx.service', 'session-3.scope', None)
    >>> unit(r"/system.slice/my\x2dapp.service")
    'my-app.service'
    """
    if is_of_manager(path):
        return None
    for part in reversed(path.split("/")):
        # A leading underscore distinguishes a name from the kernel's own files (cg_escape, systemd).
        name = part.removeprefix("_")
        if name.endswith(_UNIT_SUFFIXES):
            return _unescape(name)
    return None


def is_user_unit(path: str) -> bool:
    """Return whether the unit of a path belongs to a user's service manager, which runs in ``user@UID.service``.

    >>> is_user_unit("/user.slice/user-7.slice/user@7.service/app.slice/web.service")
    True
    >>> is_user_unit("/user.slice/user-7.slice/user@7.service")
    False
    """
    parts = [part for part in path.split("/") if part.endswith(_UNIT_SUFFIXES)]
    return not is_of_manager(path) and any(part.startswith("user@") for part in parts[:-1])


def _unescape(name: str) -> str:
    r"""Replace escaped bytes such as ``\x2d``; several in a row may be one character."""
    if "\\x" not in name:
        return name
    with import_lock:
        import re

    return re.sub(
        r"(?:\\x[0-9a-fA-F]{2})+",
        lambda match: bytes.fromhex(match[0].replace("\\x", "")).decode("utf-8", "backslashreplace"),
        name,
    )


_HEX_DIGITS = frozenset("0123456789abcdef")
#: The beginning and end of the last or last but one part of a container's path, by the engine that made it.
_CONTAINER_SHAPES = (
    ("docker-", ".scope"),  # docker with systemd
    ("libpod-", ".scope"),  # podman
    ("libpod-", ""),
    ("libpod-payload-", ""),  # podman in a group of systemd (--cgroups=split, quadlets)
    ("nerdctl-", ".scope"),  # containerd, started by nerdctl
    ("cri-containerd-", ".scope"),  # containerd under kubernetes
    ("crio-", ".scope"),  # cri-o
    ("crio-", ""),
)
#: The same for a path that was meant for systemd, with the cgroupfs driver: ``kubepods.slice:crio:ID``.
_COLON_ENGINES = (":cri-containerd:", ":crio:", ":docker:")
_LXC_PREFIX = "lxc.payload."  # lxc 4 and later
#: The directory of containers named by their ID, by the engine that made it with the cgroupfs driver.
_BARE_PARENTS = frozenset({"docker", "libpod_parent", "default", "k8s.io", "moby"})
_ID_DIGITS = 64
#: The lengths of the parts of the name of a task: digits only, or a UUID.
_TASKS = ([32], [8, 4, 4, 4, 12])


def container(path: str) -> str | None:
    """Return the ID of the container of a path, by the exact shapes that container engines give to paths.

    >>> container("/docker/" + "a1" * 32) == "a1" * 32, container("/lxc/web"), container("/docker/registry")
    (True, 'web', None)
    """
    parts = path.strip("/").split("/")
    for index in reversed(range(len(parts))):
        part = parts[index]
        found = _container_in(part)
        if found is not None:
            return found
        if _is_hex(part, _ID_DIGITS) and _has_bare_ids(parts[:index]):
            return part
        if index and parts[index - 1] == "lxc":
            return part  # lxc before version 4
    return None


def _container_in(part: str) -> str | None:
    """Return the ID in a part of a path that also contains the name of an engine."""
    for prefix, suffix in _CONTAINER_SHAPES:
        if part.startswith(prefix) and part.endswith(suffix):
            number = part[len(prefix) : len(part) - len(suffix)]
            if _is_hex(number, _ID_DIGITS):
                return number
    head, number = part[:-_ID_DIGITS], part[-_ID_DIGITS:]
    if head.endswith(_COLON_ENGINES) and _is_hex(number, _ID_DIGITS):
        parent, *others = head.split(":")[:-2]
        if not others and parent.endswith(".slice"):
            return number
    return part.removeprefix(_LXC_PREFIX) or None if part.startswith(_LXC_PREFIX) else None


def _has_bare_ids(parents: list[str]) -> bool:
    """Return whether a directory contains containers named by their ID.

    Such paths are /docker/ID, /kubepods/…/podUID/ID, /ecs/TASK/ID and /ecs/CLUSTER/TASK/ID; a task is 32 digits or a
    UUID.
    """
    if not parents:
        return False
    last = parents[-1]
    if last in _BARE_PARENTS:
        return True
    if last.startswith("pod"):
        return len(last) == 39 and _HEX_DIGITS.issuperset(last[3:].replace("-", ""))
    if last.startswith("kubepods") and last.endswith(".slice"):
        pod = last.removesuffix(".slice").rpartition("-pod")[2]
        return len(pod) == 36 and _HEX_DIGITS.issuperset(pod.replace("_", ""))
    is_task = _is_hex(last.replace("-", ""), 32) and [*map(len, last.split("-"))] in _TASKS
    return is_task and "ecs" in parents[-3:-1]


def _is_hex(text: str, digits: int) -> bool:
    return len(text) == digits and _HEX_DIGITS.issuperset(text)
