"""NETLINK_SOCK_DIAG requests and replies, compared with bytes written by hand from the kernel headers."""

from __future__ import annotations

import errno
import socket
import struct
import sys
from operator import attrgetter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inet_diag import attribute

from portrange import ParseError, Span
from portrange._backends.linux import sock_diag
from portrange._backends.linux.sock_diag import (
    ESTABLISHED,
    LISTEN,
    Address,
    DumpInterruptedError,
    SocketFilter,
    SocketRecord,
)

SEQUENCE = 7
WANTED = SocketFilter("tcp", frozenset({LISTEN}), 8080)

REQUEST = {
    # nlmsghdr: 72 bytes, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, sequence 7, port ID 0
    "<": "48000000 1400 0103 07000000 00000000" + "02060000 00040000 1f90 0000" + "00" * 32 + "00000000" + "ff" * 8,
    ">": "00000048 0014 0301 00000007 00000000" + "02060000 00000400 1f90 0000" + "00" * 32 + "00000000" + "ff" * 8,
}
# [::]:8080, interface 3, uid 1000, inode 4711, not v6only, cgroup 0x1_0000_0002
REPLY = {
    "<": "80000000 1400 0200 07000000 d2040000"
     "0a0a0000 1f90 0000" + "00" * 32 + "03000000" + "0100000000000000"
    + "00000000 00000000 80000000 e8030000 67120000"
    + "0500 0b00 00 000000" + "0500 0800 00 000000" + "0c00 1500 0200000001000000" + "0800 0f00 00000000"
    + "0400 0100",
    ">": "00000080 0014 0002 00000007 000004d2"
     "0a0a0000 1f90 0000" + "00" * 32 + "00000003" + "0000000000000001"
    + "00000000 00000000 00000080 000003e8 00001267"
    + "0005 000b 00 000000" + "0005 0008 00 000000" + "000c 0015 0000000100000002" + "0008 000f 00000000"
    + "0004 0001",
}  # fmt: skip
FIELDS = attrgetter(*SocketRecord.__slots__)
EXPECTED = FIELDS(
    SocketRecord("tcp", LISTEN, bytes(16), 8080, Address(bytes(16), 0), 4711, 1000, False, 0x1_0000_0002, 3, 0, 128)
)
ORDER = "<" if sys.byteorder == "little" else ">"


def done(number: int = 0, flags: int = 2) -> bytes:
    return struct.pack("=IHHIIi", 20, 3, flags, SEQUENCE, 0, number)


def error_message(number: int) -> bytes:
    return struct.pack("=IHHIIi16x", 36, 2, 0, SEQUENCE, 0, -number)


def read(*datagrams: bytes) -> list[SocketRecord]:
    return sock_diag.records(iter(datagrams), SEQUENCE, "tcp")[0]


def test_request():
    assert sock_diag.request(WANTED, "ipv4", SEQUENCE) == bytes.fromhex(REQUEST[ORDER])


def test_reply():
    assert list(map(FIELDS, read(bytes.fromhex(REPLY[ORDER]) + done()))) == [EXPECTED]


def test_reply_in_several_datagrams():
    message = bytes.fromhex(REPLY[ORDER])
    assert list(map(FIELDS, read(message * 3, message, message, done()))) == [EXPECTED] * 5


def test_ipv4_address_is_the_first_four_bytes():
    message = bytearray.fromhex(REPLY[ORDER])
    message[16] = 2  # AF_INET
    message[24:28] = bytes([127, 0, 0, 1])
    (record,) = read(bytes(message) + done())
    assert record.local == Address(bytes([127, 0, 0, 1]), 8080)
    assert (str(record.local), record.local.family) == ("127.0.0.1", "ipv4")


@pytest.mark.parametrize(
    ("family", "size", "packed"), [(2, 4, b"\xc0\0\2\1"), (10, 16, b"\x20\1\r\xb8" + bytes(11) + b"\1")]
)
@pytest.mark.parametrize("port", [0, 50000])
@pytest.mark.parametrize("has_address", [True, False])
def test_remote_end_has_the_address_and_the_port_of_the_reply(family, size, packed, port, has_address):
    """An address of zeros with a port, and port 0 with an address, are not taken for "no remote end"."""
    remote = packed if has_address else bytes(size)
    message = bytearray.fromhex(REPLY[ORDER])
    message[16] = family
    message[22:24] = port.to_bytes(2, "big")
    message[40 : 40 + size] = remote
    (record,) = read(bytes(message) + done())
    assert record.remote == Address(remote, port)


@pytest.mark.parametrize(
    ("protocol", "state", "queues"),
    [("tcp", LISTEN, (0, 128)), ("tcp", 1, (None, None)), ("udp", LISTEN, (None, None)), ("udp", 7, (None, None))],
)
def test_only_a_listening_tcp_socket_has_an_accept_queue(protocol, state, queues):
    message = bytearray.fromhex(REPLY[ORDER])
    message[17] = state
    [record], _ = sock_diag.records([bytes(message) + done()], SEQUENCE, protocol)
    assert (record.queued, record.backlog) == queues


def test_datagrams_of_an_earlier_reply_give_the_same_sockets():
    first, second = message(sockets()), message(sockets()) + message(sockets(attribute(21, b"\1" * 8)))
    parsed: dict[bytes, list[SocketRecord]] = {}
    before, count = sock_diag.records([first, second, first, done()], SEQUENCE, "tcp", parsed)
    assert (len(before), count, parsed.keys()) == (4, 3, {first, second})
    again, count = sock_diag.records([second, first, first, done()], SEQUENCE, "tcp", parsed)
    assert again == [*before[1:3], before[3], before[3]]
    assert count == 3


def test_messages_without_an_end_raise_parse_error():
    bodies = sock_diag.messages([message(sockets())], SEQUENCE)
    assert next(bodies) == sockets()
    with pytest.raises(ParseError, match=r"^NETLINK_SOCK_DIAG: expected a message that ends the reply, found ''$"):
        next(bodies)


def test_reading_stops_at_nlmsg_done():
    def datagrams():
        yield done()
        raise AssertionError("read past NLMSG_DONE")

    assert sock_diag.records(datagrams(), SEQUENCE, "tcp") == ([], 0)


def test_nlmsg_error_raises_os_error():
    with pytest.raises(FileNotFoundError):
        read(error_message(errno.ENOENT))


def test_error_in_nlmsg_done_raises_os_error():
    """Linux reports a missing diag module this way; an empty list would hide it."""
    with pytest.raises(FileNotFoundError):
        read(done(-errno.ENOENT))


def test_interrupted_dump_raises():
    message = bytearray.fromhex(REPLY[ORDER])
    struct.pack_into("=H", message, 6, 0x12)  # NLM_F_MULTI | NLM_F_DUMP_INTR
    with pytest.raises(DumpInterruptedError):
        read(bytes(message) + done())
    with pytest.raises(DumpInterruptedError):
        read(bytes.fromhex(REPLY[ORDER]), done(flags=0x12))


@pytest.mark.parametrize(
    "datagram",
    [
        b"\x01",  # shorter than a header
        bytes.fromhex(REPLY[ORDER])[:60],  # the message is longer than the datagram
        struct.pack("=IHHII", 8, 20, 2, SEQUENCE, 0),  # shorter than its own header
        struct.pack("=IHHII", 16, 20, 2, SEQUENCE, 0),  # a socket of no bytes
        struct.pack("=IHHII", 1 << 31, 20, 2, SEQUENCE, 0),
        struct.pack("=IHHII", 16, 99, 2, SEQUENCE, 0),  # a type that was not requested
        struct.pack("=IHHII", 20, 3, 2, SEQUENCE + 1, 0) + bytes(4),  # a reply to another request
        struct.pack("=IHHII", 18, 2, 0, SEQUENCE, 0) + bytes(2),  # an error without its number
        bytes.fromhex(REPLY[ORDER]),  # no end
    ],
)
def test_malformed_reply_raises_parse_error(datagram):
    with pytest.raises(ParseError, match="NETLINK_SOCK_DIAG"):
        read(datagram)


@pytest.mark.parametrize("length", [0, 3, 200])
def test_malformed_attribute_raises_parse_error(length):
    message = bytearray.fromhex(REPLY[ORDER])
    struct.pack_into("=H", message, 88, length)
    with pytest.raises(ParseError):
        read(bytes(message) + done())


def test_unknown_address_family_raises_parse_error():
    message = bytearray.fromhex(REPLY[ORDER])
    message[16] = 1
    with pytest.raises(ParseError):
        read(bytes(message) + done())


@given(st.lists(st.binary(max_size=200), max_size=4))
def test_arbitrary_bytes_give_records_or_a_documented_error(datagrams):
    try:
        read(*datagrams)
    except (ParseError, OSError, DumpInterruptedError):
        pass


@given(st.integers(0, 127), st.integers(0, 255))
def test_changed_byte_gives_records_or_a_documented_error(place, value):
    message = bytearray.fromhex(REPLY[ORDER])
    message[place] = value
    try:
        read(bytes(message) + done())
    except (ParseError, OSError, DumpInterruptedError):
        pass


@pytest.mark.parametrize("number", [4096, 1 << 31])
def test_invalid_errno_raises_parse_error(number):
    with pytest.raises(ParseError, match="an error number of at most 4095"):
        read(struct.pack("=IHHIIi", 20, 2, 0, SEQUENCE, 0, -number))
    with pytest.raises(OSError, match="4095"):
        read(struct.pack("=IHHIIi", 20, 2, 0, SEQUENCE, 0, -4095))


def message(body: bytes, kind: int = 20, flags: int = 2, length: int | None = None) -> bytes:
    return struct.pack("=IHHII", 16 + len(body) if length is None else length, kind, flags, SEQUENCE, 0) + body


def sockets(*attributes: bytes) -> bytes:
    return bytes.fromhex(REPLY[ORDER])[16:88] + b"".join(attributes)


@pytest.mark.parametrize("padding", [1, 2, 3])
def test_messages_are_aligned_to_four_bytes(padding):
    padded = message(sockets() + bytes(padding)) + bytes(4 - padding)
    assert len(read(padded * 2 + done())) == 2


def test_padding_of_the_last_message_is_optional():
    assert len(read(message(sockets() + b"\0"), done())) == 1


@pytest.mark.parametrize(("kind", "flags"), [(20, 0), (20, 2), (18, 0), (18, 2), (20, 3)])
def test_sockets_are_read_with_any_message_flags(kind, flags):
    assert len(read(message(sockets(), kind, flags) * 2 + done())) == 2


@pytest.mark.parametrize("kind", [0, 1, 19, 21])
def test_unknown_message_type_raises_parse_error(kind):
    with pytest.raises(ParseError):
        read(message(sockets(), kind), done())


def test_nlmsg_done_without_errno_ends_the_reply():
    assert read(message(b"", 3)) == []


def test_nlmsg_error_keeps_errno():
    with pytest.raises(OSError, match="Permission denied") as caught:
        read(error_message(errno.EACCES))
    assert caught.value.errno == errno.EACCES


def test_missing_attributes_are_none():
    (record,) = read(message(sockets()) + done())
    assert (record.v6only, record.cgroup_id) == (None, None)


def test_unrelated_attributes_do_not_set_cgroup_id():
    (record,) = read(message(sockets(attribute(8, bytes(8)), attribute(22, b"\1" * 16))) + done())
    assert record.cgroup_id is None


def test_short_attributes_are_ignored():
    (record,) = read(message(sockets(attribute(21, bytes(4)), attribute(11, b""))) + done())
    assert (record.v6only, record.cgroup_id) == (None, None)


def test_cgroup_id_has_64_bits():
    (record,) = read(message(sockets(attribute(21, b"\xff" * 8))) + done())
    assert record.cgroup_id == (1 << 64) - 1


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ((), False),
        ((attribute(11, b"\1"),), True),
        ((attribute(11, b"\1\0"),), True),
        ((attribute(11, b"\0"),), False),
        ((attribute(8, b"\1"),), False),
    ],
)
def test_is_v6only(attributes, expected):
    assert sock_diag.is_v6only(sockets(*attributes)) is expected


def test_tcp_request():
    """struct inet_diag_req has no family (both are listed), no address lengths and no extensions; states come last."""
    encoded = sock_diag.request_tcp(WANTED, SEQUENCE)
    header = struct.pack("=IHHIIBBBB", 76, 18, 0x301, SEQUENCE, 0, 0, 0, 0, 0)
    ends = b"\x1f\x90" + bytes(34) + bytes(4) + b"\xff" * 8
    assert encoded == header + ends + struct.pack("=II", 1 << LISTEN, 0)


IPV4 = (Address(b"\x7f\0\0\1", 8080), Address(b"\xc0\0\2\1", 50000))
IPV6 = (Address(bytes(15) + b"\1", 8080), Address(b"\xfe\x80" + bytes(13) + b"\2", 50000))


@pytest.mark.parametrize(("family", "ends"), [(2, IPV4), (10, IPV6)])
@pytest.mark.parametrize(("protocol", "number", "exchanged"), [("tcp", 6, False), ("udp", 17, True)])
def test_exact_request(family, ends, protocol, number, exchanged):
    """A request for one socket has no NLM_F_DUMP, and all states; UDP exchanges source and destination."""
    local, remote = ends
    source, destination = (remote, local) if exchanged else (local, remote)
    for interface in (0, 3):
        options = {"interface": interface} if interface else {}
        encoded = sock_diag.request_exact(protocol, local, remote, SEQUENCE, **options)
        assert encoded == struct.pack(
            "=IHHIIBBBxIHH16s16sI8s",
            *(72, 20, 1, SEQUENCE, 0, family, number, 0, 0xFFFFFFFF),
            *(int.from_bytes(end.port.to_bytes(2, "big"), sys.byteorder) for end in (source, destination)),
            *(source.packed, destination.packed, interface, b"\xff" * 8),
        )


def exact(*datagrams: bytes, protocol: str = "tcp") -> SocketRecord | None:
    return sock_diag.exact_record(iter(datagrams), SEQUENCE, protocol)


def test_exact_record():
    assert FIELDS(exact(bytes.fromhex(REPLY[ORDER]))) == EXPECTED
    assert FIELDS(exact(bytes.fromhex(REPLY[ORDER]), b"another reply")) == EXPECTED
    assert exact(message(sockets(), flags=0), protocol="udp").protocol == "udp"


def test_exact_record_is_none_only_if_the_kernel_has_no_such_socket():
    assert exact(error_message(errno.ENOENT)) is None
    with pytest.raises(PermissionError):
        exact(error_message(errno.EACCES))


@pytest.mark.parametrize(
    "datagrams", [[], [b""], [message(sockets()) * 2], [done()]], ids=["no", "empty", "two", "end"]
)
def test_exact_reply_without_exactly_one_socket_raises_parse_error(datagrams):
    found = datagrams[0].hex()[:120] if datagrams else ""
    with pytest.raises(ParseError, match=rf"^NETLINK_SOCK_DIAG: expected one socket, found '{found}'$"):
        exact(*datagrams)


@pytest.mark.parametrize(
    "encode", [lambda *a, **o: sock_diag.request(a[0], "ipv4", *a[1:], **o), sock_diag.request_tcp]
)
def test_request_for_a_span_contains_bytecode(encode):
    """Accept ports from the first to the last; otherwise jump 4 bytes past the end, which rejects the socket."""
    plain = encode(WANTED, SEQUENCE)
    encoded = encode(WANTED, SEQUENCE, span=Span(1000, 2000))
    program = struct.pack("=BBHBBHBBHBBH", 2, 8, 20, 0, 0, 1000, 3, 8, 12, 0, 0, 2000)
    assert encoded[4:] == plain[4:] + struct.pack("=HH", 20, 1) + program
    assert struct.unpack_from("=I", encoded) == (len(encoded),)


@pytest.mark.parametrize("sequence", [1, (1 << 31), (1 << 32) - 1])
def test_sequence_numbers_have_32_bits(sequence):
    end = struct.pack("=IHHII", 16, 3, 2, sequence, 0)
    assert sock_diag.records([end], sequence, "tcp") == ([], 0)


# --- SCTP: sockets with several addresses ----------------------------------------------------------------------------


def sockaddr(address: str, scope: int = 0) -> bytes:
    """Return a sockaddr_storage of an address with port 8080."""
    if ":" in address:
        start = struct.pack("=H2s4x16sI", 10, b"\x1f\x90", socket.inet_pton(socket.AF_INET6, address), scope)
    else:
        start = struct.pack("=H2s4s", 2, b"\x1f\x90", socket.inet_aton(address))
    return start.ljust(128, b"\0")


def sctp(
    *addresses: bytes,
    peers: tuple[bytes, ...] = (),
    remote: str = "::",
    remote_port: int = 0,
    state: int = LISTEN,
    protocol: str = "sctp",
) -> list[SocketRecord]:
    attributes = [attribute(12, b"".join(addresses))] if addresses else []
    attributes += [attribute(13, b"".join(peers))] if peers else []
    body = bytearray(sockets(attribute(21, b"\1" + bytes(7)), *attributes))
    body[1] = state
    body[6:8] = remote_port.to_bytes(2, "big")
    body[24:40] = socket.inet_pton(socket.AF_INET6, remote)
    return sock_diag.records([message(bytes(body)), done()], SEQUENCE, protocol)[0]


def places(records: list[SocketRecord]) -> list[tuple[str, int | None]]:
    return [(str(record.local), record.interface) for record in records]


def test_sctp_socket_is_returned_with_each_of_its_addresses():
    records = sctp(sockaddr("127.0.0.1"), sockaddr("2001:db8::1", 9), sockaddr("fe80::1", 2))
    assert places(records) == [("127.0.0.1", 3), ("2001:db8::1", 3), ("fe80::1", 2)]
    assert {(record.protocol, record.port, record.inode, record.uid) for record in records} == {
        ("sctp", 8080, 4711, 1000)
    }
    assert {record.cgroup_id for record in records} == {int.from_bytes(b"\1" + bytes(7), sys.byteorder)}


def test_association_is_not_bound_to_the_interface_of_its_route():
    peers = (sockaddr("2001:db8::1"), sockaddr("2001:db8::2"))
    records = sctp(
        sockaddr("127.0.0.1"),
        sockaddr("2001:db8::9", 4),
        sockaddr("fe80::1", 2),
        peers=peers,
        remote="2001:db8::2",
        remote_port=443,
        state=3,
    )
    assert places(records) == [("127.0.0.1", 0), ("2001:db8::9", 0), ("fe80::1", 2)]
    assert {(str(record.remote), record.remote.port) for record in records} == {("2001:db8::2", 443)}


@pytest.mark.parametrize("state", [1, 3, 6, 7])
def test_association_is_a_connection_in_any_state(state):
    """SHUTDOWN_RECEIVED and SHUTDOWN_ACK_SENT have the numbers of TIME_WAIT and CLOSE."""
    [record] = sctp(sockaddr("::1"), peers=(sockaddr("::2"),), remote="::2", remote_port=443, state=state)
    assert record.state == ESTABLISHED


@pytest.mark.parametrize("garbage", ["::", "::a0ac:c493:0:0"])
@pytest.mark.parametrize(
    ("peers", "remote"),
    [(["::2", "10.0.0.9", "10.0.0.8"], "10.0.0.9"), (["10.0.0.8", "::2"], "10.0.0.8"), (["::2", "::3"], "::2")],
)
def test_primary_ipv4_address_of_a_peer_is_that_of_its_list(garbage, peers, remote):
    [record] = sctp(sockaddr("10.0.0.1"), peers=tuple(map(sockaddr, peers)), remote=garbage, remote_port=443, state=3)
    assert (str(record.remote), record.remote.port) == (remote, 443)


def test_sctp_listener_that_connects_has_no_peer():
    [record] = sctp(sockaddr("10.0.0.1"), remote="::2", remote_port=443)
    assert (record.state, record.remote) == (LISTEN, Address(bytes(4), 0))
    [connected] = sctp(sockaddr("::"), remote="::2", remote_port=443, state=ESTABLISHED)
    assert connected.remote.port == 443


def test_sctp_socket_without_a_list_of_addresses_has_that_of_the_message():
    [record] = sctp()
    assert (record.protocol, record.port, *places([record])) == ("sctp", 8080, ("::", 3))


def test_addresses_of_other_protocols_are_those_of_the_message():
    assert places(sctp(sockaddr("127.0.0.1"), protocol="tcp")) == [("::", 3)]


@pytest.mark.parametrize("addresses", [b"\2", sockaddr("::1")[:-4], sockaddr("::1") + b"\2", b"\1" + bytes(127)])
def test_malformed_list_of_addresses_raises_parse_error(addresses):
    with pytest.raises(ParseError, match=": expected addresses of AF_INET or AF_INET6, each of 128 bytes, found"):
        sctp(addresses)
