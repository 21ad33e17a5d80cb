"""What callers may pass in, and what they are told when they may not."""

from __future__ import annotations

from pathlib import PurePosixPath as Path

import pytest

import portrange
from portrange import InvalidPortError

QUESTIONS = [portrange.classify, portrange.who_listens, portrange.why_busy]
TAKES_A_PORT = [*QUESTIONS, portrange.Listeners().on]


class Index:
    def __index__(self):
        return 8080


@pytest.mark.parametrize("ask", TAKES_A_PORT)
@pytest.mark.parametrize("port", [True, False, 80.0, "80", None, b"80", (80,)])
def test_what_is_not_a_whole_number_is_a_type_error_that_names_the_type(ask, port):
    with pytest.raises(TypeError, match=type(port).__name__.rstrip("_")):
        ask(port)


@pytest.mark.parametrize("ask", TAKES_A_PORT)
@pytest.mark.parametrize("port", [-1, 65536, 10**30, pytest.param(-(10**5000), id="huge")])
def test_numbers_outside_are_invalid_ports(ask, port):
    with pytest.raises(InvalidPortError, match="0 to 65535"):
        ask(port)


@pytest.mark.parametrize("port", [8080, Index()])
def test_anything_with_an_index_is_a_port(port):
    info = portrange.classify(port)
    assert info.number == 8080
    assert type(info.number) is int


@pytest.mark.parametrize("kind", ["int32", "uint16", "int64"])
def test_integers_of_numpy_are_ports_and_its_other_numbers_are_none(kind):
    numpy = pytest.importorskip("numpy")
    assert type(portrange.classify(getattr(numpy, kind)(8080)).number) is int
    for ask in TAKES_A_PORT:
        for port in (numpy.True_, numpy.float64(80)):
            with pytest.raises(TypeError, match=type(port).__name__.rstrip("_")):
                ask(port)
        with pytest.raises(InvalidPortError, match="0 to 65535"):
            ask(numpy.int64(65536))


def test_zero_is_a_port_that_nobody_can_have():
    assert portrange.classify(0).number == 0
    assert not portrange.who_listens(0)


@pytest.mark.parametrize("protocol", ["TCP", "icmp", "", 6, b"tcp", "tcp "])
@pytest.mark.parametrize(
    "ask",
    [
        lambda protocol: portrange.who_listens(80, protocol=protocol),
        lambda protocol: portrange.listeners(protocol=protocol),
        lambda protocol: portrange.ephemeral_range(protocol=protocol),
        lambda protocol: portrange.why_busy(80, protocol=protocol),
    ],
)
def test_an_unknown_protocol_is_answered_with_the_known_ones(ask, protocol):
    with pytest.raises(ValueError, match="'tcp', 'udp', 'sctp', 'dccp'"):
        ask(protocol)


def test_an_unknown_family_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="'ipv4', 'ipv6'"):
        portrange.ephemeral_range(family="inet")


@pytest.mark.parametrize("namespaces", ["mine", "", None])
def test_unknown_namespaces(namespaces):
    with pytest.raises(ValueError, match="'own' or 'all'"):
        portrange.listeners(namespaces=namespaces)


@pytest.mark.parametrize("address", ["localhost", "127.0.0.1:80", "256.0.0.1", "[::1]", "::1/128"])
def test_an_address_must_be_numeric(address):
    with pytest.raises(ValueError, match="numeric"):
        portrange.why_busy(80, address=address)


@pytest.mark.parametrize("ask", QUESTIONS)
@pytest.mark.parametrize("host", ["/proc", 0, portrange.Host])
def test_what_is_no_host_is_a_type_error_that_says_what_is(ask, host):
    with pytest.raises(TypeError, match=r"host is a portrange\.Host, such as Host\('/host/proc'\), not (str|int|type)"):
        ask(8080, host=host)


def test_where_procfs_is_may_be_a_path():
    assert portrange.Host(Path("/host/proc/")).procfs == "/host/proc"
    with pytest.raises(TypeError, match="NoneType"):
        portrange.Host(None)


@pytest.mark.parametrize("address", [1, True, b"\x7f\0\0\1", None])
def test_what_is_no_address_is_a_type_error(address):
    with pytest.raises(TypeError, match=r"an address is a string such as '127\.0\.0\.1', not"):
        portrange.why_busy(8080, address=address)
