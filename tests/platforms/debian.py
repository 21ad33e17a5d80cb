"""Debian's packages of any release and architecture, unpacked into a directory: nothing of this machine is changed.

Much faster than debootstrap, and enough to run an interpreter: apt resolves what a package depends on, against an
empty list of installed packages, and dpkg-deb unpacks it. No script of a package is run.
"""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import machine

#: Since Debian 13 these are links into /usr, made when a system is installed (the package base-files).
_MERGED = ("bin", "lib", "lib64", "sbin")
_OWN_SOURCES = ("/etc/apt/sources.list", "/etc/apt/sources.list.d/*.list", "/etc/apt/sources.list.d/*.sources")


class Release:
    """One release of Debian for one architecture, as this machine's own mirror has it.

    `suite` None is the release that this machine runs.
    """

    def __init__(self, workspace: Path, architecture: str, suite: str | None = None) -> None:
        machine.need_commands("apt-get", "apt-cache", "dpkg-deb")
        self.architecture = architecture
        self.suite = suite or _own_suite()
        self._state = workspace / f"apt-{self.suite}-{architecture}"
        self._packages = self._state / "archives"
        for directory in (self._state / "lists/partial", self._packages / "partial"):
            directory.mkdir(parents=True)
        (self._state / "status").touch()
        keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
        sources = f"deb [signed-by={keys}] {_own_mirror()} {self.suite} main\n"
        (self._state / "sources.list").write_text(sources, encoding="ascii")
        self._apt("apt-get", "update")

    def unpack(self, into: Path, *packages: str) -> Path:
        """Packages and all that they depend on."""
        self._apt("apt-get", "install", "-y", "--download-only", *packages)
        return self._unpack_downloads(into)

    def unpack_alone(self, into: Path, package: str) -> Path:
        """One package without what it depends on."""
        self._apt("apt-get", "download", package, cwd=self._packages)
        return self._unpack_downloads(into)

    def dependency(self, package: str, pattern: str) -> str:
        """The package that a metapackage stands for today."""
        listed = self._apt("apt-cache", "depends", package)
        match = re.search(rf"Depends: ({pattern})", listed)
        if match is None:
            raise machine.FailedError(f"{package} depends on nothing like {pattern}:\n{listed}")
        return match[1]

    def _unpack_downloads(self, into: Path) -> Path:
        into.mkdir(exist_ok=True)
        for package in sorted(self._packages.glob("*.deb")):
            machine.run("dpkg-deb", "--extract", package, into, seconds=60)
            package.unlink()
        into.chmod(0o755)
        for name in _MERGED:
            if not (into / name).exists() and (into / "usr" / name).is_dir():
                (into / name).symlink_to(f"usr/{name}")
        for name in ("proc", "sys", "dev", "tmp"):
            (into / name).mkdir(exist_ok=True)
        return into

    def _apt(self, program: str, *arguments: str, cwd: Path | None = None) -> str:
        settings = {
            "Dir::State": self._state,
            "Dir::State::Lists": self._state / "lists",
            "Dir::State::status": self._state / "status",
            "Dir::Cache": self._state,
            "Dir::Cache::Archives": self._packages,
            "Dir::Etc::SourceList": self._state / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::PreferencesParts": "/dev/null",
            "APT::Architecture": self.architecture,
            "APT::Architectures": self.architecture,
            "APT::Sandbox::User": "root",
            "APT::Install-Recommends": "false",
            "Acquire::Languages": "none",
        }
        options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        return machine.run(program, *options, *arguments, seconds=200, cwd=cwd)


def _own_mirror() -> str:
    """The mirror that this machine's own packages come from."""
    return _first_in_sources(r"^(?:URIs:|deb(?: \[[^]]*\])?) +(\S+/debian/?)(?:\s|$)")


def _own_suite() -> str:
    match = re.search(r"^VERSION_CODENAME=(\w+)$", Path("/etc/os-release").read_text("utf-8"), re.MULTILINE)
    if match is None:
        raise machine.SkippedError("/etc/os-release names no VERSION_CODENAME: is this Debian?")
    return match[1]


def _first_in_sources(pattern: str) -> str:
    for place in _OWN_SOURCES:
        for path in sorted(Path("/").glob(place.lstrip("/"))):
            match = re.search(pattern, path.read_text("utf-8"), re.MULTILINE)
            if match is not None:
                return match[1]
    raise machine.SkippedError(f"none of {', '.join(_OWN_SOURCES)} names a mirror of Debian")


#: What `inside` needs: mounts and processes of its own, so that nothing stays mounted whatever happens, and a network.
NAMESPACES = ("--mount", "--pid", "--net", "--fork", "--kill-child")


def inside(root: Path, *command: str, directory: str = "/") -> list[str]:
    """The arguments that run a program in an unpacked directory as its root, with /proc, /sys, /dev and loopback."""
    mounts = "; ".join(
        (
            "set -e",
            'mount -t proc proc "$0/proc"',
            'mount --rbind /sys "$0/sys"',
            'mount --rbind /dev "$0/dev"',
            'mount -t tmpfs tmpfs "$0/tmp"',
            f"{shlex.quote(sys.executable)} -I -c {shlex.quote(machine.LOOPBACK_UP)}",
        )
    )
    # chroot(1) has no way to say where to start, and the directory may hold no shell.
    enter = (
        "import os, sys; root, directory, *command = sys.argv[1:]; "
        "os.chroot(root); os.chdir(directory); os.execv(command[0], command)"
    )
    script = f'{mounts}; exec "{sys.executable}" -S -c "{enter}" "$0" "$@"'
    return ["unshare", *NAMESPACES, "sh", "-c", script, str(root), directory, *command]
