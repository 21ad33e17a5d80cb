"""What tests share: real processes, and what this machine and this user can do, found out by trying it."""

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
from live.cgroups import Cgroups
from live.world import World

#: How long a machine takes says nothing about what is tested.
settings.register_profile(
    "untimed",
    settings(),
    deadline=None,
    # Some inputs are as large as a bitmap of all ports, on purpose.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("untimed")

# A shell lets what it starts in the background ignore Ctrl-C, and so would every program that a test sends it to.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def world() -> Iterator[World]:
    """Processes that end with the test."""
    made = World()
    yield made
    made.close()


@pytest.fixture
def cgroups(root: None, sock_diag: None, world: World) -> Iterator[Cgroups]:
    """Control groups that end with the test, after the processes in them."""
    try:
        made = Cgroups.here()
    except OSError as error:
        pytest.skip(f"no control group can be made: {error}")
    yield made
    world.close()
    made.close()


@pytest.fixture
def open_directory() -> Iterator[str]:
    """An empty directory that every user may pass, which those of `tmp_path` are not."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        yield directory


@pytest.fixture(autouse=True)
def _linux_only(request: pytest.FixtureRequest) -> None:
    if request.node.path.parent.name == "live" and sys.platform != "linux":
        pytest.skip("about Linux itself")


@pytest.fixture(scope="session")
def root() -> None:
    if os.geteuid() != 0:
        pytest.skip("not root")


@pytest.fixture(scope="session")
def sock_diag() -> None:
    """The kernel lists TCP and UDP sockets by NETLINK_SOCK_DIAG."""
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
    """The kernel shows TCP sockets that are bound and do not listen."""
    release = tuple(map(int, re.findall(r"\d+", os.uname().release)[:2]))
    if release < (6, 8):
        pytest.skip(f"Linux {os.uname().release}: sockets that are bound and do not listen are shown from 6.8 on")


@pytest.fixture(scope="session")
def namespaces(root: None) -> None:
    """Network, mount and process namespaces can be made, and procfs can be mounted in them."""
    made = World()
    try:
        answer = made.ask("""
            try:
                new_network()
                new_mounts()
                mount_proc()
                unshare(CLONE_NEWPID)
                say(None)
            except OSError as error:
                say(str(error))
        """)
    finally:
        made.close()
    if answer is not None:
        pytest.skip(f"no namespaces can be made: {answer}")


@pytest.fixture(scope="session")
def network_of_process_1() -> None:
    """The tests run in the network that a procfs is about: that of its first process."""
    try:
        first, own = (os.stat(f"/proc/{pid}/net/tcp").st_ino for pid in (1, "self"))
    except OSError as error:
        pytest.skip(f"the network of process 1 cannot be told: {error}")
    if first != own:
        pytest.skip("process 1 is in another network than the tests")
