"""A machine of a few files, programs and errors, written down in the test that needs it."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from typing import TypeVar

from portrange import Host

T = TypeVar("T")


class StandIn(Host):
    """What is not written down is not there (`FileNotFoundError`); what is written down as an error is raised.

    - `files`: by path. `folders`: the names in a directory, by path. `links`: where they point to, by path.
    - `programs`: what a command line prints; every one that is run is noted in `ran`.
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
        return _said(self.files, path)

    def read_start(self, path: str, size: int) -> bytes:
        return _said(self.files, path)[:size]

    def read_sysctl(self, name: str) -> bytes:
        return _said(self.files, f"{self.procfs}/sys/net/{name}")

    def list(self, path: str) -> list[str]:
        return _said(self.folders, path)

    def read_link(self, path: str) -> str:
        return _said(self.links, path)

    def run(self, *command: str) -> bytes:
        self.ran.append(command)
        return _said(self.programs, command)

    @property
    def uid(self) -> int | None:
        return self.user

    def user_name(self, uid: int) -> str | None:
        return self.users.get(uid)

    @property
    def ticks_per_second(self) -> int:
        return 100

    @property
    def console_encoding(self) -> str:
        return self.encoding


def _said(known: Mapping[object, T | OSError], key: object) -> T:
    if key not in known:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(key))
    found = known[key]
    if isinstance(found, OSError):
        raise found
    return found
