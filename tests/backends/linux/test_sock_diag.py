"""The language of sock_diag, against bytes that were written down by hand from the kernel's headers."""

from __future__ import annotations

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portrange import ParseError, Span
from portrange._backends.linux import sock_diag
from portrange._backends.linux.sock_diag import DumpInterruptedError
from portrange._backends.linux.socket_record import LISTEN, Address, SocketFilter, SocketRecord

SEQUENCE = 7
WANTED = SocketFilter("tcp", frozenset({LISTEN}), 8080)

REQUEST = {
    # nlmsghdr: 72 bytes, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, sequence 7, from nobody
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
EXPECTED = SocketRecord(
    "tcp", LISTEN, Address(bytes(16), 8080), Address(bytes(16), 0), 4711, 1000, False, 0x1_0000_0002, 3
)
ORDERS = ["<", ">"]


def done(order: str, number: int = 0, flags: int = 2) -> bytes:
    return struct.pack(order + "IHHIIi", 20, 3, flags, SEQUENCE, 0, number)


def refusal(order: str, number: int) -> bytes:
    return struct.pack(order + "IHHIIi16x", 36, 2, 0, SEQUENCE, 0, -number)


def read(*datagrams: bytes, order: str = "<") -> list[SocketRecord]:
    return list(sock_diag.records(iter(datagrams), "tcp", SEQUENCE, order))


@pytest.mark.parametrize("order", ORDERS)
def test_the_request(order):
    assert sock_diag.request(WANTED, "ipv4", SEQUENCE, order) == bytes.fromhex(REQUEST[order])


@pytest.mark.parametrize("order", ORDERS)
def test_a_reply(order):
    assert read(bytes.fromhex(REPLY[order]) + done(order), order=order) == [EXPECTED]


@pytest.mark.parametrize("order", ORDERS)
def test_a_reply_in_many_datagrams(order):
    message = bytes.fromhex(REPLY[order])
    assert read(message * 3, message, message, done(order), order=order) == [EXPECTED] * 5


def test_an_ipv4_address_is_the_first_four_bytes():
    message = bytearray.fromhex(REPLY["<"])
    message[16] = 2  # AF_INET
    message[24:28] = bytes([127, 0, 0, 1])
    (record,) = read(bytes(message) + done("<"))
    assert record.local == Address(bytes([127, 0, 0, 1]), 8080)
    assert (str(record.local), record.local.family) == ("127.0.0.1", "ipv4")


def test_nothing_after_the_end_is_read():
    def datagrams():
        yield done("<")
        raise AssertionError("asked for more after the end")

    assert list(sock_diag.records(datagrams(), "tcp", SEQUENCE, "<")) == []


@pytest.mark.parametrize("order", ORDERS)
def test_the_kernel_refuses_in_an_error_message(order):
    with pytest.raises(FileNotFoundError):
        read(refusal(order, errno.ENOENT), order=order)


@pytest.mark.parametrize("order", ORDERS)
def test_the_kernel_refuses_in_the_message_that_ends_the_reply(order):
    """What Linux does where a diag module is missing: an empty list would be a lie."""
    with pytest.raises(FileNotFoundError):
        read(done(order, -errno.ENOENT), order=order)


def test_a_disturbed_dump_is_not_believed():
    message = bytearray.fromhex(REPLY["<"])
    message[6] |= 0x10  # NLM_F_DUMP_INTR
    with pytest.raises(DumpInterruptedError):
        read(bytes(message) + done("<"))
    with pytest.raises(DumpInterruptedError):
        read(bytes.fromhex(REPLY["<"]), done("<", flags=0x12))


@pytest.mark.parametrize(
    "datagram",
    [
        b"\x01",  # not even a header
        bytes.fromhex(REPLY["<"])[:60],  # the message is longer than the datagram
        struct.pack("<IHHII", 8, 20, 2, SEQUENCE, 0),  # shorter than its own header
        struct.pack("<IHHII", 16, 20, 2, SEQUENCE, 0),  # a socket of no bytes
        struct.pack("<IHHII", 1 << 31, 20, 2, SEQUENCE, 0),
        struct.pack("<IHHII", 16, 99, 2, SEQUENCE, 0),  # a type that nobody asked for
        struct.pack("<IHHII", 20, 3, 2, SEQUENCE + 1, 0) + bytes(4),  # an answer to another question
        struct.pack("<IHHII", 18, 2, 0, SEQUENCE, 0) + bytes(2),  # an error without its number
        bytes.fromhex(REPLY["<"]),  # no end
    ],
)
def test_a_reply_that_is_not_as_documented_is_a_parse_error(datagram):
    with pytest.raises(ParseError, match="NETLINK_SOCK_DIAG"):
        read(datagram)


@pytest.mark.parametrize("length", [0, 3, 200])
def test_an_attribute_that_is_not_as_documented_is_a_parse_error(length):
    message = bytearray.fromhex(REPLY["<"])
    struct.pack_into("<H", message, 88, length)
    with pytest.raises(ParseError):
        read(bytes(message) + done("<"))


def test_an_unknown_address_family_is_a_parse_error():
    message = bytearray.fromhex(REPLY["<"])
    message[16] = 1
    with pytest.raises(ParseError):
        read(bytes(message) + done("<"))


@given(st.lists(st.binary(max_size=200), max_size=4))
def test_any_bytes_give_records_or_a_named_error(datagrams):
    try:
        read(*datagrams)
    except (ParseError, OSError, DumpInterruptedError):
        pass


@given(st.integers(0, 127), st.integers(0, 255))
def test_any_changed_byte_gives_records_or_a_named_error(place, value):
    message = bytearray.fromhex(REPLY["<"])
    message[place] = value
    try:
        read(bytes(message) + done("<"))
    except (ParseError, OSError, DumpInterruptedError):
        pass


@pytest.mark.parametrize("number", [4096, 1 << 31])
@pytest.mark.parametrize("order", ORDERS)
def test_a_refusal_without_an_error_of_the_kernel_is_a_parse_error(order, number):
    with pytest.raises(ParseError, match="an error number of at most 4095"):
        read(struct.pack(order + "IHHIIi", 20, 2, 0, SEQUENCE, 0, -number), order=order)
    with pytest.raises(OSError, match="4095"):
        read(struct.pack(order + "IHHIIi", 20, 2, 0, SEQUENCE, 0, -4095), order=order)


def message(body: bytes, kind: int = 20, flags: int = 2, length: int | None = None) -> bytes:
    return struct.pack("<IHHII", 16 + len(body) if length is None else length, kind, flags, SEQUENCE, 0) + body


def sockets(*attributes: bytes) -> bytes:
    return bytes.fromhex(REPLY["<"])[16:88] + b"".join(attributes)


def attribute(number: int, value: bytes) -> bytes:
    return struct.pack("<HH", 4 + len(value), number) + value + bytes(-len(value) & 3)


@pytest.mark.parametrize("padding", [1, 2, 3])
def test_messages_begin_at_multiples_of_four(padding):
    one = message(sockets() + bytes(padding)) + bytes(4 - padding)
    assert len(read(one * 2 + done("<"))) == 2


def test_the_padding_of_the_last_message_may_be_missing():
    assert len(read(message(sockets() + b"\0"), done("<"))) == 1


@pytest.mark.parametrize(("kind", "flags"), [(20, 0), (20, 2), (18, 0), (18, 2), (20, 3)])
def test_a_socket_is_one_whatever_its_flags(kind, flags):
    assert len(read(message(sockets(), kind, flags) * 2 + done("<"))) == 2


@pytest.mark.parametrize("kind", [0, 1, 19, 21])
def test_a_message_of_another_kind_is_not_understood(kind):
    with pytest.raises(ParseError):
        read(message(sockets(), kind), done("<"))


def test_a_reply_may_end_without_a_word():
    assert read(message(b"", 3)) == []


def test_a_refusal_says_why():
    with pytest.raises(OSError, match="Permission denied") as caught:
        read(refusal("<", errno.EACCES))
    assert caught.value.errno == errno.EACCES


def test_what_the_kernel_does_not_tell_is_none():
    (record,) = read(message(sockets()) + done("<"))
    assert (record.v6only, record.cgroup_id) == (None, None)


def test_other_attributes_say_nothing_about_the_group():
    (record,) = read(message(sockets(attribute(8, bytes(8)), attribute(22, b"\1" * 16))) + done("<"))
    assert record.cgroup_id is None


def test_attributes_that_are_too_short_say_nothing():
    (record,) = read(message(sockets(attribute(21, bytes(4)), attribute(11, b""))) + done("<"))
    assert (record.v6only, record.cgroup_id) == (None, None)


def test_the_number_of_a_group_has_64_bits():
    (record,) = read(message(sockets(attribute(21, b"\xff" * 8))) + done("<"))
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
def test_whether_a_socket_takes_ipv6_alone(attributes, expected):
    assert sock_diag.is_v6only(sockets(*attributes), "<") is expected


@pytest.mark.parametrize("order", ORDERS)
def test_the_request_of_old(order):
    """struct inet_diag_req: no family (both), no lengths of addresses, no extensions; last the states."""
    made = sock_diag.request_tcp(WANTED, SEQUENCE, order)
    header = struct.pack(order + "IHHIIBBBB", 76, 18, 0x301, SEQUENCE, 0, 0, 0, 0, 0)
    ends = b"\x1f\x90" + bytes(34) + bytes(4) + b"\xff" * 8
    assert made == header + ends + struct.pack(order + "II", 1 << LISTEN, 0)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("ask", [lambda *a, **o: sock_diag.request(a[0], "ipv4", *a[1:], **o), sock_diag.request_tcp])
def test_a_request_for_a_span_carries_a_program(order, ask):
    """At least the first port, else 4 bytes beyond the end; at most the last port, else the same."""
    plain = ask(WANTED, SEQUENCE, order)
    made = ask(WANTED, SEQUENCE, order, span=Span(1000, 2000))
    program = struct.pack(order + "BBHBBHBBHBBH", 2, 8, 20, 0, 0, 1000, 3, 8, 12, 0, 0, 2000)
    assert made[4:] == plain[4:] + struct.pack(order + "HH", 20, 1) + program
    assert struct.unpack_from(order + "I", made) == (len(made),)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("sequence", [1, (1 << 31), (1 << 32) - 1])
def test_sequence_numbers_have_32_bits(order, sequence):
    end = struct.pack(order + "IHHII", 16, 3, 2, sequence, 0)
    assert list(sock_diag.records([end], "tcp", sequence, order)) == []
