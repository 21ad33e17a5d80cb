"""The program behind `BusyHost`, which builds a busy host and keeps it until standard input ends.

    python -S host_builder.py SHAPE        the shape as JSON; prints one line of JSON

It imports little, because every worker is a fork of it.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import resource
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from itertools import cycle

from host_plan import CONNECTIONS_OF_A_PROXY, FIRST_PORT, Job, Shape, plan

_BACKLOG = 4_096
#: Descriptors that a process needs for itself: standard streams, pipes, hubs.
_SPARE_DESCRIPTORS = 100
#: A failed worker leaves another one waiting for its connection.
_HUB_SECONDS = 60.0


def build(shape: Shape) -> None:
    """Build the host, print its description, wait for the end of standard input, and remove the host."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    _raise_descriptor_limit(max(shape.descriptors, 2 * min(shape.connections, CONNECTIONS_OF_A_PROXY)))
    tree = CgroupTree()
    pids: list[int] = []
    try:
        tree.make(shape.cgroups)
        jobs = plan(shape, len(tree.groups), ipv6=os.path.exists("/proc/net/if_inet6"))
        if any(job.group == len(tree.groups) for job in jobs):
            tree.add()
        hubs = [_hub() for _ in range(shape.hubs)]
        shared = [tree.listen_for_unit()] if shape.socket_units and tree.groups else []
        release, keep = os.pipe()
        reports, report = os.pipe()
        # A fork copies pages that are written later: prevent the collector from touching every object.
        gc.disable()
        gc.freeze()
        jobs = [Job(None, (), 0, 0, 0)] * len(shared) + jobs  # the service manager
        for index, job in enumerate(jobs):
            pid = os.fork()
            if pid == 0:
                for descriptor in (keep, reports):
                    os.close(descriptor)
                _keep_shared(shared, index, tree.manager)
                _work(job, tree.groups, hubs, release, report)
            pids.append(pid)
        os.close(report)
        services = list(_gather(reports, len(jobs)))
        services += [_described(listener, pid) for listener in shared for pid in pids[:2]]
        for listener in (*hubs, *shared):
            listener.close()
        print(
            json.dumps(
                {
                    "services": sorted(services, key=lambda service: service[2]),
                    "pids": pids,
                    "cgroups": len(tree.groups),
                    "why_no_cgroups": tree.why_none,
                }
            ),
            flush=True,
        )
        sys.stdin.read()
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for pid in pids:
            os.waitpid(pid, 0)
        tree.remove()


def _keep_shared(shared: list[socket.socket], index: int, manager: str) -> None:
    """Make the first of the processes that share a listener a service manager; the third and later ones close it."""
    for listener in shared:
        if index > 1:
            listener.close()
        elif index == 0:
            join(manager)


def _described(listener: socket.socket, pid: int) -> tuple[str, str, int, int, int]:
    address, port = listener.getsockname()
    return "tcp", address, port, pid, os.fstat(listener.fileno()).st_ino


def _raise_descriptor_limit(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _SPARE_DESCRIPTORS
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, max(hard, needed)))


def _hub() -> socket.socket:
    hub = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
    hub.settimeout(_HUB_SECONDS)
    return hub


def _gather(reports: int, workers: int) -> Iterator[tuple[str, str, int, int, int]]:
    """Yield the listeners, one per line, until every worker has reported that it is ready."""
    ready = 0
    with open(reports, encoding="utf-8") as lines:
        for line in lines:
            report = json.loads(line)
            if report == "ready":
                ready += 1
                if ready == workers:
                    return
            elif isinstance(report, str):
                raise RuntimeError(f"a worker failed: {report}")
            else:
                yield tuple(report)
    raise RuntimeError(f"{workers - ready} workers ended before they were ready")


class CgroupTree:
    """A slice below the cgroup2 mount that contains numbered services."""

    def __init__(self) -> None:
        self.groups: list[str] = []
        self.why_none = ""
        self.manager = ""
        self._units: list[str] = []
        self._top: str | None = None

    def make(self, count: int) -> None:
        """Create the services, or set `why_none` to the reason why they cannot be created."""
        if not count:
            return
        mount = _cgroup2_mount()
        if mount is None:
            self.why_none = "cgroup2 is not mounted"
            return
        top = f"{mount}/portrange-busy-{os.getpid()}.slice"
        try:
            os.mkdir(top)
        except OSError as error:
            self.why_none = f"{mount}: {error.strerror}"
            return
        self._top = top
        for _ in range(count):
            self.add()

    def add(self) -> None:
        group = f"{self._top}/busy-{len(self.groups)}.service"
        os.mkdir(group)
        self.groups.append(group)

    def listen_for_unit(self) -> socket.socket:
        """Return a listener that was created in the group of a socket unit, that of the first service."""
        assert self._top is not None
        own = _own_group()
        self.manager, unit = f"{self._top}/init.scope", self.groups[0].replace(".service", ".socket")
        self._units = [self.manager, unit]
        for directory in self._units:
            os.mkdir(directory)
        join(unit)
        listener = _listen("tcp", "127.0.0.1", FIRST_PORT - 2)
        join(own)
        return listener

    def remove(self) -> None:
        for directory in (*self.groups, *self._units, *filter(None, (self._top,))):
            _remove_group(directory)


def _remove_group(directory: str) -> None:
    # A reaped process may keep the cgroup busy briefly.
    for _ in range(100):
        try:
            return os.rmdir(directory)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            time.sleep(0.05)
    raise RuntimeError(f"{directory} is still in use")


def _cgroup2_mount() -> str | None:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            before, _, after = line.partition(" - ")
            if after.startswith("cgroup2 "):
                return before.split(" ")[4]
    return None


def _own_group() -> str:
    """Return the directory of the cgroup of this process."""
    with open("/proc/self/cgroup", encoding="utf-8") as lines:
        path = next(line.partition("::")[2].strip() for line in lines if line.startswith("0::"))
    return f"{_cgroup2_mount()}{path.rstrip('/')}"


def join(group: str) -> None:
    with open(f"{group}/cgroup.procs", "w", encoding="ascii") as file:
        file.write("0\n")


# --- worker processes ------------------------------------------------------------------------------------------


def _work(job: Job, groups: list[str], hubs: list[socket.socket], release: int, report: int) -> None:
    """Set up the job, report it, and wait until the builder has ended. Never returns."""
    try:
        kept = _become(job, groups, hubs, report)
        os.write(report, b'"ready"\n')
        os.close(report)
        os.read(release, 1)
        del kept
    except BaseException as error:  # noqa: BLE001 - a child must never return to the builder's code
        os.write(report, (json.dumps(str(error)) + "\n").encode())
    finally:
        os._exit(0)


def _become(job: Job, groups: list[str], hubs: list[socket.socket], report: int) -> list[socket.socket]:
    null = os.open("/dev/null", os.O_RDWR)
    for stream in (0, 1):
        os.dup2(null, stream)
    if job.group is not None:
        # Before any socket is created, because a socket keeps the cgroup of its creation.
        join(groups[job.group])
    kept: list[socket.socket] = []
    for protocol, address, port in job.services:
        listener = _listen(protocol, address, port)
        kept.append(listener)
        service = (protocol, address, port, os.getpid(), os.fstat(listener.fileno()).st_ino)
        os.write(report, (json.dumps(service) + "\n").encode())
    kept += connect(hubs[job.hub], job.connections) if job.connections else []
    for hub in hubs:
        hub.close()
    _fill(job.descriptors, null)
    return kept


def _listen(protocol: str, address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM)
    made.bind((address, port))
    if protocol == "tcp":
        made.listen()
    return made


def connect(hub: socket.socket, count: int) -> list[socket.socket]:
    """Open *count* connections to the hub and accept as many, which may be those of another worker."""
    ends: list[socket.socket] = []
    for _ in range(count):
        client = socket.create_connection(hub.getsockname())
        server, _ = hub.accept()
        for end in (client, server):
            # Reset on close, so that no TIME_WAIT socket disturbs the next measurement.
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        ends += (client, server)
    return ends


def _fill(descriptors: int, null: int) -> None:
    """Open files, pipes and Unix sockets until there are this many descriptors in all."""
    # Minus two: the descriptor of the listing, and the report pipe, which is closed next.
    missing = descriptors - (len(os.listdir("/proc/self/fd")) - 2)
    for kind in cycle(("null", "file", "pipe", "unix")):
        if missing <= 0:
            return
        if kind == "pipe" and missing >= 2:
            os.pipe()
            missing -= 2
        elif kind == "unix" and missing >= 2:
            for end in socket.socketpair():
                end.detach()
            missing -= 2
        else:
            os.open(__file__, os.O_RDONLY) if kind == "file" else os.dup(null)
            missing -= 1


if __name__ == "__main__":
    build(Shape(**json.loads(sys.argv[1])))
