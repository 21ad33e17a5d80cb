"""Kernel settings of macOS and the BSDs: sysctlbyname(3), and sysctl(3) where settings have numbers only."""

from __future__ import annotations

import errno
import os

from .._lazy import import_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: A value may grow between the request for its size and the request for the value.
_ATTEMPTS = 5


def read_sysctl(name: str | tuple[int, ...], library: str | None = None) -> bytes:
    """Return the value of a setting in the kernel's layout, by name or (OpenBSD) by its numbers."""
    return read_with_size(name, library)[0]


def read_with_size(name: str | tuple[int, ...], library: str | None = None) -> tuple[bytes, int]:
    """Return the value of a setting, and the number of bytes that the kernel requested for it.

    *library* is the C library to call, None for the one of this process. Raises `OSError` with the system's error
    number, `FileNotFoundError` if the setting does not exist.
    """
    with import_lock:
        import ctypes

    libc = ctypes.CDLL(library, use_errno=True)
    call: Any = getattr(libc, "sysctlbyname" if isinstance(name, str) else "sysctl", None)
    if call is None:
        raise OSError(errno.ENOSYS, "the C library has no sysctl", str(name))
    # sysctlbyname() takes a name, sysctl() an array of numbers and its length; the other parameters are the same.
    target: tuple[Any, ...]
    kinds: tuple[Any, ...]
    if isinstance(name, str):
        target, kinds = (name.encode(),), (ctypes.c_char_p,)
    else:
        target, kinds = ((ctypes.c_int * len(name))(*name), len(name)), (ctypes.c_void_p, ctypes.c_uint)
    # The old value and its size, the new value and its size.
    call.argtypes = (*kinds, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
    call.restype = ctypes.c_int
    for _ in range(_ATTEMPTS):
        size = ctypes.c_size_t(0)
        if call(*target, None, ctypes.byref(size), None, 0) != 0:
            raise _failure(ctypes.get_errno(), name)
        requested = size.value
        value = ctypes.create_string_buffer(max(size.value, 1))
        if call(*target, value, ctypes.byref(size), None, 0) == 0:
            return value.raw[: size.value], requested
        if ctypes.get_errno() != errno.ENOMEM:
            raise _failure(ctypes.get_errno(), name)
    raise _failure(errno.ENOMEM, name)


def _failure(number: int, name: str | tuple[int, ...]) -> OSError:
    return OSError(number, os.strerror(number), str(name))
