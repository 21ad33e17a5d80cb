"""What psutil can see on a system, and in which words it is told here. Everything but `table` works on these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from ..._answers.listener import Process


@dataclass(frozen=True, slots=True)
class View:
    """How much psutil can tell on a system.

    - `every_socket`: asked for the whole system, it lists each socket, also where it does not know who holds it.
      Elsewhere sockets come to light only with the process that holds them.
    - `every_holder`: asked for one process, it looks into that process's descriptors. So all holders of a shared socket
      are found, and a process that refuses is noticed. Elsewhere the table of the system names one process at most.
    """

    every_socket: bool
    every_holder: bool


#: Linux: the table in procfs, and each process's descriptors.
EVERYTHING = View(every_socket=True, every_holder=True)
#: Windows, Solaris, AIX: one table, with one process a socket (AIX: each of them, but only for the superuser).
WHOLE_TABLE = View(every_socket=True, every_holder=False)
#: macOS, the BSDs: nothing but the processes that may be looked into.
ONE_BY_ONE = View(every_socket=False, every_holder=True)


class SocketRow(NamedTuple):
    """A socket with a local port, as psutil tells of it.

    `state` is one of the words of `BoundSocket`; `pid` None where psutil names no holder. `scope` is the index of the
    interface that a link-local address belongs to, 0 where it is not told.
    """

    protocol: str
    family: str
    address: str
    port: int
    state: str
    remote_address: str = ""
    remote_port: int = 0
    scope: int = 0
    pid: int | None = None

    @property
    def socket(self) -> SocketRow:
        """What tells sockets apart: everything but the holder. psutil knows no better identity."""
        return self._replace(pid=None)


class ProcessTable(Protocol):
    """What is asked of psutil. Refusals are `PermissionError`, processes that have ended `ProcessLookupError`."""

    def sockets(self, protocols: tuple[str, ...]) -> list[SocketRow]:
        """Those of the whole system."""
        ...

    def pids(self) -> list[int]:
        """All processes."""
        ...

    def sockets_of(self, pid: int, protocols: tuple[str, ...]) -> list[SocketRow]:
        """Those of one process."""
        ...

    def describe(self, pid: int) -> Process | None:
        """A process; None where it has ended. What may not be read is None in it."""
        ...

    def is_same(self, pid: int) -> bool:
        """Whether the number still belongs to the process it belonged to when this table was first asked about it."""
        ...
