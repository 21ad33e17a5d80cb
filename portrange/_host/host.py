"""A machine to ask: the one that Python runs on, or a stand-in for it.

Methods named after a system call raise what that call raises (`OSError`). Who calls them knows which failures have
an answer of their own, and names the source of the others in a `SourceError`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator
from copy import copy
from typing import Any, TypeVar

from .._compat import Self
from .._errors import PortrangeError
from .files import find_directory, read_at_once
from .words import printable

T = TypeVar("T")

#: Files of procfs do not tell their size; most are far shorter than this.
_BLOCK = 1 << 16
_DIRECTORY = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)


class Host:
    """Where the operating system is read. Nothing is read before a question is asked, and nothing is kept.

    - `procfs`: where procfs is mounted. A monitoring container that has the host's mounted passes ``"/host/proc"``;
      the answers are then about the network of that procfs's process 1.
    - `backend`: the name of the backend to ask with, instead of the one that belongs to the platform; "portable" asks
      through psutil anywhere.

    Provisional: the two parameters and `snapshot` stay, the other methods may still change.
    """

    def __init__(self, procfs: str | os.PathLike[str] = "/proc", *, backend: str | None = None) -> None:
        procfs = os.fspath(procfs).rstrip("/") or "/"
        self.procfs: str = procfs
        self.backend = backend
        #: A process directory whose network namespace the answers are about; None for the caller's own.
        self.network: str | None = None if procfs == "/proc" else f"{procfs}/1"
        #: Which one that is (`network_identity`), where it was asked before; the process may have ended since.
        self.network_expected: int | None = None
        #: What cannot change once it was seen, such as the directory of a cgroup id; filled by whoever proves it.
        self.proven: dict[str, Any] = {}
        self._memory: dict[object, tuple[Any, PortrangeError | OSError | None]] | None = None

    def __repr__(self) -> str:
        backend = f", backend={self.backend!r}" if self.backend else ""
        return f"{type(self).__name__}({self.procfs!r}{backend})"

    @property
    def platform(self) -> str:
        """The operating system, as `sys.platform` names it."""
        return sys.platform

    @property
    def is_snapshot(self) -> bool:
        """Whether each source is read only once."""
        return self._memory is not None

    def snapshot(self) -> Self:
        """This host as it is first seen: each source is read once, when it is first needed. For loops over many ports.

        All answers from one frozen host about settings fit together, and all about listeners; `why_busy` binds for real
        each time. The machine may have changed meanwhile: freeze anew to see it.
        """
        if self.is_snapshot:
            return self
        return self._changed(_memory={})

    def once(self, key: object, read: Callable[[], T]) -> T:
        """`read()`; a frozen host remembers the answer, or the failure, under `key`.

        Two threads that need the same source at the same moment may both read it; they get the same picture.
        """
        if self._memory is None:
            return read()
        if key not in self._memory:
            self._memory.setdefault(key, _attempt(read))
        value, failure = self._memory[key]
        if failure is not None:
            raise failure.with_traceback(None)
        return value  # type: ignore[no-any-return]  # stored under the same key by the same reader

    def in_network(self, process: str, expected: int | None = None) -> Self:
        """This host as seen from the network namespace of a process, such as ``/proc/4242``.

        `expected` is its `network_identity`, where it was asked before: no other namespace is entered then.
        """
        memory: dict[object, object] | None = None if self._memory is None else {}
        return self._changed(network=process, network_expected=expected, _memory=memory)

    def _changed(self, **attributes: object) -> Self:
        other = copy(self)
        other.__dict__.update(attributes)
        return other

    # --- files -------------------------------------------------------------------------------------------------

    def read(self, path: str) -> bytes:
        """A whole file."""
        # A quarter of what open() costs, and these files are read for every question.
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
        """The first `size` bytes of a file: for those that a stranger may make as long as he likes."""
        content = b""
        with open(path, "rb", buffering=0) as file:
            while len(content) < size and (block := file.read(size - len(content))):
                content += block
        return content

    def read_sysctl(self, name: str) -> bytes:
        """A file below ``/proc/sys/net``, which shows the network namespace of whoever opens it.

        Such a file gives everything to the first read, and what did not fit into the buffer to none
        (proc_do_large_bitmap, kernel/sysctl.c).
        """
        path = f"{self.procfs}/sys/net/{name}"
        return read_at_once(path) if self.network is None else self.within_network(lambda: read_at_once(path))

    def list(self, path: str) -> list[str]:
        """The names in a directory."""
        return os.listdir(path)

    def inode(self, path: str) -> int:
        """The inode number of a path, links followed."""
        return os.stat(path).st_ino

    def link_count(self, path: str) -> int:
        """How many hard links a path has; a directory has two, and one more for each directory in it."""
        return os.stat(path).st_nlink

    def read_link(self, path: str) -> str:
        """Where a symbolic link points to."""
        return os.readlink(path)

    def find_links(self, directory: str, targets: frozenset[str]) -> dict[str, str]:
        """The symbolic links in `directory` that point to one of `targets`, by name.

        The hot loop of every search for an owner: on a busy host it sees each descriptor of each process once.
        """
        found: dict[str, str] = {}
        descriptor = os.open(directory, _DIRECTORY)
        try:
            for name in os.listdir(descriptor):
                try:
                    target = os.readlink(name, dir_fd=descriptor)
                except FileNotFoundError:
                    continue  # closed since it was listed
                if target in targets:
                    found[name] = target
        finally:
            os.close(descriptor)
        return found

    def find_directory(self, top: str, inode: int) -> str | None:
        """The directory below `top` with this inode number, nearest first; None where there is none.

        Raises the first `OSError` met where it was not found and a directory could not be searched.
        """
        return find_directory(top, inode)

    # --- names and numbers -------------------------------------------------------------------------------------

    @property
    def ticks_per_second(self) -> int:
        """The unit of times in procfs."""
        sysconf: Callable[[str], int] | None = getattr(os, "sysconf", None)
        return 100 if sysconf is None else sysconf("SC_CLK_TCK")

    @property
    def uid(self) -> int | None:
        """The effective user of the caller; None where the system has no such number."""
        getter: Callable[[], int] | None = getattr(os, "geteuid", None)
        return None if getter is None else getter()

    def user_name(self, uid: int) -> str | None:
        """The name of a user, None where it has none or the system has no such register."""
        if self.procfs != "/proc" or sys.platform == "win32":
            return None  # the caller's own register says nothing about the users of another machine
        try:
            import pwd
        except ImportError:
            return None
        try:
            return printable(pwd.getpwuid(uid).pw_name)
        except KeyError:
            return None

    def interface_name(self, index: int) -> str:
        """The name of a network interface; its number where it has no name any more."""
        import socket

        try:
            return printable(self.within_network(lambda: socket.if_indextoname(index)))
        except (OSError, OverflowError):
            return f"#{index}"

    def network_identity(self, process: str) -> int:
        """A number that tells the network namespaces of processes apart, for a directory such as ``/proc/4242``."""
        from .netns import identity

        return identity(process)

    # --- the network -------------------------------------------------------------------------------------------

    def within_network(self, function: Callable[[], T]) -> T:
        """`function()`, called in the network namespace this host is about."""
        if self.network is None:
            return function()
        from .netns import call_within

        return call_within(self.network, function, self.network_expected)

    def sock_diag(self, request: bytes) -> Generator[bytes, None, None]:
        """Send one request to Linux's NETLINK_SOCK_DIAG and yield the datagrams of the reply.

        The reader stops at the message that ends the reply; the datagrams themselves are not looked into here.
        """
        from .netlink import open_sock_diag

        with self.within_network(open_sock_diag) as netlink:
            netlink.sendto(request, (0, 0))
            while True:
                yield netlink.recv(_BLOCK)

    def bind(self, protocol: str, family: str, address: str, port: int) -> None:
        """Bind a socket of its own for a moment, without SO_REUSEADDR and SO_REUSEPORT, and close it again."""
        from .binding import try_bind

        self.within_network(lambda: try_bind(protocol, family, address, port))

    @property
    def is_v6only(self) -> bool:
        """Whether a socket that is bound to ``::`` takes IPv6 alone, if its program does not say so."""
        from .binding import v6only_by_default

        return self.within_network(v6only_by_default)

    # --- other systems' ways -----------------------------------------------------------------------------------

    def sysctl(self, name: str | tuple[int, ...]) -> bytes:
        """A kernel setting of macOS or a BSD, as bytes: by name, or by its numbers where the system has no names."""
        from .sysctl import read_sysctl

        return read_sysctl(name)

    @property
    def console_encoding(self) -> str:
        """In what encoding programs of the system print, by Python's name; "ascii" where that cannot be asked."""
        from .programs import console_encoding

        return console_encoding()

    # --- programs ----------------------------------------------------------------------------------------------

    def run(self, *command: str) -> bytes:
        """The standard output of a program, in its untranslated form where the program knows one."""
        from .programs import run

        return run(command)


def _attempt(read: Callable[[], object]) -> tuple[object, PortrangeError | OSError | None]:
    try:
        return read(), None
    except (PortrangeError, OSError) as failure:
        return None, failure
