"""The network namespaces of this machine (namespaces(7)): those of visible threads, and those that are mounted.

A mount keeps a namespace without threads, as ``ip netns add`` creates it. Namespaces that only a descriptor keeps, or a
mount in another mount namespace, are not found.
"""

from __future__ import annotations

from ..._errors import ParseError, SourceError
from ..._frozen import Frozen, replace
from . import procfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, TypeVar

    from ..._host.system import System

    T = TypeVar("T")


class Namespace(Frozen):
    """A network namespace."""

    name: str
    """Its name, such as ``net:[4026531840]``; "of process PID" if no process in it can be inspected."""
    identity: int
    """Its `System.identity_of`."""
    members: list[str]
    """The directories of processes in it, or of threads that left the namespace of their process.

    The first is one that can be inspected, and so entered, if there is one.
    """
    mount: str | None = None
    """Where it is mounted, if it is: the way to enter it if it has no members any more."""


def find_all(system: System) -> tuple[list[Namespace], list[str]]:
    """Return each namespace once, and a message for each process or namespace that could not be read.

    Every user can read which threads share a namespace (see `System.identity_of`); its name requires permission to
    inspect a process in it. Raises `SourceError` if procfs lists no processes.
    """
    members: dict[int, list[str]] = {}
    incomplete: list[str] = []
    shown = procfs.pids(system)
    if shown is None:
        raise SourceError(system.procfs, "no processes found, so network namespaces are unknown; mount procfs there")
    if procfs.hides_others(system, shown):
        incomplete.append("network namespaces of processes that procfs hides (hidepid)")
    for pid in shown:
        try:
            for identity, directory in _namespaces_of(system, pid):
                members.setdefault(identity, []).append(directory)
        except OSError as error:
            incomplete.append(f"network namespace of process {pid} ({error.strerror or error})")
    found = {identity: _namespace(system, identity, directories) for identity, directories in members.items()}
    _add_mounted(system, found, incomplete)
    return list(found.values()), incomplete


def _namespaces_of(system: System, pid: int) -> Iterator[tuple[int, str]]:
    """Yield the identity of each namespace that a thread of a process is in, and a directory to enter it."""
    directory = f"{system.procfs}/{pid}"
    identity = _identity(system, directory)
    known = {identity}
    if identity is not None:
        yield identity, directory
    for thread in procfs.further_threads(system, pid):
        task = f"{directory}/task/{thread}"
        identity = _identity(system, task)
        if identity is not None and identity not in known:
            known.add(identity)
            yield identity, task


def _identity(system: System, directory: str) -> int | None:
    """Return the identity of the namespace of a thread; None if the thread has ended or is a zombie."""
    try:
        return system.identity_of(directory)
    except (FileNotFoundError, ProcessLookupError):
        return None


def _namespace(system: System, identity: int, members: list[str]) -> Namespace:
    """Return a namespace with the name that the first member that can be inspected shows."""
    for index, directory in enumerate(members):
        try:
            name = system.read_link(f"{directory}/ns/net")
        except OSError:
            continue
        return Namespace(name, identity, [directory, *members[:index], *members[index + 1 :]])
    *_, kind, number = members[0].split("/")
    return Namespace(f"of {'thread' if kind == 'task' else 'process'} {number}", identity, members)


# --- mounted namespaces ----------------------------------------------------------------------------------------------


def _add_mounted(system: System, found: dict[int, Namespace], incomplete: list[str]) -> None:
    """Add mounted namespaces to those of processes, by identity, and the mounts to namespaces that have both."""
    try:
        mounted = _mounted(system)
    except OSError as error:
        incomplete.append(f"mounted network namespaces ({error.strerror or error})")
        return
    identities = {namespace.name: namespace.identity for namespace in found.values()}
    for name, points in mounted.items():
        mount = (points[0], identities[name]) if name in identities else None
        failures: list[str] = []
        for point in points if mount is None else ():
            try:
                actual, identity = _name_and_identity(system, point)
            except SourceError as error:
                failures.append(str(error))
                continue
            if actual == name:
                mount = (point, identity)
                break
            failures.append(f"{point}: another file system is mounted over it")
        if mount is None:
            incomplete.append(f"network namespace {name} without a visible process ({'; '.join(failures)})")
            continue
        # A namespace whose processes cannot be inspected gets its name here.
        namespace = found.get(mount[1], Namespace(name, mount[1], []))
        found[mount[1]] = replace(namespace, name=name, mount=mount[0])


def _mounted(system: System) -> dict[str, list[str]]:
    """Return the mount points of namespaces, by name, as the caller sees them, or process 1 of another procfs."""
    root = "" if system.procfs == "/proc" else f"{system.procfs}/1/root"
    found: dict[str, list[str]] = {}
    for mount in procfs.mounts_of(system, f"{system.procfs}/{1 if root else 'self'}"):
        # The root of such a mount is "net:[4026531840]" (ns_get_name, fs/nsfs.c).
        if mount.root.startswith("net:[") and mount.root.endswith("]") and mount.root[5:-1].isdecimal():
            found.setdefault(mount.root, []).append(root + mount.point)
    return found


def _name_and_identity(system: System, point: str) -> tuple[str, int]:
    """Return the name and the identity of the namespace that is mounted at *point*, as a thread in it reads them."""
    thread = f"{system.procfs}/thread-self"
    try:
        return system.in_network(point).within_network(
            lambda: (system.read_link(f"{thread}/ns/net"), system.identity_of(thread))
        )
    except SourceError:
        raise
    except OSError as error:
        raise SourceError.from_os_error(point, error) from error


def labels(system: System) -> dict[str, str]:
    """Return short texts for namespaces: "own" for the caller's, and the file name for those that are mounted.

    ``ip netns add`` mounts a namespace at ``/run/netns/NAME``. What cannot be read is left out.
    """
    found: dict[str, str] = {}
    try:
        mounted = _mounted(system)
    except OSError:
        mounted = {}
    for name, points in mounted.items():
        found[name] = min(points, key=lambda point: "/netns/" not in point).rpartition("/")[2]
    directory = system.network or f"{system.procfs}/self"
    try:
        found[system.read_link(f"{directory}/ns/net")] = "own"
    except OSError:
        pass
    return found


# --- queries in a namespace ------------------------------------------------------------------------------------------


def call_in(system: System, namespace: Namespace, function: Callable[..., T], *args: Any) -> tuple[System, T] | None:
    """Return the system as seen from a namespace, and ``function(system, *args)``; None if the namespace has ended.

    A namespace is entered through one of its processes, which may end at any time, and whose pid may then be reused in
    another namespace. The result is valid if the process is still in the namespace afterwards. If all have ended, the
    namespace is entered through its mount, which keeps a thread there.
    """
    for member in namespace.members:
        inside = system.in_network(member, namespace.identity)
        try:
            result = function(inside, *args)
        except (ParseError, SourceError):
            if _is_member(system, member, namespace):
                raise
        else:
            if _is_member(system, member, namespace):
                return inside, result
    if namespace.mount is None:
        return None
    entered = system.in_network(namespace.mount, namespace.identity)
    # Procfs shows the tables of a namespace without processes only to threads in it.
    own = system.in_network(f"{system.procfs}/thread-self", namespace.identity)
    try:
        return entered, entered.within_network(function, own, *args)
    except (ParseError, SourceError):
        if _is_mounted(system, namespace):
            raise
    return None


def _is_member(system: System, directory: str, namespace: Namespace) -> bool:
    """Return whether a process or thread is still in the namespace."""
    try:
        return _identity(system, directory) == namespace.identity
    except OSError as error:
        raise SourceError.from_os_error(directory, error) from error


def _is_mounted(system: System, namespace: Namespace) -> bool:
    """Return whether the mount of a namespace still exists; True if that cannot be read."""
    try:
        return namespace.mount in _mounted(system).get(namespace.name, ())
    except OSError:
        return True
