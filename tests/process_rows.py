"""A machine's processes and sockets as rows, in place of psutil: for systems that the tests do not run on."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field

from portrange import Process
from portrange._backends.portable.psutil_table import SocketRow
from portrange._frozen import replace


@dataclass
class Rows:
    """`held` maps pids to their sockets; the system as a whole shows these and `unheld`.

    - `refusing`: processes that psutil cannot inspect, which raises `failure`. The system table lists their sockets
      without an owner.
    - `children`: the children of each process.
    - `whole_table_refused`: the system does not show its table at all, as macOS does.
    - `owned_only`: the table of the system has only sockets of processes: with "one" owner each, also of processes that
      cannot be inspected (FreeBSD), or with "all" (OpenBSD).
    - `matches_everything`: each process seems to have all sockets (NetBSD without kernel addresses).
    - `ended`: processes that end before they are described. `replaced`: numbers that meanwhile belong to another.
    """

    held: dict[int, list[SocketRow]] = field(default_factory=dict)
    unheld: list[SocketRow] = field(default_factory=list)
    refusing: frozenset[int] = frozenset()
    failure: Exception = field(default_factory=lambda: PermissionError(errno.EACCES, "not yours"))
    whole_table_refused: bool = False
    owned_only: str = ""
    matches_everything: bool = False
    ended: frozenset[int] = frozenset()
    replaced: frozenset[int] = frozenset()
    children: dict[int, list[int]] = field(default_factory=dict)

    def sockets(self, protocols: tuple[str, ...]) -> list[SocketRow]:
        if self.whole_table_refused:
            raise PermissionError(errno.EACCES, "only the superuser may see all")
        if self.owned_only == "all":
            pairs = [(pid, row) for pid, sockets in self.held.items() for row in sockets]
            return [replace(row, pid=pid) for pid, row in pairs if row.protocol in protocols]
        if self.owned_only:
            named = {row: pid for pid, sockets in self.held.items() for row in sockets}
            return [replace(row, pid=pid) for row, pid in named.items() if row.protocol in protocols]
        rows: dict[SocketRow, int | None] = dict.fromkeys(self.unheld)
        for pid, sockets in self.held.items():
            for row in sockets:
                rows[row] = None if pid in self.refusing else pid
        return [replace(row, pid=pid) for row, pid in rows.items() if row.protocol in protocols]

    def pids(self) -> list[int]:
        return sorted(self.held)

    def sockets_of(self, pid: int, protocols: tuple[str, ...]) -> list[SocketRow]:
        if pid in self.refusing:
            raise self.failure
        if pid not in self.held:
            raise ProcessLookupError(errno.ESRCH, "no such process")
        sockets = [row for rows in self.held.values() for row in rows] if self.matches_everything else self.held[pid]
        return [row for row in sockets if row.protocol in protocols]

    def describe(self, pid: int) -> Process | None:
        if pid in self.ended or pid not in self.held:
            return None
        # The higher the number, the older: an answer in the order of numbers is not one in the order of age.
        return Process(pid, f"program{pid}", (f"/bin/program{pid}",), user=f"user{pid}", started=1e9 - pid)

    def is_same(self, pid: int) -> bool:
        return pid not in self.replaced

    def descendants(self, pid: int) -> list[int]:
        found = [pid]
        for parent in found:
            found += self.children.get(parent, [])
        return found[1:]

    def has_ended(self, pid: int) -> bool:
        return pid in self.ended or pid not in self.held


def listening(protocol: str, address: str, port: int) -> SocketRow:
    return SocketRow(protocol, "ipv6" if ":" in address else "ipv4", address, port, "listen")


def connection(protocol: str, address: str, port: int) -> SocketRow:
    family = "ipv6" if ":" in address else "ipv4"
    return SocketRow(protocol, family, address, port, "connection", "192.0.2.7", 443)
