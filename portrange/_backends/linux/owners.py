"""The owners of sockets: first among the processes of the socket's cgroup, then, if that is not enough, among all.

A socket unit (systemd.socket(5)) has two owners: the service manager, and the service that it starts on demand.

A process owns a socket if one of its descriptors is open on it: /proc/PID/fd/N links to ``socket:[INODE]`` (proc(5)).
"""

from __future__ import annotations

from functools import cache
from itertools import chain

from ..._answers.listener import Process
from ..._errors import SourceError
from ..._render.strings import decode
from . import cgroup, procfs
from .members import INIT, Members, SearchArea

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..._answers.listener import Scope
    from ..._host.system import System
    from .cgroup import Cgroup
    from .procfs import Identity, ProcessReader
    from .sock_diag import SocketRecord

#: The target of a descriptor of epoll(7), which a service manager uses to wait for connections.
_EPOLL = frozenset({"anon_inode:[eventpoll]"})
#: How often processes are listed, to inspect those that were started during the search.
_PASSES = 3


class Ownership:
    """The owners of one or more sockets; see `Socket` for the fields that are not described here."""

    __slots__ = ("cgroup", "hidden", "incomplete", "moved", "owners", "possible_owners", "scope")

    def __init__(  # noqa: PLR0913 - each has a default
        self,
        owners: tuple[Process, ...] = (),
        possible_owners: tuple[Process, ...] = (),
        *,
        hidden: bool = False,
        scope: Scope = "host",
        cgroup: str | None = None,
        incomplete: bool = False,
        moved: bool = False,
    ) -> None:
        self.owners = owners
        self.possible_owners = possible_owners
        self.hidden = hidden
        self.scope = scope
        #: The path of its cgroup, None if it is unknown.
        self.cgroup = cgroup
        #: True if some processes could not be inspected, so there may be more owners.
        self.incomplete = incomplete
        #: True if every owner that was found has closed the socket, or has ended, before it was confirmed.
        #: The socket may have moved to a process that had been inspected before.
        self.moved = moved


class _Search:
    """The processes inspected so far and the sockets they own; each process is inspected once."""

    def __init__(self, reader: ProcessReader, targets: frozenset[str]) -> None:
        self.system = reader.system
        self._reader = reader
        self.targets = targets
        #: The processes that had each socket open, by its link target.
        self.found: dict[str, tuple[int, ...]] = {}
        #: The descriptors of sockets, name and target, by pid and directory, and the process when they were read.
        self._links: dict[int, dict[str, tuple[dict[str, str], Identity | None]]] = {}
        self.inspected: set[int] = set()
        self.refused: set[int] = set()
        #: Processes that procfs does not show: they have ended or are hidden.
        self.missing: set[int] = set()
        #: True if procfs hides processes, or may hide them.
        self.hides_processes = False
        #: A process as it was described first; None if it did not exist.
        self.described = cache(reader.describe)
        #: The path of the cgroup of a process; None if it is unknown, or that of a service manager.
        self.unit_path_of = cache(self._read_unit_path)
        self._watched = cache(self._read_watched)

    def inspect_more(self, areas: Iterable[tuple[SearchArea, list[str]]], *, exhaustive: bool) -> set[str]:
        """Inspect all processes if the areas of some sockets do not settle who owns them; return those sockets.

        An owner that was found in the area of another socket does not end the search: others may be anywhere.
        """
        unsettled = set(chain(*(targets if exhaustive else self._unsettled(area, targets) for area, targets in areas)))
        if unsettled:
            self.inspect_all()
        if any(target not in self.found for target in unsettled):
            self.inspect_threads()
        return unsettled

    def inspect(self, pids: Iterable[int]) -> None:
        """Read the descriptors of the processes that were not inspected yet."""
        for pid in pids:
            if pid not in self.inspected:
                self.inspected.add(pid)
                self._read_descriptors(pid, f"{pid}/fd")

    def inspect_all(self) -> None:
        """Inspect every process in procfs, including those that are started during the search.

        A new process inherits the sockets of its parent, which may close them and may have been inspected before.
        """
        for attempt in range(_PASSES):
            shown = procfs.pids(self.system)
            if shown is None:
                self.hides_processes = True
                return
            if attempt == 0:
                self.hides_processes = procfs.hides_others(self.system, shown)
            elif self.inspected.issuperset(shown):
                return
            self.inspect(shown)

    def inspect_threads(self) -> None:
        """Inspect the threads of processes whose main thread has ended, which closed its own descriptors."""
        for pid in sorted(self.inspected):
            for thread in procfs.surviving_threads(self.system, pid):
                self._read_descriptors(pid, f"{pid}/task/{thread}/fd")

    def _unsettled(self, area: SearchArea, targets: list[str]) -> Iterator[str]:
        """Yield the sockets of a search area that may have owners elsewhere.

        A service is an owner. A service manager keeps the socket for a service, but has not passed it to one while it
        waits for connections itself.
        """
        services, managers = area.services, area.managers
        for target in targets:
            found = self.found.get(target, ())
            if managers.isdisjoint(found):
                is_settled = not (services - {INIT} if INIT in found else services).isdisjoint(found)
            else:
                waiting = (self._waits(pid, target) for pid in managers.intersection(found))
                is_settled = not services.isdisjoint(found) or any(waiting)
            if not is_settled:
                yield target

    def _waits(self, pid: int, target: str) -> bool:
        """Return whether a service manager waits for connections on a socket.

        systemd stops to do so when it has started the service (socket_enter_running, src/core/socket.c of systemd).
        """
        links, _ = self._links.get(pid, {}).get(f"{pid}/fd", ({}, None))
        return any(link == target and name in self._watched(pid) for name, link in links.items())

    def _read_watched(self, pid: int) -> frozenset[str]:
        """Return the descriptors that a process watches with epoll(7): "tfd:" in fdinfo (proc_pid_fdinfo(5))."""
        directory = f"{self.system.procfs}/{pid}"
        watched: set[str] = set()
        try:
            for name in self.system.find_links(f"{directory}/fd", _EPOLL):
                lines = self.system.read(f"{directory}/fdinfo/{name}").decode("ascii", "replace").split("\n")
                watched.update(line.split()[1] for line in lines if line.startswith("tfd:") and len(line.split()) > 1)
        except OSError:
            pass  # then nothing is known to be watched
        return frozenset(watched)

    def processes(self, pids: tuple[int, ...]) -> tuple[Process, ...]:
        """Return processes that were described, oldest first."""
        described = filter(None, map(self.described, pids))
        oldest_first = sorted(described, key=lambda entry: (entry[1][0], entry[0].pid))
        return tuple(process for process, _ in oldest_first)

    def _read_unit_path(self, pid: int, *, unified: bool) -> str | None:
        source = f"{self.system.procfs}/{pid}/cgroup"
        try:
            content = procfs.accessed(self.system.read, source)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return None
        if not self._is_as_described(pid):
            return None
        path = cgroup.parse_memberships(decode(content), source, unified=unified)
        return None if path is not None and cgroup.is_of_manager(path) else path

    def confirmed(self) -> dict[str, tuple[int, ...]]:
        """Return the processes that had each socket open while they were as they are described.

        A pid may be reused, and a process may execute another program, between reading descriptors and the description.
        So a process is identified when its first socket is found, and its descriptors are read after that: they belong
        to the described process if that has the same identity. If not, the descriptors and the start time are read
        again after the description.
        """
        confirmed: dict[str, tuple[int, ...]] = {}
        for pid, directories in self._links.items():
            described = self.described(pid)
            for directory, (links, identity) in directories.items():
                if described is not None:
                    is_same = described[1] == identity
                    _add_owner(confirmed, pid, links.values() if is_same else self._still_open(pid, directory, links))
        return confirmed

    def _still_open(self, pid: int, directory: str, expected: dict[str, str]) -> list[str]:
        """Return the sockets, of links by name, that the described process has open."""
        path = f"{self.system.procfs}/{directory}"
        try:
            links = procfs.accessed(lambda path: self.system.read_links(path, expected), path)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return []  # ended, or another process
        if not self._is_as_described(pid):
            return []
        return [target for name, target in expected.items() if links.get(name) == target]

    def _is_as_described(self, pid: int) -> bool:
        """Return whether the process that was described before still has its pid, so that its files were just read."""
        described = self.described(pid)
        return described is not None and procfs.start_ticks(self.system, pid) == described[1][0]

    def _read_descriptors(self, pid: int, directory: str) -> None:
        path = f"{self.system.procfs}/{directory}"
        identity: Identity | None = None

        def identify(target: str) -> None:
            nonlocal identity
            identity = self._reader.identity(pid)
            _add_owner(self.found, pid, (target,))  # also if it is closed before it is read again: it has moved

        try:
            links = self.system.find_links(path, self.targets, identify)
        except PermissionError:
            self.refused.add(pid)
        except (FileNotFoundError, ProcessLookupError):
            self.missing.add(pid)
        except OSError as error:
            raise SourceError.from_os_error(path, error) from error
        else:
            if links:
                self._links.setdefault(pid, {})[directory] = (links, identity)
                _add_owner(self.found, pid, links.values())


def _add_owner(owners: dict[str, tuple[int, ...]], pid: int, targets: Iterable[str]) -> None:
    """Add a process to the owners of some sockets."""
    new: dict[str, tuple[int, ...]] = dict.fromkeys(targets, (pid,))  # the sockets of one process share a tuple
    for target in owners.keys() & new.keys():
        new[target] = tuple(dict.fromkeys((*owners[target], pid)))
    owners.update(new)


def find(reader: ProcessReader, records: Iterable[SocketRecord], *, exhaustive: bool) -> dict[int, Ownership]:
    """Return the owners of each socket, by inode, without sockets that no process can own (TIME_WAIT)."""
    by_inode = {record.inode: record for record in records if record.inode}
    targets = {inode: f"socket:[{inode}]" for inode in by_inode}
    search = _Search(reader, frozenset(targets.values()))
    groups = _groups(reader.system, by_inode.values())
    members = Members(reader.system)
    areas = {number: SearchArea() if group is None else members.area(group) for number, group in groups.items()}
    for area in areas.values():
        search.inspect(area.pids)
    targets_of: dict[int | None, list[str]] = {number: [] for number in groups}
    for inode, record in by_inode.items():
        targets_of[record.cgroup_id].append(targets[inode])
    in_areas = ((area, targets_of[number]) for number, area in areas.items())
    unsettled = search.inspect_more(in_areas, exhaustive=exhaustive)
    incomplete = search.hides_processes or bool(search.refused)
    possible_owners = {
        number: _possible_owners(search, members, groups[number], area) for number, area in areas.items()
    }

    @cache
    def ownership(pids: tuple[int, ...], found: tuple[int, ...], cgroup_id: int | None, scope: Scope) -> Ownership:
        owners = search.processes(pids)
        return Ownership(
            owners=owners,
            possible_owners=possible_owners[cgroup_id],
            hidden=not owners and incomplete,
            scope=scope,
            cgroup=_path(search, groups[cgroup_id], owners),
            incomplete=incomplete,
            moved=not owners and bool(found),
        )

    ownerships: dict[int, Ownership] = {}
    confirmed, found = search.confirmed(), search.found
    for inode, record in by_inode.items():
        target = targets[inode]
        scope: Scope = "host" if target in unsettled else "service"
        ownerships[inode] = ownership(confirmed.get(target, ()), found.get(target, ()), record.cgroup_id, scope)
    return ownerships


def find_among(reader: ProcessReader, records: Iterable[SocketRecord], pids: Iterable[int]) -> dict[int, Ownership]:
    """Return the owners of each socket among some processes, by inode."""
    by_inode = {record.inode: record for record in records}
    search = _Search(reader, frozenset(f"socket:[{inode}]" for inode in by_inode))
    search.inspect(pids)
    if len(search.found) < len(by_inode):
        search.inspect_threads()
    groups = _groups(reader.system, by_inode.values())

    @cache
    def ownership(pids: tuple[int, ...], cgroup_id: int | None) -> Ownership:
        owners = search.processes(pids)
        return Ownership(owners, scope="process", cgroup=_path(search, groups[cgroup_id], owners))

    confirmed = search.confirmed()
    return {
        inode: ownership(confirmed.get(f"socket:[{inode}]", ()), record.cgroup_id) for inode, record in by_inode.items()
    }


def _groups(system: System, records: Iterable[SocketRecord]) -> dict[int | None, Cgroup | None]:
    """Return the control group of each ID that the sockets have; None for those that cannot be found."""
    numbers = {record.cgroup_id for record in records}
    return {number: None if number is None else cgroup.find(system, number) for number in numbers}


def _possible_owners(search: _Search, members: Members, group: Cgroup | None, area: SearchArea) -> tuple[Process, ...]:
    """Return the processes of a search area that could not be inspected; only their pids if procfs hides them."""
    refused = [pid for pid in area.pids if pid in search.refused]
    hidden = [pid for pid in area.pids if pid in search.missing] if search.hides_processes else []
    if group is None or not (refused or hidden) or not members.are_in_procfs():
        return ()
    current = members.area(group).pids if hidden else []
    described = [entry[0] for entry in map(search.described, refused) if entry is not None]
    unnamed = [Process(pid) for pid in hidden if pid in current]
    return tuple(sorted((*described, *unnamed), key=lambda process: process.pid))


def _path(search: _Search, group: Cgroup | None, owners: tuple[Process, ...]) -> str | None:
    """Return the path of a socket's cgroup; if that names no unit or is unknown, the path of its oldest owner's.

    A service manager is not the owner that counts: it keeps the socket for another unit.
    """
    is_ambiguous = group is not None and cgroup.is_ambiguous(group)
    known = None if group is None or is_ambiguous else group.path
    if known is not None and not cgroup.is_of_manager(known):
        return known
    for process in owners:
        # The group of the socket in cgroup2 is known where it is ambiguous: the root.
        path = search.unit_path_of(process.pid, unified=not is_ambiguous)
        if path is not None:
            return path
    return known
