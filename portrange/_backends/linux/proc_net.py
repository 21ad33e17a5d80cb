"""The tables /proc/net/{tcp,udp}{,6} and /proc/net/sctp/eps: slower than sock_diag and silent about cgroups.

Written by tcp4_seq_show, udp4_seq_show and their IPv6 twins (net/ipv4/tcp_ipv4.c, …): an address is printed as
32-bit words in the kernel's own byte order, a port as a plain number, both hexadecimal. A socket that is bound but
does not listen (BOUND_INACTIVE) is not in them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal

from ..._errors import ParseError
from .number import unsigned
from .socket_record import Address, SocketRecord

_MAX_STATE = 32


def parse_table(
    text: str, source: str, protocol: str, byteorder: Literal["little", "big"] = sys.byteorder
) -> Iterator[SocketRecord]:
    """The sockets of one table, in its order. An empty text is an error: there is always a line of headers."""
    lines = text.splitlines()
    if not lines or "local_address" not in lines[0]:
        raise ParseError(source, "a line of headers with local_address", lines[0] if lines else "")
    for line in lines[1:]:
        fields = line.split()
        try:
            local, remote = (_address(field, byteorder) for field in fields[1:3])
            state, uid, inode = int(fields[3], 16), unsigned(fields[7], 32), unsigned(fields[9])
        except (ValueError, IndexError):
            raise ParseError(source, "a socket with at least 10 fields", line) from None
        if not 0 < state < _MAX_STATE or uid is None or inode is None:
            raise ParseError(source, "a socket with at least 10 fields", line)
        yield SocketRecord(protocol, state, local, remote, inode, uid)


def parse_sctp_endpoints(text: str, source: str) -> Iterator[SocketRecord]:
    """The sockets of /proc/net/sctp/eps, one record for each local address (sctp_eps_seq_show, net/sctp/proc.c).

    The state is a number of the common kind: SCTP_SS_LISTENING is LISTEN (include/net/sctp/constants.h).
    """
    import ipaddress

    lines = text.splitlines()
    if not lines or "LPORT" not in lines[0]:
        raise ParseError(source, "a line of headers with LPORT", lines[0] if lines else "")
    for line in lines[1:]:
        fields = line.split()
        try:
            state, port = unsigned(fields[3], 8), unsigned(fields[5], 16)
            uid, inode = unsigned(fields[6], 32), unsigned(fields[7])
            addresses = [ipaddress.ip_address(field.lstrip("*")).packed for field in fields[8:]]
        except (ValueError, IndexError):
            raise ParseError(source, "an endpoint with at least 8 fields", line) from None
        if state is None or port is None or uid is None or inode is None:
            raise ParseError(source, "an endpoint with at least 8 fields", line)
        for packed in addresses:
            yield SocketRecord("sctp", state, Address(packed, port), Address(bytes(len(packed)), 0), inode, uid)


def _address(field: str, byteorder: Literal["little", "big"]) -> Address:
    words, _, port = field.partition(":")
    packed, number = bytes.fromhex(words), bytes.fromhex(port)
    if len(packed) not in (4, 16) or len(number) != 2:
        raise ValueError(field)
    if byteorder == "little":
        packed = b"".join(packed[start : start + 4][::-1] for start in range(0, len(packed), 4))
    return Address(packed, int.from_bytes(number, "big"))


#: How to read the tables of each transport.
PARSERS: dict[str, Callable[[str, str], Iterator[SocketRecord]]] = {
    "tcp": partial(parse_table, protocol="tcp"),
    "udp": partial(parse_table, protocol="udp"),
    "sctp": parse_sctp_endpoints,
}
