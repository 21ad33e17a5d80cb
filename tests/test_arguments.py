"""Argument validation of the public functions."""

from __future__ import annotations

from pathlib import PurePosixPath as Path

import pytest

import portrange
from portrange import InvalidPortError

QUERIES = [portrange.classify, portrange.who_listens, portrange.why_busy]
PORT_QUERIES = [*QUERIES, portrange.Listeners().on]


class Index:
    def __index__(self):
        return 8080


@pytest.mark.parametrize("query", PORT_QUERIES)
@pytest.mark.parametrize("port", [True, False, 80.0, "80", None, b"80", (80,)])
def test_non_integer_port_raises_type_error_naming_the_type(query, port):
    with pytest.raises(TypeError, match=type(port).__name__.rstrip("_")):
        query(port)


@pytest.mark.parametrize("query", PORT_QUERIES)
@pytest.mark.parametrize("port", [-1, 65536, 10**30, pytest.param(-(10**5000), id="huge")])
def test_port_out_of_range_raises_invalid_port_error(query, port):
    with pytest.raises(InvalidPortError, match="0 to 65535"):
        query(port)


@pytest.mark.parametrize("port", [8080, Index()])
def test_port_accepts_objects_with_index_method(port):
    info = portrange.classify(port)
    assert info.number == 8080
    assert type(info.number) is int


@pytest.mark.parametrize("kind", ["int32", "uint16", "int64"])
def test_port_accepts_numpy_integers_and_rejects_other_numpy_numbers(kind):
    numpy = pytest.importorskip("numpy")
    assert type(portrange.classify(getattr(numpy, kind)(8080)).number) is int
    for query in PORT_QUERIES:
        for port in (numpy.True_, numpy.float64(80)):
            with pytest.raises(TypeError, match=type(port).__name__.rstrip("_")):
                query(port)
        with pytest.raises(InvalidPortError, match="0 to 65535"):
            query(numpy.int64(65536))


def test_port_zero_is_valid_and_has_no_listeners():
    assert portrange.classify(0).number == 0
    assert not portrange.who_listens(0)


@pytest.mark.parametrize("protocol", ["TCP", "icmp", "", 6, b"tcp", "tcp "])
@pytest.mark.parametrize(
    "query",
    [
        lambda protocol: portrange.who_listens(80, protocol=protocol),
        lambda protocol: portrange.listeners(protocol=protocol),
        lambda protocol: portrange.ephemeral_range(protocol=protocol),
        lambda protocol: portrange.why_busy(80, protocol=protocol),
    ],
)
def test_unknown_protocol_raises_value_error_listing_the_known(query, protocol):
    with pytest.raises(ValueError, match="'tcp', 'udp', 'sctp', 'dccp'"):
        query(protocol)


def test_unknown_family_raises_value_error_listing_the_known():
    with pytest.raises(ValueError, match="'ipv4', 'ipv6'"):
        portrange.ephemeral_range(family="inet")


@pytest.mark.parametrize("namespaces", ["mine", "", None])
def test_unknown_namespaces_value_raises_value_error(namespaces):
    with pytest.raises(ValueError, match="'own', 'all'"):
        portrange.listeners(namespaces=namespaces)


@pytest.mark.parametrize("address", ["localhost", "LOCALHOST."])
def test_localhost_raises_value_error_naming_its_addresses(address):
    with pytest.raises(ValueError, match=r"localhost is a name, .* use 127\.0\.0\.1 or ::1"):
        portrange.why_busy(80, address=address)


@pytest.mark.parametrize("address", ["example.com", "127.0.0.1:80", "256.0.0.1", "[::1]", "::1/128"])
def test_non_numeric_address_raises_value_error(address):
    with pytest.raises(ValueError, match="numeric"):
        portrange.why_busy(80, address=address)


@pytest.mark.parametrize("pid", [0, -1, 1 << 31, 1 << 70])
def test_invalid_pid_raises_value_error_naming_the_bounds(pid):
    with pytest.raises(ValueError, match=r"is not a pid: pids are from 1 to 2147483647$"):
        portrange.listeners(process=pid)


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("host", ["/proc", 0, portrange.Host])
def test_non_host_raises_type_error_with_an_example(query, host):
    with pytest.raises(TypeError, match=r"host is a portrange\.Host, such as Host\('/host/proc'\), not (str|int|type)"):
        query(8080, host=host)


def test_host_procfs_accepts_a_path_and_rejects_other_values():
    assert portrange.Host(Path("/host/proc/")).procfs == "/host/proc"
    for procfs in (None, b"/proc", 5):
        with pytest.raises(TypeError, match=type(procfs).__name__):
            portrange.Host(procfs)
    for procfs in ("", "/proc\0"):
        with pytest.raises(ValueError, match="procfs is a path"):
            portrange.Host(procfs)


@pytest.mark.parametrize("address", [1, True, b"\x7f\0\0\1", None])
def test_non_string_address_raises_type_error(address):
    with pytest.raises(TypeError, match=r"an address is a string such as '127\.0\.0\.1', not"):
        portrange.why_busy(8080, address=address)
