"""Why a port cannot be bound, on recorded machines of other systems. tests/live has this machine's real sockets."""

from __future__ import annotations

import errno
import socket

import pytest
from recorded import RecordedHost
from this_system import use_once

from portrange import EphemeralRange, PortSettings, SourceError, UnsupportedPlatformError, why_busy
from portrange._questions import obstacles
from portrange._questions.endpoints import Endpoint

# Binding fails as the system would fail it. Sockets are psutil's, and nothing here has these ports.
REFUSED, IN_USE = errno.EACCES, errno.EADDRINUSE


def busy(name: str, port: int, number: int, protocol: str = "tcp"):
    taken = {(protocol, family, port): number for family in ("ipv4", "ipv6")}
    return why_busy(port, protocol=protocol, host=RecordedHost(name, taken=taken))


def test_a_port_that_windows_keeps_to_itself_is_explained():
    (obstacle,) = busy("win32-10.0", 59600, REFUSED)
    assert (obstacle.kind, obstacle.blocks, obstacle.socket) == ("excluded", True, None)
    assert "netsh" in obstacle.detail
    assert "59600" in obstacle.detail


def test_what_an_administrator_set_aside_on_windows_is_worth_knowing():
    (obstacle,) = why_busy(50001, host=RecordedHost("win32-10.0"))
    assert (obstacle.kind, obstacle.blocks) == ("reserved", False)


def test_windows_has_no_privileged_ports_so_another_program_or_policy_refused():
    obstacles = busy("win32-10.0", 81, REFUSED)
    assert [obstacle.kind for obstacle in obstacles] == ["refused"]
    assert "exclusive use" in obstacles[0].detail
    assert "netsh" not in obstacles[0].detail


def test_a_refusal_of_one_family_is_told_beside_a_listener_of_the_other():
    with socket.create_server(("127.0.0.1", 0)) as server:
        use_once(server)
        port = server.getsockname()[1]
        host = RecordedHost("win32-10.0", taken={("tcp", family, port): REFUSED for family in ("ipv4", "ipv6")})
        assert [obstacle.kind for obstacle in why_busy(port, host=host)] == ["refused", "listener"]


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_exclusions_of_windows_that_could_not_be_read_are_not_taken_for_none(protocol):
    class WithoutExclusions(RecordedHost):
        def run(self, *command):
            if "excludedportrange" in command:
                raise FileNotFoundError(errno.ENOENT, "No such file or directory")
            return super().run(*command)

    host = WithoutExclusions("win32-10.0", taken={(protocol, family, 59600): REFUSED for family in ("ipv4", "ipv6")})
    for family, obstacle in zip(("ipv4", "ipv6"), why_busy(59600, protocol=protocol, host=host), strict=True):
        assert obstacle.kind == "refused"
        assert f"could not be read: netsh int {family} show excludedportrange protocol={protocol}" in obstacle.detail


@pytest.mark.parametrize(("name", "kinds"), [("win32-10.0", ["listener"]), ("freebsd-13.0", ["refused", "listener"])])
def test_a_refusal_beside_a_listener_is_that_listener_on_windows(name, kinds):
    """Winsock says WSAEACCES also where another program has the port for its exclusive use."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        use_once(server)
        port = server.getsockname()[1]
        host = RecordedHost(name, taken={("tcp", "ipv4", port): REFUSED})
        assert [obstacle.kind for obstacle in why_busy(port, address="127.0.0.1", host=host)] == kinds


def test_a_restricted_port_of_macos_is_called_in_use_and_is_not():
    (obstacle,) = busy("darwin-24.4", 55555, IN_USE)
    assert (obstacle.kind, obstacle.blocks) == ("excluded", True)
    assert "net.restricted_port" in obstacle.detail


def test_a_restricted_port_of_macos_may_be_so_for_one_transport_alone():
    (obstacle,) = busy("darwin-24.4", 55555, IN_USE, protocol="udp")
    assert "another user's program has it" in obstacle.detail
    assert "all programs" not in obstacle.detail


@pytest.mark.parametrize("name", ["darwin-24.4", "freebsd-13.0", "win32-10.0", "sunos-5.11"])
def test_a_port_in_use_by_a_socket_that_is_not_shown_is_never_called_free(name):
    obstacles = busy(name, 8181, IN_USE)
    assert [obstacle.kind for obstacle in obstacles] == ["hidden", "hidden"]
    assert all(obstacle.blocks for obstacle in obstacles)


@pytest.mark.parametrize("name", ["freebsd-13.0", "sunos-5.11", "aix-7.2"])
def test_a_privileged_port_names_the_setting(name):
    (obstacle,) = {one for one in busy(name, 81, REFUSED) if one.kind != "hidden"}
    assert obstacle.kind == "privileged"


@pytest.mark.parametrize("name", ["darwin-24.4", "freebsd-13.0", "win32-10.0", "sunos-5.11", "aix-7.2", "linux-6.18"])
def test_a_port_that_could_be_bound_is_free(name):
    host = RecordedHost(name)
    assert why_busy(8181, host=host) == ()
    assert {family for _, family, _, _ in host.bound} == {"ipv4", "ipv6"}


def test_an_obstacle_that_is_gone_when_it_is_looked_for_is_none():
    class Passing(RecordedHost):
        """Whoever had the port lets go of it after the first attempt."""

        def bind(self, *endpoint):
            first = endpoint not in self.bound
            super().bind(*endpoint)
            if first:
                raise OSError(IN_USE, "Address already in use")

    assert why_busy(8181, host=Passing("darwin-24.4")) == ()


@pytest.mark.parametrize("number", [errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, 10043, 10047])
def test_a_machine_without_the_transport_says_so(number):
    with pytest.raises(UnsupportedPlatformError, match="this machine has no sctp sockets"):
        busy("linux-6.18", 8181, number, protocol="sctp")


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOBUFS, errno.ENOMEM, errno.EIO])
def test_a_machine_that_is_short_of_something_says_nothing_about_the_port(number):
    with pytest.raises(SourceError, match=r"binding tcp 0\.0\.0\.0 port 8181: ") as failure:
        busy("darwin-24.4", 8181, number)
    assert failure.value.errno == number


def test_an_exhausted_pool_on_any_system():
    assert {obstacle.kind for obstacle in busy("darwin-24.4", 0, IN_USE)} == {"exhausted"}


@pytest.mark.parametrize(
    ("platform", "protocol", "bounds", "overlooks"),
    [
        ("linux", "tcp", (40000, 40002), True),
        ("linux", "tcp", (40000, 40003), False),
        ("linux", "tcp", (40000, 40000), False),
        ("linux", "udp", (40000, 40002), False),
        ("darwin", "tcp", (40000, 40002), False),
    ],
)
def test_an_exhausted_pool_may_have_a_port_that_linux_overlooks(platform, protocol, bounds, overlooks):
    settings = PortSettings(platform, (EphemeralRange(*bounds),))
    obstacle = obstacles.exhausted(Endpoint(protocol, "ipv4", "127.0.0.1", 0), settings)
    assert obstacle.kind == "exhausted"
    assert ("Linux may overlook because 40000-40002 is an odd number" in obstacle.detail) is overlooks


def test_a_machine_of_which_sockets_cannot_be_listed_says_so():
    with pytest.raises(SourceError, match="sock"):
        busy("linux-6.18-denied", 8181, IN_USE)
