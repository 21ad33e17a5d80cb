"""Fake hosts serve every public function that takes `host`."""

from __future__ import annotations

import inspect
import socket

import pytest

import portrange
from portrange import BoundSocket, Listener, Listeners, PortSettings, Process, SourceError, Span
from portrange.testing import FakeHost

NGINX = Process(812, "nginx")
WEB = Listener("tcp", "ipv4", "0.0.0.0", 80, owners=(NGINX,), unit="nginx.service")
DNS = Listener("udp", "ipv6", "::", 53, dual_stack=True)
CLIENT = BoundSocket("tcp", "ipv4", "192.0.2.1", 40000, state="established", remote_address="192.0.2.9", remote_port=1)
FAILURE = SourceError("a source", "not permitted")
#: The queries that need only a port or nothing.
QUERIES = {
    "classify": lambda host: portrange.classify(80, host=host),
    "ephemeral_range": lambda host: portrange.ephemeral_range(host=host),
    "ephemeral_usage": lambda host: portrange.ephemeral_usage(host=host),
    "listeners": lambda host: portrange.listeners(host=host),
    "suggest_port": lambda host: portrange.suggest_port("a name", host=host),
    "who_answers": lambda host: portrange.who_answers(80, "127.0.0.1", host=host),
    "who_listens": lambda host: portrange.who_listens(80, host=host),
    "wait_for_listener": lambda host: portrange.wait_for_listener(812, 80, timeout=0, host=host),
    "who_uses": lambda host: portrange.who_uses(80, host=host),
    "why_busy": lambda host: portrange.why_busy(8080, host=host),
}


@pytest.mark.parametrize("snapshot", [False, True])
@pytest.mark.parametrize("name", QUERIES)
def test_fake_host_serves_a_query(name, *, snapshot):
    host = FakeHost(listeners=[WEB, DNS])
    assert QUERIES[name](host.snapshot() if snapshot else host) is not None


def test_every_function_with_a_host_is_queried_here():
    public = [getattr(portrange, name) for name in portrange.__all__ if inspect.isfunction(getattr(portrange, name))]
    with_host = {function.__name__ for function in public if "host" in inspect.signature(function).parameters}
    assert with_host == set(QUERIES), "add a query here, and serve it in portrange/testing.py"


def test_addresses_of_listed_sockets_belong_to_the_machine():
    nginx = Listener("tcp", "ipv4", "192.0.2.10", 80, owners=(Process(812, "nginx"),))
    host = FakeHost(listeners=[nginx])
    assert portrange.who_answers(80, "192.0.2.10", host=host)[0].listeners == (nginx,)
    assert portrange.who_answers(80, "127.0.0.1", host=host)[0].listeners == ()
    with pytest.raises(ValueError, match="not an address of this machine"):
        portrange.who_answers(80, "192.0.2.11", host=host)


def test_listeners_are_returned_unchanged_and_in_order():
    host = FakeHost(listeners=[WEB, DNS])
    assert portrange.listeners(host=host) == Listeners((DNS, WEB))
    assert portrange.listeners(protocol="udp", host=host) == Listeners((DNS,))
    assert portrange.who_listens(80, host=host)[0].unit == "nginx.service"
    assert not portrange.who_listens(81, host=host)


def test_who_uses_returns_listed_sockets_of_every_state():
    host = FakeHost(listeners=[WEB, DNS], sockets=[CLIENT])
    assert [used.state for used in portrange.who_uses(80, host=host)] == ["listen"]
    assert tuple(portrange.who_uses(40000, remote=("192.0.2.9", 1), host=host)) == (CLIENT,)
    assert not portrange.who_uses(40000, remote=("192.0.2.9", 2), host=host)


def test_processes_are_the_owners_of_listed_sockets():
    host = FakeHost(listeners=[WEB, DNS])
    assert portrange.listeners(process=812, host=host) == Listeners((WEB,))
    for process, port, reason in [(812, 81, "timeout"), (813, 81, "ended")]:
        with pytest.raises(portrange.NotListeningError) as caught:
            portrange.wait_for_listener(process, port, timeout=0, host=host)
        assert caught.value.reason == reason
    other = Listener("tcp", "ipv4", "0.0.0.0", 81, owners=(Process(900, "httpd"),))
    with pytest.raises(portrange.NotListeningError, match=r"in use by httpd \(900\)") as caught:
        portrange.wait_for_listener(812, 81, host=FakeHost(listeners=[WEB, other]))
    assert caught.value.reason == "taken"


def test_reasons_for_incomplete_listeners_are_kept():
    found = portrange.who_listens(80, host=FakeHost(listeners=Listeners((), ("a reason",))))
    assert (len(found), bool(found), found.incomplete) == (0, True, ("a reason",))


@pytest.mark.parametrize(
    ("port", "address", "kinds"),
    [
        (80, "", ["privileged", "listener"]),
        (8080, "", []),
        (53, "", ["privileged"]),
        (40000, "", ["connection"]),
        (40000, "127.0.0.1", []),
        (0, "", []),
    ],
)
def test_why_busy_follows_the_listed_sockets(port, address, kinds):
    host = FakeHost(listeners=[WEB, DNS], sockets=[CLIENT])
    assert [obstacle.kind for obstacle in portrange.why_busy(port, address=address, host=host)] == kinds


def test_why_busy_with_the_privilege_names_the_listener():
    host = FakeHost(listeners=[WEB, DNS], can_bind_privileged=True)
    assert [obstacle.socket.pid for obstacle in portrange.why_busy(80, host=host)] == [812]
    assert [obstacle.kind for obstacle in portrange.why_busy(53, protocol="udp", host=host)] == ["listener"]
    assert not portrange.why_busy(53, host=host)


def test_why_busy_does_not_bind_a_port_of_the_machine():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not portrange.why_busy(server.getsockname()[1], host=FakeHost())


def test_usage_is_computed_from_the_sockets():
    usage = portrange.ephemeral_usage(host=FakeHost(ephemeral=(40000, 40009), sockets=[CLIENT]))
    assert (usage.size, usage.used, usage.destinations[0].endpoint) == (10, 1, "192.0.2.9:1")
    assert portrange.ephemeral_usage(protocol="udp", host=FakeHost(sockets=[CLIENT])).used == 0


def test_a_given_usage_is_returned():
    usage = portrange.ephemeral_usage(host=FakeHost())
    assert portrange.ephemeral_usage(host=FakeHost(usage=usage)) is usage


def test_settings_are_those_of_the_test():
    host = FakeHost(ephemeral=(1024, 2000), reserved=[1500, (1600, 1699)])
    assert len(portrange.ephemeral_range(host=host)) == 977 - 101
    assert portrange.classify(1650, host=host).reserved is True
    settings = PortSettings("windows", excluded=(Span(5000, 5099),))
    assert [o.kind for o in portrange.why_busy(5050, host=FakeHost(settings=settings))] == ["excluded"]
    with pytest.raises(SourceError, match="no ephemeral range"):
        portrange.ephemeral_range(host=FakeHost(settings=settings))


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("who_listens", FakeHost(listeners=FAILURE)),
        ("listeners", FakeHost(listeners=FAILURE)),
        ("ephemeral_usage", FakeHost(sockets=FAILURE)),
        ("ephemeral_usage", FakeHost(usage=FAILURE)),
        ("ephemeral_range", FakeHost(settings=FAILURE)),
    ],
)
def test_an_error_in_place_of_a_value_is_raised(name, host):
    with pytest.raises(SourceError, match="not permitted"):
        QUERIES[name](host)


def test_changes_of_the_lists_are_seen_unless_the_host_is_a_snapshot():
    listed: list[Listener] = []
    host = FakeHost(listeners=listed)
    snapshot = host.snapshot()
    assert not portrange.who_listens(80, host=snapshot)
    listed.append(WEB)
    assert portrange.who_listens(80, host=host)
    assert not portrange.who_listens(80, host=snapshot)
