"""Check the arguments of public functions. Messages name the argument and the accepted values."""

from __future__ import annotations

from operator import index

from .._answers.address import FAMILIES, PROTOCOLS
from .._answers.listener import Process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol, SupportsIndex, TypeAlias

    from .._answers.address import FamilyName, ProtocolName

    class HasPid(Protocol):
        """A process object of another library, such as `subprocess.Popen`."""

        @property
        def pid(self) -> int | None:
            """The process ID; None if the process was not started."""
            ...

    #: A pid, a `Process`, or an object with a pid.
    AnyProcess: TypeAlias = SupportsIndex | Process | HasPid


def protocol_name(protocol: object) -> ProtocolName:
    """Return *protocol* if it is a known protocol; raise `ValueError` otherwise."""
    name: ProtocolName = one_of("protocol", protocol, PROTOCOLS)
    return name


def family_name(family: object) -> FamilyName:
    """Return *family* if it is an address family; raise `ValueError` otherwise."""
    name: FamilyName = one_of("family", family, FAMILIES)
    return name


def protocols_of(protocol: object) -> tuple[ProtocolName, ...] | None:
    """Return the protocols that *protocol* selects; None selects all, and the result is None."""
    return None if protocol is None else (protocol_name(protocol),)


def one_of(argument: str, given: object, allowed: tuple[str, ...]) -> Any:
    """Return *given* if it is one of the *allowed* strings; raise `ValueError` that names *argument* otherwise."""
    # The type first: arrays of NumPy cannot be searched for in a tuple.
    if isinstance(given, str) and given in allowed:
        return given
    raise ValueError(f"unknown {argument} {given!r}: use one of {', '.join(map(repr, allowed))}")


#: The attributes in which process objects keep the exit status: of `subprocess` and `asyncio`, of `multiprocessing`.
_STATUS = ("returncode", "exitcode")


def process_of(process: AnyProcess) -> Process:
    """Return the process that the argument `process` means; raise `TypeError` or `ValueError` if it means none."""
    if isinstance(process, Process):
        return process
    pid: object = process if hasattr(process, "__index__") else getattr(process, "pid", process)
    if pid is None:
        raise ValueError(f"process has no pid, it was not started: {process!r}")
    if isinstance(pid, bool) or not hasattr(pid, "__index__"):
        raise TypeError(
            f"process is a pid, a Process or an object with a pid, such as subprocess.Popen, not "
            f"{type(process).__name__}: {process!r}"
        )
    number = index(pid)  # pyright: ignore[reportArgumentType] - it has __index__
    if not 0 < number < 1 << 31:
        shown = number if abs(number) < 1 << 64 else "a large number"
        raise ValueError(f"{shown} is not a pid: pids are from 1 to {(1 << 31) - 1}")
    return Process(number)


def exit_status(process: object) -> int | None:
    """Return the exit status that a process object has; None if it has none, or not yet.

    A process object that has the status has waited for the process, so that its pid may belong to another process.
    """
    for name in _STATUS:
        status: object = getattr(process, name, None)
        if isinstance(status, int):
            return status
    return None
