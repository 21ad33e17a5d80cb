"""why_busy on recorded hosts of other systems. tests/live covers real sockets of this machine."""

from __future__ import annotations

import errno
import os
import socket

import pytest
from recorded import RecordedHost
from this_system import use_once

from portrange import BoundSocket, EphemeralRange, PortSettings, SourceError, UnsupportedPlatformError, why_busy
from portrange._questions import obstacles
from portrange._questions.busy import _blocking, _endpoints, _interface, _may_be_transient, _probe_again
from portrange._questions.obstacles import Endpoint

# Binds fail with the errno of the recorded system. Sockets come from psutil, and none of them uses these ports.
REFUSED, IN_USE = errno.EACCES, errno.EADDRINUSE


def busy(name: str, port: int, number: int, protocol: str = "tcp"):
    taken = {(protocol, family, port): number for family in ("ipv4", "ipv6")}
    return why_busy(port, protocol=protocol, host=RecordedHost(name, taken=taken))


def test_windows_excluded_port_is_explained():
    (obstacle,) = busy("win32-10.0", 59600, REFUSED)
    assert (obstacle.kind, obstacle.blocks, obstacle.socket) == ("excluded", True, None)
    assert "netsh" in obstacle.detail
    assert "59600" in obstacle.detail


def test_windows_port_excluded_by_administrator_is_reported_without_blocking():
    (obstacle,) = why_busy(50001, host=RecordedHost("win32-10.0"))
    assert (obstacle.kind, obstacle.blocks) == ("reserved", False)


def test_windows_refused_low_port_is_not_called_privileged():
    obstacles = busy("win32-10.0", 81, REFUSED)
    assert [obstacle.kind for obstacle in obstacles] == ["refused"]
    assert "exclusive use" in obstacles[0].detail
    assert "netsh" not in obstacles[0].detail


def test_refusal_of_one_family_is_reported_with_listener_of_the_other():
    with socket.create_server(("127.0.0.1", 0)) as server:
        use_once(server)
        port = server.getsockname()[1]
        host = RecordedHost("win32-10.0", taken={("tcp", family, port): REFUSED for family in ("ipv4", "ipv6")})
        assert [obstacle.kind for obstacle in why_busy(port, host=host)] == ["refused", "listener"]


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_unreadable_windows_exclusions_are_named_in_the_refusal(protocol):
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
def test_refusal_with_listener_is_attributed_to_the_listener_on_windows(name, kinds):
    """Winsock also fails with WSAEACCES if another program has the port for exclusive use."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        use_once(server)
        port = server.getsockname()[1]
        host = RecordedHost(name, taken={("tcp", "ipv4", port): REFUSED})
        assert [obstacle.kind for obstacle in why_busy(port, address="127.0.0.1", host=host)] == kinds


def test_macos_restricted_port_that_fails_as_in_use_is_excluded():
    (obstacle,) = busy("darwin-24.4", 55555, IN_USE)
    assert (obstacle.kind, obstacle.blocks) == ("excluded", True)
    assert "net.restricted_port" in obstacle.detail


def test_macos_port_restricted_for_tcp_is_not_restricted_for_udp():
    (obstacle,) = busy("darwin-24.4", 55555, IN_USE, protocol="udp")
    assert "another user's program has it" in obstacle.detail
    assert "all programs" not in obstacle.detail


@pytest.mark.parametrize("name", ["darwin-24.4", "freebsd-13.0", "win32-10.0", "sunos-5.11"])
def test_port_in_use_by_an_unlisted_socket_is_hidden(name):
    obstacles = busy(name, 8181, IN_USE)
    assert [obstacle.kind for obstacle in obstacles] == ["hidden", "hidden"]
    assert all(obstacle.blocks for obstacle in obstacles)


@pytest.mark.parametrize("name", ["freebsd-13.0", "sunos-5.11", "aix-7.2"])
def test_refused_low_port_is_privileged_on_unix(name):
    (obstacle,) = {obstacle for obstacle in busy(name, 81, REFUSED) if obstacle.kind != "hidden"}
    assert obstacle.kind == "privileged"


@pytest.mark.parametrize("name", ["darwin-24.4", "freebsd-13.0", "win32-10.0", "sunos-5.11", "aix-7.2", "linux-6.18"])
def test_bindable_port_has_no_obstacles(name):
    host = RecordedHost(name)
    assert not why_busy(8181, host=host)
    assert {family for _, family, _, _ in host.bound} == {"ipv4", "ipv6"}


def test_obstacle_that_ends_before_the_search_is_not_reported():
    class ReleasedAfterFirstBind(RecordedHost):
        """A host on which the first bind of each endpoint fails and later binds succeed."""

        def bind(self, *endpoint):
            first = endpoint not in self.bound
            super().bind(*endpoint)
            if first:
                raise OSError(IN_USE, "Address already in use")

    assert not why_busy(8181, host=ReleasedAfterFirstBind("darwin-24.4"))


IPV4, IPV6 = Endpoint("tcp", "ipv4", "0.0.0.0", 8181), Endpoint("tcp", "ipv6", "::", 8181)


@pytest.mark.parametrize(
    ("number", "sockets", "expected"),
    [
        (IN_USE, [], True),
        (IN_USE, [("0.0.0.0", "bound")], True),
        (IN_USE, [("0.0.0.0", "bound"), ("127.0.0.1", "listen")], False),
        (IN_USE, [("127.0.0.1", "time-wait")], False),
        (REFUSED, [], False),
        (REFUSED, [("0.0.0.0", "bound")], False),
    ],
)
def test_bind_may_succeed_a_moment_later_beside_bound_sockets_only(number, sockets, expected):
    found = tuple(BoundSocket("tcp", "ipv4", address, 8181, state=state) for address, state in sockets)
    elsewhere = BoundSocket("udp", "ipv4", "0.0.0.0", 8181, state="listen")
    assert _may_be_transient(IPV4, OSError(number, "refused"), (*found, elsewhere)) is expected


@pytest.mark.parametrize(
    ("failures", "bound", "attempts"),
    [
        ({}, [IPV4, IPV6], [1, 1]),
        ({"ipv4": 2}, [IPV6, IPV4], [3, 1]),
        ({"ipv4": 1, "ipv6": 4}, [IPV4, IPV6], [2, 5]),
        ({"ipv4": 5, "ipv6": 6}, [IPV4], [6, 6]),
        ({"ipv4": 6, "ipv6": 6}, [], [6, 6]),
    ],
)
def test_bind_is_repeated_until_it_succeeds_or_five_pauses_are_over(failures, bound, attempts):
    class Releasing(RecordedHost):
        """A host on which the first binds of a family fail."""

        def bind(self, *endpoint):
            super().bind(*endpoint)
            if self.bound.count(endpoint) <= failures.get(endpoint[1], 0):
                raise OSError(IN_USE, "Address already in use")

    host = Releasing("linux-6.18")
    assert _probe_again(host, [IPV4, IPV6]) == bound
    tried = [(wanted.protocol, wanted.family, wanted.address, wanted.port) for wanted in (IPV4, IPV6)]
    assert [host.bound.count(endpoint) for endpoint in tried] == attempts


@pytest.mark.parametrize(
    ("address", "is_v6only", "families"), [("::", True, {"ipv6"}), ("::", False, {"ipv4", "ipv6"})]
)
def test_probe_of_the_ipv6_wildcard_binds_what_it_includes(address, is_v6only, families):
    host = RecordedHost("linux-6.18")
    host.facts |= {"is_v6only": is_v6only}
    assert not why_busy(8181, address=address, host=host)
    assert {family for _, family, _, _ in host.bound} == families


@pytest.mark.parametrize(
    ("address", "number", "kinds"),
    [
        ("", errno.EAFNOSUPPORT, []),
        ("", errno.EADDRNOTAVAIL, []),
        ("2001:db8::1", errno.EADDRNOTAVAIL, ["address"]),
    ],
)
def test_machine_without_ipv6_can_bind_the_wildcard_of_ipv4(address, number, kinds):
    host = RecordedHost("darwin-24.4", taken={("tcp", "ipv6", 8181): number})
    assert [obstacle.kind for obstacle in why_busy(8181, address=address, host=host)] == kinds


@pytest.mark.parametrize("number", [errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, 10043, 10047])
def test_missing_transport_raises_unsupported_platform_error(number):
    with pytest.raises(UnsupportedPlatformError, match="this machine has no sctp sockets"):
        busy("linux-6.18", 8181, number, protocol="sctp")


@pytest.mark.parametrize(("address", "family"), [("127.0.0.1", "IPv4"), ("::1", "IPv6")])
def test_error_for_an_address_of_a_missing_family_names_the_family(address, family):
    host = RecordedHost("darwin-24.4", taken={("tcp", family.lower(), 8181): errno.EAFNOSUPPORT})
    reason = os.strerror(errno.EAFNOSUPPORT)
    with pytest.raises(UnsupportedPlatformError, match=f"^this machine has no {family} tcp sockets: {reason}$"):
        why_busy(8181, address=address, host=host)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOBUFS, errno.ENOMEM, errno.EIO])
def test_exhausted_system_resources_raise_source_error(number):
    with pytest.raises(SourceError, match=r"binding tcp 0\.0\.0\.0 port 8181: ") as failure:
        busy("darwin-24.4", 8181, number)
    assert failure.value.errno == number


def test_port_zero_in_use_is_exhausted_on_any_system():
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
def test_exhausted_odd_range_mentions_the_port_that_linux_overlooks(platform, protocol, bounds, overlooks):
    settings = PortSettings(platform, (EphemeralRange(*bounds),))
    obstacle = obstacles.exhausted(Endpoint(protocol, "ipv4", "127.0.0.1", 0), settings)
    assert obstacle.kind == "exhausted"
    assert ("Linux may miss because 40000-40002 is an odd number" in obstacle.detail) is overlooks


def test_unlistable_sockets_raise_source_error():
    with pytest.raises(SourceError, match="sock"):
        busy("linux-6.18-denied", 8181, IN_USE)


@pytest.mark.parametrize(
    ("address", "number", "message"),
    [
        (
            "192.0.2.1",
            errno.EADDRNOTAVAIL,
            "192.0.2.1 is not an address of this machine, or not yet; bind one of its addresses, or all of them",
        ),
        (
            "fe80::1",
            errno.EINVAL,
            (
                "fe80::1 cannot be bound (Invalid argument); a link-local address needs the name of a network "
                "interface of this machine, as in fe80::1%eth0"
            ),
        ),
        (
            "ff12::1",
            errno.EINVAL,
            (
                "ff12::1 cannot be bound (Invalid argument); it is a multicast address, which tcp does not support; "
                "bind an address of this machine"
            ),
        ),
        (
            "2001:db8::1%eth0",
            errno.EINVAL,
            (
                "2001:db8::1%eth0 cannot be bound (Invalid argument); only link-local addresses (fe80::/10) have a "
                "network interface: remove %eth0"
            ),
        ),
        (
            "255.255.255.255",
            errno.EINVAL,
            "255.255.255.255 cannot be bound (Invalid argument); bind an address that this machine has, or all of them",
        ),
    ],
)
def test_address_that_cannot_be_bound_is_explained(address, number, message):
    family = "ipv6" if ":" in address else "ipv4"
    host = RecordedHost("freebsd-13.0", taken={("tcp", family, 8181): number})
    [obstacle] = why_busy(8181, address=address, host=host)
    assert (obstacle.kind, obstacle.detail, obstacle.blocks) == ("address", message, True)


@pytest.mark.parametrize(
    ("zone", "name"),
    [("2", "eth0"), ("70000", "far"), ("7", "7"), ("eth0", "eth0"), ("a\udcff", r"a\xff")],
)
def test_zone_is_the_name_or_the_index_of_an_interface(zone, name):
    host = RecordedHost("linux-6.18")
    host.facts["interfaces"] = {"2": "eth0", "70000": "far"}
    assert _interface(host, zone) == name


@pytest.mark.parametrize(
    ("state", "kinds"),
    [("established", ["connection"]), ("listen", [])],
)
def test_connection_of_the_other_family_explains_a_failure_without_another_reason(state, kinds):
    connection = BoundSocket("tcp", "ipv6", "2001:db8::1", 8181, state=state, dual_stack=False)
    failures = {Endpoint("tcp", "ipv4", "0.0.0.0", 8181): OSError(IN_USE, "Address already in use")}
    found = _blocking(failures, PortSettings("linux"), (connection,))
    assert [obstacle.kind for obstacle in found] == kinds


EVERYTHING = [Endpoint("udp", "ipv4", "0.0.0.0", 53), Endpoint("udp", "ipv6", "::", 53)]


@pytest.mark.parametrize(
    ("address", "is_v6only", "endpoints"),
    [
        ("", True, EVERYTHING),
        ("::", False, EVERYTHING),
        ("::", True, EVERYTHING[1:]),
        ("192.0.2.1", False, [Endpoint("udp", "ipv4", "192.0.2.1", 53)]),
        ("::ffff:192.0.2.1", False, [Endpoint("udp", "ipv4", "192.0.2.1", 53)]),
        ("2001:DB8:0::1", False, [Endpoint("udp", "ipv6", "2001:db8::1", 53)]),
        ("fe80::1%2", False, [Endpoint("udp", "ipv6", "fe80::1%2", 53, "eth0")]),
        ("2001:db8::1%2", False, [Endpoint("udp", "ipv6", "2001:db8::1%2", 53)]),
    ],
)
def test_endpoints_of_an_address(address, is_v6only, endpoints):
    host = RecordedHost("linux-6.18")
    host.facts |= {"interfaces": {"2": "eth0"}, "is_v6only": is_v6only}
    assert _endpoints(host, "udp", address, 53) == endpoints


@pytest.mark.parametrize(
    ("address", "kind", "message"),
    [
        (5, TypeError, "an address is a string such as '127.0.0.1', not int: 5"),
        ("Localhost.", ValueError, "localhost is a name, and a server binds an address: use 127.0.0.1 or ::1"),
        ("a.b", ValueError, "'a.b' is not a numeric IPv4 or IPv6 address; leave it empty for all addresses"),
    ],
)
def test_address_that_is_not_numeric_is_rejected(address, kind, message):
    with pytest.raises(kind) as caught:
        why_busy(8181, address=address, host=RecordedHost("linux-6.18"))
    assert str(caught.value) == message
