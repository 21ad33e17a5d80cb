"""Calling a function in another network namespace (setns(2), Linux)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

# linux/sched.h; `os` has it from Python 3.12 on.
_CLONE_NEWNET = 0x40000000


def same_network(path: str) -> bool:
    """Whether the namespace at `path` is the calling thread's own. Raises `OSError` where it may not be read."""
    return os.readlink(path) == os.readlink("/proc/thread-self/ns/net")


def call_within(path: str, function: Callable[[], T]) -> T:
    """`function()` in the network namespace at `path`.

    A namespace belongs to a thread, so another thread enters it and ends there: the caller's is never touched. A
    socket that the function opens stays in that namespace. Raises `PermissionError` without CAP_SYS_ADMIN.
    """
    if same_network(path):
        return function()
    outcome: list[T] = []
    failure: list[BaseException] = []

    def enter() -> None:
        try:
            _set_network(path)
            outcome.append(function())
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
            failure.append(error)

    thread = threading.Thread(target=enter, name="network namespace")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def _set_network(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        native: Any = getattr(os, "setns", None)
        if native is not None:
            native(descriptor, _CLONE_NEWNET)
            return
        import ctypes  # noqa: PLC0415 - only before Python 3.12

        if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(descriptor)
