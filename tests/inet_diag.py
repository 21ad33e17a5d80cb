"""Messages of NETLINK_SOCK_DIAG for fake kernels, with the layouts of linux/netlink.h and linux/inet_diag.h."""

from __future__ import annotations

import socket
import struct


def attribute(number: int, value: bytes) -> bytes:
    """Return an rtattr, padded to 4 bytes."""
    return struct.pack("=HH", 4 + len(value), number) + value + bytes(-len(value) & 3)


def socket_body(
    local: str,
    port: int,
    remote: str = "",
    to: int = 0,
    *,
    state: int = 1,
    interface: int = 0,
    expires: int = 0,
    uid: int = 0,
    inode: int = 1,
    attributes: bytes = b"",
) -> bytes:
    """Return an inet_diag_msg: a connection, or with state 7 or 10 an unconnected socket."""
    family = 10 if ":" in local else 2
    ends = struct.pack(">HH", port, to) + _packed(local) + (_packed(remote) if remote else bytes(16))
    fixed = struct.pack("=I8xIIIII", interface, expires, 0, 0, uid, inode)
    return struct.pack("=BBxx", family, state) + ends + fixed + attributes


def message(body: bytes, sequence: int, *, kind: int = 20) -> bytes:
    """Return a message of a reply of several parts."""
    return struct.pack("=IHHII", 16 + len(body), kind, 2, sequence, 0) + body


def done(sequence: int) -> bytes:
    """Return the message that ends a reply."""
    return struct.pack("=IHHIIi", 20, 3, 2, sequence, 0, 0)


def _packed(address: str) -> bytes:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.inet_pton(family, address).ljust(16, b"\0")
