"""Which sockets are in the way of an address: the rules by which the kernel takes two of them for overlapping."""

from __future__ import annotations

from dataclasses import replace

import pytest

from portrange import BoundSocket
from portrange._questions.endpoints import WILDCARDS, Endpoint, conflict, may_conflict, needs_interface


def socket(address: str, *, dual_stack: bool | None = False, protocol: str = "tcp", state: str = "listen"):
    family = "ipv6" if ":" in address else "ipv4"
    return BoundSocket(protocol, family, address, 80, dual_stack=dual_stack, state=state)


def wanted(address: str, interface: str | None = None) -> Endpoint:
    return Endpoint("tcp", "ipv6" if ":" in address else "ipv4", address, 80, interface)


def test_the_addresses_that_stand_for_all():
    assert WILDCARDS == {"ipv4": "0.0.0.0", "ipv6": "::"}


@pytest.mark.parametrize(
    ("there", "asked", "expected"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("127.0.0.1", "0.0.0.0", True),
        ("0.0.0.0", "127.0.0.1", True),
        ("::1", "::1", True),
        ("::1", "::2", False),
        ("::1", "::", True),
        ("::", "::1", True),
        ("fe80::1", "fe80::1%eth0", True),
        ("fe80::1", "fe80::2%eth0", False),
        ("0.0.0.0", "::", False),
        ("127.0.0.1", "::1", False),
    ],
)
def test_addresses(there, asked, expected):
    assert conflict(socket(there), wanted(asked)) is expected


@pytest.mark.parametrize(
    ("there", "interface", "asked", "expected"),
    [
        ("fe80::1", "eth0", "fe80::1%eth0", True),
        ("fe80::1", "eth1", "fe80::1%eth0", False),
        ("::", "eth1", "fe80::1%eth0", False),
        ("::", None, "fe80::1%eth0", True),
        ("::", "eth1", "::1", True),  # who asks is bound to no interface, and so meets each
        ("fe80::1", "eth0", "fe80::1%2", True),  # the number of eth0
        ("fe80::1", "eth1", "fe80::1%2", False),
    ],
)
def test_sockets_on_different_interfaces_do_not_meet(there, interface, asked, expected):
    tied = "eth0" if "%" in asked else None
    assert conflict(replace(socket(there), interface=interface), wanted(asked, tied)) is expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("fe80::1", True),
        ("febf::1", True),
        ("fec0::1", False),
        ("::1", False),
        ("2001:db8::1", False),
        ("ff01::1", True),
        ("ff02::1", True),
        ("ff12::1", True),
        ("ff05::1", False),
        ("ff0e::1", False),
        ("169.254.0.1", False),  # IPv4 has no zones
        ("224.0.0.1", False),
    ],
)
def test_addresses_that_need_an_interface(address, expected):
    assert needs_interface(address) is expected


def test_an_address_that_the_system_does_not_tell_may_be_any():
    assert conflict(BoundSocket("tcp", "ipv4", "", 80), wanted("127.0.0.1"))


def test_transports_do_not_share_ports():
    assert not conflict(socket("127.0.0.1", protocol="udp"), wanted("127.0.0.1"))
    assert not may_conflict(socket("::", protocol="udp", state="bound"), wanted("0.0.0.0"))


@pytest.mark.parametrize(("dual_stack", "expected"), [(True, True), (None, True), (False, False)])
def test_an_ipv6_wildcard_takes_ipv4_unless_it_is_known_not_to(dual_stack, expected):
    assert conflict(socket("::", dual_stack=dual_stack), wanted("127.0.0.1")) is expected


def test_an_ipv4_socket_leaves_ipv6_alone():
    assert not conflict(socket("0.0.0.0", dual_stack=True), wanted("::"))
    assert not conflict(socket("0.0.0.0", dual_stack=None), wanted("::"))


@pytest.mark.parametrize("state", ["connection", "bound", "time-wait"])
def test_a_connection_over_ipv6_may_keep_the_wildcard_of_ipv4(state):
    assert may_conflict(socket("::1", state=state), wanted("0.0.0.0"))
    assert not may_conflict(socket("::1", state=state), wanted("127.0.0.1"))
    assert not may_conflict(socket("::1", state=state), wanted("::"))


def test_a_listener_does_not():
    assert not may_conflict(socket("::1", state="listen"), wanted("0.0.0.0"))
