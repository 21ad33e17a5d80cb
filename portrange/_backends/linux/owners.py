"""The owners of sockets: first among the processes of the socket's cgroup, then, if that is not enough, among all.

A process owns a socket if one of its descriptors is open on it: /proc/PID/fd/N links to ``socket:[INODE]`` (proc(5)).
"""

from __future__ import annotations

from functools import cache

from ..._answers.listener import Process
from ..._errors import SourceError
from ..._frozen import Frozen
from ..._render.sanitize import decode
from . import cgroup, procfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .cgroup import Cgroup
    from .procfs import ProcessReader
    from .sock_diag import SocketRecord

#: Process 1 creates the sockets of services that are started on demand (systemd.socket(5)), and keeps them.
_INIT = 1
#: How often processes are listed, to inspect those that were started during the search.
_PASSES = 3


class Ownership(Frozen):
    """The owners of one socket; see `Socket` for the fields that are not described here."""

    owners: tuple[Process, ...] = ()
    possible_owners: tuple[Process, ...] = ()
    hidden: bool = False
    scope: str = "host"
    cgroup: str | None = None
    """The path of its cgroup, None if it is unknown."""
    incomplete: bool = False
    """True if some processes could not be inspected, so there may be more owners."""
    moved: bool = False
    """True if every owner that was found has closed the socket, or has ended, before it was confirmed.

    The socket may have moved to a process that had been inspected before.
    """


class _Search:
    """The processes inspected so far and the sockets they own; each process is inspected once."""

    def __init__(self, reader: ProcessReader, targets: frozenset[str]) -> None:
        self.system = reader.system
        self.targets = targets
        #: The owners of each socket (by link target), by pid, with one of their links, such as ``7/fd/3``.
        self.found: dict[str, dict[int, str]] = {}
        self.inspected: set[int] = set()
        self.refused: set[int] = set()
        #: Processes that procfs does not show: they have ended or are hidden.
        self.missing: set[int] = set()
        #: True if procfs hides processes, or may hide them.
        self.hides_processes = False
        #: A process at its first description, and its start; None if it did not exist.
        self.described = cache(reader.describe)

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

    def is_owned_by(self, target: str, pids: Iterable[int]) -> bool:
        """Return whether one of *pids* owns a socket, not counting process 1, which keeps sockets for services."""
        found = self.found.get(target, {})
        return any(pid in found for pid in pids if pid != _INIT)

    def confirmed(self, target: str) -> tuple[Process, ...]:
        """Return the owners of a socket, oldest first, each of which owned it while it was the described process.

        A pid may be reused between reading descriptors and reading the name. So the descriptor and then the start time
        are read again: if both are the same, it was one process all the time.
        """
        owners: list[tuple[int, int, Process]] = []
        for pid, link in self.found.get(target, {}).items():
            entry = self.described(pid)
            if entry is None:
                continue
            process, started = entry
            try:
                is_open = procfs.accessed(self.system.read_link, f"{self.system.procfs}/{link}") == target
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue  # closed, ended, or another process
            if is_open and procfs.start_ticks(self.system, pid) == started:
                owners.append((started, pid, process))
        return tuple(process for _, _, process in sorted(owners, key=lambda owner: owner[:2]))

    def _read_descriptors(self, pid: int, directory: str) -> None:
        path = f"{self.system.procfs}/{directory}"
        try:
            links = self.system.find_links(path, self.targets)
        except PermissionError:
            self.refused.add(pid)
        except (FileNotFoundError, ProcessLookupError):
            self.missing.add(pid)
        except OSError as error:
            raise SourceError.from_os_error(path, error) from error
        else:
            for name, target in links.items():
                self.found.setdefault(target, {})[pid] = f"{directory}/{name}"


def find(reader: ProcessReader, records: Iterable[SocketRecord], *, exhaustive: bool) -> dict[int, Ownership]:
    """Return the owners of each socket, by inode, without sockets that no process can own (TIME_WAIT)."""
    by_inode = {record.inode: record for record in records if record.inode}
    targets = {inode: f"socket:[{inode}]" for inode in by_inode}
    system = reader.system
    search = _Search(reader, frozenset(targets.values()))

    groups: dict[int | None, Cgroup | None] = {
        number: None if number is None else cgroup.find(system, number)
        for number in {record.cgroup_id for record in by_inode.values()}
    }
    members: dict[int | None, list[int]] = {}
    for number, group in groups.items():
        # The root group contains no processes on a system with systemd, and all of them elsewhere.
        if group is not None and group.path != "/":
            members[number] = cgroup.processes(system, group)
            search.inspect(members[number])

    # An owner that was found in the cgroup of another socket does not end the search: others may be anywhere.
    unsettled = {
        targets[inode]
        for inode, record in by_inode.items()
        if exhaustive or not search.is_owned_by(targets[inode], members.get(record.cgroup_id, ()))
    }
    if unsettled:
        search.inspect_all()
    if any(target not in search.found for target in unsettled):
        search.inspect_threads()

    incomplete = search.hides_processes or bool(search.refused)
    ownerships: dict[int, Ownership] = {}
    for inode, record in by_inode.items():
        target = targets[inode]
        owners = search.confirmed(target)
        group = groups[record.cgroup_id]
        ownerships[inode] = Ownership(
            owners=owners,
            possible_owners=_possible_owners(search, group, members.get(record.cgroup_id, [])),
            hidden=not owners and incomplete,
            scope="host" if target in unsettled else "service",
            cgroup=_path(search, group, owners),
            incomplete=incomplete,
            moved=not owners and target in search.found,
        )
    return ownerships


def _possible_owners(search: _Search, group: Cgroup | None, members: list[int]) -> tuple[Process, ...]:
    """Return the processes of a cgroup that could not be inspected; only their pids if procfs hides them."""
    refused = [pid for pid in members if pid in search.refused]
    hidden = [pid for pid in members if pid in search.missing] if search.hides_processes else []
    if group is None or not (refused or hidden) or not procfs.shares_pid_namespace(search.system):
        return ()
    current = cgroup.processes(search.system, group) if hidden else []
    described = [entry[0] for entry in map(search.described, refused) if entry is not None]
    unnamed = [Process(pid) for pid in hidden if pid in current]
    return tuple(sorted((*described, *unnamed), key=lambda process: process.pid))


def _path(search: _Search, group: Cgroup | None, owners: tuple[Process, ...]) -> str | None:
    """Return the path of a socket's cgroup; if that is ambiguous, the path of its oldest owner's."""
    if group is None or not cgroup.is_ambiguous(group):
        return group.path if group else None
    described = search.described(owners[0].pid) if owners else None
    if described is None:
        return None
    process, started = described
    source = f"{search.system.procfs}/{process.pid}/cgroup"
    try:
        content = procfs.accessed(search.system.read, source)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    if procfs.start_ticks(search.system, process.pid) != started:
        return None  # another process with the same pid
    return cgroup.parse_memberships(decode(content), source)
