"""The processes of control groups, and those that own the sockets of a group: its own, or its service manager's.

The pids come from cgroup.procs. The kernel shows them there as the caller's PID namespace numbers them, and as 0 if the
caller's has no number for them (cgroup_procs_show, kernel/cgroup/cgroup.c). Where that namespace is not the one of
procfs, as in a container that monitors its host, they come from /proc/PID/cgroup, one read for each process.
"""

from __future__ import annotations

from functools import cache

from ..._answers.span import parse_decimal
from ..._frozen import Frozen
from ..._render.strings import decode
from . import cgroup, procfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeAlias

    from ..._host.system import System
    from .cgroup import Cgroup

    #: How many levels a path is above the root of the caller's cgroup namespace, and the parts that follow.
    _Relative: TypeAlias = tuple[int, tuple[str, ...]]

#: Process 1 creates the sockets of services that are started on demand (systemd.socket(5)), and keeps them.
INIT = 1
_SOCKET, _SERVICE = ".socket", ".service"


class SearchArea(Frozen):
    """The processes that own the sockets of a group, if it is used as systemd uses groups."""

    services: frozenset[int] = frozenset()
    """The processes of the group, or of the service that a socket unit starts."""
    managers: frozenset[int] = frozenset()
    """The service manager, which keeps the socket of a socket unit."""

    @property
    def pids(self) -> list[int]:
        """All processes, in ascending order."""
        return sorted(self.services | self.managers)


class Members:
    """The processes of groups during one query."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._names = cache(self._read_names)
        self._index = cache(self._read_index)
        self._roots = cache(self._read_roots)
        #: True if pids come from /proc/PID/cgroup.
        self._from_procfs = system.procfs != "/proc" and not procfs.shares_pid_namespace(system)

    def are_in_procfs(self) -> bool:
        """Return whether the pids are those of procfs."""
        return self._from_procfs or procfs.shares_pid_namespace(self._system)

    def area(self, group: Cgroup) -> SearchArea:
        """Return where to search for the owners of the sockets of a group.

        The sockets of a socket unit are in its own group, which contains no process, or in that of the service manager
        (socket_open_socket, src/core/socket.c of systemd). The manager keeps them, and passes them to the service.
        """
        if group.path == "/":
            return SearchArea()  # no processes on a system with systemd, all of them elsewhere
        directory = group.directory
        parent = directory.rpartition("/")[0]
        if cgroup.is_of_manager(group.path):
            managers = self.pids(directory)
            # PID 1 manages the whole system.
            managed = [] if group.path.count("/") == 1 else self._pids_below(parent)
            return SearchArea(frozenset(managed).difference(managers), frozenset(managers))
        if not group.path.endswith(_SOCKET):
            return SearchArea(frozenset(self.pids(directory)))
        services = self.pids(directory)
        for service in self._service_directories(parent, directory[len(parent) + 1 : -len(_SOCKET)]):
            services += self._pids_below(service)
        managers = self._managers(group)
        return SearchArea(frozenset(services).difference(managers), frozenset(managers))

    def pids(self, directory: str) -> list[int]:
        """Return the processes of a group; an empty list if it was removed or cannot be read."""
        if not self._from_procfs:
            numbers = read_pids(self._system, directory)
            if 0 not in numbers:
                return numbers
            self._from_procfs = True
        index = self._index()
        return [pid for path in self._relative(directory) for pid in index.get(path, ())]

    # --- directories of units -----------------------------------------------------------------------------------------

    def _pids_below(self, directory: str) -> list[int]:
        """Return the processes of a group and of all groups in it."""
        found: list[int] = []
        directories = [directory]  # a user may nest groups deeper than Python may nest calls
        while directories:
            directory = directories.pop()
            found += self.pids(directory)
            try:
                directories += [f"{directory}/{name}" for name in self._system.subdirectories(directory)]
            except OSError:
                continue  # removed
        return found

    def _managers(self, group: Cgroup) -> list[int]:
        """Return the processes of the service manager of a unit: in init.scope of the nearest group around it."""
        directory = group.directory
        for _ in range(group.path.count("/")):
            directory = directory.rpartition("/")[0]
            found = self.pids(f"{directory}/init.scope")
            if found:
                return found
        return [INIT]

    def _service_directories(self, parent: str, name: str) -> Iterator[str]:
        """Yield the groups of the service that the socket unit *name* starts by default, and of its instances.

        Instances of a template are in a slice of their own (unit_add_default_slice, src/core/unit.c of systemd).
        """
        yield f"{parent}/{name}{_SERVICE}"
        if "@" in name:
            return
        escaped = name.replace("\\", r"\x5c").replace("-", r"\x2d")
        slices = [entry for entry in self._names(parent) if entry.endswith(f"-{escaped}.slice")]
        for directory in (parent, *(f"{parent}/{entry}" for entry in slices)):
            for entry in self._names(directory):
                if entry.startswith(f"{name}@") and entry.endswith(_SERVICE):
                    yield f"{directory}/{entry}"

    def _read_names(self, directory: str) -> list[str]:
        try:
            return self._system.list(directory)
        except OSError:
            return []

    # --- /proc/PID/cgroup ---------------------------------------------------------------------------------------------

    def _read_index(self) -> dict[_Relative, list[int]]:
        """Return the processes of all groups of cgroup2 by their paths, as the caller sees them."""
        found: dict[_Relative, list[int]] = {}
        for pid in procfs.pids(self._system) or ():
            source = f"{self._system.procfs}/{pid}/cgroup"
            try:
                path = cgroup.parse_unified(decode(self._system.read(source)), source)
            except OSError:
                continue  # the process has ended
            if path is not None:
                found.setdefault(_split(path), []).append(pid)
        return found

    def _relative(self, directory: str) -> Iterator[_Relative]:
        """Yield the paths that the group of a directory may have in /proc/PID/cgroup.

        Such a path leads up from the root of the caller's cgroup namespace, and down again from the first group that
        both share (cgroup_namespaces(7)). It is unknown which group that is, so each of them counts.
        """
        for top, root in self._roots().items():
            if directory == top or directory.startswith(f"{top}/"):
                levels, parts = _split(f"{root}/{directory[len(top) :]}")
                for level in range(min(levels, len(parts)) + 1):
                    yield levels - level, parts[level:]
                return

    def _read_roots(self) -> dict[str, str]:
        """Return where cgroup2 is mounted, each with the part of the tree that is mounted."""
        own = {mount.point: mount.root for mount in procfs.read_mounts(self._system) if mount.kind == "cgroup2"}
        return {**cgroup.mounts_of_host(self._system), **own}


def read_pids(system: System, directory: str) -> list[int]:
    """Return the pids in cgroup.procs of a group, 0 for each process outside of the caller's PID namespace."""
    try:
        content = system.read(f"{directory}/cgroup.procs")
    except OSError:
        return []
    numbers = (parse_decimal(line.decode("ascii", "replace"), procfs.HIGHEST_U32) for line in content.split())
    return [number for number in numbers if number is not None]


def _split(path: str) -> _Relative:
    """Return a path as `_Relative`.

    >>> _split("/../../system.slice/a.service"), _split("/")
    ((2, ('system.slice', 'a.service')), (0, ()))
    """
    parts = [part for part in path.split("/") if part]
    levels = 0
    while levels < len(parts) and parts[levels] == "..":
        levels += 1
    return levels, tuple(parts[levels:])
