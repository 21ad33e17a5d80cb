"""Which sockets there are: from sock_diag, or from the tables in procfs where sock_diag is refused."""

from __future__ import annotations

import errno
from contextlib import closing
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, TypeVar

from ..._errors import SourceError
from ..base import PROTOCOLS
from . import namespaces, proc_net, sock_diag
from .settings import is_wsl1
from .socket_record import ANY_STATE, CLOSE, LISTEN, SocketFilter, SocketRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..._host import Host

T = TypeVar("T")

FAMILIES = ("ipv4", "ipv6")
#: The state in which a socket of each transport waits for anybody. A UDP socket that is connected is ESTABLISHED.
LISTENING = {"tcp": LISTEN, "udp": CLOSE, "sctp": LISTEN, "dccp": LISTEN}
_ATTEMPTS = 5
#: What to do where the machine itself is short of something.
_REMEDIES = {
    errno.EMFILE: "close what this program does not need, or raise its limit (RLIMIT_NOFILE, ulimit -n)",
    errno.ENFILE: "the whole system has no descriptor left (fs.file-max); close something",
    errno.ENOMEM: "the kernel has no memory for it; ask again",
}
_sequence = count(1)

#: How often a list that came in several parts is asked for; and how long a part of a table in procfs may be.
_LISTS = 6
_PART = 4096
#: The states of sockets that wait: those at one port lie in one bucket of the kernel's hash tables.
_WAITING = (LISTEN, CLOSE)

#: Files of each transport below /proc/net; an IPv6 table is missing where IPv6 is switched off.
_TABLES = {"tcp": ("tcp", "tcp6"), "udp": ("udp", "udp6"), "sctp": ("sctp/eps",), "dccp": ()}
#: Transports that a kernel may lack altogether; each registers itself in /proc/net/protocols.
OPTIONAL = {"sctp": b"SCTP", "dccp": b"DCCP"}


def present(host: Host) -> tuple[str, ...]:
    """The transports that the kernel has; all of them where it does not tell, and then asking shows it."""
    try:
        lines = host.read(f"{_net(host)}/protocols").splitlines()
    except OSError:
        return PROTOCOLS
    registered = {line.partition(b" ")[0] for line in lines}
    return tuple(name for name in PROTOCOLS if OPTIONAL.get(name) is None or OPTIONAL[name] in registered)


def listening(host: Host, protocol: str, port: int = 0) -> list[SocketRecord]:
    """The sockets of one transport that wait for anybody, at one local port or (0) at all of them."""
    state = LISTENING[protocol]
    found = sockets(host, SocketFilter(protocol, frozenset({state}), port))
    # UDP sockets without a port, or connected before they were closed again, wait for nothing.
    return [record for record in found if record.local.port and not record.remote.port]


def occupying(host: Host, protocol: str, port: int) -> list[SocketRecord]:
    """Every socket of one transport at a local port, whatever its state."""
    return sockets(host, SocketFilter(protocol, ANY_STATE, port))


def sockets(host: Host, wanted: SocketFilter) -> list[SocketRecord]:
    """The sockets that match, in the kernel's order.

    Raises `SourceError` where neither source answers. A transport that the kernel does not have has no sockets.
    """
    try:
        found = [record for family in FAMILIES for record in _ask(host, wanted, family)]
        # The kernel does not compare the port of sockets that are bound and do not listen.
        return [record for record in found if wanted.port in (0, record.local.port)]
    except OSError as error:
        refusal = error
    if wanted.protocol in OPTIONAL and wanted.protocol not in present(host):
        return []
    if is_wsl1(host):
        raise SourceError(
            f"{sock_diag.SOURCE} and {_net(host)}",
            "show no sockets on WSL 1, where they are those of Windows: ask there, with a Python for Windows",
        ) from refusal
    try:
        return list(_from_tables(host, wanted))
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "allow AF_NETLINK sockets or mount procfs")
        raise SourceError(
            f"{sock_diag.SOURCE} and {_net(host)}",
            f"neither lists {wanted.protocol} sockets ({refusal.strerror or refusal}; {error.strerror or error}); "
            f"{remedy}",
            error.errno,
        ) from refusal


def _ask(host: Host, wanted: SocketFilter, family: str) -> list[SocketRecord]:
    def read(reply: Iterator[bytes], number: int) -> tuple[list[SocketRecord], bool]:
        parts = 0

        def counted() -> Iterator[bytes]:
            nonlocal parts
            for datagram in reply:
                parts += sock_diag.has_sockets(datagram)
                yield datagram

        return list(sock_diag.records(counted(), wanted.protocol, number)), parts > 1

    return _united(lambda: dump(host, lambda number: sock_diag.request(wanted, family, number), read))


def _united(ask: Callable[[], tuple[list[SocketRecord], bool]]) -> list[SocketRecord]:
    """What `ask` lists; where that came in several parts, all that it lists when it is asked again and again.

    The kernel goes on with the next part by the place in a bucket. If a socket of that bucket was closed meanwhile,
    another one is left out, or named twice, without a sign (inet_diag_dump_icsk, udp_dump, the tables of procfs).
    """
    found: dict[object, SocketRecord] = {}
    for repeated in range(_LISTS):
        records, in_parts = ask()
        known = len(found)
        found |= {_identity(record): record for record in records}
        is_settled = repeated > 0 and len(found) == known
        if is_settled or not in_parts or sum(record.state in _WAITING for record in records) < 2:
            break
    return list(found.values())


def _identity(record: SocketRecord) -> object:
    """What stays the same of a socket; without an inode it is a connection, which its two ends tell from others."""
    return record.inode or (record.local, record.remote, record.interface)


def dump(host: Host, request: Callable[[int], bytes], read: Callable[[Iterator[bytes], int], T]) -> T:
    """What `read` makes of the datagrams of a reply; both are told the sequence number.

    The kernel is asked again while it says that the dump was disturbed or that it lost a part of it.
    """
    for _ in range(_ATTEMPTS):
        sequence = next(_sequence) & 0xFFFFFFFF
        try:
            with closing(host.sock_diag(request(sequence))) as reply:
                return read(reply, sequence)
        except sock_diag.DumpInterruptedError:
            continue
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
    raise SourceError(
        sock_diag.SOURCE, f"the sockets changed during each of {_ATTEMPTS} dumps; ask again", errno.EAGAIN
    )


def _from_tables(host: Host, wanted: SocketFilter) -> Iterator[SocketRecord]:
    if not _TABLES[wanted.protocol]:
        raise FileNotFoundError(errno.ENOENT, f"procfs has no table of {wanted.protocol} sockets")
    for index, table in enumerate(_TABLES[wanted.protocol]):
        source = f"{_net(host)}/{table}"
        try:
            yield from _united(partial(_read_table, host, source, wanted))
        except FileNotFoundError:
            if index == 0:
                raise  # the second one is that of IPv6, which may be switched off


def _read_table(host: Host, source: str, wanted: SocketFilter) -> tuple[list[SocketRecord], bool]:
    text = host.read(source).decode("ascii", "backslashreplace")
    found = [
        record
        for record in proc_net.PARSERS[wanted.protocol](text, source)
        if record.state in wanted.states and wanted.port in (0, record.local.port)
    ]
    return found, len(text) > _PART


def _net(host: Host) -> str:
    """The network tables of the namespace that the host is about."""
    return f"{host.network or namespaces.own(host)}/net"
