from __future__ import annotations

import errno
import os
import pickle
import socket
import struct
import threading
import time
from pathlib import Path

import pytest
from live.world import World
from recorded import RecordedHost

import portrange
from portrange import Answer, Answers, Listener, Process, who_answers, who_listens
from portrange._errors import ParseError
from portrange._host import route
from portrange.testing import FakeHost

NODE, PYTHON = Process(812, "node"), Process(977, "python")


def listener(**changes) -> Listener:
    return Listener(**{"protocol": "tcp", "family": "ipv4", "address": "127.0.0.1", "port": 80, **changes})


def answers(*groups: tuple[Listener, ...]) -> Answers:
    return Answers(tuple(Answer(f"127.0.0.{index}", "ipv4", 80, "tcp", group) for index, group in enumerate(groups)))


# --- real sockets ----------------------------------------------------------------------------------------------------


@pytest.fixture
def server():
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def port(of: socket.socket) -> int:
    return of.getsockname()[1]


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1", "0.0.0.0"])
def test_who_answers_names_the_listener_that_a_connection_reaches(server, sock_diag, address):
    [answer] = who_answers(port(server), address)
    assert [item.pid for item in answer.listeners] == [os.getpid()]
    assert (answer.address, answer.family, answer.port, answer.assumed) == (address, "ipv4", port(server), False)


def test_who_answers_tells_the_addresses_of_a_port_apart(sock_diag):
    with socket.create_server(("127.0.0.2", 0)) as first, socket.create_server(("127.0.0.3", port(first))):
        assert [item.address for item in who_answers(port(first), "127.0.0.3")[0].listeners] == ["127.0.0.3"]
        assert who_answers(port(first), "127.0.0.4")[0].listeners == ()


def test_who_answers_returns_the_group_that_shares_a_port(sock_diag):
    first = socket.create_server(("127.0.0.1", 0), reuse_port=True)
    with first, socket.create_server(("127.0.0.1", port(first)), reuse_port=True):
        [answer] = who_answers(port(first), "127.0.0.1")
        assert len(answer.listeners) == 2


def test_udp_socket_that_shares_an_address_without_a_group_gets_everything(sock_diag):
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    for made in sockets:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sockets[0].bind(("127.0.0.1", 0))
    sockets[1].bind(sockets[0].getsockname())
    [answer] = who_answers(port(sockets[0]), "127.0.0.1", protocol="udp")
    assert len(answer.listeners) == 1
    for made in sockets:
        made.close()


def test_established_connection_does_not_hide_the_listener(server, sock_diag):
    with socket.create_connection(server.getsockname()):
        [answer] = who_answers(port(server), "127.0.0.1")
        assert [item.pid for item in answer.listeners] == [os.getpid()]


def test_name_gives_an_answer_for_each_address_in_the_order_of_connect(server):
    found = who_answers(port(server), "localhost")
    order = [place[0] for *_, place in socket.getaddrinfo("localhost", None, type=socket.SOCK_STREAM)]
    assert [answer.address for answer in found] == [
        address for address in order if address in {a.address for a in found}
    ]
    assert found.incomplete == ()
    assert port(server) in found


def test_closed_port_and_port_zero_are_refused(server):
    number = port(server)
    server.close()
    assert [answer.listeners for answer in who_answers(number, "127.0.0.1")] == [()]
    assert [answer.listeners for answer in who_answers(0, "127.0.0.1")] == [()]
    assert str(who_answers(number, "127.0.0.1")[0]) == f"tcp 127.0.0.1:{number}  no listener"


@pytest.mark.parametrize(
    "host",
    [lambda: portrange.Host().snapshot(), lambda: portrange.Host(backend="portable")],
    ids=["snapshot", "psutil"],
)
def test_without_a_kernel_lookup_the_most_specific_listener_is_assumed(host):
    wildcard, specific = socket.create_server(("0.0.0.0", 0)), socket.create_server(("127.0.0.2", 0))
    with wildcard, specific:
        for server, expected in ((wildcard, ["0.0.0.0"]), (specific, ["127.0.0.2"])):
            [answer] = who_answers(port(server), "127.0.0.2", host=host())
            assert (answer.assumed, [item.address for item in answer.listeners]) == (True, expected)
        [answer] = who_answers(port(specific), "127.0.0.1", host=host())
        assert (answer.assumed, answer.listeners) == (True, ())


def test_dual_stack_listener_is_assumed_for_ipv4_if_v6only_is_unknown(ipv6):
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        [answer] = who_answers(port(server), "127.0.0.1", host=portrange.Host(backend="portable"))
        assert (answer.assumed, [item.address for item in answer.listeners]) == (True, ["::"])


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({"family": "ipv6", "address": "::", "dual_stack": True}, ("127.0.0.1", "::1")),
        ({"family": "ipv6", "address": "::", "dual_stack": None}, ("127.0.0.1", "::1")),
        ({"family": "ipv6", "address": "::", "dual_stack": False}, ("::1",)),
        ({"family": "ipv6", "address": "::1", "dual_stack": None}, ("::1",)),
        ({"address": "0.0.0.0"}, ("127.0.0.1",)),
        ({"address": "", "hidden": True}, ("127.0.0.1", "::1")),
    ],
)
def test_listener_is_assumed_for_each_address_that_it_can_take(known, expected):
    host = FakeHost(listeners=[listener(**known)])
    found = [address for address in ("127.0.0.1", "::1") if who_answers(80, address, host=host)[0].listeners]
    assert found == list(expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("darwin-24.6-pcblist", {(80, "127.0.0.1"): "::", (22, "127.0.0.1"): "0.0.0.0", (8443, "::1"): "::"}),
        ("linux-6.18-recorded", {(8000, "127.0.0.1"): "127.0.0.1", (8443, "127.0.0.1"): "::", (8443, "::1"): "::"}),
    ],
)
def test_recorded_host_assumes_the_listener_of_its_table(name, expected):
    host = RecordedHost(name)
    for (number, address), local in expected.items():
        [answer] = who_answers(number, address, host=host)
        assert (answer.assumed, [item.address for item in answer.listeners]) == (True, [local])
    assert who_answers(1, "127.0.0.1", host=host)[0].listeners == ()


def test_who_answers_in_threads(server, sock_diag):
    found: list[Answers] = []
    threads = [threading.Thread(target=lambda: found.append(who_answers(port(server), "127.0.0.1"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answers[0].listeners[0].pid for answers in found] == [os.getpid()] * 8


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("192.0.2.1", "not an address of this machine"),
        ("224.0.0.1", "not an address of this machine"),
        ("2001:db8::1", "not an address of this machine"),
        ("no-such-name.invalid", "cannot resolve"),
        ("", "is not an address"),
        ("a\0b", "is not an address"),
        ("fe80::1", "needs its interface: fe80::1%eth0"),
        ("fe80::1%no-such-interface", "no network interface"),
        ("fe80::1%4000000000", "not an address of this machine"),
    ],
)
def test_address_of_another_machine_is_an_error(address, message):
    with pytest.raises(ValueError, match=message):
        who_answers(80, address)


def test_arguments_of_wrong_type_are_errors():
    with pytest.raises(TypeError, match="an address is a string"):
        who_answers(80, 5)
    with pytest.raises(TypeError, match="a port is a whole number"):
        who_answers("80")
    with pytest.raises(ValueError, match="unknown protocol 'sctp'"):
        who_answers(80, protocol="sctp")


# --- results ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (((listener(owners=(NODE,)),), (listener(owners=(PYTHON,)),)), True),
        (((listener(owners=(NODE,)),), (listener(owners=(NODE, PYTHON)),)), False),
        (((listener(owners=(NODE,)),), ()), False),
        (((listener(hidden=True, uid=1),), (listener(hidden=True, uid=2),)), True),
        (((listener(hidden=True, uid=1),), (listener(hidden=True, uid=1, dual_stack=None),)), False),
        ((), False),
    ],
)
def test_answers_are_contested_if_owners_differ(groups, expected):
    found = answers(*groups)
    assert (found.contested, found.to_dict()["contested"]) == (expected, expected)


@pytest.mark.parametrize(
    ("containers", "expected"), [(["172.17.0.2"] * 2, False), (["172.17.0.2", "172.17.0.3"], True)]
)
def test_proxies_of_one_container_are_not_contested(
    world: World, tmp_path: Path, containers: list[str], *, expected: bool
):
    # docker starts a docker-proxy for each address of a published port.
    proxy = tmp_path / "docker-proxy"
    proxy.write_text("#!/bin/sh\nread line\n")
    proxy.chmod(0o755)
    child = world.start(
        """
        program, first, second = sys.argv[1:]
        made = [tcp()]
        made.append(tcp("::1", port(made[0])))
        for address, server, other in (first, *made), (second, *made[::-1]):
            def become_proxy():
                other.close()
                server.set_inheritable(True)
                os.execv(program, [program, "-proto", "tcp", "-container-ip", address, "-container-port", "80"])
            fork(become_proxy)
        number = port(made[0])
        del made, server, other
        say(number)
        wait()
        """,
        proxy,
        *containers,
    )
    number = child.hear()
    while any(owner.name != "docker-proxy" for found in who_listens(number) for owner in found.owners):
        time.sleep(0.01)
    found = Answers((*who_answers(number, "127.0.0.1"), *who_answers(number, "::1")))
    assert [answer.listeners[0].process for answer in found] == ["docker-proxy"] * 2
    assert found.contested is expected


def test_answers_are_a_sequence_of_results():
    found = answers((listener(owners=(NODE,), user="root"),), ())
    assert pickle.loads(pickle.dumps(found)) == found
    assert found.where(process="node") == found[:1]
    assert [row["owners"] for row in found.to_dicts(flat=True)] == ["node (812)", "no listener"]
    assert str(found).splitlines()[1].split() == ["tcp", "127.0.0.0:80", "node", "(812)", "root"]
    assert repr(found[0]) == "<Answer tcp 127.0.0.0:80 node (812)>"
    assert found[0].to_dict()["listeners"][0]["pid"] == 812


# --- rtnetlink -------------------------------------------------------------------------------------------------------


def reply(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 0) + body


ROUTE = struct.pack("=8BI", 2, 32, 0, 0, 255, 2, 254, 2, 0)


def test_local_interface_reads_the_interface_of_a_local_route():
    oif = struct.pack("=HHI", 8, 4, 7)
    assert route.local_interface(reply(24, ROUTE + struct.pack("=HH4s", 8, 1, b"\x7f\0\0\1") + oif)) == 7
    assert route.local_interface(reply(24, ROUTE)) == 0
    assert route.local_interface(reply(24, ROUTE[:7] + b"\1" + ROUTE[8:] + oif)) is None


def test_local_interface_raises_the_error_of_the_kernel():
    with pytest.raises(OSError, match=os.strerror(errno.ENETUNREACH)):
        route.local_interface(reply(2, struct.pack("=i", -errno.ENETUNREACH)))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 15,
        reply(24, ROUTE[:4]),
        reply(99, ROUTE),
        reply(24, ROUTE + b"\1\0\4\0"),
        reply(24, ROUTE + b"\xff\0\4\0"),
    ],
)
def test_local_interface_rejects_other_layouts(content):
    with pytest.raises(ParseError):
        route.local_interface(content)
