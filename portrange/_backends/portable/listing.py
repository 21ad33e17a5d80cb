"""Sockets, their owners and the usage of the ephemeral range, from psutil and bind probes.

Where a system hides the sockets of other users, a bind probe shows whether a port is in use. A bind to the wildcard
address without SO_REUSEADDR fails with EADDRINUSE if any address of the family is in use on that port (in_pcbbind() of
XNU and the BSDs). If it succeeds, nothing listens. If it fails, the port is in use by a listener, by a socket that does
not listen, or by the remains of a closed connection.
"""

from __future__ import annotations

from ..._answers.address import FAMILIES, WILDCARDS
from ..._answers.listener import BoundSocket, Listener, Listeners, Sockets
from ..._answers.span import contains
from ..._errors import ParseError, SourceError, UnsupportedPlatformError
from ..._frozen import Frozen, replace
from ..._lazy import import_lock
from .psutil_table import SocketRow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any, TypeVar

    from ..._answers.address import FamilyName, ProtocolName
    from ..._answers.ephemeral import EphemeralRange
    from ..._answers.listener import Process, Socket
    from ..._answers.usage import EphemeralUsage
    from ..._host.system import System
    from ..base import PortQuery, SocketQuery
    from ..pcblist import KernelListener, KernelListeners
    from ..settings import SettingsReader
    from . import PortableBackend, View
    from .psutil_table import ProcessTable

    T = TypeVar("T")

#: The protocols that psutil lists.
LISTED_PROTOCOLS: tuple[ProtocolName, ...] = ("tcp", "udp")
_SOURCE = "psutil"
#: Start times are the same up to this number of seconds: some systems round them.
_SAME_START = 1.5

_PROCESSES_HIDDEN = "some processes cannot be inspected (permission denied): run as root to see their sockets"
_OTHER_NAMESPACES = "sockets in other network namespaces, jails and compartments: psutil lists only the caller's own"
_MORE_LISTENERS = "other processes may listen on {protocol} port {port} as well: some cannot be inspected; run as root"
_OWNERS_UNKNOWN = (
    "the owners of sockets are unknown: psutil finds them by kernel addresses, which this system hides, so listeners"
    " can be missing"
)
_WITHOUT_PROCESS = "sockets without a process (TIME-WAIT): psutil does not list them on this system"


# --- listeners and bound sockets -------------------------------------------------------------------------------------


def listeners(system: System, query: SocketQuery, table: ProcessTable, backend: PortableBackend) -> Listeners:
    """Return the listeners that match *query*. Where psutil's view is partial, a bind probe or `incomplete` shows it.

    Raises `SourceError` if neither psutil nor a bind probe can determine whether anything listens on the port.
    """
    protocols = _listed(query.protocols)
    view = backend.view

    def is_wanted(row: SocketRow) -> bool:
        # Where sockets are hidden, those that do not listen explain why a bind probe fails.
        return query.port in (None, row.port) and (
            row.state == "listen" or (query.port is not None and not view.every_socket)
        )

    found = _find(system, table, backend, protocols, is_wanted)
    listening = [
        Listener(**_fields(system, row, ownership), backlog=ownership.backlog, queued=ownership.queued)
        for row, ownership in found.sockets.items()
        if row.state == "listen"
    ]
    incomplete: list[str] = []
    if query.port is None or not query.may_bind:
        if not found.complete and not found.listed.issuperset(protocols):
            incomplete += (*found.problems, _PROCESSES_HIDDEN)
    elif not view.every_socket or not found.complete:
        hidden, incomplete = _check_port(system, backend.reader, protocols, query.port, found)
        listening += hidden
        if incomplete and not listening and not found.complete:
            raise SourceError(_SOURCE, "; ".join(incomplete))
        if incomplete:  # successful bind probes prove that nothing listens, whatever else is unknown
            incomplete += found.problems
    if query.all_namespaces:
        incomplete.append(_OTHER_NAMESPACES)
    return Listeners(tuple(sorted(listening, key=_order)), tuple(incomplete))


def sockets_on(system: System, query: PortQuery, table: ProcessTable, backend: PortableBackend) -> Sockets:
    """Return the sockets on a port that psutil shows, or those of connections with a peer; listeners first."""

    def is_wanted(row: SocketRow) -> bool:
        return row.port == query.port and query.peer in (None, (row.remote_address, row.remote_port))

    wanted = _listed(query.protocols)
    found = _find(system, table, backend, wanted, is_wanted)
    sockets = [
        BoundSocket(
            **_fields(system, row, ownership),
            state=row.state,
            remote_address=row.remote_address,
            remote_port=row.remote_port,
        )
        for row, ownership in found.sockets.items()
    ]
    incomplete = list(found.problems if found.complete else (*found.problems, _PROCESSES_HIDDEN))
    if not backend.view.every_socket and "tcp" in wanted:
        incomplete.append(_WITHOUT_PROCESS)
    in_order = tuple(sorted(sockets, key=lambda socket: (socket.state != "listen", *_order(socket))))
    return Sockets(in_order, tuple(incomplete))


def running(table: ProcessTable, wanted: Process) -> Process | None:
    """Return a process; None if it has ended, or if its pid belongs to a process that started later."""
    process = None if table.has_ended(wanted.pid) else table.describe(wanted.pid)
    if process is None or not table.is_same(wanted.pid):
        return None
    times = (wanted.started, process.started)
    if times[0] is not None and times[1] is not None and abs(times[0] - times[1]) > _SAME_START:
        return None
    return process


def listeners_of(
    system: System, query: SocketQuery, root: Process, table: ProcessTable, backend: PortableBackend
) -> Listeners:
    """Return the listeners of a process and its descendants; the owners are those processes."""
    query = replace(query, protocols=_listed(query.protocols))
    incomplete: list[str] = [_OTHER_NAMESPACES] if query.all_namespaces else []
    tree, problems = _tree(table, root)
    incomplete += problems
    if not tree:
        return Listeners((), tuple(incomplete))
    found = _find_in_tree(system, table, backend.view, query, tree)
    incomplete += found.problems
    owners_of = {
        row: tuple(owner for owner in ownership.owners if query.exhaustive or owner.pid in tree)
        for row, ownership in found.sockets.items()
    }
    listening = [
        Listener(**_fields(system, row, _Ownership(owners, hidden=False)), scope="process")
        for row, owners in owners_of.items()
        if any(owner.pid in tree for owner in owners)
    ]
    return Listeners(tuple(sorted(listening, key=_order)), tuple(incomplete))


def _tree(table: ProcessTable, root: Process) -> tuple[list[int], list[str]]:
    """Return the pids of a process and its descendants, none if it has ended, and what is unknown about them."""
    try:
        process = running(table, root)
        tree = [] if process is None else [root.pid, *table.descendants(root.pid)]
    except ProcessLookupError:
        tree = []
    except PermissionError:
        return [root.pid], [f"descendants of process {root.pid} (permission denied): run as root"]
    ended = f"process {root.pid} does not exist or has ended; processes that it started are unknown"
    return tree, [] if tree else [ended]


def _find_in_tree(system: System, table: ProcessTable, view: View, query: SocketQuery, tree: list[int]) -> _Search:
    """Return the sockets of a tree of processes, the root first; a socket may have other owners as well."""
    protocols = _listed(query.protocols)

    def is_wanted(row: SocketRow) -> bool:
        return row.state == "listen" and query.port in (None, row.port)

    def in_table() -> list[SocketRow]:
        return [row for row in table.sockets(protocols) if row.pid in tree and is_wanted(row)]

    if view.checks_owners:
        search = _find_with_probes(system, table, protocols, is_wanted)
        return search if search.complete else replace(search, problems=(*search.problems, _PROCESSES_HIDDEN))
    if not view.every_owner:
        try:
            return _Search(_owners_in_table(table, in_table(), in_table), complete=True)
        except PermissionError:
            return _Search({}, complete=False, problems=(_PROCESSES_HIDDEN,))
    owned, denied = _owners_in_processes(table, protocols, is_wanted, tree)
    sockets = {socket: _Ownership(_oldest_first(owners), hidden=False) for socket, owners in owned.items()}
    problem = f"sockets of process {tree[0]} or of its descendants (permission denied): run as root"
    return _Search(sockets, complete=not denied, problems=(problem,) if denied else ())


def _listed(protocols: tuple[ProtocolName, ...] | None) -> tuple[ProtocolName, ...]:
    """Return the protocols to list; raises `UnsupportedPlatformError` if psutil does not list one of them."""
    unlisted = [protocol for protocol in protocols or () if protocol not in LISTED_PROTOCOLS]
    if unlisted:
        with import_lock:
            from ..._render.strings import joined
        raise UnsupportedPlatformError(
            f"cannot list {joined(unlisted)} sockets: psutil lists only {joined(LISTED_PROTOCOLS)}"
        )
    return protocols or LISTED_PROTOCOLS


def _fields(system: System, row: SocketRow, ownership: _Ownership) -> dict[str, Any]:
    """Return the fields of `Socket`."""
    return {
        "protocol": row.protocol,
        "family": row.family,
        "address": row.address,
        "port": row.port,
        "dual_stack": ownership.dual_stack if row.address == WILDCARDS["ipv6"] else False,
        "interface": system.interface_name(row.scope) if row.scope else None,
        "owners": ownership.owners,
        # No process owns what the kernel keeps of a closed connection.
        "hidden": ownership.hidden and row.state != "time-wait",
        "possible_owners": ownership.possible,
        "uid": ownership.uid,
        "user": _user(system, ownership),
    }


def _user(system: System, ownership: _Ownership) -> str | None:
    """Return the user that created a socket, or the user of its oldest owner where only that is known."""
    created = None if ownership.uid is None else system.user_name(ownership.uid)
    return created or (ownership.owners[0].user if ownership.owners else None)


def _order(socket: Socket) -> tuple[int, int, str, str]:
    return (socket.port, LISTED_PROTOCOLS.index(socket.protocol), socket.family, socket.address)


# --- the search for sockets and owners -------------------------------------------------------------------------------


class _Ownership(Frozen):
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


class _Search(Frozen):
    """The result of a search for sockets."""

    sockets: dict[SocketRow, _Ownership]
    """The sockets found, without pid, and their owners."""
    complete: bool
    """True if these are all sockets of the system, or all that a process owns."""
    problems: tuple[str, ...] = ()
    """What the search could not determine, beside the processes that cannot be inspected."""
    listed: frozenset[ProtocolName] = frozenset()
    """The protocols whose listeners are all in a table of the kernel."""


def _find(
    system: System,
    table: ProcessTable,
    backend: PortableBackend,
    protocols: tuple[ProtocolName, ...],
    is_wanted: Callable[[SocketRow], bool],
) -> _Search:
    """Return the sockets that are wanted.

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
            return _Search({}, complete=True)
    if not view.every_owner:
        return _Search(_owners_in_table(table, rows, in_table), complete)
    owned, denied = _owners_in_processes(table, protocols, is_wanted)
    inspected = superuser and not denied
    if view.others:
        return _Search(_with_others(table, owned, in_table), complete=inspected)
    if backend.kernel is not None:
        # Read after the processes, so that a listener that was closed meanwhile is not reported without an owner.
        return _with_kernel(table, owned, backend.kernel(system, protocols), is_wanted, complete=inspected)
    unowned = {row.socket for row in rows} - set(owned)
    if unowned and not denied:
        unowned &= {row.socket for row in in_table()}  # all processes were inspected: some sockets have been closed
    sockets = {socket: _Ownership(_oldest_first(owners), hidden=False) for socket, owners in owned.items()}
    # A caller without root permissions may not even see the process.
    sockets |= {socket: _Ownership((), hidden=denied or not superuser) for socket in unowned}
    return _Search(sockets, complete or inspected)


def _with_others(
    table: ProcessTable, owned: dict[SocketRow, list[Process]], in_table: Callable[[], list[SocketRow]]
) -> dict[SocketRow, _Ownership]:
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
    return {socket: _Ownership(_oldest_first(owners), hidden=not owners) for socket, owners in owned.items()}


def _with_kernel(
    table: ProcessTable,
    owned: dict[SocketRow, list[Process]],
    kernel: KernelListeners,
    is_wanted: Callable[[SocketRow], bool],
    *,
    complete: bool,
) -> _Search:
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
    sockets = {socket: _Ownership(_oldest_first(owners), hidden=False) for socket, owners in owned.items()}
    for row, listeners in by_row.items():
        known = owned.get(row, [])
        last_pids = {listener.last_pid for listener in listeners}
        of_flows = {listener.last_pid for listener in listeners if listener.uid is None}
        more, possible = _owners_by_last_pid(table, row, last_pids - {0} - {owner.pid for owner in known}, of_flows)
        owners = [*known, *more]
        [single] = listeners if len(listeners) == 1 else [None]
        sockets[row] = _Ownership(
            _oldest_first(owners),
            hidden=not owners and last_pids != {0},
            possible=_oldest_first(possible),
            dual_stack=_common(listener.dual_stack for listener in listeners),
            uid=_common(listener.uid for listener in listeners),
            backlog=_common(listener.backlog for listener in listeners),
            queued=single.queued if single else None,
        )
    return _Search(sockets, complete, kernel.problems, kernel.complete)


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
) -> _Search:
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
        hidden = _Ownership((), hidden=True)
        return _Search(dict.fromkeys(owned, hidden), complete=False, problems=(_OWNERS_UNKNOWN,))
    found = {socket: _Ownership(_oldest_first(owners), hidden=False) for socket, owners in owned.items()}
    return _Search(found, complete=system.uid == 0 and not denied)


def _owners_in_table(
    table: ProcessTable, rows: list[SocketRow], in_table: Callable[[], list[SocketRow]]
) -> dict[SocketRow, _Ownership]:
    """Return the sockets with the owners in the system's own table.

    The table is read again after the processes were described: a process that is still the same and still in the table
    was the owner all the time.
    """
    processes = {pid: table.describe(pid) for pid in {row.pid for row in rows} if pid}
    remaining = set(in_table() if rows else rows)
    owned: dict[SocketRow, list[Process]] = {}
    for row in remaining.intersection(rows):
        owners = owned.setdefault(row.socket, [])
        process = processes.get(row.pid) if row.pid else None
        if process is not None and table.is_same(process.pid):
            owners.append(process)
    # Such a table has one process per socket, which may have ended and left the socket to a child.
    return {socket: _Ownership(_oldest_first(owners), hidden=not owners) for socket, owners in owned.items()}


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


def _oldest_first(processes: Iterable[Process]) -> tuple[Process, ...]:
    return tuple(sorted(processes, key=lambda process: (process.started or 0.0, process.pid)))


# --- bind probes -----------------------------------------------------------------------------------------------------


def _check_port(
    system: System, reader: SettingsReader, protocols: tuple[ProtocolName, ...], port: int, found: _Search
) -> tuple[list[Listener], list[str]]:
    """Return the hidden listeners of a port, by bind probes, and what remains unknown about it."""
    visible = {row.protocol for row in found.sockets}
    listening: list[Listener] = []
    incomplete: list[str] = []
    for protocol in protocols:
        if protocol not in visible:
            hidden, problems = _check_hidden(system, reader, protocol, port, complete=found.complete)
            listening += hidden
            incomplete += problems
        elif not found.complete and protocol not in found.listed:  # a probe would fail because of the visible socket
            incomplete.append(_MORE_LISTENERS.format(protocol=protocol, port=port))
    return listening, incomplete


def _check_hidden(
    system: System, reader: SettingsReader, protocol: ProtocolName, port: int, *, complete: bool
) -> tuple[list[Listener], list[str]]:
    """Return the listener on a port that is proven but hidden, and what cannot be determined; neither: nothing listens.

    *complete*: all processes were inspected.
    """
    name = f"{protocol} port {port}"
    families, refusals = _probe(system, protocol, port)
    unknown = f"cannot determine whether a process listens on {name}"
    if not families:
        return [], [f"{unknown}: the bind probe failed ({refusals[0]}); run as root"] if refusals else []
    settings = reader.port_settings(system)
    if settings.excluded is not None and contains(settings.excluded, port):
        # macOS returns EADDRINUSE for the ports that it excludes as well.
        source = settings.source("excluded")
        problem = f"{unknown}: the system excludes it ({source}), so a bind probe always fails; run as root"
        return [], [] if complete else [problem]
    if complete:
        # No process owns it, so the kernel does.
        return [], [f"{name} is in use by no process: a closed connection (TIME-WAIT) or a socket of the kernel"]
    dual_stack = None if families[0] == "ipv6" else False
    hidden = Listener(protocol, families[0], "", port, dual_stack=dual_stack, hidden=True)
    return [hidden], [f"{name} is in use by a listener, or by a socket that does not listen; run as root to see it"]


def _probe(system: System, protocol: ProtocolName, port: int) -> tuple[list[FamilyName], list[str]]:
    """Return the families in which the port is in use, and the reasons of other failures of bind()."""
    with import_lock:
        from ..._host.binding import ABSENT, IN_USE, NOT_LOCAL
    families: list[FamilyName] = []
    refusals: list[str] = []
    # IPv6 first: a dual-stack socket makes both probes fail and is shown once, under IPv6.
    for family, address in reversed(WILDCARDS.items()):
        try:
            system.bind(protocol, family, address, port)
        except SourceError:
            raise
        except OSError as error:
            if error.errno in IN_USE:
                families.append(family)
            elif error.errno not in ABSENT | NOT_LOCAL:
                refusals.append(error.strerror or str(error))
    return families, refusals


# --- usage of the ephemeral range ------------------------------------------------------------------------------------


def ephemeral_usage(
    system: System, protocol: ProtocolName, table: ProcessTable, view: View, ranges: Mapping[FamilyName, EphemeralRange]
) -> EphemeralUsage:
    """Return the usage of the ephemeral ranges (by family) of a protocol; `incomplete` has what is hidden."""
    with import_lock:
        from ..occupancy import Occupancy, SocketEntry

    def entry(row: SocketRow) -> SocketEntry:
        state: str = row.state
        if row.protocol == "udp":
            state = "connected" if row.remote_port else "bound"
        return SocketEntry(
            row.family,
            row.address,
            row.port,
            state,
            row.remote_address,
            row.remote_port,
            # psutil does not report whether an IPv6 wildcard accepts IPv4 as well.
            dual_stack=None if row.address == WILDCARDS["ipv6"] else False,
            interface=system.interface_name(row.scope) if row.scope else None,
        )

    occupancy = Occupancy(protocol, system.platform, {family: ranges[family] for family in FAMILIES})
    if view.every_socket:
        try:
            rows = table.sockets((protocol,))
        except PermissionError as error:
            raise SourceError(_SOURCE, f"cannot list sockets ({error}); run as root", error.errno) from error
    else:
        rows = list(_owned_rows(table, view, protocol, occupancy.incomplete))
        if protocol == "tcp":
            occupancy.incomplete.append(_WITHOUT_PROCESS)
    return occupancy.count(entry(row) for row in {row.socket for row in rows})


def _owned_rows(table: ProcessTable, view: View, protocol: ProtocolName, incomplete: list[str]) -> Iterator[SocketRow]:
    """Yield the sockets of each process; processes that cannot be inspected are added to *incomplete*, once."""
    if view.every_owned_socket or view.others:
        try:
            yield from table.sockets((protocol,))
        except (OSError, ParseError):
            pass
        else:
            if view.every_owned_socket:
                return
    for pid in table.pids():
        try:
            yield from table.sockets_of(pid, (protocol,))
        except ProcessLookupError:
            continue  # it has ended
        except (OSError, ParseError):
            if _PROCESSES_HIDDEN not in incomplete:
                incomplete.append(_PROCESSES_HIDDEN)
