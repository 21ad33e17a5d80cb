"""Fake hosts, to test code that uses portrange with results of one's choice.

A fake host reads nothing of the machine: its settings and sockets are those that the test lists. Pass it as `host`.

>>> import portrange
>>> from portrange.testing import FakeHost
>>> nginx = portrange.Process(812, "nginx")
>>> host = FakeHost(listeners=[portrange.Listener("tcp", "ipv4", "0.0.0.0", 8080, owners=(nginx,))])
>>> portrange.who_listens(8080, host=host)[0].process, [o.kind for o in portrange.why_busy(8080, host=host)]
('nginx', ['listener'])
"""

from __future__ import annotations

import errno
import os

from ._answers.ephemeral import EphemeralRange, PortSettings
from ._answers.listener import BoundSocket, Listeners, Sockets
from ._answers.span import Span, contains, merge
from ._backends.base import PortQuery
from ._errors import SourceError
from ._frozen import replace
from ._host.host import Host
from ._host.system import System
from ._lazy import import_lock
from ._questions.busy import conflict
from ._questions.obstacles import Endpoint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any, TypeVar

    from ._answers.address import FamilyName, ProtocolName
    from ._answers.listener import Listener, Process
    from ._answers.usage import EphemeralUsage
    from ._backends.base import SocketQuery, Target
    from ._errors import PortrangeError

    T = TypeVar("T")

__all__ = ["FakeHost"]

#: The source of settings that a test chooses.
_SOURCE = "fake host"


class FakeHost(Host):
    """A machine with the settings and sockets that a test lists, for every function that takes `host`.

    - `ephemeral`, `reserved`: the ephemeral range, and ports or pairs of ports that are reserved.
    - `settings`: all settings, in place of `ephemeral` and `reserved`.
    - `listeners`: the listeners; `Listeners` with reasons in `incomplete` for a search that is incomplete.
    - `sockets`: other sockets, such as connections; listeners are added to them.
    - `usage`: the result of `ephemeral_usage`, by default computed from the sockets.

    Each can be an error in place of a value: queries that need it raise the error. The defaults are those of a Linux
    machine without sockets. The lists are read at each query, so a test can change them.

    `why_busy` binds nothing: a port is refused if a listed socket has it or if the settings exclude it. Ports that are
    privileged are refused unless `can_bind_privileged` is True.
    """

    def __init__(  # noqa: PLR0913 - keyword arguments, one for each kind of result
        self,
        *,
        ephemeral: tuple[int, int] = (32768, 60999),
        reserved: Iterable[int | tuple[int, int]] = (),
        settings: PortSettings | PortrangeError | None = None,
        listeners: Sequence[Listener] | Listeners | PortrangeError = (),
        sockets: Sequence[BoundSocket] | PortrangeError = (),
        usage: EphemeralUsage | PortrangeError | None = None,
        can_bind_privileged: bool = False,
    ) -> None:
        super().__init__()
        backend = _FakeBackend(settings or _settings(ephemeral, reserved), listeners, sockets, usage)
        self._system = _FakeSystem(backend, is_privileged=can_bind_privileged)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class _FakeSystem(System):
    """A system whose backend is fake, and whose bind probes are decided by its sockets."""

    def __init__(self, backend: _FakeBackend, *, is_privileged: bool) -> None:
        super().__init__()
        self.own_backend: _FakeBackend = backend
        self._is_privileged = is_privileged

    @property
    def can_bind_privileged(self) -> bool:
        """True if the test says so."""
        return self._is_privileged

    @property
    def is_v6only(self) -> bool:
        """False, as on Linux."""
        return False

    def local_interface(self, packed: bytes, zone: int = 0) -> int | None:
        """Return *zone* for a loopback address and for the address of a listed socket, None for others."""
        with import_lock:
            import ipaddress

        address = ipaddress.ip_address(packed)
        own = {socket.address for socket in self.own_backend.all_sockets()}
        return zone if address.is_loopback or str(address) in own else None

    def bind(self, protocol: str, family: str, address: str, port: int) -> None:
        """Raise the error of a bind on such a machine."""
        backend = self.own_backend
        settings = backend.port_settings(self)
        refused = () if self._is_privileged else settings.privileged
        if port and any(spans and contains(spans, port) for spans in (settings.excluded, refused)):
            raise _os_error(errno.EACCES)
        wanted = Endpoint(protocol, family, address, port)  # type: ignore[arg-type]  # checked by why_busy
        found = backend.sockets_on(self, PortQuery(port, (wanted.protocol,)))
        if port and any(conflict(socket, wanted) for socket in found):
            raise _os_error(errno.EADDRINUSE)

    def can_share(self, protocol: str, address: str, port: int) -> bool:  # noqa: ARG002
        """Return False: the listed sockets have no SO_REUSEPORT."""
        return False

    def exit_descriptor(self, pid: int) -> int | None:  # noqa: ARG002
        """Return None: the processes do not exist."""
        return None

    def exit_status(self, pid: int) -> int | None:  # noqa: ARG002
        """Return None: the processes do not exist."""
        return None


class _FakeBackend:
    """A backend that returns what a test lists. See `_backends.base.Backend`."""

    def __init__(
        self,
        settings: PortSettings | PortrangeError,
        listeners: Sequence[Listener] | Listeners | PortrangeError,
        sockets: Sequence[BoundSocket] | PortrangeError,
        usage: EphemeralUsage | PortrangeError | None,
    ) -> None:
        self._settings, self._listeners, self._sockets, self._usage = settings, listeners, sockets, usage

    def ephemeral_range(self, system: System, protocol: ProtocolName, family: FamilyName) -> EphemeralRange:
        """Return the range for a protocol and family, or else the first one."""
        pools = self.port_settings(system).pools
        if not pools:
            raise SourceError(_SOURCE, "its settings have no ephemeral range")
        own = next((pool for pool in pools if (pool.protocol, pool.family) == (protocol, family)), pools[0])
        return replace(own, protocol=protocol, family=family)

    def port_settings(self, _system: System) -> PortSettings:
        """Return the settings."""
        return _value(self._settings)

    def listeners(self, _system: System, query: SocketQuery) -> Listeners:
        """Return the listeners that match a query."""
        listed = _value(self._listeners)
        found = tuple(
            listener
            for listener in listed
            if query.port in (None, listener.port)
            if query.protocols is None or listener.protocol in query.protocols
            if query.process is None or any(query.process.pid in (owner.pid, owner.parent) for owner in listener.owners)
        )
        in_order = sorted(found, key=lambda found: (found.port, found.protocol, found.family, found.address))
        return Listeners(tuple(in_order), listed.incomplete if isinstance(listed, Listeners) else ())

    def reached(
        self, _system: System, _protocol: ProtocolName, _port: int, _targets: tuple[Target, ...]
    ) -> tuple[tuple[Listener, ...], ...] | None:
        """Return None: the most specific listener is assumed."""
        return None

    def sockets_on(self, _system: System, query: PortQuery) -> Sockets:
        """Return the sockets on a port, listeners included, or those of connections with a peer."""
        found = tuple(
            socket
            for socket in self.all_sockets()
            if socket.port == query.port
            if query.protocols is None or socket.protocol in query.protocols
            if query.peer in (None, (socket.remote_address, socket.remote_port))
        )
        listed = _value(self._listeners)
        return Sockets(found, listed.incomplete if isinstance(listed, Listeners) else ())

    def running(self, _system: System, process: Process) -> Process | None:
        """Return the owner with this pid; None if no socket has it."""
        owners = (owner for socket in self.all_sockets() for owner in socket.owners)
        return next((owner for owner in owners if owner.pid == process.pid), None)

    def ephemeral_usage(self, system: System, protocol: ProtocolName) -> EphemeralUsage:
        """Return the given usage, or that of the sockets."""
        if self._usage is not None:
            return _value(self._usage)
        with import_lock:
            from ._backends.occupancy import Occupancy, SocketEntry
        families: tuple[FamilyName, ...] = ("ipv4", "ipv6")
        ranges: dict[FamilyName, EphemeralRange] = {
            family: self.ephemeral_range(system, protocol, family) for family in families
        }
        occupancy = Occupancy(protocol, self.port_settings(system).platform, ranges)
        sockets = [socket for socket in self.all_sockets() if socket.protocol == protocol]
        return occupancy.count(
            SocketEntry(
                socket.family,
                socket.address,
                socket.port,
                socket.state if protocol == "tcp" else "connected" if socket.remote_port else "bound",
                socket.remote_address,
                socket.remote_port,
                socket.dual_stack,
                socket.interface,
            )
            for socket in sockets
        )

    def all_sockets(self) -> Iterator[BoundSocket]:
        """Yield the listed sockets, listeners included."""
        for listener in _value(self._listeners):
            fields: dict[str, Any] = {name: getattr(listener, name) for name in _SHARED}
            yield BoundSocket(**fields, state="listen")
        yield from _value(self._sockets)


#: The fields of both kinds of sockets.
_SHARED = tuple(name for name in BoundSocket.__match_args__ if name not in ("state", "remote_address", "remote_port"))


def _value(given: T | PortrangeError) -> T:
    """Return a value, or raise the error in place of it."""
    if isinstance(given, Exception):
        raise given
    return given


def _os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _settings(ephemeral: tuple[int, int], reserved: Iterable[int | tuple[int, int]]) -> PortSettings:
    """Return the settings of a Linux machine."""
    spans = merge((item, item) if isinstance(item, int) else item for item in reserved)
    pool = EphemeralRange(*ephemeral, reserved=spans, source=_SOURCE)
    sources = tuple((name, _SOURCE) for name in ("pools", "reserved", "excluded", "privileged"))
    return PortSettings("linux", (pool,), spans, (), (Span(0, 1023),), sources=sources)
