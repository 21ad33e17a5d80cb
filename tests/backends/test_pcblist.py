"""The kernel's tables of sockets on macOS: the parser, and what each check prevents."""

from __future__ import annotations

import errno
import json
import struct
from dataclasses import replace

import pytest
from pcblist_tables import (
    ESTABLISHED,
    GENERATION,
    GONE,
    HOSTS,
    LAYOUTS,
    LISTEN,
    PID,
    PROBE_PORTS,
    ROWS,
    TCP,
    UID,
    Row,
    flow,
    group,
    hosts,
    joined,
    probe,
    requested,
    table,
)
from process_rows import Rows, listening
from recorded import RecordedHost

from portrange import ParseError
from portrange._backends.base import PortQuery, SocketQuery
from portrange._backends.darwin import BACKEND
from portrange._backends.pcblist import parse_table, read_listeners
from portrange._backends.portable.psutil_table import SocketRow
from portrange._frozen import replace as changed

SOURCE = "a table"


class Mac(RecordedHost):
    """A Mac with other tables: by protocol, the bytes and the size that the kernel requests for them."""

    def __init__(self, tables=(), name="darwin-24.6-pcblist"):
        super().__init__(name)
        self.tables = dict(tables)

    def sysctl_with_size(self, name):
        protocol = name.split(".")[2]
        if protocol not in self.tables:
            return super().sysctl_with_size(name)
        value, size = self.tables[protocol]
        if isinstance(value, OSError):
            raise value
        return value, size


def mac(rows, protocol="tcp", *, layout="13", sockets=None, name="darwin-24.6-pcblist", **options):
    """Return a Mac with one table of these rows; *sockets* is the number that the kernel counts for its size."""
    size = requested(len(rows) if sockets is None else sockets, protocol, layout)
    return Mac({protocol: (table(rows, protocol, layout, **options), size)}, name)


def ports(found):
    return [listener.port for listener in found.listeners]


# --- the parser ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_tcp_listeners_are_read_from_each_layout(layout):
    found = read_listeners(mac(TCP, layout=layout), ("tcp",))
    assert (found.complete, found.problems) == ({"tcp"}, ())
    assert [
        (row.family, row.address, row.port, row.scope, row.dual_stack, row.uid, row.last_pid, row.backlog, row.queued)
        for row in found.listeners
    ] == [
        ("ipv4", "0.0.0.0", 22, 0, False, 0, 1, 128, 0),
        ("ipv4", "127.0.0.1", 631, 0, False, 0, 410, 128, 0),
        ("ipv6", "::", 80, 0, True, 0, 701, 511, 2),
        ("ipv4", "127.0.0.1", 5432, 0, False, 216, 650, 128, 0),
        ("ipv4", "127.0.0.1", 8080, 0, False, UID, 900, 128, 0),
        ("ipv6", "::", 8443, 0, False, UID, 900, 128, 0),
        ("ipv4", "127.0.0.1", 8444, 0, False, UID, 902, 128, 0),
        ("ipv4", "127.0.0.1", 8081, 0, False, UID, 900, 128, 0),
        ("ipv6", "fe80::1", 8082, 4, False, UID, 900, 128, 0),
        ("ipv4", "0.0.0.0", 2049, 0, False, 0, 0, 128, 0),
        ("ipv4", "192.0.2.5", 61000, 0, False, None, 333, None, None),
    ]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_udp_listeners_are_read_from_each_layout(layout):
    found = read_listeners(mac(ROWS["udp"], "udp", layout=layout), ("udp",))
    assert (found.complete, found.problems) == ({"udp"}, ())
    assert [(row.family, row.address, row.port, row.dual_stack, row.uid, row.backlog) for row in found.listeners] == [
        ("ipv6", "::", 5353, True, 65, None),
        ("ipv4", "127.0.0.1", 8125, False, UID, None),
        ("ipv4", "192.0.2.5", 61003, False, None, None),
    ]


def test_dual_stack_of_a_flow_is_unknown():
    found = read_listeners(mac((*TCP, flow("::", 61004, state=LISTEN, vflag=3))), ("tcp",))
    assert [row.dual_stack for row in found.listeners if row.port == 61004] == [None]


@pytest.mark.parametrize(("number", "known"), [(-1, None), (0, 0), (1, 1)])
def test_negative_queue_lengths_are_unknown(number, known):
    found = read_listeners(mac((*TCP, Row("::1", 8500, LISTEN, queued=number, backlog=number))), ("tcp",))
    assert [(row.queued, row.backlog) for row in found.listeners if row.port == 8500] == [(known, known)]


@pytest.mark.parametrize("protocol", ROWS)
def test_table_cut_off_anywhere_raises_parse_error(protocol):
    whole = table(ROWS[protocol], protocol)
    for size in range(len(whole)):
        with pytest.raises(ParseError):
            parse_table(whole[:size], protocol, SOURCE)


@pytest.mark.parametrize("length", [0, 1, 7, 8, 23, 25, 75, 79, 2**31, 2**32 - 1])
def test_wrong_length_of_a_record_raises_parse_error(length):
    whole = bytearray(table(TCP, "tcp"))
    struct.pack_into("<I", whole, 24, length)
    with pytest.raises(ParseError):
        parse_table(bytes(whole), "tcp", SOURCE)


def test_udp_table_needs_no_tcp_records_and_tcp_table_does():
    assert parse_table(table([probe("udp")], "udp"), "udp", SOURCE).groups == 1
    with pytest.raises(ParseError, match=r"records of kinds \[1, 16, 32\]"):
        parse_table(table([probe("udp")], "udp"), "tcp", SOURCE)


@pytest.mark.parametrize("content", [b"", b"\0", bytes(24), b"\x18" + bytes(22), bytes(1 << 26), b"\xff" * (1 << 26)])
def test_other_bytes_raise_parse_error(content):
    with pytest.raises(ParseError) as failure:
        parse_table(content, "tcp", SOURCE)
    assert len(str(failure.value)) < 300


# --- each check alone prevents a wrong result ------------------------------------------------------------------------
# Every table of this section passes all checks but one. Without that check its result is wrong: as stated, a listener
# is missing although the result is complete, or a listener that does not exist is in it.

#: More sockets, so that a table counts as complete without one of them.
BUSY = (*TCP, *(Row("127.0.0.1", 30000 + number, last_pid=900) for number in range(20)))
#: A listener that only a wrong result lacks.
LAST = Row("::1", 8500, LISTEN, last_pid=900)


def records(row, protocol="tcp"):
    """Return the records of a socket in the layout of macOS 13, each padded to a multiple of 8 bytes."""
    whole, parts = group(row, protocol, "13"), []
    while whole:
        end = (int.from_bytes(whole[:4], "little") + 7) & ~7
        parts.append(whole[:end])
        whole = whole[end:]
    return parts


def of_kind(record, kind):
    return record[:4] + struct.pack("<I", kind) + record[8:]


def shortened(record, length):
    return (struct.pack("<I", length) + record[4:length]).ljust((length + 7) & ~7, b"\0")


def mac_of_groups(groups):
    """Return a Mac whose table of TCP has these groups after the sockets of `BUSY`."""
    every = [*(group(row, "tcp", "13") for row in BUSY), *groups]
    return Mac({"tcp": (joined(every), requested(len(every), "tcp"))})


def assert_unused(host, reason, protocol="tcp"):
    """The result has no listener of the table, is not complete, and names the reason."""
    found = read_listeners(host, (protocol,))
    assert (found.listeners, found.complete) == ((), frozenset())
    assert found.problems[0].startswith(f"sysctl net.inet.{protocol}.pcblist_n is not used: expected {reason}")


def test_tables_of_this_section_are_complete_without_their_fault():
    """The tables below differ from this one by their fault alone."""
    found = read_listeners(mac_of_groups([group(LAST, "tcp", "13")]), ("tcp",))
    assert (found.complete, 8500 in ports(found)) == ({"tcp"}, True)


@pytest.mark.parametrize("content", [b"", b"\x18" + bytes(22)])
def test_table_without_a_header_is_not_used(content):
    assert_unused(Mac({"tcp": (content, 0)}), "a header of 24 bytes")


@pytest.mark.parametrize(
    ("lost", "reason"),
    [
        (24, "a trailer after the last record, found '0 bytes'"),
        (17, "a trailer after the last record, found '7 bytes'"),
        (16, "a trailer of 24 bytes at the end, found '8 bytes'"),
    ],
)
def test_table_without_a_trailer_is_not_used(lost, reason):
    """The kernel ran out of memory after a group, and the last listener is missing."""
    value, size = mac_of_groups([]).tables["tcp"]
    assert_unused(Mac({"tcp": (value[:-lost], size)}), reason)


def test_header_alone_lacks_the_trailer():
    assert_unused(Mac({"tcp": (table([], "tcp"), 0)}), "a trailer after the last record, found '0 bytes'")


def test_short_record_is_not_taken_for_the_trailer():
    """A record of 16 bytes, such as a newer system can add, is followed by a listener."""
    short = struct.pack("<IIQ", 16, 0x400, 0)
    assert_unused(mac_of_groups([short, group(LAST, "tcp", "13")]), "a trailer of 24 bytes at the end")


@pytest.mark.parametrize("missing", [1, 5], ids=["xsocket_n", "xtcpcb_n"])
def test_group_without_one_of_its_records_makes_the_table_unused(missing):
    """The last listener has a record of another kind instead."""
    parts = records(LAST)
    parts[missing] = of_kind(parts[missing], 0x400)
    assert_unused(mac_of_groups([b"".join(parts)]), "records of kinds [1, 16, 32] in each group")


def test_first_group_without_its_first_record_makes_the_table_unused():
    """The first socket is the last listener, whose xinpcb_n has another kind."""
    parts = records(LAST)
    first = b"".join([of_kind(parts[0], 0x110), *parts[1:]])
    groups = [first, *(group(row, "tcp", "13") for row in BUSY)]
    host = Mac({"tcp": (joined(groups), requested(len(groups), "tcp"))})
    assert_unused(host, "records of kinds [1, 16, 32] in each group")


def test_records_of_a_group_of_unknown_kind_are_not_attached_to_the_group_before():
    """The connection 8501 would listen, with the state and the options of the listener behind it."""
    connection = group(Row("::1", 8501, ESTABLISHED, remote_port=443, last_pid=900), "tcp", "13")
    parts = records(LAST)
    behind = b"".join([of_kind(parts[0], 0x110), *parts[1:]])
    assert_unused(mac_of_groups([connection + behind]), "one whole record of a kind in a group")


def test_short_address_record_makes_the_table_unused():
    """The address would be read from the length and the kind of the next record."""
    parts = records(Row("192.0.2.5", 8502, LISTEN, last_pid=900))
    host = mac_of_groups([b"".join([shortened(parts[0], 72), *parts[1:]])])
    assert_unused(host, "one whole record of a kind in a group")


def test_short_socket_record_makes_the_table_unused():
    """Process 2, the kind of the next record, would be a possible owner of the flow."""
    parts = records(flow("192.0.2.5", 8503, state=LISTEN, last_pid=900))
    host = mac_of_groups([b"".join([parts[0], shortened(parts[1], 64), *parts[2:]])])
    assert_unused(host, "one whole record of a kind in a group")


def test_short_state_record_makes_the_table_unused():
    """The flow would listen: the state would be the kind of the next record, 1."""
    inpcb, xsocket, *buffers, xtcpcb = records(flow("192.0.2.5", 8504, state=ESTABLISHED, last_pid=900))
    host = mac_of_groups([b"".join([inpcb, shortened(xtcpcb, 32), xsocket, *buffers])])
    assert_unused(host, "one whole record of a kind in a group")


def test_shortest_whole_records_are_read():
    inpcb, xsocket, *buffers, xtcpcb = records(LAST)
    whole = b"".join([shortened(inpcb, 80), shortened(xsocket, 72), *buffers, shortened(xtcpcb, 40)])
    found = read_listeners(mac_of_groups([whole]), ("tcp",))
    assert (found.complete, 8500 in ports(found)) == ({"tcp"}, True)


def test_listener_that_was_opened_just_before_the_copy_is_listed():
    opened = replace(LAST, generation=GENERATION)
    assert 8500 in ports(read_listeners(mac((*BUSY, opened)), ("tcp",)))


def test_listener_that_was_freed_during_the_copy_is_not_listed():
    freed = replace(LAST, generation=GENERATION + 1)
    found = read_listeners(mac((*BUSY, freed)), ("tcp",))
    assert (found.complete, 8500 in ports(found)) == ({"tcp"}, False)


@pytest.mark.parametrize("kind", [0, 1])
def test_socket_that_is_being_freed_does_not_spoil_the_table(kind):
    """Such a socket has no protocol and no family, and perhaps a type; elsewhere, this is an unknown socket."""
    found = read_listeners(mac((*BUSY, replace(GONE, kind=kind), LAST)), ("tcp",))
    assert (found.complete, 8500 in ports(found), GONE.port in ports(found)) == ({"tcp"}, True, False)


@pytest.mark.parametrize(
    "odd",
    [
        replace(LAST, number=17),
        replace(LAST, family=39, options=2),
        replace(LAST, vflag=0),
        replace(LAST, vflag=8),
        replace(LAST, address="10.0.0.1", vflag=2),
        replace(LAST, address="10.0.0.1", vflag=3),
        replace(LAST, last_pid=-1),
    ],
    ids=["protocol", "family", "version", "flag", "ipv4", "both", "pid"],
)
def test_value_that_the_kernel_does_not_write_makes_the_table_unused(odd):
    """Each would be a TCP listener on port 8500 that does not exist: another protocol, family, address or process."""
    assert_unused(mac((*BUSY, odd)), "a tcp socket")


PROBE_REASON = f"the probe socket on port {PROBE_PORTS['tcp']} with remote port, uid, pid [(0, {UID}, {PID})]"


def test_table_without_the_probe_socket_is_not_used():
    """A table of another moment: it lacks every socket that was opened since."""
    assert_unused(mac(BUSY[1:]), f"{PROBE_REASON}, found '[]'")


def test_table_with_the_user_at_another_position_is_not_used():
    """Every listener would belong to the user whose number is its pid."""
    assert_unused(mac([replace(row, uid=row.last_pid) for row in BUSY]), PROBE_REASON)


def test_table_with_the_pid_at_another_position_is_not_used():
    """Every listener would have the process whose number is its user, and root's listeners none."""
    assert_unused(mac([replace(row, last_pid=row.uid) for row in BUSY]), PROBE_REASON)


def test_table_with_ports_in_another_byte_order_is_not_used():
    """Every listener would have another port."""
    assert_unused(mac(BUSY, swap_ports=True), PROBE_REASON)


def test_table_with_the_address_at_another_position_is_not_used():
    """Every listener would have the remote address, which is the wildcard."""
    assert_unused(mac([replace(row, address="0.0.0.0") for row in BUSY if ":" not in row.address]), PROBE_REASON)


def test_table_with_the_remote_port_at_another_position_is_not_used():
    """Every UDP socket would be connected, and the complete result empty."""
    rows = [replace(row, remote_port=row.port) for row in ROWS["udp"]]
    assert_unused(mac(rows, "udp"), f"the probe socket on port {PROBE_PORTS['udp']}", "udp")


def test_table_with_the_same_port_in_each_row_is_not_used():
    """The field is not the port: every listener would listen on the port of the probe socket."""
    assert_unused(mac([replace(row, port=PROBE_PORTS["tcp"]) for row in BUSY]), PROBE_REASON)


def test_ipv6_socket_whose_address_ends_like_that_of_the_probe_socket_is_not_the_probe_socket():
    other = Row("2001:db8::7f00:1", PROBE_PORTS["tcp"], LISTEN, last_pid=900)
    found = read_listeners(mac((*BUSY, other)), ("tcp",))
    assert (found.complete, PROBE_PORTS["tcp"] in ports(found)) == ({"tcp"}, True)


def test_udp_probe_socket_of_this_process_is_not_a_listener():
    assert PROBE_PORTS["udp"] not in ports(read_listeners(mac(ROWS["udp"], "udp"), ("udp",)))


def test_each_table_is_checked_by_its_own_probe_socket():
    broken = Mac({"udp": (table(ROWS["udp"][1:], "udp"), requested(7, "udp"))})
    found = read_listeners(broken, ("tcp", "udp"))
    assert found.complete == {"tcp"}
    assert {listener.protocol for listener in found.listeners} == {"tcp"}
    assert "net.inet.udp.pcblist_n is not used" in found.problems[0]


def test_table_with_the_options_at_another_position_is_not_used():
    """Listeners without SO_ACCEPTCONN would be missing, except one."""
    rows = [row if row.port == 22 else replace(row, options=0) for row in BUSY]
    assert_unused(mac(rows), "SO_ACCEPTCONN in state LISTEN only")


def test_table_with_the_states_at_another_position_is_not_used():
    """Listeners in another state would be missing, except one."""
    elsewhere = [replace(row, state=ESTABLISHED, options=2) if row.state == LISTEN else row for row in BUSY]
    rows = [row if row.port == 22 else other for row, other in zip(BUSY, elsewhere, strict=True)]
    assert_unused(mac(rows), "SO_ACCEPTCONN in state LISTEN only")


@pytest.mark.parametrize("odd", [replace(LAST, options=0), replace(LAST, state=ESTABLISHED, options=2, remote_port=9)])
def test_one_socket_with_one_sign_of_a_listener_is_a_race_and_not_listed(odd):
    """It starts or stops to listen; the table is used nevertheless."""
    found = read_listeners(mac((*BUSY, odd)), ("tcp",))
    assert (found.complete, 8500 in ports(found), 8080 in ports(found)) == ({"tcp"}, False, True)


OWN = tuple(row for row in TCP if row.uid == UID)
FOREIGN = Row("0.0.0.0", 22, LISTEN, uid=0, last_pid=1)


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        (mac((*OWN, FOREIGN), count=300), "it has 9 of 300 sockets"),
        (mac((*OWN, FOREIGN), sockets=300), "it has 9 of 299 sockets"),
        (mac(OWN), "it has no socket of another user"),
        (mac((*OWN, flow("192.0.2.5", 61000, last_pid=900))), "it has no socket of another user"),
        (mac([replace(row, state=0, options=0) for row in TCP]), "it has no listener"),
        (mac([*(replace(row, state=0, options=0) for row in TCP), replace(LAST, options=0)]), "it has no listener"),
        (mac((*OWN, FOREIGN), name="darwin-27.0-pcblist-filtered"), "since macOS 27, ordinary users see their own"),
    ],
    ids=["count", "size", "user", "flow", "listener", "sign", "release"],
)
def test_each_sign_of_missing_sockets_alone_prevents_a_complete_result(host, reason):
    """Listeners of other users are missing: their sockets were not copied, or states and options are elsewhere.

    A flow has no user: its 0 is not root.
    """
    found = read_listeners(host, ("tcp",))
    assert found.complete == frozenset()
    assert f"net.inet.tcp.pcblist_n may lack sockets: {reason}" in found.problems[0]


def test_filtered_table_still_adds_the_listeners_that_it_has():
    assert ports(read_listeners(mac(OWN, sockets=300), ("tcp",))) == [8080, 8443, 8444, 8081, 8082]


def test_release_that_cannot_be_read_is_no_sign():
    class Unknown(Mac):
        def sysctl(self, name):
            if name == "kern.osrelease":
                raise PermissionError(errno.EPERM, "Operation not permitted")
            return super().sysctl(name)

    assert read_listeners(Unknown(), ("tcp", "udp")).complete == {"tcp", "udp"}


@pytest.mark.parametrize(
    ("release", "is_filtered"), [(b"25.9.9", False), (b"26.0.0", True), (b"27", True), (b"", False), (b"x.1", False)]
)
def test_releases_since_darwin_26_filter_the_table(release, is_filtered):
    class Released(Mac):
        def sysctl(self, name):
            return release if name == "kern.osrelease" else super().sysctl(name)

    assert read_listeners(Released(), ("tcp",)).complete == (frozenset() if is_filtered else {"tcp"})


def test_superuser_of_macos_27_has_the_whole_table():
    rows = [replace(row, uid=0) if row.uid == UID else row for row in BUSY]

    class Superuser(Mac):
        uid = 0

    host = Superuser({"tcp": (table(rows, "tcp"), requested(len(rows), "tcp"))}, "darwin-27.0-pcblist-filtered")
    assert read_listeners(host, ("tcp",)).complete == {"tcp"}


def test_sockets_closed_during_the_copy_are_not_missing():
    """One socket in ten can be opened or closed between the query of the size and the copy."""
    rows = [*BUSY, *(Row("127.0.0.1", 31000 + number, last_pid=900) for number in range(53))]
    assert len(rows) == 90
    found = read_listeners(mac(rows, sockets=100, count=100), ("tcp",))
    assert found.complete == {"tcp"}


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOENT, errno.ENOMEM])
def test_table_that_cannot_be_read_is_a_problem_with_its_reason(number):
    failure = OSError(number, "the reason")
    found = read_listeners(Mac({"tcp": (failure, 0)}), ("tcp", "udp"))
    assert found.complete == {"udp"}
    assert found.problems == ("sysctl net.inet.tcp.pcblist_n is not used: the reason",)


def test_tables_are_not_read_without_a_probe_socket():
    class Full(Mac):
        def held_probes(self):
            raise OSError(errno.EMFILE, "Too many open files")

    found = read_listeners(Full(), ("tcp", "udp"))
    assert (found.listeners, found.complete) == ((), frozenset())
    assert found.problems == ("the tables of sockets are not used: no probe socket (Too many open files)",)


# --- results ---------------------------------------------------------------------------------------------------------

WEB = listening("tcp", "127.0.0.1", 8080)
PREFORK = listening("tcp", "127.0.0.1", 8444)
#: What psutil shows of the processes of alice (501); those of root and the system cannot be inspected.
PROCESSES = {
    1: [],
    210: [],
    333: [],
    410: [],
    650: [],
    701: [],
    900: [
        WEB,
        listening("tcp", "::", 8443),
        listening("tcp", "127.0.0.1", 8081),
        SocketRow("tcp", "ipv6", "fe80::1", 8082, "listen", scope=4),
        listening("udp", "127.0.0.1", 8125),
    ],
    901: [PREFORK],
    902: [PREFORK],
}
REFUSING = frozenset({1, 210, 333, 410, 650, 701})


def search(host, processes=None, *, refusing=REFUSING, **query):
    rows = Rows(PROCESSES if processes is None else processes, refusing=refusing, whole_table_refused=True)
    return changed(BACKEND, table=rows).listeners(host, SocketQuery(**query))


@pytest.mark.parametrize("name", ["darwin-21.6-pcblist", "darwin-24.6-pcblist"])
def test_ordinary_user_sees_all_listeners_with_user_and_possible_owner(name):
    answer = search(RecordedHost(name))
    assert answer.incomplete == ()
    rows = {
        (listener.port, listener.protocol): (
            listener.user,
            [owner.pid for owner in listener.owners],
            [owner.pid for owner in listener.possible_owners],
            listener.hidden,
        )
        for listener in answer
    }
    assert rows == {
        (22, "tcp"): ("root", [], [1], True),
        (631, "tcp"): ("root", [], [410], True),
        (80, "tcp"): ("root", [], [701], True),
        (2049, "tcp"): ("root", [], [], False),
        (5353, "udp"): ("_mdnsresponder", [], [210], True),
        (5432, "tcp"): ("_postgres", [], [650], True),
        (8080, "tcp"): ("alice", [900], [], False),
        (8081, "tcp"): ("alice", [900], [], False),
        (8082, "tcp"): ("alice", [900], [], False),
        (8125, "udp"): ("alice", [900], [], False),
        (8443, "tcp"): ("alice", [900], [], False),
        (8444, "tcp"): ("alice", [902, 901], [], False),
        (61000, "tcp"): (None, [], [333], True),
        (61003, "udp"): (None, [], [333], True),
    }
    [web] = answer.on(80)
    assert (web.dual_stack, web.backlog, web.queued, web.uid) == (True, 511, 2, 0)
    assert [listener.interface for listener in answer.on(8082)] == ["en0"]
    json.dumps(answer.to_dict())


def test_superuser_has_the_facts_of_the_kernel_and_the_owners_of_psutil():
    web, ipp = listening("tcp", "::", 80), listening("tcp", "127.0.0.1", 631)
    processes = {1: [listening("tcp", "0.0.0.0", 22), ipp], 410: [ipp], 701: [web], 702: [web]}
    answer = search(RecordedHost("darwin-24.6-pcblist-root"), processes, refusing=frozenset())
    found = {listener.port: listener for listener in answer if listener.port in (22, 80, 631)}
    assert {port: [owner.pid for owner in listener.owners] for port, listener in found.items()} == {
        22: [1],
        80: [702, 701],
        631: [410, 1],
    }
    assert not any(listener.possible_owners or listener.hidden for listener in found.values())
    assert (found[80].dual_stack, found[80].uid, answer.incomplete) == (True, 0, ())


def test_macos_27_names_the_filter_and_the_remedy_in_incomplete():
    answer = search(RecordedHost("darwin-27.0-pcblist-filtered"))
    assert {listener.port for listener in answer} == {8080, 8081, 8082, 8125, 8443, 8444}
    assert len(answer.incomplete) == 3
    assert all("since macOS 27, ordinary users" in reason for reason in answer.incomplete[:2])
    assert "run as root" in answer.incomplete[2]


def test_macos_27_empty_table_does_not_prove_that_nothing_listens():
    host = RecordedHost("darwin-27.0-pcblist-filtered", taken={("tcp", "ipv4", 22): errno.EADDRINUSE})
    answer = search(host, port=22, protocols=("tcp",))
    assert [(listener.port, listener.hidden, listener.address) for listener in answer] == [(22, True, "")]
    assert any("since macOS 27, ordinary users" in reason for reason in answer.incomplete)


def test_complete_table_does_not_replace_the_bind_probe():
    """Nothing listens on the port by the table; the bind fails, so the result is not empty."""
    host = RecordedHost("darwin-24.6-pcblist", taken={("tcp", "ipv4", 9999): errno.EADDRINUSE})
    assert search(host, port=9999)
    assert {protocol for protocol, *_ in host.bound} == {"tcp", "udp"}
    assert not search(RecordedHost("darwin-24.6-pcblist"), port=9999)


def test_listener_of_the_table_needs_no_bind_probe():
    host = RecordedHost("darwin-24.6-pcblist")
    answer = search(host, port=22, protocols=("tcp",))
    assert [(listener.user, listener.address) for listener in answer] == [("root", "0.0.0.0")]
    assert (host.bound, answer.incomplete) == ([], ())


def test_last_process_that_has_ended_is_not_a_possible_owner():
    answer = search(
        RecordedHost("darwin-24.6-pcblist"), {900: [WEB]}, refusing=frozenset(), port=80, protocols=("tcp",)
    )
    assert [(listener.possible_owners, listener.hidden) for listener in answer] == [((), True)]


def test_process_with_the_pid_of_the_last_one_is_no_owner_if_it_lacks_the_socket():
    """The worker 902 has ended, and its pid belongs to another process of the caller."""
    processes = {**PROCESSES, 902: [listening("udp", "127.0.0.1", 8444)]}
    [listener] = search(RecordedHost("darwin-24.6-pcblist"), processes, port=8444, protocols=("tcp",))
    assert ([owner.pid for owner in listener.owners], listener.possible_owners) == ([901], ())
    alone = {**processes, 901: []}
    [listener] = search(RecordedHost("darwin-24.6-pcblist"), alone, port=8444, protocols=("tcp",))
    assert (listener.owners, listener.possible_owners, listener.hidden) == ((), (), True)


def test_last_process_is_an_owner_if_it_opened_the_socket_during_the_search():
    """The processes were inspected before, so only the second look finds the socket."""

    class Later(Rows):
        def sockets_of(self, pid, protocols):
            found = [] if pid not in self.seen else super().sockets_of(pid, protocols)
            self.seen.add(pid)
            return found

    rows = Later({900: [WEB]}, whole_table_refused=True)
    rows.seen = set()
    query = SocketQuery(8080, ("tcp",))
    [listener] = changed(BACKEND, table=rows).listeners(RecordedHost("darwin-24.6-pcblist"), query)
    assert ([owner.pid for owner in listener.owners], listener.hidden) == ([900], False)


def test_flow_has_its_process_as_possible_owner_without_a_descriptor():
    """A user-space flow is no descriptor of its process, also if that can be inspected."""
    [listener] = search(RecordedHost("darwin-24.6-pcblist"), {333: []}, refusing=frozenset(), port=61000)
    assert ([process.pid for process in listener.possible_owners], listener.hidden) == ([333], True)


def test_sockets_of_a_reuseport_group_are_one_listener():
    group = (Row("::1", 8500, LISTEN, last_pid=900), Row("::1", 8500, LISTEN, last_pid=901, backlog=5, queued=1))
    processes, refusing = {900: [], 901: []}, frozenset({900, 901})
    [listener] = search(mac((*TCP, *group)), processes, refusing=refusing, port=8500, protocols=("tcp",))
    assert [process.pid for process in listener.possible_owners] == [901, 900]
    assert (listener.uid, listener.backlog, listener.queued) == (UID, None, None)


def test_why_busy_has_the_listener_of_another_user():
    rows = Rows(PROCESSES, refusing=frozenset({1}), whole_table_refused=True)
    [bound] = changed(BACKEND, table=rows).sockets_on(RecordedHost("darwin-24.6-pcblist"), PortQuery(22, ("tcp",)))
    assert (bound.state, bound.user, bound.hidden) == ("listen", "root", True)


def test_unusable_table_leaves_the_result_of_psutil():
    answer = search(Mac({"tcp": (bytes(100), 100), "udp": (bytes(100), 100)}))
    assert [listener.port for listener in answer] == [8080, 8081, 8082, 8125, 8443, 8444]
    assert len(answer.incomplete) == 3
    assert "net.inet.tcp.pcblist_n is not used" in answer.incomplete[0]


# --- recorded hosts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", hosts())
def test_recorded_tables_are_those_of_the_generator(name):
    facts, values = hosts()[name]
    assert json.loads((HOSTS / name / "host.json").read_text("utf-8")) == facts
    assert json.loads((HOSTS / name / "sysctl.json").read_text("utf-8")) == values
