"""Create random sockets and processes in new namespaces, and describe them.

The seed alone determines the contents of a world. Sockets that cannot be created (the port is taken) are omitted. The
description consists of the arguments of their creation; nothing is read back from the system.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from live.stage import CLONE_NEWPID, MPTCP, bound, join_cgroup, mount_proc, new_mounts, new_network, tcp, udp, unshare

#: Few ports, so that transports, families and addresses share them; includes the bounds of each port range.
PORTS = (1, 80, 1023, 1024, 8080, 8081, 8082, 32768, 49151, 49152, 60999, 65535)
_IPV4 = ("127.0.0.1", "127.0.0.2", "127.8.9.10", "0.0.0.0", "192.0.2.7")
_IPV6 = ("::1", "::", "2001:db8::7", "::ffff:127.0.0.1", "::ffff:0.0.0.0")
_USERS = (0, 0, 1000, 65534)
#: linux/in.h, linux/in6.h: bind to an address that no interface has.
_IP_FREEBIND, _IPV6_FREEBIND = 15, 78
_UDPLITE = 136
_LOOPBACK_INDEX = 1


@dataclass
class Made:
    """A socket of the world. `owners` maps the PIDs of its owners to their names."""

    kind: str
    protocol: str
    family: str
    address: str
    port: int
    listens: bool
    dual_stack: bool = False
    interface: str | None = None
    #: True for an IPv4-mapped address.
    mapped: bool = False
    uid: int = 0
    cgroup: str = "/"
    owners: dict[int, str] = field(default_factory=dict)
    #: The owners in the cgroup of the socket.
    neighbours: list[int] = field(default_factory=list)


@dataclass
class _Handle:
    """A socket, its description (None unless TCP or UDP), and objects that must live as long."""

    socket: socket.socket
    made: Made | None
    kept: tuple[Any, ...] = ()


class Maker:
    """Creates random sockets in the current cgroup."""

    def __init__(self, chosen: random.Random) -> None:
        self.chosen = chosen
        self.cgroup = "/"

    def some(self) -> Iterator[_Handle]:
        """Yield the sockets of one random recipe, or none if its creation fails."""
        recipes = list(_RECIPES)
        recipe = self.chosen.choices(recipes, [_RECIPES[recipe] for recipe in recipes])[0]
        made: list[_Handle] = []
        try:
            made.extend(recipe(self))
        except OSError:
            # The port is taken, a privilege is missing, or the kernel does not support the transport.
            for handle in made:
                handle.socket.close()
            return
        yield from made

    def port(self) -> int:
        return self.chosen.choice(PORTS)

    def listener(self, kind: Callable[..., socket.socket], name: str, **options: Any) -> _Handle:
        """Create a listener on a random address."""
        address = options.pop("address", None) or self.chosen.choice(_IPV4 + _IPV6)
        number = options.pop("number", None) or self.port()
        v6only = self.chosen.random() < 0.5 if address == "::" else None
        device = options.pop("device", "lo" if self.chosen.random() < 0.1 else "")
        uid = self.chosen.choice(_USERS)
        os.seteuid(uid)
        try:
            made = freely(kind, address, number, v6only=v6only, device=device, **options)
        finally:
            os.seteuid(0)
        return _Handle(
            made,
            Made(
                name,
                "tcp" if made.type == socket.SOCK_STREAM else "udp",
                "ipv4" if "." in address else "ipv6",
                address.removeprefix("::ffff:"),
                number,
                listens=True,
                dual_stack=address == "::" and not v6only,
                interface=device or None,
                mapped=address.startswith("::ffff:"),
                uid=uid,
                cgroup=self.cgroup,
            ),
        )

    def noise(self, made: socket.socket, kind: str, *kept: Any) -> _Handle:
        """Describe a TCP or UDP socket that is not a listener."""
        name = made.getsockname()
        protocol = "tcp" if made.type == socket.SOCK_STREAM else "udp"
        family = "ipv4" if "." in name[0] else "ipv6"
        return _Handle(
            made, Made(kind, protocol, family, name[0], name[1], listens=False, cgroup=self.cgroup), tuple(kept)
        )


def freely(kind: Callable[..., socket.socket], address: str, number: int, **options: Any) -> socket.socket:
    """Return `kind(address, number)`, with IP_FREEBIND for addresses that no interface has."""
    if address not in ("192.0.2.7", "2001:db8::7"):
        return kind(address, number, **options)
    is_ipv6 = ":" in address
    style = socket.SOCK_STREAM if kind is tcp else socket.SOCK_DGRAM
    made = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET, style, options.get("protocol", 0))
    try:
        if is_ipv6:
            made.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
        else:
            made.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        if options.get("reuse_port"):
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if options.get("device"):
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, options["device"].encode())
        made.bind((address, number))
        if kind is tcp:
            made.listen()
    except OSError:
        made.close()
        raise
    return made


# --- recipes: listeners ---------------------------------------------------------------------------------------------


def plain_tcp(maker: Maker) -> Iterator[_Handle]:
    yield maker.listener(tcp, "tcp")


def plain_udp(maker: Maker) -> Iterator[_Handle]:
    yield maker.listener(udp, "udp")


def multipath(maker: Maker) -> Iterator[_Handle]:
    yield maker.listener(tcp, "multipath", protocol=MPTCP)


def shared_port(maker: Maker) -> Iterator[_Handle]:
    """Several sockets on one address and port (SO_REUSEPORT)."""
    kind = maker.chosen.choice((tcp, udp))
    address, number = maker.chosen.choice(_IPV4 + _IPV6), maker.port()
    for _ in range(maker.chosen.randint(2, 3)):
        yield maker.listener(kind, "shared port", address=address, number=number, reuse_port=True)


def multicast(maker: Maker) -> Iterator[_Handle]:
    if maker.chosen.random() < 0.5:
        made = udp("224.0.0.251", 5353, reuse_address=True)
        yield _Handle(made, Made("multicast", "udp", "ipv4", "224.0.0.251", 5353, listens=True, cgroup=maker.cgroup))
        return
    made = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("ff02::fb", 5353, 0, _LOOPBACK_INDEX))
    yield _Handle(
        made, Made("multicast", "udp", "ipv6", "ff02::fb", 5353, listens=True, interface="lo", cgroup=maker.cgroup)
    )


def udp_after_sending(maker: Maker) -> Iterator[_Handle]:
    """A socket with a port assigned by sendto(), which receives from any sender."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.sendto(b"", ("127.0.0.1", 9))
    number = made.getsockname()[1]
    yield _Handle(made, Made("udp sender", "udp", "ipv4", "0.0.0.0", number, listens=True, cgroup=maker.cgroup))


def udp_disconnected(maker: Maker) -> Iterator[_Handle]:
    """A socket that was connected (connect(2): AF_UNSPEC dissolves the association and the interface)."""
    address = maker.chosen.choice(("127.0.0.1", "0.0.0.0"))
    handle = maker.listener(udp, "udp, disconnected", address=address, device="")
    handle.socket.connect(("127.0.0.1", 9))
    _dissolve(handle.socket)
    yield handle


# --- recipes: other sockets -----------------------------------------------------------------------------------------


def connected_udp(maker: Maker) -> Iterator[_Handle]:
    made = udp(maker.chosen.choice(("127.0.0.1", "127.0.0.2")), maker.port())
    made.connect(("127.0.0.1", 9))
    yield maker.noise(made, "connected udp")


def udp_without_port(_: Maker) -> Iterator[_Handle]:
    yield _Handle(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), None)


def bound_tcp(maker: Maker) -> Iterator[_Handle]:
    yield maker.noise(bound(maker.chosen.choice(("127.0.0.1", "0.0.0.0", "::1")), maker.port()), "bound tcp")


def deaf_tcp(maker: Maker) -> Iterator[_Handle]:
    """A listener after shutdown(), which keeps its port and does not listen."""
    made = tcp("127.0.0.1", maker.port())
    made.shutdown(socket.SHUT_RDWR)
    yield maker.noise(made, "bound tcp")


def connection(maker: Maker) -> Iterator[_Handle]:
    """Both ends of a connection in a random state; its listener is closed."""
    address = maker.chosen.choice(("127.0.0.1", "::1"))
    server = tcp(address, maker.port(), reuse_address=True)
    client = socket.create_connection(server.getsockname()[:2])
    accepted, _ = server.accept()
    end = maker.chosen.choice(("both", "time-wait", "close-wait"))
    server.close()
    if end == "time-wait":
        accepted.close()
        client.close()
        return
    yield maker.noise(client, "connection")
    if end == "close-wait":
        accepted.close()
    else:
        yield maker.noise(accepted, "connection")


def unix(maker: Maker) -> Iterator[_Handle]:
    made = socket.socket(socket.AF_UNIX, maker.chosen.choice((socket.SOCK_STREAM, socket.SOCK_DGRAM)))
    made.bind(f"\0portrange-{maker.chosen.random()}")
    if made.type == socket.SOCK_STREAM:
        made.listen()
    yield _Handle(made, None)


def other_families(maker: Maker) -> Iterator[_Handle]:
    family, kind, protocol = maker.chosen.choice(
        (
            (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
            (socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_UDP),
            (socket.AF_PACKET, socket.SOCK_DGRAM, 0),
            (socket.AF_NETLINK, socket.SOCK_RAW, 0),
        )
    )
    yield _Handle(socket.socket(family, kind, protocol), None)


def udplite(maker: Maker) -> Iterator[_Handle]:
    """A UDP-Lite socket, whose ports are separate from those of UDP."""
    yield _Handle(bound("127.0.0.1", maker.port(), socket.SOCK_DGRAM, protocol=_UDPLITE), None)


def _dissolve(made: socket.socket) -> None:
    import ctypes

    address = struct.pack("=H14x", socket.AF_UNSPEC)
    if ctypes.CDLL(None, use_errno=True).connect(made.fileno(), address, len(address)) != 0:
        raise OSError(ctypes.get_errno(), "connect(AF_UNSPEC)")


#: The recipes and their relative frequencies.
_RECIPES: dict[Callable[[Maker], Iterator[_Handle]], int] = {
    plain_tcp: 12,
    plain_udp: 9,
    multipath: 2,
    shared_port: 3,
    multicast: 1,
    udp_after_sending: 1,
    udp_disconnected: 1,
    connected_udp: 2,
    udp_without_port: 1,
    bound_tcp: 3,
    deaf_tcp: 1,
    connection: 3,
    unix: 2,
    other_families: 1,
    udplite: 1,
}


# --- the processes of a world ---------------------------------------------------------------------------------------


def populate(seed: int, groups: list[tuple[str, str]], away: socket.socket) -> list[Made]:
    """Create the sockets and processes of a world, which last until it ends, and return their descriptions.

    `groups` are directories and paths of cgroups. Sockets sent through `away` are owned by a process outside the world.
    """
    chosen = random.Random(seed)
    maker = Maker(chosen)
    handles: list[_Handle] = []
    for directory, path in (("", "/"), *chosen.sample(groups, k=chosen.randint(0, len(groups)))):
        if directory:
            join_cgroup(directory)
        maker.cgroup = path
        for _ in range(chosen.randint(1, 8)):
            handles.extend(maker.some())
    for _ in range(chosen.randint(0, 3)):
        _fork_worker(chosen, handles, groups, maker)
    _keep_some(chosen, handles, away, maker)
    return [handle.made for handle in handles if handle.made is not None]


def _fork_worker(chosen: random.Random, handles: list[_Handle], groups: list[tuple[str, str]], maker: Maker) -> None:
    """Fork a process that keeps some of the sockets and may change its cgroup or execute another program."""
    kept = [handle for handle in handles if chosen.random() < 0.5]
    moves_to = chosen.choice(groups) if groups and chosen.random() < 0.3 else None
    becomes_another = chosen.random() < 0.3
    name = "sleep" if becomes_another else f"worker {chosen.randrange(1000)}{chosen.choice(('', ')', '('))}"
    ready, report = os.pipe()
    pid = os.fork()
    if pid == 0:
        if moves_to is not None:
            join_cgroup(moves_to[0])
        for handle in handles:
            if handle not in kept:
                os.close(handle.socket.fileno())
            elif becomes_another:
                handle.socket.set_inheritable(True)
        if becomes_another:
            os.execv("/bin/sleep", ["sleep", "1000"])
        with open("/proc/self/comm", "w", encoding="ascii") as file:
            file.write(name)
        os.close(report)
        signal.pause()
        os._exit(0)
    os.close(report)
    os.read(ready, 1)
    os.close(ready)
    group = maker.cgroup if moves_to is None else moves_to[1]
    for handle in kept:
        if handle.made is not None:
            handle.made.owners[pid] = name
            if group == handle.made.cgroup != "/":
                handle.made.neighbours.append(pid)


def _keep_some(chosen: random.Random, handles: list[_Handle], away: socket.socket, maker: Maker) -> None:
    """Close some sockets of the maker; the remaining owner of some of them is invisible or missing."""
    with open("/proc/self/comm", encoding="ascii") as file:
        name = file.read().rstrip("\n")
    for handle in handles:
        fate = chosen.random()
        made = handle.made
        if made is not None and fate < 0.4 and made.owners:
            handle.socket.close()
        elif made is not None and fate < 0.45:
            # In transfer to a receiver that never reads it (unix(7), SCM_RIGHTS).
            pair = socket.socketpair()
            socket.send_fds(pair[0], [b"x"], [handle.socket.fileno()])
            handle.kept += pair
            handle.socket.close()
        elif made is not None and fate < 0.5:
            socket.send_fds(away, [b"x"], [handle.socket.fileno()])
            away.recv(1)
            handle.socket.close()
        else:
            if fate > 0.9:
                os.dup(handle.socket.fileno())
            if made is not None:
                made.owners[os.getpid()] = name
                if maker.cgroup == made.cgroup != "/":
                    made.neighbours.append(os.getpid())
    _kept.append(handles)


#: References that keep the sockets open.
_kept: list[list[_Handle]] = []


def in_a_world(seed: int, groups: list[tuple[str, str]], then: Callable[[list[Made]], object]) -> None:
    """Create a world, call `then` with its sockets inside it, and end the world.

    Runs in a child process, so that the namespaces of the caller do not change. Raises `ChildProcessError` on failure.
    """
    pid = os.fork()
    if pid:
        _, status = os.waitpid(pid, 0)
        if status:
            raise ChildProcessError(f"the world of seed {seed} ended with status {status}")
        return
    try:
        new_network()
        new_mounts()
        unshare(CLONE_NEWPID)
        outer, inner = socket.socketpair()
        first = os.fork()
        if first == 0:
            outer.close()
            mount_proc()
            _as_first(seed, groups, inner, then)
        inner.close()
        kept = []
        while True:
            message, descriptors, _, _ = socket.recv_fds(outer, 1, 1)
            if not message:
                break
            kept += descriptors
            outer.send(b"x")
        _, status = os.waitpid(first, 0)
        os._exit(1 if status else 0)
    except BaseException:  # noqa: BLE001 - a child must never go on with its parent's program
        _print_traceback()
        os._exit(1)


def _as_first(
    seed: int, groups: list[tuple[str, str]], away: socket.socket, then: Callable[[list[Made]], object]
) -> None:
    """As process 1: create the world, or let a child create it; all of its processes end with process 1."""
    if seed % 2:
        maker = os.fork()
        if maker:
            away.close()
            _, status = os.waitpid(maker, 0)
            os._exit(1 if status else 0)
    try:
        then(populate(seed, groups, away))
        os._exit(0)
    except BaseException:  # noqa: BLE001 - as above
        _print_traceback()
        os._exit(1)


def _print_traceback() -> None:
    import traceback

    traceback.print_exc()


def as_plain(made: list[Made]) -> list[dict[str, Any]]:
    """Convert to JSON-compatible values, with `owners` as pairs because JSON keys are strings."""
    return [{**asdict(entry), "owners": sorted(entry.owners.items())} for entry in made]
