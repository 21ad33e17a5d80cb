"""Sentences of EphemeralUsage.explain() near the limits."""

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


def explained(answer: EphemeralUsage) -> str:
    return " ".join(answer.explain().split())


def test_tcp_range_used_up_by_unconnected_sockets():
    text = explained(usage(used=100, waiting=100))
    assert "All 100 ephemeral TCP ports (1000-1099; a setting) are in use: " in text
    assert "connect() fails with EADDRNOTAVAIL for every destination." in text


@pytest.mark.parametrize(
    ("waiting", "sentence"),
    [
        (1, "1 of them belongs to a listening or bound socket; connections cannot use it."),
        (2, "2 of them belong to listening or bound sockets; connections cannot use those."),
    ],
)
def test_ports_of_unconnected_sockets_are_counted(waiting, sentence):
    assert sentence in explained(usage(used=waiting, waiting=waiting))


@pytest.mark.parametrize(
    ("others", "sentences"),
    [
        ((), []),
        ((100,), ["1 more destination is full."]),
        ((100, 100), ["2 more destinations are full."]),
        ((90,), ["1 more destination is nearly full."]),
        ((100, 90, 85), ["1 more destination is full.", "2 more destinations are nearly full."]),
    ],
)
def test_full_and_nearly_full_destinations_are_counted(others, sentences):
    full = [to(f"192.0.2.{number}", sockets) for number, sockets in enumerate((100, *others))]
    text = explained(usage(used=100, destinations=tuple(full), destination_count=len(full)))
    assert "another such connect() fails with EADDRNOTAVAIL" in text
    assert [sentence for sentence in sentences if sentence not in text] == []
    assert text.count("more destination") == len(sentences)


@pytest.mark.parametrize(
    ("bounds", "parity"), [((1000, 1100), "an even number"), ((1001, 1101), "an odd number"), ((1000, 1099), None)]
)
def test_bounds_of_equal_parity_are_reported(bounds, parity):
    size = bounds[1] - bounds[0] + 1
    text = explained(usage(bounds=bounds, used=size, destinations=(to("192.0.2.1", size, limit=size),)))
    assert ("starts and ends with" in text) is (parity is not None)
    assert parity is None or parity in text


@pytest.mark.parametrize(
    ("bounds", "free", "platform", "warned"),
    [
        ((1000, 1100), 1, "linux", True),
        ((1000, 1100), 2, "linux", False),
        ((1000, 1099), 1, "linux", False),
        ((1000, 1100), 1, "darwin", False),
    ],
)
def test_bind_may_fail_with_one_free_port_in_an_odd_range(bounds, free, platform, warned):
    size = bounds[1] - bounds[0] + 1
    local = LocalAddress("ipv4", "127.0.0.1", size - free, size)
    text = explained(usage(bounds=bounds, used=50, addresses=(local,), platform=platform))
    sentence = "Binding port 0 on 127.0.0.1 may fail with EADDRINUSE although one port is free."
    assert (sentence in text) is warned
    assert ("so bind() may miss the last free port: set bounds of different parity." in text) is warned
    assert ("no limit is near" in text) is not warned


def test_connect_and_bind_share_one_parity_warning():
    local = LocalAddress("ipv4", "127.0.0.1", 100, 101)
    full = to("192.0.2.1", 100, limit=101)
    text = explained(usage(bounds=(1000, 1100), used=100, addresses=(local,), destinations=(full,)))
    assert "so connect() and bind() may miss the last free port" in text
    assert text.count("parity") == 1


def test_interface_names_are_escaped():
    scoped = Destination("ipv4", "10.0.0.1", "192.0.2.1", 443, 100, 0, 0, 100, "p\x1b[31m")
    local = LocalAddress("ipv6", "fe80::1", 100, 100, "p\x1b[31m")
    answer = usage(used=100, destinations=(scoped,), destination_count=1, addresses=(local,))
    for text in (str(answer), str(scoped), str(local), answer.explain()):
        assert "\x1b" not in text
        assert "p\\x1b[31m" in text


def test_udp_is_limited_by_the_whole_range():
    text = explained(usage("udp", used=100, destinations=(to("192.0.2.1", 60),), destination_count=1))
    assert "its connect() or sendto() fails with EAGAIN." in text
    assert "192.0.2.1:443 10.0.0.1 60 0 60 100 60 %" in text
    assert "Remedies: - use one socket for many destinations" in text
    assert "widen the range in a setting" in text


@pytest.mark.parametrize(("ipv4", "subject"), [(100, "An unbound UDP socket"), (60, "An unbound IPv6 UDP socket")])
def test_ipv6_only_udp_sockets_leave_their_ports_to_ipv4(ipv4, subject):
    everywhere = (LocalAddress("ipv4", "0.0.0.0", ipv4, 100), LocalAddress("ipv6", "::", 100, 100))
    assert f"{subject} needs a port" in explained(usage("udp", used=100, addresses=everywhere))


def test_idle_udp_range():
    text = explained(usage("udp", used=3))
    assert text.endswith("no limit is near.")
    assert "Remedies" not in text


@pytest.mark.parametrize(
    ("full", "named"),
    [
        (("127.0.0.1",), "Binding port 0 on 127.0.0.1 fails"),
        (("127.0.0.1", "::1"), "Binding port 0 on 127.0.0.1 or ::1 fails"),
        (("127.0.0.1", "127.0.0.2", "::1"), "Binding port 0 on 127.0.0.1, 127.0.0.2 or ::1 fails"),
    ],
)
def test_full_addresses_are_listed(full, named):
    addresses = tuple(LocalAddress("ipv4", address, 100, 100) for address in full)
    rest = (LocalAddress("ipv4", "10.0.0.1", 99, 100),)
    assert named in explained(usage(used=100, addresses=addresses + rest))


@pytest.mark.parametrize(
    ("used", "percent"),
    [(0, "0.0 %"), (1, "<0.1 %"), (100, "1.0 %"), (999, "10.0 %"), (1000, "10 %"), (9999, ">99.9 %")],
)
def test_shares_are_not_rounded_to_0_or_100_percent(used, percent):
    assert f"in use ({percent}): " in explained(usage(bounds=(10_001, 20_000), used=used)).replace(
        "is in use", "in use"
    )


def test_fully_reserved_range():
    for protocol in ("TCP", "UDP"):
        text = explained(usage(protocol.lower(), size=0))
        assert text.startswith(f"There are no ephemeral {protocol} ports")
        assert text.endswith(
            "Remedies: - reserve fewer ports (net.ipv4.ip_local_reserved_ports) - widen the range in a setting"
        )


def test_unknown_errno_is_not_named():
    text = explained(usage(platform="sunos", used=100, waiting=100))
    assert "connect() fails for every destination." in text


@pytest.mark.parametrize("columns", [60, 80])
def test_narrow_terminal_shows_every_figure(columns):
    far = Destination("ipv6", "2001:db8:1:2:3:4:5:6", "2001:db8:6:5:4:3:2:1", 443, 1234, 567, 0, 2345)
    scoped = Destination("ipv6", "fe80::1", "fe80::2", 443, 12, 0, 0, 2345, "eth0")
    table = usage(destinations=(far, scoped), destination_count=2).explain(columns).split("\n\n")[1].splitlines()
    assert table[1].split()[-5:] == ["567", "1,234", "2,345", "53", "%"]
    assert table[2].split()[-5:] == ["0", "12", "2,345", "0.5", "%"]
    assert max(map(len, table)) <= columns
    # A destination that fits is not shortened, even if the source is.
    assert table[1].startswith("[2001:db8:6:5:4:3:2:1]:443 " if columns > 70 else "[2001:")
    assert usage(destinations=(scoped,)).explain(70).split("\n\n")[1].splitlines()[1].startswith("[fe80::2%eth0]:443 ")
