"""Find sockets and their owners: from the processes, psutil's table of the whole system, and tables of the kernel.

Which of them a system has is in its `View`.
"""

from __future__ import annotations

from ..._errors import ParseError, SourceError
from ..._frozen import Frozen, replace
from .psutil_table import SocketRow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeVar

    from ..._answers.address import ProtocolName
    from ..._answers.listener import Process
    from ..._host.system import System
    from ..base import SocketQuery
    from ..pcblist import KernelListener, KernelListeners
    from . import PortableBackend, View
    from .psutil_table import ProcessTable

    T = TypeVar("T")

PROCESSES_HIDDEN = "some processes cannot be inspected (permission denied): run as root to see their sockets"
WITHOUT_PROCESS = "sockets without a process (TIME-WAIT): psutil does not list them on this system"
_OWNERS_UNKNOWN = (
    "the owners of sockets are unknown: psutil finds them by kernel addresses, which this system hides, so listeners"
    " can be missing"
)


class Ownership(Frozen):
    """The owners of a socket, and what only the kernel's own table shows."""

    owners: tuple[Process, ...]
    """The owners, oldest first."""
    hidden: bool
    """True if no owner was found and a process that may own the socket cannot be inspected."""
    possible: tuple[Process, ...] = ()
    """The processes that used the socket last, except known owners."""
    dual_stack: bool | None = None
    """Whether an IPv6 wildcard accepts IPv4 as well; psutil does not report it."""
    uid: int | None = None
    """The user ID that created the socket."""
    backlog: int | None = None
    """The limit of the accept queue."""
    queued: int | None = None
    """The number of connections in the accept queue."""


class Search(Frozen):
    """The sockets found by a search, and what it could not find."""

    sockets: dict[SocketRow, Ownership]
    """The sockets found, without pid, and their owners."""
    complete: bool
    """True if these are all sockets of the system, or all that a process owns."""
    problems: tuple[str, ...] = ()
    """What the search could not determine, beside the processes that cannot be inspected."""
    listed: frozenset[ProtocolName] = frozenset()
    """The protocols whose listeners are all in a table of the kernel."""


def find(
    system: System,
    table: ProcessTable,
    backend: PortableBackend,
    protocols: tuple[ProtocolName, ...],
    is_wanted: Callable[[SocketRow], bool],
) -> Search:
    """Return the sockets that are wanted, with their owners, from the sources that the system's `View` names.

    If the table of the whole system may not be read, the result is not complete. Other errors of it are raised.
    """

    def in_table() -> list[SocketRow]:
        return [row for row in table.sockets(protocols) if is_wanted(row)]

    view = backend.view
    if view.checks_owners:
        return _find_with_probes(system, table, protocols, is_wanted)
    superuser = system.uid == 0
    complete = view.every_socket or view.every_owned_socket
    rows: list[SocketRow] = []
    if complete:
        try:
            rows = in_table()
        except PermissionError:
            complete = False
        if complete and not rows:
            return Search({}, complete=True)
    if not view.every_owner:
        return Search(_owners_in_table(table, rows, in_table), complete)
    owned, denied = _owners_in_processes(table, protocols, is_wanted)
    inspected = superuser and not denied
    if view.others:
        return Search(_with_others(table, owned, in_table), complete=inspected)
    if backend.kernel is not None:
        # Read after the processes, so that a listener that was closed meanwhile is not reported without an owner.
        return _with_kernel(table, owned, backend.kernel(system, protocols), is_wanted, complete=inspected)
    unowned = {row.socket for row in rows} - set(owned)
    if unowned and not denied:
        unowned &= {row.socket for row in in_table()}  # all processes were inspected: some sockets have been closed
    sockets = _by_socket(owned)
    # A caller without root permissions may not even see the process.
    sockets |= {socket: Ownership((), hidden=denied or not superuser) for socket in unowned}
    return Search(sockets, complete or inspected)


def find_in_tree(system: System, table: ProcessTable, view: View, query: SocketQuery, tree: list[int]) -> Search:
    """Return the sockets of a tree of processes, the root first; a socket may have other owners as well.

    *query* has the protocols.
    """
    protocols = query.protocols or ()

    def is_wanted(row: SocketRow) -> bool:
        return row.state == "listen" and query.port in (None, row.port)

    def in_table() -> list[SocketRow]:
        return [row for row in table.sockets(protocols) if row.pid in tree and is_wanted(row)]

    if view.checks_owners:
        search = _find_with_probes(system, table, protocols, is_wanted)
        return search if search.complete else replace(search, problems=(*search.problems, PROCESSES_HIDDEN))
    if not view.every_owner:
        try:
            return Search(_owners_in_table(table, in_table(), in_table), complete=True)
        except PermissionError:
            return Search({}, complete=False, problems=(PROCESSES_HIDDEN,))
    owned, denied = _owners_in_processes(table, protocols, is_wanted, tree)
    problem = f"sockets of process {tree[0]} or of its descendants (permission denied): run as root"
    return Search(_by_socket(owned), complete=not denied, problems=(problem,) if denied else ())


def _with_others(
    table: ProcessTable, owned: dict[SocketRow, list[Process]], in_table: Callable[[], list[SocketRow]]
) -> dict[SocketRow, Ownership]:
    """Return the sockets of inspected processes, and those that the table of the whole system has beside them.

    The table is an additional source: without it, the result is that of the processes.
    """
    try:
        others = _owners_in_table(table, in_table(), in_table)
    except (OSError, ParseError):
        others = {}
    for socket, ownership in others.items():
        owners = owned.setdefault(socket, [])
        known = {process.pid for process in owners}
        owners += [process for process in ownership.owners if process.pid not in known]
    return _by_socket(owned)


def _with_kernel(
    table: ProcessTable,
    owned: dict[SocketRow, list[Process]],
    kernel: KernelListeners,
    is_wanted: Callable[[SocketRow], bool],
    *,
    complete: bool,
) -> Search:
    """Return the sockets of inspected processes, and the listeners of the kernel's table beside them.

    Sockets with the same protocol, address and port are one listener, as in psutil's rows. The process that used a
    socket last is an owner if it has a descriptor of the socket, and a possible owner if its descriptors cannot be
    read: a new process can have the pid of one that ended. A user-space flow (without uid) has no descriptor.
    """
    by_row: dict[SocketRow, list[KernelListener]] = {}
    for listener in kernel.listeners:
        row = SocketRow(
            listener.protocol, listener.family, listener.address, listener.port, "listen", scope=listener.scope
        )
        if is_wanted(row):
            by_row.setdefault(row, []).append(listener)
    sockets = _by_socket(owned)
    for row, listeners in by_row.items():
        known = owned.get(row, [])
        last_pids = {listener.last_pid for listener in listeners}
        of_flows = {listener.last_pid for listener in listeners if listener.uid is None}
        more, possible = _owners_by_last_pid(table, row, last_pids - {0} - {owner.pid for owner in known}, of_flows)
        owners = [*known, *more]
        [single] = listeners if len(listeners) == 1 else [None]
        sockets[row] = Ownership(
            _oldest_first(owners),
            hidden=not owners and last_pids != {0},
            possible=_oldest_first(possible),
            dual_stack=_common(listener.dual_stack for listener in listeners),
            uid=_common(listener.uid for listener in listeners),
            backlog=_common(listener.backlog for listener in listeners),
            queued=single.queued if single else None,
        )
    return Search(sockets, complete, kernel.problems, kernel.complete)


def _owners_by_last_pid(
    table: ProcessTable, row: SocketRow, pids: set[int], of_flows: set[int]
) -> tuple[list[Process], list[Process]]:
    """Return the owners and the possible owners of a listener among the processes that used it last."""
    owners: list[Process] = []
    possible: list[Process] = []
    for pid in pids:
        owned, denied = _owners_in_processes(table, (row.protocol,), lambda found: found.socket == row, [pid])
        owners += owned.get(row, [])
        if denied or (not owned and pid in of_flows):
            process = table.describe(pid)
            if process is not None:
                possible.append(process)
    return owners, possible


def _common(values: Iterable[T]) -> T | None:
    """Return the value that all have; None if they differ."""
    distinct = set(values)
    return distinct.pop() if len(distinct) == 1 else None


def _find_with_probes(
    system: System,
    table: ProcessTable,
    protocols: tuple[ProtocolName, ...],
    is_wanted: Callable[[SocketRow], bool],
) -> Search:
    """Return the sockets of processes; without owners if the probe sockets are not attributed to this process alone.

    On NetBSD psutil compares addresses of kernel structures, and all are zero for callers who may not see them: any
    socket could then be attributed to any process (psutil/arch/netbsd/socks.c; fill_file() of sys/kern/kern_descrip.c).
    """
    try:
        with system.held_probes() as probes:
            ends = {(protocol, "127.0.0.1", probes.ports[protocol]) for protocol in protocols}

            def is_probe(row: SocketRow) -> bool:
                return (row.protocol, row.address, row.port) in ends

            owned, denied = _owners_in_processes(table, protocols, lambda row: is_probe(row) or is_wanted(row))
    except SourceError:
        raise
    except OSError as error:
        raise SourceError.from_os_error("bind probe", error) from error
    attributed = {socket: owned.pop(socket) for socket in list(owned) if is_probe(socket)}
    is_reliable = len(attributed) == len(ends) and all(
        [process.pid for process in owners] == [probes.pid] for owners in attributed.values()
    )
    if not is_reliable:
        hidden = Ownership((), hidden=True)
        return Search(dict.fromkeys(owned, hidden), complete=False, problems=(_OWNERS_UNKNOWN,))
    return Search(_by_socket(owned), complete=system.uid == 0 and not denied)


def _owners_in_table(
    table: ProcessTable, rows: list[SocketRow], in_table: Callable[[], list[SocketRow]]
) -> dict[SocketRow, Ownership]:
    """Return the sockets with the owners in the system's own table.

    The table is read again after the processes were described: a process that is still the same and still in the table
    was the owner all the time. A socket that is still there, with another process, is kept without that owner.
    """
    processes = {pid: table.describe(pid) for pid in {row.pid for row in rows} if pid}
    remaining = set(in_table() if rows else rows)
    open_sockets = {row.socket for row in remaining}
    owned: dict[SocketRow, list[Process]] = {row.socket: [] for row in rows if row.socket in open_sockets}
    for row in remaining.intersection(rows):
        owners = owned[row.socket]
        process = processes.get(row.pid) if row.pid else None
        if process is not None and table.is_same(process.pid):
            owners.append(process)
    # Such a table has one process per socket, which may have ended and left the socket to a child.
    return _by_socket(owned)


def _owners_in_processes(
    table: ProcessTable,
    protocols: tuple[ProtocolName, ...],
    is_wanted: Callable[[SocketRow], bool],
    pids: Iterable[int] | None = None,
) -> tuple[dict[SocketRow, list[Process]], bool]:
    """Return the owners of each socket by the descriptors of processes, and whether a process cannot be inspected."""
    owned: dict[SocketRow, list[Process]] = {}
    denied = False
    for pid in table.pids() if pids is None else pids:
        try:
            sockets = {row.socket for row in table.sockets_of(pid, protocols) if is_wanted(row)}
        except ProcessLookupError:
            continue  # it has ended
        except (OSError, ParseError):
            denied = True  # its sockets are unknown, which must not spoil the rest of the result
            continue
        process = table.describe(pid) if sockets else None
        if process is None or not table.is_same(pid):
            continue
        for socket in sockets:
            owned.setdefault(socket, []).append(process)
    return owned, denied


def _by_socket(owned: dict[SocketRow, list[Process]]) -> dict[SocketRow, Ownership]:
    """Return the ownership of each socket by its owners; a socket without owners has a hidden one."""
    return {socket: Ownership(_oldest_first(owners), hidden=not owners) for socket, owners in owned.items()}


def _oldest_first(processes: Iterable[Process]) -> tuple[Process, ...]:
    return tuple(sorted(processes, key=lambda process: (process.started or 0.0, process.pid)))
