"""Which backend belongs to which operating system: an explicit table, asked at call time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .._errors import UnsupportedPlatformError

if TYPE_CHECKING:
    from .._answers.pool import PortSettings
    from .._host import Host
    from .base import Backend


def _linux() -> Backend:
    from .linux.backend import LinuxBackend

    return LinuxBackend()


def _linux_through_psutil() -> Backend:
    from .linux.settings import SETTINGS
    from .portable.backend import PortableBackend
    from .portable.view import EVERYTHING

    return PortableBackend(SETTINGS, EVERYTHING)


def _darwin() -> Backend:
    from .darwin import BACKEND

    return BACKEND


def _windows() -> Backend:
    from .windows import BACKEND

    return BACKEND


def _freebsd() -> Backend:
    from .bsd import FREEBSD_BACKEND

    return FREEBSD_BACKEND


def _dragonfly() -> Backend:
    from .bsd import DRAGONFLY_BACKEND

    return DRAGONFLY_BACKEND


def _openbsd() -> Backend:
    from .bsd import OPENBSD_BACKEND

    return OPENBSD_BACKEND


def _netbsd() -> Backend:
    from .bsd import NETBSD_BACKEND

    return NETBSD_BACKEND


def _sunos() -> Backend:
    from .sunos import BACKEND

    return BACKEND


def _aix() -> Backend:
    from .aix import BACKEND

    return BACKEND


#: By the beginning of `sys.platform`. Only the backend that is asked is loaded.
_BACKENDS: dict[str, Callable[[], Backend]] = {
    "linux": _linux,
    "android": _linux,
    "darwin": _darwin,
    "ios": _darwin,
    "win32": _windows,
    "cygwin": _windows,
    "msys": _windows,
    "freebsd": _freebsd,
    "dragonfly": _dragonfly,
    "openbsd": _openbsd,
    "netbsd": _netbsd,
    "sunos": _sunos,
    "aix": _aix,
}

#: Systems whose own backend does not go through psutil, and how they are asked through it.
_THROUGH_PSUTIL: dict[str, Callable[[], Backend]] = {"linux": _linux_through_psutil, "android": _linux_through_psutil}
_PORTABLE = "portable"

#: Why others are left out, by the beginning of `sys.platform`.
_UNSUPPORTED = {
    "emscripten": "a browser or Node.js lends it no sockets of the machine (binding port 0 gives port 0)",
    "wasi": "its sandbox shows no sockets but those it was given",
    "haiku": "its pool is built in (from 40000 on), and no way to list its sockets is known",
    "zos": "its pool stands in the TCP/IP profile (EPHEMERALPORTS), which programs cannot ask for",
}


def backend_for(host: Host) -> Backend:
    """The backend of a host.

    Raises `UnsupportedPlatformError` with the reason where there is none, `ValueError` where the host asks for a
    backend that is not known.
    """
    platform = host.platform
    if host.backend == _PORTABLE:
        load = _row(_THROUGH_PSUTIL, platform) or _row(_BACKENDS, platform)
    elif host.backend is not None:
        if host.backend not in _BACKENDS:
            known = ", ".join(map(repr, (_PORTABLE, *_BACKENDS)))
            raise ValueError(f"unknown backend {host.backend!r}: use one of {known}")
        load = _BACKENDS[host.backend]
    else:
        load = _row(_BACKENDS, platform)
    if load is None:
        raise UnsupportedPlatformError(_reason(platform))
    return load()


def settings_of(host: Host) -> PortSettings:
    """What a host does with port numbers; on a system without a backend nothing is known, and `incomplete` says why."""
    try:
        backend = backend_for(host)
    except UnsupportedPlatformError as error:
        from .._answers.pool import PortSettings

        return PortSettings(platform=host.platform, incomplete=(str(error),))
    return backend.settings(host)


def _reason(platform: str) -> str:
    """Why there is no backend for a platform."""
    reason = next((reason for name, reason in _UNSUPPORTED.items() if platform.startswith(name)), None)
    if reason is None:
        reason = f"known are {', '.join(_BACKENDS)}"
    return (
        f"no way is known to ask the platform {platform!r} about its ports: {reason}; "
        "classify() says what IANA knows of them"
    )


def _row(table: dict[str, Callable[[], Backend]], platform: str) -> Callable[[], Backend] | None:
    return next((load for name, load in table.items() if platform.startswith(name)), None)
