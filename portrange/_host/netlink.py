"""Opening the kernel's socket for questions about sockets (sock_diag(7), Linux)."""

from __future__ import annotations

import socket

# Not in the socket module; linux/netlink.h.
_NETLINK_SOCK_DIAG = 4
#: The kernel answers at once; a sandbox that swallows the question must not hang its caller.
_SECONDS = 5.0


def open_sock_diag() -> socket.socket:
    """A netlink socket of family NETLINK_SOCK_DIAG, in the network namespace of the calling thread."""
    family = getattr(socket, "AF_NETLINK", None)
    if family is None:
        raise OSError("this Python has no AF_NETLINK")
    netlink = socket.socket(family, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)
    netlink.settimeout(_SECONDS)
    return netlink
