"""Which backend belongs to which operating system: an explicit table, asked at call time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .._errors import UnsupportedPlatformError

if TYPE_CHECKING:
    from .._host import Host
    from .base import Backend


def _linux() -> Backend:
    from .linux.backend import LinuxBackend

    return LinuxBackend()


def _portable() -> Backend:
    from .portable import PortableBackend

    return PortableBackend()


#: By the beginning of `sys.platform`; "portable" by name only.
_BACKENDS: dict[str, Callable[[], Backend]] = {
    "linux": _linux,
    "android": _linux,
    "portable": _portable,
    "darwin": _portable,
    "win32": _portable,
    "freebsd": _portable,
    "openbsd": _portable,
    "netbsd": _portable,
    "sunos": _portable,
    "aix": _portable,
}


def backend_for(host: Host) -> Backend:
    """The backend of a host. Raises `UnsupportedPlatformError` where there is none."""
    wanted = host.backend or host.platform
    for name, load in _BACKENDS.items():
        if wanted.startswith(name):
            return load()
    raise UnsupportedPlatformError(
        f"no way is known to ask the platform {wanted!r} about its ports; known are: {', '.join(_BACKENDS)}"
    )
