"""Which network namespaces there are (namespaces(7)): each that a visible thread is in, or that a mount keeps.

A mount keeps a namespace that nobody is in, as ``ip netns add`` makes one. Those that the caller's mounts show are
found. Not found are those that only a descriptor keeps, or a mount that only other mount namespaces have.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from ..._errors import ParseError, SourceError
from . import processes
from .mounts import mounts_of

if TYPE_CHECKING:
    from ..._host import Host

T = TypeVar("T")

#: What is mounted where a mount keeps a network namespace (ns_get_name, fs/nsfs.c).
_NETWORK = re.compile(r"net:\[\d+\]")


class Namespace(NamedTuple):
    """A network namespace: its name, such as ``net:[4026531840]``, and the directories of its members.

    What may be inspected, and so entered, is the first of them. A member is a process, or a thread that is in another
    namespace than the first one of its program. `identity` tells namespaces apart (`Host.network_identity`). `mount` is
    where it is mounted, if it is: the way in where there are no members, or none any more.
    """

    name: str
    identity: int
    members: list[str]
    mount: str | None = None


def find_all(host: Host) -> tuple[list[Namespace], list[str]]:
    """Every namespace once, and a sentence for each process whose own could not be told, and each that no way leads to.

    The kernel tells anybody which threads share one (see `Host.network_identity`); its name needs the rights to
    inspect a process of it, and is "of process PID" without them.
    """
    members: dict[int, list[str]] = {}
    gaps: list[str] = []
    shown = processes.pids(host)
    if shown is None:
        raise SourceError(host.procfs, "shows no processes, by which network namespaces are found; mount procfs there")
    if processes.hides_others(host, shown):
        gaps.append("the network namespaces of processes that procfs keeps out of sight (hidepid)")
    for pid in shown:
        try:
            for identity, directory in _members(host, pid):
                members.setdefault(identity, []).append(directory)
        except OSError as error:
            gaps.append(f"the network namespace of process {pid} ({error.strerror or error})")
    spaces = {identity: _namespace(host, identity, there) for identity, there in members.items()}
    _add_mounted(host, spaces, gaps)
    return list(spaces.values()), gaps


def _add_mounted(host: Host, spaces: dict[int, Namespace], gaps: list[str]) -> None:
    """Add the namespaces that mounts keep to those of processes, by identity; and the mounts of those that are both."""
    try:
        mounted = _mounted(host)
    except OSError as error:
        gaps.append(f"the network namespaces that mounts keep ({error.strerror or error})")
        return
    identities = {space.name: space.identity for space in spaces.values()}
    for name, points in mounted.items():
        way = (points[0], identities[name]) if name in identities else None
        refusals: list[str] = []
        for point in points if way is None else ():
            try:
                inside = _look_inside(host, point)
            except SourceError as error:
                refusals.append(str(error))
                continue
            if inside[0] == name:
                way = (point, inside[1])
                break
            refusals.append(f"{point}: something else is mounted over it")
        if way is None:
            gaps.append(f"network namespace {name}, which no process is known to be in ({'; '.join(refusals)})")
            continue
        # One of processes that may not be inspected gets its name by this.
        space = spaces.get(way[1], Namespace(name, way[1], []))
        spaces[way[1]] = space._replace(name=name, mount=way[0])


def _mounted(host: Host) -> dict[str, list[str]]:
    """The namespaces that are mounted, by name, and where: as the caller sees it, or process 1 of another procfs."""
    root = "" if host.procfs == "/proc" else f"{host.procfs}/1/root"
    found: dict[str, list[str]] = {}
    for mount in mounts_of(host, f"{host.procfs}/{1 if root else 'self'}"):
        if _NETWORK.fullmatch(mount.root):
            found.setdefault(mount.root, []).append(root + mount.point)
    return found


def _look_inside(host: Host, point: str) -> tuple[str, int]:
    """The name and the identity of the namespace that is mounted somewhere, both as seen from inside."""
    thread = f"{host.procfs}/thread-self"
    try:
        return host.in_network(point).within_network(
            lambda: (host.read_link(f"{thread}/ns/net"), host.network_identity(thread))
        )
    except SourceError:
        raise
    except OSError as error:
        raise SourceError.from_os_error(point, error) from error


def _members(host: Host, pid: int) -> Iterator[tuple[int, str]]:
    """Each namespace that a thread of a process is in, as a number, and a directory to enter it by."""
    directory = f"{host.procfs}/{pid}"
    first = _identity(host, directory)
    known = {first}
    if first is not None:
        yield first, directory
    for thread in processes.further_threads(host, pid):
        place = f"{directory}/task/{thread}"
        identity = _identity(host, place)
        if identity is not None and identity not in known:
            known.add(identity)
            yield identity, place


def _identity(host: Host, directory: str) -> int | None:
    """The number of the namespace there; None where who was in it is gone, or a zombie, which has left it."""
    try:
        return host.network_identity(directory)
    except (FileNotFoundError, ProcessLookupError):
        return None


def look_from(host: Host, space: Namespace, look: Callable[[Host], T]) -> tuple[Host, T] | None:
    """`look` at the host as seen from a namespace, and that view of it; None where its last process has ended.

    A namespace is entered by way of one of its processes, which may end at any time, and whose number may then come
    to mean a process in another namespace. What was seen counts if it is still there after. Then the mount is left:
    whoever is inside by way of that stays there.
    """
    for member in space.members:
        there = host.in_network(member, space.identity)
        try:
            seen = look(there)
        except (ParseError, SourceError):
            if _is_there(host, member, space):
                raise
        else:
            if _is_there(host, member, space):
                return there, seen
    if space.mount is None:
        return None
    there = host.in_network(space.mount, space.identity)
    # Procfs shows the tables of a namespace without processes only to who is inside.
    inside = host.in_network(f"{host.procfs}/thread-self", space.identity)
    try:
        return there, there.within_network(lambda: look(inside))
    except (ParseError, SourceError):
        if _is_mounted(host, space):
            raise
    return None


def _is_mounted(host: Host, space: Namespace) -> bool:
    """Whether the mount of a namespace is still there, as far as that can be told."""
    try:
        return space.mount in _mounted(host).get(space.name, ())
    except OSError:
        return True


def _is_there(host: Host, member: str, space: Namespace) -> bool:
    """Whether a member is still in the namespace."""
    try:
        return _identity(host, member) == space.identity
    except OSError as error:
        raise SourceError.from_os_error(member, error) from error


def own(host: Host) -> str:
    """The directory in which ``net`` is the network of the calling thread: that of procfs itself, if it is.

    ``/proc/net`` is that of the program's first thread, whose number is that of the program; another one may have
    entered another network. Kernels before 3.17 have no link to the calling thread.
    """
    native: Callable[[], int] | None = getattr(threading, "get_native_id", None)
    if native is not None and native() == os.getpid():
        return host.procfs
    thread = f"{host.procfs}/thread-self"
    try:
        network, shown = _identity(host, thread), _identity(host, f"{host.procfs}/self")
    except OSError:
        return thread
    return host.procfs if network in (None, shown) else thread


def _namespace(host: Host, identity: int, members: list[str]) -> Namespace:
    """A namespace, named by the first of its members that may be inspected."""
    for place, directory in enumerate(members):
        try:
            name = host.read_link(f"{directory}/ns/net")
        except OSError:
            continue
        return Namespace(name, identity, [directory, *members[:place], *members[place + 1 :]])
    *_, kind, number = members[0].split("/")
    return Namespace(f"of {'thread' if kind == 'task' else 'process'} {number}", identity, members)
