"""Who holds a socket: first the processes of the socket's own cgroup, then, where that does not settle it, all.

A process is found by its open descriptors: /proc/PID/fd/N is a link to ``socket:[INODE]`` (proc(5)).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from ..._answers.listener import Process
from ..._errors import SourceError
from . import cgroup, processes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .cgroup import Cgroup
    from .processes import ProcessReader
    from .socket_record import SocketRecord

#: Process 1 holds the sockets of services that were not yet started (systemd.socket(5)), and goes on holding them.
_INIT = 1


#: How often processes are listed again for those that were started while the others were looked into.
_PASSES = 3


class Holding(NamedTuple):
    """What a search found out about one socket; see `Socket` for the meaning of each.

    `cgroup`: the path of its group, None where it cannot be told.
    `partial`: some processes could not be looked into, so `owners` may not be all.
    `slipped`: somebody was seen holding it who had closed it, or ended, before that could be confirmed. Whoever it was
    passed on to may have been looked into before that.
    """

    owners: tuple[Process, ...] = ()
    possible_owners: tuple[Process, ...] = ()
    hidden: bool = False
    scope: str = "host"
    cgroup: str | None = None
    partial: bool = False
    slipped: bool = False


class _Search:
    """The processes looked into so far, and what they hold: each is looked into once."""

    def __init__(self, reader: ProcessReader, targets: frozenset[str]) -> None:
        self.host = reader.host
        self.targets = targets
        #: For each socket (by its link target) the pids seen holding it, with one of the links, as in ``7/fd/3``.
        self.holders: dict[str, dict[int, str]] = {}
        self.seen: set[int] = set()
        self.refused: set[int] = set()
        #: Processes that procfs does not show: they have ended, or are kept out of sight.
        self.missing: set[int] = set()
        #: Whether there are, or may be, processes that procfs does not show at all.
        self.blind = False
        #: A process as it was when it was first asked for, and its start; None where it was gone.
        self.described = cache(reader.describe)

    def look_into(self, pids: Iterable[int]) -> None:
        """Look into the descriptors of processes that were not looked into yet."""
        for pid in pids:
            if pid not in self.seen:
                self.seen.add(pid)
                self._look(pid, f"{pid}/fd")

    def look_into_all(self) -> None:
        """Look into every process that procfs shows, also into those that are started meanwhile.

        A process that is forked has the sockets of its parent, which may close its own and have been looked into.
        """
        for repeated in range(_PASSES):
            everybody = processes.pids(self.host)
            if everybody is None:
                self.blind = True
                return
            if not repeated:
                self.blind = processes.hides_others(self.host, everybody)
            elif self.seen.issuperset(everybody):
                return
            self.look_into(everybody)

    def look_into_threads(self) -> None:
        """Look into the threads of programs whose first thread has ended: its own descriptors are gone."""
        for pid in sorted(self.seen):
            for thread in processes.surviving_threads(self.host, pid):
                self._look(pid, f"{pid}/task/{thread}/fd")

    def is_settled(self, target: str, members: Iterable[int]) -> bool:
        """Whether one of `members` other than process 1, which holds sockets for others, was seen holding it."""
        holders = self.holders.get(target, {})
        return any(pid in holders for pid in members if pid != _INIT)

    def confirmed(self, target: str) -> tuple[Process, ...]:
        """The holders of a socket, oldest first, each seen holding it while it was the process that is described.

        A pid may be used again between looking at descriptors and reading a name. So the descriptor is looked at
        once more after the name, and then the start time: if both still fit, it was one process all along.
        """
        owners: list[tuple[int, int, Process]] = []
        for pid, link in self.holders.get(target, {}).items():
            entry = self.described(pid)
            if entry is None:
                continue
            try:
                held = processes.ask(self.host.read_link, f"{self.host.procfs}/{link}") == target
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue  # closed, or gone, or another process by now
            if held and processes.start_ticks(self.host, pid) == entry[1]:
                owners.append((entry[1], pid, entry[0]))
        return tuple(process for _, _, process in sorted(owners, key=lambda owner: owner[:2]))

    def _look(self, pid: int, directory: str) -> None:
        path = f"{self.host.procfs}/{directory}"
        try:
            links = self.host.find_links(path, self.targets)
        except PermissionError:
            self.refused.add(pid)
        except (FileNotFoundError, ProcessLookupError):
            self.missing.add(pid)
        except OSError as error:
            raise SourceError.from_os_error(path, error) from error
        else:
            for name, target in links.items():
                self.holders.setdefault(target, {})[pid] = f"{directory}/{name}"


def find(reader: ProcessReader, records: Iterable[SocketRecord], *, exhaustive: bool) -> dict[int, Holding]:
    """The holders of each socket, by inode; sockets that no process can hold (TIME_WAIT) are left out."""
    by_inode = {record.inode: record for record in records if record.inode}
    targets = {inode: f"socket:[{inode}]" for inode in by_inode}
    host = reader.host
    search = _Search(reader, frozenset(targets.values()))

    groups = {number: None if number is None else cgroup.find(host, number) for number in _group_ids(by_inode)}
    members: dict[int | None, list[int]] = {}
    for number, group in groups.items():
        # The root group has no processes of its own on a managed system, and all of them elsewhere.
        if group is not None and group.path != "/":
            members[number] = cgroup.processes(host, group)
            search.look_into(members[number])

    # A holder in another socket's service, met on the way, does not settle it: there may be more of them anywhere.
    wide = {
        targets[inode]
        for inode, record in by_inode.items()
        if exhaustive or not search.is_settled(targets[inode], members.get(record.cgroup_id, ()))
    }
    if wide:
        search.look_into_all()
    if any(target not in search.holders for target in wide):
        search.look_into_threads()

    partial = search.blind or bool(search.refused)
    holdings: dict[int, Holding] = {}
    for inode, record in by_inode.items():
        target = targets[inode]
        owners = search.confirmed(target)
        group = groups[record.cgroup_id]
        holdings[inode] = Holding(
            owners=owners,
            possible_owners=_candidates(search, group, members.get(record.cgroup_id, [])),
            hidden=not owners and partial,
            scope="host" if target in wide else "service",
            cgroup=_path(search, group, owners),
            partial=partial,
            slipped=not owners and target in search.holders,
        )
    return holdings


def _candidates(search: _Search, group: Cgroup | None, members: list[int]) -> tuple[Process, ...]:
    """The processes of a group that could not be looked into; only their numbers where procfs does not show them."""
    refused = [pid for pid in members if pid in search.refused]
    missing = [pid for pid in members if pid in search.missing] if search.blind else []
    if group is None or not (refused or missing) or not processes.counts_as_caller(search.host):
        return ()
    there = set(cgroup.processes(search.host, group)) if missing else set[int]()
    unseen = [Process(pid) for pid in missing if pid in there]
    described = [entry[0] for entry in map(search.described, refused) if entry is not None]
    return tuple(sorted((*described, *unseen), key=lambda process: process.pid))


def _path(search: _Search, group: Cgroup | None, owners: tuple[Process, ...]) -> str | None:
    """The path of a socket's group; where that says nothing, of its oldest holder's: as near as one can get."""
    if group is None or not cgroup.says_nothing(group):
        return group.path if group else None
    described = search.described(owners[0].pid) if owners else None
    if described is None:
        return None
    pid = described[0].pid
    source = f"{search.host.procfs}/{pid}/cgroup"
    try:
        content = processes.ask(search.host.read, source)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    if processes.start_ticks(search.host, pid) != described[1]:
        return None  # another process by now
    return cgroup.parse_memberships(processes.decode(content), source)


def _group_ids(by_inode: dict[int, SocketRecord]) -> set[int | None]:
    return {record.cgroup_id for record in by_inode.values()}
