"""Which sockets there are and who holds them, as far as psutil's view of a system goes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..._errors import ParseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..._answers.listener import Process
    from .view import ProcessTable, SocketRow, View


@dataclass(frozen=True, slots=True)
class Holding:
    """The holders of a socket, oldest first; `hidden` where none was seen and one may have been kept from sight."""

    owners: tuple[Process, ...]
    hidden: bool


@dataclass(slots=True)
class Search:
    """The sockets found, by identity; `complete` says whether these are all that the system has."""

    holdings: dict[SocketRow, Holding] = field(default_factory=dict["SocketRow", "Holding"])
    complete: bool = True


def find(
    table: ProcessTable,
    view: View,
    protocols: tuple[str, ...],
    wanted: Callable[[SocketRow], bool],
    *,
    superuser: bool,
) -> Search:
    """The sockets that are `wanted`.

    Raises what `table` raises for the whole system, but for a refusal: then the answer is not complete.
    """

    def listed() -> list[SocketRow]:
        return [row for row in table.sockets(protocols) if wanted(row)]

    complete = view.every_socket
    rows: list[SocketRow] = []
    if view.every_socket:
        try:
            rows = listed()
        except PermissionError:
            complete = False
        if complete and not rows:
            return Search()
    if not view.every_holder:
        return _from_table(table, rows, listed, complete=complete)
    held, refused = _from_processes(table, protocols, wanted)
    if not view.every_socket or not complete:
        complete = superuser and not refused
    unheld = {row.socket for row in rows} - set(held)
    if unheld and not refused:
        unheld &= {row.socket for row in listed()}  # nobody was hidden: some were closed meanwhile
    holdings = {socket: Holding(_oldest_first(owners), hidden=False) for socket, owners in held.items()}
    # A caller who is not the superuser may not even be shown the process.
    holdings |= {socket: Holding((), hidden=refused or not superuser) for socket in unheld}
    return Search(holdings, complete)


def _from_table(
    table: ProcessTable, rows: list[SocketRow], listed: Callable[[], list[SocketRow]], *, complete: bool
) -> Search:
    """The owners that the system's own table names.

    The table is read once more after the processes were described: a process that is still the same, and still in
    the table, was the holder all along.
    """
    described = {pid: table.describe(pid) for pid in {row.pid for row in rows} if pid}
    still = set(listed() if rows else rows)
    owners: dict[SocketRow, list[Process]] = {}
    for row in still.intersection(rows):
        holders = owners.setdefault(row.socket, [])
        process = described.get(row.pid) if row.pid else None
        if process is not None and table.is_same(process.pid):
            holders.append(process)
    # One process a socket is all that such a table has, and that one may have ended and left the socket to a child.
    return Search({key: Holding(_oldest_first(found), hidden=not found) for key, found in owners.items()}, complete)


def _from_processes(
    table: ProcessTable, protocols: tuple[str, ...], wanted: Callable[[SocketRow], bool]
) -> tuple[dict[SocketRow, list[Process]], bool]:
    """The holders of each socket by the processes' own descriptors, and whether a process refused to be looked into."""
    held: dict[SocketRow, list[Process]] = {}
    refused = False
    for pid in table.pids():
        try:
            sockets = {row.socket for row in table.sockets_of(pid, protocols) if wanted(row)}
        except ProcessLookupError:
            continue  # ended meanwhile
        except (OSError, ParseError):
            refused = True  # or not to be understood: what it has is not known, and spoils no other answer
            continue
        process = table.describe(pid) if sockets else None
        if process is None or not table.is_same(pid):
            continue
        for socket in sockets:
            held.setdefault(socket, []).append(process)
    return held, refused


def _oldest_first(processes: Iterable[Process]) -> tuple[Process, ...]:
    return tuple(sorted(processes, key=lambda process: (process.started or 0.0, process.pid)))
