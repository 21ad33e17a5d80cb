"""Processes as procfs describes them (proc(5))."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from ..._answers.listener import Process
from ..._errors import ParseError, SourceError
from ..._host.words import printable
from . import users
from .mounts import read_mounts
from .number import unsigned

if TYPE_CHECKING:
    from ..._host import Host

T = TypeVar("T")

#: How mountinfo names hidepid=2 and hidepid=4, before Linux 5.8 and since.
_HIDING = frozenset({"hidepid=2", "hidepid=4", "hidepid=invisible", "hidepid=ptraceable"})
#: The kernel keeps 15 bytes of a name (TASK_COMM_LEN).
_COMM_LENGTH = 15
#: What a file may be called, in bytes (NAME_MAX, linux/limits.h).
_FILE_NAME = 255
#: What a program is given for its arguments by default, in bytes (ARG_MAX, execve(2)). A process may say later that
#: they lie anywhere in its memory (PR_SET_MM, prctl(2)), and all of that could be read.
_COMMAND_LINE = 1 << 21
#: Field 22 of /proc/PID/stat, counted from the state, which is field 3.
_STARTTIME = 22 - 3
_ZOMBIE = "Z"
#: CAP_SYS_PTRACE (linux/capability.h): the right to look into any process of one's user namespace.
_TRACE = 1 << 19
_CAPABILITIES = re.compile(r"^CapEff:[ \t]*([0-9a-f]{1,16})$", re.MULTILINE)
#: The links of a directory with one directory in it: its name, "." in it and ".." in the other.
_ONE_THREAD = 3


class Stat(NamedTuple):
    """What is needed of /proc/PID/stat; `started` is in clock ticks since boot."""

    name: bytes
    state: str
    started: int


def parse_stat(content: bytes, source: str) -> Stat:
    """The name may contain spaces and parentheses, so the last closing one ends it.

    >>> parse_stat(b"7 (a) b) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0", "an example")
    Stat(name=b'a) b', state='S', started=4711)
    """
    before, closing, after = content.rpartition(b")")
    fields = after.decode("ascii", "replace").split()
    _, opening, name = before.partition(b"(")
    started = unsigned(fields[_STARTTIME]) if len(fields) > _STARTTIME else None
    if closing and opening and started is not None:
        return Stat(name, fields[0], started)
    raise ParseError(source, "a name in parentheses and a start time", decode(content))


def parse_boot_time(text: str, source: str) -> int:
    r"""The line "btime" of /proc/stat: when the machine was started, in seconds since the epoch.

    >>> parse_boot_time("cpu 1 2\nbtime 1700000000\nprocesses 5\n", "an example")
    1700000000
    """
    for line in text.split("\n"):
        name, _, value = line.partition(" ")
        booted = unsigned(value.strip())
        if name == "btime" and booted is not None:
            return booted
    raise ParseError(source, "a line with btime", text)


def parse_uid(text: str, source: str) -> int:
    r"""The effective user id in /proc/PID/status: the second number of the line "Uid:".

    A line is what a newline ends, and nothing else. The name of the process stands in the file too, before its user,
    with newlines escaped and other control characters as they are (proc_task_name, fs/proc/array.c).

    >>> parse_uid("Name:\tsshd\nUid:\t0\t33\t0\t0\n", "an example")
    33
    """
    for line in text.split("\n"):
        if line.startswith("Uid:"):
            fields = line.split()
            uid = unsigned(fields[2], 32) if len(fields) > 2 else None
            if uid is not None:
                return uid
    raise ParseError(source, "a line with Uid: and its numbers", text)


def parse_capabilities(text: str, source: str) -> int:
    r"""The effective capabilities in /proc/PID/status, a bit each: the line "CapEff:", in hexadecimal.

    >>> hex(parse_capabilities("CapPrm:\t000001ffffffffff\nCapEff:\t0000000000080000\n", "an example"))
    '0x80000'
    """
    found = _CAPABILITIES.search(text)
    if found is None:
        raise ParseError(source, "a line with CapEff: and a hexadecimal number", text)
    return int(found[1], 16)


def parse_cmdline(content: bytes) -> tuple[str, ...]:
    r"""Arguments, each ended by a NUL; a process may write anything there. Bytes that are not UTF-8 become escapes.

    >>> parse_cmdline(b"python3\0-m\0http.server\0")
    ('python3', '-m', 'http.server')
    """
    return tuple(decode(argument) for argument in content.removesuffix(b"\0").split(b"\0")) if content else ()


def decode(content: bytes) -> str:
    """Text that strangers wrote, without surrogates: it must go into JSON and onto terminals."""
    return content.decode("utf-8", "backslashreplace")


class ProcessReader:
    """Describes processes for one question: what is the same for all of them is read once."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.user = cache(host.user_name)
        self._boot_time = cache(self._read_boot_time)
        self._overflow = cache(lambda: users.overflow(host))
        self._knows_all = cache(lambda: users.knows_all(host))

    def known(self, uid: int) -> int | None:
        """A user as the kernel shows him; None where that number stands for all whom the caller cannot be told of."""
        return None if uid == self._overflow() and not self._knows_all() else uid

    def describe(self, pid: int) -> tuple[Process, int] | None:
        """A process and its start in ticks; None where it is gone. What may not be read is left as None."""
        directory = f"{self.host.procfs}/{pid}"
        try:
            stat = parse_stat(ask(self.host.read, f"{directory}/stat"), f"{directory}/stat")
        except (FileNotFoundError, ProcessLookupError):
            return None
        except PermissionError:
            return Process(pid), 0
        try:
            arguments = ask(lambda path: self.host.read_start(path, _COMMAND_LINE), f"{directory}/cmdline")
            uid = self.known(parse_uid(decode(ask(self.host.read, f"{directory}/status")), f"{directory}/status"))
        except (FileNotFoundError, ProcessLookupError):
            return None
        except PermissionError:
            return Process(pid, decode(stat.name), started=self._started(stat)), stat.started
        name = decode(_whole_name(stat.name, arguments))
        user = None if uid is None else self.user(uid) or str(uid)
        cmdline = parse_cmdline(arguments)
        return Process(pid, name, cmdline, self._exe(directory), user, self._started(stat)), stat.started

    def _exe(self, directory: str) -> str | None:
        """The program file: needs the same rights as looking at descriptors; kernel threads have none."""
        try:
            return printable(self.host.read_link(f"{directory}/exe"))
        except OSError:
            return None

    def _started(self, stat: Stat) -> float | None:
        booted = self._boot_time()
        return None if booted is None else booted + stat.started / self.host.ticks_per_second

    def _read_boot_time(self) -> int | None:
        source = f"{self.host.procfs}/stat"
        try:
            return parse_boot_time(decode(self.host.read(source)), source)
        except OSError:
            return None


def ask(call: Callable[[str], T], path: str) -> T:
    """`call(path)`. What says neither that a process is gone nor that it is forbidden is a failure of the machine."""
    try:
        return call(path)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        raise
    except OSError as error:
        raise SourceError.from_os_error(path, error) from error


def _whole_name(name: bytes, arguments: bytes) -> bytes:
    """The name as it was before the kernel cut it, where the program file of the command line begins with it."""
    if len(name) < _COMM_LENGTH:
        return name
    program = arguments.partition(b"\0")[0].rpartition(b"/")[2]
    return program if program.startswith(name) and len(program) <= _FILE_NAME else name


def start_ticks(host: Host, pid: int) -> int | None:
    """When a process was started; None where it is gone, or may not be looked at any more."""
    source = f"{host.procfs}/{pid}/stat"
    try:
        return parse_stat(ask(host.read, source), source).started
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None


def pids(host: Host) -> list[int] | None:
    """All processes that procfs shows, lowest pid first; None where there is no procfs, or it may not be listed."""
    try:
        names = ask(host.list, host.procfs)
    except (FileNotFoundError, PermissionError):
        return None
    return sorted(int(name) for name in names if name.isdecimal())


def hides_others(host: Host, shown: list[int]) -> bool:
    """Whether procfs keeps other users' processes out of sight (mount option hidepid, proc(5)).

    Process 1 is always there; where it is not shown, others may not be shown either. In a container it may be the
    caller's own: then the option itself tells, unless the caller may look into all processes whatever the option.
    """
    if 1 not in shown:
        return True
    if _may_look_into_all(host):
        return False
    here = [mount.options for mount in read_mounts(host) if mount.kind == "proc" and mount.point == host.procfs]
    return bool(here) and not _HIDING.isdisjoint(here[-1])


def _may_look_into_all(host: Host) -> bool:
    """Whether the caller may look into processes of any user, by the capability for that (capabilities(7)).

    In a user namespace a capability is one over the processes of that namespace only.
    """
    source = f"{host.procfs}/self/status"
    try:
        held = parse_capabilities(decode(ask(host.read, source)), source)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return host.uid == 0
    return bool(held & _TRACE) and users.knows_all(host)


def counts_as_caller(host: Host) -> bool:
    """Whether procfs counts processes as other files do for the caller: whether it is of the same PID namespace.

    NSpid lists the caller's numbers from procfs's namespace down to its own (proc(5)).
    """
    try:
        status = host.read(f"{host.procfs}/self/status")
    except OSError:
        return False
    numbers = [line.split()[1:] for line in status.split(b"\n") if line.startswith(b"NSpid:")]
    return not numbers or len(numbers[0]) == 1


def surviving_threads(host: Host, pid: int) -> list[int]:
    """The threads that go on after the first one of their program has ended (it is shown as a zombie)."""
    directory = f"{host.procfs}/{pid}"
    try:
        if parse_stat(ask(host.read, f"{directory}/stat"), f"{directory}/stat").state != _ZOMBIE:
            return []
        return _other_threads(host, directory, pid)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return []  # gone meanwhile


def further_threads(host: Host, pid: int) -> list[int]:
    """The threads of a program besides its first one, whether that has ended or not; none where the program is gone.

    Most programs have none. They cost one question: its directory of threads counts them (proc_task_getattr,
    fs/proc/base.c). Where it counts otherwise, as in gVisor, it is listed.
    """
    directory = f"{host.procfs}/{pid}"
    try:
        return [] if host.link_count(f"{directory}/task") == _ONE_THREAD else _other_threads(host, directory, pid)
    except (FileNotFoundError, ProcessLookupError):
        return []


def _other_threads(host: Host, directory: str, pid: int) -> list[int]:
    names = ask(host.list, f"{directory}/task")
    return sorted(int(name) for name in names if name.isdecimal() and int(name) != pid)
