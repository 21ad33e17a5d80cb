"""Real cgroups that are created for a test and removed after it."""

from __future__ import annotations

import os
import time

_SECONDS = 10.0


def find_mount() -> str | None:
    """Return the mount point of cgroup2 (proc(5), mountinfo)."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        for line in file:
            before, _, after = line.partition(" - ")
            if after.startswith("cgroup2 "):
                return before.split(" ")[4]
    return None


class Cgroups:
    """A tree of cgroups below a new top-level cgroup; `path` is relative to the mount point."""

    def __init__(self, mount: str) -> None:
        self.mount = mount
        self.top = f"/portrange-test-{os.getpid()}.slice"
        self._made: list[str] = []
        self.make("")

    @classmethod
    def here(cls) -> Cgroups:
        """Create the tree on this machine. Raises `OSError` if cgroups cannot be created."""
        mount = find_mount()
        if mount is None:
            raise FileNotFoundError("cgroup2 is not mounted")
        return cls(mount)

    @classmethod
    def where_possible(cls) -> Cgroups | None:
        """Create the tree, or return None if cgroups cannot be created."""
        try:
            return cls.here()
        except OSError:
            return None

    def make(self, below: str) -> str:
        """Create a cgroup and its parents below the top-level cgroup and return its directory."""
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
        """Remove a cgroup; retries because it stays busy briefly after its last process ended."""
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
