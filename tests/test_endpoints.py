"""Conflicts between bound sockets and a requested address, by the rules of the kernel."""

from __future__ import annotations

import pytest

from portrange import BoundSocket
from portrange._answers.address import WILDCARDS
from portrange._frozen import replace
from portrange._questions.busy import conflict, may_conflict
from portrange._questions.obstacles import Endpoint, needs_interface


def socket(address: str, *, dual_stack: bool | None = False, protocol: str = "tcp", state: str = "listen"):
    family = "ipv6" if ":" in address else "ipv4"
    return BoundSocket(protocol, family, address, 80, dual_stack=dual_stack, state=state)


def requested(address: str, interface: str | None = None) -> Endpoint:
    return Endpoint("tcp", "ipv6" if ":" in address else "ipv4", address, 80, interface)


def test_wildcard_addresses():
    assert WILDCARDS == {"ipv4": "0.0.0.0", "ipv6": "::"}


@pytest.mark.parametrize(
    ("bound", "address", "expected"),
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
def test_conflict_by_address(bound, address, expected):
    assert conflict(socket(bound), requested(address)) is expected


@pytest.mark.parametrize(
    ("bound", "interface", "address", "expected"),
    [
        ("fe80::1", "eth0", "fe80::1%eth0", True),
        ("fe80::1", "eth1", "fe80::1%eth0", False),
        ("::", "eth1", "fe80::1%eth0", False),
        ("::", None, "fe80::1%eth0", True),
        ("::", "eth1", "::1", True),  # a request without an interface conflicts with any
        ("fe80::1", "eth0", "fe80::1%2", True),  # the index of eth0
        ("fe80::1", "eth1", "fe80::1%2", False),
    ],
)
def test_conflict_by_interface(bound, interface, address, expected):
    scope = "eth0" if "%" in address else None
    assert conflict(replace(socket(bound), interface=interface), requested(address, scope)) is expected


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
def test_needs_interface_by_address(address, expected):
    assert needs_interface(address) is expected


def test_unknown_address_conflicts_with_any_address():
    assert conflict(BoundSocket("tcp", "ipv4", "", 80), requested("127.0.0.1"))


def test_different_transports_do_not_conflict():
    assert not conflict(socket("127.0.0.1", protocol="udp"), requested("127.0.0.1"))
    assert not may_conflict(socket("::", protocol="udp", state="bound"), requested("0.0.0.0"))


@pytest.mark.parametrize(("dual_stack", "expected"), [(True, True), (None, True), (False, False)])
def test_ipv6_wildcard_conflicts_with_ipv4_unless_v6only(dual_stack, expected):
    assert conflict(socket("::", dual_stack=dual_stack), requested("127.0.0.1")) is expected


def test_ipv4_socket_does_not_conflict_with_ipv6():
    assert not conflict(socket("0.0.0.0", dual_stack=True), requested("::"))
    assert not conflict(socket("0.0.0.0", dual_stack=None), requested("::"))


@pytest.mark.parametrize("state", ["connection", "bound", "time-wait"])
def test_ipv6_connection_may_conflict_with_ipv4_wildcard(state):
    assert may_conflict(socket("::1", state=state), requested("0.0.0.0"))
    assert not may_conflict(socket("::1", state=state), requested("127.0.0.1"))
    assert not may_conflict(socket("::1", state=state), requested("::"))


def test_ipv6_listener_does_not_conflict_with_ipv4_wildcard():
    assert not may_conflict(socket("::1", state="listen"), requested("0.0.0.0"))
