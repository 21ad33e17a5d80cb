"""Real control groups, made for a test and removed after it."""

from __future__ import annotations

import os
import time

_SECONDS = 10.0


def find_mount() -> str | None:
    """Where cgroup2 is mounted (proc(5), mountinfo)."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        for line in file:
            before, _, after = line.partition(" - ")
            if after.startswith("cgroup2 "):
                return before.split(" ")[4]
    return None


class Cgroups:
    """A tree of groups below one of its own; `path` as the kernel sees it from the mount."""

    def __init__(self, mount: str) -> None:
        self.mount = mount
        self.top = f"/portrange-test-{os.getpid()}.slice"
        self._made: list[str] = []
        self.make("")

    @classmethod
    def here(cls) -> Cgroups:
        """Such a tree on this machine. Raises `OSError` with the reason where none can be made."""
        mount = find_mount()
        if mount is None:
            raise FileNotFoundError("cgroup2 is not mounted")
        return cls(mount)

    @classmethod
    def where_possible(cls) -> Cgroups | None:
        """The same, for what goes without as well."""
        try:
            return cls.here()
        except OSError:
            return None

    def make(self, below: str) -> str:
        """The directory of a group below the test's own; its parents are made as well."""
        directory = self.mount + self.top
        for name in ["", *filter(None, below.split("/"))]:
            directory = f"{directory}/{name}".rstrip("/")
            if not os.path.isdir(directory):
                os.mkdir(directory)
                self._made.append(directory)
        return directory

    def path(self, below: str) -> str:
        return f"{self.top}/{below}"

    def remove(self, directory: str) -> None:
        """A group is busy for a moment after its last process ended."""
        deadline = time.monotonic() + _SECONDS
        while True:
            try:
                os.rmdir(directory)
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.005)
            else:
                self._made.remove(directory)
                return

    def close(self) -> None:
        for directory in reversed(self._made.copy()):
            self.remove(directory)
