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
    hosts,
    probe,
    requested,
    table,
)
from process_rows import Rows, listening
from recorded import RecordedHost

from portrange import ParseError
from portrange._backends import pcblist
from portrange._backends.base import SocketQuery
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
        ("ipv6", "::", 80, 0, True, 0, 701, 511, 2),
        ("ipv4", "127.0.0.1", 8080, 0, False, UID, 900, 128, 0),
        ("ipv6", "::", 8443, 0, False, UID, 900, 128, 0),
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
    ]


def test_dual_stack_of_a_flow_is_unknown():
    found = read_listeners(mac((*TCP, flow("::", 61003, state=LISTEN, vflag=3))), ("tcp",))
    assert [row.dual_stack for row in found.listeners if row.port == 61003] == [None]


def test_flow_can_have_a_socket_type():
    assert 61004 in ports(read_listeners(mac((*TCP, flow("::1", 61004, state=LISTEN, kind=1))), ("tcp",)))


def test_negative_queue_lengths_are_unknown():
    found = read_listeners(mac((*TCP, Row("::1", 8500, LISTEN, queued=-1, backlog=-1))), ("tcp",))
    assert [(row.queued, row.backlog) for row in found.listeners if row.port == 8500] == [(None, None)]


def test_header_alone_is_a_table_without_sockets():
    assert parse_table(table((), "tcp"), "tcp", SOURCE).pcbs == ()


@pytest.mark.parametrize("protocol", ROWS)
def test_table_cut_off_anywhere_raises_parse_error(protocol):
    whole = table(ROWS[protocol], protocol)
    for size in range(len(whole)):
        if size == 24:
            continue  # a table without sockets
        with pytest.raises(ParseError):
            parse_table(whole[:size], protocol, SOURCE)


@pytest.mark.parametrize("length", [0, 1, 7, 8, 23, 25, 75, 103, 2**31, 2**32 - 1])
def test_wrong_length_of_a_record_raises_parse_error(length):
    whole = bytearray(table(TCP, "tcp"))
    struct.pack_into("<I", whole, 24, length)
    with pytest.raises(ParseError):
        parse_table(bytes(whole), "tcp", SOURCE)


@pytest.mark.parametrize("position", [24, 24 + 104, 24 + 104 + 104 + 32 + 32 + 136])
def test_group_without_one_of_its_records_raises_parse_error(position):
    """The first group lacks xinpcb_n, xsocket_n, or xtcpcb_n."""
    whole = bytearray(table(TCP, "tcp"))
    struct.pack_into("<I", whole, position + 4, 0x400)
    with pytest.raises(ParseError):
        parse_table(bytes(whole), "tcp", SOURCE)


def test_second_record_of_a_kind_raises_parse_error():
    whole = bytearray(table(TCP, "tcp"))
    struct.pack_into("<I", whole, 24 + 104 + 104 + 32 + 32 + 4, 0x20)
    with pytest.raises(ParseError, match="one record of each kind"):
        parse_table(bytes(whole), "tcp", SOURCE)


def test_udp_table_needs_no_tcp_records_and_tcp_table_does():
    assert parse_table(table([probe("udp")], "udp"), "udp", SOURCE).groups == 1
    with pytest.raises(ParseError, match="kind 0x20"):
        parse_table(table([probe("udp")], "udp"), "tcp", SOURCE)


@pytest.mark.parametrize("content", [b"", b"\0", bytes(24), b"\x18" + bytes(22), bytes(1 << 26), b"\xff" * (1 << 26)])
def test_other_bytes_raise_parse_error(content):
    with pytest.raises(ParseError) as failure:
        parse_table(content, "tcp", SOURCE)
    assert len(str(failure.value)) < 300


@pytest.mark.parametrize(
    "odd",
    [
        Row("::1", 8500, LISTEN, vflag=0),
        Row("::1", 8500, LISTEN, vflag=8),
        Row("::1", 8500, 11, options=0),
        Row("::1", 8500, -1, options=0),
        Row("::1", 8500, LISTEN, number=17),
        Row("::1", 8500, LISTEN, kind=2),
        Row("::1", 8500, LISTEN, family=10),
        Row("10.0.0.1", 8500, LISTEN, vflag=2),
        Row("::1", 8500, LISTEN, family=0, kind=2),
    ],
    ids=lambda row: f"{row.vflag}-{row.state}-{row.number}-{row.kind}-{row.family}",
)
def test_value_that_the_kernel_does_not_write_makes_the_table_unused(odd):
    found = read_listeners(mac((*TCP, odd)), ("tcp",))
    assert (found.listeners, found.complete) == ((), frozenset())
    assert "is not used: expected a tcp socket" in found.problems[0]


# --- each check alone prevents a wrong result ------------------------------------------------------------------------


def without(check, monkeypatch):
    """Disable one check."""
    monkeypatch.setattr(pcblist, check, lambda *_: None)


@pytest.mark.parametrize(
    "rows",
    [
        TCP[1:],
        (*TCP, probe("tcp")),
        (replace(probe("tcp"), uid=UID + 1), *TCP[1:]),
        (replace(probe("tcp"), last_pid=PID + 1), *TCP[1:]),
        (replace(probe("tcp"), remote_port=9), *TCP[1:]),
        (replace(probe("tcp"), state=2), *TCP[1:]),
        (replace(probe("tcp"), options=2), *TCP[1:]),
        (replace(probe("tcp"), family=30), *TCP[1:]),
        (replace(probe("tcp"), vflag=3), *TCP[1:]),
        (replace(probe("tcp"), address="127.0.0.2"), *TCP[1:]),
    ],
    ids=["missing", "twice", "uid", "pid", "remote", "state", "option", "family", "vflag", "address"],
)
def test_table_without_the_probe_socket_as_bound_is_not_used(rows, monkeypatch):
    found = read_listeners(mac(rows), ("tcp",))
    assert (found.listeners, found.complete) == ((), frozenset())
    assert f"the probe socket on port {PROBE_PORTS['tcp']}" in found.problems[0]
    without("check_probe", monkeypatch)
    assert ports(read_listeners(mac(rows), ("tcp",)))


def test_probe_check_alone_rejects_ports_in_another_byte_order(monkeypatch):
    swapped = mac(TCP, swap_ports=True)
    assert ports(read_listeners(swapped, ("tcp",))) == []
    without("check_probe", monkeypatch)
    assert 8080 not in ports(read_listeners(swapped, ("tcp",)))
    assert 0x901F in ports(read_listeners(swapped, ("tcp",)))


def test_udp_table_is_checked_by_its_own_probe_socket():
    broken = Mac({"udp": (table(ROWS["udp"][1:], "udp"), requested(6, "udp"))})
    found = read_listeners(broken, ("tcp", "udp"))
    assert found.complete == {"tcp"}
    assert {listener.protocol for listener in found.listeners} == {"tcp"}
    assert "net.inet.udp.pcblist_n is not used" in found.problems[0]


def test_states_check_alone_keeps_an_unrecognized_listener_from_being_overlooked(monkeypatch):
    """Two listeners lack SO_ACCEPTCONN: without the check, the result is complete and lacks both."""
    rows = (*TCP, Row("::1", 8500, LISTEN, options=0), Row("::1", 8501, LISTEN, options=0))
    found = read_listeners(mac(rows), ("tcp",))
    assert (found.complete, ports(found)) == (frozenset(), [])
    assert "SO_ACCEPTCONN in state LISTEN only" in found.problems[0]
    without("check_states", monkeypatch)
    found = read_listeners(mac(rows), ("tcp",))
    assert (found.complete, 8500 in ports(found)) == ({"tcp"}, False)


@pytest.mark.parametrize(
    "odd", [Row("::1", 8500, LISTEN, options=0), Row("::1", 8500, ESTABLISHED, options=2, remote_port=9)]
)
def test_one_socket_with_one_sign_of_a_listener_is_a_race_and_not_listed(odd):
    found = read_listeners(mac((*TCP, odd)), ("tcp",))
    assert (found.complete, 8500 in ports(found), 8080 in ports(found)) == ({"tcp"}, False, True)


OWN = tuple(row for row in TCP if row.uid == UID)
FOREIGN = Row("0.0.0.0", 22, LISTEN, uid=0, last_pid=1)


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        (mac((*OWN, FOREIGN), count=300), "it has 8 of 300 sockets"),
        (mac((*OWN, FOREIGN), sockets=300), "it has 8 of 299 sockets"),
        (mac(OWN), "it has no socket of another user"),
        (mac([row for row in TCP if row.state != LISTEN]), "it has no listener"),
        (mac((*OWN, FOREIGN), name="darwin-27.0-pcblist-filtered"), "Darwin 27 filters it"),
    ],
    ids=["count", "size", "user", "listener", "release"],
)
def test_each_sign_of_missing_sockets_alone_prevents_a_complete_result(host, reason, monkeypatch):
    found = read_listeners(host, ("tcp",))
    assert found.complete == frozenset()
    assert f"net.inet.tcp.pcblist_n may lack sockets ({reason}): from macOS 27 on" in found.problems[0]
    without("missing_sockets", monkeypatch)
    assert read_listeners(host, ("tcp",)).complete == {"tcp"}


def test_filtered_table_still_adds_the_listeners_that_it_has():
    assert ports(read_listeners(mac(OWN, sockets=300), ("tcp",))) == [8080, 8443, 8081, 8082]


def test_release_that_cannot_be_read_is_no_sign():
    class Unknown(Mac):
        def sysctl(self, name):
            if name == "kern.osrelease":
                raise PermissionError(errno.EPERM, "Operation not permitted")
            return super().sysctl(name)

    assert read_listeners(Unknown(), ("tcp", "udp")).complete == {"tcp", "udp"}


def test_sockets_opened_during_the_copy_are_not_missing():
    """One socket in ten can be opened or closed between the two calls, and new ones are skipped."""
    rows = [*TCP, *(Row("127.0.0.1", 30000 + number, last_pid=900) for number in range(80))]
    found = read_listeners(mac(rows, sockets=100), ("tcp",))
    assert found.complete == {"tcp"}
    assert 5432 not in ports(found)
    assert [row.generation for row in TCP if row.port == 5432] == [GENERATION + 1]


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
#: What psutil shows of the processes of alice (501): 900 has the listener 8080, root's processes cannot be inspected.
PROCESSES = {
    1: [],
    210: [],
    333: [],
    701: [],
    900: [WEB, SocketRow("tcp", "ipv6", "fe80::1", 8082, "listen", scope=4)],
}


def search(host, processes=None, *, refusing=frozenset({1, 210, 333, 701}), **query):
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
        (80, "tcp"): ("root", [], [701], True),
        (2049, "tcp"): ("root", [], [], False),
        (5353, "udp"): ("_mdnsresponder", [], [210], True),
        (8080, "tcp"): ("alice", [900], [], False),
        (8081, "tcp"): ("alice", [], [900], True),
        (8082, "tcp"): ("alice", [900], [], False),
        (8125, "udp"): ("alice", [], [900], True),
        (8443, "tcp"): ("alice", [], [900], True),
        (61000, "tcp"): (None, [], [333], True),
    }
    [web] = answer.on(80)
    assert (web.dual_stack, web.backlog, web.queued, web.uid) == (True, 511, 2, 0)
    assert [listener.interface for listener in answer.on(8082)] == ["en0"]
    json.dumps(answer.to_dict())


def test_superuser_has_the_facts_of_the_kernel_and_the_owners_of_psutil():
    processes = {701: [listening("tcp", "::", 80)], 702: [listening("tcp", "::", 80)]}
    answer = search(RecordedHost("darwin-24.6-pcblist-root"), processes, refusing=frozenset())
    [web] = answer.on(80)
    assert ([owner.pid for owner in web.owners], web.possible_owners, web.hidden) == ([702, 701], (), False)
    assert (web.dual_stack, web.uid, answer.incomplete) == (True, 0, ())


def test_macos_27_names_the_filter_and_the_remedy_in_incomplete():
    answer = search(RecordedHost("darwin-27.0-pcblist-filtered"))
    assert {listener.port for listener in answer} == {8080, 8081, 8082, 8125, 8443}
    assert len(answer.incomplete) == 3
    assert all("from macOS 27 on" in reason for reason in answer.incomplete[:2])
    assert "run as root" in answer.incomplete[2]


def test_macos_27_empty_table_does_not_prove_that_nothing_listens():
    host = RecordedHost("darwin-27.0-pcblist-filtered", taken={("tcp", "ipv4", 22): errno.EADDRINUSE})
    answer = search(host, port=22, protocols=("tcp",))
    assert [(listener.port, listener.hidden, listener.address) for listener in answer] == [(22, True, "")]
    assert any("from macOS 27 on" in reason for reason in answer.incomplete)


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
    answer = search(RecordedHost("darwin-24.6-pcblist"), {900: [WEB]}, port=80, protocols=("tcp",))
    assert [(listener.possible_owners, listener.hidden) for listener in answer] == [((), True)]


def test_sockets_of_a_reuseport_group_are_one_listener():
    group = (Row("::1", 8500, LISTEN, last_pid=900), Row("::1", 8500, LISTEN, last_pid=901, backlog=5, queued=1))
    answer = search(mac((*TCP, *group)), {900: [], 901: []}, port=8500, protocols=("tcp",))
    [listener] = answer
    assert [process.pid for process in listener.possible_owners] == [901, 900]
    assert (listener.uid, listener.backlog, listener.queued) == (UID, None, None)


def test_why_busy_has_the_listener_of_another_user():
    rows = Rows(PROCESSES, refusing=frozenset({1}), whole_table_refused=True)
    [bound] = changed(BACKEND, table=rows).bound_sockets(RecordedHost("darwin-24.6-pcblist"), "tcp", 22)
    assert (bound.state, bound.user, bound.hidden) == ("listen", "root", True)


def test_unusable_table_leaves_the_result_of_psutil():
    answer = search(Mac({"tcp": (bytes(100), 100), "udp": (bytes(100), 100)}))
    assert [listener.port for listener in answer] == [8080, 8082]
    assert len(answer.incomplete) == 3
    assert "net.inet.tcp.pcblist_n is not used" in answer.incomplete[0]


# --- recorded hosts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", hosts())
def test_recorded_tables_are_those_of_the_generator(name):
    facts, values = hosts()[name]
    assert json.loads((HOSTS / name / "host.json").read_text("utf-8")) == facts
    assert json.loads((HOSTS / name / "sysctl.json").read_text("utf-8")) == values
