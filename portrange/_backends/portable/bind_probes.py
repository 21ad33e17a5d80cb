"""Bind probes: whether a port is in use where a system hides the sockets of other users.

A bind to the wildcard address without SO_REUSEADDR fails with EADDRINUSE if any address of the family is in use on that
port (in_pcbbind() of XNU and the BSDs). If it succeeds, nothing listens. If it fails, the port is in use by a listener,
by a socket that does not listen, or by the remains of a closed connection.
"""

from __future__ import annotations

from ..._answers.address import WILDCARDS
from ..._answers.listener import Listener
from ..._answers.span import contains
from ..._errors import SourceError
from ..._lazy import import_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..._answers.address import FamilyName, ProtocolName
    from ..._host.system import System
    from ..settings import SettingsReader
    from .search import Search

_MORE_LISTENERS = "other processes may listen on {protocol} port {port} as well: some cannot be inspected; run as root"


def check_port(
    system: System, reader: SettingsReader, protocols: tuple[ProtocolName, ...], port: int, found: Search
) -> tuple[list[Listener], list[str]]:
    """Return the hidden listeners of a port, by bind probes, and what remains unknown about it."""
    visible = {row.protocol for row in found.sockets}
    listening: list[Listener] = []
    incomplete: list[str] = []
    for protocol in protocols:
        if protocol not in visible:
            hidden, problems = _check_hidden(system, reader, protocol, port, complete=found.complete)
            listening += hidden
            incomplete += problems
        elif not found.complete and protocol not in found.listed:  # a probe would fail because of the visible socket
            incomplete.append(_MORE_LISTENERS.format(protocol=protocol, port=port))
    return listening, incomplete


def _check_hidden(
    system: System, reader: SettingsReader, protocol: ProtocolName, port: int, *, complete: bool
) -> tuple[list[Listener], list[str]]:
    """Return the listener on a port that is proven but hidden, and what cannot be determined; neither: nothing listens.

    *complete*: all processes were inspected.
    """
    name = f"{protocol} port {port}"
    families, refusals = _probe(system, protocol, port)
    unknown = f"cannot determine whether a process listens on {name}"
    if not families:
        return [], [f"{unknown}: the bind probe failed ({refusals[0]}); run as root"] if refusals else []
    settings = reader.port_settings(system)
    if settings.excluded is not None and contains(settings.excluded, port):
        # macOS returns EADDRINUSE for the ports that it excludes as well.
        source = settings.source("excluded")
        problem = f"{unknown}: the system excludes it ({source}), so a bind probe always fails; run as root"
        return [], [] if complete else [problem]
    if complete:
        # No process owns it, so the kernel does.
        return [], [f"{name} is in use by no process: a closed connection (TIME-WAIT) or a socket of the kernel"]
    dual_stack = None if families[0] == "ipv6" else False
    hidden = Listener(protocol, families[0], "", port, dual_stack=dual_stack, hidden=True)
    return [hidden], [f"{name} is in use by a listener, or by a socket that does not listen; run as root to see it"]


def _probe(system: System, protocol: ProtocolName, port: int) -> tuple[list[FamilyName], list[str]]:
    """Return the families in which the port is in use, and the reasons of other failures of bind()."""
    with import_lock:
        from ..._host.binding import ABSENT, IN_USE, NOT_LOCAL
    families: list[FamilyName] = []
    refusals: list[str] = []
    # IPv6 first: a dual-stack socket makes both probes fail and is shown once, under IPv6.
    for family, address in reversed(WILDCARDS.items()):
        try:
            system.bind(protocol, family, address, port)
        except SourceError:
            raise
        except OSError as error:
            if error.errno in IN_USE:
                families.append(family)
            elif error.errno not in ABSENT | NOT_LOCAL:
                refusals.append(error.strerror or str(error))
    return families, refusals
