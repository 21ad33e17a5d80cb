"""The backend of every system but Linux: that system's own settings, and sockets through psutil."""

from __future__ import annotations

from ..._answers.address import FAMILIES
from ..._errors import SourceError
from ..._frozen import Frozen
from ..._lazy import import_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..._answers.address import FamilyName, ProtocolName
    from ..._answers.ephemeral import EphemeralRange, PortSettings
    from ..._answers.listener import Listener, Listeners, Process, Sockets
    from ..._answers.usage import EphemeralUsage
    from ..._host.system import System
    from ..base import PortQuery, SocketQuery, Target
    from ..pcblist import KernelListeners
    from ..settings import SettingsReader
    from .psutil_table import ProcessTable


class View(Frozen):
    """What psutil can see on a system."""

    every_socket: bool
    """True if the table of the whole system has every socket, also those with an unknown owner.

    Elsewhere a socket is visible only through a process that owns it.
    """
    every_owner: bool
    """True if a query for one process reads that process's descriptors.

    Then all owners of a shared socket are found, and a process that cannot be inspected is noticed. Elsewhere the
    table of the whole system has at most one process per socket.
    """
    every_owned_socket: bool = False
    """True if the table of the whole system has, for any caller, each socket of each process with all of its owners.

    Sockets of the kernel are missing.
    """
    others: bool = False
    """True if the table of the whole system has sockets of processes that the caller cannot inspect, with one owner
    each; the system may hide some of them."""
    checks_owners: bool = False
    """True if psutil can attribute sockets to unrelated processes: its results count only if they attribute the probe
    sockets of this process to this process alone."""


#: Linux: the table in procfs, and the descriptors of each process.
EVERYTHING = View(every_socket=True, every_owner=True)
#: Windows, Solaris, AIX: one table with one process per socket (AIX: with every owner, but for root only).
WHOLE_TABLE = View(every_socket=True, every_owner=False)
#: macOS: only the processes that the caller may inspect.
ONE_BY_ONE = View(every_socket=False, every_owner=True)
#: FreeBSD: the processes that the caller may inspect with all owners, and a table with sockets of other users.
WITH_OTHERS = View(every_socket=False, every_owner=True, others=True)
#: OpenBSD: one table with every descriptor of every process, for any caller.
DESCRIPTORS = View(every_socket=False, every_owner=False, every_owned_socket=True)
#: NetBSD: only the processes that the caller may inspect, matched with sockets by the address of a kernel structure.
MATCHED = View(every_socket=False, every_owner=True, checks_owners=True)


class PortableBackend(Frozen):
    """A backend that lists sockets through psutil.

    psutil does not identify sockets: those with the same protocol, address and port are one listener with several
    owners, whether they share a socket (fork) or are a group (SO_REUSEPORT).
    """

    reader: SettingsReader
    """Reads the port settings of the system."""
    view: View
    """What psutil can see on the system."""
    table: ProcessTable | None = None
    """The table to use in place of psutil's, for tests."""
    kernel: Callable[[System, Iterable[ProtocolName]], KernelListeners] | None = None
    """Reads the listeners from tables of the kernel, beside psutil; None if the system has none that can be read."""

    def ephemeral_range(self, system: System, protocol: ProtocolName, family: FamilyName) -> EphemeralRange:
        """Return the ephemeral range of a protocol and an address family."""
        return self.reader.ephemeral_range(system, protocol, family)

    def port_settings(self, system: System) -> PortSettings:
        """Return all port settings."""
        return self.reader.port_settings(system)

    def listeners(self, system: System, query: SocketQuery) -> Listeners:
        """Return the listeners that match *query*, with their owners."""
        with import_lock:
            from . import listing
        table = self._table(system)
        if query.process is not None:
            return listing.listeners_of(system, query, query.process, table, self)
        return listing.listeners(system, query, table, self)

    def sockets_on(self, system: System, query: PortQuery) -> Sockets:
        """Return the sockets on a port that psutil shows, or those of connections with a peer."""
        with import_lock:
            from . import listing
        return listing.sockets_on(system, query, self._table(system), self)

    def running(self, system: System, process: Process) -> Process | None:
        """Return a process; None if it has ended, or if its pid belongs to a process that started later."""
        with import_lock:
            from . import listing
        return listing.running(self._table(system), process)

    def reached(
        self, _system: System, _protocol: ProtocolName, _port: int, _targets: tuple[Target, ...]
    ) -> tuple[tuple[Listener, ...], ...] | None:
        """Return None: no system but Linux shows which listener it chooses."""
        return None

    def ephemeral_usage(self, system: System, protocol: ProtocolName) -> EphemeralUsage:
        """Return the usage of the ephemeral ranges of "tcp" or "udp", over both address families."""
        with import_lock:
            from . import range_use
        ranges: dict[FamilyName, EphemeralRange] = {
            family: self.reader.ephemeral_range(system, protocol, family) for family in FAMILIES
        }
        return range_use.ephemeral_usage(system, protocol, self._table(system), self.view, ranges)

    def _table(self, system: System) -> ProcessTable:
        if self.table is not None:
            return self.table
        if system.network is not None:
            raise SourceError(
                "psutil", f"lists sockets of this machine only, not of {system.network}; omit backend='portable'"
            )
        with import_lock:
            from .psutil_table import open_table
        return open_table()
