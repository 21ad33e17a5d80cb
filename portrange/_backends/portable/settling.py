"""Where a system hides other users' sockets: whether somebody has a port is settled by binding it for a moment.

Binding the wildcard address without SO_REUSEADDR fails with EADDRINUSE where any address of the family is taken on that
port (in_pcbbind() of XNU and the BSDs). That it works proves that nobody listens. That it fails proves that the port is
taken, if not by whom: it may also be a socket that does not listen, or the rest of a connection that has ended.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, NamedTuple

from ..._answers.listener import Listener
from ..._answers.span import contains

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..._answers.pool import PortSettings
    from ..._host import Host

#: IPv6 first: a socket for both families refuses both, and is shown once, under IPv6.
_WILDCARDS = (("ipv6", "::"), ("ipv4", "0.0.0.0"))  # noqa: S104 - bound for a moment, never listening
#: The machine has no such family, or no address of it: nobody can listen there.
_ABSENT = (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.EADDRNOTAVAIL)
#: Winsock's number beside the one of Unix; Python's errno module has the second name on Windows only.
_TAKEN = (errno.EADDRINUSE, getattr(errno, "WSAEADDRINUSE", errno.EADDRINUSE))


class Verdict(NamedTuple):
    """Listeners that are proven but hidden, and what could not be settled, a sentence each. Neither: nobody."""

    listeners: tuple[Listener, ...] = ()
    doubts: tuple[str, ...] = ()


def settle(host: Host, protocol: str, port: int, settings: Callable[[], PortSettings], *, seen: bool) -> Verdict:
    """Whether somebody out of sight listens on a port. `seen`: a socket in sight has it, so binding tells nothing."""
    name = f"{protocol} port {port}"
    if seen:
        return Verdict(doubts=(f"whether processes that may not be looked into listen on {name} too",))
    known = settings()
    if known.excluded is not None and contains(known.excluded, port):
        source = known.source("excluded") or "by the system"
        return Verdict(
            doubts=(f"who listens on {name}: it is kept from all programs ({source}), and owners are hidden",)
        )
    taken: list[str] = []
    refusals: list[str] = []
    for family, address in _WILDCARDS:
        try:
            host.bind(protocol, family, address, port)
        except OSError as error:
            if error.errno in _TAKEN:
                taken.append(family)
            elif error.errno not in _ABSENT:
                refusals.append(error.strerror or str(error))
    if taken:
        hidden = Listener(protocol, taken[0], "", port, dual_stack=None if taken[0] == "ipv6" else False, hidden=True)
        doubt = f"what has {name}: a listener, or a socket that does not listen; ask as the superuser to see it"
        return Verdict((hidden,), (doubt,))
    if refusals:
        return Verdict(doubts=(f"who listens on {name}: binding it is refused ({refusals[0]}); ask as the superuser",))
    return Verdict()
