"""Calling a function in another network namespace (setns(2), Linux)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from .._errors import SourceError

T = TypeVar("T")

# linux/sched.h; `os` has it from Python 3.12 on.
_CLONE_NEWNET = 0x40000000


def identity(process: str) -> int:
    """A number that tells network namespaces apart, for a process directory such as ``/proc/4242``.

    The inode of the process's TCP table: each namespace registers its own files in procfs, the same ones for every
    mount of it, and anybody may look at them. (The link ``ns/net`` needs the rights of a debugger.)
    """
    return os.stat(f"{process}/net/tcp").st_ino


def call_within(process: str, function: Callable[[], T]) -> T:
    """`function()` in the network namespace of a process, given as a directory such as ``/proc/4242``.

    A namespace belongs to a thread, so another thread enters it and ends there: the caller's is never touched. A
    socket that the function opens stays in that namespace. Raises `SourceError` where it cannot be entered, which must
    not be taken for a failure of the function.
    """
    if _is_current(process):
        return function()
    outcome: list[T] = []
    failure: list[BaseException] = []

    def enter() -> None:
        try:
            _enter(f"{process}/ns/net")
            outcome.append(function())
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
            failure.append(error)

    thread = threading.Thread(target=enter, name="network namespace")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def _is_current(process: str) -> bool:
    try:
        return identity(process) == identity("/proc/thread-self")
    except OSError as error:
        raise SourceError.from_os_error(str(error.filename), error) from error


def _enter(path: str) -> None:
    try:
        _set_network(path)
    except OSError as error:
        reason = f"this network namespace cannot be entered ({error.strerror or error})"
        if isinstance(error, PermissionError):
            reason += "; it takes CAP_SYS_ADMIN, and CAP_SYS_PTRACE for the processes of others"
        raise SourceError(path, reason, error.errno) from error


def _set_network(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        native: Any = getattr(os, "setns", None)
        if native is not None:
            native(descriptor, _CLONE_NEWNET)
            return
        import ctypes

        if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(descriptor)
