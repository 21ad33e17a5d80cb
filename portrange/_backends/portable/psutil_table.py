"""Sockets and processes as psutil reports them. No other module imports psutil.

Sources: psutil's documentation (net_connections, Process) and, for the visibility on each system, its modules
_pslinux.py, _psosx.py, _pswindows.py, _psbsd.py, _pssunos.py, _psaix.py of version 7.2.
"""

from __future__ import annotations

import errno
import socket
import sys

from ..._answers.address import MAPPED_PREFIX, is_link_local
from ..._answers.listener import Process
from ..._errors import ParseError, SourceError
from ..._frozen import Frozen
from ..._lazy import import_lock
from ..._render.strings import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol, TypeVar

    from ..._answers.address import FamilyName, ProtocolName
    from ..._answers.listener import SocketState

    T = TypeVar("T")

    class ProcessTable(Protocol):
        """The queries that are made to psutil.

        They raise `PermissionError` if the caller may not make them, `ProcessLookupError` for a process that has ended.
        """

        def sockets(self, protocols: tuple[ProtocolName, ...]) -> list[SocketRow]:
            """Return the sockets of the whole system."""
            ...

        def pids(self) -> list[int]:
            """Return the pids of all processes."""
            ...

        def sockets_of(self, pid: int, protocols: tuple[ProtocolName, ...]) -> list[SocketRow]:
            """Return the sockets of a process."""
            ...

        def describe(self, pid: int) -> Process | None:
            """Return a process, with None for what cannot be read; None if the process has ended."""
            ...

        def is_same(self, pid: int) -> bool:
            """Return whether the pid still belongs to the process that it belonged to when it was first used here."""
            ...

        def descendants(self, pid: int) -> list[int]:
            """Return the pids of the descendants of a process."""
            ...

        def has_ended(self, pid: int) -> bool:
            """Return whether a process has ended, also if its parent has not waited for it (a zombie)."""
            ...


_SOURCE = "psutil"
#: The systems that psutil can be installed on, by the beginning of `sys.platform`; as in pyproject.toml.
_SUPPORTED = ("linux", "darwin", "win32", "freebsd", "openbsd", "netbsd", "sunos", "aix")
_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_PROTOCOLS: dict[int, ProtocolName] = {socket.SOCK_STREAM: "tcp", socket.SOCK_DGRAM: "udp"}
#: psutil's names of TCP states that are not "connection"; Solaris has the last two.
_STATES: dict[str, SocketState] = {
    "LISTEN": "listen",
    "TIME_WAIT": "time-wait",
    "CLOSE": "bound",
    "NONE": "bound",
    "IDLE": "bound",
    "BOUND": "bound",
}


class SocketRow(Frozen):
    """A socket with a local port, as psutil reports it."""

    protocol: ProtocolName
    """The protocol, "tcp" or "udp"."""
    family: FamilyName
    """The address family, "ipv4" or "ipv6"."""
    address: str
    """The local address."""
    port: int
    """The local port."""
    state: SocketState
    """The state, as in `BoundSocket`."""
    remote_address: str = ""
    """The remote address; empty if there is none."""
    remote_port: int = 0
    """The remote port; 0 if there is none."""
    scope: int = 0
    """The index of the interface of a link-local address; 0 if psutil does not report it."""
    pid: int | None = None
    """The pid of an owner; None if psutil does not report it."""

    @property
    def socket(self) -> SocketRow:
        """The row without the owner, which identifies the socket: psutil has no better identity."""
        if self.pid is None:
            return self
        return SocketRow(
            self.protocol,
            self.family,
            self.address,
            self.port,
            self.state,
            self.remote_address,
            self.remote_port,
            self.scope,
        )


def open_table() -> ProcessTable:
    """Return the table of psutil.

    Raises `SourceError` if psutil is not installed or does not support this system.
    """
    if not sys.platform.startswith(_SUPPORTED):
        raise SourceError(_SOURCE, f"does not support {sys.platform}, and portrange has no other way to list sockets")
    try:
        with import_lock:
            import psutil
    except ImportError as error:
        raise SourceError(_SOURCE, f"is needed to list sockets on {sys.platform}: install it ({error})") from error
    except (NotImplementedError, OSError) as error:
        raise SourceError(_SOURCE, f"does not work on {sys.platform} ({error})") from error
    return PsutilTable(psutil)


class PsutilTable:
    """psutil as a `ProcessTable`, for one query. It keeps each process that it used, to notice a reused pid."""

    def __init__(self, psutil: Any) -> None:
        self._psutil = psutil
        self._processes: dict[int, Any] = {}

    def sockets(self, protocols: tuple[ProtocolName, ...]) -> list[SocketRow]:
        """Return the sockets of the whole system."""
        return self._rows(lambda: self._psutil.net_connections(kind=_kind(protocols)))

    def pids(self) -> list[int]:
        """Return the pids of all processes except 0.

        0 is the kernel of macOS and the BSDs. It has no descriptors and cannot be inspected even by root, so every
        search would be incomplete.
        """
        return [pid for pid in self._call(self._psutil.pids) if pid]

    def sockets_of(self, pid: int, protocols: tuple[ProtocolName, ...]) -> list[SocketRow]:
        """Return the sockets of a process."""
        process = self._process(pid)
        # Called `connections` before psutil 6.
        net_connections = getattr(process, "net_connections", None) or process.connections
        return self._rows(lambda: net_connections(kind=_kind(protocols)))

    def describe(self, pid: int) -> Process | None:
        """Return a process, with None for what cannot be read; None if the process has ended."""
        try:
            process = self._process(pid)
            with process.oneshot():
                return Process(
                    pid=pid,
                    name=self._readable(lambda: printable(process.name())),
                    cmdline=self._readable(lambda: tuple(map(printable, process.cmdline()))),
                    exe=self._readable(lambda: printable(process.exe())) or None,
                    user=self._readable(lambda: printable(process.username())),
                    started=self._readable(process.create_time),
                    parent=self._readable(process.ppid) or None,
                )
        except ProcessLookupError:
            return None

    def is_same(self, pid: int) -> bool:
        """Return whether the pid still belongs to the process that it belonged to when it was first used here."""
        return self._call(lambda: bool(self._process(pid).is_running()))

    def descendants(self, pid: int) -> list[int]:
        """Return the pids of the descendants of a process."""
        return [child.pid for child in self._call(lambda: self._process(pid).children(recursive=True))]

    def has_ended(self, pid: int) -> bool:
        """Return whether a process has ended, also if its parent has not waited for it (a zombie)."""
        try:
            return bool(self._call(self._process(pid).status) == self._psutil.STATUS_ZOMBIE)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False

    def _process(self, pid: int) -> Any:
        if pid not in self._processes:
            self._processes[pid] = self._call(lambda: self._psutil.Process(pid))
        return self._processes[pid]

    def _rows(self, net_connections: Callable[[], list[Any]]) -> list[SocketRow]:
        return [row for row in map(parse_row, self._call(net_connections)) if row is not None]

    def _readable(self, read: Callable[[], T]) -> T | None:
        """Return one fact about a process; None if it cannot be read."""
        try:
            return self._call(read)
        except ProcessLookupError:
            raise
        except (OSError, ParseError):
            return None

    def _call(self, function: Callable[[], T]) -> T:
        """Return ``function()``; psutil's own errors become built-in ones, all others `SourceError` or `ParseError`."""
        try:
            return function()
        except self._psutil.NoSuchProcess as error:
            raise ProcessLookupError(errno.ESRCH, str(error)) from error
        except self._psutil.AccessDenied as error:
            raise PermissionError(errno.EACCES, str(error)) from error
        except (PermissionError, ProcessLookupError):
            raise
        except OSError as error:
            raise SourceError.from_os_error(_SOURCE, error) from error
        except (RuntimeError, ValueError, KeyError) as error:
            raise ParseError(_SOURCE, "a documented result", f"{type(error).__name__}: {error}") from error


def _kind(protocols: tuple[ProtocolName, ...]) -> str:
    return protocols[0] if len(protocols) == 1 else "inet"


def parse_row(entry: Any) -> SocketRow | None:
    """Return a row of psutil's net_connections(); None for a socket without a local port or of another kind."""
    protocol = _PROTOCOLS.get(entry.type)
    if protocol is None or entry.family not in _FAMILIES or not entry.laddr or not entry.laddr.port:
        return None
    family, address, scope = parse_address(entry.family, entry.laddr.ip)
    remote = entry.raddr or None
    return SocketRow(
        protocol,
        family,
        address,
        entry.laddr.port,
        _state(protocol, entry.status, is_connected=remote is not None),
        parse_address(entry.family, remote.ip)[1] if remote else "",
        remote.port if remote else 0,
        scope,
        getattr(entry, "pid", None) or None,  # 0 means no process on Windows
    )


def _state(protocol: ProtocolName, status: str, *, is_connected: bool) -> SocketState:
    if protocol == "tcp":
        return _STATES.get(status, "connection")
    # UDP has no states: a socket without a remote address receives datagrams from any sender.
    return "connection" if is_connected else "listen"


def parse_address(family: int, text: str) -> tuple[FamilyName, str, int]:
    """Return family, address and the index of its interface, 0 if the text does not contain it.

    IPv4-mapped addresses become IPv4. macOS stores them without their prefix (in_addr_4in6 in in_pcb.h), which makes
    them look like IPv4-compatible ones; those are deprecated (RFC 4291, section 2.5.5.1). Kernels of the KAME family
    (macOS, the BSDs) store the interface of a link-local address in its second 16 bits, which are zero on the wire (RFC
    4291, section 2.5.6): in6_embedscope().

    >>> import socket
    >>> parse_address(socket.AF_INET6, "::ffff:127.0.0.1"), parse_address(socket.AF_INET6, "::127.0.0.1")
    (('ipv4', '127.0.0.1', 0), ('ipv4', '127.0.0.1', 0))
    >>> parse_address(socket.AF_INET6, "fe80:4::1"), parse_address(socket.AF_INET6, "::1")
    (('ipv6', 'fe80::1', 4), ('ipv6', '::1', 0))
    """
    if family == socket.AF_INET:
        return "ipv4", text, 0
    try:
        packed = socket.inet_pton(socket.AF_INET6, text.partition("%")[0])
    except (OSError, ValueError) as error:
        raise ParseError(_SOURCE, "an IPv6 address", text) from error
    is_compatible = packed.startswith(bytes(12)) and int.from_bytes(packed, "big") > 1  # neither :: nor ::1
    if packed.startswith(MAPPED_PREFIX) or is_compatible:
        return "ipv4", socket.inet_ntop(socket.AF_INET, packed[12:]), 0
    address = socket.inet_ntop(socket.AF_INET6, packed)
    interface = packed[2:4]
    if is_link_local(address) and any(interface):
        address = socket.inet_ntop(socket.AF_INET6, packed[:2] + bytes(2) + packed[4:])
        return "ipv6", address, int.from_bytes(interface, "big")
    return "ipv6", address, 0
