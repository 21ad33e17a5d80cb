"""Call a function in another network namespace (setns(2), Linux)."""

from __future__ import annotations

import errno
import os
from functools import cache

from .._errors import SourceError
from .._lazy import import_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    T = TypeVar("T")

# linux/sched.h; `os` defines it from Python 3.12 on.
_CLONE_NEWNET = 0x40000000


def identity(process: str) -> int:
    """Return an integer that identifies a network namespace, for a process directory such as ``/proc/4242``.

    It is the inode number of the process's TCP table: each namespace registers its own files in procfs, the same ones
    for every mount of procfs, and every user can stat them. The link ``ns/net`` needs ptrace permission.
    """
    return os.stat(f"{process}/net/tcp").st_ino


def call_within(process: str, function: Callable[[], T], expected: int | None = None) -> T:
    """Return ``function()``, called in the network namespace of a process, such as ``/proc/4242``.

    *process* may also be a file that is the namespace itself, such as ``/run/netns/blue``. *expected* is its
    `identity`, if it is known: a process may end and its pid be reused. Namespaces belong to threads, so a new thread
    enters the namespace and ends there; the calling thread never changes. A socket that *function* opens stays in the
    namespace. Raises `SourceError` if the namespace cannot be entered.
    """
    is_mount = os.path.isfile(process)
    path = process if is_mount else f"{process}/ns/net"
    # The identity of a mounted namespace can be read from inside only.
    wanted = _identity(process) if expected is None and not is_mount else expected
    if wanted is not None and wanted == _identity(_this_thread()):
        return function()
    caller = _threads().get_native_id()
    result: list[T] = []
    failure: list[BaseException] = []
    ended = _threads().allocate_lock()

    def enter() -> None:
        try:
            _enter(path, wanted, caller)
            result.append(function())
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            failure.append(error)
        finally:
            ended.release()

    ended.acquire()
    try:
        _threads().start_new_thread(enter, ())
    except RuntimeError as error:  # the limit of threads is reached, or Python is shutting down
        raise _not_entered(path, f"it needs a thread of its own: {error}", errno.EAGAIN) from error
    ended.acquire()
    if failure:
        raise failure[0]
    return result[0]


@cache
def _threads() -> Any:
    """Return an unpatched copy of the module `_thread`.

    gevent and eventlet replace functions of the threading modules; what these start runs on the caller's thread.
    """
    with import_lock:
        from importlib.machinery import BuiltinImporter
        from importlib.util import module_from_spec

    spec = BuiltinImporter.find_spec("_thread")
    if spec is None:  # a Python whose _thread is not a built-in module
        with import_lock:
            import _thread

        return _thread
    module = module_from_spec(spec)
    BuiltinImporter.exec_module(module)
    return module


def _this_thread() -> str:
    """Return the procfs directory of the calling thread; kernels before 3.17 have no link to it."""
    link = "/proc/thread-self"
    return link if os.path.exists(link) else f"/proc/self/task/{_threads().get_native_id()}"


def _identity(process: str) -> int:
    try:
        return identity(process)
    except OSError as error:
        raise SourceError.from_os_error(str(error.filename), error) from error


def _enter(path: str, wanted: int | None, caller: int) -> None:
    """Move this thread, which must not be the caller's, into a namespace, and check its identity if one is given."""
    if _threads().get_native_id() == caller:
        raise _not_entered(path, "this Python does not start a system thread for it")
    try:
        _set_network(path)
    except OSError as error:
        reason = error.strerror or str(error)
        if isinstance(error, PermissionError):
            reason += "; it needs CAP_SYS_ADMIN, and CAP_SYS_PTRACE for processes of other users"
        raise _not_entered(path, reason, error.errno) from error
    if wanted is not None and _identity(_this_thread()) != wanted:
        raise _not_entered(path, "its process has ended or has moved to another namespace", errno.ESRCH)


def _not_entered(path: str, reason: str, number: int | None = None) -> SourceError:
    return SourceError(path, f"cannot enter this network namespace ({reason})", number)


def _set_network(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        setns: Any = getattr(os, "setns", None)
        if setns is not None:  # Python 3.12 and later
            setns(descriptor, _CLONE_NEWNET)
            return
        with import_lock:
            import ctypes

        if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(descriptor)
