"""Fake hosts: hosts that are their own `System`, so that a test can replace single system calls."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from typing import TypeVar

from portrange import Host
from portrange._host.system import System

T = TypeVar("T")


class SystemHost(System, Host):
    """A `Host` that is its own `System`: public functions and internal ones take it alike."""

    # Plain attributes in place of the properties of `Host`, which `System` assigns.
    procfs: str = "/proc"
    backend: str | None = None

    def __init__(self, procfs: str = "/proc", *, backend: str | None = None) -> None:
        System.__init__(self, procfs, backend)
        self._system = self

    def _copy(self, **attributes: object) -> SystemHost:
        other = super()._copy(**attributes)
        other._system = other
        return other


class FakeHost(SystemHost):
    """A machine of the files, programs and errors that a test lists.

    Everything else does not exist (`FileNotFoundError`); errors in the mappings are raised.

    - `files`: contents by path. `folders`: the names in a directory, by path. `links`: targets by path.
    - `programs`: output by command line; `ran` records each program that was run.
    """

    def __init__(
        self,
        files: Mapping[str, bytes | OSError] | None = None,
        *,
        folders: Mapping[str, list[str] | OSError] | None = None,
        links: Mapping[str, str | OSError] | None = None,
        programs: Mapping[tuple[str, ...], bytes | OSError] | None = None,
        uid: int = 1000,
        users: Mapping[int, str] | None = None,
        encoding: str = "ascii",
    ) -> None:
        super().__init__()
        self.files, self.folders, self.links = files or {}, folders or {}, links or {}
        self.programs = programs or {}
        self.ran: list[tuple[str, ...]] = []
        self.user = uid
        self.users = users or {}
        self.encoding = encoding

    def read(self, path: str) -> bytes:
        return _found(self.files, path)

    def read_start(self, path: str, size: int) -> bytes:
        return _found(self.files, path)[:size]

    def read_sysctl(self, name: str) -> bytes:
        return _found(self.files, f"{self.procfs}/sys/net/{name}")

    def list(self, path: str) -> list[str]:
        return _found(self.folders, path)

    def read_link(self, path: str) -> str:
        return _found(self.links, path)

    def run(self, *command: str) -> bytes:
        self.ran.append(command)
        return _found(self.programs, command)

    @property
    def uid(self) -> int | None:
        return self.user

    @property
    def can_bind_privileged(self) -> bool:
        return self.user == 0

    def user_name(self, uid: int) -> str | None:
        return self.users.get(uid)

    @property
    def ticks_per_second(self) -> int:
        return 100

    @property
    def console_encoding(self) -> str:
        return self.encoding


def _found(known: Mapping[object, T | OSError], key: object) -> T:
    if key not in known:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(key))
    found = known[key]
    if isinstance(found, OSError):
        raise found
    return found
