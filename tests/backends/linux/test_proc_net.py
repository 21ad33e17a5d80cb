"""Parsers of the tables in /proc/net."""

from __future__ import annotations

import ipaddress
import sys
from operator import attrgetter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portrange import ParseError
from portrange._backends.linux.sock_diag import CLOSE, ESTABLISHED, LISTEN, TIME_WAIT, SocketRecord
from portrange._backends.linux.sockets import parse_sctp_table, parse_table

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def digits(address: str, order: str = sys.byteorder) -> str:
    """Return the digits of an address in /proc/net, which contains each 4 bytes as an integer of the kernel."""
    packed = ipaddress.ip_address(address).packed
    integers = (int.from_bytes(packed[start : start + 4], order) for start in range(0, len(packed), 4))
    return "".join(f"{integer:08X}" for integer in integers)


def tcp_table(order: str = sys.byteorder) -> str:
    loopback = digits("127.0.0.1", order)
    return HEADER + (
        f"   0: {loopback}:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 "
        "4711 1 0 100 0 0 10 0\n"
        f"   1: {loopback}:9C40 {loopback}:1F90 06 00000000:00000000 03:000017A4 00000000     0        0 0 3 0\n"
    )


TCP = tcp_table()
LOOPBACK = digits("127.0.0.1")
TCP6 = HEADER + (
    "   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A "
    "00000000:00000000 00:00000000 00000000     0        0 99 1 0 100 0 0 10 0\n"
    f"   1: {digits('::ffff:127.0.0.1')}:0050 00000000000000000000000000000000:0000 0A "
    "00000000:00000000 00:00000000 00000000    33        0 98 1 0 100 0 0 10 0\n"
)
SCTP = (
    " ENDPT     SOCK   STY SST HBKT LPORT   UID INODE LADDRS\n"
    "ffff8801 ffff8802 2   10  29   2905    0 3214 10.0.0.1 fe80::1 \n"
)
#: Associations of a server and of a client, as Linux 6.1 lists them.
ASSOCIATIONS = (
    " ASSOC     SOCK   STY SST ST HBKT ASSOC-ID TX_QUEUE RX_QUEUE UID INODE LPORT RPORT LADDRS <-> RADDRS HBINT INS "
    "OUTS MAXRT T1X T2X RTXC wmema wmemq sndbuf rcvbuf\n"
    "bfafeec9 97acb355 2   1   3  0       5        0        0    1000    61 36412  9003  10.9.0.2 <-> 10.9.0.1 "
    "*10.9.0.3 \t    3000    10    10   10    0    0        0        1        0   212992   212992\n"
    "a112780d 15d3ed97 1   10  4  0       8        0        0    1000    64 9003  36413  10.9.0.1 "
    "0000:0000:0000:0000:0000:0000:0000:0001 <-> 0000:0000:0000:0000:0000:0000:0000:0002 "
    "0000:0000:0000:0000:0000:0000:0000:0001 \t    3000    10    10   10"
    "    0    0        0        1        0   212992   212992\n"
)


def test_parse_table_reads_listeners_and_time_wait_sockets():
    listener, time_wait = parse_table(TCP, "tcp", "tcp")
    assert (str(listener.local), listener.local.port, listener.state) == ("127.0.0.1", 8080, LISTEN)
    assert (listener.uid, listener.inode) == (1000, 4711)
    assert (time_wait.state, time_wait.inode, time_wait.remote.port) == (TIME_WAIT, 0, 8080)


@pytest.mark.parametrize(("order", "loopback"), [("little", "0100007F"), ("big", "7F000001")])
def test_parse_table_reads_addresses_in_native_byte_order(order, loopback, monkeypatch):
    fields = attrgetter(*SocketRecord.__slots__)
    native = list(map(fields, parse_table(TCP, "tcp", "tcp")))
    text = tcp_table(order)
    assert text.count(loopback) == 3
    monkeypatch.setattr("sys.byteorder", order)
    assert list(map(fields, parse_table(text, "tcp", "tcp"))) == native


def test_parse_table_reads_ipv6_and_mapped_addresses():
    wildcard, mapped = parse_table(TCP6, "tcp6", "tcp")
    assert (str(wildcard.local), wildcard.local.family) == ("::", "ipv6")
    assert wildcard.dual_stack is None  # not in the table
    assert (str(mapped.local), mapped.local.family) == ("127.0.0.1", "ipv4")
    assert mapped.dual_stack is False


def test_parse_table_without_sockets():
    assert list(parse_table(HEADER, "tcp", "tcp")) == []


def test_parse_sctp_table_reads_all_addresses():
    records = list(parse_sctp_table(SCTP, "eps"))
    assert [str(record.local) for record in records] == ["10.0.0.1", "fe80::1"]
    assert [str(record.remote) for record in records] == ["0.0.0.0", "::"]
    assert {(record.protocol, record.uid, record.remote.port) for record in records} == {("sctp", 0, 0)}
    assert {(record.state, record.local.port, record.inode) for record in records} == {(LISTEN, 2905, 3214)}


@pytest.mark.parametrize(
    "text",
    [
        "",  # WSL 1 gives an empty file
        "tcp\n",
        HEADER + f"   0: {LOOPBACK}:1F90 00000000:0000 0A\n",
        TCP[:-40],
        TCP.replace(f"{LOOPBACK}:1F90", f"{LOOPBACK}1F90"),
        TCP.replace(f"{LOOPBACK}:1F90", f"{LOOPBACK[1:]}:1F90"),
        TCP.replace(f"{LOOPBACK}:1F90", f"{LOOPBACK}00:1F90"),
        TCP.replace(f"{LOOPBACK}:1F90", f"{LOOPBACK}:001F90"),
        TCP.replace(f"{LOOPBACK}:1F90", f"{LOOPBACK}:-F90"),
        TCP.replace(" 0A ", " 7F "),
        TCP.replace("1000        0 4711", "-1        0 4711"),
        TCP.replace("4711", "many"),
        TCP.replace("4711", "9" * 5000),
        TCP.replace("4711", str(1 << 64)),
        TCP.replace("1000        0 4711", f"{1 << 32}        0 4711"),
        TCP.replace(" 0A ", " 00 "),
        TCP.replace(" 0A ", " 20 "),
    ],
)
def test_parse_table_rejects_invalid_text(text):
    with pytest.raises(ParseError, match="the table"):
        list(parse_table(text, "the table", "tcp"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ENDPT SOCK\n",
        SCTP.replace(" 10 ", " -1 "),
        SCTP.replace(" 10 ", " 256 "),
        SCTP.replace("2905", "65536"),
        SCTP.replace("2905", "-1"),
        SCTP.replace(" 0 3214", f" {1 << 32} 3214"),
        SCTP.replace("3214", str(1 << 64)),
        SCTP.replace("3214", "9" * 5000),
        SCTP.replace("10.0.0.1", "10.0.0"),
        SCTP[: SCTP.index(" 3214")],
        SCTP.replace(" LPORT ", " PORT "),
    ],
)
def test_parse_sctp_table_rejects_invalid_text(text):
    with pytest.raises(ParseError, match="the table"):
        list(parse_sctp_table(text, "the table"))


def test_parse_sctp_table_reads_both_ends_of_associations():
    records = list(parse_sctp_table(ASSOCIATIONS, "assocs"))
    assert [(str(record.local), record.port, str(record.remote), record.remote.port) for record in records] == [
        ("10.9.0.2", 36412, "10.9.0.3", 9003),
        ("10.9.0.1", 9003, "::2", 36413),
        ("::1", 9003, "::2", 36413),
    ]
    assert {(record.protocol, record.state, record.uid) for record in records} == {("sctp", ESTABLISHED, 1000)}
    assert [record.inode for record in records] == [61, 64, 64]


@pytest.mark.parametrize(
    "text",
    [
        ASSOCIATIONS.replace("<-> 10.9.0.1 *10.9.0.3", "10.9.0.1"),
        ASSOCIATIONS.replace("10.9.0.1 *10.9.0.3", ""),
        ASSOCIATIONS.replace("*10.9.0.3", "**"),
        ASSOCIATIONS.replace("9003  10.9.0.2", "65536  10.9.0.2"),
        ASSOCIATIONS.replace(" RPORT ", " "),
        ASSOCIATIONS[: ASSOCIATIONS.index("  9003")],
        ASSOCIATIONS.replace(" LPORT ", " PORT "),
    ],
)
def test_parse_sctp_table_rejects_invalid_associations(text):
    with pytest.raises(ParseError, match=r"^assocs: expected a value for each header, and addresses, found"):
        list(parse_sctp_table(text, "assocs"))


@given(st.text())
def test_arbitrary_text_gives_records_or_a_parse_error(text):
    for parse in (lambda: parse_table(text, "t", "tcp"), lambda: parse_table(HEADER + text, "t", "udp")):
        try:
            assert all(record.state != CLOSE or record for record in parse())
        except ParseError:
            pass
    for content in (text, SCTP + text, ASSOCIATIONS + text):
        try:
            list(parse_sctp_table(content, "t"))
        except ParseError:
            pass


def test_parse_sctp_table_reads_the_primary_address():
    """The kernel prefixes it with an asterisk (sctp_seq_dump_local_addrs, net/sctp/proc.c)."""
    [first, _] = parse_sctp_table(SCTP.replace("10.0.0.1", "*10.0.0.2"), "eps")
    assert str(first.local) == "10.0.0.2"


def test_parse_table_reads_hexadecimal_states():
    [listener, _] = parse_table(TCP.replace(" 0A ", " 1F "), "tcp", "tcp")
    assert listener.state == 31


def test_users_and_inodes_have_32_and_64_bits():
    text = TCP.replace(" 1000 ", f" {2**32 - 1} ").replace("4711", f"{2**64 - 1}")
    listener, _ = parse_table(text, "file", "tcp")
    assert (listener.uid, listener.inode) == (2**32 - 1, 2**64 - 1)
    with pytest.raises(ParseError):
        list(parse_table(TCP.replace(" 1000 ", f" {2**32} "), "file", "tcp"))
