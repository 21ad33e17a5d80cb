"""Protocols, address families and the text of addresses."""

from __future__ import annotations

from .._lazy import import_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal, TypeAlias

    ProtocolName: TypeAlias = Literal["tcp", "udp", "sctp", "dccp"]
    FamilyName: TypeAlias = Literal["ipv4", "ipv6"]

#: The protocols whose sockets can be queried, in the order of results.
PROTOCOLS: tuple[ProtocolName, ...] = ("tcp", "udp", "sctp", "dccp")
FAMILIES: tuple[FamilyName, ...] = ("ipv4", "ipv6")
#: The wildcard address of each family.
WILDCARDS: dict[FamilyName, str] = {"ipv4": "0.0.0.0", "ipv6": "::"}  # noqa: S104 - the library never listens
#: The first bytes of an IPv4-mapped IPv6 address, ``::ffff:a.b.c.d`` (RFC 4291, section 2.5.5.2).
MAPPED_PREFIX = bytes(10) + b"\xff\xff"

#: The highest index of a network interface, a number of 32 bits.
HIGHEST_INDEX = 0xFFFFFFFF


def unmapped(packed: bytes) -> bytes:
    """Return an address in network order: 4 bytes for IPv4, also for an IPv4-mapped IPv6 address."""
    return packed[12:] if len(packed) == 16 and packed.startswith(MAPPED_PREFIX) else packed


def address_text(packed: bytes) -> str:
    """Return an address in network order as text, in the notation of the system.

    `ipaddress` writes some addresses in another way, such as ::192.0.2.1 (RFC 4291, section 2.5.5.1).
    """
    with import_lock:
        import socket

    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def is_link_local(address: str) -> bool:
    """Return whether *address* is in fe80::/10 (RFC 4291, section 2.5.6), so that it needs an interface.

    >>> is_link_local("fe80::1"), is_link_local("febf::1%eth0"), is_link_local("fec0::1"), is_link_local("fe8::1")
    (True, True, False, False)
    """
    first = address.partition(":")[0]
    return len(first) == 4 and first.startswith(("fe8", "fe9", "fea", "feb"))


def zoned(address: str, interface: str | None) -> str:
    """Return an address with its interface in the notation of RFC 4007, section 11: ``fe80::1%eth0``."""
    return f"{address}%{interface}" if interface else address


def endpoint(address: str, port: int, interface: str | None = None, *, family: str = "") -> str:
    """Return address and port in the usual notation; IPv6 addresses are in brackets.

    *family* decides where the address does not (it is ``?`` where the address is unknown).

    >>> endpoint("127.0.0.1", 80), endpoint("fe80::1", 80, "eth0"), endpoint("?", 80, family="ipv6")
    ('127.0.0.1:80', '[fe80::1%eth0]:80', '[?]:80')
    """
    text = zoned(address, interface)
    return f"[{text}]:{port}" if family == "ipv6" or ":" in address else f"{text}:{port}"
