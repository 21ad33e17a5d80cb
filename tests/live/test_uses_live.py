"""who_uses() with real sockets."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest
from live.world import World

import portrange
from portrange import who_uses

HOSTS = pytest.mark.parametrize("host", [None, portrange.Host(backend="portable")], ids=["linux", "portable"])


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket, socket.socket]]:
    """Yield a server, a client and the accepted connection."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
        server.accept()[0] as accepted,
    ):
        yield server, client, accepted


def states(found: portrange.Sockets) -> list[str]:
    return [used.state for used in found]


def test_all_sockets_at_a_port_are_found_with_state_peer_and_owner(pair):
    server, client, _ = pair
    found = who_uses(server.getsockname()[1])
    assert states(found) == ["listen", "established"]
    assert [(used.remote_address, used.remote_port) for used in found] == [("", 0), client.getsockname()]
    assert [used.pid for used in found] == [os.getpid()] * 2
    assert found.incomplete == ()
    assert states(who_uses(client.getsockname()[1])) == ["established"]


@HOSTS
def test_connection_of_a_client_is_found_by_its_peer(pair, host: portrange.Host | None):
    server, client, accepted = pair
    found = who_uses(client.getsockname()[1], remote=server.getsockname(), host=host)
    assert [(used.port, used.pid) for used in found] == [(client.getsockname()[1], os.getpid())]
    assert len(who_uses(server.getsockname()[1], remote=client.getsockname(), host=host)) == 1
    assert not who_uses(server.getsockname()[1], remote=("127.0.0.1", server.getsockname()[1]), host=host)
    assert accepted.fileno() > 0


def test_states_of_a_closing_connection_are_named(pair):
    server, client, accepted = pair
    port = client.getsockname()[1]
    client.shutdown(socket.SHUT_WR)
    assert accepted.recv(1) == b""
    assert states(who_uses(port)) in (["fin-wait-1"], ["fin-wait-2"])  # the peer may acknowledge later
    assert states(who_uses(server.getsockname()[1], remote=client.getsockname())) == ["close-wait"]
    accepted.close()
    assert client.recv(1) == b""
    [remains] = who_uses(port)
    assert (remains.state, remains.owners, remains.hidden) == ("time-wait", (), False)
    assert states(who_uses(port, remote=server.getsockname())) == ["time-wait"]


def test_connection_from_another_source_address_is_found():
    """The kernel would not choose this address for the peer."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname(), source_address=("127.0.0.3", 0)) as client,
    ):
        [found] = who_uses(client.getsockname()[1], remote=server.getsockname())
    assert (found.address, found.state) == ("127.0.0.3", "established")


def test_ipv4_connection_of_a_dual_stack_server_is_found(ipv6: None):
    with socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client, server.accept()[0]:
            for address in ("127.0.0.1", "::ffff:127.0.0.1"):
                [found] = who_uses(port, remote=(address, client.getsockname()[1]))
                assert (found.family, found.address) == ("ipv4", "127.0.0.1")


def test_ipv6_connection_is_found_by_its_peer(ipv6: None):
    with (
        socket.create_server(("::1", 0), family=socket.AF_INET6) as server,
        socket.create_connection(server.getsockname()[:2]) as client,
    ):
        [found] = who_uses(client.getsockname()[1], remote=server.getsockname()[:2])
    assert (found.address, found.remote_address) == ("::1", "::1")


def test_connected_udp_socket_is_found_by_its_peer():
    with socket.socket(type=socket.SOCK_DGRAM) as server, socket.socket(type=socket.SOCK_DGRAM) as client:
        server.bind(("127.0.0.1", 0))
        client.connect(server.getsockname())
        [found] = who_uses(client.getsockname()[1], protocol="udp", remote=server.getsockname())
        assert (found.remote_address, found.remote_port) == server.getsockname()
        assert not who_uses(server.getsockname()[1], remote=client.getsockname())  # it is not connected


def test_protocol_selects_sockets():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(type=socket.SOCK_DGRAM) as other:
        port = server.getsockname()[1]
        other.bind(("127.0.0.1", port))
        assert [used.protocol for used in who_uses(port)] == ["tcp", "udp"]
        assert [used.protocol for used in who_uses(port, protocol="udp")] == ["udp"]


def test_sockets_in_another_network_namespace_are_not_those_of_the_caller(namespaces: None, world: World):
    child = world.start("new_network()\nloopback_up()\nserver = tcp()\nsay(port(server))\nwait()")
    port = child.hear()
    assert child.pid not in [used.pid for used in who_uses(port)]


def test_sockets_are_a_table_and_flat_dictionaries(pair):
    server, client, _ = pair
    found = who_uses(server.getsockname()[1])
    lines = str(found).splitlines()
    assert lines[0].split() == ["PROTO", "LOCAL", "REMOTE", "STATE", "PROCESS", "USER"]
    assert lines[2].split()[:4] == [
        "tcp",
        *(f"127.0.0.1:{end.getsockname()[1]}" for end in (server, client)),
        "established",
    ]
    assert found.to_dicts(flat=True)[1]["remote_port"] == client.getsockname()[1]
    assert "established" in found._repr_html_()
    assert found.where(process=os.getpid()) == found
    assert isinstance(found[:1], portrange.Sockets)
    assert server.getsockname()[1] in found


@pytest.mark.parametrize(
    ("remote", "error"),
    [
        ("127.0.0.1:80", TypeError),
        (("127.0.0.1",), TypeError),
        ((127, 80), TypeError),
        (("localhost", 80), ValueError),
        (("127.0.0.1", 0), portrange.InvalidPortError),
        (("127.0.0.1", "80"), TypeError),
    ],
)
def test_bad_peers_are_refused(remote: object, error: type[Exception]):
    with pytest.raises(error):
        who_uses(80, remote=remote)  # type: ignore[arg-type]
