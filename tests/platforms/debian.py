"""Unpack Debian packages of any release and architecture into a directory, without changes to this machine.

This is much faster than debootstrap and sufficient for an interpreter: apt resolves the dependencies against an empty
list of installed packages, and dpkg-deb unpacks them. Package scripts are not run.
"""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import machine

#: Links into /usr since Debian 13, which base-files creates at installation.
_MERGED = ("bin", "lib", "lib64", "sbin")
_OWN_SOURCES = ("/etc/apt/sources.list", "/etc/apt/sources.list.d/*.list", "/etc/apt/sources.list.d/*.sources")


class Release:
    """A Debian release for one architecture, from the mirror of this machine.

    If `suite` is None, the release of this machine is used.
    """

    def __init__(self, workspace: Path, architecture: str, suite: str | None = None) -> None:
        machine.need_commands("apt-get", "apt-cache", "dpkg-deb")
        self.architecture = architecture
        self.suite = suite or own_suite()
        self._state = workspace / f"apt-{self.suite}-{architecture}"
        self._packages = self._state / "archives"
        for directory in (self._state / "lists/partial", self._packages / "partial"):
            directory.mkdir(parents=True)
        (self._state / "status").touch()
        keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
        self._place = f"[signed-by={keys}] {own_mirror()} {self.suite} main\n"
        self._sources = self._state / "sources.list"
        self._sources.write_text(f"deb {self._place}", encoding="ascii")
        self._apt("apt-get", "update")

    def unpack(self, into: Path, *packages: str) -> Path:
        """Unpack packages and their dependencies."""
        self._apt("apt-get", "install", "-y", "--download-only", *packages)
        return self._unpack_downloads(into)

    def unpack_alone(self, into: Path, package: str) -> Path:
        """Unpack a package without its dependencies."""
        self._apt("apt-get", "download", package, cwd=self._packages)
        return self._unpack_downloads(into)

    def source(self, package: str) -> Path:
        """Return the archive of the original source of a package."""
        self._sources.write_text(f"deb-src {self._place}", encoding="ascii")
        self._apt("apt-get", "update")
        self._apt("apt-get", "source", "--download-only", package, cwd=self._packages)
        (archive,) = self._packages.glob(f"{package}_*.orig.tar.*z")
        return archive

    def dependency(self, package: str, pattern: str) -> str:
        """Return the dependency of a metapackage that matches *pattern*."""
        listed = self._apt("apt-cache", "depends", package)
        match = re.search(rf"Depends: ({pattern})", listed)
        if match is None:
            raise machine.FailedError(f"{package} has no dependency that matches {pattern}:\n{listed}")
        return match[1]

    def _unpack_downloads(self, into: Path) -> Path:
        into.mkdir(exist_ok=True)
        for package in sorted(self._packages.glob("*.deb")):
            machine.run("dpkg-deb", "--extract", package, into)
            package.unlink()
        into.chmod(0o755)
        for name in _MERGED:
            if not (into / name).exists() and (into / "usr" / name).is_dir():
                (into / name).symlink_to(f"usr/{name}")
        for name in ("proc", "sys", "dev", "tmp"):
            (into / name).mkdir(exist_ok=True)
        (into / "etc").mkdir(exist_ok=True)
        (into / "etc" / "hosts").write_text("127.0.0.1 localhost\n::1 localhost\n", encoding="utf-8")
        return into

    def _apt(self, program: str, *arguments: str, cwd: Path | None = None) -> str:
        settings = {
            "Dir::State": self._state,
            "Dir::State::Lists": self._state / "lists",
            "Dir::State::status": self._state / "status",
            "Dir::Cache": self._state,
            "Dir::Cache::Archives": self._packages,
            "Dir::Etc::SourceList": self._sources,
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::PreferencesParts": "/dev/null",
            "APT::Architecture": self.architecture,
            "APT::Architectures": self.architecture,
            "APT::Sandbox::User": "root",
            "APT::Install-Recommends": "false",
            "Acquire::Languages": "none",
        }
        options = [option for name, value in settings.items() for option in ("-o", f"{name}={value}")]
        return machine.run(program, *options, *arguments, cwd=cwd)


def own_mirror() -> str:
    """Return the mirror of this machine."""
    return _first_in_sources(r"^(?:URIs:|deb(?: \[[^]]*\])?) +(\S+/debian/?)(?:\s|$)")


def own_suite() -> str:
    match = re.search(r"^VERSION_CODENAME=(\w+)$", Path("/etc/os-release").read_text("utf-8"), re.MULTILINE)
    if match is None:
        raise machine.SkippedError("/etc/os-release has no VERSION_CODENAME; is this Debian?")
    return match[1]


def _first_in_sources(pattern: str) -> str:
    for place in _OWN_SOURCES:
        for path in sorted(Path("/").glob(place.lstrip("/"))):
            match = re.search(pattern, path.read_text("utf-8"), re.MULTILINE)
            if match is not None:
                return match[1]
    raise machine.SkippedError(f"none of {', '.join(_OWN_SOURCES)} names a mirror of Debian")


#: Namespaces for `inside`: mounts and processes, so that no mount persists, and a network.
NAMESPACES = ("--mount", "--pid", "--net", "--fork", "--kill-child")


def inside(root: Path, *command: str, directory: str = "/") -> list[str]:
    """Return the command that runs a program with an unpacked root directory, /proc, /sys, /dev and loopback."""
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
    # chroot(1) has no option for the working directory, and the root may contain no shell.
    enter = (
        "import os, sys; root, directory, *command = sys.argv[1:]; "
        "os.chroot(root); os.chdir(directory); os.execv(command[0], command)"
    )
    script = f'{mounts}; exec "{sys.executable}" -S -c "{enter}" "$0" "$@"'
    return ["unshare", *NAMESPACES, "sh", "-c", script, str(root), directory, *command]
