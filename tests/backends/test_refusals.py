"""Parse errors: the source, the expected format and the rejected text of each parser."""

from __future__ import annotations

import struct

import pytest

from portrange import ParseError
from portrange._backends import aix, settings, sunos, sysctl, windows
from portrange._backends.linux import procfs, sock_diag, sockets
from portrange._backends.linux import settings as linux

RULED = "Start Port  End Port\n----------  --------\n"
TCP = "  sl  local_address rem_address\n"
EPS = "ENDPT SOCK STY SST HBKT LPORT UID INODE LADDRS\n"

#: Text parsers: parser, input, expected format, text in the error.
TEXTS = [
    (linux.parse_range, "60999 32768", "two ascending port numbers", "60999 32768"),
    (linux.parse_range, "1 065535", "two ascending port numbers", "1 065535"),
    (linux.parse_range, "1 100000", "two ascending port numbers", "1 100000"),
    (linux.parse_reserved, "1;2", "port numbers and ranges separated by commas", "1;2"),
    (linux.parse_unprivileged_start, "65537", "one number from 0 to 65536", "65537"),
    (windows.parse_dynamic_ports, "a: 1", "a first port and a number of ports, each after a colon", "a: 1"),
    (windows.parse_exclusions, "none", "a table with a ruled header", "none"),
    (windows.parse_exclusions, RULED + "1 2 3", "rows of two ports and an optional asterisk", "1 2 3"),
    (windows.parse_exclusions, RULED + "2 1", "rows of two ascending ports", "2 1"),
    (sunos.parse_properties, "a:1\nb", "lines of a property, a colon and its value", "b"),
    (sunos.parse_port, "many", "a port number", "many"),
    (sunos.parse_ports, "1,65536", "port numbers", "1,65536"),
    (
        lambda text, source: aix.parse_tunable(text, "tcp_ephemeral_low", source),
        "tcp_ephemeral_low = x",
        "a line with tcp_ephemeral_low and a port",
        "tcp_ephemeral_low = x",
    ),
    (lambda text, source: settings.range_between(0, 5, source, text), "0 to 5", "ports from 1 to 65535", "0 to 5"),
    (lambda _text, source: settings.range_between(5, 70000, source), "", "ports from 1 to 65535", "5 and 70000"),
    (procfs.parse_mounts, "1 2 3", "mounts with a separator and a type", "1 2 3"),
    (procfs.parse_boot_time, "cpu 1", "a line with btime", "cpu 1"),
    (procfs.parse_uid, "Name: a", "a line with Uid: and its numbers", "Name: a"),
    (lambda t, s: list(sockets.parse_table(t, s, "tcp")), "", "a line of headers with local_address", ""),
    (lambda t, s: list(sockets.parse_table(t, s, "tcp")), "a\nb", "a line of headers with local_address", "a"),
    (lambda t, s: list(sockets.parse_table(t, s, "tcp")), TCP + "0: 1", "a socket with at least 10 fields", "0: 1"),
    (
        lambda t, s: list(sockets.parse_table(t, s, "tcp")),
        TCP + "0: 0100007F:1F90 0100007F:1F90 00 a b c 0 d 1",
        "a socket with at least 10 fields",
        "0: 0100007F:1F90 0100007F:1F90 00 a b c 0 d 1",
    ),
    (lambda t, s: list(sockets.parse_sctp_table(t, s)), "", "a line of headers with LADDRS", ""),
    (lambda t, s: list(sockets.parse_sctp_table(t, s)), "a\nb", "a line of headers with LADDRS", "a"),
    (
        lambda t, s: list(sockets.parse_sctp_table(t, s)),
        EPS + "1 2 3",
        "a value for each header, and addresses",
        "1 2 3",
    ),
    (
        lambda t, s: list(sockets.parse_sctp_table(t, s)),
        EPS + "a b 2 10 29 -1 0 1 ::1",
        "a value for each header, and addresses",
        "a b 2 10 29 -1 0 1 ::1",
    ),
]
#: Byte parsers, in the same form; most errors show the input in hexadecimal.
BYTES = [
    (sysctl.parse_number, b"\1\2\3", "a C int of 4 bytes", "010203"),
    (sysctl.parse_ports, b"\1", "a bitmap of 65,536 bits", "01"),
    (procfs.parse_stat, b"7 a \xff S", "a name in parentheses and a start time", r"7 a \xff S"),
]


@pytest.mark.parametrize(("parse", "given", "expected", "found"), [*TEXTS, *BYTES])
def test_parse_error_of_parser(parse, given, expected, found):
    with pytest.raises(ParseError) as caught:
        parse(given, "the source")
    error = caught.value
    assert (error.source, error.expected, error.text) == ("the source", expected, found)
    assert str(error) == f"the source: expected {expected}, found {found!r}"


def header(length: int = 16, kind: int = 3, sequence: int = 7) -> bytes:
    """Return a struct nlmsghdr in native byte order, by default that of NLMSG_DONE."""
    return struct.pack("=IHHII", length, kind, 2, sequence, 0)


def socket_message(*attributes: bytes, size: int = 72) -> bytes:
    """Return a message with an inet_diag_msg of AF_INET, cut to *size* bytes."""
    body = (b"\2" + bytes(71))[:size] + b"".join(attributes)
    return header(16 + len(body), kind=20) + body


SHORT_ATTRIBUTE = struct.pack("=HH", 3, 1)


@pytest.mark.parametrize(
    ("datagram", "expected", "found"),
    [
        (b"", "a message that ends the reply", b""),
        (header()[:15], "a message header of 16 bytes", header()[:15]),
        (header(15), "a message of 15 bytes", header(15)),
        (header(17), "a message of 17 bytes", header(17)),
        (header((1 << 32) - 1), "a message of 4294967295 bytes", header((1 << 32) - 1)),
        (socket_message() + header()[:15], "a message header of 16 bytes", header()[:15]),
        (header(sequence=8), "a message with sequence number 7", header(sequence=8)[4:12]),
        (header(18) + b"ab", "an error number of 4 bytes", b"ab"),
        (header(kind=2), "an error number of 4 bytes", b""),
        (header(kind=21), "an inet_diag_msg of at least 72 bytes", b""),
        (socket_message(size=71), "an inet_diag_msg of at least 72 bytes", b"\2" + bytes(70)),
        (header(88, kind=20) + bytes(72), "a socket of AF_INET or AF_INET6", bytes(72)),
        (socket_message(SHORT_ATTRIBUTE), "an attribute of 3 bytes", SHORT_ATTRIBUTE),
    ],
)
def test_parse_error_of_sock_diag_reply(datagram, expected, found):
    with pytest.raises(ParseError) as caught:
        sock_diag.records([datagram], 7, "tcp")
    error = caught.value
    assert (error.source, error.expected, error.text) == ("NETLINK_SOCK_DIAG", expected, found.hex()[:120])
