"""Every TCP and UDP socket of macOS, from ``sysctl net.inet.tcp.pcblist_n`` and ``net.inet.udp.pcblist_n``.

Any caller may read these tables, up to macOS 26. From macOS 27 on (by two independent reports) an ordinary user gets
the caller's own sockets only, while the requested size still covers all sockets. The structures are private to Apple,
so a table counts only if it passes the checks of this module. Each check has a test with a table for which the result
would be wrong without it (tests/backends/test_pcblist.py):

- `parse_table`: the records form groups of known structure that end with a trailer. An unknown structure would lose
  sockets, or attach records to another socket.
- `check_probe`: the table shows a socket that this process bound for the purpose, exactly as it was bound. Fields at
  other positions would give wrong ports, addresses, users and processes.
- `check_states`: the states of TCP and the option SO_ACCEPTCONN agree. A field at another position would make
  listeners look like other sockets.

Even then it only adds listeners: whether nothing listens on a port is the result of a bind probe. A table that passes
`missing_sockets` as well lists all listeners.

Sources, in Apple's kernel (github.com/apple-oss-distributions/xnu), unchanged from version 2782 to 11417 (macOS 10.10
to 15) except for fields appended to xsocket_n in 8792 (macOS 13):

- bsd/netinet/in_pcblist.c: get_pcblist_n(), the order of the records, and the size that it requests. A socket that is
  being freed has neither protocol nor family.
- bsd/netinet/in_pcb.h, tcp_var.h, bsd/sys/socketvar.h: xinpgen, xinpcb_n, xtcpcb_n, xsocket_n, with #pragma pack(4).
- bsd/kern/uipc_socket.c: so_update_last_owner_locked(), the process that used a socket last.
- bsd/net/ntstat.c: rows of user-space flows (Skywalk), whose user and family are 0.

Sockets that were freed during the copy are skipped as in Apple's netstat (network_cmds, netstat.tproj/inet.c).
"""

from __future__ import annotations

from struct import Struct

from .._answers.address import WILDCARDS
from .._errors import ParseError
from .._frozen import Frozen
from .._lazy import import_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .._answers.address import FamilyName, ProtocolName
    from .._host.binding import HeldProbes
    from .._host.system import System

#: xinpgen: length, number of sockets, generation of the table.
_HEADER = Struct("<IIQ8x")
#: The beginning of each record: length and kind.
_RECORD = Struct("<II")
_XINPCB, _XSOCKET, _XTCPCB = 0x10, 0x01, 0x20
#: xinpcb_n: remote and local port, in network order.
_INPCB_PORTS = Struct(">16xHH")
#: xinpcb_n: generation of the socket, vflag (the IP versions), local address.
_INPCB = Struct("<28xQ8xB19x16s")
#: xsocket_n: options, protocol, family, length of the accept queue, limit of that queue, uid, last pid.
_SOCKET = Struct("<20xI12xiih2xh14xIi")
#: xtcpcb_n: state.
_TCPCB = Struct("<36xi")
#: The shortest record of each kind; newer systems append fields.
_SIZES = {_XINPCB: _INPCB.size, _XSOCKET: _SOCKET.size, _XTCPCB: _TCPCB.size}

_PROTOCOL_NUMBERS: dict[str, int] = {"tcp": 6, "udp": 17}
#: 127.0.0.1.
_LOOPBACK = b"\x7f\0\0\1"
#: The family of a flow; AF_INET and AF_INET6 of macOS.
_FLOW, _AF_INET, _AF_INET6 = 0, 2, 30
_INP_IPV4, _INP_IPV6 = 1, 2
_BOTH_VERSIONS = _INP_IPV4 | _INP_IPV6
_SO_ACCEPTCONN = 2
_CLOSED, _LISTEN = 0, 1
#: A listener that starts or stops during the copy can have one of its two signs.
_MOST_ODD = 1
#: The part of the sockets that a complete table has at least: others are opened and closed during the copy.
_NEARLY_ALL = 0.9
#: Darwin 26 and later filter the table for ordinary users; macOS 26 is Darwin 25, macOS 27 is Darwin 27.
_FIRST_FILTERING_DARWIN = 26


class Pcb(Frozen):
    """A socket of the table."""

    is_flow: bool
    """True for a user-space flow, whose user, options and queues are unknown."""
    versions: int
    """The IP versions: 1 for IPv4 (also by an IPv4-mapped address), 2 for IPv6, 3 for both."""
    address: bytes
    """The local address, 16 bytes; an IPv4 address is in the last four."""
    port: int
    """The local port."""
    remote_port: int
    """The remote port; 0 if there is none."""
    state: int
    """The state of TCP (tcp_fsm.h); 0 for UDP."""
    accepts: bool
    """True if the option SO_ACCEPTCONN is set."""
    uid: int
    """The effective user ID that created the socket; 0 for a flow, which has none."""
    last_pid: int
    """The process that used the socket last, which may have ended; 0 for a socket of the kernel."""
    queued: int
    """The number of connections that the program has not accepted yet."""
    backlog: int
    """The limit of that queue."""


class PcbTable(Frozen):
    """A parsed table."""

    pcbs: tuple[Pcb, ...]
    """The sockets that existed when the copy ended."""
    count: int
    """The number of sockets by the header."""
    groups: int
    """The number of groups of records, with or without a socket."""
    group_size: int
    """The number of bytes of the largest group."""


class KernelListener(Frozen):
    """A listener of the kernel's table."""

    protocol: ProtocolName
    """The protocol, "tcp" or "udp"."""
    family: FamilyName
    """The address family; "ipv4" for an IPv6 socket with an IPv4-mapped address."""
    address: str
    """The local address."""
    port: int
    """The local port."""
    scope: int
    """The index of the interface of a link-local address; 0 if there is none."""
    dual_stack: bool | None
    """True for an IPv6 wildcard that accepts IPv4 as well; None for a user-space flow."""
    uid: int | None
    """The user ID that created the socket; None if it is unknown."""
    last_pid: int
    """The process that used the socket last, which may have ended; 0 for a socket of the kernel."""
    backlog: int | None
    """The limit of the accept queue; None for UDP."""
    queued: int | None
    """The number of connections that were not accepted yet; None for UDP."""


class KernelListeners(Frozen):
    """The listeners of the kernel's tables."""

    listeners: tuple[KernelListener, ...] = ()
    """The listeners of the tables that passed the checks."""
    complete: frozenset[ProtocolName] = frozenset()
    """The protocols whose listeners are all known."""
    problems: tuple[str, ...] = ()
    """Why the tables of the other protocols are not complete, or not used."""


# --- the table -------------------------------------------------------------------------------------------------------


def parse_table(value: bytes, protocol: ProtocolName, source: str) -> PcbTable:
    """Return the sockets of a table.

    Records are found by their length and identified by their kind, so fields and records that newer systems append are
    skipped. Raises `ParseError` unless every record, and every value that is read, is one that the kernel writes.
    """
    if len(value) < _HEADER.size:
        raise ParseError(source, f"a header of {_HEADER.size} bytes", value.hex())
    _, count, generation = _HEADER.unpack_from(value)
    expected = {_XINPCB, _XSOCKET, _XTCPCB} if protocol == "tcp" else {_XINPCB, _XSOCKET}
    pcbs: list[Pcb] = []
    groups = group_size = 0
    for size, records in _groups(value, source):
        groups += 1
        group_size = max(group_size, size)
        if not expected <= set(records):
            raise ParseError(source, f"records of kinds {sorted(expected)} in each group", f"kinds {sorted(records)}")
        pcb = _parse_pcb(value, records, protocol, generation, source)
        if pcb is not None:
            pcbs.append(pcb)
    return PcbTable(tuple(pcbs), count, groups, group_size)


def _groups(value: bytes, source: str) -> Iterator[tuple[int, dict[int, int]]]:
    """Yield each group of records: its size, and the positions of its records by kind."""
    position = start = _HEADER.size
    records: dict[int, int] = {}
    while True:
        left = len(value) - position
        if left < _RECORD.size:
            raise ParseError(source, "a trailer after the last record", f"{max(left, 0)} bytes")
        length, kind = _RECORD.unpack_from(value, position)
        is_trailer = length <= _HEADER.size  # its count is where records have their kind
        if is_trailer and left != _HEADER.size:
            raise ParseError(source, f"a trailer of {_HEADER.size} bytes at the end", f"{left} bytes")
        if is_trailer or kind == _XINPCB:
            if records:
                yield position - start, records
            if is_trailer:
                return
            start, records = position, {}
        if kind in _SIZES:
            if length < _SIZES[kind] or kind in records:
                raise ParseError(source, "one whole record of a kind in a group", f"kind {kind:#x} of {length} bytes")
            records[kind] = position
        position += (length + 7) & ~7


def _parse_pcb(
    value: bytes, records: dict[int, int], protocol: ProtocolName, generation: int, source: str
) -> Pcb | None:
    """Return the socket of a group; None if it was freed during the copy, or is being freed."""
    remote_port, port = _INPCB_PORTS.unpack_from(value, records[_XINPCB])
    created, vflag, address = _INPCB.unpack_from(value, records[_XINPCB])
    options, number, family, queued, backlog, uid, last_pid = _SOCKET.unpack_from(value, records[_XSOCKET])
    (state,) = _TCPCB.unpack_from(value, records[_XTCPCB]) if protocol == "tcp" else (_CLOSED,)
    if created > generation or (number, family) == (0, 0):
        return None
    versions = vflag & _BOTH_VERSIONS
    is_known = (family in (_FLOW, _AF_INET6) and versions) or (family == _AF_INET and versions == _INP_IPV4)
    if number != _PROTOCOL_NUMBERS[protocol] or not is_known or last_pid < 0:
        found = f"protocol {number}, family {family}, IP versions {versions}, pid {last_pid}"
        raise ParseError(source, f"a {protocol} socket", found)
    return Pcb(
        is_flow=family == _FLOW,
        versions=versions,
        address=address,
        port=port,
        remote_port=remote_port,
        state=state,
        accepts=bool(options & _SO_ACCEPTCONN),
        uid=uid,
        last_pid=last_pid,
        queued=queued,
        backlog=backlog,
    )


# --- checks ----------------------------------------------------------------------------------------------------------


def check_probe(table: PcbTable, protocol: ProtocolName, probes: HeldProbes, uid: int | None, source: str) -> None:
    """Raise `ParseError` unless the table has the probe socket of this process once, and as it was bound.

    `check_states` covers its state and options.
    """
    port = probes.ports[protocol]
    shown = [(pcb.remote_port, pcb.uid, pcb.last_pid) for pcb in table.pcbs if _is_probe(pcb, port)]
    expected = [(0, uid, probes.pid)]
    if shown != expected:
        raise ParseError(source, f"the probe socket on port {port} with remote port, uid, pid {expected}", str(shown))


def _is_probe(pcb: Pcb, port: int) -> bool:
    return pcb.port == port and pcb.versions == _INP_IPV4 and pcb.address[12:] == _LOOPBACK


def check_states(table: PcbTable, source: str) -> None:
    """Raise `ParseError` if more than one TCP socket has only one of the two signs of a listener."""
    odd = sum((pcb.state == _LISTEN) != pcb.accepts for pcb in table.pcbs if not pcb.is_flow)
    if odd > _MOST_ODD:
        raise ParseError(source, "SO_ACCEPTCONN in state LISTEN only", f"{odd} sockets with one of them")


def missing_sockets(
    table: PcbTable, protocol: ProtocolName, size: int, uid: int | None, darwin: int | None
) -> str | None:
    """Return why a table with the probe socket may lack other sockets; None if it has all.

    *size* is the number of bytes that the kernel requested for it: two headers, the sockets, an eighth of them, and one
    more. *darwin* is the major number of the release of Darwin.
    """
    if uid != 0 and darwin is not None and darwin >= _FIRST_FILTERING_DARWIN:
        return "since macOS 27, ordinary users see their own sockets alone"
    sizes = (size - 2 * _HEADER.size) // table.group_size
    expected = max(table.count, (sizes - 1) * 8 // 9)
    if table.groups < _NEARLY_ALL * expected:
        return f"it has {table.groups} of {expected} sockets"
    if not any(pcb.uid != uid for pcb in table.pcbs if not pcb.is_flow):
        return "it has no socket of another user"
    if protocol == "tcp" and not any(pcb.accepts and pcb.state == _LISTEN for pcb in table.pcbs):
        return "it has no listener"
    return None


# --- reading ---------------------------------------------------------------------------------------------------------


def read_listeners(system: System, protocols: Iterable[ProtocolName]) -> KernelListeners:
    """Return the listeners of the kernel's tables, without the probe sockets of this process."""
    listeners: list[KernelListener] = []
    complete: set[ProtocolName] = set()
    problems: list[str] = []
    try:
        with system.held_probes() as probes:
            for protocol in protocols:
                source = f"sysctl net.inet.{protocol}.pcblist_n"
                try:
                    found, missing = _read_table(system, protocol, probes, source)
                except (OSError, ParseError) as error:
                    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
                    problems.append(f"{source} is not used: {reason.removeprefix(f'{source}: ')}")
                    continue
                listeners += found
                if missing is None:
                    complete.add(protocol)
                else:
                    problems.append(f"{source} may lack sockets: {missing}")
    except OSError as error:
        problems.append(f"the tables of sockets are not used: no probe socket ({error.strerror or error})")
    return KernelListeners(tuple(listeners), frozenset(complete), tuple(problems))


def _read_table(
    system: System, protocol: ProtocolName, probes: HeldProbes, source: str
) -> tuple[list[KernelListener], str | None]:
    """Return the listeners of one table, and why it may lack sockets."""
    uid = system.uid
    value, size = system.sysctl_with_size(source.removeprefix("sysctl "))
    table = parse_table(value, protocol, source)
    check_probe(table, protocol, probes, uid, source)
    if protocol == "tcp":
        check_states(table, source)
    port = probes.ports[protocol]
    listening = [pcb for pcb in table.pcbs if _is_listening(pcb, protocol) and not _is_probe(pcb, port)]
    missing = missing_sockets(table, protocol, size, uid, _darwin(system))
    return [_listener(pcb, protocol) for pcb in listening], missing


def _darwin(system: System) -> int | None:
    """Return the major number of Darwin's release; None if it cannot be read."""
    try:
        return int(system.sysctl("kern.osrelease").partition(b".")[0])
    except (OSError, ValueError):
        return None


def _is_listening(pcb: Pcb, protocol: ProtocolName) -> bool:
    if not pcb.port:
        return False
    if protocol == "udp":
        return not pcb.remote_port
    # The two signs together: one alone can be a race, or a field at another position.
    return pcb.state == _LISTEN and (pcb.accepts or pcb.is_flow)


def _listener(pcb: Pcb, protocol: ProtocolName) -> KernelListener:
    with import_lock:
        import socket

        from .portable.psutil_table import parse_address

    family: FamilyName
    if pcb.versions & _INP_IPV6:
        family, address, scope = parse_address(socket.AF_INET6, socket.inet_ntop(socket.AF_INET6, pcb.address))
    else:
        family, address, scope = "ipv4", socket.inet_ntop(socket.AF_INET, pcb.address[12:]), 0
    dual_stack: bool | None = False
    if address == WILDCARDS["ipv6"]:
        dual_stack = None if pcb.is_flow else pcb.versions == _BOTH_VERSIONS
    has_queue = protocol == "tcp" and not pcb.is_flow
    return KernelListener(
        protocol=protocol,
        family=family,
        address=address,
        port=pcb.port,
        scope=scope,
        dual_stack=dual_stack,
        uid=None if pcb.is_flow else pcb.uid,
        last_pid=pcb.last_pid,
        backlog=pcb.backlog if has_queue and pcb.backlog >= 0 else None,
        queued=pcb.queued if has_queue and pcb.queued >= 0 else None,
    )
