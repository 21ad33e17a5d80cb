"""Count the sockets that psutil shows in the ephemeral port range."""

from __future__ import annotations

from ..._answers.address import FAMILIES, WILDCARDS
from ..._errors import ParseError, SourceError
from ..occupancy import Occupancy, SocketEntry
from .search import PROCESSES_HIDDEN, WITHOUT_PROCESS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..._answers.address import FamilyName, ProtocolName
    from ..._answers.ephemeral import EphemeralRange
    from ..._answers.usage import EphemeralUsage
    from ..._host.system import System
    from . import View
    from .psutil_table import ProcessTable, SocketRow


def ephemeral_usage(
    system: System, protocol: ProtocolName, table: ProcessTable, view: View, ranges: Mapping[FamilyName, EphemeralRange]
) -> EphemeralUsage:
    """Return the usage of the ephemeral ranges (by family) of a protocol; `incomplete` has what is hidden."""

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
            raise SourceError("psutil", f"cannot list sockets ({error}); run as root", error.errno) from error
    else:
        rows = list(_owned_rows(table, view, protocol, occupancy.incomplete))
        if protocol == "tcp":
            occupancy.incomplete.append(WITHOUT_PROCESS)
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
            if PROCESSES_HIDDEN not in incomplete:
                incomplete.append(PROCESSES_HIDDEN)
