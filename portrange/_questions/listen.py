"""Find listening sockets and their owners."""

from __future__ import annotations

from .._answers.listener import Listeners
from .._answers.span import port_number
from .._backends.base import SocketQuery
from .._backends.select import backend_for
from .._frozen import replace
from .._host.host import system_of
from .._lazy import import_lock
from .arguments import exit_status, one_of, process_of, protocols_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal, SupportsIndex

    from .._answers.address import ProtocolName
    from .._host.host import Host
    from .._host.system import System
    from .arguments import AnyProcess

#: Protocols that every system can list. Queries for other protocols may fail.
_COMMON = frozenset({"tcp", "udp"})


def who_listens(
    port: SupportsIndex, *, protocol: ProtocolName | None = None, exhaustive: bool = False, host: Host | None = None
) -> Listeners:
    """Return the sockets that listen on *port*, with their owners.

    These are TCP sockets in state LISTEN, UDP sockets that are bound and not connected, and SCTP and DCCP sockets where
    the system supports them, over IPv4 and IPv6. The result is falsy only if it is certain that nothing listens.
    Nothing can listen on port 0: the result is empty.

    On Linux the search for owners begins, and usually ends, with the processes of the socket's own cgroup, so it does
    not find a process elsewhere that received the same socket, unless `exhaustive` is True.

    :param port: The port number, 0 to 65535.
    :param protocol: "tcp", "udp", "sctp" or "dccp". None means every protocol.
    :param exhaustive: Search every process for owners, not only those of the cgroup of the socket.
    :param host: The system to read. The default is the machine that Python runs on.

    Raises `TypeError` if *port* is not a whole number,
    `InvalidPortError` outside 0-65535, `ValueError` for an unknown protocol, `SourceError` if sockets cannot be listed,
    `UnsupportedPlatformError` if the system is not supported.

    Sources: sock_diag(7) and proc(5) on Linux, psutil on other systems.

    >>> import portrange, socket
    >>> server = socket.create_server(("127.0.0.1", 0))
    >>> [listener.address for listener in portrange.who_listens(server.getsockname()[1])]
    ['127.0.0.1']
    >>> server.close()
    """
    number = port_number(port)
    protocols = protocols_of(protocol)
    system = system_of(host)
    if number == 0:
        return Listeners()
    if system.is_snapshot:
        return _cached_listeners(system, SocketQuery(protocols=protocols, exhaustive=exhaustive)).on(number)
    return backend_for(system).listeners(system, SocketQuery(number, protocols, exhaustive))


def listeners(
    *,
    protocol: ProtocolName | None = None,
    process: AnyProcess | None = None,
    exhaustive: bool = False,
    namespaces: Literal["own", "all"] = "own",
    host: Host | None = None,
) -> Listeners:
    """Return all listening sockets of the machine, as in `who_listens`, in the order of their ports.

    `namespaces="all"` queries every network namespace of a visible thread, or of a mount that the caller sees (Linux;
    entering them needs CAP_SYS_ADMIN), and sets `Listener.namespace`. `incomplete` lists the namespaces that could not
    be entered. A namespace that only a descriptor or a mount in another mount namespace keeps alive is not found.

    `process` limits the result to the sockets that a process or one of its descendants has open. The owners are those
    processes only, unless `exhaustive` is True. The start time of a `Process` is compared as well. A process whose
    parent has ended, such as a daemon, is no descendant. If the process has ended, or cannot be inspected,
    `incomplete` states it.

    :param protocol: "tcp", "udp", "sctp" or "dccp". None means every protocol.
    :param process: A pid, an object with a `pid` such as `subprocess.Popen`, or a `Process`. None means every process.
    :param exhaustive: Search every process for owners, not only those of the cgroup of the socket.
    :param namespaces: "own", the network namespace of the caller, or "all".
    :param host: The system to read. The default is the machine that Python runs on.

    Raises the same errors as `who_listens`, and `TypeError` or `ValueError` if `process` is not a process.

    >>> import portrange
    >>> rows = portrange.listeners().to_dicts()      # pandas.DataFrame(rows, columns=portrange.Listener.columns())
    """
    everywhere = one_of("namespaces", namespaces, ("own", "all")) == "all"
    system = system_of(host)
    protocols = protocols_of(protocol)
    if process is not None:
        root = process_of(process)
        if exit_status(process) is not None:
            return Listeners((), (f"process {root.pid} has ended; processes that it started are unknown",))
        backend = backend_for(system)
        query = SocketQuery(None, protocols, exhaustive, everywhere, root)
        return system.cached(query, backend.listeners, system, query)
    query = SocketQuery(None, protocols, exhaustive, everywhere)
    if system.is_snapshot:
        return _cached_listeners(system, query)
    return backend_for(system).listeners(system, query)


def _cached_listeners(system: System, query: SocketQuery) -> Listeners:
    """Return the listeners of a snapshot. Queries for TCP or UDP share the result of the query for all protocols."""
    backend = backend_for(system)
    if query.protocols and _COMMON.issuperset(query.protocols):
        everything = replace(query, protocols=None)
        found = system.cached(everything, backend.listeners, system, everything)
        if not found.incomplete:  # otherwise other protocols may be the reason
            return Listeners(tuple(listener for listener in found if listener.protocol in query.protocols))
    return system.cached(query, backend.listeners, system, query)


def network_labels(found: Listeners, host: Host | None = None) -> dict[str, str]:
    """Return a short text for each network namespace of *found*.

    It is "own" for the caller's, the name under /run/netns, the first digits of a container ID, or a pid.
    """
    names = {listener.namespace for listener in found if listener.namespace}
    if not names:
        return {}
    with import_lock:
        from .._backends.linux.namespaces import labels

    known = labels(system_of(host))
    for listener in sorted(found, key=lambda listener: listener.container is None):
        if listener.namespace and (listener.container or listener.pid):
            known.setdefault(
                listener.namespace, listener.container[:12] if listener.container else f"pid {listener.pid}"
            )
    return {name: known.get(name, name) for name in names}


def uninspected(host: Host | None = None) -> list[int]:
    """Return the pids of the processes whose descriptors the caller may not read (Linux)."""
    system = system_of(host)
    if system.platform != "linux":
        return []
    with import_lock:
        from .._backends.linux.procfs import refusing

    return refusing(system)
