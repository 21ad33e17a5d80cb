"""From the kernel's sockets and their holders to answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ..._answers.listener import BoundSocket, Listener, Listeners
from ..._errors import ParseError, SourceError
from ..base import PROTOCOLS, SocketQuery
from . import cgroup, namespaces, owners, sockets
from .owners import Holding
from .processes import ProcessReader
from .socket_record import CLOSE, TIME_WAIT, SocketRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..._answers.listener import Socket
    from ..._host import Host

#: How often a socket is looked for again that was passed on while its holders were looked for.
_SEARCHES = 3
_FURTHER_HOLDERS = "processes that may not be looked into: any of them may hold these sockets too; ask as the superuser"
#: How many namespaces that cannot be read, or told, are named one by one.
_NAMED = 5


class _Found(NamedTuple):
    """A socket, the host as seen from its network namespace, and that namespace's name where several were asked."""

    record: SocketRecord
    host: Host
    namespace: str | None = None


def listeners(host: Host, query: SocketQuery) -> Listeners:
    """The listening sockets that were asked for."""
    found, gaps = _find(host, query)
    reader = ProcessReader(host)
    found, holdings = _hold(reader, found, lambda: _find(host, query)[0], exhaustive=query.exhaustive)
    answers = (Listener(**_facts(one, reader, holdings)) for one in found)
    if query.exhaustive and any(one.owners and one.partial for one in holdings.values()):
        gaps.append(_FURTHER_HOLDERS)
    return Listeners(tuple(sorted(answers, key=_order)), tuple(gaps))


def bound(host: Host, protocol: str, port: int) -> tuple[BoundSocket, ...]:
    """Every socket of one transport that occupies a port, whatever its state; listeners first."""

    def found() -> list[_Found]:
        return [_Found(record, host) for record in sockets.occupying(host, protocol, port)]

    reader = ProcessReader(host)
    there, holdings = _hold(reader, found(), found, exhaustive=False)
    answers = (
        BoundSocket(
            **_facts(one, reader, holdings),
            state=_state(one.record),
            remote_address=str(one.record.remote) if one.record.remote.port else "",
            remote_port=one.record.remote.port,
        )
        for one in there
    )
    return tuple(sorted(answers, key=lambda one: (one.state != "listen", *_order(one))))


def _hold(
    reader: ProcessReader, found: list[_Found], find_again: Callable[[], list[_Found]], *, exhaustive: bool
) -> tuple[list[_Found], dict[int, Holding]]:
    """The sockets that are still there, and the holders of each.

    What nobody holds, although nothing was hidden, may have been closed meanwhile: it is looked for again. What
    somebody held who has it no more may have been passed on behind the back of the search: so are its holders.
    """
    holdings = owners.find(reader, (one.record for one in found), exhaustive=exhaustive)
    for _ in range(_SEARCHES):
        if all(one.owners or (one.hidden and not one.slipped) for one in holdings.values()):
            break
        still = {one.record.inode for one in find_again()}
        found = [one for one in found if one.record.inode in still]
        slipped = [one.record for one in found if one.record.inode and holdings[one.record.inode].slipped]
        if not slipped:
            break
        later = owners.find(reader, slipped, exhaustive=exhaustive)
        # Once seen with somebody, it is not said to be nobody's.
        holdings |= {inode: one if one.owners else one._replace(slipped=True) for inode, one in later.items()}
    return found, holdings


def _find(host: Host, query: SocketQuery) -> tuple[list[_Found], list[str]]:
    if not query.all_namespaces:
        records, gaps = _records(host, query)
        return [_Found(record, host) for record in records], gaps
    found: list[_Found] = []
    spaces, unread = namespaces.find_all(host)
    gaps = unread[:_NAMED]
    if len(unread) > _NAMED:
        gaps.append(f"{len(unread) - _NAMED} more network namespaces, or processes that did not tell theirs")
    for space in spaces:
        try:
            seen = namespaces.look_from(host, space, lambda there: _records(there, query))
        except (ParseError, SourceError) as error:
            gaps.append(f"network namespace {space.name} ({error})")
            continue
        if seen is None:
            continue  # it has ended
        there, (records, unlisted) = seen
        found += [_Found(record, there, space.name) for record in records]
        gaps += [f"network namespace {space.name}: {gap}" for gap in unlisted]
    return found, gaps


def _records(host: Host, query: SocketQuery) -> tuple[list[SocketRecord], list[str]]:
    """The sockets, and a sentence for each rare transport that nobody asked for by name and that is not listed."""
    records: list[SocketRecord] = []
    gaps: list[str] = []
    for protocol in query.protocols or sockets.present(host):
        try:
            records += sockets.listening(host, protocol, query.port or 0)
        except SourceError as error:
            if query.protocols or protocol not in sockets.OPTIONAL:
                raise
            gaps.append(f"{protocol} sockets ({error})")
    return records, gaps


def _facts(found: _Found, reader: ProcessReader, holdings: dict[int, Holding]) -> dict[str, Any]:
    """The fields that all sockets share."""
    record, host = found.record, found.host
    holding = holdings.get(record.inode, Holding())
    path = holding.cgroup
    # What has no inode is nobody's any more, or nobody's yet: the kernel writes 0 there, and does not mean root.
    uid = reader.known(record.uid) if record.inode else None
    return {
        "protocol": record.protocol,
        "family": record.local.family,
        "address": str(record.local),
        "port": record.local.port,
        "dual_stack": record.dual_stack,
        "interface": host.interface_name(record.interface) if record.interface else None,
        "owners": holding.owners,
        "possible_owners": holding.possible_owners,
        "hidden": holding.hidden or holding.slipped,
        "scope": holding.scope,
        "uid": uid,
        "user": None if uid is None else reader.user(uid),
        "cgroup": path,
        "unit": cgroup.unit(path) if path else None,
        "container": cgroup.container(path) if path else None,
        "namespace": found.namespace,
    }


def _state(record: SocketRecord) -> str:
    """The state in words: what matters is why the port is taken."""
    if record.state == sockets.LISTENING[record.protocol] and not record.remote.port:
        return "listen"
    # The kernel shows the state of a socket that is bound and does not listen as CLOSE.
    return {CLOSE: "bound", TIME_WAIT: "time-wait"}.get(record.state, "connection")


def _order(socket: Socket) -> tuple[int, int, str, str, float]:
    """By port, then protocol and address; sockets that share all three, the oldest holder first."""
    started = socket.owners[0].started if socket.owners else None
    return (socket.port, PROTOCOLS.index(socket.protocol), socket.family, socket.address, started or 0.0)
