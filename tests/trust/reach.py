"""Random worlds of sockets: does `who_answers` name the socket at which a real connection or datagram arrives?

Run in an empty network namespace, as root: ``unshare --net python tests/trust/reach.py SEED QUESTIONS [UID]``. Prints
one JSON object: the number of queries by outcome, and the differences.
"""

from __future__ import annotations

import json
import os
import random
import select
import socket
import subprocess
import sys
from collections import Counter
from typing import NamedTuple

import portrange
from portrange._backends.linux import lookup, sockets
from portrange._host.system import System
from portrange._questions import reach

#: Outside the default ephemeral range, so that no client has one of these ports.
PORTS = (20001, 20002)
QUERIES_PER_WORLD = 12
#: How the sockets of a world share ports; each takes one of two ways.
SHARING = (
    (),
    (socket.SO_REUSEPORT,),
    (socket.SO_REUSEPORT,),
    (socket.SO_REUSEADDR,),
    (socket.SO_REUSEADDR, socket.SO_REUSEPORT),
)
#: How many clients look for each member of a group. A member is missed by chance in one of 2**57 cases.
CLIENTS_PER_MEMBER = 40
IPPROTO_MPTCP = 262
#: Seconds. Delivery on one machine needs none; this is against hanging.
PATIENCE = 20
#: Addresses of the machine because of a route alone (ip-route(8), type local).
ROUTED = "10.77.0.0/24"
LINKS = {"d0": ("10.9.0.1/24", "fd00:9::1/64"), "d1": ("10.9.1.1/24", "fd00:a::1/64")}
ADDRESSES = [
    "127.0.0.1",
    "127.0.0.2",
    "127.77.1.9",
    "10.77.0.5",
    "10.9.0.1",
    "10.9.1.1",
    "::1",
    "fd00:9::1",
    "fd00:a::1",
    "fe80::1%d0",
    "fe80::1%d1",
]
BINDABLE = [*ADDRESSES, "0.0.0.0", "::", "::", "::ffff:127.0.0.1", "::ffff:10.9.0.1"]
#: A client that connects to them reaches the loopback address.
WILDCARDS = ("0.0.0.0", "::")


class Query(NamedTuple):
    """A client's view of one query."""

    protocol: str
    address: str
    port: int


def build_links() -> None:
    """Create two interfaces; the same link-local address on both, so that only the zone tells them apart."""
    commands = ["link set lo up", "link add d0 type veth peer name d1"]
    for name, (ipv4, ipv6) in LINKS.items():
        commands += [f"link set {name} addrgenmode none up"]
        commands += [f"address add {ipv4} dev {name}", f"address add {ipv6} dev {name} nodad"]
        commands.append(f"address add fe80::1/64 dev {name} nodad")
    commands.append(f"route add local {ROUTED} dev lo")
    for command in commands:
        subprocess.run(["ip", *command.split()], check=True)


def family_of(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def place(address: str, port: int) -> tuple[object, ...]:
    return socket.getaddrinfo(address, port, family_of(address), flags=socket.AI_NUMERICHOST)[0][4]


def random_world(chance: random.Random) -> list[socket.socket]:
    """Return random server sockets on few addresses, many of which share a port."""
    addresses, ways = chance.sample(BINDABLE, 3), chance.choices(SHARING, k=2)
    made = [random_socket(chance, chance.choice(addresses), chance.choice(ways)) for _ in range(chance.randint(1, 10))]
    return [server for server in made if server is not None]


def random_socket(chance: random.Random, address: str, sharing: tuple[int, ...]) -> socket.socket | None:
    """Return a random server socket, or None if its binding conflicts with another one."""
    kind = chance.choice((socket.SOCK_STREAM, socket.SOCK_DGRAM))
    is_multipath = MULTIPATH and kind == socket.SOCK_STREAM and chance.random() < 0.2
    made = socket.socket(family_of(address), kind, IPPROTO_MPTCP if is_multipath else 0)
    made.setblocking(False)
    if made.family == socket.AF_INET6:
        v6only = not address.startswith("::ffff") and chance.random() < 0.5
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
    for option in sharing:
        made.setsockopt(socket.SOL_SOCKET, option, 1)
    try:
        if chance.random() < 0.15:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, chance.choice((b"lo", *map(str.encode, LINKS))))
        made.bind(place(address, chance.choices(PORTS, (9, 1))[0]))
        if kind == socket.SOCK_STREAM:
            made.listen(64)
        elif chance.random() < 0.15:
            # A connected UDP socket takes datagrams of its peer only, which is nobody here.
            made.connect(place("127.0.0.2" if made.family == socket.AF_INET else "::1", 9))
    except OSError:
        made.close()
        return None
    return made


def random_query(chance: random.Random, servers: list[socket.socket]) -> Query:
    """Return a query, usually for the address, port and protocol of a server."""
    if not servers or chance.random() < 0.2:
        return Query(chance.choice(("tcp", "udp")), chance.choice(ADDRESSES), chance.choice(PORTS))
    server = chance.choice(servers)
    address, port, *others = server.getsockname()
    address = address.removeprefix("::ffff:")
    if address in WILDCARDS:
        address = chance.choice((*ADDRESSES, *WILDCARDS))
    elif address.startswith("fe80:"):
        # A Multipath TCP socket does not return its zone, but the interface to which it is bound, if any.
        zones = {socket.if_nametoindex(link): link for link in LINKS}
        zone = zones.get(others[-1]) or chance.choice(list(LINKS))
        address = f"{address.partition('%')[0]}%{zone}"
    if "." in address and chance.random() < 0.1:
        address = f"::ffff:{address}"
    return Query("tcp" if server.type == socket.SOCK_STREAM else "udp", address, port)


def arrival(query: Query, servers: list[socket.socket]) -> int | None:
    """Return the inode of the socket at which a real client arrives; None if the system refuses it."""
    kind = socket.SOCK_STREAM if query.protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(family_of(query.address), kind) as client:
        client.settimeout(PATIENCE)
        try:
            client.connect(place(query.address, query.port))
            if query.protocol == "udp":
                client.send(b"?")
        except ConnectionRefusedError:
            return None
        waiting = [server for server in servers if server.type == kind]
        # A refused datagram is an error at the client.
        readable, _, _ = select.select([*waiting, client], [], [], PATIENCE)
        if client in readable:
            return None
        [server] = readable
        if query.protocol == "udp":
            server.recv(16)
        else:
            # The server closes first: its end stays in TIME_WAIT, on the address and port of later queries.
            accepted, _ = server.accept()
            accepted.shutdown(socket.SHUT_WR)
            client.recv(1)
            accepted.close()
        return os.fstat(server.fileno()).st_ino


def chosen(query: Query) -> list[int]:
    """Return the inodes that the library finds."""
    system = System()
    [target] = reach._targets(system, query.address, query.protocol)[0].values()
    records, _ = sockets.listening(system, (query.protocol,), query.port)
    return [record.inode for record in lookup.group(system, query.protocol, query.port, target, records)]


def arrivals(query: Query, servers: list[socket.socket], found: list[int]) -> set[int | None]:
    """Return the inodes of the sockets at which real clients arrive; None for a client that the system refuses.

    Several clients are needed to reach each member of a group.
    """
    arrived: set[int | None] = set()
    for _ in range(CLIENTS_PER_MEMBER * len(found) if len(found) > 1 else 2):
        arrived.add(arrival(query, servers))
        if len(found) > 1 and arrived >= set(found):
            break
    return arrived


def compare(query: Query, servers: list[socket.socket]) -> tuple[str, str]:
    """Return the outcome of a query, and its difference from the real arrivals; empty if there is none."""
    found = chosen(query)
    [answer] = portrange.who_answers(query.port, query.address, protocol=query.protocol)
    arrived = arrivals(query, servers, found)
    bound = {
        server.getsockname()[0].removeprefix("::ffff:").partition("%")[0]
        for server in servers
        if os.fstat(server.fileno()).st_ino in arrived
    }
    difference = ""
    if arrived != (set(found) or {None}):
        difference = f"{query}: arrives at {arrived}, found {found}"
    elif (
        len(answer.listeners) != len(found)
        or {listener.address.removeprefix("::ffff:").partition("%")[0] for listener in answer.listeners} != bound
        or answer.assumed
    ):
        difference = f"{query}: found {found}, returned {answer!r}"
    outcome = "refused" if arrived == {None} else "group" if len(arrived) > 1 else "single"
    return f"{query.protocol} {outcome}", difference


def has_multipath() -> bool:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP).close()
    except OSError:
        return False
    return True


MULTIPATH = has_multipath()


def described(servers: list[socket.socket]) -> list[str]:
    shown = []
    for server in servers:
        options = [
            name
            for name in ("SO_REUSEADDR", "SO_REUSEPORT", "SO_BINDTODEVICE")
            if any(server.getsockopt(socket.SOL_SOCKET, getattr(socket, name), 16))
        ]
        inode = os.fstat(server.fileno()).st_ino
        shown.append(f"{server.type.name} {server.proto} {server.getsockname()} {' '.join(options)} inode {inode}")
    return shown


def main(seed: int, queries: int, uid: int | None) -> None:
    build_links()
    portrange.who_answers(PORTS[0], "127.0.0.1")  # imports what another user may not be able to read
    place(ADDRESSES[0], PORTS[0])
    if uid is not None:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    chance = random.Random(seed)
    outcomes: Counter[str] = Counter()
    differences: list[str] = []
    while outcomes.total() < queries:
        servers = random_world(chance)
        for _ in range(QUERIES_PER_WORLD):
            query = random_query(chance, servers)
            outcome, difference = compare(query, servers)
            outcomes[outcome] += 1
            if difference:
                differences.append(f"{difference} in {described(servers)}")
        for server in servers:
            server.close()
    print(json.dumps({"seed": seed, "outcomes": dict(sorted(outcomes.items())), "differences": differences[:20]}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else None)
