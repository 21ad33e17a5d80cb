"""The backend of each operating system, chosen from a table when a query is made."""

from __future__ import annotations

from .._errors import UnsupportedPlatformError
from .._lazy import import_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._answers.ephemeral import PortSettings
    from .._host.system import System
    from . import aix, bsd, darwin, linux, sunos, windows
    from .base import Backend

    _LINUX: Backend = linux  # a module is a backend if a type checker accepts this
    # PyInstaller finds modules by import statements; `_load` imports these by their names.
    _BY_NAME = (aix, bsd, darwin, sunos, windows)

#: The backend by the beginning of `sys.platform`: a module, and its attribute if the module itself is not the backend.
#: Only the chosen backend is imported.
_BACKENDS: dict[str, tuple[str, str | None]] = {
    "linux": ("linux", None),
    "android": ("linux", None),
    "darwin": ("darwin", "BACKEND"),
    "ios": ("darwin", "BACKEND"),
    "win32": ("windows", "BACKEND"),
    "cygwin": ("windows", "BACKEND"),
    "msys": ("windows", "BACKEND"),
    "freebsd": ("bsd", "FREEBSD_BACKEND"),
    "dragonfly": ("bsd", "DRAGONFLY_BACKEND"),
    "openbsd": ("bsd", "OPENBSD_BACKEND"),
    "netbsd": ("bsd", "NETBSD_BACKEND"),
    "sunos": ("sunos", "BACKEND"),
    "aix": ("aix", "BACKEND"),
}
_PORTABLE = "portable"

_KERNEL_AND_PSUTIL = "the sources of the kernel and of psutil"
#: What the readers that never ran on the system itself were written from, by the beginning of `sys.platform`.
EXPERIMENTAL = {
    "darwin": "the sources of Apple's kernel",
    "ios": "the sources of Apple's kernel",
    "freebsd": _KERNEL_AND_PSUTIL,
    "openbsd": _KERNEL_AND_PSUTIL,
    "netbsd": _KERNEL_AND_PSUTIL,
    "dragonfly": "the sources of the kernel",
    "sunos": "Oracle's manuals and the sources of psutil",
    "aix": "public manuals and the sources of psutil",
}

#: Why other systems are not supported, by the beginning of `sys.platform`.
_UNSUPPORTED = {
    "emscripten": "browsers and Node.js give it no access to sockets of the machine (a bind to port 0 returns port 0)",
    "wasi": "its sandbox shows only the sockets that were passed to it",
    "haiku": "its ephemeral range is built in (from 40000 on), and it has no documented interface that lists sockets",
    "zos": "its ephemeral range is in the TCP/IP profile (EPHEMERALPORTS), which programs cannot query",
}


def backend_for(system: System) -> Backend:
    """Return the backend of a system.

    Raises `UnsupportedPlatformError` with the reason if the system has none, `ValueError` if `system.backend` is not
    the name of a backend.
    """
    if system.own_backend is not None:
        own: Backend = system.own_backend
        return own
    name = system.backend
    if name is not None and name != _PORTABLE:
        if name not in _BACKENDS:
            known = ", ".join(map(repr, (_PORTABLE, *_BACKENDS)))
            raise ValueError(f"unknown backend {name!r}: use one of {known}")
        return _load(*_BACKENDS[name])
    platform = system.platform
    for prefix, (module, attribute) in _BACKENDS.items():
        if platform.startswith(prefix):
            # The other backends use psutil anyway.
            return _linux_through_psutil() if name == _PORTABLE and module == "linux" else _load(module, attribute)
    raise UnsupportedPlatformError(_reason(platform))


def _load(module: str, attribute: str | None) -> Backend:
    with import_lock:
        # What importlib.import_module() calls, without importing importlib.
        loaded: Any = __import__(f"{__package__}.{module}", fromlist=("__name__",))
    backend: Backend = loaded if attribute is None else getattr(loaded, attribute)
    return backend


def _linux_through_psutil() -> Backend:
    with import_lock:
        from .linux.settings import SETTINGS
        from .portable import EVERYTHING, PortableBackend
    return PortableBackend(SETTINGS, EVERYTHING)


def experimental(platform: str) -> str | None:
    """Return a sentence that states that the readers of a platform never ran on it; None if they did."""
    for prefix, sources in EXPERIMENTAL.items():
        if platform.startswith(prefix):
            return f"experimental on {prefix}: written from {sources}, and never run on the system itself"
    return None


def settings_of(system: System) -> PortSettings:
    """Return the port settings of a system; without a backend all are unknown, and `incomplete` has the reason."""
    try:
        backend = backend_for(system)
    except UnsupportedPlatformError as error:
        with import_lock:
            from .._answers.ephemeral import PortSettings
        return PortSettings(platform=system.platform, incomplete=(str(error),))
    return backend.port_settings(system)


def _reason(platform: str) -> str:
    """Return why a platform has no backend."""
    reason = next((reason for name, reason in _UNSUPPORTED.items() if platform.startswith(name)), None)
    if reason is None:
        reason = f"supported platforms are {', '.join(_BACKENDS)}"
    return f"cannot query ports on the platform {platform!r}: {reason}; classify() still returns the registry data"
