"""Compute the job of each process of a busy host from its shape. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle

#: The port of the first listener: below the ephemeral range, in a namespace without other users.
FIRST_PORT = 10_001
#: Protocols and addresses that the listeners use in turn.
_LISTENER_KINDS = (("tcp", "0.0.0.0"), ("tcp", "127.0.0.1"), ("tcp", "::"), ("udp", "0.0.0.0"))
#: Maximum share of connections in the descriptors of a worker; the rest is files, pipes and Unix sockets.
_CONNECTED_SHARE = 0.8
#: Connections per proxy; proxies hold the connections that exceed the descriptors of the workers.
CONNECTIONS_OF_A_PROXY = 5_000
#: Connections per destination port; about 28,000 ephemeral ports are available for them.
_CONNECTIONS_OF_A_HUB = 10_000


@dataclass(frozen=True)
class Shape:
    """The size of a busy host. Each worker has `descriptors` open; with `cgroups` 0 all stay in that of the caller.

    With `socket_units` 1 there is one more listener: the first worker shares it with a service manager.
    """

    processes: int = 500
    descriptors: int = 100
    cgroups: int = 200
    listeners: int = 20
    connections: int = 20_000
    socket_units: int = 0

    @property
    def hubs(self) -> int:
        """The number of destination ports; the ephemeral range limits the connections to each."""
        return self.connections // _CONNECTIONS_OF_A_HUB + 1


@dataclass(frozen=True)
class Job:
    """The job of one worker: `group` is the index of its cgroup, `hub` that of the port it connects to."""

    group: int | None
    services: tuple[tuple[str, str, int], ...]
    connections: int
    hub: int
    descriptors: int


def plan(shape: Shape, cgroups: int, *, ipv6: bool = True) -> list[Job]:
    """Return the jobs of the workers, then of the proxies. Worker i is in cgroup i modulo `cgroups`."""
    kinds = [kind for kind in _LISTENER_KINDS if ipv6 or ":" not in kind[1]]
    services: dict[int, list[tuple[str, str, int]]] = {}
    slots = min(cgroups, shape.processes) or shape.processes
    for number, kind in zip(range(shape.listeners), cycle(kinds), strict=False):
        # The first worker of every n-th cgroup; without cgroups, every n-th worker.
        services.setdefault(number * slots // shape.listeners, []).append((*kind, FIRST_PORT + number))
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
        # Proxies share an additional cgroup, so that the others do not grow with the number of connections.
        share = min(left, CONNECTIONS_OF_A_PROXY)
        jobs.append(Job(cgroups or None, (), share, len(jobs) % shape.hubs, 0))
        left -= share
    return jobs
