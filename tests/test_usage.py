"""The pool's usage without a kernel: what it says, and what it makes of the replies and rows it is given."""

from __future__ import annotations

import json
import pickle
import re
import struct
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from process_rows import Rows
from recorded import RecordedHost

import portrange
from portrange import Destination, EphemeralRange, EphemeralUsage, LocalAddress, Span
from portrange._backends.linux import counting, sock_diag
from portrange._backends.linux.socket_record import Address, SocketFilter
from portrange._backends.linux.time_wait import Reuse
from portrange._backends.occupancy import Occupancy, Sighting
from portrange._backends.portable.usage import usage as portable_usage
from portrange._backends.portable.view import ONE_BY_ONE, WHOLE_TABLE, SocketRow
from portrange._render import svg

POOL = EphemeralRange(40000, 40099, source="an example")
V6_POOL = EphemeralRange(50000, 50009, family="ipv6", source="an example")


def destination(
    sockets: int, *, time_wait: int = 0, reusable: int = 0, port: int = 443, limit: int = 100
) -> Destination:
    return Destination("ipv4", "10.0.0.5", "192.0.2.1", port, sockets, time_wait, reusable, limit)


def usage(*destinations: Destination, used: int | None = None, **facts: object) -> EphemeralUsage:
    taken = max((one.sockets for one in destinations), default=0) if used is None else used
    made = EphemeralUsage(
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
    return replace(made, **facts)


def words(answer: EphemeralUsage) -> str:
    return answer.explain().partition("\n\n")[0].replace("\n", " ")


# --- the answer -----------------------------------------------------------------------------------------------------


def test_a_destination_knows_how_full_it_is():
    one = destination(80, time_wait=30, reusable=10)
    assert (one.free, one.share) == (30, 0.7)
    assert destination(100).free == 0
    assert destination(5, limit=0).share == 1.0
    assert destination(120).free == 0
    assert str(one) == "10.0.0.5 to 192.0.2.1:443: 80 of 100 ports"
    assert replace(one, family="ipv6", address="2001:db8::1").endpoint == "[2001:db8::1]:443"
    assert replace(one, family="ipv6", address="fe80::1", interface="eth0").endpoint == "[fe80::1%eth0]:443"
    assert replace(one, interface="eth0").endpoint == "192.0.2.1%eth0:443"


def test_an_address_knows_how_full_it_is():
    one = LocalAddress("ipv4", "10.0.0.5", 25, 100)
    assert (one.free, one.share, str(one)) == (75, 0.25, "10.0.0.5: 25 of 100 ports")
    zoned = LocalAddress("ipv6", "fe80::1", 100, 100, "eth0")
    assert (zoned.place, str(zoned)) == ("fe80::1%eth0", "fe80::1%eth0: 100 of 100 ports")
    assert "Binding port 0 on fe80::1%eth0 fails" in words(usage(used=100, addresses=(zoned,)))


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
def test_exhausted_means_that_somebody_is_refused(answer: EphemeralUsage, exhausted: bool):  # noqa: FBT001 - a table
    assert answer.exhausted is exhausted


def test_answers_go_into_json_and_through_pickle():
    answer = usage(destination(100, time_wait=40), states=(("established", 60), ("time-wait", 40)), incomplete=("a gap",))
    told = json.loads(json.dumps(answer.to_dict()))
    assert told["destinations"][0]["free"] == 0
    assert told["errors"] == [["connect", "EADDRNOTAVAIL"], ["bind", "EADDRINUSE"], ["listen", "EADDRINUSE"]]
    assert told["states"] == [["established", 60], ["time-wait", 40]]
    assert (told["exhausted"], told["share"], told["incomplete"]) == (True, 1.0, ["a gap"])
    assert pickle.loads(pickle.dumps(answer)) == answer
    assert hash(answer) == hash(pickle.loads(pickle.dumps(answer)))


def test_one_line_names_the_fullest_destination():
    assert str(usage(destination(7))) == (
        "tcp: 7 of 100 automatic ports in use; fullest: 10.0.0.5 to 192.0.2.1:443: 7 of 100 ports"
    )
    assert str(usage()) == "tcp: 0 of 100 automatic ports in use"


def test_the_error_is_named_only_where_it_is_known():
    assert dict(usage(platform="darwin").errors) == {"connect": "EADDRNOTAVAIL", "bind": "EADDRNOTAVAIL"}
    assert usage(platform="win32").errors == ()
    text = words(usage(destination(100), platform="win32"))
    assert "another connect() there fails." in text
    assert "Binding port 0 on 10.0.0.5 fails." in text
    assert "IP_BIND_ADDRESS_NO_PORT" not in text


# --- in words -------------------------------------------------------------------------------------------------------


def test_a_quiet_machine_is_told_in_two_sentences():
    assert words(usage()) == (
        "0 of the 100 TCP ports that this machine hands out by itself (40000-40099; an example) are in use (0.0 %). "
        "Nothing is near its limit."
    )


def test_a_busy_machine_is_told_towards_whom():
    text = words(usage(destination(40, time_wait=30, reusable=5)))
    assert (
        "The fullest destination is 192.0.2.1:443: connections from 10.0.0.5 have 40 of 100 ports "
        "(10 live, 30 in TIME-WAIT, of which 5 may be used again). Nothing is near its limit."
    ) in text
    assert "What helps" not in text


@pytest.mark.parametrize(
    ("time_wait", "held", "helps"),
    [
        (0, "(all live)", "fewer connections at a time (keep-alive, a connection pool)"),
        (49, "(51 live, 49 in TIME-WAIT)", "fewer connections at a time"),
        (50, "(50 live, 50 in TIME-WAIT)", "keeping connections open for the next request"),
        (100, "(all in TIME-WAIT)", "keeping connections open for the next request"),
    ],
)
def test_what_helps_depends_on_what_holds_the_ports(time_wait: int, held: str, helps: str):
    text = words(usage(destination(100, time_wait=time_wait)))
    assert f"have all 100 ports that they can have {held}: another connect() there fails with EADDRNOTAVAIL." in text
    assert f"What helps: {helps}" in text
    assert ("tcp_tw_reuse" in text) == (time_wait >= 50)
    assert text.endswith("a wider range in an example.")


def test_a_warning_comes_before_the_end():
    text = words(usage(destination(85), destination(81, port=80), destination(79, port=22)))
    assert "have 85 of the 100 ports that they can have (all live). 1 more destination is near it." in text
    assert "fails" not in text
    assert "What helps" in text


def test_other_full_destinations_are_counted():
    many = [destination(100, port=port) for port in range(1, 4)]
    assert "So it is with 2 more destinations." in words(usage(*many))


def test_ports_of_waiting_sockets_are_lost_to_connections():
    assert "3 of them belong to sockets that listen or are bound: connections cannot have those." in words(
        usage(waiting=3, used=3)
    )
    assert "1 of them belongs to a socket that listens or is bound: connections cannot have that one." in words(
        usage(waiting=1, used=1)
    )


def test_what_was_not_looked_at_is_said():
    assert words(usage(incomplete=("the moon",))).endswith("Not looked at: the moon.")


def test_an_assumed_pool_has_no_setting_to_change():
    assert words(usage(destination(100), pool=replace(POOL, assumed=True))).endswith("a wider range of ports.")


def test_a_pool_of_its_own_for_ipv6_is_named():
    assert "(40000-40099, and 50000-50009 over IPv6; an example)" in words(usage(pool_ipv6=V6_POOL))


def test_the_table_shows_each_destination_and_counts_the_others():
    answer = usage(destination(100, time_wait=40), destination(7, port=80), destination_count=12)
    table = answer.explain().partition("\n\n")[2].splitlines()
    assert table[0].split() == ["DESTINATION", "FROM", "PORTS", "OF", "TIME-WAIT", "SHARE"]
    assert table[1].split() == ["192.0.2.1:443", "10.0.0.5", "100", "100", "40", "100", "%"]
    assert table[2].split() == ["192.0.2.1:80", "10.0.0.5", "7", "100", "0", "7.0", "%"]
    assert table[3] == "and 10 more destinations"


def test_lines_are_wrapped_but_words_and_ranges_are_not():
    lines = words(usage(destination(100))), usage(destination(100)).explain().partition("\n\n")[0].splitlines()
    assert max(map(len, lines[1])) <= 100
    assert " ".join(lines[1]) == lines[0]
    assert "40000-40099;" in lines[0]


# --- in a notebook --------------------------------------------------------------------------------------------------


def test_the_notebook_shows_a_bar_for_each_destination():
    answer = usage(destination(100), destination(85, port=80), destination(1, port=22))
    html = answer._repr_html_()
    *_, last = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    drawing = ET.fromstring(last)
    namespace = "{http://www.w3.org/2000/svg}"
    widths = [float(bar.get("width")) for bar in drawing.findall(f"{namespace}rect[@fill]")]
    assert widths[0] == 240.0
    assert widths == pytest.approx([240, 0.85 * 240, 2.4])
    assert drawing.get("role") == "img"
    assert "10.0.0.5 → 192.0.2.1:443: 100 %" in drawing.get("aria-label")
    assert html == answer._repr_html_()
    assert "<table>" in html


def test_the_notebook_shows_no_bars_where_there_is_no_destination():
    assert "Ports in use by destination" in usage(destination(1))._repr_html_()
    assert "Ports in use by destination" not in usage()._repr_html_()


def test_bars_are_well_formed_whatever_they_are_called():
    drawing = svg.bars('a "title" <b>', [svg.Bar("<script>&\x1b[31m" + "x" * 100, 2.0), svg.Bar("'", -1.0)])
    parsed = ET.fromstring(drawing)
    assert "\x1b" not in drawing
    assert [bar.get("width") for bar in parsed.findall("{*}rect[@fill]")] == ["240.0", "0.0"]


def test_colours_follow_no_theme():
    drawing = svg.bars("title", [svg.Bar("label", 0.5)])
    assert 'fill="currentColor"' in drawing
    assert "black" not in drawing
    assert "white" not in drawing


# --- counting bytes -------------------------------------------------------------------------------------------------

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
    left: int = 0,
    interface: int = 0,
) -> bytes:
    """A socket in a reply, as linux/inet_diag.h lays it out, with an attribute behind it."""
    family = 10 if ":" in local else 2
    body = struct.pack("=BBBB", family, state, 0, 0) + struct.pack(">HH", port, to)
    body += packed(local).ljust(16, b"\0") + packed(remote).ljust(16, b"\0") + struct.pack("=I8x", interface)
    body += struct.pack("=IIIII", left, 0, 0, 0, 0) + struct.pack("=HHBxxx", 5, 8, 0)
    return struct.pack("=IHHII", 16 + len(body), 20, 2, SEQUENCE, 0) + body


def reply(*messages: bytes) -> list[bytes]:
    return [b"".join(messages), struct.pack("=IHHIIi", 20, 3, 2, SEQUENCE, 0, 0)]


IN_POOL = Occupancy("tcp", "linux", {"ipv4": POOL, "ipv6": POOL}).in_pool["ipv4"]
NOWHERE = counting.Tables()


def waiting_at(*places: tuple[str, int], interface: int = 0) -> counting.Tables:
    """Listening sockets."""
    listening = (
        message(port, local=address, remote="::" if ":" in address else "0.0.0.0", to=0, state=10, interface=interface)
        for address, port in places
    )
    return counting.count_waiting(reply(*listening), SEQUENCE, IN_POOL)


def test_sockets_are_counted_by_destination():
    tables = counting.count_connected(
        reply(message(40000), message(40001), message(40001, to=80), message(39999), message(40100), message(40002)),
        SEQUENCE,
        IN_POOL,
        NOWHERE,
        0,
    )
    table = tables[counting.AF_INET]
    assert sorted(int.from_bytes(key[:2], "big") for key in table) == [80, 443]
    assert sorted(sum(counts) for counts, _ in table.values()) == [1, 3]
    [held] = table.held.values()
    assert [port for port in range(1 << 16) if held[port]] == [40000, 40001, 40002]
    assert not tables[counting.AF_INET6]


@pytest.mark.parametrize(("left", "reusable"), [(59_001, 0), (59_000, 1), (0, 1)])
def test_time_wait_may_be_used_again_after_a_second(left: int, reusable: int):
    found = counting.count_connected(reply(message(40000, state=6, left=left)), SEQUENCE, IN_POOL, NOWHERE, 59_000)
    [(counts, _)] = found[counting.AF_INET].values()
    assert (counts[counting.REUSABLE], counts[6]) == (reusable, 1)


def test_accepted_connections_are_told_apart():
    many = [message(40000, to=number) for number in range(1000, 1100)]
    waiting = waiting_at(("10.0.0.5", 40000))
    table = counting.count_connected(reply(*many), SEQUENCE, IN_POOL, waiting, 0)[counting.AF_INET]
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
        # A socket of IPv4 is accepted by one of IPv4.
        ("::", IPV4, False),
        (IPV4, MAPPED, False),
    ],
)
def test_a_connection_is_accepted_where_a_socket_waits_for_it(listening: str, connected: str, accepted: bool):  # noqa: FBT001 - a table
    found = counting.count_connected(
        reply(message(40000, local=connected, remote=connected)), SEQUENCE, IN_POOL, waiting_at((listening, 40000)), 0
    )
    [table] = [table for table in found.values() if table or table.accepted[0][1]]
    assert table.accepted[0][1] == accepted
    assert [sum(counts) for counts, _ in table.values()] == [1] * (not accepted)
    assert list(table.shared.values()) == [1] * (not accepted)


@pytest.mark.parametrize(
    ("listening", "connected", "accepted"), [(0, 0, True), (0, 7, True), (7, 7, True), (7, 0, False), (7, 8, False)]
)
def test_who_waits_on_one_interface_accepts_there_alone(listening: int, connected: int, accepted: bool):  # noqa: FBT001 - a table
    ends = {"local": "fe80::5", "remote": "fe80::1", "interface": connected}
    waiting = waiting_at(("fe80::5", 40000), interface=listening)
    table = counting.count_connected(reply(message(40000, **ends)), SEQUENCE, IN_POOL, waiting, 0)[counting.AF_INET6]
    assert table.accepted[0][1] == accepted


def test_time_wait_on_a_port_where_a_socket_waits_is_not_used_again():
    found = counting.count_connected(
        reply(message(40000, state=6)), SEQUENCE, IN_POOL, waiting_at(("10.0.0.6", 40000)), 59_000
    )
    [(counts, _)] = found[counting.AF_INET].values()
    assert (counts[counting.REUSABLE], counts[6]) == (0, 1)


def test_each_interface_is_a_destination_of_its_own():
    ends = {"local": "fe80::5", "remote": "fe80::1"}
    sockets = [message(40000 + n, **ends, interface=7 + n % 2) for n in range(4)]
    table = counting.count_connected(reply(*sockets), SEQUENCE, IN_POOL, NOWHERE, 0)[counting.AF_INET6]
    assert [sum(counts) for counts, _ in table.values()] == [2, 2]


def test_ipv4_within_ipv6_joins_ipv4():
    tables = counting.count_connected(
        reply(
            message(40000),
            message(40001, local="::ffff:10.0.0.5", remote="::ffff:192.0.2.1"),
            message(40002, local="2001:db8::5", remote="2001:db8::1"),
        ),
        SEQUENCE,
        IN_POOL,
        waiting_at(("10.0.0.6", 40001)),
        0,
    )
    counting.move_mapped(tables)
    assert list(tables[counting.AF_INET].shared.values()) == [1]
    assert not tables[counting.AF_INET6].shared
    assert [sum(counts) for counts, _ in tables[counting.AF_INET].values()] == [2]
    assert [sum(counts) for counts, _ in tables[counting.AF_INET6].values()] == [1]


def test_an_unknown_family_is_not_counted_as_another():
    strange = bytearray(message(40000))
    strange[16] = 1
    with pytest.raises(portrange.ParseError, match="AF_INET or AF_INET6"):
        counting.count_connected(reply(bytes(strange)), SEQUENCE, IN_POOL, NOWHERE, 0)


def test_thousands_of_local_addresses_take_little_memory():
    import tracemalloc

    addresses = [f"10.{number >> 8}.{number & 255}.1" for number in range(3000)]
    given = reply(*(message(40000, local=address) for address in addresses))
    tracemalloc.start()
    table = counting.count_connected(given, SEQUENCE, IN_POOL, NOWHERE, 0)[counting.AF_INET]
    top = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(table) == len(table.held) == 3000
    assert top < 12_000_000


def test_a_span_is_a_small_program_for_the_kernel():
    wanted = SocketFilter("tcp", frozenset({10}))
    plain = sock_diag.request(wanted, "ipv4", SEQUENCE)
    asked = sock_diag.request(wanted, "ipv4", SEQUENCE, span=Span(40000, 40099))
    assert struct.unpack_from("=I", asked)[0] == len(asked) == len(plain) + 20
    assert asked[4 : len(plain)] == plain[4:]
    assert struct.unpack_from("=HH BBH BBH BBH BBH", asked, len(plain)) == (
        *(20, 1),
        *(2, 8, 20, 0, 0, 40000),
        *(3, 8, 12, 0, 0, 40099),
    )


def test_the_request_for_both_families_has_the_older_layout():
    asked = sock_diag.request_tcp(SocketFilter("tcp", frozenset({1, 10})), SEQUENCE)
    length, kind, _, number, _ = struct.unpack_from("=IHHII", asked)
    assert (length, kind, number) == (len(asked), 18, SEQUENCE)
    assert len(asked) == 16 + 4 + 48 + 8
    assert struct.unpack_from("=II", asked, 16 + 4 + 48) == (1 << 1 | 1 << 10, 0)


def test_reuse_of_time_wait_knows_loopback():
    here, there, v6 = Address(b"\x7f\0\0\1", 0), Address(b"\x0a\0\0\5", 0), Address(bytes(15) + b"\1", 0)
    everywhere, loopback, never = Reuse(True, True, 0), Reuse(False, True, 0), Reuse(False, False, 0)
    assert everywhere.holds(there, there)
    assert loopback.holds(there, here)
    assert loopback.holds(v6, v6)
    assert not loopback.holds(there, there)
    assert not never.holds(here, here)


def test_unreadable_settings_reuse_nothing():
    assert Reuse.of(RecordedHost("linux-6.18-denied")) == (False, False, 58_988)


# --- counting rows --------------------------------------------------------------------------------------------------


def sighting(port: int, *, address: str = "10.0.0.5", state: str = "established", to: int = 443) -> Sighting:
    family = "ipv6" if ":" in address else "ipv4"
    return Sighting(family, address, port, state, "192.0.2.1" if to else "", to)


POOLS = {"ipv4": POOL, "ipv6": POOL}


def test_pools_of_both_families_are_kept_apart():
    occupancy = Occupancy("tcp", "netbsd", {"ipv4": POOL, "ipv6": V6_POOL})
    seen = [sighting(40000), sighting(50000), sighting(50000, address="2001:db8::5"), sighting(40001, address="::1")]
    answer = occupancy.count(seen)
    assert (answer.size, answer.used, answer.pool, answer.pool_ipv6) == (110, 2, POOL, V6_POOL)
    assert [(one.source, one.sockets, one.limit) for one in answer.destinations] == [
        ("2001:db8::5", 1, 10),
        ("10.0.0.5", 1, 100),
    ]


def test_only_the_fullest_destinations_are_named():
    occupancy = Occupancy("tcp", "linux", {"ipv4": POOL, "ipv6": POOL})
    answer = occupancy.count(
        [sighting(40000 + n, to=1 + n * (n < 3) // 2) for n in range(50)]
        + [sighting(40000, to=5000 + n) for n in range(30)]
    )
    assert answer.destination_count == len({1, 2} | {5000 + n for n in range(30)})
    assert len(answer.destinations) == 10
    assert answer.destinations[0].sockets >= 48
    assert [one.share for one in answer.destinations] == sorted(
        (one.share for one in answer.destinations), reverse=True
    )


def test_the_fullest_are_those_with_the_least_left():
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
def test_a_row_is_of_an_accepted_connection_where_a_socket_waits_for_it(listening: str, accepted: bool):  # noqa: FBT001 - a table
    occupancy = Occupancy("tcp", "linux", {"ipv4": POOL, "ipv6": POOL})
    family = "ipv6" if ":" in listening else "ipv4"
    waiting = Sighting(family, listening, 40000, "listen", dual_stack=listening == "::")
    answer = occupancy.count([waiting, sighting(40000), sighting(40001)])
    # A socket that waits elsewhere takes its port from all other connections, but not from the one that has it.
    assert [(one.sockets, one.limit, one.free) for one in answer.destinations] == [
        (1, 99, 98) if accepted else (2, 100, 98)
    ]


@pytest.mark.parametrize(("platform", "free"), [("linux", 98), ("darwin", None)])
def test_connections_over_ipv6_are_in_the_way_of_the_wildcard_of_ipv4_on_linux(platform: str, free: int | None):
    occupancy = Occupancy("tcp", platform, {"ipv4": POOL, "ipv6": POOL})
    connections = [sighting(40000, address="2001:db8::5"), sighting(40001, address="2001:db8::5")]
    addresses = {one.address: one.free for one in occupancy.count(connections).addresses}
    assert addresses == {"::": 98, "2001:db8::5": 98} | ({} if free is None else {"0.0.0.0": free})


def test_a_wildcard_of_ipv4_that_may_have_ports_left_is_named():
    over_ipv6 = [sighting(40000 + n, address="2001:db8::5") for n in range(100)]
    for seen, untold in (
        (over_ipv6[1:], 0),
        (over_ipv6, 1),
        ([*over_ipv6, *(sighting(40000 + n) for n in range(99))], 1),
        ([*over_ipv6, *(sighting(40000 + n) for n in range(100))], 0),
    ):
        gaps = Occupancy("tcp", "linux", POOLS).count(seen).incomplete
        assert ["0.0.0.0" in gap for gap in gaps] == [True] * untold


def test_what_is_not_told_of_a_socket_is_named_where_it_matters():
    def gaps(*sightings: Sighting) -> list[str]:
        return [gap.split(" ")[1] for gap in Occupancy("tcp", "linux", POOLS).count(sightings).incomplete]

    unknown = Sighting("ipv6", "::", 40000, "listen", dual_stack=None)
    link_local = Sighting("ipv6", "fe80::5", 40001, "established", "fe80::1", 443)
    assert gaps(unknown, link_local) == ["sockets", "interfaces"]
    assert gaps(unknown._replace(dual_stack=False), link_local._replace(interface="eth0")) == []
    assert gaps(unknown._replace(port=80), link_local._replace(port=80)) == []
    assert gaps(Sighting("ipv6", "fe8::5", 40001, "established", "fe8::1", 443)) == []


TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:9C43 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1
   1: 0100007F:9C40 0100007F:2329 01 00000000:00000000 00:00000000 00000000     0        0 12 1
   2: 0100007F:9C41 0100007F:2329 06 00000000:00000000 03:00000000 00000000     0        0 0 3
   3: 0100007F:9C43 0100007F:238C 01 00000000:00000000 00:00000000 00000000     0        0 13 1
   4: 0100007F:2329 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 14 1
"""


@pytest.mark.skipif(sys.byteorder == "big", reason="the table is one of a little-endian kernel")
def test_a_host_without_sock_diag_answers_from_its_tables(tmp_path: Path):
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
    [one] = answer.destinations
    assert (one.endpoint, one.sockets, one.time_wait, one.limit) == ("127.0.0.1:9001", 2, 1, 99)
    assert [gap.partition(":")[0].partition(",")[0] for gap in answer.incomplete] == [
        "TCP sockets that are bound and do not listen",
        "the age of sockets in TIME-WAIT",
    ]


def test_tables_without_a_line_of_headers_are_no_proof_of_nobody():
    class Other(RecordedHost):
        """The same, and nothing to know WSL 1 by."""

        def read(self, path: str) -> bytes:
            return b"4.4.0\n" if path.endswith("/osrelease") else super().read(path)

    with pytest.raises(portrange.SourceError, match="ask there, with a Python for Windows"):
        portrange.ephemeral_usage(host=RecordedHost("linux-4.4-wsl1"))
    with pytest.raises(portrange.ParseError, match="a line of headers"):
        portrange.ephemeral_usage(host=Other("linux-4.4-wsl1"))


def test_a_host_that_shows_nothing_says_so():
    with pytest.raises(portrange.SourceError, match="neither lists tcp sockets"):
        portrange.ephemeral_usage(host=RecordedHost("linux-6.18-denied"))


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
    [one] = answer.destinations
    assert (one.sockets, one.time_wait, one.limit) == (2, 1, 99)


def test_rows_of_processes_leave_gaps():
    rows = Rows({1: [row(40000)], 2: [row(40001)]}, refusing=frozenset({2}), whole_table_refused=True)
    answer = portable_usage(RecordedHost("darwin-24.4"), "tcp", rows, ONE_BY_ONE, POOLS)
    assert answer.used == 1
    assert [gap.partition(";")[0] for gap in answer.incomplete] == [
        "sockets of processes that may not be looked into",
        "sockets that no process holds any more (TIME-WAIT), which this system does not show to psutil",
    ]


def test_udp_rows_are_bound_or_connected():
    rows = Rows({1: [row(40000, "listen", "udp"), row(40001, "connection", "udp")]})
    answer = portable_usage(RecordedHost("darwin-24.4"), "udp", rows, ONE_BY_ONE, POOLS)
    assert answer.states == (("bound", 1), ("connected", 1))
    assert answer.incomplete == ()


def test_rows_of_an_ipv6_wildcard_and_of_link_local_addresses():
    rows = Rows(
        {
            1: [
                SocketRow("tcp", "ipv6", "::", 40000, "listen"),
                SocketRow("tcp", "ipv6", "fe80::5", 40001, "connection", "fe80::1", 443, 999_999),
            ]
        }
    )
    answer = portable_usage(RecordedHost("win32-10.0"), "tcp", rows, WHOLE_TABLE, POOLS)
    assert answer.incomplete == ("which sockets on :: take IPv6 alone (IPV6_V6ONLY): each is counted as one for IPv4 too",)
    [one] = answer.destinations
    assert one.interface
    assert one.endpoint == f"[fe80::1%{one.interface}]:443"
    assert f"fe80::5%{one.interface}" in [address.place for address in answer.addresses]


def test_a_refused_table_is_an_error_that_says_what_to_do():
    with pytest.raises(portrange.SourceError, match=r"psutil: may not list sockets .* ask as the superuser"):
        portable_usage(RecordedHost("aix-7.2"), "tcp", Rows(whole_table_refused=True), WHOLE_TABLE, POOLS)


# --- arguments ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["sctp", "dccp", "TCP", "", None, 6, ["tcp"]])
def test_other_protocols_are_refused(protocol: object):
    with pytest.raises(ValueError, match="the pool's usage is known for tcp and udp"):
        portrange.ephemeral_usage(protocol=protocol)
