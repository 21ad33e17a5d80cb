"""Sockets that occupy ports, the processes that own them, and the obstacles they are to binding a port."""

from __future__ import annotations

from types import MappingProxyType

from .._frozen import replace
from .._lazy import import_lock
from .._render.strings import visible
from .address import WILDCARDS, endpoint, zoned
from .record import Record
from .results import Results

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any, ClassVar, Literal, TypeAlias, TypeVar

    from .._render.text import Cell, Names
    from .address import FamilyName, ProtocolName
    from .results import Facts

    S = TypeVar("S", bound="Socket")
    Scope: TypeAlias = Literal["service", "process", "host"]
    SocketState: TypeAlias = Literal[
        "listen",
        "bound",
        "connection",
        "established",
        "syn-sent",
        "syn-received",
        "fin-wait-1",
        "fin-wait-2",
        "close-wait",
        "closing",
        "last-ack",
        "time-wait",
    ]
    ObstacleKind: TypeAlias = Literal[
        "listener",
        "bound",
        "connection",
        "closing",
        "time-wait",
        "privileged",
        "excluded",
        "refused",
        "address",
        "exhausted",
        "hidden",
        "reserved",
    ]
else:
    S = Record


_UNNAMED: Mapping[str, str] = MappingProxyType({})


class Process(Record):
    """A process as the operating system describes it. None means unknown: that part could not be read."""

    pid: int
    """The process ID in the procfs that was read. If that procfs belongs to another PID namespace, system calls of the
    caller take the number for another process."""
    name: str | None = None
    """The name, which the process itself can change."""
    cmdline: tuple[str, ...] | None = None
    """The command line, which the process itself can change; the first 2 MiB of a longer one."""
    exe: str | None = None
    """The path of the program; on Linux it ends in " (deleted)" if the file was removed or replaced since the start."""
    user: str | None = None
    """The name of the user that the process runs as."""
    started: float | None = None
    """The start time in seconds since the epoch; pids are reused, pid and start time together are unique."""
    stopped: bool | None = None
    """True if the process is stopped, by a signal or a debugger (states T and t of proc(5)): it does not respond. None
    if the system does not show it."""
    parent: int | None = None
    """The pid of the parent process; None if it is unknown, in another PID namespace, or if there is none."""

    def __str__(self) -> str:
        return visible(f"{self.name or '?'} ({self.pid})")


class Socket(Record):
    """A socket that occupies a port, with its owners: the processes that have it open."""

    _derived = ("pid", "process")
    _none = MappingProxyType({"interface": "none", "unit": "none", "container": "none", "namespace": "not queried"})

    protocol: ProtocolName
    """The protocol: "tcp", "udp", "sctp" or "dccp"."""
    family: FamilyName
    """The address family: "ipv4" or "ipv6"; "ipv4" for an IPv6 socket with an IPv4 address (``::ffff:a.b.c.d``)."""
    address: str
    """The local address as text; empty if the system proves that a socket exists without showing its address."""
    port: int
    """The local port."""
    dual_stack: bool | None = False
    """True for an IPv6 wildcard socket that accepts IPv4 as well; None if the system does not show that."""
    interface: str | None = None
    """The network interface that the socket is bound to; None if it is not bound to an interface."""
    owners: tuple[Process, ...] = ()
    """The processes that were found to have the socket open, oldest first."""
    possible_owners: tuple[Process, ...] = ()
    """Processes of the socket's cgroup that could not be inspected; each may be an owner. For a socket unit, these are
    the service manager and the processes of the service. On macOS, the process that used the socket last."""
    hidden: bool = False
    """True if no owner is known because a process that may own the socket could not be inspected, or because the socket
    was transferred between processes during the search.

    If there are no owners and `hidden` is False, every visible process was inspected. The owner is then the kernel, a
    process in another PID namespace, or a thread that does not share its descriptors.
    """
    scope: Scope = "host"
    """The processes that were searched: "service" for those of the socket's own cgroup, or of the service manager and
    the service for a socket unit (systemd.socket(5)), "process" for the process of ``listeners(process=...)`` and its
    descendants, "host" for all."""
    uid: int | None = None
    """The user ID that created the socket; None if the kernel does not know it (TIME_WAIT), or if the caller's user
    namespace does not map it (user_namespaces(7))."""
    user: str | None = None
    """The name of the user that created the socket, None if it is unknown."""
    cgroup: str | None = None
    """The path of the socket's cgroup as the caller sees it: relative to the root of the caller's cgroup namespace
    (cgroup_namespaces(7)).

    Where the socket's own was removed or is unknown, or is that of a service manager (``init.scope``), it is the cgroup
    of the oldest owner that is not a service manager, in systemd's hierarchy if there are several.
    """
    unit: str | None = None
    """The systemd unit of the cgroup, without the escapes that `cgroup` and systemctl(1) have; None if there is none,
    or if `cgroup` is None."""
    user_unit: bool = False
    """True if the unit belongs to a user's service manager: ``systemctl --user`` of that user shows and stops it, and
    systemctl(1) without ``--user`` means another unit."""
    container: str | None = None
    """The container ID in the cgroup; None if there is none, or if `cgroup` is None."""
    namespace: str | None = None
    """The network namespace, such as ``net:[4026531840]``; set if several namespaces were queried."""

    @property
    def pid(self) -> int | None:
        """The pid of the oldest owner, None if no owner is known."""
        return self.owners[0].pid if self.owners else None

    @property
    def process(self) -> str | None:
        """The name of the oldest owner, None if it is unknown."""
        return self.owners[0].name if self.owners else None

    @property
    def endpoint(self) -> str:
        """Address and port in the usual notation, such as ``127.0.0.1:80`` or ``[fe80::1%eth0]:80``."""
        return endpoint(self.address or "?", self.port, self.interface, family=self.family)

    @property
    def holder(self) -> str:
        """The owners as text: the oldest ones if there are many, or why none is known.

        Control characters in names are shown as escapes, so that it can be printed.
        """
        return _owner_names(self).summary()

    def __str__(self) -> str:
        return visible(f"{self.protocol} {self.endpoint}  {self.holder}")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {_short(self)}>"


class Listener(Socket):
    """A socket that accepts traffic from any peer: a TCP socket in state LISTEN, or a bound, unconnected UDP socket."""

    backlog: int | None = None
    """The limit of the accept queue (listen(2)): the kernel drops new connections while `queued` is greater. None if
    the system does not show it, or for a protocol other than TCP."""
    queued: int | None = None
    """The number of connections that the program has not accepted yet; None if the system does not show it, or for a
    protocol other than TCP."""


class BoundSocket(Socket):
    """A socket that occupies a port, in any state."""

    state: SocketState = "connection"
    """The state: "listen", "bound" (not listening), on Linux a state of TCP (RFC 9293, section 3.3.2) such as
    "established" or "time-wait", or "connection" for any other connected socket."""
    remote_address: str = ""
    """The address of the peer; empty if there is none."""
    remote_port: int = 0
    """The port of the peer; 0 if there is none."""


class _SocketResults(Results[S]):
    """Base class of sequences of sockets."""

    _headers: ClassVar[tuple[str, ...]] = ("PROTO", "ADDRESS", "USER", "UNIT", "OWNER")

    def _facts(self, item: S) -> Iterable[Facts]:
        return (socket_facts(item),)

    def _contains(self, item: S, port: int) -> bool:
        return item.port == port

    def _flat(self, item: S) -> dict[str, Any]:
        return flat_socket(item)


class Listeners(_SocketResults[Listener]):
    """An immutable sequence of listeners, in the order of port, protocol and address.

    It is false only if it is empty and complete: if `incomplete` is not empty, it is true even without a listener.

    >>> import portrange
    >>> found = Listeners((Listener("tcp", "ipv4", "127.0.0.1", 8000, user="alice"),))
    >>> 8000 in found, found.where(user="alice") == found, len(found.on(80))
    (True, True, 0)
    """

    _headers = ("PROTO", "PORT", "ADDRESS", "PROCESS", "USER", "UNIT", "NETNS")
    _whole = (0, 1)
    # Readers look for the port and the process: the other columns are shortened first.
    _narrow = ((2, 15), (5, 14), (4, 8), (2, 8), (5, 8), (6, 8))
    _right = (1,)
    _nothing = "no listeners"

    listeners: tuple[Listener, ...] = ()
    """The listeners as a tuple."""
    incomplete: tuple[str, ...] = ()
    """What could not be inspected, one sentence each; empty if all listeners were found."""

    def _rows(self) -> Iterator[tuple[Cell, ...]]:
        return listener_rows(self.listeners)

    def to_text(
        self, columns: int | None = None, *, every_socket: bool = False, networks: Mapping[str, str] = _UNNAMED
    ) -> str:
        """Return an aligned table; with *columns*, texts are shortened so that each line fits.

        A row has the sockets of one protocol and port with the same owners, and with *every_socket* one socket.
        *networks* are names for network namespaces.
        """
        rows = listener_rows(self.listeners, every_socket=every_socket, networks=networks)
        return self._with_reasons(self._table(rows, columns) if self.listeners else "", columns)


class Sockets(_SocketResults[BoundSocket]):
    """An immutable sequence of sockets in any state, listeners first.

    It is false only if it is empty and complete: if `incomplete` is not empty, it is true even without a socket.
    """

    _headers = ("PROTO", "LOCAL", "REMOTE", "STATE", "PROCESS", "USER", "UNIT")
    _whole = (0, 3)
    _narrow = ((6, 14), (1, 15), (2, 15), (5, 8), (1, 8), (2, 8), (6, 8))
    _nothing = "no sockets"

    sockets: tuple[BoundSocket, ...] = ()
    """The sockets as a tuple."""
    incomplete: tuple[str, ...] = ()
    """What could not be inspected, one sentence each; empty if all sockets were found."""

    def _flat(self, item: BoundSocket) -> dict[str, Any]:
        peer = {"remote_address": item.remote_address, "remote_port": item.remote_port}
        return {**flat_socket(item), "state": item.state, **peer}

    def _rows(self) -> Iterator[tuple[Cell, ...]]:
        for socket in self.sockets:
            remote = endpoint(socket.remote_address, socket.remote_port) if socket.remote_port else "*"
            process, unit = _process_cell(socket.owners, hidden=socket.hidden), unit_or_container(socket)
            yield socket.protocol, socket.endpoint, remote, socket.state, process, user_text(socket), unit


class Obstacle(Record):
    """A reason why binding a port fails, or a fact to know before binding it."""

    kind: ObstacleKind
    """The kind of obstacle:

    - "listener", "bound" (a socket has the address and does not listen), "connection" (the local port of a client or of
      an accepted connection): a socket has the port;
    - "closing", "time-wait": the kernel keeps the port of a connection that has no owner any more, such as those of a
      program that crashed; a server may bind it if it and the earlier one set SO_REUSEADDR;
    - "privileged": binding the port needs a privilege;
    - "excluded": the system excludes the port from use;
    - "refused": a security policy refuses it;
    - "address": the address does not belong to this machine, or cannot be bound;
    - "exhausted": no ephemeral port is free for port 0;
    - "hidden": the port is in use, but the system shows no socket;
    - "reserved": the port is reserved, which does not keep programs from binding it.
    """
    detail: str
    """One sentence: the reason and the remedy."""
    blocks: bool = True
    """True if binding fails because of it, False if it is only a fact to know."""
    socket: BoundSocket | None = None
    """The socket that has the port, the first of `count` similar ones, with the owners of all; None if no socket is
    known."""
    count: int = 0
    """The number of similar sockets. They differ in their peers, or in their owners where workers share a port."""

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}"

    def __repr__(self) -> str:
        subject = f" {_short(self.socket)}" if self.socket else ""
        times = f" ×{self.count}" if self.count > 1 else ""
        return f"<Obstacle {self.kind}{subject}{times}>"


class Obstacles(Results[Obstacle]):
    """An immutable sequence of obstacles, worst first. It is empty only if a bind probe succeeded."""

    _headers = ("KIND", "DETAIL")
    _whole = (0,)
    _nothing = "no obstacles"

    obstacles: tuple[Obstacle, ...] = ()
    """The obstacles as a tuple."""
    incomplete: tuple[str, ...] = ()
    """What could not be inspected, one sentence each."""

    @property
    def blocks(self) -> bool:
        """True if binding fails because of one of the obstacles."""
        return any(obstacle.blocks for obstacle in self.obstacles)

    def _facts(self, item: Obstacle) -> Iterable[Facts]:
        return () if item.socket is None else (socket_facts(item.socket),)

    def _contains(self, item: Obstacle, port: int) -> bool:
        return item.socket is not None and item.socket.port == port

    def _flat(self, item: Obstacle) -> dict[str, Any]:
        none: dict[str, Any] = dict.fromkeys(_FLAT)
        socket = none if item.socket is None else flat_socket(item.socket)
        return {"kind": item.kind, "blocks": item.blocks, "count": item.count, **socket, "detail": item.detail}

    def _rows(self) -> Iterator[tuple[Cell, ...]]:
        return ((obstacle.kind, obstacle.detail) for obstacle in self.obstacles)


# --- filters and flat dictionaries -----------------------------------------------------------------------------------


def socket_facts(socket: Socket) -> Facts:
    """Return the facts of a socket that `Results.where` compares."""
    if isinstance(socket, BoundSocket) and socket.state == "time-wait":
        return {"protocol": (socket.protocol,)}  # it has no owner, no user and no cgroup
    others = (None,) if socket.hidden else ()
    return {
        "protocol": (socket.protocol,),
        "user": (socket.user,),
        "uid": (socket.uid,),
        "process": (*(process.name for process in socket.owners), *others),
        "pid": (*(process.pid for process in socket.owners), *others),
        "unit": (socket.unit,) if socket.unit or socket.cgroup is None else (),
    }


#: The keys of a socket in a flat dictionary.
_FLAT = ("protocol", "address", "port", "pid", "process", "user", "unit", "owners")


def flat_socket(socket: Socket) -> dict[str, Any]:
    """Return a socket as a dictionary of scalars: the oldest owner as pid and process, all owners as text."""
    flat = (
        *(socket.protocol, socket.address, socket.port, socket.pid, socket.process),
        *(user_text(socket) or None, socket.unit, socket.holder),
    )
    return dict(zip(_FLAT, flat, strict=True))


def _short(socket: Socket) -> str:
    """Return a socket in short form: its endpoint, its oldest owner, and the number of the others."""
    more = f" +{len(socket.owners) - 1}" if len(socket.owners) > 1 else ""
    owner = f"{socket.process or '?'} {socket.pid}{more}" if socket.owners else "?" if socket.hidden else "no process"
    return visible(f"{socket.protocol} {socket.endpoint} {owner}")


# --- text ------------------------------------------------------------------------------------------------------------


def unit_user(socket: Socket) -> str | None:
    """Return the user whose service manager contains the cgroup, ``user@UID.service``: the name, or else the ID."""
    for part in (socket.cgroup or "").split("/")[:-1]:
        if part.startswith("user@") and part.endswith(".service"):
            uid = part.removeprefix("user@").removesuffix(".service")
            return socket.user if socket.user and str(socket.uid) == uid else uid
    return None


def unit_text(socket: Socket) -> str:
    """Return the unit, with the user if it is a unit of a user's service manager; empty if there is none."""
    if not socket.unit or not socket.user_unit:
        return socket.unit or ""
    return f"{socket.unit} (user {unit_user(socket) or 'unknown'})"


#: Engines by the beginning of the cgroup's name: docker-ID.scope, libpod-ID.scope, cri-containerd-ID.scope, crio-ID.
_ENGINES = {
    "docker": "docker",
    "libpod": "podman",
    "libpod_parent": "podman",
    "cri-containerd": "containerd",
    "nerdctl": "containerd",
    "crio": "cri-o",
    "lxc": "lxc",
}
#: The digits of a container ID that engines print.
_CONTAINER = 12
_MANAGER = "systemd"
#: How many names of owners the table has.
_NAMES = 2
#: How many pids a text lists.
_PIDS = 5
#: Sockets without an owner that is known or hidden.
_NOT_VISIBLE = "no visible process: the kernel, or another PID namespace"
_NO_PROCESS = "no process: not accepted yet, or closed by its program"
_NOT_CONNECTED = frozenset({"listen", "bound", "time-wait"})


def listener_rows(
    listeners: Iterable[Listener], *, every_socket: bool = False, networks: Mapping[str, str] = _UNNAMED
) -> Iterator[tuple[Cell, ...]]:
    """Yield the rows of the table, see `Listeners.to_text`."""
    with import_lock:
        from functools import cache

        from .._render.text import Several

    process_cell = cache(_process_cell)  # few owners have many sockets
    services = ((listener, [listener]) for listener in listeners) if every_socket else services_of(listeners)
    for listener, sockets in services:
        yield (
            listener.protocol,
            str(listener.port),
            Several(addresses(sockets)),
            process_cell(listener.owners, hidden=listener.hidden),
            user_text(listener),
            unit_or_container(listener),
            networks.get(listener.namespace or "", listener.namespace or ""),
        )


def services_of(listeners: Iterable[Listener]) -> Iterator[tuple[Listener, list[Listener]]]:
    """Yield the sockets of each service: those of a port with the same owners, user and unit.

    Each comes with a listener that has all owners. The workers of a service may each have a socket of their own at the
    same address (SO_REUSEPORT); their names are the same.
    """
    ports: dict[object, list[Listener]] = {}
    for listener in listeners:
        ports.setdefault((listener.protocol, listener.port), []).append(listener)
    for sockets in ports.values():
        # Nearly every port has one socket, which is a service of its own.
        yield from [(sockets[0], sockets)] if len(sockets) == 1 else _services_of_port(sockets)


def _services_of_port(listeners: list[Listener]) -> Iterable[tuple[Listener, list[Listener]]]:
    """Return what `services_of` yields for the listeners on one port."""
    workers: dict[object, list[Listener]] = {}
    for listener in listeners:
        names = frozenset(process.name for process in listener.owners or listener.possible_owners)
        address = (listener.family, listener.address, listener.interface, listener.dual_stack)
        workers.setdefault((address, *_creator(listener), names), []).append(listener)
    services: dict[object, tuple[Listener, list[Listener]]] = {}
    for same in workers.values():
        owners = dict.fromkeys(owner for listener in same for owner in listener.owners)
        possible = dict.fromkeys(owner for listener in same for owner in listener.possible_owners)
        listener = replace(same[0], owners=tuple(owners), possible_owners=tuple(possible))
        key = (*_creator(listener), listener.owners, listener.possible_owners)
        services.setdefault(key, (listener, []))[1].extend(same)
    return services.values()


def _creator(listener: Listener) -> tuple[object, ...]:
    """Return what the sockets of one service have in common besides their owners."""
    return user_text(listener), unit_or_container(listener), listener.namespace, listener.hidden


def addresses(listeners: Iterable[Listener]) -> tuple[str, ...]:
    """Return the addresses of a service: wildcards first, those of both families as ``*``."""
    wildcards: dict[str | None, list[Listener]] = {}
    others: dict[str, None] = {}
    for listener in listeners:
        if listener.address == WILDCARDS[listener.family]:
            wildcards.setdefault(listener.interface, []).append(listener)
        else:
            others[zoned(listener.address or "?", listener.interface)] = None
    found: list[str] = []
    for interface, sockets in wildcards.items():
        families = {socket.family for socket in sockets}
        is_both = len(families) > 1 or any(socket.dual_stack is not False for socket in sockets)
        only = "" if is_both else " IPv6" if families == {"ipv6"} else " IPv4"
        found.append(zoned("*", interface) + only)
    return (*found, *others)


def _process_cell(owners: tuple[Process, ...], *, hidden: bool) -> Names | str:
    """Return the oldest owner of each name and the number of the others; ``?`` if the owner is hidden."""
    with import_lock:
        from .._render.text import Names

    groups = by_name(owners)
    if not groups:
        return "?" if hidden else "-"
    extra = [len(same) - 1 for _, same in groups[:_NAMES]]
    extra[-1] += sum(len(same) for _, same in groups[_NAMES:])
    cells = zip(groups, extra, strict=False)
    return Names("", tuple((name, f"{same[0].pid}" + (f" +{more}" if more else "")) for (name, same), more in cells))


def by_name(owners: Iterable[Process]) -> list[tuple[str, list[Process]]]:
    """Return owners by their names, those of a service before its manager."""
    names: dict[str, list[Process]] = {}
    for owner in sorted(owners, key=lambda owner: owner.name == _MANAGER):
        names.setdefault(owner.name or "?", []).append(owner)
    return list(names.items())


def workers_text(owners: Sequence[Process]) -> str | None:
    """Return the pid of the parent and the number of its workers; None if they are not a parent and its workers.

    >>> workers_text((Process(1, "web"), Process(2, "web", parent=1), Process(3, "web", parent=1)))
    'parent 1, 2 workers'
    """
    parent = parent_of(owners)
    others = len(owners) - 1
    return None if parent is None else f"parent {parent}, {others:,} worker{'s' if others > 1 else ''}"


def owners_cell(name: str, owners: Sequence[Process]) -> str:
    """Return owners of one name for a table: with their pids, or with the parent and the number of its workers."""
    workers = workers_text(owners)
    return f"{name}: {workers}" if workers else f"{name} {pids_text(owners)}"


def pids_text(owners: Sequence[Process]) -> str:
    """Return the pids of owners, the first ones if there are many."""
    more = f" and {len(owners) - _PIDS:,} more" if len(owners) > _PIDS else ""
    return ", ".join(str(owner.pid) for owner in owners[:_PIDS]) + more


def owners_text(owners: Iterable[Process]) -> str:
    """Return owners for a sentence: each name with its pids, or with the parent and the number of its workers.

    >>> owners_text((Process(7, "web"), Process(8, "web"), Process(9, "log")))
    'web (pids 7, 8), log (pid 9)'
    """
    return visible(", ".join(f"{name} ({_parenthesis(same)})" for name, same in by_name(owners)))


def _parenthesis(owners: Sequence[Process]) -> str:
    return workers_text(owners) or f"pid{'s' if len(owners) > 1 else ''} {pids_text(owners)}"


def parent_of(owners: Sequence[Process]) -> int | None:
    """Return the pid of the owner that started all others, directly or through each other; None if there is none."""
    pids = {owner.pid for owner in owners}
    roots = [owner.pid for owner in owners if owner.parent not in pids]
    return roots[0] if len(roots) == 1 and len(owners) > 1 else None


def user_text(socket: Socket) -> str:
    """Return the user that created a socket, by name or ID; empty if it is unknown."""
    return socket.user or ("" if socket.uid is None else str(socket.uid))


def unit_or_container(socket: Socket) -> str:
    """Return the container, in short, or else the unit; empty if there is neither."""
    return _container_text(socket) if socket.container else unit_text(socket)


def _container_text(socket: Socket) -> str:
    """Return the engine of a container, as its cgroup is named, and the first 12 digits of its ID."""
    container = socket.container or ""
    parts = (socket.cgroup or "").split("/")
    engine = ""
    for index, part in enumerate(parts):
        if container in part:
            engine = part.partition(container)[0].rstrip("-:").rpartition(":")[2] or parts[index - 1]
    return f"{_ENGINES.get(engine, 'container')} {container[:_CONTAINER]}"


def _owner_names(socket: Socket) -> Names:
    """Return the owners of a socket, or why none is known, as a list whose names can be shortened."""
    with import_lock:
        from .._render.text import Names

    if socket.owners:
        return Names("", _named(socket.owners))
    if not socket.hidden:
        is_connection = isinstance(socket, BoundSocket) and socket.state not in _NOT_CONNECTED
        return Names(_NO_PROCESS if is_connection else _NOT_VISIBLE)
    opening = "owner hidden, possibly " if socket.possible_owners else "owner hidden"
    return Names(opening, _named(socket.possible_owners))


def _named(processes: tuple[Process, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((process.name or "?", f"({process.pid})") for process in processes)
