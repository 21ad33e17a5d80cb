"""Shared fixtures: child processes, and checks of what this machine and this user support."""

from __future__ import annotations

import os
import re
import signal
import socket
import struct
import sys
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from live import own_namespaces
from live.cgroups import Cgroups
from live.world import World

#: Timing depends on the machine, not on the code under test.
settings.register_profile(
    "untimed",
    settings(),
    deadline=None,
    # Some inputs are deliberately as large as a bitmap of all ports.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("untimed")
#: For the checks of other systems, which repeat the same tests on slow emulators: --hypothesis-profile=short.
settings.register_profile("short", settings.get_profile("untimed"), max_examples=10)

# Background jobs of a shell inherit an ignored SIGINT, and so would every program that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run tests with the fixture `root` in their own namespaces where the user is not root."""
    if sys.platform == "linux" and os.geteuid() != 0:
        for item in items:
            if isinstance(item, pytest.Function) and "root" in item.fixturenames:
                item.obj = own_namespaces.inside(item.obj)


@pytest.fixture
def world() -> Iterator[World]:
    """Yield a World whose processes end with the test."""
    processes = World()
    yield processes
    processes.close()


@pytest.fixture
def cgroups(root: None, sock_diag: None, world: World) -> Iterator[Cgroups]:
    """Yield control groups that are removed after the test, once their processes have ended."""
    try:
        groups = Cgroups.here()
    except OSError as error:
        pytest.skip(f"cannot create a control group: {error}")
    yield groups
    world.close()
    groups.close()


@pytest.fixture
def open_directory() -> Iterator[str]:
    """Yield an empty directory that every user can traverse, unlike those of `tmp_path`."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        yield directory


@pytest.fixture(autouse=True)
def _linux_only(request: pytest.FixtureRequest) -> None:
    if request.node.path.parent.name == "live" and sys.platform != "linux":
        pytest.skip("requires Linux")


@pytest.fixture(scope="session")
def root() -> None:
    """Skip unless the test can run as root, at least as root of a user namespace (see above)."""
    if os.geteuid() != 0 and own_namespaces.missing():
        pytest.skip(f"not root, and cannot create namespaces: {own_namespaces.missing()}")


@pytest.fixture(scope="session")
def sock_diag() -> None:
    """Skip unless the kernel lists TCP and UDP sockets over NETLINK_SOCK_DIAG."""
    for family in (socket.AF_INET, socket.AF_INET6):
        for protocol in (socket.IPPROTO_TCP, socket.IPPROTO_UDP):
            try:
                _try_sock_diag(family, protocol)
            except OSError as error:
                pytest.skip(f"no NETLINK_SOCK_DIAG: {error}")


def _try_sock_diag(family: int, protocol: int) -> None:
    request = struct.pack("=IHHIIBBBxI56x", 72, 20, 0x301, 1, 0, family, protocol, 0, 1 << 10)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as netlink:
        netlink.settimeout(5)
        netlink.sendto(request, (0, 0))
        _, kind, _, _, _, error = struct.unpack_from("=IHHIIi", netlink.recv(1 << 16))
    if kind == 2:
        raise OSError(-error, os.strerror(-error))


@pytest.fixture(scope="session")
def ipv6() -> None:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError as error:
        pytest.skip(f"no IPv6 loopback: {error}")


@pytest.fixture(scope="session")
def mptcp() -> None:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262).close()
    except OSError as error:
        pytest.skip(f"no Multipath TCP: {error}")


@pytest.fixture(scope="session")
def bound_inactive() -> None:
    """Skip unless the kernel lists bound TCP sockets that do not listen."""
    release = tuple(map(int, re.findall(r"\d+", os.uname().release)[:2]))
    if release < (6, 8):
        pytest.skip(f"Linux {os.uname().release} lists bound sockets that do not listen only from 6.8 on")


@pytest.fixture(scope="session")
def namespaces(root: None) -> None:
    """Skip unless network, mount and PID namespaces can be created and procfs can be mounted in them."""
    if own_namespaces.missing():
        pytest.skip(f"cannot create namespaces: {own_namespaces.missing()}")


@pytest.fixture(scope="session")
def several_users(root: None) -> None:
    """Skip unless the root of the test can become other users."""
    if own_namespaces.missing_users():
        pytest.skip(f"cannot become another user: {own_namespaces.missing_users()}")


@pytest.fixture(scope="session")
def network_of_process_1(root: None) -> None:
    """Skip unless the tests run in the network namespace of process 1, which a mounted procfs describes."""
    if os.geteuid() != 0:
        return  # the test runs as process 1 of its own namespaces
    try:
        first, own = (os.stat(f"/proc/{pid}/net/tcp").st_ino for pid in (1, "self"))
    except OSError as error:
        pytest.skip(f"cannot read the network namespace of process 1: {error}")
    if first != own:
        pytest.skip("process 1 is in another network namespace than the tests")
