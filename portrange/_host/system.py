"""System calls, files and programs of one machine: the only code that reaches the operating system.

Methods raise the `OSError` of the call they make. The caller knows which failures are results ("no such process") and
converts the others to `SourceError`, which names the source. Tests replace this class, never `open`.
"""

from __future__ import annotations

import os
import sys

from .._errors import PortrangeError
from .._lazy import import_lock
from .._render.strings import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from typing import Any, TypeVar

    from typing_extensions import Self

    from .binding import HeldProbes

    T = TypeVar("T")

#: Bytes of one read() or recv(). Files of procfs do not have a size; most are far shorter than this.
_BLOCK = 1 << 16
_DIRECTORY = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)
#: Buffers for sysctl files: enough for nearly every setting, and for 32,768 port numbers with commas.
_SYSCTL_SIZES = (1 << 12, 1 << 18)
#: Bytes of the longest item that the kernel may have cut off: a range of ports with its comma.
_SYSCTL_ITEM = 12
#: The netlink family of sock_diag(7) (linux/netlink.h); the socket module does not define it.
_NETLINK_SOCK_DIAG = 4
#: Seconds. The kernel replies at once; a sandbox that drops the request must not block the caller for ever.
_NETLINK_TIMEOUT = 5.0
_PROGRAM_TIMEOUT = 10


class Constants:
    """Cache of facts that cannot change while the machine runs."""

    def __init__(self) -> None:
        #: Directory and path of each control group found so far, by ID.
        self.cgroups: dict[int, tuple[str, str]] = {}
        #: The contents of /proc/self/mountinfo, and the cgroup IDs that do not exist in those mounts.
        self.missing_cgroups: tuple[bytes, set[int]] = (b"", set())
        self.is_wsl1: bool | None = None
        self.overflow_uid: int | None = None


class System:
    """The system that a `Host` describes.

    - `procfs`, `backend`: as in `Host`.
    - `network`: the process directory (``/proc/4242``) or mounted namespace whose network is queried; None for the
      caller's own.
    - `network_identity`: the expected `identity_of` that network, None if it is not known yet.
    - `constants`: cache of facts that cannot change.
    """

    def __init__(self, procfs: str = "/proc", backend: str | None = None) -> None:
        self.procfs = procfs
        self.backend = backend
        self.network: str | None = None if procfs == "/proc" else f"{procfs}/1"
        self.network_identity: int | None = None
        self.constants = Constants()
        #: The backend in place of that of the platform, for fake hosts.
        self.own_backend: Any = None
        #: The results, or errors, of a snapshot by key; None if this is not a snapshot.
        self._results: dict[object, tuple[Any, PortrangeError | OSError | None]] | None = None

    @property
    def platform(self) -> str:
        """The operating system, as `sys.platform` names it."""
        return sys.platform

    # --- snapshots and network namespaces ----------------------------------------------------------------------------

    @property
    def is_snapshot(self) -> bool:
        """True if each source is read only once."""
        return self._results is not None

    def snapshot(self) -> Self:
        """Return a copy that reads each source once, or itself if it is a snapshot already."""
        return self if self.is_snapshot else self._copy(_results={})

    def cached(self, key: object, read: Callable[..., T], *args: Any) -> T:
        """Return ``read(*args)``. A snapshot stores the result, or the error, under *key* and returns it again.

        Two threads may both read the same source for the first time; both get the same stored result.
        """
        if self._results is None:
            return read(*args)
        if key not in self._results:
            self._results.setdefault(key, _result_or_error(read, *args))
        value, error = self._results[key]
        if error is not None:
            with import_lock:
                from copy import copy

            # A copy: raising an error changes it, and another thread may raise the same one.
            raise copy(error) from error.__cause__
        return value  # type: ignore[no-any-return]  # the same reader stored it under this key

    def in_network(self, process: str, identity: int | None = None) -> Self:
        """Return this system as seen from the network namespace of a process, such as ``/proc/4242``.

        With *identity*, the `identity_of` that namespace, no other namespace is entered if the process ends.
        """
        results: dict[object, object] | None = None if self._results is None else {}
        return self._copy(network=process, network_identity=identity, _results=results)

    def _copy(self, **attributes: object) -> Self:
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__, **attributes)
        return other

    # --- files -------------------------------------------------------------------------------------------------------

    def read(self, path: str) -> bytes:
        """Return the contents of a file."""
        # os.open() costs a quarter of open(), and these files are read for every query.
        descriptor = os.open(path, os.O_RDONLY)
        try:
            content = block = os.read(descriptor, _BLOCK)
            while block:
                block = os.read(descriptor, _BLOCK)
                content += block
            return content
        finally:
            os.close(descriptor)

    def read_start(self, path: str, size: int) -> bytes:
        """Return the first *size* bytes of a file, for files that an untrusted process can make arbitrarily long."""
        content = b""
        with open(path, "rb", buffering=0) as file:
            while len(content) < size and (block := file.read(size - len(content))):
                content += block
        return content

    def read_sysctl(self, name: str) -> bytes:
        """Return the contents of a file below ``/proc/sys/net``, as seen from this system's network namespace."""
        return self.within_network(_read_sysctl_file, f"{self.procfs}/sys/net/{name}")

    def subdirectories(self, path: str) -> list[str]:
        """Return the names of the directories in a directory."""
        # Two links (its name and "."): no subdirectories. Some file systems do not count links.
        if os.stat(path).st_nlink == 2:
            return []
        with os.scandir(path) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]

    def list(self, path: str) -> list[str]:
        """Return the names in a directory."""
        return os.listdir(path)

    def inode(self, path: str) -> int:
        """Return the inode number of a path; links are followed."""
        return os.stat(path).st_ino

    def link_count(self, path: str) -> int:
        """Return the number of hard links of a path; a directory has two, and one for each subdirectory."""
        return os.stat(path).st_nlink

    def read_link(self, path: str) -> str:
        """Return the target of a symbolic link."""
        return os.readlink(path)

    def find_links(
        self, directory: str, targets: frozenset[str], at_first: Callable[[str], object] | None = None
    ) -> dict[str, str]:
        """Return the symbolic links in *directory* that point to one of *targets*, by name.

        This is the hot loop of a search for owners: it reads each descriptor of each process once. Calls *at_first*
        with the target of the first link, and returns only what it reads after that.
        """
        found: dict[str, str] = {}
        read_link = os.readlink
        descriptor = os.open(directory, _DIRECTORY)
        try:
            for name in os.listdir(descriptor):
                try:
                    target = read_link(name, dir_fd=descriptor)
                    if at_first is not None and target in targets:
                        at_first(target)
                        at_first = None
                        target = read_link(name, dir_fd=descriptor)
                except (FileNotFoundError, ProcessLookupError):
                    continue  # closed since listdir(), or the process has ended
                if target in targets:
                    found[name] = target
        finally:
            os.close(descriptor)
        return found

    def read_links(self, directory: str, names: Iterable[str] | None = None) -> dict[str, str]:
        """Return the targets of symbolic links in *directory*, by name, without links that do not exist any more.

        *names* None means all of them.
        """
        found: dict[str, str] = {}
        descriptor = os.open(directory, _DIRECTORY)
        try:
            for name in os.listdir(descriptor) if names is None else names:
                try:
                    found[name] = os.readlink(name, dir_fd=descriptor)
                except FileNotFoundError:
                    continue
        finally:
            os.close(descriptor)
        return found

    def find_directories(self, top: str, inodes: Collection[int]) -> dict[int, str]:
        """Return the directories below *top* with these inode numbers, found in one search, nearest levels first.

        Raises the first `OSError` of a directory that cannot be searched, unless all are found elsewhere.
        """
        failure: OSError | None = None
        found: dict[int, str] = {}
        level = [top]
        while level:
            below: list[str] = []
            for directory in level:
                try:
                    for inode, path in _subdirectories(directory):
                        below.append(path)
                        if inode in inodes:
                            found[inode] = path
                            if len(found) == len(inodes):
                                return found
                except FileNotFoundError:
                    continue  # removed since it was listed
                except OSError as error:
                    failure = failure or error
            level = below
        if failure is not None:
            raise failure
        return found

    # --- names and numbers -------------------------------------------------------------------------------------------

    @property
    def ticks_per_second(self) -> int:
        """The unit of times in procfs."""
        sysconf: Callable[[str], int] | None = getattr(os, "sysconf", None)
        return 100 if sysconf is None else sysconf("SC_CLK_TCK")

    @property
    def uid(self) -> int | None:
        """The effective user ID of the caller; None where the system has none."""
        geteuid: Callable[[], int] | None = getattr(os, "geteuid", None)
        return None if geteuid is None else geteuid()

    @property
    def can_bind_privileged(self) -> bool:
        """True if the caller is known to have the right to bind privileged ports in this system's network."""
        if self.network is not None:
            return False
        if sys.platform not in ("linux", "android"):
            return self.uid == 0
        with import_lock:
            from .capability import has_bind_capability

        return has_bind_capability()

    def user_name(self, uid: int) -> str | None:
        """Return the name of a user; None if the user has none or the system has no user database."""
        # The caller's user database does not describe the users of another machine's procfs.
        if self.procfs != "/proc" or sys.platform == "win32":
            return None
        try:
            with import_lock:
                import pwd
        except ImportError:
            return None
        try:
            return printable(pwd.getpwuid(uid).pw_name)
        except KeyError:
            return None

    def interface_name(self, index: int) -> str:
        """Return the name of a network interface; ``#`` and its index if it does not exist any more."""
        with import_lock:
            import socket

        try:
            return printable(self.within_network(socket.if_indextoname, index))
        except (OSError, OverflowError):
            return f"#{index}"

    @property
    def console_encoding(self) -> str:
        """The encoding of console output, by Python's name; "ascii" where it cannot be determined."""
        if sys.platform == "win32":
            with import_lock:
                import ctypes

            # Consoles use the OEM code page, not the ANSI one; 65001 is UTF-8.
            page = ctypes.windll.kernel32.GetOEMCP()
            return "utf-8" if page == 65001 else f"cp{page}"
        return "ascii"

    # --- the network -------------------------------------------------------------------------------------------------

    def identity_of(self, process: str) -> int:
        """Return an integer that identifies the network namespace of a process, such as ``/proc/4242``."""
        with import_lock:
            from .netns import identity

        return identity(process)

    def within_network(self, function: Callable[..., T], *args: Any) -> T:
        """Return ``function(*args)``, called in this system's network namespace."""
        if self.network is None:
            return function(*args)
        with import_lock:
            from .netns import call_within

        return call_within(self.network, lambda: function(*args), self.network_identity)

    def sock_diag(self, request: bytes) -> Generator[bytes, None, None]:
        """Send a request to NETLINK_SOCK_DIAG (Linux) and yield the datagrams of the reply.

        The caller recognizes the end of the reply and closes the generator.
        """
        with self.within_network(_open_netlink, _NETLINK_SOCK_DIAG) as netlink:
            netlink.sendto(request, (0, 0))
            while True:
                yield netlink.recv(_BLOCK)

    def source_address(self, address: str, port: int) -> str:
        """Return the local address that the system chooses for a peer; nothing is sent."""
        with import_lock:
            from .binding import source_address

        return self.within_network(source_address, address, port)

    def local_interface(self, packed: bytes, zone: int = 0) -> int | None:
        """Return the index of the interface that has an address, 0 if it is unknown; None if no interface has it.

        *zone* is the index of the interface of a link-local address, 0 for other addresses. Raises the `OSError` of the
        system if that cannot be determined.
        """
        with import_lock:
            from . import binding, route

        if sys.platform not in ("linux", "android"):
            return zone if self.within_network(binding.can_bind_address, packed, zone) else None
        # bind() takes the addresses of other machines as well if net.ipv4.ip_nonlocal_bind is set.
        with self.within_network(_open_netlink, route.NETLINK_ROUTE) as netlink:
            netlink.sendto(route.request(packed, zone), (0, 0))
            try:
                return route.local_interface(netlink.recv(_BLOCK))
            except OSError as error:
                if error.errno in binding.UNREACHABLE:
                    return None
                raise

    def interface_index(self, name: str) -> int:
        """Return the index of a network interface."""
        with import_lock:
            import socket

        return self.within_network(socket.if_nametoindex, name)

    def bind(self, protocol: str, family: str, address: str, port: int) -> None:
        """Bind a probe socket without SO_REUSEADDR and SO_REUSEPORT, and close it."""
        with import_lock:
            from .binding import probe

        self.within_network(probe, protocol, family, address, port)

    def held_probes(self) -> AbstractContextManager[HeldProbes]:
        """Return a context in which a TCP and a UDP probe socket of this process are bound to 127.0.0.1."""
        with import_lock:
            from .binding import held_probes

        return held_probes()

    def can_share(self, protocol: str, address: str, port: int) -> bool:
        """Return whether a socket with SO_REUSEPORT can share a port that a listener has; True if that is unknown."""
        with import_lock:
            from .binding import can_share

        return self.within_network(can_share, protocol, address, port)

    # --- processes ---------------------------------------------------------------------------------------------------

    def exit_descriptor(self, pid: int) -> int | None:
        """Return a descriptor that is readable when a process has ended (pidfd_open(2)); None where there is none."""
        open_descriptor: Callable[[int], int] | None = getattr(os, "pidfd_open", None)
        if open_descriptor is None or self.procfs != "/proc":
            return None
        try:
            return open_descriptor(pid)
        except OSError:
            return None

    def exit_status(self, pid: int) -> int | None:
        """Return the exit status of a child of the caller, as `subprocess.Popen.returncode`; None if it is unknown.

        The status remains for another wait() (WNOWAIT).
        """
        calls: Any = os  # Windows and macOS have no waitid()
        if not hasattr(calls, "waitid") or self.procfs != "/proc":
            return None
        try:
            ended = calls.waitid(calls.P_PID, pid, calls.WEXITED | calls.WNOHANG | calls.WNOWAIT)
        except OSError:
            return None  # not a child of this process, or another thread has waited for it
        if ended is None:
            return None
        status = int(ended.si_status)
        return status if ended.si_code == calls.CLD_EXITED else -status

    @property
    def is_v6only(self) -> bool:
        """True if a socket bound to ``::`` takes IPv6 only, unless its program sets IPV6_V6ONLY."""
        with import_lock:
            from .binding import v6only_by_default

        return self.within_network(v6only_by_default)

    # --- settings of other systems -----------------------------------------------------------------------------------

    def sysctl(self, name: str | tuple[int, ...]) -> bytes:
        """Return a kernel setting of macOS or a BSD: by name, or by number where the system has no names."""
        with import_lock:
            from .sysctl import read_sysctl

        return read_sysctl(name)

    def sysctl_with_size(self, name: str) -> tuple[bytes, int]:
        """Return a kernel setting, and the number of bytes that the kernel requested for it."""
        with import_lock:
            from .sysctl import read_with_size

        return read_with_size(name)

    def run(self, *command: str) -> bytes:
        """Return the standard output of a program, run in the C locale."""
        return run_program(command)


def _result_or_error(read: Callable[..., object], *args: object) -> tuple[object, PortrangeError | OSError | None]:
    try:
        return read(*args), None
    except (PortrangeError, OSError) as error:
        return None, error.with_traceback(None)


def _read_sysctl_file(path: str) -> bytes:
    """Return the contents of a sysctl file by one read().

    Such a file returns everything to the first read() and drops what does not fit (proc_do_large_bitmap,
    kernel/sysctl.c), so a full buffer means: read again with a larger one.
    """
    content = b""
    for size in _SYSCTL_SIZES:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            content = os.read(descriptor, size)
        finally:
            os.close(descriptor)
        if len(content) + _SYSCTL_ITEM <= size:
            break
    return content


def _open_netlink(protocol: int) -> socket.socket:
    """Return a netlink(7) socket in the network namespace of the calling thread."""
    with import_lock:
        import socket

    family: int | None = getattr(socket, "AF_NETLINK", None)
    if family is None:
        raise OSError("this Python has no AF_NETLINK")
    netlink = socket.socket(family, socket.SOCK_RAW, protocol)
    netlink.settimeout(_NETLINK_TIMEOUT)
    return netlink


def run_program(command: Sequence[str]) -> bytes:
    """Return the standard output of a program, run in the C locale.

    Raises the `OSError` of starting it, `OSError` with its first line of output if it fails, `TimeoutError` if it does
    not end within 10 seconds.
    """
    with import_lock:
        import subprocess

    environment = dict(os.environ, LC_ALL="C", LANG="C")
    try:
        done = subprocess.run(  # noqa: S603 - every caller passes a constant
            command,
            check=False,
            capture_output=True,
            env=environment,
            timeout=_PROGRAM_TIMEOUT,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"no output within {_PROGRAM_TIMEOUT} seconds") from error
    if done.returncode != 0:
        complaint = (done.stderr or done.stdout).decode("utf-8", "replace").strip().partition("\n")[0]
        raise OSError(f"exit status {done.returncode}: {complaint}")
    return done.stdout


def _subdirectories(directory: str) -> Iterator[tuple[int, str]]:
    """Yield the inode numbers and paths of the subdirectories of a directory."""
    # Two links (its name and "."): no subdirectories. Some file systems do not count links.
    if os.stat(directory).st_nlink == 2:
        return
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield entry.inode(), entry.path
