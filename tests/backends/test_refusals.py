"""What each parser says of input that it refuses: the source, what was expected there, and what was found."""

from __future__ import annotations

import pytest

from portrange import ParseError
from portrange._backends import aix, settings, sunos, sysctl, windows
from portrange._backends.linux import mounts, proc_net, processes, sock_diag
from portrange._backends.linux import settings as linux

RULED = "Start Port  End Port\n----------  --------\n"
TCP = "  sl  local_address rem_address\n"
EPS = "ENDPT LPORT\n"

#: A parser of text, what it is given, what it expected, and what of the input it repeats.
TEXTS = [
    (linux.parse_range, "60999 32768", "two ascending port numbers", "60999 32768"),
    (linux.parse_range, "1 065535", "two ascending port numbers", "1 065535"),
    (linux.parse_range, "1 100000", "two ascending port numbers", "1 100000"),
    (linux.parse_reserved, "1;2", "port numbers and ranges separated by commas", "1;2"),
    (linux.parse_unprivileged_start, "65537", "one number from 0 to 65536", "65537"),
    (windows.parse_dynamic_ports, "a: 1", "a first port and a number of ports, each after a colon", "a: 1"),
    (windows.parse_exclusions, "none", "a table with a ruled head", "none"),
    (windows.parse_exclusions, RULED + "1 2 3", "rows of two ports and perhaps an asterisk", "1 2 3"),
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
    (lambda text, source: settings.bounds(0, 5, source, text), "0 to 5", "ports from 1 to 65535", "0 to 5"),
    (lambda _text, source: settings.bounds(5, 70000, source), "", "ports from 1 to 65535", "5 and 70000"),
    (mounts.parse_mounts, "1 2 3", "mounts with a separator and a type", "1 2 3"),
    (processes.parse_boot_time, "cpu 1", "a line with btime", "cpu 1"),
    (processes.parse_uid, "Name: a", "a line with Uid: and its numbers", "Name: a"),
    (lambda t, s: list(proc_net.parse_table(t, s, "tcp")), "", "a line of headers with local_address", ""),
    (lambda t, s: list(proc_net.parse_table(t, s, "tcp")), "a\nb", "a line of headers with local_address", "a"),
    (lambda t, s: list(proc_net.parse_table(t, s, "tcp")), TCP + "0: 1", "a socket with at least 10 fields", "0: 1"),
    (
        lambda t, s: list(proc_net.parse_table(t, s, "tcp")),
        TCP + "0: 0100007F:1F90 0100007F:1F90 00 a b c 0 d 1",
        "a socket with at least 10 fields",
        "0: 0100007F:1F90 0100007F:1F90 00 a b c 0 d 1",
    ),
    (lambda t, s: list(proc_net.parse_sctp_endpoints(t, s)), "", "a line of headers with LPORT", ""),
    (lambda t, s: list(proc_net.parse_sctp_endpoints(t, s)), "a\nb", "a line of headers with LPORT", "a"),
    (
        lambda t, s: list(proc_net.parse_sctp_endpoints(t, s)),
        EPS + "1 2 3",
        "an endpoint with at least 8 fields",
        "1 2 3",
    ),
    (
        lambda t, s: list(proc_net.parse_sctp_endpoints(t, s)),
        EPS + "a b 2 10 29 -1 0 1 ::1",
        "an endpoint with at least 8 fields",
        "a b 2 10 29 -1 0 1 ::1",
    ),
]
#: The same for parsers of bytes; these are repeated in hexadecimal.
BYTES = [
    (sysctl.parse_number, b"\1\2\3", "a C int of 4 bytes", "010203"),
    (sysctl.parse_ports, b"\1", "a bitmap of 65,536 bits", "01"),
    (processes.parse_stat, b"7 a \xff S", "a name in parentheses and a start time", r"7 a \xff S"),
]


@pytest.mark.parametrize(("parse", "given", "expected", "found"), [*TEXTS, *BYTES])
def test_a_refusal(parse, given, expected, found):
    with pytest.raises(ParseError) as caught:
        parse(given, "the source")
    error = caught.value
    assert (error.source, error.expected, error.text) == ("the source", expected, found)
    assert str(error) == f"the source: expected {expected}, found {found!r}"


HEADER = bytes.fromhex("10000000 0300 0200 07000000 00000000")
SOCKET = bytes.fromhex("58000000 1400 0200 07000000 00000000")


@pytest.mark.parametrize(
    ("datagram", "expected", "found"),
    [
        (b"", "a message that ends the reply", b""),
        (HEADER[:15], "a message header of 16 bytes", HEADER[:15]),
        (b"\x0f" + HEADER[1:], "a message of 15 bytes", b"\x0f" + HEADER[1:]),
        (b"\x11" + HEADER[1:], "a message of 17 bytes", b"\x11" + HEADER[1:]),
        (b"\xff" * 4 + HEADER[4:], "a message of 4294967295 bytes", b"\xff" * 4 + HEADER[4:]),
        (SOCKET + b"\2" + bytes(71) + HEADER[:15], "a message header of 16 bytes", HEADER[:15]),
        (HEADER[:8] + b"\x08" + HEADER[9:], "a message with sequence number 7", HEADER[4:8] + b"\x08\0\0\0"),
        (b"\x12" + HEADER[1:] + b"ab", "an error number of 4 bytes", b"ab"),
        (b"\x10\0\0\0\2" + HEADER[5:], "an error number of 4 bytes", b""),
        (b"\x10\0\0\0\x15" + HEADER[5:], "an inet_diag_msg of at least 72 bytes", b""),
        (b"\x57" + SOCKET[1:] + bytes(71), "an inet_diag_msg of at least 72 bytes", bytes(71)),
        (SOCKET + bytes(72), "a socket of AF_INET or AF_INET6", bytes(72)),
        (b"\x5c" + SOCKET[1:] + b"\2" + bytes(71) + b"\3\0\1\0", "an attribute of 3 bytes", b"\3\0\1\0"),
    ],
)
def test_a_refusal_of_what_the_kernel_says(datagram, expected, found):
    with pytest.raises(ParseError) as caught:
        list(sock_diag.records([datagram], "tcp", 7, "<"))
    error = caught.value
    assert (error.source, error.expected, error.text) == ("NETLINK_SOCK_DIAG", expected, found.hex()[:120])
