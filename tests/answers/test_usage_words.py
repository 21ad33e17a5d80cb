"""What the page of a pool says near its limits, as whole sentences."""

from __future__ import annotations

from typing import Any

import pytest

from portrange import EphemeralRange, EphemeralUsage
from portrange._answers.usage import Destination, LocalAddress


def usage(protocol: str = "tcp", **facts: Any) -> EphemeralUsage:
    first, last = facts.pop("bounds", (1000, 1099))
    pool = EphemeralRange(first, last, protocol, "ipv4", (), "a setting")
    known = {"platform": "linux", "size": len(pool), "used": 0, "waiting": 0, **facts}
    return EphemeralUsage(protocol=protocol, pool=pool, **known)


def to(address: str, sockets: int, *, time_wait: int = 0, limit: int = 100) -> Destination:
    return Destination("ipv4", "10.0.0.1", address, 443, sockets, time_wait, 0, limit)


def said(answer: EphemeralUsage) -> str:
    return " ".join(answer.explain().split())


def test_a_tcp_pool_that_waiting_sockets_have_taken():
    words = said(usage(used=100, waiting=100))
    assert "All 100 TCP ports that this machine hands out by itself (1000-1099; a setting) are in use." in words
    assert "connect() fails with EADDRNOTAVAIL, whatever its destination." in words


@pytest.mark.parametrize(
    ("waiting", "sentence"),
    [
        (1, "1 of them belongs to a socket that listens or is bound: connections cannot have that one."),
        (2, "2 of them belong to sockets that listen or are bound: connections cannot have those."),
    ],
)
def test_ports_of_waiting_sockets(waiting, sentence):
    assert sentence in said(usage(used=waiting, waiting=waiting))


@pytest.mark.parametrize(
    ("others", "sentences"),
    [
        ((), []),
        ((100,), ["So it is with 1 more destination."]),
        ((100, 100), ["So it is with 2 more destinations."]),
        ((90,), ["1 more destination is near it."]),
        ((100, 90, 85), ["So it is with 1 more destination.", "2 more destinations are near it."]),
    ],
)
def test_destinations_that_are_full_and_near(others, sentences):
    full = [to(f"192.0.2.{number}", sockets) for number, sockets in enumerate((100, *others))]
    words = said(usage(used=100, destinations=tuple(full), destination_count=len(full)))
    assert "another connect() there fails with EADDRNOTAVAIL" in words
    assert [sentence for sentence in sentences if sentence not in words] == []
    assert words.count("more destination") == len(sentences)


@pytest.mark.parametrize(
    ("bounds", "word"), [((1000, 1100), "an even number"), ((1001, 1101), "an odd number"), ((1000, 1099), None)]
)
def test_bounds_of_the_same_parity_are_warned_of(bounds, word):
    size = bounds[1] - bounds[0] + 1
    words = said(usage(bounds=bounds, used=size, destinations=(to("192.0.2.1", size, limit=size),)))
    assert ("begins and ends with" in words) is (word is not None)
    assert word is None or word in words


@pytest.mark.parametrize(
    ("bounds", "free", "platform", "said_so"),
    [
        ((1000, 1100), 1, "linux", True),
        ((1000, 1100), 2, "linux", False),
        ((1000, 1099), 1, "linux", False),
        ((1000, 1100), 1, "darwin", False),
    ],
)
def test_the_last_port_of_an_odd_pool_may_be_refused_to_bind(bounds, free, platform, said_so):
    size = bounds[1] - bounds[0] + 1
    place = LocalAddress("ipv4", "127.0.0.1", size - free, size)
    words = said(usage(bounds=bounds, used=50, addresses=(place,), platform=platform))
    sentence = "Binding port 0 on 127.0.0.1 may fail with EADDRINUSE although a port is free there."
    assert (sentence in words) is said_so
    assert ("with which bind() may overlook the last free port: give its bounds different parity." in words) is said_so
    assert ("Nothing is near its limit" in words) is not said_so


def test_connecting_and_binding_may_overlook_the_same_port():
    place = LocalAddress("ipv4", "127.0.0.1", 100, 101)
    full = to("192.0.2.1", 100, limit=101)
    words = said(usage(bounds=(1000, 1100), used=100, addresses=(place,), destinations=(full,)))
    assert "with which connect() and bind() may overlook the last free port" in words
    assert words.count("parity") == 1


def test_names_of_interfaces_are_not_obeyed():
    tied = Destination("ipv4", "10.0.0.1", "192.0.2.1", 443, 100, 0, 0, 100, "p\x1b[31m")
    place = LocalAddress("ipv6", "fe80::1", 100, 100, "p\x1b[31m")
    answer = usage(used=100, destinations=(tied,), destination_count=1, addresses=(place,))
    for text in (str(answer), str(tied), str(place), answer.explain()):
        assert "\x1b" not in text
        assert "p\\x1b[31m" in text


def test_what_limits_udp_is_the_whole_pool():
    words = said(usage("udp", used=100, destinations=(to("192.0.2.1", 60),), destination_count=1))
    assert "its connect() or sendto() fails with EAGAIN." in words
    assert "Most of the connected sockets lead from 10.0.0.1 to 192.0.2.1:443: 60." in words
    assert "What helps: one socket for many destinations" in words
    assert "a wider range in a setting" in words


@pytest.mark.parametrize(("ipv4", "who"), [(100, "A UDP socket that"), (60, "A UDP socket of IPv6 that")])
def test_udp_sockets_for_ipv6_alone_leave_their_ports_to_ipv4(ipv4, who):
    everywhere = (LocalAddress("ipv4", "0.0.0.0", ipv4, 100), LocalAddress("ipv6", "::", 100, 100))
    assert f"{who} is not bound needs a port" in said(usage("udp", used=100, addresses=everywhere))


def test_a_quiet_udp_pool():
    words = said(usage("udp", used=3))
    assert words.endswith("Nothing is near its limit.")
    assert "What helps" not in words


@pytest.mark.parametrize(
    ("full", "named"),
    [
        (("127.0.0.1",), "Binding port 0 on 127.0.0.1 fails"),
        (("127.0.0.1", "::1"), "Binding port 0 on 127.0.0.1 or ::1 fails"),
        (("127.0.0.1", "127.0.0.2", "::1"), "Binding port 0 on 127.0.0.1, 127.0.0.2 or ::1 fails"),
    ],
)
def test_addresses_without_a_port_left_are_named(full, named):
    addresses = tuple(LocalAddress("ipv4", address, 100, 100) for address in full)
    rest = (LocalAddress("ipv4", "10.0.0.1", 99, 100),)
    assert named in said(usage(used=100, addresses=addresses + rest))


@pytest.mark.parametrize(
    ("used", "percent"),
    [(0, "0.0 %"), (1, "<0.1 %"), (100, "1.0 %"), (999, "10.0 %"), (1000, "10 %"), (9999, ">99.9 %")],
)
def test_shares_are_not_rounded_to_nothing_or_everything(used, percent):
    assert f"in use ({percent})." in said(usage(bounds=(10_001, 20_000), used=used)).replace("is in use", "in use")


def test_a_pool_of_which_all_is_set_aside():
    assert said(usage(size=0)).startswith("There are no TCP ports that this machine hands out by itself")


def test_an_error_that_is_not_known_is_not_named():
    words = said(usage(platform="sunos", used=100, waiting=100))
    assert "connect() fails, whatever its destination." in words


@pytest.mark.parametrize("columns", [50, 60, 80])
def test_a_narrow_terminal_gets_every_figure(columns):
    far = Destination("ipv6", "2001:db8:1:2:3:4:5:6", "2001:db8:6:5:4:3:2:1", 443, 1234, 567, 0, 2345)
    tied = Destination("ipv6", "fe80::1", "fe80::2", 443, 12, 0, 0, 2345, "eth0")
    table = usage(destinations=(far, tied), destination_count=2).explain(columns).partition("\n\n")[2].splitlines()
    assert table[1].split()[-5:] == ["1,234", "2,345", "567", "53", "%"]
    assert table[2].split()[-5:] == ["12", "2,345", "0", "0.5", "%"]
    assert max(map(len, table)) <= columns
    # A destination that fits is whole, whatever becomes of the source.
    assert table[1].startswith("[2001:db8:6:5:4:3:2:1]:443 " if columns > 70 else "[2001:")
    assert (
        usage(destinations=(tied,)).explain(60).partition("\n\n")[2].splitlines()[1].startswith("[fe80::2%eth0]:443 ")
    )
