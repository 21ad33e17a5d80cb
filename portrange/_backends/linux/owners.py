"""Who holds a socket: first the processes of the socket's own cgroup, then, where that does not settle it, all.

A process is found by its open descriptors: /proc/PID/fd/N is a link to ``socket:[INODE]`` (proc(5)).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..._answers.listener import Process
from . import cgroup, processes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..._host import Host
    from .cgroup import Cgroup
    from .socket_record import SocketRecord

#: Process 1 holds the sockets of services that were not yet started (systemd.socket(5)), and goes on holding them.
_INIT = 1


@dataclass(frozen=True, slots=True)
class Holding:
    """What a search found out about one socket; see `Listener` for the meaning of each."""

    owners: tuple[Process, ...] = ()
    candidates: tuple[Process, ...] = ()
    hidden: bool = False
    scope: str = "host"
    group: Cgroup | None = None


@dataclass(slots=True)
class _Search:
    """The processes looked into so far, and what they hold: each is looked into once."""

    host: Host
    targets: frozenset[str]
    #: For each socket (by its link target) the pids seen holding it, with the name of one descriptor.
    holders: dict[str, dict[int, str]] = field(default_factory=dict[str, dict[int, str]])
    seen: set[int] = field(default_factory=set[int])
    refused: set[int] = field(default_factory=set[int])

    def look_into(self, pids: Iterable[int]) -> None:
        for pid in pids:
            if pid in self.seen:
                continue
            self.seen.add(pid)
            try:
                links = self.host.find_links(f"{self.host.procfs}/{pid}/fd", self.targets)
            except PermissionError:
                self.refused.add(pid)
                continue
            except (FileNotFoundError, ProcessLookupError):
                continue  # ended meanwhile
            for name, target in links.items():
                self.holders.setdefault(target, {})[pid] = name

    def is_settled(self, target: str) -> bool:
        """Whether somebody other than process 1, which holds sockets for others, was seen holding it."""
        return any(pid != _INIT for pid in self.holders.get(target, ()))


def find(host: Host, records: Iterable[SocketRecord], *, exhaustive: bool) -> dict[int, Holding]:
    """The holders of each socket, by inode.

    A socket that is held by nobody any more has no entry: it was closed while we looked.
    """
    by_inode = {record.inode: record for record in records if record.inode}
    targets = {inode: f"socket:[{inode}]" for inode in by_inode}
    group_ids = {record.cgroup_id for record in by_inode.values()}
    found_groups = {number: None if number is None else cgroup.find(host, number) for number in group_ids}
    search = _Search(host, frozenset(targets.values()))

    members: dict[int | None, list[int]] = {}
    for number, group in found_groups.items():
        # The root group has no processes of its own on a managed system, and all of them elsewhere.
        if group is not None and group.path != "/":
            members[number] = cgroup.processes(host, group)
            search.look_into(members[number])
    unsettled = [target for target in targets.values() if not search.is_settled(target)]
    scope = "service"
    if exhaustive or unsettled:
        scope = "host"
        search.look_into(processes.pids(host))

    described: dict[int, tuple[Process, int] | None] = {}
    holdings: dict[int, Holding] = {}
    for inode, target in targets.items():
        owners = _confirmed(search, target, described)
        group_id = by_inode[inode].cgroup_id
        refused = [pid for pid in members.get(group_id, ()) if pid in search.refused]
        holdings[inode] = Holding(
            owners=owners,
            candidates=tuple(filter(None, (_describe(host, pid, described) for pid in refused))),
            hidden=not owners and (bool(search.refused) or processes.hides_others(host)),
            scope="host" if scope == "host" and (exhaustive or target in unsettled) else "service",
            group=found_groups.get(group_id),
        )
    return holdings


def _confirmed(search: _Search, target: str, described: dict[int, tuple[Process, int] | None]) -> tuple[Process, ...]:
    """The holders of a socket, oldest first, each seen holding it while it was the process that is described.

    A pid may be used again between looking at descriptors and reading a name. So the descriptor is looked at once
    more after the name, and then the start time: if both still fit, it was one process all along.
    """
    host = search.host
    owners: list[tuple[int, int, Process]] = []
    for pid, name in search.holders.get(target, {}).items():
        description = _describe(host, pid, described)
        entry = described[pid]
        if description is None or entry is None:
            continue
        try:
            if host.read_link(f"{host.procfs}/{pid}/fd/{name}") != target:
                continue
        except OSError:
            continue
        if processes.start_ticks(host, pid) == entry[1]:
            owners.append((entry[1], pid, description))
    return tuple(process for _, _, process in sorted(owners, key=lambda owner: owner[:2]))


def _describe(host: Host, pid: int, described: dict[int, tuple[Process, int] | None]) -> Process | None:
    if pid not in described:
        described[pid] = processes.describe(host, pid)
    entry = described[pid]
    return None if entry is None else entry[0]
