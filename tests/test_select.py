from __future__ import annotations

import errno
import pkgutil
import subprocess
import sys

import pytest
from fakes import SystemHost
from recorded import RecordedHost, names

import portrange
from portrange import Host, UnsupportedPlatformError, classify, ephemeral_range, listeners, who_listens
from portrange._backends import linux
from portrange._backends.portable import EVERYTHING, PortableBackend
from portrange._backends.select import EXPERIMENTAL, backend_for, experimental, settings_of


class Elsewhere(SystemHost):
    """This machine under another platform name, without sysctl in the C library."""

    def __init__(self, platform: str, backend: str | None = None) -> None:
        super().__init__(backend=backend)
        self._platform = platform

    @property
    def platform(self) -> str:
        return self._platform

    def sysctl(self, name):
        raise OSError(errno.ENOSYS, "the C library has no sysctl", str(name))


@pytest.mark.parametrize("name", names())
def test_every_recorded_host_has_a_backend(name):
    host = RecordedHost(name)
    assert backend_for(host).port_settings(host).platform


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
def test_backend_is_selected_by_platform_prefix(platform, system):
    host = Elsewhere(platform)
    assert backend_for(host).port_settings(host).platform == system


@pytest.mark.parametrize(
    ("platform", "reason"),
    [
        ("emscripten", "Node.js"),
        ("wasi", "sandbox"),
        ("haiku", "40000"),
        ("zos", "EPHEMERALPORTS"),
        ("riscos", "supported platforms are"),
    ],
)
def test_platform_without_backend_raises_error_with_the_reason(platform, reason):
    host = Elsewhere(platform)
    for query in (ephemeral_range, listeners, lambda *, host: who_listens(80, host=host)):
        with pytest.raises(UnsupportedPlatformError, match=f"{platform!r}.*{reason}"):
            query(host=host)
    with pytest.raises(UnsupportedPlatformError, match=reason):
        listeners(host=Elsewhere(platform, backend="portable"))


def test_settings_without_backend_are_unknown_with_a_reason():
    settings = settings_of(Elsewhere("haiku"))
    assert (settings.platform, settings.pools, settings.reserved, settings.privileged) == ("haiku", None, None, None)
    assert "40000" in settings.incomplete[0]
    linux = Elsewhere("linux")
    assert settings_of(linux) == backend_for(linux).port_settings(linux)


@pytest.mark.parametrize("platform", ["emscripten", "haiku"])
def test_classify_works_on_platforms_without_backend(platform):
    info = classify(443, host=Elsewhere(platform))
    assert (info.name, info.ephemeral, info.reserved, info.excluded, info.privileged) == (
        "https",
        None,
        None,
        None,
        None,
    )
    assert platform in info.settings.incomplete[0]


def test_backend_can_be_selected_by_name():
    assert backend_for(Elsewhere("linux")) is linux
    portable = Elsewhere("linux", backend="portable")
    backend = backend_for(portable)
    assert isinstance(backend, PortableBackend)
    assert backend.view == EVERYTHING
    assert ephemeral_range(host=portable) == ephemeral_range(host=Elsewhere("linux"))
    assert backend_for(Elsewhere("linux", backend="win32")) is backend_for(Elsewhere("win32"))


def test_unknown_backend_raises_value_error_listing_the_known():
    with pytest.raises(ValueError, match=r"unknown backend 'netlink': use one of 'portable', 'linux'"):
        listeners(host=Host(backend="netlink"))


PLATFORMS = ["win32", "darwin", "emscripten", "freebsd14", "cygwin", "wasi"]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_module_imports_on_every_platform(platform):
    """Load the standard library unchanged, then rename the platform and remove what only Unix has."""
    modules = [found.name for found in pkgutil.walk_packages(portrange.__path__, f"{portrange.__name__}.")]
    assert f"{portrange.__name__}._backends.portable.psutil_table" in modules
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
from portrange._host.system import System
def sysctl(self, name):
    raise OSError("the C library belongs to another system")
System.sysctl = sysctl
print(portrange.classify(443).name)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "https\n"), done.stderr


def test_unknown_platform_error_lists_the_known():
    with pytest.raises(UnsupportedPlatformError) as caught:
        backend_for(Elsewhere("plan9"))
    assert str(caught.value) == (
        "cannot query ports on the platform 'plan9': supported platforms are linux, android, darwin, ios, win32, "
        "cygwin, msys, freebsd, dragonfly, openbsd, netbsd, sunos, aix; classify() still returns the registry data"
    )


def test_experimental_names_the_sources_of_readers_that_never_ran():
    assert experimental("linux") is None
    assert experimental("win32") is None
    note = experimental("freebsd14")
    assert note is not None
    assert note.startswith("experimental on freebsd: written from the sources of the kernel and of psutil, ")


@pytest.mark.parametrize("platform", EXPERIMENTAL)
def test_experimental_platforms_have_no_recording_of_a_real_machine(platform):
    """A recording ends the experimental state of a reader: remove its row then."""
    for name in names():
        host = RecordedHost(name)
        assert not host.platform.startswith(platform) or host.is_synthetic, name


@pytest.mark.parametrize("platform", ["darwin", "linux"])
def test_version_states_that_readers_are_experimental(platform):
    program = f"""
import sys
sys.platform = {platform!r}
from portrange._cli.parser import _version
print(_version("1.0"))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0] == "portrange 1.0"
    assert [line.partition(":")[0] for line in lines[1:]] == (
        ["experimental on darwin"] if platform == "darwin" else []
    )
