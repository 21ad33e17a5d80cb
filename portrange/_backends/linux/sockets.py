"""The sockets of this machine: from sock_diag, or from the tables of procfs where sock_diag is not available.

The tables /proc/net/{tcp,udp}{,6} and /proc/net/sctp/{eps,assocs} are slower and contain neither cgroups nor
IPV6_V6ONLY, nor sockets that are bound but do not listen (BOUND_INACTIVE).
"""

from __future__ import annotations

import _thread
import errno
import os
import sys
from functools import partial
from itertools import count

from ..._answers.address import FAMILIES, PROTOCOLS
from ..._answers.span import parse_decimal
from ..._errors import ParseError, SourceError
from ..._lazy import import_lock
from . import sock_diag
from .sock_diag import CLOSE, ESTABLISHED, LISTEN, Address, SocketFilter, SocketRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, TypeVar

    from ..._answers.address import ProtocolName
    from ..._host.system import System

    T = TypeVar("T")

#: The state of the sockets that accept traffic from any address. A connected UDP socket is ESTABLISHED.
LISTENING = {"tcp": LISTEN, "udp": CLOSE, "sctp": LISTEN, "dccp": LISTEN}
#: Protocols that a kernel may lack; each registers itself in /proc/net/protocols.
OPTIONAL = {"sctp": b"SCTP", "dccp": b"DCCP"}

_ATTEMPTS = 5
_sequence = count(1)
#: How often a list that came in several parts is read, and the bytes of a part of a table in procfs.
_LISTS = 6
_PART = 4096
#: The states of unconnected sockets: those of one port are in one bucket of the kernel's hash tables.
_UNCONNECTED = (LISTEN, CLOSE)
#: The table of SCTP associations, which are connections.
_ASSOCIATIONS = "sctp/assocs"
#: Files of each protocol below /proc/net; IPv6 tables do not exist where IPv6 is disabled.
_TABLES = {"tcp": ("tcp", "tcp6"), "udp": ("udp", "udp6"), "sctp": ("sctp/eps", _ASSOCIATIONS), "dccp": ()}
_REMEDIES = {
    errno.EMFILE: "close files, or raise the limit of open files (RLIMIT_NOFILE, ulimit -n)",
    errno.ENFILE: "close files, or raise the system's limit of open files (fs.file-max)",
    errno.ENOMEM: "the kernel is out of memory; try again",
}


def available(system: System) -> tuple[ProtocolName, ...]:
    """Return the protocols that the kernel has; all of them if that cannot be read, because queries show it as well."""
    try:
        lines = read_net(system, "protocols").splitlines()
    except OSError:
        return PROTOCOLS
    registered = {line.partition(b" ")[0] for line in lines}
    return tuple(name for name in PROTOCOLS if name not in OPTIONAL or OPTIONAL[name] in registered)


def listening(
    system: System, protocols: tuple[ProtocolName, ...] | None = None, port: int = 0
) -> tuple[list[SocketRecord], list[str]]:
    """Return the sockets that accept traffic from any address, on one local port or (0) on all.

    *protocols* None means all; the second list then names the optional protocols that could not be queried. Raises the
    errors of `matching`.
    """
    found: list[SocketRecord] = []
    failures: dict[ProtocolName, SourceError] = {}
    for protocol in protocols or available(system):
        try:
            records = matching(system, SocketFilter(protocol, frozenset((LISTENING[protocol],)), port))
        except SourceError as error:
            if protocols or protocol not in OPTIONAL:
                raise
            failures[protocol] = error
        else:
            # Leaves out UDP sockets without a port, and those that were connected before they were shut down.
            found += [record for record in records if record.port and not record.remote.port]
    return found, _unlisted(failures)


def _unlisted(failures: dict[ProtocolName, SourceError]) -> list[str]:
    """Return one line for all protocols that could not be queried, with the reason of the first one."""
    if not failures:
        return []
    with import_lock:
        from ..._render.strings import joined

    error = next(iter(failures.values()))
    reason = os.strerror(error.errno) if error.errno else error.reason
    return [f"{joined(failures)} sockets ({error.source}: {reason})"]


def matching(system: System, wanted: SocketFilter) -> list[SocketRecord]:
    """Return the sockets that match, in the kernel's order.

    A protocol that the kernel does not have has no sockets. Raises `SourceError` if both sources fail.
    """
    found: list[SocketRecord] = []
    try:
        for family in FAMILIES:
            union: dict[object, SocketRecord] = {}
            # Lists with one sequence number usually consist of the same bytes, which are parsed once.
            sequence, parsed = _next_sequence(), dict[bytes, list[SocketRecord]]()
            for _ in range(_LISTS):
                request = partial(sock_diag.request, wanted, family)
                records, parts = dump(system, request, sock_diag.records, wanted.protocol, parsed, sequence=sequence)
                if _is_complete(union, records, in_parts=parts > 1):
                    break
            found += union.values()
    except OSError as error:
        return _without_sock_diag(system, wanted, error)
    # The kernel does not compare the port of sockets that are bound but do not listen.
    return [record for record in found if wanted.port == record.port] if wanted.port else found


def exact(
    system: System, protocol: ProtocolName, local: Address, remotes: Sequence[Address], interface: int = 0
) -> list[SocketRecord | None]:
    """Return the socket to which the kernel delivers packets from each of *remotes* to *local*; None if it has none.

    *interface* is the index of the interface at which the packets arrive, 0 for none. One message has all requests
    (netlink(7)); the replies to some dozens fit into the receive buffer. Raises `OSError` if sock_diag is not
    available. None also if the kernel lacks the diag module of the protocol: `matching` notices that.
    """

    def request(sequence: int) -> bytes:
        requests = (
            sock_diag.request_exact(protocol, local, remote, sequence, interface=interface) for remote in remotes
        )
        return b"".join(requests)

    def read(datagrams: Iterator[bytes], sequence: int) -> list[SocketRecord | None]:
        return [sock_diag.exact_record(datagrams, sequence, protocol) for _ in remotes]

    return dump(system, request, read)


def connection(system: System, protocol: ProtocolName, port: int, peer: tuple[str, int]) -> SocketRecord | None:
    """Return the connection of a local port with *peer*, from the address that the kernel chooses for that peer.

    Returns None if there is none, or if it cannot be found in this way.
    """
    if protocol == "sctp":
        return None  # an association is several records, one for each local address
    with import_lock:
        import socket

    family = socket.AF_INET6 if ":" in peer[0] else socket.AF_INET
    try:
        local = Address(socket.inet_pton(family, system.source_address(*peer)), port)
        remote = Address(socket.inet_pton(family, peer[0]), peer[1])
        [found] = exact(system, protocol, local, [remote])
    except OSError:
        return None
    # A listener receives the packets of peers without a connection.
    return found if found is not None and (str(found.remote), found.remote.port) == peer else None


def _is_complete(union: dict[object, SocketRecord], records: list[SocketRecord], *, in_parts: bool) -> bool:
    """Add a list to the *union* of the lists so far; return whether that is complete.

    The kernel resumes a list of several parts by the position in a bucket. If a socket of that bucket was closed in
    between, another socket is skipped or repeated without notice (inet_diag_dump_icsk, udp_dump, the tables of procfs).
    So such a list is read again until it contains nothing new.

    So is a list with a socket without a port: a connection that entered TIME-WAIT after the kernel had chosen it, and
    before it wrote its port (tcp_time_wait, inet_put_port; inet_diag_msg_common_fill). The next list has it.
    """
    known = len(union)
    with_port = [record for record in records if record.port]
    if records and records[0].protocol == "sctp":
        # One socket may have several addresses and several associations.
        union.update(((record.inode, record.packed, record.remote), record) for record in with_port)
    else:
        for record in with_port:
            union[record.inode or record.ends] = record  # a socket without an inode is a connection
    if len(with_port) < len(records):
        return False
    if not in_parts or 0 < known == len(union):
        return True
    return sum(record.state in _UNCONNECTED for record in records) < 2


def _without_sock_diag(system: System, wanted: SocketFilter, refusal: OSError) -> list[SocketRecord]:
    """Return the sockets that match from the tables of procfs, after sock_diag failed with *refusal*."""
    if wanted.protocol in OPTIONAL and wanted.protocol not in available(system):
        return []
    sources = f"{sock_diag.SOURCE} and {_net(system)}"
    if _is_wsl1(system):
        reason = "cannot list sockets on WSL 1, where Windows owns them; use Python for Windows"
        raise SourceError(sources, reason) from refusal
    try:
        return list(_from_tables(system, wanted))
    except OSError as error:
        reason, second = str(refusal.strerror or refusal), str(error.strerror or error)
        if not reason.endswith(second):
            reason += f"; {second}"
        remedy = _REMEDIES.get(error.errno or 0, "allow AF_NETLINK sockets or mount procfs")
        raise SourceError(
            sources,
            f"cannot list {wanted.protocol} sockets ({reason}); {remedy}",
            error.errno,
        ) from refusal


def _is_wsl1(system: System) -> bool | None:
    try:
        with import_lock:
            from .settings import is_wsl1
    except (ImportError, OSError):
        return None  # nothing can be imported without descriptors, or in a sandbox without the package's files
    return is_wsl1(system)


# --- sock_diag -------------------------------------------------------------------------------------------------------


def _next_sequence() -> int:
    return next(_sequence) & 0xFFFFFFFF


def dump(
    system: System, request: Callable[[int], bytes], read: Callable[..., T], *args: Any, sequence: int | None = None
) -> T:
    """Return ``read(datagrams, sequence, *args)`` for the reply to ``request(sequence)``.

    Each request has its own socket, so a caller may use one *sequence* number for several. The request is repeated if
    the kernel reports that the dump was interrupted or that a part of it was lost.
    """
    for _ in range(_ATTEMPTS):
        number = _next_sequence() if sequence is None else sequence
        try:
            datagrams = system.sock_diag(request(number))
            try:
                return read(datagrams, number, *args)
            finally:
                datagrams.close()
        except sock_diag.DumpInterruptedError:
            continue
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
    raise SourceError(
        sock_diag.SOURCE, f"the sockets changed during each of {_ATTEMPTS} dumps; try again", errno.EAGAIN
    )


# --- procfs ----------------------------------------------------------------------------------------------------------


def _from_tables(system: System, wanted: SocketFilter) -> Iterator[SocketRecord]:
    if not _TABLES[wanted.protocol]:
        raise FileNotFoundError(errno.ENOENT, f"procfs has no table of {wanted.protocol} sockets")
    for index, table in enumerate(_TABLES[wanted.protocol]):
        if table == _ASSOCIATIONS and ESTABLISHED not in wanted.states:
            continue
        source = f"{_net(system)}/{table}"
        union: dict[object, SocketRecord] = {}
        try:
            for _ in range(_LISTS):
                text = read_net(system, table).decode("ascii", "backslashreplace")
                if _is_complete(union, _matching_rows(text, source, wanted), in_parts=len(text) >= _PART):
                    break
        except FileNotFoundError:
            if index == 0:
                raise  # the second table is that of IPv6, which may be disabled, or of SCTP associations
        else:
            yield from union.values()


def _matching_rows(text: str, source: str, wanted: SocketFilter) -> list[SocketRecord]:
    is_sctp = wanted.protocol == "sctp"
    rows = parse_sctp_table(text, source) if is_sctp else parse_table(text, source, wanted.protocol)
    return [row for row in rows if row.state in wanted.states and wanted.port in (0, row.port)]


def parse_table(text: str, source: str, protocol: ProtocolName) -> Iterator[SocketRecord]:
    """Yield the sockets of /proc/net/{tcp,udp}{,6}. An empty text is an error: each table has a header line.

    An address is printed as 32-bit numbers in native byte order, a port as one number, all in hexadecimal
    (tcp4_seq_show in net/ipv4/tcp_ipv4.c, udp4_seq_show, tcp6_seq_show, udp6_seq_show).
    """
    lines = text.splitlines()
    if not lines or "local_address" not in lines[0]:
        raise ParseError(source, "a line of headers with local_address", lines[0] if lines else "")
    for line in lines[1:]:
        fields = line.split()
        try:
            local, remote = _address(fields[1]), _address(fields[2])
            state, uid, inode = int(fields[3], 16), _number(fields[7], 32), _number(fields[9], 64)
            # The length of the accept queue (get_tcp4_sock, net/ipv4/tcp_ipv4.c); the table does not have its limit.
            is_listening = protocol == "tcp" and state == LISTEN
            queued = int(fields[4].partition(":")[2], 16) if is_listening else None
        except (ValueError, IndexError):
            raise ParseError(source, "a socket with at least 10 fields", line) from None
        if not 0 < state < 32:
            raise ParseError(source, "a socket with at least 10 fields", line)
        yield SocketRecord(protocol, state, local.packed, local.port, remote, inode, uid, queued=queued)


def parse_sctp_table(text: str, source: str) -> Iterator[SocketRecord]:
    """Yield the sockets of /proc/net/sctp/eps or the associations of sctp/assocs, one for each local address.

    The columns before the addresses are numbers (sctp_eps_seq_show, sctp_assocs_seq_show, net/sctp/proc.c). SST is a
    common state: SCTP_SS_LISTENING is LISTEN (include/net/sctp/constants.h). An asterisk marks the primary address of
    a peer.
    """
    lines = text.splitlines()
    headers = lines[0].split() if lines else []
    if "LADDRS" not in headers:
        raise ParseError(source, "a line of headers with LADDRS", lines[0] if lines else "")
    del headers[headers.index("LADDRS") :]
    for line in lines[1:]:
        fields = line.split()
        try:
            row = dict(zip(headers, fields[: len(headers)], strict=True))
            port, inode, uid = _number(row["LPORT"], 16), _number(row["INODE"], 64), _number(row["UID"], 32)
            state, remote = _number(row["SST"], 8), None
            locals_ = fields[len(headers) :]
            if "RPORT" in row:
                arrow = locals_.index("<->")
                locals_, peers = locals_[:arrow], locals_[arrow + 1 :]
                primary = min(peers, key=lambda peer: not peer.startswith("*"))
                state, remote = ESTABLISHED, Address(_packed(primary), _number(row["RPORT"], 16))
            addresses = [_packed(field) for field in locals_]
        except (ValueError, KeyError):
            raise ParseError(source, "a value for each header, and addresses", line) from None
        for packed in addresses:
            yield SocketRecord("sctp", state, packed, port, remote or Address(bytes(len(packed)), 0), inode, uid)


def _packed(address: str) -> bytes:
    with import_lock:
        import ipaddress

    return ipaddress.ip_address(address.lstrip("*")).packed


def _address(field: str) -> Address:
    digits, _, port = field.partition(":")
    packed, number = bytes.fromhex(digits), bytes.fromhex(port)
    if len(packed) not in (4, 16) or len(number) != 2:
        raise ValueError(field)
    if sys.byteorder == "little":
        packed = b"".join(packed[start : start + 4][::-1] for start in range(0, len(packed), 4))
    return Address(packed, int.from_bytes(number, "big"))


def _number(field: str, bits: int) -> int:
    number = parse_decimal(field, (1 << bits) - 1)
    if number is None:
        raise ValueError(field)
    return number


def _net(system: System) -> str:
    """Return the directory of the network tables of this system's network namespace."""
    return f"{system.network or _own_directory(system)}/net"


def network_identity(system: System) -> int | None:
    """Return an integer that identifies the network namespace that is queried; None if it cannot be read."""
    try:
        return system.identity_of(system.network or _own_directory(system))
    except OSError:
        return None


def read_net(system: System, name: str) -> bytes:
    """Return a file of the network tables.

    Where procfs shows processes only (subset=pid, proc(5); ProcSubset=pid, systemd.exec(5)), /proc/net does not exist,
    although /proc/self/net does, to which it links.
    """
    directory = _net(system)
    try:
        return system.read(f"{directory}/{name}")
    except FileNotFoundError:
        if directory != f"{system.procfs}/net":
            raise
        return system.read(f"{system.procfs}/self/net/{name}")


def _own_directory(system: System) -> str:
    """Return the directory whose ``net`` is the network of the calling thread: that of procfs itself, if possible.

    ``/proc/net`` belongs to the main thread, whose thread ID is the pid; another thread may have entered another
    network. Kernels before 3.17 have no link to the calling thread.
    """
    native_id: Callable[[], int] | None = getattr(_thread, "get_native_id", None)
    if native_id is not None and native_id() == os.getpid():
        return system.procfs
    thread = f"{system.procfs}/thread-self"
    try:
        own = system.identity_of(thread)
    except (FileNotFoundError, ProcessLookupError):
        return system.procfs
    except OSError:
        return thread
    try:
        return system.procfs if own == system.identity_of(f"{system.procfs}/self") else thread
    except OSError:
        return thread
