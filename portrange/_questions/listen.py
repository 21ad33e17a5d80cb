"""Who listens?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, SupportsIndex

from .._answers.listener import Listeners
from .._answers.number import port_number
from .._backends.base import SocketQuery
from .._backends.select import backend_for
from .arguments import host_asked, protocols_asked

if TYPE_CHECKING:
    from .._host import Host

_NAMESPACES = ("own", "all")
#: Transports that every system lists: who asks for another one by name is told where that is not possible.
_COMMON = frozenset({"tcp", "udp"})


def who_listens(
    port: SupportsIndex, *, protocol: str | None = None, exhaustive: bool = False, host: Host | None = None
) -> Listeners:
    """Every socket that waits for anybody's traffic on a port, with the processes that hold it.

    TCP sockets in state LISTEN, UDP sockets that are bound and not connected, and SCTP and DCCP where the system has
    them; IPv4 and IPv6. `protocol` asks for one transport only. The answer is false only where it is proven that
    nobody listens.

    On Linux the search for holders begins, and mostly ends, with the processes of the socket's own cgroup; a process
    elsewhere that was handed the same socket is then not looked for. `exhaustive=True` looks into every process.

    Port 0 is nobody's: the answer is empty. Raises `TypeError` for what is not a whole number, `InvalidPortError`
    outside 0-65535, `ValueError` for an unknown protocol, `SourceError` where sockets cannot be listed,
    `UnsupportedPlatformError` where no way is known.

    Sources: sock_diag(7) and proc(5) on Linux, psutil elsewhere.

    >>> import portrange, socket
    >>> server = socket.create_server(("127.0.0.1", 0))
    >>> [listener.address for listener in portrange.who_listens(server.getsockname()[1])]
    ['127.0.0.1']
    >>> server.close()
    """
    number = port_number(port)
    protocols = protocols_asked(protocol)
    asked = host_asked(host)
    if number == 0:
        return Listeners()
    if asked.is_snapshot:
        return _listeners(asked, SocketQuery(None, protocols, exhaustive)).on(number)
    return _listeners(asked, SocketQuery(number, protocols, exhaustive))


def listeners(
    *, protocol: str | None = None, exhaustive: bool = False, namespaces: str = "own", host: Host | None = None
) -> Listeners:
    """Every listening socket of the machine, as in `who_listens`, in the order of their ports.

    `namespaces="all"` asks every network namespace that a visible thread is in, or that a mount keeps which the caller
    sees (Linux; it takes the right to enter them, CAP_SYS_ADMIN) and fills `Listener.namespace`; what could not be
    entered stands in the answer's `incomplete`. One that only a descriptor keeps, or a mount of another mount namespace, is
    not seen.

    Raises the same errors as `who_listens`.

    >>> import portrange
    >>> rows = portrange.listeners().to_dicts()      # pandas.DataFrame(rows, columns=portrange.Listener.columns())
    """
    if namespaces not in _NAMESPACES:
        raise ValueError(f"unknown namespaces {namespaces!r}: use 'own' or 'all'")
    asked = host_asked(host)
    return _listeners(asked, SocketQuery(None, protocols_asked(protocol), exhaustive, namespaces == "all"))


def _listeners(host: Host, query: SocketQuery) -> Listeners:
    def ask(query: SocketQuery) -> Listeners:
        return host.once(query, lambda: backend_for(host).listeners(host, query))

    if host.is_snapshot and query.protocols and _COMMON.issuperset(query.protocols):
        # Whoever asks for TCP and whoever asks for everything are to see the same moment.
        found = ask(replace(query, protocols=None))
        if not found.incomplete:  # which may be about the others
            return Listeners(tuple(one for one in found if one.protocol in query.protocols))
    return ask(query)
