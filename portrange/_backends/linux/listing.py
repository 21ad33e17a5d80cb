"""Listening and bound sockets of Linux, with their owners."""

from __future__ import annotations

from functools import cache
from operator import attrgetter

from ..._answers.address import PROTOCOLS
from ..._answers.listener import BoundSocket, Listener, Listeners, Sockets
from ..._errors import SourceError
from ..._frozen import Frozen
from ..._lazy import import_lock
from ..base import SocketQuery
from . import sockets
from .sock_diag import ANY_STATE, CLOSE, TCP_STATES, TIME_WAIT, Address, SocketFilter, SocketRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from ..._answers.address import FamilyName, ProtocolName
    from ..._answers.listener import Process, SocketState
    from ..._host.system import System
    from ..base import PortQuery
    from .owners import Ownership
    from .procfs import ProcessReader

#: How often the owners of a socket are searched for that moved to another process during the search.
_SEARCHES = 3
#: How many network namespaces that could not be queried are listed.
_MOST_LISTED = 5
_UNITS = "units and containers: the cgroups of sockets are not available, and some owners are hidden; run as root"
_FURTHER_OWNERS = "owners: some processes could not be inspected and may own these sockets too; run as root"


class Network(Frozen):
    """One of several network namespaces that were queried."""

    system: System
    """The system as seen from it."""
    name: str
    """Its name."""


def listeners(system: System, query: SocketQuery) -> Listeners:
    """Return the listening sockets that match *query*, with their owners."""
    if query.process is not None:
        return _listeners_of(system, query, query.process)
    found, incomplete = _find(system, query)
    if not found:
        return Listeners((), tuple(incomplete))
    reader = _process_reader(system)
    found, ownerships = _with_owners(reader, found, lambda: _find(system, query)[0], exhaustive=query.exhaustive)
    results = _results(reader, found, ownerships)
    if any(result.cgroup is None and result.hidden for result in results) and _has_no_cgroups(system, found):
        incomplete.append(_UNITS)
    if query.exhaustive and any(owned.owners and owned.incomplete for owned in ownerships.values()):
        incomplete.append(_FURTHER_OWNERS)
    return Listeners(results, tuple(incomplete))


def _listeners_of(system: System, query: SocketQuery, root: Process) -> Listeners:
    """Return the listening sockets of a process and its descendants.

    Their descriptors are read first, and sockets are only listed if there are any. The owners are those processes, or
    all owners if the query is exhaustive.
    """
    with import_lock:
        from . import owners, trees

    results: tuple[Listener, ...] = ()
    incomplete: list[str] = []
    for _ in range(_SEARCHES):
        tree = trees.read(system, root)
        incomplete = list(tree.incomplete)
        if not tree.sockets:
            break
        everything, unlisted = _find(system, query)
        incomplete += unlisted
        targets = {record.inode: f"socket:[{record.inode}]" for record in everything}
        wanted = tree.sockets.intersection(targets.values())
        if query.own_only and wanted:
            wanted -= trees.inherited(system, tree.pids, wanted)
        found = [record for record in everything if targets[record.inode] in wanted]
        if not found:
            break
        reader = _process_reader(system)
        if query.exhaustive:
            ownerships = owners.find(reader, found, exhaustive=True)
        else:
            ownerships = owners.find_among(reader, found, tree.pids)
        owned = [record for record in found if ownerships[record.inode].owners]
        results = _results(reader, owned, ownerships)
        if len(owned) == len(found):
            break  # otherwise a process has ended, or has closed its socket, during the search
    if query.all_namespaces:
        incomplete = [reason for reason in incomplete if not reason.endswith(trees.OTHER_NAMESPACE)]
    return Listeners(results, tuple(incomplete))


def _results(
    reader: ProcessReader, found: list[SocketRecord], ownerships: dict[int, Ownership]
) -> tuple[Listener, ...]:
    describer = _Describer(reader, ownerships)
    shares_ports = len({record.port for record in found}) < len(found)
    # The key for sockets that share a port takes longer to compute than all of them take to be sorted.
    key: Callable[[SocketRecord], Any] = describer.order if shares_ports else attrgetter("port")
    return tuple(map(describer.listener, sorted(found, key=key)))


def describe(system: System, records: list[SocketRecord]) -> dict[int, Listener]:
    """Return the listeners of *records*, which have one protocol and port, with their owners, by inode.

    Sockets that were closed in the meantime are left out.
    """
    if not records:
        return {}
    query = SocketQuery(records[0].port, (records[0].protocol,))
    reader = _process_reader(system)
    found, ownerships = _with_owners(reader, records, lambda: _find(system, query)[0], exhaustive=False)
    listener = _Describer(reader, ownerships).listener
    return {record.inode: listener(record) for record in found}


def sockets_on(system: System, query: PortQuery) -> Sockets:
    """Return every socket on a port, in any state, or those of connections with a peer; listeners first."""
    port, protocols, peer = query.port, query.protocols, query.peer
    results: list[BoundSocket] = []
    incomplete: list[str] = []
    for protocol in protocols or sockets.available(system):

        def find(protocol: ProtocolName = protocol) -> list[SocketRecord]:
            if peer is not None:
                connection = sockets.connection(system, protocol, port, peer)
                if connection is not None:
                    return [connection]
            records = sockets.matching(system, SocketFilter(protocol, ANY_STATE, port))
            ends = ((record, (str(record.remote), record.remote.port)) for record in records)
            return [record for record, end in ends if peer in (None, end)]

        try:
            results += _described(system, find)
        except SourceError as error:
            if protocols or protocol not in sockets.OPTIONAL:
                raise
            incomplete.append(f"{protocol} sockets ({error})")
    return Sockets(tuple(results), tuple(incomplete))


def _described(system: System, find: Callable[[], list[SocketRecord]]) -> tuple[BoundSocket, ...]:
    """Return the sockets of one protocol that *find* returns, with their owners; listeners first."""
    found = find()
    if not found:
        return ()
    reader = _process_reader(system)
    found, ownerships = _with_owners(reader, found, find, exhaustive=False)
    describer = _Describer(reader, ownerships)
    found.sort(key=lambda record: (_state(record) != "listen", *describer.order(record)))
    return tuple(map(describer.bound_socket, found))


def _find(system: System, query: SocketQuery) -> tuple[list[SocketRecord], list[str]]:
    """Return the listening sockets that match *query*, and what could not be queried."""
    if query.all_namespaces:
        return _find_in_all_namespaces(system, query)
    return sockets.listening(system, query.protocols, query.port or 0)


def _find_in_all_namespaces(system: System, query: SocketQuery) -> tuple[list[SocketRecord], list[str]]:
    with import_lock:
        from ..._errors import ParseError
        from . import namespaces

    found: list[SocketRecord] = []
    spaces, unknown = namespaces.find_all(system)
    incomplete = unknown[:_MOST_LISTED]
    if len(unknown) > _MOST_LISTED:
        incomplete.append(f"{len(unknown) - _MOST_LISTED} more network namespaces, or processes of unknown namespace")
    for space in spaces:
        try:
            seen = namespaces.call_in(system, space, sockets.listening, query.protocols, query.port or 0)
        except (ParseError, SourceError) as error:
            incomplete.append(f"network namespace {space.name} ({error})")
            continue
        if seen is None:
            continue  # the namespace has ended
        inside, (records, unlisted) = seen
        network = Network(inside, space.name)
        for record in records:
            record.network = network
        found += records
        incomplete += [f"network namespace {space.name}: {reason}" for reason in unlisted]
    return found, incomplete


def _process_reader(system: System) -> ProcessReader:
    with import_lock:
        from .procfs import ProcessReader

    return ProcessReader(system)


def _with_owners(
    reader: ProcessReader, found: list[SocketRecord], find_again: Callable[[], list[SocketRecord]], *, exhaustive: bool
) -> tuple[list[SocketRecord], dict[int, Ownership]]:
    """Return the sockets that still exist, and the owners of each by inode.

    A socket without owners, although all processes were inspected, may have been closed: list the sockets again. A
    socket whose owner has closed it may have moved to a process already inspected: search for its owners again.
    """
    with import_lock:
        from . import owners

    ownerships = owners.find(reader, found, exhaustive=exhaustive)
    for _ in range(_SEARCHES):
        if all(owned.owners or (owned.hidden and not owned.moved) for owned in ownerships.values()):
            break
        found = list(_remaining(found, find_again()))
        moved = [record for record in found if record.inode and ownerships[record.inode].moved]
        if not moved:
            break
        for inode, owned in owners.find(reader, moved, exhaustive=exhaustive).items():
            # A socket that had an owner is never reported as one without.
            owned.moved = not owned.owners
            ownerships[inode] = owned
    return found, ownerships


def _remaining(found: Iterable[SocketRecord], now: Iterable[SocketRecord]) -> Iterator[SocketRecord]:
    """Yield the sockets of an earlier list that are in the list *now* as well.

    A connection that its last owner has closed since lives on without an inode; its ends identify it.
    """
    inodes: set[int] = set()
    detached: dict[object, SocketRecord] = {}
    for record in now:
        if record.inode:
            inodes.add(record.inode)
        elif record.remote.port:
            detached[record.ends] = record
    for record in found:
        if record.inode in inodes:
            yield record
        elif record.ends in detached:
            yield detached[record.ends]


class _Describer:
    """Makes the fields of results during one query; what many sockets have in common is computed once."""

    def __init__(self, reader: ProcessReader, ownerships: dict[int, Ownership]) -> None:
        with import_lock:
            from .owners import Ownership

        self._reader = reader
        self._ownerships = ownerships
        self._unknown = Ownership()
        self._user = cache(self._read_user)
        self._unit = cache(_unit_fields)
        self._address = cache(_address_fields)

    def listener(self, record: SocketRecord) -> Listener:
        """Return a listening socket."""
        return Listener(*self._fields(record, record.backlog, record.queued))

    def bound_socket(self, record: SocketRecord) -> BoundSocket:
        """Return a socket in any state."""
        remote = record.remote
        peer = str(remote) if remote.port else ""
        return BoundSocket(*self._fields(record, _state(record), peer, remote.port))

    def _fields(self, record: SocketRecord, *others: Any) -> tuple[Any, ...]:
        """Return the fields of `Socket` in their order, and *others* of its subclass.

        With thousands of sockets, arguments by name would take a tenth of the whole query.
        """
        owned = self._ownerships.get(record.inode, self._unknown)
        family, address = self._address(record.packed)
        network = record.network
        system = self._reader.system if network is None else network.system
        return (
            record.protocol,
            family,
            address,
            record.port,
            record.dual_stack,
            system.interface_name(record.interface) if record.interface else None,
            owned.owners,
            owned.possible_owners,
            owned.hidden or owned.moved,
            owned.scope,
            # A socket without an inode belongs to no user: the kernel writes 0 there, which does not mean root.
            *(self._user(record.uid) if record.inode else (None, None)),
            owned.cgroup,
            *self._unit(owned.cgroup),
            None if network is None else network.name,
            *others,
        )

    def order(self, record: SocketRecord) -> tuple[int, int, FamilyName, str, float]:
        """Return a sort key: port, protocol and address; of sockets that share all three, the oldest owner first."""
        owners = self._ownerships.get(record.inode, self._unknown).owners
        family, address = self._address(record.packed)
        started = owners[0].started if owners else None
        return record.port, PROTOCOLS.index(record.protocol), family, address, started or 0.0

    def _read_user(self, number: int) -> tuple[int | None, str | None]:
        uid = self._reader.known_uid(number)
        return uid, None if uid is None else self._reader.user(uid)


def _address_fields(packed: bytes) -> tuple[FamilyName, str]:
    """Return the fields `family` and `address` of an address in network order."""
    address = Address(packed, 0)
    return address.family, str(address)


def _unit_fields(path: str | None) -> tuple[str | None, bool, str | None]:
    """Return the fields `unit`, `user_unit` and `container` of a path."""
    if path is None:
        return None, False, None
    with import_lock:
        from . import cgroup

    return cgroup.unit(path), cgroup.is_user_unit(path), cgroup.container(path)


def _has_no_cgroups(system: System, found: list[SocketRecord]) -> bool:
    """Return whether the cgroups of sockets are unknown: without sock_diag, before Linux 5.9, or without cgroup2."""
    with import_lock:
        from . import cgroup

    return any(record.cgroup_id is None for record in found) or not cgroup.mounts(system)


def _state(record: SocketRecord) -> SocketState:
    """Return the state of a `BoundSocket`."""
    if record.state == sockets.LISTENING[record.protocol] and not record.remote.port:
        return "listen"
    if record.state == CLOSE:
        return "bound"  # the kernel returns a socket that is bound but does not listen as CLOSE
    # DCCP shares the number of TIME_WAIT (include/linux/dccp.h).
    is_named = record.protocol == "tcp" or record.state == TIME_WAIT
    return TCP_STATES.get(record.state, "connection") if is_named else "connection"
