"""Which network namespaces there are (namespaces(7)): each one that a visible process is in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from ..._errors import ParseError, SourceError
from . import processes

if TYPE_CHECKING:
    from ..._host import Host

T = TypeVar("T")


class Namespace(NamedTuple):
    """A network namespace: its name, such as ``net:[4026531840]``, and the directories of its members.

    What may be inspected, and so entered, is the first of them.
    """

    name: str
    members: list[str]


def find_all(host: Host) -> tuple[list[Namespace], list[str]]:
    """Every namespace once, and a sentence for each process whose own could not be told.

    The kernel tells anybody which processes share one (see `Host.network_identity`); its name needs the rights to
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
            member = _member(host, pid)
        except OSError as error:
            gaps.append(f"the network namespace of process {pid} ({error.strerror or error})")
            continue
        if member is not None:
            members.setdefault(member[0], []).append(member[1])
    return [_namespace(host, there) for there in members.values()], gaps


def _member(host: Host, pid: int) -> tuple[int, str] | None:
    """The namespace that a process is in, as a number, and a directory to enter it by; None where it is gone."""
    directory = f"{host.procfs}/{pid}"
    try:
        return host.network_identity(directory), directory
    except (FileNotFoundError, ProcessLookupError):
        pass  # ended meanwhile, or a zombie, which has left its namespace: its threads may still be in it
    for thread in processes.surviving_threads(host, pid):
        try:
            return host.network_identity(f"{directory}/task/{thread}"), f"{directory}/task/{thread}"
        except (FileNotFoundError, ProcessLookupError):
            continue
    return None


def look_from(host: Host, space: Namespace, look: Callable[[Host], T]) -> tuple[Host, T] | None:
    """`look` at the host as seen from a namespace, and that view of it; None where its last process has ended."""
    for member in space.members:
        there = host.in_network(member)
        try:
            return there, look(there)
        except (ParseError, SourceError):
            # A namespace is entered by way of one of its processes, which may end at any time.
            if not _has_ended(host, member):
                raise
    return None


def _has_ended(host: Host, member: str) -> bool:
    try:
        host.network_identity(member)
    except (FileNotFoundError, ProcessLookupError):
        return True
    except OSError:
        return False
    return False


def _namespace(host: Host, members: list[str]) -> Namespace:
    """A namespace, named by the first of its members that may be inspected."""
    for place, directory in enumerate(members):
        try:
            name = host.read_link(f"{directory}/ns/net")
        except OSError:
            continue
        return Namespace(name, [directory, *members[:place], *members[place + 1 :]])
    return Namespace(f"of process {members[0].split('/')[-1]}", members)
