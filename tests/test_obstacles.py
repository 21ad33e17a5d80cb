"""The messages of obstacles, word by word: sockets, proxies, refusals and addresses."""

from __future__ import annotations

from typing import Any

import pytest

from portrange import BoundSocket, EphemeralRange, Obstacle, PortSettings, Process, Span
from portrange._questions import obstacles
from portrange._questions.obstacles import Endpoint

SETTINGS = PortSettings("linux", (EphemeralRange(32768, 60999),))
WEB, WORKER, LOG = Process(7, "web"), Process(8, "web", parent=7), Process(9, "log")
UNIT = {"cgroup": "/system.slice/web.service", "unit": "web.service"}
REMOTE = {"remote_address": "192.0.2.1", "remote_port": 443}
REUSE = "wait, or set SO_REUSEADDR if the earlier socket had it: the server then starts at once"


def made(state: str = "listen", **fields: Any) -> BoundSocket:
    where = {"protocol": "tcp", "family": "ipv4", "address": "127.0.0.1", "port": 8080}
    return BoundSocket(**{**where, "state": state, **fields})


def found(*sockets: BoundSocket, settings: PortSettings = SETTINGS) -> list[Obstacle]:
    return list(obstacles.of_sockets(sockets, settings))


# --- one socket ------------------------------------------------------------------------------------------------------

#: The rest of each message follows the protocol and the endpoint.
MESSAGES: dict[str, tuple[BoundSocket, str, str]] = {
    "listener": (
        made(owners=(WEB,)),
        "listener",
        "in use by web (pid 7): stop it or use another port",
    ),
    "unit": (
        made(owners=(WEB,), **UNIT),
        "listener",
        "in use by web (pid 7, web.service): stop it or use another port",
    ),
    "owners of several names": (
        made(owners=(WEB, LOG), **UNIT),
        "listener",
        "in use by web (pid 7), log (pid 9), web.service: stop them or use another port",
    ),
    "parent and worker": (
        made(owners=(WEB, WORKER)),
        "listener",
        "in use by web (parent 7, 1 worker): stop pid 7 or use another port",
    ),
    "parent and worker of another name": (
        made(owners=(WEB, Process(9, "log", parent=7))),
        "listener",
        "in use by web (pid 7), log (pid 9): stop them or use another port",
    ),
    "owners of one name without a parent": (
        made(owners=(WEB, Process(8, "web"))),
        "listener",
        "in use by web (pids 7, 8): stop them or use another port",
    ),
    "hidden owner": (
        made(hidden=True, uid=1000, user="alice", **UNIT),
        "listener",
        (
            "in use, owner hidden, user alice, web.service: run as root or administrator to see the "
            "owner, or use another port"
        ),
    ),
    "hidden owner without a user": (
        made(hidden=True),
        "listener",
        "in use, owner hidden: run as root or administrator to see the owner, or use another port",
    ),
    "possible owner": (
        made(hidden=True, uid=1000, user="alice", possible_owners=(WEB,)),
        "listener",
        "in use, owner hidden, possibly web (7): stop it or use another port",
    ),
    "no owner": (
        made(uid=0, user="root"),
        "listener",
        "in use, no visible process: the kernel, or another PID namespace: use another port",
    ),
    "bound": (
        made("bound", owners=(WEB,)),
        "bound",
        "in use by web (pid 7), bound without listening: stop it or use another port",
    ),
    "control characters": (
        made(owners=(Process(7, "a\nb"),)),
        "listener",
        r"in use by a\nb (pid 7): stop it or use another port",
    ),
    "connection": (
        made("established", owners=(WEB,), **REMOTE),
        "connection",
        (
            "in use by web (pid 7), local end of a connection with 192.0.2.1:443 (ESTABLISHED): stop it "
            "or use another port"
        ),
    ),
    "connection without its state": (
        made("connection", owners=(WEB,), **REMOTE),
        "connection",
        "in use by web (pid 7), local end of a connection with 192.0.2.1:443: stop it or use another port",
    ),
    "connection without a remote port": (
        made("established", owners=(WEB,)),
        "connection",
        "in use by web (pid 7), local end of a connection (ESTABLISHED): stop it or use another port",
    ),
    "connection from an ephemeral port": (
        made("established", port=40000, owners=(WEB,), **REMOTE),
        "connection",
        (
            "in use by web (pid 7), local end of a connection with 192.0.2.1:443 (ESTABLISHED): stop "
            "it or use a port outside the ephemeral range"
        ),
    ),
    "connection without an owner": (
        made("close-wait", **REMOTE),
        "connection",
        (
            "in use, no process: not accepted yet, or closed by its program, local end of a connection "
            "with 192.0.2.1:443 (CLOSE-WAIT): use another port"
        ),
    ),
    "connection of a proxy": (
        made("established", owners=(Process(7, "passt"),), **REMOTE),
        "connection",
        (
            "in use by passt (pid 7), local end of a connection with 192.0.2.1:443 (ESTABLISHED): it "
            "publishes a virtual machine's port; stop that virtual machine (virsh list lists it) or use another port"
        ),
    ),
    "TIME-WAIT": (
        made("time-wait", **REMOTE),
        "time-wait",
        f"in state TIME-WAIT for a minute after a connection with 192.0.2.1:443: {REUSE}",
    ),
}


@pytest.mark.parametrize(("socket", "kind", "message"), MESSAGES.values(), ids=MESSAGES.keys())
def test_message_of_a_socket(socket, kind, message):
    detail = f"tcp 127.0.0.1:{socket.port} {message}"
    assert found(socket) == [Obstacle(kind, detail, socket=socket, count=1)]


def test_message_of_an_ipv6_socket_has_its_interface():
    socket = made(family="ipv6", address="fe80::1", interface="eth0", owners=(WEB,), protocol="udp")
    [obstacle] = found(socket)
    assert obstacle.detail == "udp [fe80::1%eth0]:8080 in use by web (pid 7): stop it or use another port"


def test_ephemeral_ports_are_avoided_if_the_range_is_unknown():
    [obstacle] = found(made("established", owners=(WEB,), **REMOTE), settings=PortSettings("linux"))
    assert obstacle.detail.endswith(": stop it or use a port outside the ephemeral range")


@pytest.mark.parametrize("state", ["fin-wait-1", "fin-wait-2", "closing", "last-ack"])
def test_connection_that_the_kernel_closes_alone_needs_no_owner(state):
    socket = made(state, **REMOTE)
    detail = (
        f"tcp 127.0.0.1:8080 in state {state.upper()} after a connection with 192.0.2.1:443 that its program has "
        f"closed, or that ended: {REUSE}"
    )
    assert found(socket) == [Obstacle("closing", detail, socket=socket, count=1)]
    for attached in ({"owners": (WEB,)}, {"hidden": True}, {"uid": 0}):
        [obstacle] = found(made(state, **REMOTE, **attached))
        assert obstacle.kind == "connection"
        assert f" ({state.upper()}): " in obstacle.detail


# --- groups ----------------------------------------------------------------------------------------------------------


def test_connections_that_differ_only_in_their_peers_are_one_obstacle():
    sockets = [made("established", owners=(WEB,), remote_address="192.0.2.1", remote_port=port) for port in (1, 2)]
    sockets.append(made("established", owners=(WEB,), remote_address="192.0.2.2", remote_port=1, scope="service"))
    detail = (
        "tcp 127.0.0.1:8080 in use by web (pid 7), local end of 3 connections with 192.0.2.1:1 and others "
        "(ESTABLISHED): stop it or use another port"
    )
    assert found(*sockets) == [Obstacle("connection", detail, socket=sockets[0], count=3)]


def test_message_of_two_connections_says_that_there_is_another():
    [obstacle] = found(*(made("time-wait", remote_address="192.0.2.1", remote_port=port) for port in (1, 2)))
    assert " after 2 connections with 192.0.2.1:1 and others: " in obstacle.detail


def test_many_connections_are_counted_with_a_separator():
    sockets = [made("time-wait", remote_address="192.0.2.1", remote_port=port) for port in range(1, 1001)]
    [obstacle] = found(*sockets)
    assert "after 1,000 connections with 192.0.2.1:1 and others: " in obstacle.detail
    assert (obstacle.socket, obstacle.count) == (sockets[0], 1000)


def test_workers_with_a_socket_each_are_one_obstacle_with_all_owners():
    sockets = [made(owners=(owner,)) for owner in (WEB, WORKER, Process(10, "web", parent=7))]
    [obstacle] = found(*sockets)
    assert obstacle.detail == "tcp 127.0.0.1:8080 in use by web (parent 7, 2 workers): stop pid 7 or use another port"
    assert [owner.pid for owner in obstacle.socket.owners] == [7, 8, 10]
    assert (obstacle.count, obstacle.socket.possible_owners) == (3, ())


def test_possible_owners_of_all_sockets_are_named():
    sockets = [made(hidden=True, possible_owners=(owner,)) for owner in (WEB, LOG, WEB)]
    [obstacle] = found(*sockets)
    assert "owner hidden, possibly web (7), log (9): " in obstacle.detail
    assert (obstacle.count, obstacle.socket.owners, obstacle.socket.possible_owners) == (3, (), (WEB, LOG))


@pytest.mark.parametrize(
    "other",
    [{"owners": (LOG,)}, {"address": "127.0.0.2"}, {"uid": 1000}, {"hidden": True, "owners": ()}, {"interface": "lo"}],
)
def test_sockets_that_differ_in_more_are_obstacles_of_their_own(other):
    first, second = made(owners=(WEB,)), made(**{"owners": (WEB,), **other})
    assert [(obstacle.socket, obstacle.count) for obstacle in found(first, second)] == [(first, 1), (second, 1)]


def test_obstacles_are_sorted_by_their_kinds():
    sockets = [
        made("time-wait", **REMOTE),
        made("fin-wait-1", **REMOTE),
        made("established", owners=(WEB,), **REMOTE),
        made("bound", owners=(WEB,)),
        made("listen", owners=(WEB,)),
    ]
    kinds = ["listener", "bound", "connection", "closing", "time-wait"]
    assert [obstacle.kind for obstacle in found(*sockets)] == kinds
    assert [obstacle.socket for obstacle in found(*sockets)] == sockets[::-1]


@pytest.mark.parametrize(("address", "is_its"), [("127.0.0.1", True), ("0.0.0.0", True), ("::", True), ("::1", False)])
def test_connection_to_a_listener_has_the_advice_of_the_listener(address, is_its):
    connection = made("established", owners=(LOG,), **REMOTE)
    [_, obstacle] = found(made(address=address, owners=(WEB, WORKER)), connection)
    advice = "made to the listener; stop pid 7 or use another port" if is_its else "stop it or use another port"
    assert obstacle.detail.endswith(f" (ESTABLISHED): {advice}")


# --- proxies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in obstacles._PROXIES if isinstance(name, str)])
@pytest.mark.parametrize("suffix", ["", ".exe"])
def test_proxy_is_not_stopped(name, suffix):
    proxy = Process(70, name + suffix)
    for socket in (made(owners=(proxy,)), made(hidden=True, possible_owners=(proxy,))):
        assert found(socket)[0].detail.endswith(f": {obstacles._PROXIES[name]}")


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("conmon", "it publishes a container's port; stop that container (podman ps lists it) or use another port"),
        (
            "passt.avx2",
            (
                "it publishes a virtual machine's port; stop that virtual machine (virsh list lists it) or use another "
                "port"
            ),
        ),
    ],
)
def test_advice_for_a_proxy_names_what_to_stop_and_how_to_find_it(name, advice):
    assert found(made(owners=(Process(70, name),)))[0].detail.endswith(f": {advice}")


@pytest.mark.parametrize(
    ("process", "is_kernel"), [(Process(4, "System"), True), (Process(5, "System"), False), (Process(4, "a"), False)]
)
def test_kernel_of_windows_has_pid_4(process, is_kernel):
    [obstacle] = found(made(owners=(process,)))
    assert obstacle.detail.endswith("netsh http show servicestate lists") is is_kernel


def test_owner_without_a_name_is_no_proxy():
    assert found(made(owners=(Process(7),)))[0].detail.endswith("in use by ? (pid 7): stop it or use another port")


def test_proxy_with_another_owner_is_stopped_like_any_program():
    proxy = Process(70, "docker-proxy")
    for owners in ((proxy, WEB), (WEB, proxy)):
        assert found(made(owners=owners))[0].detail.endswith(": stop them or use another port")
    daemon = Process(60, "dockerd")
    assert found(made(owners=(daemon, proxy)))[0].detail.endswith(f": {obstacles._PROXIES['docker-proxy']}")


# --- ports that the system refuses -----------------------------------------------------------------------------------

WANTED = Endpoint("tcp", "ipv4", "127.0.0.1", 8080)
EXCLUDED = (("excluded", "netsh"), ("excluded", "another"), ("privileged", "a file"))
PRIVILEGED = (
    "binding port 8080 needs a privilege (a file); run as root, on Linux with CAP_NET_BIND_SERVICE, or use a higher "
    "port"
)
TO_THIS_PROGRAM = "the system refuses port 8080 to this program"
WINDOWS = f"{TO_THIS_PROGRAM}: another program may have it for its exclusive use"
UNREADABLE = (
    ", or it is in an excluded range, which could not be read: netsh int ipv4 show excludedportrange protocol=tcp "
    "lists them"
)


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        (
            PortSettings("windows", excluded=(Span(8080, 8080),), privileged=(Span(8000, 9000),), sources=EXCLUDED),
            "excluded",
            "the system refuses port 8080 to all programs (netsh, another); use another port, or remove the exclusion",
        ),
        (
            PortSettings("linux", excluded=(), privileged=(Span(1, 8080),), sources=EXCLUDED),
            "privileged",
            PRIVILEGED,
        ),
        (
            PortSettings("linux", excluded=(Span(1, 8079),), privileged=(Span(1, 8079),)),
            "refused",
            f"{TO_THIS_PROGRAM}; ask the administrator about its security policy",
        ),
        (
            PortSettings("freebsd"),
            "refused",
            f"{TO_THIS_PROGRAM}; ask the administrator about its security policy",
        ),
        (
            PortSettings("windows", excluded=()),
            "refused",
            f"{WINDOWS}; use another port, or ask the administrator about the security policy",
        ),
        (
            PortSettings("windows"),
            "refused",
            f"{WINDOWS}{UNREADABLE}; use another port, or ask the administrator about the security policy",
        ),
    ],
)
def test_refusal(settings, kind, message):
    assert obstacles.refusal(WANTED, settings) == Obstacle(kind, message)


def test_restricted_port():
    settings = PortSettings("darwin", sources=(("excluded", "net.restricted_port"),))
    message = (
        "the system restricts port 8080 to permitted programs (net.restricted_port; some such ports for TCP or UDP "
        "only), or another user's program has it: use another port, or run again as root"
    )
    assert obstacles.restricted(WANTED, settings) == Obstacle("excluded", message)


@pytest.mark.parametrize("excluded", [None, (), (Span(8081, 8082),)])
def test_port_counts_as_excluded_only_if_it_is_known_to_be(excluded):
    assert obstacles.is_excluded(8080, PortSettings("linux", excluded=excluded)) is False
    assert obstacles.is_excluded(8080, PortSettings("linux", excluded=(Span(8080, 8080),))) is True


def test_reserved_port_does_not_block():
    settings = PortSettings("linux", reserved=(Span(8080, 8080),), sources=(("reserved", "a file"),))
    message = "port 8080 is reserved by the administrator (a file): bind it only if it is meant for your program"
    assert obstacles.notes(8080, settings) == (Obstacle("reserved", message, blocks=False),)
    assert obstacles.notes(8081, settings) == obstacles.notes(8080, PortSettings("linux")) == ()


def test_exhausted_ports():
    message = "no ephemeral tcp port is free on 127.0.0.1; choose a port outside the ephemeral range"
    assert obstacles.exhausted(WANTED, PortSettings("linux")) == Obstacle("exhausted", message)
    odd = (EphemeralRange(40000, 40003), EphemeralRange(40000, 40002), EphemeralRange(50000, 50002))
    message = (
        "no ephemeral tcp port is free on 127.0.0.1, or only one, which Linux may miss because 40000-40002 is an odd "
        "number of ports; choose a port outside the ephemeral range"
    )
    assert obstacles.exhausted(WANTED, PortSettings("linux", odd)) == Obstacle("exhausted", message)


@pytest.mark.parametrize(
    ("error", "reason"), [(OSError(98, "Address already in use"), "Address already in use"), (OSError("odd"), "odd")]
)
def test_failed_bind_without_a_visible_cause(error, reason):
    message = (
        f"binding tcp 127.0.0.1 port 8080 fails ({reason}), and the system shows no socket: it may be bound without "
        "listening, or belong to another user; run again as administrator, or use another port"
    )
    assert obstacles.hidden(WANTED, error, PortSettings("darwin")) == Obstacle("hidden", message)


@pytest.mark.parametrize(
    ("protocol", "unlisted"),
    [
        ("tcp", " (it lists those that are bound without listening from 6.8 on, through NETLINK_SOCK_DIAG)"),
        ("udp", ""),
        ("sctp", " (it does not list those that are bound without listening)"),
        ("dccp", " (it may not list those that are bound without listening)"),
    ],
)
def test_failed_bind_without_a_socket_on_linux(protocol, unlisted):
    wanted = Endpoint(protocol, "ipv4", "127.0.0.1", 8080)
    message = (
        f"binding {protocol} 127.0.0.1 port 8080 fails (Address already in use), and Linux lists no such socket"
        f"{unlisted}: use another port"
    )
    error = OSError(98, "Address already in use")
    assert obstacles.hidden(wanted, error, PortSettings("linux")) == Obstacle("hidden", message)


@pytest.mark.parametrize(
    ("address", "is_needed"),
    [
        ("fe80::1", True),
        ("febf::1", True),
        ("ff01::1", True),
        ("ff02::1", True),
        ("ff12::1", True),
        ("ff0e::1", False),
        ("ff05::2", False),
        ("ff0::1", False),
        ("2001:db8::1", False),
        ("ee02::1", False),
        ("224.0.0.1", False),
    ],
)
def test_addresses_that_mean_something_only_with_an_interface(address, is_needed):
    assert obstacles.needs_interface(address) is is_needed


@pytest.mark.parametrize(
    ("protocol", "address", "advice"),
    [
        ("udp", "224.0.0.1", "bind an address that this machine has, or all of them"),
        (
            "tcp",
            "239.255.255.255",
            "it is a multicast address, which tcp does not support; bind an address of this machine",
        ),
        (
            "udp",
            "ff02::1%lo",
            "a link-local address needs the name of a network interface of this machine, as in ff02::1%eth0",
        ),
        ("tcp", "::1%lo", "only link-local addresses (fe80::/10) have a network interface: remove %lo"),
    ],
)
def test_address_of_this_machine_that_cannot_be_bound(protocol, address, advice):
    wanted = Endpoint(protocol, "ipv6" if ":" in address else "ipv4", address, 8080)
    for error, reason in ((OSError(22, "Invalid argument"), "Invalid argument"), (OSError("odd"), "odd")):
        message = f"{address} cannot be bound ({reason}); {advice}"
        assert obstacles.unusable(wanted, error, is_local=True) == Obstacle("address", message)
