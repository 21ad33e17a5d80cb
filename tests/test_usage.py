"""Ephemeral port usage without a kernel: reports, and counting of netlink replies and socket rows."""

from __future__ import annotations

import json
import pickle
import re
import struct
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import inet_diag
import pytest
from process_rows import Rows
from recorded import RecordedHost

import portrange
from portrange import Destination, EphemeralRange, EphemeralUsage, LocalAddress, SocketOwner, Span
from portrange._answers.usage import _summary
from portrange._backends.linux import sock_diag
from portrange._backends.linux import usage as linux_usage
from portrange._backends.linux.sock_diag import Address, SocketFilter
from portrange._backends.linux.usage import Reuse
from portrange._backends.occupancy import Occupancy, SocketEntry
from portrange._backends.portable import ONE_BY_ONE, WHOLE_TABLE
from portrange._backends.portable.psutil_table import SocketRow
from portrange._backends.portable.range_use import ephemeral_usage as portable_usage
from portrange._frozen import replace
from portrange._render import picture

POOL = EphemeralRange(40000, 40099, source="an example")
V6_POOL = EphemeralRange(50000, 50009, family="ipv6", source="an example")


def destination(
    sockets: int, *, time_wait: int = 0, reusable: int = 0, port: int = 443, limit: int = 100
) -> Destination:
    return Destination("ipv4", "10.0.0.5", "192.0.2.1", port, sockets, time_wait, reusable, limit)


def usage(*destinations: Destination, used: int | None = None, **facts: object) -> EphemeralUsage:
    taken = max((target.sockets for target in destinations), default=0) if used is None else used
    result = EphemeralUsage(
        protocol="tcp",
        platform="linux",
        pool=POOL,
        size=100,
        used=taken,
        waiting=0,
        destinations=destinations,
        destination_count=len(destinations),
        addresses=(LocalAddress("ipv4", "10.0.0.5", taken, 100),) if taken else (),
    )
    return replace(result, **facts)


def summary(answer: EphemeralUsage) -> str:
    return _summary(answer)


# --- report ---------------------------------------------------------------------------------------------------------


def test_destination_free_share_and_endpoint():
    target = destination(80, time_wait=30, reusable=10)
    assert (target.free, target.share) == (30, 0.7)
    assert destination(100).free == 0
    assert destination(5, limit=0).share == 1.0
    assert destination(120).free == 0
    assert str(target) == "10.0.0.5 to 192.0.2.1:443: 80 of 100 ports"
    assert replace(target, family="ipv6", address="2001:db8::1").endpoint == "[2001:db8::1]:443"
    assert replace(target, family="ipv6", address="fe80::1", interface="eth0").endpoint == "[fe80::1%eth0]:443"
    assert replace(target, interface="eth0").endpoint == "192.0.2.1%eth0:443"


def test_local_address_free_share_and_place():
    local = LocalAddress("ipv4", "10.0.0.5", 25, 100)
    assert (local.free, local.share, str(local)) == (75, 0.25, "10.0.0.5: 25 of 100 ports")
    zoned = LocalAddress("ipv6", "fe80::1", 100, 100, "eth0")
    assert (zoned.place, str(zoned)) == ("fe80::1%eth0", "fe80::1%eth0: 100 of 100 ports")
    assert "Binding port 0 on fe80::1%eth0 fails" in summary(usage(used=100, addresses=(zoned,)))


@pytest.mark.parametrize(
    ("answer", "exhausted"),
    [
        (usage(), False),
        (usage(destination(99)), False),
        (usage(destination(100)), True),
        (usage(destination(90), destination(9, port=80, limit=9), used=95), True),
        (usage(destination(100, time_wait=100, reusable=100), used=99), False),
        (usage(used=100), True),
        (usage(size=0), True),
        (usage(destination(100), used=99, protocol="udp"), False),
        (usage(used=100, protocol="udp"), True),
    ],
)
def test_exhausted_is_true_if_a_destination_or_the_whole_range_is_full(answer: EphemeralUsage, exhausted: bool):  # noqa: FBT001 - a table
    assert answer.exhausted is exhausted


def test_usage_survives_json_and_pickle():
    answer = usage(
        destination(100, time_wait=40), states=(("established", 60), ("time-wait", 40)), incomplete=("a gap",)
    )
    data = json.loads(json.dumps(answer.to_dict()))
    assert data["destinations"][0]["free"] == 0
    assert data["errors"] == [["connect", "EADDRNOTAVAIL"], ["bind", "EADDRINUSE"], ["listen", "EADDRINUSE"]]
    assert data["states"] == [["established", 60], ["time-wait", 40]]
    assert (data["exhausted"], data["share"], data["incomplete"]) == (True, 1.0, ["a gap"])
    assert pickle.loads(pickle.dumps(answer)) == answer
    assert hash(answer) == hash(pickle.loads(pickle.dumps(answer)))


def test_str_names_the_fullest_destination():
    assert str(usage(destination(7))) == (
        "tcp: 7 of 100 ephemeral ports in use; fullest: 10.0.0.5 to 192.0.2.1:443: 7 of 100 ports"
    )
    assert str(usage()) == "tcp: 0 of 100 ephemeral ports in use"


def test_errno_is_named_only_on_platforms_where_it_is_known():
    assert dict(usage(platform="darwin").errors) == {"connect": "EADDRNOTAVAIL", "bind": "EADDRNOTAVAIL"}
    assert usage(platform="win32").errors == ()
    text = summary(usage(destination(100), platform="win32"))
    assert "another such connect() fails." in text
    assert "Binding port 0 on 10.0.0.5 fails." in text
    assert "IP_BIND_ADDRESS_NO_PORT" not in text


# --- explain --------------------------------------------------------------------------------------------------------


def test_explain_idle_host():
    assert summary(usage()) == (
        "0 of the 100 ephemeral TCP ports (40000-40099; an example) are in use (0.0 %): no limit is near."
    )


def test_explain_busy_host_shows_figures_that_add_up():
    text = usage(destination(40, time_wait=30, reusable=5)).explain()
    assert text.splitlines() == [
        "40 of the 100 ephemeral TCP ports (40000-40099; an example) are in use (40 %): no limit is near.",
        "",
        "DESTINATION    FROM      LIVE  TIME-WAIT  IN USE   OF  SHARE",
        "192.0.2.1:443  10.0.0.5    10         25      35  100   35 %",
    ]


def test_explain_full_destination_has_facts_and_remedies_as_bullets():
    text = usage(destination(100), by_owner=(SocketOwner(100, 0, 0, "root"),)).explain(60)
    assert (
        text
        == """\
All 100 ephemeral TCP ports (40000-40099; an example) are in
use: no port is left for 1 destination.

DESTINATION    FROM      LIVE  TIME-WAIT  IN USE   OF  SHARE
192.0.2.1:443  10.0.0.5   100          0     100  100  100 %

Sockets by owner: user root 100.

- Connections from 10.0.0.5 to 192.0.2.1:443 use all 100
  ports that are available to them (all live): another such
  connect() fails with EADDRNOTAVAIL.
- Connections to another address or port can use the same
  ports again, except for ports that a program bound before
  it connected; the system does not show which ports those
  are.
- Binding port 0 on 10.0.0.5 fails with EADDRINUSE.

Remedies:
- use fewer connections at a time (keep-alive, a connection
  pool), or more source or destination addresses
- set IP_BIND_ADDRESS_NO_PORT in programs that bind an
  address before they connect
- widen the range in an example"""
    )


@pytest.mark.parametrize(
    ("time_wait", "sockets", "remedy"),
    [
        (0, "(all live)", "use fewer connections at a time (keep-alive, a connection pool)"),
        (49, "(51 live, 49 in TIME-WAIT)", "use fewer connections at a time"),
        (50, "(50 live, 50 in TIME-WAIT)", "keep connections open for the next request"),
        (100, "(all in TIME-WAIT)", "keep connections open for the next request"),
    ],
)
def test_explain_remedy_depends_on_time_wait(time_wait: int, sockets: str, remedy: str):
    text = summary(usage(destination(100, time_wait=time_wait)))
    assert (
        f"use all 100 ports that are available to them {sockets}: another such connect() fails with EADDRNOTAVAIL."
        in text
    )
    assert f"Remedies: {remedy}" in text
    assert ("tcp_tw_reuse" in text) == (time_wait >= 50)
    assert text.endswith("widen the range in an example.")


def test_explain_warns_before_exhaustion():
    text = summary(usage(destination(85), destination(81, port=80), destination(79, port=22)))
    assert "use 85 of the 100 ports that are available to them (all live). 1 more destination is nearly full." in text
    assert "fails" not in text
    assert "Remedies" in text


def test_explain_names_the_largest_owners():
    owners = (
        SocketOwner(1200, 3, 33, "www", "web.service"),
        SocketOwner(40, 0, 0, "root", "docker.scope", "a1" * 32),
        SocketOwner(7, 0, 1234),
        SocketOwner(1, 0, None, None, "x\x1b.service"),
    )
    text = summary(usage(destination(10), by_owner=owners))
    start = "Sockets by owner: web.service (user www) 1,200, container a1a1a1a1a1a1 (user root) 40, user 1234 7, 1 more"
    assert f"{start} owner." in text
    assert "Sockets by owner: web.service (user www) 1,200." in summary(usage(by_owner=owners[:1]))
    assert "owner" not in summary(usage(by_owner=()))
    assert str(owners[3]) == r"x\x1b.service: 1 socket"
    assert SocketOwner(5).name == "no user"


def test_explain_counts_other_full_destinations():
    many = [destination(100, port=port) for port in range(1, 4)]
    assert "2 more destinations are full." in summary(usage(*many))


def test_explain_counts_ports_of_unconnected_sockets():
    assert "3 of them belong to listening or bound sockets; connections cannot use those." in summary(
        usage(waiting=3, used=3)
    )
    assert "1 of them belongs to a listening or bound socket; connections cannot use it." in summary(
        usage(waiting=1, used=1)
    )


def test_explain_lists_incomplete_reasons():
    assert summary(usage(incomplete=("the moon",))).endswith("Incomplete: the moon.")


def test_explain_assumed_range_names_no_setting():
    assert summary(usage(destination(100), pool=replace(POOL, assumed=True))).endswith("widen the ephemeral range.")


def test_explain_names_a_separate_ipv6_range():
    assert "(40000-40099, and 50000-50009 for IPv6; an example)" in summary(usage(pool_ipv6=V6_POOL))


def test_explain_table_counts_omitted_destinations():
    answer = usage(destination(100, time_wait=40), destination(7, port=80), destination_count=12)
    table = answer.explain().split("\n\n")[1].splitlines()
    assert table[0].split() == ["DESTINATION", "FROM", "LIVE", "TIME-WAIT", "IN", "USE", "OF", "SHARE"]
    assert table[1].split() == ["192.0.2.1:443", "10.0.0.5", "60", "40", "100", "100", "100", "%"]
    assert table[2].split() == ["192.0.2.1:80", "10.0.0.5", "7", "0", "7", "100", "7.0", "%"]
    assert table[3] == "and 10 more destinations"


def test_explain_table_leaves_out_destinations_with_reusable_ports_only():
    reusable = destination(3, time_wait=3, reusable=3, port=80)
    assert usage(reusable).explain().split("\n\n")[1:] == ["1 destination, with reusable ports only (TIME-WAIT)"]
    table = usage(destination(1), reusable).explain().split("\n\n")[1].splitlines()
    assert len(table) == 3
    assert table[2] == "and 1 more destination, with reusable ports only (TIME-WAIT)"
    assert "192.0.2.1:80" not in usage(destination(1), reusable)._repr_html_()


def test_explain_wraps_lines_but_not_ranges():
    lines = usage(destination(100)).explain(60).splitlines()
    assert max(map(len, lines)) <= 60
    assert "40000-40099;" in lines[0]


# --- notebook -------------------------------------------------------------------------------------------------------


def test_repr_html_has_a_bar_for_each_destination_worst_first_with_its_limit():
    html = usage(destination(100), destination(85, port=80), destination(1, port=22))._repr_html_()
    assert re.findall(r"(?<!-)width:([\d.]+)%", html) == ["100.00", "85.00", "1.00"]
    labels = [f"10.0.0.5 → 192.0.2.1:{port}: {used} of 100 ports" for port, used in ((443, 100), (80, 85), (22, 1))]
    places = [html.index(label) for label in labels]
    assert places == sorted(places)
    assert "<table" in html


@pytest.mark.parametrize(
    ("used", "verdict"), [(100, "no port is left for "), (85, "a limit is near"), (1, "no limit is near")]
)
def test_repr_html_begins_with_the_verdict(used, verdict):
    assert f">{verdict}" in usage(destination(used))._repr_html_().partition("</p>")[0]


def test_full_address_prevents_bind_alone():
    """connect() without bind() chooses the port for its destination."""
    assert ">no port is left for bind()" in usage(destination(99), used=100)._repr_html_()


def test_repr_html_has_no_bars_without_destinations():
    assert "Ports in use by destination" in usage(destination(1))._repr_html_()
    assert "Ports in use by destination" not in usage()._repr_html_()


def test_bars_with_any_label_are_well_formed():
    bars = [picture.Bar("<script>&\x1b[31m" + "x" * 200, 2.0, "all"), picture.Bar("'", -1.0, "<none>")]
    drawing = picture.bars('a "title" <b>', bars)
    assert {element.tag for element in ET.fromstring(drawing).iter()} == {"div"}
    assert "\x1b" not in drawing
    assert re.findall(r"(?<!-)width:([\d.]+)%", drawing) == ["100.00", "0.00"]


# --- counting netlink replies ---------------------------------------------------------------------------------------

SEQUENCE = 7


def packed(address: str) -> bytes:
    import socket

    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def message(
    port: int,
    *,
    local: str = "10.0.0.5",
    remote: str = "192.0.2.1",
    to: int = 443,
    state: int = 1,
    expires: int = 0,
    interface: int = 0,
) -> bytes:
    """Encode a socket of a reply as in linux/inet_diag.h, followed by an attribute."""
    values = {"state": state, "interface": interface, "expires": expires, "inode": 0}
    body = inet_diag.socket_body(local, port, remote, to, **values, attributes=inet_diag.attribute(8, b"\0"))
    return inet_diag.message(body, SEQUENCE)


def reply(*messages: bytes) -> list[bytes]:
    return [b"".join(messages), inet_diag.done(SEQUENCE)]


IN_RANGE = Occupancy("tcp", "linux", {"ipv4": POOL, "ipv6": POOL}).in_range["ipv4"]
EMPTY = linux_usage.Tables()


def listen_on(*endpoints: tuple[str, int], interface: int = 0) -> linux_usage.Tables:
    """Return the tables of sockets that listen on *endpoints*."""
    listening = (
        message(port, local=address, remote="::" if ":" in address else "0.0.0.0", to=0, state=10, interface=interface)
        for address, port in endpoints
    )
    return linux_usage.count_unconnected(reply(*listening), SEQUENCE, IN_RANGE)


def test_sockets_are_counted_by_destination():
    tables = linux_usage.count_connected(
        reply(message(40000), message(40001), message(40001, to=80), message(39999), message(40100), message(40002)),
        SEQUENCE,
        IN_RANGE,
        EMPTY,
        0,
    )
    table = tables[linux_usage.AF_INET]
    assert sorted(int.from_bytes(key[:2], "big") for key in table) == [80, 443]
    assert sorted(sum(counts) for counts, _ in table.values()) == [1, 3]
    [in_use] = table.places.values()
    assert [port for port in range(1 << 16) if in_use[port]] == [40000, 40001, 40002]
    assert not tables[linux_usage.AF_INET6]


@pytest.mark.parametrize(("expires", "reusable"), [(59_001, 0), (59_000, 1), (0, 1)])
def test_time_wait_is_reusable_after_one_second(expires: int, reusable: int):
    found = linux_usage.count_connected(
        reply(message(40000, state=6, expires=expires)), SEQUENCE, IN_RANGE, EMPTY, 59_000
    )
    [(counts, _)] = found[linux_usage.AF_INET].values()
    assert (counts[linux_usage.REUSABLE], counts[6]) == (reusable, 1)


def test_accepted_connections_are_counted_separately():
    many = [message(40000, to=number) for number in range(1000, 1100)]
    listeners = listen_on(("10.0.0.5", 40000))
    table = linux_usage.count_connected(reply(*many), SEQUENCE, IN_RANGE, listeners, 0)[linux_usage.AF_INET]
    assert not table
    assert table.accepted[0][1] == 100


IPV4, IPV6, MAPPED = "10.0.0.5", "2001:db8::5", "::ffff:10.0.0.5"


@pytest.mark.parametrize(
    ("listening", "connected", "accepted"),
    [
        (IPV4, IPV4, True),
        ("0.0.0.0", IPV4, True),
        ("10.0.0.6", IPV4, False),
        (IPV6, IPV6, True),
        ("::", IPV6, True),
        ("2001:db8::6", IPV6, False),
        (IPV4, IPV6, False),
        ("0.0.0.0", IPV6, False),
        (IPV6, IPV4, False),
        ("::", MAPPED, True),
        (MAPPED, MAPPED, True),
        ("::ffff:0.0.0.0", MAPPED, True),
        ("::ffff:0.0.0.0", IPV6, False),
        # AF_INET connections are accepted by AF_INET sockets only.
        ("::", IPV4, False),
        (IPV4, MAPPED, False),
    ],
)
def test_connection_is_accepted_if_a_listener_covers_its_address(listening: str, connected: str, accepted: bool):  # noqa: FBT001 - a table
    found = linux_usage.count_connected(
        reply(message(40000, local=connected, remote=connected)), SEQUENCE, IN_RANGE, listen_on((listening, 40000)), 0
    )
    [table] = [table for table in found.values() if table or table.accepted[0][1]]
    assert table.accepted[0][1] == accepted
    assert [sum(counts) for counts, _ in table.values()] == [1] * (not accepted)
    assert list(table.shared.values()) == [1] * (not accepted)


@pytest.mark.parametrize(
    ("listening", "connected", "accepted"), [(0, 0, True), (0, 7, True), (7, 7, True), (7, 0, False), (7, 8, False)]
)
def test_listener_bound_to_an_interface_accepts_only_there(listening: int, connected: int, accepted: bool):  # noqa: FBT001 - a table
    ends = {"local": "fe80::5", "remote": "fe80::1", "interface": connected}
    listeners = listen_on(("fe80::5", 40000), interface=listening)
    table = linux_usage.count_connected(reply(message(40000, **ends)), SEQUENCE, IN_RANGE, listeners, 0)[
        linux_usage.AF_INET6
    ]
    assert table.accepted[0][1] == accepted


def test_sockets_are_counted_by_user_and_cgroup():
    def owned(port: int, *, state: int = 1, uid: int = 1000, inode: int = 7, group: int | None = 5) -> bytes:
        whole = bytearray(message(port, state=state))
        whole[16 + 64 : 16 + 72] = struct.pack("=II", uid, inode)
        if group is not None:
            whole += struct.pack("=HHQ", 12, 21, group)
        whole[:4] = struct.pack("=I", len(whole))
        return bytes(whole)

    sockets = [
        owned(40000),
        owned(40001, inode=8),
        owned(40002, uid=0),
        owned(40003, group=None),
        owned(40004, inode=0),  # closed by its program
        owned(40005, inode=0, uid=0, group=None, state=3),  # not complete
        owned(40006, inode=0, state=6),  # TIME-WAIT
        owned(39999),  # outside of the range
    ]
    found = linux_usage.count_connected(reply(*sockets), SEQUENCE, IN_RANGE, EMPTY, 0)
    assert found.owners(connected=True) == {
        (1000, 5, False): 2,
        (0, 5, False): 1,
        (1000, None, False): 1,
        (None, 5, False): 1,
    }


def test_time_wait_on_a_listening_port_is_not_reusable():
    found = linux_usage.count_connected(
        reply(message(40000, state=6)), SEQUENCE, IN_RANGE, listen_on(("10.0.0.6", 40000)), 59_000
    )
    [(counts, _)] = found[linux_usage.AF_INET].values()
    assert (counts[linux_usage.REUSABLE], counts[6]) == (0, 1)


def test_interfaces_are_separate_destinations():
    ends = {"local": "fe80::5", "remote": "fe80::1"}
    sockets = [message(40000 + n, **ends, interface=7 + n % 2) for n in range(4)]
    table = linux_usage.count_connected(reply(*sockets), SEQUENCE, IN_RANGE, EMPTY, 0)[linux_usage.AF_INET6]
    assert [sum(counts) for counts, _ in table.values()] == [2, 2]


def test_ipv4_mapped_sockets_are_counted_as_ipv4():
    tables = linux_usage.count_connected(
        reply(
            message(40000),
            message(40001, local="::ffff:10.0.0.5", remote="::ffff:192.0.2.1"),
            message(40002, local="2001:db8::5", remote="2001:db8::1"),
        ),
        SEQUENCE,
        IN_RANGE,
        listen_on(("10.0.0.6", 40001)),
        0,
    )
    linux_usage.move_mapped(tables)
    assert list(tables[linux_usage.AF_INET].shared.values()) == [1]
    assert not tables[linux_usage.AF_INET6].shared
    assert [sum(counts) for counts, _ in tables[linux_usage.AF_INET].values()] == [2]
    assert [sum(counts) for counts, _ in tables[linux_usage.AF_INET6].values()] == [1]


def test_unknown_family_raises_parse_error():
    corrupted = bytearray(message(40000))
    corrupted[16] = 1
    expected = "NETLINK_SOCK_DIAG: expected a socket of AF_INET or AF_INET6, found 'a socket of address family 1'"
    with pytest.raises(portrange.ParseError, match=f"^{expected}$"):
        linux_usage.count_connected(reply(bytes(corrupted)), SEQUENCE, IN_RANGE, EMPTY, 0)


def test_thousands_of_local_addresses_use_little_memory():
    import tracemalloc

    addresses = [f"10.{number >> 8}.{number & 255}.1" for number in range(3000)]
    datagrams = reply(*(message(40000, local=address) for address in addresses))
    tracemalloc.start()
    table = linux_usage.count_connected(datagrams, SEQUENCE, IN_RANGE, EMPTY, 0)[linux_usage.AF_INET]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(table) == len(table.places) == 3000
    assert peak < 12_000_000


def test_span_is_encoded_as_kernel_bytecode():
    wanted = SocketFilter("tcp", frozenset({10}))
    plain = sock_diag.request(wanted, "ipv4", SEQUENCE)
    encoded = sock_diag.request(wanted, "ipv4", SEQUENCE, span=Span(40000, 40099))
    assert struct.unpack_from("=I", encoded)[0] == len(encoded) == len(plain) + 20
    assert encoded[4 : len(plain)] == plain[4:]
    assert struct.unpack_from("=HH BBH BBH BBH BBH", encoded, len(plain)) == (
        *(20, 1),
        *(2, 8, 20, 0, 0, 40000),
        *(3, 8, 12, 0, 0, 40099),
    )


def test_request_for_both_families_has_the_legacy_layout():
    encoded = sock_diag.request_tcp(SocketFilter("tcp", frozenset({1, 10})), SEQUENCE)
    length, kind, _, number, _ = struct.unpack_from("=IHHII", encoded)
    assert (length, kind, number) == (len(encoded), 18, SEQUENCE)
    assert len(encoded) == 16 + 4 + 48 + 8
    assert struct.unpack_from("=II", encoded, 16 + 4 + 48) == (1 << 1 | 1 << 10, 0)


def test_time_wait_reuse_distinguishes_loopback():
    loopback4, remote, loopback6 = Address(b"\x7f\0\0\1", 0), Address(b"\x0a\0\0\5", 0), Address(bytes(15) + b"\1", 0)
    always, on_loopback, never = Reuse(True, True, 0), Reuse(False, True, 0), Reuse(False, False, 0)
    assert always.applies_to(remote, remote)
    assert on_loopback.applies_to(remote, loopback4)
    assert on_loopback.applies_to(loopback6, loopback6)
    assert not on_loopback.applies_to(remote, remote)
    assert not never.applies_to(loopback4, loopback4)


def test_unreadable_settings_disable_time_wait_reuse():
    assert Reuse.of(RecordedHost("linux-6.18-denied")) == Reuse(False, False, 58_988)


# --- counting rows --------------------------------------------------------------------------------------------------


def sighting(port: int, *, address: str = "10.0.0.5", state: str = "established", to: int = 443) -> SocketEntry:
    family = "ipv6" if ":" in address else "ipv4"
    return SocketEntry(family, address, port, state, "192.0.2.1" if to else "", to)


POOLS = {"ipv4": POOL, "ipv6": POOL}


def test_ranges_of_both_families_are_counted_separately():
    occupancy = Occupancy("tcp", "netbsd", {"ipv4": POOL, "ipv6": V6_POOL})
    sockets = [sighting(40000), sighting(50000), sighting(50000, address="2001:db8::5"), sighting(40001, address="::1")]
    answer = occupancy.count(sockets)
    assert (answer.size, answer.used, answer.pool, answer.pool_ipv6) == (110, 2, POOL, V6_POOL)
    assert [(target.source, target.sockets, target.limit) for target in answer.destinations] == [
        ("2001:db8::5", 1, 10),
        ("10.0.0.5", 1, 100),
    ]


def test_only_the_fullest_destinations_are_listed():
    occupancy = Occupancy("tcp", "linux", {"ipv4": POOL, "ipv6": POOL})
    answer = occupancy.count(
        [sighting(40000 + n, to=1 + n * (n < 3) // 2) for n in range(50)]
        + [sighting(40000, to=5000 + n) for n in range(30)]
    )
    assert answer.destination_count == len({1, 2} | {5000 + n for n in range(30)})
    assert len(answer.destinations) == 10
    assert answer.destinations[0].sockets >= 48
    assert [target.share for target in answer.destinations] == sorted(
        (target.share for target in answer.destinations), reverse=True
    )


def test_fullest_destination_has_the_fewest_free_ports():
    occupancy = Occupancy("tcp", "netbsd", {"ipv4": POOL, "ipv6": V6_POOL})
    answer = occupancy.count(
        [sighting(40000 + n, to=1000 + to) for to in range(10) for n in range(20)]
        + [sighting(50000 + n, address="2001:db8::5") for n in range(10)]
    )
    assert (answer.destination_count, len(answer.destinations)) == (11, 10)
    assert (answer.destinations[0].source, answer.destinations[0].free) == ("2001:db8::5", 0)


@pytest.mark.parametrize(
    ("listening", "accepted"),
    [("10.0.0.5", True), ("0.0.0.0", True), ("::", True), ("10.0.0.6", False), ("::1", False)],
)
def test_row_is_accepted_if_a_listener_covers_its_address(listening: str, accepted: bool):  # noqa: FBT001 - a table
    occupancy = Occupancy("tcp", "linux", {"ipv4": POOL, "ipv6": POOL})
    family = "ipv6" if ":" in listening else "ipv4"
    listener = SocketEntry(family, listening, 40000, "listen", dual_stack=listening == "::")
    answer = occupancy.count([listener, sighting(40000), sighting(40001)])
    # A listener on another address blocks its port for new connections, but not for the existing one.
    assert [(target.sockets, target.limit, target.free) for target in answer.destinations] == [
        (1, 99, 98) if accepted else (2, 100, 98)
    ]


@pytest.mark.parametrize(("platform", "free"), [("linux", 98), ("darwin", None)])
def test_ipv6_connections_block_the_ipv4_wildcard_on_linux(platform: str, free: int | None):
    occupancy = Occupancy("tcp", platform, {"ipv4": POOL, "ipv6": POOL})
    connections = [sighting(40000, address="2001:db8::5"), sighting(40001, address="2001:db8::5")]
    addresses = {local.address: local.free for local in occupancy.count(connections).addresses}
    assert addresses == {"::": 98, "2001:db8::5": 98} | ({} if free is None else {"0.0.0.0": free})


def test_ipv4_wildcard_with_possibly_free_ports_is_incomplete():
    over_ipv6 = [sighting(40000 + n, address="2001:db8::5") for n in range(100)]
    for sightings, expected in (
        (over_ipv6[1:], 0),
        (over_ipv6, 1),
        ([*over_ipv6, *(sighting(40000 + n) for n in range(99))], 1),
        ([*over_ipv6, *(sighting(40000 + n) for n in range(100))], 0),
    ):
        reasons = Occupancy("tcp", "linux", POOLS).count(sightings).incomplete
        assert ["0.0.0.0" in reason for reason in reasons] == [True] * expected


def test_unknown_socket_details_are_incomplete_only_in_the_range():
    def reasons(*sightings: SocketEntry) -> list[str]:
        return [reason.split(" ")[0] for reason in Occupancy("tcp", "linux", POOLS).count(sightings).incomplete]

    unknown = SocketEntry("ipv6", "::", 40000, "listen", dual_stack=None)
    link_local = SocketEntry("ipv6", "fe80::5", 40001, "established", "fe80::1", 443)
    assert reasons(unknown, link_local) == ["IPV6_V6ONLY", "interfaces"]
    assert reasons(replace(unknown, dual_stack=False), replace(link_local, interface="eth0")) == []
    assert reasons(replace(unknown, port=80), replace(link_local, port=80)) == []
    assert reasons(SocketEntry("ipv6", "fe8::5", 40001, "established", "fe8::1", 443)) == []


#: 127.0.0.1 as the kernel prints it: a number in the byte order of the machine.
LOOPBACK = f"{struct.unpack('=I', bytes([127, 0, 0, 1]))[0]:08X}"
TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:9C43 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1
   1: 0100007F:9C40 0100007F:2329 01 00000000:00000000 00:00000000 00000000     0        0 12 1
   2: 0100007F:9C41 0100007F:2329 06 00000000:00000000 03:00000000 00000000     0        0 0 3
   3: 0100007F:9C43 0100007F:238C 01 00000000:00000000 00:00000000 00000000     0        0 13 1
   4: 0100007F:2329 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 14 1
""".replace("0100007F", LOOPBACK)


def test_host_without_sock_diag_uses_the_proc_tables(tmp_path: Path):
    files = {
        "host.json": '{"platform": "linux"}',
        "files/proc/net/tcp": TABLE,
        "files/proc/sys/net/ipv4/ip_local_port_range": "40000\t40099\n",
        "files/proc/sys/net/ipv4/ip_local_reserved_ports": "\n",
        "files/proc/sys/kernel/osrelease": "6.18.44\n",
    }
    for name, text in files.items():
        path = tmp_path / "small" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    answer = portrange.ephemeral_usage(host=RecordedHost("small", hosts=tmp_path))
    assert (answer.used, answer.waiting) == (3, 1)
    assert answer.states == (("established", 2), ("listen", 1), ("time-wait", 1))
    [target] = answer.destinations
    assert (target.endpoint, target.sockets, target.time_wait, target.limit) == ("127.0.0.1:9001", 2, 1, 99)
    assert [reason.partition(":")[0].partition(",")[0] for reason in answer.incomplete] == [
        "TCP sockets that are bound and do not listen",
        "the age of sockets in TIME-WAIT",
    ]


def test_table_without_headers_is_an_error():
    class OtherKernel(RecordedHost):
        """The same recording with a kernel release that does not identify WSL 1."""

        def read(self, path: str) -> bytes:
            return b"4.4.0\n" if path.endswith("/osrelease") else super().read(path)

    with pytest.raises(portrange.SourceError, match="use Python for Windows"):
        portrange.ephemeral_usage(host=RecordedHost("linux-4.4-wsl1"))
    with pytest.raises(portrange.ParseError, match="a line of headers"):
        portrange.ephemeral_usage(host=OtherKernel("linux-4.4-wsl1"))


def test_host_without_socket_tables_raises_source_error():
    with pytest.raises(portrange.SourceError, match="cannot list tcp sockets"):
        portrange.ephemeral_usage(host=RecordedHost("linux-6.18-denied"))


@pytest.mark.skipif(sys.platform != "linux", reason="reads another procfs, which only Linux has")
def test_source_error_names_an_equal_reason_once(tmp_path):
    with pytest.raises(portrange.SourceError, match=r"cannot list tcp sockets \(") as caught:
        portrange.ephemeral_usage(host=portrange.Host(tmp_path))
    assert str(caught.value).count("No such file or directory") == 1


def row(port: int, state: str = "connection", protocol: str = "tcp") -> SocketRow:
    if state in ("listen", "bound"):
        return SocketRow(protocol, "ipv4", "10.0.0.5", port, state)
    return SocketRow(protocol, "ipv4", "10.0.0.5", port, state, "192.0.2.1", 443)


def test_rows_of_a_whole_table_are_counted_once():
    shared = Rows({1: [row(40000)], 2: [row(40000), row(40001, "listen")]}, unheld=[row(40002, "time-wait")])
    answer = portable_usage(RecordedHost("win32-10.0"), "tcp", shared, WHOLE_TABLE, POOLS)
    assert answer.incomplete == ()
    assert (answer.platform, answer.used, answer.waiting) == ("win32", 3, 1)
    assert answer.states == (("connection", 1), ("listen", 1), ("time-wait", 1))
    [target] = answer.destinations
    assert (target.sockets, target.time_wait, target.limit) == (2, 1, 99)


def test_rows_of_unreadable_processes_are_incomplete():
    rows = Rows({1: [row(40000)], 2: [row(40001)]}, refusing=frozenset({2}), whole_table_refused=True)
    answer = portable_usage(RecordedHost("darwin-24.4"), "tcp", rows, ONE_BY_ONE, POOLS)
    assert answer.used == 1
    assert [reason.partition(";")[0] for reason in answer.incomplete] == [
        "some processes cannot be inspected (permission denied): run as root to see their sockets",
        "sockets without a process (TIME-WAIT): psutil does not list them on this system",
    ]


def test_udp_rows_are_bound_or_connected():
    rows = Rows({1: [row(40000, "listen", "udp"), row(40001, "connection", "udp")]})
    answer = portable_usage(RecordedHost("darwin-24.4"), "udp", rows, ONE_BY_ONE, POOLS)
    assert answer.states == (("bound", 1), ("connected", 1))
    assert answer.incomplete == ()


def test_rows_of_an_ipv6_wildcard_and_a_link_local_address():
    rows = Rows(
        {
            1: [
                SocketRow("tcp", "ipv6", "::", 40000, "listen"),
                SocketRow("tcp", "ipv6", "fe80::5", 40001, "connection", "fe80::1", 443, 999_999),
            ]
        }
    )
    answer = portable_usage(RecordedHost("win32-10.0"), "tcp", rows, WHOLE_TABLE, POOLS)
    assert answer.incomplete == ("IPV6_V6ONLY of sockets on :: is unknown: they are counted as sockets for IPv4 too",)
    [target] = answer.destinations
    assert target.interface
    assert target.endpoint == f"[fe80::1%{target.interface}]:443"
    assert f"fe80::5%{target.interface}" in [address.place for address in answer.addresses]


def test_refused_table_raises_source_error_with_the_remedy():
    with pytest.raises(portrange.SourceError, match=r"psutil: cannot list sockets .* run as root"):
        portable_usage(RecordedHost("aix-7.2"), "tcp", Rows(whole_table_refused=True), WHOLE_TABLE, POOLS)


# --- arguments ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["sctp", "dccp", "TCP", "", None, 6, ["tcp"]])
def test_other_protocols_raise_value_error(protocol: object):
    with pytest.raises(ValueError, match="use one of 'tcp', 'udp'"):
        portrange.ephemeral_usage(protocol=protocol)
