"""The backend of every system but Linux: its own settings, and sockets through psutil.

What looks at sockets is imported when sockets are asked for: `classify` must not pay for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..._errors import SourceError
from ..base import FAMILIES

if TYPE_CHECKING:
    from ..._answers.listener import BoundSocket, Listeners
    from ..._answers.pool import EphemeralRange, PortSettings
    from ..._answers.usage import EphemeralUsage
    from ..._host import Host
    from ..base import SocketQuery
    from ..settings import SettingsReader
    from .view import ProcessTable, View


@dataclass(frozen=True, slots=True)
class PortableBackend:
    """`reader` reads the settings of the system; `view` says how much psutil sees there. `table` stands in for psutil.

    psutil knows no identity of sockets: those with the same protocol, address and port are one listener with several
    owners, whether they are shared (fork) or a group (SO_REUSEPORT).
    """

    reader: SettingsReader
    view: View
    table: ProcessTable | None = None

    def pool(self, host: Host, protocol: str, family: str) -> EphemeralRange:
        return self.reader.pool(host, protocol, family)

    def settings(self, host: Host) -> PortSettings:
        return self.reader.settings(host)

    def listeners(self, host: Host, query: SocketQuery) -> Listeners:
        from . import listing

        return listing.listeners(host, query, self._table(host), self.view, lambda: self.reader.settings(host))

    def bound(self, host: Host, protocol: str, port: int) -> tuple[BoundSocket, ...]:
        from . import listing

        return listing.bound(host, self._table(host), self.view, protocol, port)

    def usage(self, host: Host, protocol: str) -> EphemeralUsage:
        from . import usage

        pools = {family: self.pool(host, protocol, family) for family in FAMILIES}
        return usage.usage(host, protocol, self._table(host), self.view, pools)

    def _table(self, host: Host) -> ProcessTable:
        if self.table is not None:
            return self.table
        if host.network is not None:
            raise SourceError(
                "psutil", f"looks only at the machine it runs on, not at {host.network}; do without backend='portable'"
            )
        from .table import open_table

        return open_table()
