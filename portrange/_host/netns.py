"""Calling a function in another network namespace (setns(2), Linux)."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import cache
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


def call_within(process: str, function: Callable[[], T], network: int | None = None) -> T:
    """`function()` in the network namespace of a process, given as a directory such as ``/proc/4242``.

    In place of a process it may be a file that is the namespace itself, such as ``/run/netns/blue``: a mount keeps it.
    `network` is its `identity`, where it was asked before: a process may end, and its number come to mean another one.
    A namespace belongs to a thread, so another thread enters it and ends there: the caller's is never touched. A
    socket that the function opens stays in that namespace. Raises `SourceError` where it cannot be entered, which must
    not be taken for a failure of the function.
    """
    is_mount = os.path.isfile(process)
    path = process if is_mount else f"{process}/ns/net"
    # Of one that a mount keeps, the identity can only be told from inside.
    wanted = _identity(process) if network is None and not is_mount else network
    if wanted is not None and wanted == _identity(_this_thread()):
        return function()
    caller = _threads().get_native_id()
    outcome: list[T] = []
    failure: list[BaseException] = []
    ended = _threads().allocate_lock()

    def enter() -> None:
        try:
            _enter(path, wanted, caller)
            outcome.append(function())
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
            failure.append(error)
        finally:
            ended.release()

    ended.acquire()
    try:
        _threads().start_new_thread(enter, ())
    except RuntimeError as error:  # the limit of threads is reached, or Python is about to end
        raise _not_entered(path, f"it takes a thread of its own: {error}", errno.EAGAIN) from error
    ended.acquire()
    if failure:
        raise failure[0]
    return outcome[0]


@cache
def _threads() -> Any:
    """The module `_thread` as Python itself has it, in a copy of its own.

    gevent and eventlet put functions of theirs into the modules for threads, and what these start runs on the
    caller's thread.
    """
    from importlib.machinery import BuiltinImporter
    from importlib.util import module_from_spec

    spec = BuiltinImporter.find_spec("_thread")
    if spec is None:  # some other Python
        import _thread

        return _thread
    module = module_from_spec(spec)
    BuiltinImporter.exec_module(module)
    return module


def _this_thread() -> str:
    """The directory of the calling thread; kernels before 3.17 have no link to it."""
    link = "/proc/thread-self"
    return link if os.path.exists(link) else f"/proc/self/task/{_threads().get_native_id()}"


def _identity(process: str) -> int:
    try:
        return identity(process)
    except OSError as error:
        raise SourceError.from_os_error(str(error.filename), error) from error


def _enter(path: str, wanted: int | None, caller: int) -> None:
    """Move this thread, which must not be the caller's, into the namespace that has the identity `wanted`, if any."""
    if _threads().get_native_id() == caller:
        raise _not_entered(path, "this Python starts no thread of its own for that")
    try:
        _set_network(path)
    except OSError as error:
        reason = error.strerror or str(error)
        if isinstance(error, PermissionError):
            reason += "; it takes CAP_SYS_ADMIN, and CAP_SYS_PTRACE for the processes of others"
        raise _not_entered(path, reason, error.errno) from error
    if wanted is not None and _identity(_this_thread()) != wanted:
        raise _not_entered(path, "its process has ended, or is in another one by now", errno.ESRCH)


def _not_entered(path: str, reason: str, number: int | None = None) -> SourceError:
    return SourceError(path, f"this network namespace cannot be entered ({reason})", number)


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
