"""Real cgroups that are created for a test and removed after it."""

from __future__ import annotations

import os
import time

_SECONDS = 60.0


def find_mount() -> str | None:
    """Return the mount point of cgroup2 (proc(5), mountinfo)."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        for line in file:
            before, _, after = line.partition(" - ")
            if after.startswith("cgroup2 "):
                return before.split(" ")[4]
    return None


def own_cgroup() -> str:
    """Return the path of the cgroup2 of this process, relative to the mount point (cgroups(7))."""
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        for line in file:
            if line.startswith("0::"):
                return line[3:].strip().rstrip("/")
    raise FileNotFoundError("this process has no cgroup2")


class Cgroups:
    """A tree of cgroups below a new one, `top`; `path` is relative to the mount point."""

    def __init__(self, mount: str, above: str = "") -> None:
        self.mount = mount
        self.top = f"{above}/portrange-test-{os.getpid()}.slice"
        self.make("")

    @classmethod
    def here(cls) -> Cgroups:
        """Create the tree, for an ordinary user below the own cgroup. Raises `OSError` if that is not possible."""
        mount = find_mount()
        if mount is None:
            raise FileNotFoundError("cgroup2 is not mounted")
        return cls(mount, "" if os.geteuid() == 0 else own_cgroup())

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
                return

    def close(self) -> None:
        """Remove the tree, with the groups that forked processes have made."""
        directories = [self.mount + self.top]
        for directory in directories:
            directories += [entry.path for entry in os.scandir(directory) if entry.is_dir()]
        for directory in reversed(directories):
            self.remove(directory)
