"""What tests must know about the system that runs them, found out by asking it."""

from __future__ import annotations

import contextlib
import socket
import sys


def _is_wine() -> bool:
    """Whether this Windows is Wine: its ntdll.dll exports what none of Microsoft's does."""
    if sys.platform != "win32":
        return False
    import ctypes

    return hasattr(ctypes.windll.ntdll, "wine_get_version")


IS_WINE = _is_wine()


def use_once(made: socket.socket) -> None:
    """Try to receive, without waiting: only then does Wine tell whose a socket is. Elsewhere nothing comes of it."""
    made.setblocking(False)
    with contextlib.suppress(OSError):
        made.recv(1)
    made.setblocking(True)
