"""The tables of /proc/net."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portrange import ParseError
from portrange._backends.linux.proc_net import parse_sctp_endpoints, parse_table
from portrange._backends.linux.socket_record import CLOSE, LISTEN, TIME_WAIT

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
TCP = HEADER + (
    "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0 100 0 0 10 0\n"
    "   1: 0100007F:9C40 0100007F:1F90 06 00000000:00000000 03:000017A4 00000000     0        0 0 3 0\n"
)
TCP6 = HEADER + (
    "   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A "
    "00000000:00000000 00:00000000 00000000     0        0 99 1 0 100 0 0 10 0\n"
    "   1: 0000000000000000FFFF00000100007F:0050 00000000000000000000000000000000:0000 0A "
    "00000000:00000000 00:00000000 00000000    33        0 98 1 0 100 0 0 10 0\n"
)
SCTP = (
    " ENDPT     SOCK   STY SST HBKT LPORT   UID INODE LADDRS\n"
    "ffff8801 ffff8802 2   10  29   2905    0 3214 10.0.0.1 fe80::1 \n"
)


def test_a_listener_and_a_time_wait_socket():
    listener, waiting = parse_table(TCP, "tcp", "tcp", "little")
    assert (str(listener.local), listener.local.port, listener.state) == ("127.0.0.1", 8080, LISTEN)
    assert (listener.uid, listener.inode) == (1000, 4711)
    assert (waiting.state, waiting.inode, waiting.remote.port) == (TIME_WAIT, 0, 8080)


def test_a_big_endian_kernel_writes_the_words_the_other_way_round():
    text = TCP.replace("0100007F", "7F000001")
    assert list(parse_table(text, "tcp", "tcp", "big")) == list(parse_table(TCP, "tcp", "tcp", "little"))


def test_ipv6_and_mapped_addresses():
    wildcard, mapped = parse_table(TCP6, "tcp6", "tcp", "little")
    assert (str(wildcard.local), wildcard.local.family) == ("::", "ipv6")
    assert wildcard.dual_stack is None  # the table does not tell
    assert (str(mapped.local), mapped.local.family) == ("127.0.0.1", "ipv4")
    assert mapped.dual_stack is False


def test_a_table_without_sockets():
    assert list(parse_table(HEADER, "tcp", "tcp")) == []


def test_sctp_endpoints_have_several_addresses():
    records = list(parse_sctp_endpoints(SCTP, "eps"))
    assert [str(record.local) for record in records] == ["10.0.0.1", "fe80::1"]
    assert [str(record.remote) for record in records] == ["0.0.0.0", "::"]
    assert {(record.protocol, record.uid, record.remote.port) for record in records} == {("sctp", 0, 0)}
    assert {(record.state, record.local.port, record.inode) for record in records} == {(LISTEN, 2905, 3214)}


@pytest.mark.parametrize(
    "text",
    [
        "",  # WSL 1 gives an empty file
        "tcp\n",
        HEADER + "   0: 0100007F:1F90 00000000:0000 0A\n",
        TCP[:-40],
        TCP.replace("0100007F:1F90", "0100007F1F90"),
        TCP.replace("0100007F:1F90", "100007F:1F90"),
        TCP.replace("0100007F:1F90", "0100007F00:1F90"),
        TCP.replace("0100007F:1F90", "0100007F:001F90"),
        TCP.replace("0100007F:1F90", "0100007F:-F90"),
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
def test_what_is_not_a_table_is_a_parse_error_that_names_it(text):
    with pytest.raises(ParseError, match="the table"):
        list(parse_table(text, "the table", "tcp", "little"))


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
    ],
)
def test_what_is_no_table_of_endpoints_is_a_parse_error_that_names_it(text):
    with pytest.raises(ParseError, match="the table"):
        list(parse_sctp_endpoints(text, "the table"))


@given(st.text())
def test_any_text_gives_records_or_a_parse_error(text):
    for parse in (lambda: parse_table(text, "t", "tcp"), lambda: parse_table(HEADER + text, "t", "udp")):
        try:
            assert all(record.state != CLOSE or record for record in parse())
        except ParseError:
            pass
    for content in (text, SCTP + text):
        try:
            list(parse_sctp_endpoints(content, "t"))
        except ParseError:
            pass


def test_the_primary_address_is_an_address():
    """An asterisk is put before it (sctp_seq_dump_local_addrs, net/sctp/proc.c)."""
    [first, _] = parse_sctp_endpoints(SCTP.replace("10.0.0.1", "*10.0.0.2"), "eps")
    assert str(first.local) == "10.0.0.2"


def test_states_are_hexadecimal():
    [listener, _] = parse_table(TCP.replace(" 0A ", " 1F "), "tcp", "tcp", "little")
    assert listener.state == 31
