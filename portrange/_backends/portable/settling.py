"""Where a system hides other users' sockets: whether somebody has a port is settled by binding it for a moment.

Binding the wildcard address without SO_REUSEADDR fails with EADDRINUSE where any address of the family is taken on that
port (in_pcbbind() of XNU and the BSDs). That it works proves that nobody listens. That it fails proves that the port is
taken, if not by whom: it may also be a socket that does not listen, or the rest of a connection that has ended.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ..._answers.listener import Listener
from ..._answers.span import contains
from ..._errors import SourceError
from ..._host import bind_errors
from ..base import WILDCARDS

if TYPE_CHECKING:
    from ..._answers.pool import PortSettings
    from ..._host import Host


class Verdict(NamedTuple):
    """Listeners that are proven but hidden, and what could not be settled, a sentence each. Neither: nobody."""

    listeners: tuple[Listener, ...] = ()
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Settler:
    """Settles for one port what a system does not show. `complete`: all processes were looked into."""

    host: Host
    port: int
    complete: bool
    settings: Callable[[], PortSettings]

    def settle(self, protocol: str, *, seen: bool) -> Verdict:
        """Whether somebody out of sight listens. `seen`: a socket in sight has the port, so binding would not tell."""
        name = f"{protocol} port {self.port}"
        if seen:
            doubt = f"whether processes that may not be looked into listen on {name} too"
            return Verdict(doubts=() if self.complete else (doubt,))
        taken, refusals = _try(self.host, protocol, self.port)
        known = self.settings() if taken else None
        if known is not None and known.excluded is not None and contains(known.excluded, self.port):
            # "In use" is also what macOS says of a port that it keeps for itself, on which nobody need listen.
            doubt = (
                f"who listens on {name}: the system keeps it from most programs ({known.source('excluded')}), so that "
                "binding it tells nothing; ask as the superuser"
            )
            return Verdict(doubts=() if self.complete else (doubt,))
        if taken and self.complete:
            # All processes were looked into: what none of them holds is the kernel's.
            doubt = f"what has {name}: no process, so the rest of a connection (TIME_WAIT) or the kernel itself"
            return Verdict(doubts=(doubt,))
        if taken:
            dual_stack = None if taken[0] == "ipv6" else False
            hidden = Listener(protocol, taken[0], "", self.port, dual_stack=dual_stack, hidden=True)
            doubt = f"what has {name}: a listener, or a socket that does not listen; ask as the superuser to see it"
            return Verdict((hidden,), (doubt,))
        if refusals:
            doubt = f"who listens on {name}: binding it is refused ({refusals[0]}); ask as the superuser"
            return Verdict(doubts=(doubt,))
        return Verdict()


def _try(host: Host, protocol: str, port: int) -> tuple[list[str], list[str]]:
    """The families in which the port is taken, and the reasons why binding it was refused otherwise."""
    taken: list[str] = []
    refusals: list[str] = []
    # IPv6 first: a socket for both families refuses both, and is shown once, under IPv6.
    for family, address in reversed(WILDCARDS.items()):
        try:
            host.bind(protocol, family, address, port)
        except SourceError:
            raise
        except OSError as error:
            if error.errno in bind_errors.IN_USE:
                taken.append(family)
            elif error.errno not in bind_errors.ABSENT | bind_errors.NOT_LOCAL:
                refusals.append(error.strerror or str(error))
    return taken, refusals
