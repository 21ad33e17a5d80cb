from __future__ import annotations

import errno
import pkgutil
import subprocess
import sys

import pytest
from recorded import RecordedHost, names

import portrange
from portrange import Host, UnsupportedPlatformError, classify, ephemeral_range, listeners, who_listens
from portrange._backends.select import backend_for, settings_of


class Elsewhere(Host):
    """This machine, on a system of another name; its own C library is no help there."""

    def __init__(self, platform: str, backend: str | None = None) -> None:
        super().__init__(backend=backend)
        self._platform = platform

    @property
    def platform(self) -> str:
        return self._platform

    def sysctl(self, name):
        raise OSError(errno.ENOSYS, "the C library has no sysctl", str(name))


@pytest.mark.parametrize("name", names())
def test_every_recorded_machine_has_a_backend(name):
    host = RecordedHost(name)
    assert backend_for(host).settings(host).platform


@pytest.mark.parametrize(
    ("platform", "system"),
    [
        ("linux", "linux"),
        ("linux2", "linux"),
        ("android", "linux"),
        ("darwin", "macos"),
        ("ios", "macos"),
        ("win32", "windows"),
        ("cygwin", "windows"),
        ("msys", "windows"),
        ("freebsd14", "freebsd"),
        ("dragonfly6", "dragonfly"),
        ("openbsd7", "openbsd"),
        ("netbsd10", "netbsd"),
        ("sunos5", "solaris"),
        ("aix", "aix"),
        ("aix7", "aix"),
    ],
)
def test_systems_are_told_by_the_beginning_of_their_name(platform, system):
    host = Elsewhere(platform)
    assert backend_for(host).settings(host).platform == system


@pytest.mark.parametrize(
    ("platform", "reason"),
    [
        ("emscripten", "Node.js"),
        ("wasi", "sandbox"),
        ("haiku", "40000"),
        ("zos", "EPHEMERALPORTS"),
        ("riscos", "known are"),
    ],
)
def test_where_there_is_no_backend_the_reason_is_told(platform, reason):
    host = Elsewhere(platform)
    for question in (ephemeral_range, listeners, lambda *, host: who_listens(80, host=host)):
        with pytest.raises(UnsupportedPlatformError, match=f"{platform!r}.*{reason}"):
            question(host=host)
    with pytest.raises(UnsupportedPlatformError, match=reason):
        listeners(host=Elsewhere(platform, backend="portable"))


def test_settings_of_a_system_without_a_backend_are_unknown_for_a_reason():
    settings = settings_of(Elsewhere("haiku"))
    assert (settings.platform, settings.pools, settings.reserved, settings.privileged) == ("haiku", None, None, None)
    assert "40000" in settings.incomplete[0]
    here = Elsewhere("linux")
    assert settings_of(here) == backend_for(here).settings(here)


@pytest.mark.parametrize("platform", ["emscripten", "haiku"])
def test_a_port_is_classified_everywhere(platform):
    info = classify(443, host=Elsewhere(platform))
    assert (info.name, info.ephemeral, info.reserved, info.excluded, info.privileged) == (
        "https",
        None,
        None,
        None,
        None,
    )
    assert platform in info.settings.incomplete[0]


def test_a_backend_can_be_asked_for_by_name():
    assert type(backend_for(Elsewhere("linux"))).__name__ == "LinuxBackend"
    portable = Elsewhere("linux", backend="portable")
    assert type(backend_for(portable)).__name__ == "PortableBackend"
    assert ephemeral_range(host=portable) == ephemeral_range(host=Elsewhere("linux"))
    assert backend_for(Elsewhere("linux", backend="win32")) is backend_for(Elsewhere("win32"))


def test_a_backend_that_does_not_exist_is_an_error_that_lists_the_others():
    with pytest.raises(ValueError, match=r"unknown backend 'netlink': use one of 'portable', 'linux'"):
        listeners(host=Host(backend="netlink"))


PLATFORMS = ["win32", "darwin", "emscripten", "freebsd14", "cygwin", "wasi"]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_module_imports_on_every_system(platform):
    """The standard library is loaded as it is; then the platform gets another name, and what is Unix's own is gone."""
    modules = [found.name for found in pkgutil.walk_packages(portrange.__path__, f"{portrange.__name__}.")]
    assert f"{portrange.__name__}._backends.portable.table" in modules
    program = f"""
import sys
import argparse, asyncio, ctypes, html, json, shutil, socket, subprocess, threading
import typing_extensions
sys.platform = {platform!r}
for absent in ("psutil", "pwd", "fcntl", "resource", "grp"):
    sys.modules[absent] = None
for attribute in ("AF_NETLINK", "SO_REUSEPORT", "AF_UNIX"):
    if hasattr(socket, attribute):
        delattr(socket, attribute)
import importlib, os
for attribute in ("geteuid", "sysconf", "setns", "O_DIRECTORY", "O_CLOEXEC"):
    if hasattr(os, attribute):
        delattr(os, attribute)
for name in {modules!r}:
    if not name.endswith(".__main__"):
        importlib.import_module(name)
import portrange
class Renamed(portrange.Host):
    def sysctl(self, name):
        raise OSError("the C library of this process is another system's")
print(portrange.classify(443, host=Renamed()).name)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "https\n"), done.stderr


def test_an_unknown_system_is_told_which_are_known():
    with pytest.raises(UnsupportedPlatformError) as caught:
        backend_for(Elsewhere("plan9"))
    assert str(caught.value) == (
        "no way is known to ask the platform 'plan9' about its ports: known are linux, android, darwin, ios, win32, "
        "cygwin, msys, freebsd, dragonfly, openbsd, netbsd, sunos, aix; classify() says what IANA knows of them"
    )
