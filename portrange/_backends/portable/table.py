"""The only module that imports psutil: its rows and errors in this package's words. Thin.

Sources: psutil's documentation (net_connections, Process) and, for what each system shows to whom, its sources:
_pslinux.py, _psosx.py, _pswindows.py, _psbsd.py, _pssunos.py, _psaix.py of version 7.2.
"""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from ..._answers.listener import Process
from ..._errors import ParseError, SourceError
from ..._host.words import printable
from .view import ProcessTable, SocketRow

T = TypeVar("T")

_SOURCE = "psutil"
#: The systems that psutil can be installed on, by the beginning of `sys.platform`; as in pyproject.toml.
_SUPPORTED = ("linux", "darwin", "win32", "freebsd", "openbsd", "netbsd", "sunos", "aix")
_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_PROTOCOLS = {socket.SOCK_STREAM: "tcp", socket.SOCK_DGRAM: "udp"}
#: psutil's names of TCP states, where they are not "connection"; Solaris has the last two.
_STATES = {
    "LISTEN": "listen",
    "TIME_WAIT": "time-wait",
    "CLOSE": "bound",
    "NONE": "bound",
    "IDLE": "bound",
    "BOUND": "bound",
}
_MAPPED = bytes(10) + b"\xff\xff"
_LINK_LOCAL = b"\xfe\x80"


def open_table() -> ProcessTable:
    """The view of psutil on this machine. Raises `SourceError` where psutil is missing or does not know the system."""
    if not sys.platform.startswith(_SUPPORTED):
        raise SourceError(_SOURCE, f"does not support {sys.platform}, and no other way to list its sockets is known")
    try:
        import psutil
    except ImportError as error:
        raise SourceError(_SOURCE, f"is needed to list sockets on {sys.platform}; install it ({error})") from error
    except (NotImplementedError, OSError) as error:
        raise SourceError(_SOURCE, f"does not work on {sys.platform} ({error})") from error
    return PsutilTable(psutil)


class PsutilTable:
    """psutil, for the time of one question. It remembers each process it was asked about, to notice a reused number."""

    def __init__(self, psutil: Any) -> None:
        self._psutil = psutil
        self._seen: dict[int, Any] = {}

    def sockets(self, protocols: tuple[str, ...]) -> list[SocketRow]:
        return self._rows(lambda: self._psutil.net_connections(kind=_kind(protocols)))

    def pids(self) -> list[int]:
        # 0 is the kernel of macOS and the BSDs. It has no descriptors, and refuses even the superuser: were that taken
        # for a process that may not be looked into, nobody could ever see everything.
        return [pid for pid in self._asked(self._psutil.pids) if pid]

    def sockets_of(self, pid: int, protocols: tuple[str, ...]) -> list[SocketRow]:
        process = self._process(pid)
        # Called `connections` before psutil 6.
        ask = getattr(process, "net_connections", None) or process.connections
        return self._rows(lambda: ask(kind=_kind(protocols)))

    def describe(self, pid: int) -> Process | None:
        try:
            process = self._process(pid)
            with process.oneshot():
                return Process(
                    pid=pid,
                    name=self._told(lambda: printable(process.name())),
                    cmdline=self._told(lambda: tuple(map(printable, process.cmdline()))),
                    exe=self._told(lambda: printable(process.exe())) or None,
                    user=self._told(lambda: printable(process.username())),
                    started=self._told(process.create_time),
                )
        except ProcessLookupError:
            return None

    def is_same(self, pid: int) -> bool:
        return self._asked(lambda: bool(self._process(pid).is_running()))

    def _process(self, pid: int) -> Any:
        if pid not in self._seen:
            self._seen[pid] = self._asked(lambda: self._psutil.Process(pid))
        return self._seen[pid]

    def _rows(self, ask: Callable[[], list[Any]]) -> list[SocketRow]:
        return [row for row in map(parse_row, self._asked(ask)) if row is not None]

    def _told(self, ask: Callable[[], T]) -> T | None:
        """One fact about a process; None where it may not be read."""
        try:
            return self._asked(ask)
        except ProcessLookupError:
            raise
        except (OSError, ParseError):
            return None

    def _asked(self, ask: Callable[[], T]) -> T:
        """What psutil answers, with the builtin errors in place of its own, and `SourceError` for all others."""
        try:
            return ask()
        except self._psutil.NoSuchProcess as error:
            raise ProcessLookupError(errno.ESRCH, str(error)) from error
        except self._psutil.AccessDenied as error:
            raise PermissionError(errno.EACCES, str(error)) from error
        except (PermissionError, ProcessLookupError):
            raise
        except OSError as error:
            raise SourceError.from_os_error(_SOURCE, error) from error
        except (RuntimeError, ValueError, KeyError) as error:
            raise ParseError(_SOURCE, "what it documents", f"{type(error).__name__}: {error}") from error


def _kind(protocols: tuple[str, ...]) -> str:
    return protocols[0] if len(protocols) == 1 else "inet"


def parse_row(entry: Any) -> SocketRow | None:
    """A row of psutil's net_connections(); None for a socket without a local port, or of another kind."""
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
        getattr(entry, "pid", None) or None,  # 0 stands for nobody on Windows
    )


def _state(protocol: str, status: str, *, is_connected: bool) -> str:
    if protocol == "tcp":
        return _STATES.get(status, "connection")
    # UDP has no states: without a remote address, a socket takes datagrams from anybody.
    return "connection" if is_connected else "listen"


def parse_address(family: int, text: str) -> tuple[str, str, int]:
    """Family, address and the index of its interface (0 where it is not told).

    An IPv4 address within IPv6 is one of IPv4. Kernels of the KAME family (macOS, the BSDs) keep the interface of a
    link-local address in its second word, which is zero on the wire (RFC 4291, section 2.5.6): in6_embedscope().

    >>> import socket
    >>> parse_address(socket.AF_INET6, "::ffff:127.0.0.1"), parse_address(socket.AF_INET6, "fe80:4::1")
    (('ipv4', '127.0.0.1', 0), ('ipv6', 'fe80::1', 4))
    """
    if family == socket.AF_INET:
        return "ipv4", text, 0
    address = text.partition("%")[0]
    try:
        packed = socket.inet_pton(socket.AF_INET6, address)
    except (OSError, ValueError) as error:
        raise ParseError(_SOURCE, "an IPv6 address", text) from error
    if packed.startswith(_MAPPED):
        return "ipv4", socket.inet_ntop(socket.AF_INET, packed[12:]), 0
    if packed.startswith(_LINK_LOCAL) and any(packed[2:4]):
        zeroed = packed[:2] + bytes(2) + packed[4:]
        return "ipv6", socket.inet_ntop(socket.AF_INET6, zeroed), int.from_bytes(packed[2:4], "big")
    return "ipv6", socket.inet_ntop(socket.AF_INET6, packed), 0
