"""Sockets that occupy ports, the processes that hold them, and an immutable sequence of those that listen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from .number import port_number
from .record import Record

if TYPE_CHECKING:
    from .._render.text import Names

_HEADERS = ("PROTO", "ADDRESS", "USER", "UNIT", "HELD BY")


@dataclass(frozen=True, slots=True)
class Process(Record):
    """A process as the operating system describes it; what may not be read is None.

    `started` is in seconds since the epoch. A process is identified by `pid` and `started` together: numbers are
    used again. `pid` is the number in the procfs that was asked: where that belongs to another PID namespace, it means
    another process to the caller's own system calls. `name` and `cmdline` are whatever the process says of itself; of
    a longer command line it is the first 2 MiB. On Linux `exe` ends in " (deleted)" where the program's file was
    removed or replaced since it was started.
    """

    pid: int
    name: str | None = None
    cmdline: tuple[str, ...] | None = None
    exe: str | None = None
    user: str | None = None
    started: float | None = None

    def __str__(self) -> str:
        from .._render.text import visible

        return visible(f"{self.name or '?'} ({self.pid})")


@dataclass(frozen=True, slots=True)
class Socket(Record):
    """A socket that occupies a port, with whoever holds it.

    - `protocol` "tcp", "udp", "sctp", "dccp"; `family` "ipv4" or "ipv6". Addresses are plain text; an IPv4 address
      that was bound through IPv6 (``::ffff:a.b.c.d``) is shown as IPv4. `address` is empty where the system proves
      that somebody is there but does not say on which address.
    - `dual_stack`: an IPv6 wildcard that also takes IPv4 traffic; None where the system does not tell.
    - `interface`: the network interface the socket is bound to, if it is bound to one.
    - `owners`: the processes *seen* holding the socket, all of them, oldest first.
    - `hidden`: no owner is known, and some process that may hold the socket could not be looked into, or it was passed
      on faster than one can look. Without owners and not hidden, every visible process was looked into and none had
      it then: the kernel holds it, or a process in another PID namespace, or a thread that shares its descriptors
      with nobody.
    - `possible_owners`: processes of the socket's cgroup that could not be looked into; any of them may hold it.
    - `scope`: "service" where the processes of the socket's own cgroup were searched, "host" where all were that the
      caller may look into.
    - `uid`, `user`: of whoever made the socket; None where the kernel does not know any more (TIME_WAIT), or does not
      tell: the caller's user namespace may have no number for him (user_namespaces(7)).
    - `cgroup`, `unit` (systemd), `container` (its id): of the socket. A unit or container that is None is none, or the
      cgroup is None, too. The path is what the caller is shown of it: in a container with a cgroup namespace of its
      own (cgroup_namespaces(7)) that begins inside, and does not name the container. Where hierarchies of version 1
      stand beside cgroup2, whose root all are in, it is the cgroup of the oldest owner in systemd's. The escapes in
      the name of a unit are undone; systemctl(1) takes it with them, as it stands in `cgroup`.
    - `namespace`: the network namespace (as in ``net:[4026531840]``), filled when several were asked.
    """

    _derived = ("pid", "process")
    _none = MappingProxyType({"interface": "none", "unit": "none", "container": "none", "namespace": "not asked for"})

    protocol: str
    family: str
    address: str
    port: int
    dual_stack: bool | None = False
    interface: str | None = None
    owners: tuple[Process, ...] = ()
    possible_owners: tuple[Process, ...] = ()
    hidden: bool = False
    scope: str = "host"
    uid: int | None = None
    user: str | None = None
    cgroup: str | None = None
    unit: str | None = None
    container: str | None = None
    namespace: str | None = None

    @property
    def pid(self) -> int | None:
        """The pid of the oldest owner, or None."""
        return self.owners[0].pid if self.owners else None

    @property
    def process(self) -> str | None:
        """The name of the oldest owner, or None."""
        return self.owners[0].name if self.owners else None

    @property
    def endpoint(self) -> str:
        """Address and port in the usual notation, such as ``127.0.0.1:80`` or ``[fe80::1%eth0]:80``."""
        zone = f"%{self.interface}" if self.interface else ""
        host = f"{self.address or '?'}{zone}"
        return f"[{host}]:{self.port}" if self.family == "ipv6" else f"{host}:{self.port}"

    @property
    def holder(self) -> str:
        """Who holds the socket, in words that never claim more than was seen; of many processes the oldest ones.

        It may be printed: control characters in names are shown as escapes.
        """
        return _holder(self).told()

    def __str__(self) -> str:
        from .._render.text import visible

        return visible(f"{self.protocol} {self.endpoint}  {self.holder}")


@dataclass(frozen=True, slots=True)
class Listener(Socket):
    """A socket that waits for traffic from anybody: TCP in state LISTEN, or UDP bound and not connected.

    The fields are those of `Socket`.
    """


@dataclass(frozen=True, slots=True)
class BoundSocket(Socket):
    """A socket that occupies a port in any state.

    `state` is one of "listen", "bound" (it has an address and does not listen), "time-wait" (the kernel keeps the
    address for a while after a connection; no process holds it) and "connection" (every other state).
    `remote_address` and `remote_port` are its other end, empty and 0 where it has none.
    """

    state: str = "connection"
    remote_address: str = ""
    remote_port: int = 0


@dataclass(frozen=True, slots=True)
class Listeners(Record, Sequence[Listener]):
    """Listening sockets, in the order of port, protocol and address.

    An immutable sequence. It is false only where it is proven that nobody listens: where something could not be
    looked at, `incomplete` says what, a sentence each, and the answer is true even if it is empty.
    """

    listeners: tuple[Listener, ...] = ()
    incomplete: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.listeners)

    def __bool__(self) -> bool:
        return bool(self.listeners or self.incomplete)

    def __iter__(self) -> Iterator[Listener]:
        return iter(self.listeners)

    @overload
    def __getitem__(self, index: int) -> Listener: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Listener, ...]: ...
    def __getitem__(self, index: int | slice) -> Listener | tuple[Listener, ...]:
        return self.listeners[index]

    def on(self, port: SupportsIndex) -> Listeners:
        """The listeners on one port. Raises `TypeError` and `InvalidPortError` for what is none."""
        number = port_number(port)
        return Listeners(tuple(one for one in self.listeners if one.port == number), self.incomplete)

    def to_dicts(self) -> list[dict[str, Any]]:
        """One JSON-safe dictionary a listener, ready for ``pandas.DataFrame``."""
        return [one.to_dict() for one in self.listeners]

    def __str__(self) -> str:
        return self.to_text()

    def to_text(self, columns: int | None = None) -> str:
        """An aligned table; with `columns`, names are shortened so that each line fits."""
        from .._render import text

        # Transport and address are what one came for: they are never shortened.
        table = text.table(_HEADERS, map(_row, self.listeners), columns, whole=(0, 1)) if self.listeners else ""
        notes = (line for gap in self.incomplete for line in text.wrap(text.visible(f"not looked at: {gap}"), columns))
        return "\n".join(filter(None, (table, self._nobody(), *notes)))

    def _nobody(self) -> str:
        return "" if self else "nobody listens"

    def _repr_html_(self) -> str:
        from .._render import html

        rows = [[str(cell) for cell in _row(one)] for one in self.listeners]
        return html.table(_HEADERS, rows, notes=self.incomplete) or f"<p>{self._nobody()}</p>"


def _row(one: Listener) -> tuple[str | Names, ...]:
    """A listener's row in the table."""
    return (
        one.protocol,
        one.endpoint + (" and IPv4" if one.dual_stack else ""),
        one.user or ("" if one.uid is None else str(one.uid)),
        one.unit or one.container or "",
        _holder(one),
    )


#: What it means that nothing was hidden and yet nobody holds a socket.
_OUT_OF_SIGHT = "no visible process: the kernel, or another PID namespace"
_LEFT_BEHIND = "no process: not accepted yet, or left behind by its program"


def _holder(socket: Socket) -> Names:
    """Who holds a socket, in a form whose names can be shortened where there is little room."""
    from .._render.text import Names

    if socket.owners:
        return Names("", _named(socket.owners))
    if not socket.hidden:
        is_connection = isinstance(socket, BoundSocket) and socket.state == "connection"
        return Names(_LEFT_BEHIND if is_connection else _OUT_OF_SIGHT, ())
    return Names("hidden from you: one of " if socket.possible_owners else "hidden from you", _named(socket.possible_owners))


def _named(processes: tuple[Process, ...]) -> list[tuple[str, str]]:
    return [(process.name or "?", f"({process.pid})") for process in processes]
