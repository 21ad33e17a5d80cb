"""How full the ephemeral pool is, from the sockets that psutil lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._errors import ParseError, SourceError
from ..base import FAMILIES
from ..occupancy import Occupancy, Sighting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..._answers.pool import EphemeralRange
    from ..._answers.usage import EphemeralUsage
    from ..._host import Host
    from .view import ProcessTable, SocketRow, View

_PARTIAL = "sockets of processes that may not be looked into; ask as the superuser to see all"
_UNHELD = "sockets that no process holds any more (TIME-WAIT), which this system does not show to psutil"


def usage(
    host: Host, protocol: str, table: ProcessTable, view: View, pools: dict[str, EphemeralRange]
) -> EphemeralUsage:
    """How full the pools (by family) of one transport are; what psutil does not show is named in `incomplete`."""
    occupancy = Occupancy(protocol, host.platform, {family: pools[family] for family in FAMILIES})
    if view.every_socket:
        try:
            rows = table.sockets((protocol,))
        except PermissionError as error:
            raise SourceError("psutil", f"may not list sockets ({error}); ask as the superuser", error.errno) from error
    else:
        rows = list(_held(table, protocol, occupancy.incomplete))
        if protocol == "tcp":
            occupancy.incomplete.append(_UNHELD)
    return occupancy.count(_sighting(row, host) for row in {row.socket for row in rows})


def _held(table: ProcessTable, protocol: str, gaps: list[str]) -> Iterator[SocketRow]:
    """The sockets of one process after the other."""
    for pid in table.pids():
        try:
            yield from table.sockets_of(pid, (protocol,))
        except ProcessLookupError:
            continue  # it has ended
        except (OSError, ParseError):
            if _PARTIAL not in gaps:
                gaps.append(_PARTIAL)


def _sighting(row: SocketRow, host: Host) -> Sighting:
    state = row.state
    if row.protocol == "udp":
        state = "connected" if row.remote_port else "bound"
    return Sighting(
        row.family,
        row.address,
        row.port,
        state,
        row.remote_address,
        row.remote_port,
        # psutil does not tell whether an IPv6 wildcard takes IPv4 too.
        dual_stack=None if row.address == "::" else False,
        interface=host.interface_name(row.scope) if row.scope else None,
    )
