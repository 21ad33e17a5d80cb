"""Processes, mounts and users, as procfs describes them (proc(5))."""

from __future__ import annotations

from functools import cache

from ..._answers.listener import Process
from ..._answers.span import parse_decimal
from ..._errors import ParseError, SourceError
from ..._frozen import Frozen
from ..._lazy import import_lock
from ..._render.strings import decode, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias, TypeVar

    from ..._host.system import System

    T = TypeVar("T")
    #: The start time of a process in ticks, its name as the kernel cut it, and its program file.
    Identity: TypeAlias = tuple[int, bytes, str | None]

#: The highest pid and user ID that the kernel could print.
HIGHEST_U32 = (1 << 32) - 1
_HIGHEST_U64 = (1 << 64) - 1

# --- contents of files -----------------------------------------------------------------------------------------------

#: Fields 4 and 22 of /proc/PID/stat, counted from the state, which is field 3.
_PPID, _STARTTIME = 4 - 3, 22 - 3
_ZOMBIE = "Z"
#: Stopped by a signal, and by a debugger.
_STOPPED = frozenset("Tt")
_HEX_DIGITS = frozenset("0123456789abcdef")


class Stat(Frozen):
    """The fields of /proc/PID/stat that this package uses."""

    name: bytes
    """The name, cut to 15 bytes."""
    state: str
    """The state, a letter."""
    started: int
    """The start time, in clock ticks since boot."""
    parent: int | None
    """The pid of the parent; None if it is in another PID namespace, or if there is none."""


def parse_stat(content: bytes, source: str) -> Stat:
    """Return the fields of /proc/PID/stat. The name may contain parentheses: the last closing one ends it.

    >>> parse_stat(b"7 (a) b) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0", "an example")
    Stat(name=b'a) b', state='S', started=4711, parent=1)
    """
    before, closing, after = content.rpartition(b")")
    fields = after.decode("ascii", "replace").split()
    _, opening, name = before.partition(b"(")
    started = parse_decimal(fields[_STARTTIME], _HIGHEST_U64) if len(fields) > _STARTTIME else None
    if closing and opening and started is not None:
        return Stat(name, fields[0], started, parse_decimal(fields[_PPID], HIGHEST_U32) or None)
    raise ParseError(source, "a name in parentheses and a start time", decode(content))


def parse_boot_time(text: str, source: str) -> int:
    r"""Return the time of boot in seconds since the epoch: the line "btime" of /proc/stat.

    >>> parse_boot_time("cpu 1 2\nbtime 1700000000\nprocesses 5\n", "an example")
    1700000000
    """
    for line in text.split("\n"):
        name, _, value = line.partition(" ")
        booted = parse_decimal(value.strip(), _HIGHEST_U64)
        if name == "btime" and booted is not None:
            return booted
    raise ParseError(source, "a line with btime", text)


def parse_uid(text: str, source: str) -> int:
    r"""Return the effective user ID in /proc/PID/status: the second number of the line "Uid:".

    Only a newline ends a line. The file also contains the name of the process, before its user, with newlines escaped
    and other control characters as they are (proc_task_name, fs/proc/array.c).

    >>> parse_uid("Name:\tsshd\nUid:\t0\t33\t0\t0\n", "an example")
    33
    """
    for line in text.split("\n"):
        if line.startswith("Uid:"):
            fields = line.split()
            uid = parse_decimal(fields[2], HIGHEST_U32) if len(fields) > 2 else None
            if uid is not None:
                return uid
    raise ParseError(source, "a line with Uid: and its numbers", text)


def parse_capabilities(text: str, source: str) -> int:
    r"""Return the effective capabilities in /proc/PID/status as bits: the line "CapEff:", in hexadecimal.

    >>> hex(parse_capabilities("CapPrm:\t000001ffffffffff\nCapEff:\t0000000000080000\n", "an example"))
    '0x80000'
    """
    for line in text.split("\n"):
        name, _, value = line.partition(":")
        digits = value.lstrip(" \t")
        if name == "CapEff" and 1 <= len(digits) <= 16 and _HEX_DIGITS.issuperset(digits):
            return int(digits, 16)
    raise ParseError(source, "a line with CapEff: and a hexadecimal number", text)


def parse_cmdline(content: bytes) -> tuple[str, ...]:
    r"""Return the arguments in /proc/PID/cmdline, each ended by NUL. The process can write anything there.

    >>> parse_cmdline(b"python3\0-m\0http.server\0")
    ('python3', '-m', 'http.server')
    """
    return tuple(decode(argument) for argument in content.removesuffix(b"\0").split(b"\0")) if content else ()


# --- processes -------------------------------------------------------------------------------------------------------

#: The kernel keeps 15 bytes of a name (TASK_COMM_LEN).
_COMM_LENGTH = 15
#: Bytes of the name of a file (NAME_MAX, linux/limits.h).
_FILE_NAME = 255
#: Bytes of the arguments of a program by default (ARG_MAX, execve(2)). A process may declare any part of its memory to
#: be its arguments (PR_SET_MM, prctl(2)), and all of that could be read.
_COMMAND_LINE = 1 << 21
#: The links of a directory with one subdirectory: its name, its "." and the ".." of the subdirectory.
_ONE_THREAD = 3


def accessed(call: Callable[[str], T], path: str) -> T:
    """Return ``call(path)``. Convert unexpected OSErrors (not ENOENT, ESRCH, EACCES or EPERM) to SourceError."""
    try:
        return call(path)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        raise
    except OSError as error:
        raise SourceError.from_os_error(path, error) from error


def read_stat(system: System, directory: str) -> Stat:
    """Return the `Stat` of a process directory. Raises the errors of `accessed`."""
    source = f"{directory}/stat"
    return parse_stat(accessed(system.read, source), source)


class ProcessReader:
    """Describes processes for one query; what is the same for all of them is read once."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.user = cache(system.user_name)
        self._boot_time = cache(self._read_boot_time)
        self._overflow_uid = cache(lambda: overflow_uid(system))
        self._maps_all_users = cache(lambda: maps_all_users(system))

    def known_uid(self, uid: int) -> int | None:
        """Return a user ID of the kernel; None if it stands for all users without one in the caller's namespace."""
        return None if uid == self._overflow_uid() and not self._maps_all_users() else uid

    def identity(self, pid: int) -> Identity | None:
        """Return what changes if a pid is reused, or if the process executes another program; None if it has ended."""
        directory = f"{self.system.procfs}/{pid}"
        try:
            stat = read_stat(self.system, directory)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return None
        return stat.started, stat.name, self._exe(directory)

    def describe(self, pid: int) -> tuple[Process, Identity] | None:
        """Return a process and its identity; None if it does not exist. Fields that cannot be read are None."""
        system = self.system
        directory = f"{system.procfs}/{pid}"
        try:
            stat = read_stat(system, directory)
        except (FileNotFoundError, ProcessLookupError):
            return None
        except PermissionError:
            return Process(pid), (0, b"", None)
        exe, started, stopped = self._exe(directory), self._started(stat), stat.state in _STOPPED
        identity = (stat.started, stat.name, exe)
        try:
            arguments = accessed(lambda path: system.read_start(path, _COMMAND_LINE), f"{directory}/cmdline")
            source = f"{directory}/status"
            uid = self.known_uid(parse_uid(decode(accessed(system.read, source)), source))
        except (FileNotFoundError, ProcessLookupError):
            return None
        except PermissionError:
            name = decode(stat.name)
            return Process(pid, name, started=started, stopped=stopped, parent=stat.parent), identity
        name = decode(_whole_name(stat.name, arguments))
        user = None if uid is None else self.user(uid) or str(uid)
        return Process(pid, name, parse_cmdline(arguments), exe, user, started, stopped, stat.parent), identity

    def _exe(self, directory: str) -> str | None:
        """Return the program file. It needs the permissions of reading descriptors, and kernel threads have none."""
        try:
            return printable(self.system.read_link(f"{directory}/exe"))
        except OSError:
            return None

    def _started(self, stat: Stat) -> float | None:
        booted = self._boot_time()
        return None if booted is None else booted + stat.started / self.system.ticks_per_second

    def _read_boot_time(self) -> int | None:
        source = f"{self.system.procfs}/stat"
        try:
            return parse_boot_time(decode(self.system.read(source)), source)
        except OSError:
            return None


def _whole_name(name: bytes, arguments: bytes) -> bytes:
    """Return the name before the kernel cut it, if the program file in the command line begins with it."""
    if len(name) < _COMM_LENGTH:
        return name
    program = arguments.partition(b"\0")[0].rpartition(b"/")[2]
    return program if program.startswith(name) and len(program) <= _FILE_NAME else name


def start_ticks(system: System, pid: int) -> int | None:
    """Return the start time of a process in ticks; None if it does not exist or cannot be read any more."""
    try:
        return read_stat(system, f"{system.procfs}/{pid}").started
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None


def pids(system: System) -> list[int] | None:
    """Return the pids in procfs in ascending order; None if there is no procfs or it cannot be listed."""
    try:
        names = accessed(system.list, system.procfs)
    except (FileNotFoundError, PermissionError):
        return None
    return sorted(int(name) for name in names if name.isdecimal())


def refusing(system: System) -> list[int]:
    """Return the pids of processes whose descriptors the caller may not read."""
    found: list[int] = []
    for pid in pids(system) or ():
        try:
            system.find_links(f"{system.procfs}/{pid}/fd", frozenset())
        except PermissionError:
            found.append(pid)
        except OSError:
            continue  # it has ended
    return found


def shares_pid_namespace(system: System) -> bool:
    """Return whether pids in procfs are those of the caller's PID namespace, as in the files of cgroups.

    NSpid lists the pids of the caller from the namespace of procfs down to the caller's own (proc(5)).
    """
    try:
        status = system.read(f"{system.procfs}/self/status")
    except OSError:
        return False
    numbers = [line.split()[1:] for line in status.split(b"\n") if line.startswith(b"NSpid:")]
    return not numbers or len(numbers[0]) == 1


def surviving_threads(system: System, pid: int) -> list[int]:
    """Return the threads that still run after the main thread has ended, which makes the process a zombie."""
    directory = f"{system.procfs}/{pid}"
    try:
        return _other_threads(system, directory, pid) if read_stat(system, directory).state == _ZOMBIE else []
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return []  # the process has ended


def further_threads(system: System, pid: int) -> list[int]:
    """Return the threads of a process besides its main thread; none if the process does not exist.

    The link count of the directory of threads is their number (proc_task_getattr, fs/proc/base.c), so most processes
    cost one call. Where the count means something else, as in gVisor, the directory is listed.
    """
    directory = f"{system.procfs}/{pid}"
    try:
        if system.link_count(f"{directory}/task") == _ONE_THREAD:
            return []
        return _other_threads(system, directory, pid)
    except (FileNotFoundError, ProcessLookupError):
        return []


def _other_threads(system: System, directory: str, pid: int) -> list[int]:
    names = accessed(system.list, f"{directory}/task")
    return sorted(int(name) for name in names if name.isdecimal() and int(name) != pid)


# --- mounts ----------------------------------------------------------------------------------------------------------

#: Values of hidepid=2 and hidepid=4 in mountinfo, before and since Linux 5.8.
_HIDING = frozenset({"hidepid=2", "hidepid=4", "hidepid=invisible", "hidepid=ptraceable"})
#: CAP_SYS_PTRACE (linux/capability.h): permission to inspect any process of the user namespace.
_PTRACE = 1 << 19


class Mount(Frozen):
    """A mount of /proc/PID/mountinfo."""

    point: str
    """The directory or file where it is mounted."""
    kind: str
    """The type of the file system."""
    options: tuple[str, ...]
    """The options of the file system."""
    root: str = "/"
    """The part of the file system that is mounted."""


def parse_mounts(text: str, source: str) -> list[Mount]:
    r"""Return all mounts; of two at one place, the upper one follows the lower one.

    White space in paths is escaped in octal. Of the characters that end a line for Python, only the newline is escaped
    (mangle, fs/proc_namespace.c).

    >>> parse_mounts("42 35 0:39 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n", "an example")
    [Mount(point='/sys/fs/cgroup', kind='cgroup2', options=('rw', 'nsdelegate'), root='/')]
    """
    found: list[Mount] = []
    for line in filter(None, text.split("\n")):
        before, separator, after = line.partition(" - ")
        fields, (kind, *rest) = before.split(" "), after.split(" ")
        if not separator or len(fields) < 6:
            raise ParseError(source, "mounts with a separator and a type", line)
        options = tuple(rest[-1].split(",")) if rest else ()
        found.append(Mount(_unescape_octal(fields[4]), kind, options, _unescape_octal(fields[3])))
    return found


def _unescape_octal(text: str) -> str:
    if "\\" not in text:
        return text
    with import_lock:
        import re

    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def read_mounts(system: System) -> list[Mount]:
    """Return the mounts that the caller sees; none if they cannot be read."""
    try:
        return mounts_of(system, f"{system.procfs}/self")
    except OSError:
        return []


def mounts_of(system: System, process: str) -> list[Mount]:
    """Return the mounts that a process sees, such as ``/proc/4242``. Raises the `OSError` of reading them."""
    source = f"{process}/mountinfo"
    return parse_mounts(system.read(source).decode("utf-8", "surrogateescape"), source)


def hides_others(system: System, shown: list[int]) -> bool:
    """Return whether procfs hides the processes of other users (mount option hidepid, proc(5)).

    Process 1 always exists: if it is not in *shown*, the pids in procfs, others may be missing too. In a container it
    may be the caller's own; then the mount option decides, unless the caller may inspect all processes.
    """
    if 1 not in shown:
        return True
    if _may_inspect_all(system):
        return False
    options = [mount.options for mount in read_mounts(system) if mount.kind == "proc" and mount.point == system.procfs]
    return bool(options) and not _HIDING.isdisjoint(options[-1])


def _may_inspect_all(system: System) -> bool:
    """Return whether the caller may inspect processes of any user, according to capabilities(7).

    A capability applies to the user namespace that the caller is in.
    """
    source = f"{system.procfs}/self/status"
    try:
        capabilities = parse_capabilities(decode(accessed(system.read, source)), source)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return system.uid == 0
    return bool(capabilities & _PTRACE) and maps_all_users(system)


# --- users -----------------------------------------------------------------------------------------------------------

#: The default of kernel.overflowuid (DEFAULT_OVERFLOWUID, linux/highuid.h).
_OVERFLOW_UID = 65534
#: The number of user IDs: all 32-bit numbers except the last, which means none.
_USERS = (1 << 32) - 1


def parse_uid_map(text: str, source: str) -> int:
    r"""Return the number of users in /proc/PID/uid_map, the sum of its third column (user_namespaces(7)).

    >>> parse_uid_map("         0          0 4294967295\n", "an example")
    4294967295
    """
    users = 0
    for line in text.split("\n"):
        numbers = [parse_decimal(field, HIGHEST_U32) for field in line.split()]
        if numbers and (len(numbers) != 3 or numbers[2] is None):
            raise ParseError(source, "three numbers in each line", line)
        users += (numbers[2] or 0) if numbers else 0
    return users


def overflow_uid(system: System) -> int:
    """Return the ID that the kernel shows for users without an ID in the caller's user namespace; it is read once.

    Administrators do not change it while programs run, because files contain it by then.
    """
    constants = system.constants
    if constants.overflow_uid is None:
        try:
            content = system.read(f"{system.procfs}/sys/kernel/overflowuid").decode("ascii", "replace")
        except OSError:
            content = ""
        number = parse_decimal(content.strip(), HIGHEST_U32)
        constants.overflow_uid = _OVERFLOW_UID if number is None else number
    return constants.overflow_uid


def maps_all_users(system: System) -> bool:
    """Return whether each user has an ID in the caller's user namespace, as in the initial one (user_namespaces(7))."""
    source = f"{system.procfs}/self/uid_map"
    try:
        return parse_uid_map(system.read(source).decode("ascii", "replace"), source) >= _USERS
    except FileNotFoundError:
        return True  # a kernel without user namespaces
    except OSError:
        return False
