"""Facts about the system that runs the tests, determined at run time."""

from __future__ import annotations

import contextlib
import socket
import sys


def _is_wine() -> bool:
    """Return True on Wine, whose ntdll.dll exports wine_get_version; Microsoft's does not."""
    if sys.platform != "win32":
        return False
    import ctypes

    return hasattr(ctypes.windll.ntdll, "wine_get_version")


IS_WINE = _is_wine()


def use_once(sock: socket.socket) -> None:
    """Try to receive without blocking: Wine reports the owner of a socket only after its first use."""
    sock.setblocking(False)
    with contextlib.suppress(OSError):
        sock.recv(1)
    sock.setblocking(True)
