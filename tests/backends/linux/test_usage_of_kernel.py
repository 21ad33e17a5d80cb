"""The use of the ephemeral ports of a fake kernel: its requests, and the whole answer."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Collection, Iterator

import pytest
from fakes import FakeHost
from inet_diag import attribute, done, message, socket_body

import portrange
from portrange import Span
from portrange._answers.usage import Destination, LocalAddress, SocketOwner
from portrange._backends.linux import sock_diag, usage

GROUP, CONTAINER = 5, "0123456789abcdef" * 4
MOUNT = "/sys/fs/cgroup"
SETTINGS = {
    "/proc/sys/net/ipv4/ip_local_port_range": b"40000\t40009\n",
    "/proc/sys/net/ipv4/ip_local_reserved_ports": b"\n",
    "/proc/sys/net/ipv4/tcp_tw_reuse": b"1\n",
    "/proc/sys/net/ipv4/tcp_timestamps": b"1\n",
    "/proc/sys/kernel/osrelease": b"6.8.0\n",
    "/proc/sys/kernel/overflowuid": b"65534\n",
    "/proc/self/uid_map": b"0 0 65534\n",
    "/proc/self/mountinfo": b"",
}


IN_GROUP = attribute(21, struct.pack("=Q", GROUP))


class Kernel(FakeHost):
    """A host whose sock_diag returns these sockets, to requests with a program for its range of ports alone."""

    platform = "linux"

    def __init__(self, *rows: bytes, protocol: str = "tcp", has_old_requests: bool = True) -> None:
        folders = {MOUNT: ["cgroup.controllers"]}
        super().__init__(SETTINGS, folders=folders, users={0: "root", 1000: "ada"})
        self.rows = rows
        self.protocol = protocol
        self.has_old_requests = has_old_requests
        self.span = Span(40000, 40009)
        self.kinds: list[int] = []

    def sock_diag(self, request: bytes) -> Iterator[bytes]:
        kind, sequence = struct.unpack_from("=4xHxxI", request)
        self.kinds.append(kind)
        if kind == 18 and not self.has_old_requests:
            raise OSError(95, "Operation not supported")
        [mask] = struct.unpack_from("=I", request, 68 if kind == 18 else 20)
        states = frozenset(number for number in range(32) if mask >> number & 1)
        wanted = sock_diag.SocketFilter(self.protocol, states)
        families = [2, 10] if kind == 18 else [request[16]]
        if kind == 18:
            assert request == sock_diag.request_tcp(wanted, sequence, span=self.span)
        else:
            name = {2: "ipv4", 10: "ipv6"}[families[0]]
            assert request == sock_diag.request(wanted, name, sequence, span=self.span)
        for body in self.rows:
            # TCP sockets that are bound without listening are requested as BOUND_INACTIVE and returned as CLOSE.
            state = 13 if self.protocol == "tcp" and body[1] == 7 else body[1]
            if body[0] in families and mask >> state & 1:
                yield message(body, sequence, kind=kind)
        yield done(sequence)

    def interface_name(self, index: int) -> str:
        return f"eth{index}"

    def inode(self, path: str) -> int:
        return {MOUNT: 1, f"{MOUNT}/web": GROUP}[path]

    def find_directories(self, top: str, inodes: Collection[int]) -> dict[int, str]:
        assert top == MOUNT
        return {GROUP: f"{MOUNT}/system.slice/docker-{CONTAINER}.scope"} if GROUP in inodes else {}


LISTENERS = (
    socket_body("127.0.0.1", 40000, state=10, uid=1000, attributes=IN_GROUP),
    socket_body("127.0.0.1", 40009, state=10, uid=1000, attributes=IN_GROUP),
    socket_body("::", 40001, state=10, attributes=attribute(11, b"\0")),
    socket_body("fe80::1", 40002, state=7, interface=2, uid=65534),
    socket_body("192.0.2.9", 9, state=10),
)
CONNECTIONS = (
    # accepted by the first and by the IPv6 wildcard, which accepts IPv4 too
    socket_body("127.0.0.1", 40000, "127.0.0.1", 50000, uid=1000, attributes=IN_GROUP),
    socket_body("::ffff:10.0.0.1", 40001, "::ffff:10.0.0.9", 50001, state=8),
    socket_body("10.0.0.1", 40003, "10.0.0.2", 443, uid=1000, attributes=IN_GROUP + attribute(15, bytes(4))),
    socket_body("10.0.0.1", 40004, "10.0.0.2", 443, uid=1000),
    socket_body("10.0.0.1", 40005, "10.0.0.2", 443, state=6, expires=5000, inode=0),
    socket_body("10.0.0.1", 40006, "10.0.0.2", 443, state=6, expires=5001, inode=0),
    socket_body("10.0.0.1", 40007, "10.0.0.2", 443, state=6, expires=60000, inode=0),
    socket_body("::ffff:10.0.0.1", 40008, "::ffff:10.0.0.2", 443, inode=0, attributes=IN_GROUP),
    socket_body("fe80::1", 40007, "fe80::2", 80, interface=2),
    socket_body("fe80::1", 40008, "fe80::2", 80, interface=2),
    socket_body("2001:db8::1", 40003, "2001:db8::2", 80, interface=3),
    # the port of a listener on another address: not accepted by it
    socket_body("10.0.0.3", 40009, "10.0.0.2", 443),
    socket_body("10.0.0.3", 40000, "10.0.0.2", 443),
    socket_body(
        "::ffff:10.0.0.3", 40002, "::ffff:10.0.0.2", 443, inode=0, attributes=IN_GROUP + attribute(15, bytes(4))
    ),
)


@pytest.mark.parametrize("has_old_requests", [True, False])
def test_tcp_usage(has_old_requests):
    host = Kernel(*LISTENERS, *CONNECTIONS, has_old_requests=has_old_requests)
    answer = portrange.ephemeral_usage(host=host)
    assert host.kinds == ([18, 18] if has_old_requests else [18, 20, 20] * 2)
    assert (answer.protocol, answer.platform, answer.size, answer.used, answer.waiting) == ("tcp", "linux", 10, 10, 4)
    assert answer.states == (
        ("established", 10),
        ("listen", 3),
        ("time-wait", 3),
        ("bound", 1),
        ("close-wait", 1),
    )
    assert answer.destinations == (
        Destination("ipv4", "10.0.0.1", "10.0.0.2", 443, sockets=6, time_wait=3, reusable=2, limit=6),
        Destination("ipv4", "10.0.0.3", "10.0.0.2", 443, sockets=3, time_wait=0, reusable=0, limit=9),
        Destination("ipv6", "fe80::1", "fe80::2", 80, sockets=2, time_wait=0, reusable=0, limit=6, interface="eth2"),
        Destination(
            "ipv6", "2001:db8::1", "2001:db8::2", 80, sockets=1, time_wait=0, reusable=0, limit=6, interface="eth3"
        ),
    )
    assert answer.destination_count == 4
    assert answer.addresses == (
        LocalAddress("ipv4", "0.0.0.0", used=10, limit=10),
        LocalAddress("ipv6", "::", used=10, limit=10),
        LocalAddress("ipv4", "10.0.0.1", used=7, limit=10),
        LocalAddress("ipv4", "10.0.0.3", used=4, limit=10),
        LocalAddress("ipv6", "fe80::1", used=4, limit=10, interface="eth2"),
        LocalAddress("ipv4", "127.0.0.1", used=3, limit=10),
        LocalAddress("ipv6", "2001:db8::1", used=2, limit=10),
    )
    assert answer.by_owner == (
        SocketOwner(7, 1, uid=0, user="root"),
        SocketOwner(4, 2, uid=1000, user="ada", unit=f"docker-{CONTAINER}.scope", container=CONTAINER),
        SocketOwner(2, 0, unit=f"docker-{CONTAINER}.scope", container=CONTAINER),  # closed by their program
        SocketOwner(1, 1),  # a user whom the caller's namespace does not have
        SocketOwner(1, 0, uid=1000, user="ada"),
    )
    assert answer.incomplete == ()


def test_udp_sockets_accept_no_connections():
    rows = (
        socket_body("0.0.0.0", 40000, state=7, uid=1000),
        socket_body("10.0.0.1", 40000, "10.0.0.2", 53, uid=1000),
        socket_body("10.0.0.1", 40001, "10.0.0.2", 53, attributes=IN_GROUP, inode=0),
        socket_body("::", 40002, state=7, attributes=attribute(11, b"\1")),
    )
    answer = portrange.ephemeral_usage(protocol="udp", host=Kernel(*rows, protocol="udp"))
    assert (answer.protocol, answer.used, answer.waiting) == ("udp", 3, 2)
    assert answer.states == (("bound", 2), ("connected", 2))
    [destination] = answer.destinations
    assert (destination.endpoint, destination.sockets) == ("10.0.0.2:53", 2)
    assert [(place.address, place.used) for place in answer.addresses] == [("::", 3), ("0.0.0.0", 2), ("10.0.0.1", 2)]
    assert answer.by_owner == (
        SocketOwner(2, 1, uid=1000, user="ada"),
        SocketOwner(1, 1, uid=0, user="root"),
        SocketOwner(1, 0, unit=f"docker-{CONTAINER}.scope", container=CONTAINER),
    )
    assert answer.incomplete == ()


BOUND = "TCP sockets that are bound and do not listen: sock_diag lists them on Linux 6.8 and later"
AGE = "the age of sockets in TIME-WAIT, which decides whether their ports can be reused (tcp_tw_reuse)"


@pytest.mark.parametrize(
    ("release", "incomplete"),
    [
        (b"6.8.0-51-generic\n", ()),
        (b"6.8\n", ()),
        (b"6.18.44\n", ()),
        (b"7.0-rc1\n", ()),
        (b"6.7.12\n", (BOUND,)),
        (b"5.15.0\n", (BOUND,)),
        (b"6\n", (BOUND,)),
        (b"x.9\n", (BOUND,)),
        (b"\xff", (BOUND,)),
        (None, (BOUND,)),
    ],
)
def test_sockets_that_an_earlier_kernel_does_not_list_are_named(release, incomplete):
    host = Kernel(protocol="tcp")
    host.files = {path: text for path, text in SETTINGS.items() if "osrelease" not in path}
    if release is not None:
        host.files["/proc/sys/kernel/osrelease"] = release
    assert portrange.ephemeral_usage(host=host).incomplete == incomplete
    host.protocol = "udp"
    assert portrange.ephemeral_usage(protocol="udp", host=host).incomplete == ()


def test_tables_of_procfs_replace_sock_diag():
    class Refusing(Kernel):
        def sock_diag(self, request: bytes) -> Iterator[bytes]:
            raise PermissionError(1, "Operation not permitted")

    digits = [struct.pack(">I", int.from_bytes(socket.inet_aton(address), sys.byteorder)).hex().upper()
              for address in ("10.0.0.1", "10.0.0.2")]  # fmt: skip
    header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    rest = "00000000:00000000 00:00000000 00000000     0        0"
    bound = f"   0: {digits[0]}:9C40 00000000:0000 0D {rest} 11 1\n"
    connected = f"   1: {digits[0]}:9C41 {digits[1]}:01BB 01 {rest} 12 1\n"
    table = f"{header}{bound}{connected}".encode()
    host = Refusing()
    host.files = {**SETTINGS, "/proc/net/tcp": table, "/proc/net/udp": header.encode()}
    answer = portrange.ephemeral_usage(host=host)
    assert (answer.platform, answer.states) == ("linux", (("established", 1), ("state 13", 1)))
    assert [(target.source, target.endpoint) for target in answer.destinations] == [("10.0.0.1", "10.0.0.2:443")]
    assert answer.incomplete == (BOUND, AGE)
    udp = portrange.ephemeral_usage(protocol="udp", host=host)
    assert (udp.platform, udp.incomplete, udp.by_owner) == ("linux", (), None)


def test_fullest_destinations_are_chosen_by_the_part_of_the_limit():
    """More destinations than are named: those of reusable and shared ports come last."""
    many = [
        socket_body("10.0.0.1", 40000 + number % 2, f"10.1.{number}.1", 80, uid=1000)
        for number in range(usage.MOST_NAMED)
    ]
    old = [
        socket_body("10.0.0.1", port, "10.2.0.1", 80, state=6, expires=5000, inode=0) for port in (40003, 40004, 40005)
    ]
    full = [socket_body("10.0.0.1", port, "10.2.0.2", 80) for port in (40003, 40004)]
    listening = socket_body("127.0.0.1", 40009, state=10), socket_body("127.0.0.1", 40008, state=10)
    shared = [socket_body("10.0.0.1", port, "10.2.0.3", 80) for port in (40008, 40009)]
    answer = portrange.ephemeral_usage(host=Kernel(*listening, *old, *shared, *many, *full))
    named = [target.address for target in answer.destinations]
    assert (len(named), answer.destination_count) == (usage.MOST_NAMED, usage.MOST_NAMED + 3)
    assert named[0] == "10.2.0.2"
    assert not {"10.2.0.1", "10.2.0.3"} & set(named)


@pytest.mark.parametrize(("setting", "reusable"), [(b"1", {"10.0.0.2": 1, "127.0.0.2": 1}), (b"2", {"127.0.0.2": 1})])
def test_reuse_of_ports_may_be_limited_to_loopback(setting, reusable):
    host = Kernel(
        socket_body("10.0.0.1", 40001, "10.0.0.2", 443, state=6, expires=5000, inode=0),
        socket_body("10.0.0.1", 40002, "10.0.0.2", 443),
        socket_body("127.0.0.1", 40001, "127.0.0.2", 443, state=6, expires=5000, inode=0),
        socket_body("127.0.0.1", 40002, "127.0.0.2", 443),
    )
    host.files = {**SETTINGS, "/proc/sys/net/ipv4/tcp_tw_reuse": setting}
    answer = portrange.ephemeral_usage(host=host)
    assert {target.address: target.reusable for target in answer.destinations if target.reusable} == reusable


def test_connections_over_ipv6_have_the_port_of_the_ipv4_wildcard_too():
    host = Kernel(
        socket_body("2001:db8::1", 40003, "2001:db8::2", 80), socket_body("fe80::1", 40002, state=7, interface=2)
    )
    used = {place.address: place.used for place in portrange.ephemeral_usage(host=host).addresses}
    assert used == {"::": 2, "0.0.0.0": 1, "2001:db8::1": 1, "fe80::1": 1}
