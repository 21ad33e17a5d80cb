"""Why a port cannot be bound, on recorded machines of other systems. tests/live has this machine's real sockets."""

from __future__ import annotations

import errno

import pytest
from recorded import RecordedHost

from portrange import SourceError, UnsupportedPlatformError, why_busy

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


def test_windows_has_no_privileged_ports_so_another_policy_refused():
    assert [obstacle.kind for obstacle in busy("win32-10.0", 81, REFUSED)] == ["refused"]


def test_a_restricted_port_of_macos_is_called_in_use_and_is_not():
    (obstacle,) = busy("darwin-24.4", 55555, IN_USE)
    assert (obstacle.kind, obstacle.blocks) == ("excluded", True)
    assert "net.restricted_port" in obstacle.detail


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


def test_a_machine_of_which_sockets_cannot_be_listed_says_so():
    with pytest.raises(SourceError, match="sock"):
        busy("linux-6.18-denied", 8181, IN_USE)
