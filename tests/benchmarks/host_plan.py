"""How busy a host is to be, and what follows for each of its processes. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle

#: The first listener's port: far below the ephemeral pool, in a namespace that nobody else uses.
FIRST_PORT = 10_001
#: In turn: what a listener of a busy host looks like.
_LISTENER_KINDS = (("tcp", "0.0.0.0"), ("tcp", "127.0.0.1"), ("tcp", "::"), ("udp", "0.0.0.0"))
#: Ends of connections are at most this share of a worker's descriptors; the others are files, pipes and Unix sockets.
_CONNECTED_SHARE = 0.8
#: Connections that the workers' descriptors have no room for are held by proxies, this many by each.
CONNECTIONS_OF_A_PROXY = 5_000
#: Connections to one port: the client side has about 28,000 ports for them.
_CONNECTIONS_OF_A_HUB = 10_000


@dataclass(frozen=True)
class Shape:
    """How busy: each worker has `descriptors` open; `cgroups` 0 leaves everything in the caller's own."""

    processes: int = 500
    descriptors: int = 100
    cgroups: int = 200
    listeners: int = 20
    connections: int = 20_000

    @property
    def hubs(self) -> int:
        """How many ports the connections go to: the client side has a limited number of ports for each."""
        return self.connections // _CONNECTIONS_OF_A_HUB + 1


@dataclass(frozen=True)
class Job:
    """What one worker is to be: `group` is the number of its cgroup, `hub` the number of the port it connects to."""

    group: int | None
    services: tuple[tuple[str, str, int], ...]
    connections: int
    hub: int
    descriptors: int


def plan(shape: Shape, cgroups: int, *, ipv6: bool = True) -> list[Job]:
    """The workers, then the proxies. Worker i is in cgroup i modulo `cgroups`; listeners are spread evenly."""
    kinds = [kind for kind in _LISTENER_KINDS if ipv6 or ":" not in kind[1]]
    services: dict[int, list[tuple[str, str, int]]] = {}
    places = min(cgroups, shape.processes) or shape.processes
    for number, kind in zip(range(shape.listeners), cycle(kinds), strict=False):
        # The first worker of every n-th cgroup; without cgroups, every n-th worker.
        services.setdefault(number * places // shape.listeners, []).append((*kind, FIRST_PORT + number))
    room = int(shape.descriptors * _CONNECTED_SHARE) // 2
    of_workers = min(shape.connections, room * shape.processes)
    jobs = [
        Job(
            group=index % cgroups if cgroups else None,
            services=tuple(services.get(index, ())),
            connections=of_workers // shape.processes + (index < of_workers % shape.processes),
            hub=index % shape.hubs,
            descriptors=shape.descriptors,
        )
        for index in range(shape.processes)
    ]
    left = shape.connections - of_workers
    while left > 0:
        # Proxies share one cgroup more, so that no service's grows with the number of connections.
        mine = min(left, CONNECTIONS_OF_A_PROXY)
        jobs.append(Job(cgroups or None, (), mine, len(jobs) % shape.hubs, 0))
        left -= mine
    return jobs
