"""A process and its descendants, and the sockets that they have open.

The children of a process are in /proc/PID/task/TID/children (proc_tid_children(5)), one file for each thread that
created processes. Kernels without CONFIG_PROC_CHILDREN lack these files; there the parents of all processes are read.
"""

from __future__ import annotations

from ..._answers.listener import Process
from ..._answers.span import parse_decimal
from ..._frozen import Frozen
from ..base import may_be_same
from . import procfs, sockets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..._host.system import System

#: How often the processes are listed, to inspect those that are started, or that a list omits, during the search.
_PASSES = 4
#: How many pids a reason lists.
_MOST_LISTED = 5
#: O_CLOEXEC in the flags of /proc/PID/fdinfo/N, which are octal. The kernel shows the generic number everywhere except
#: on Alpha, PA-RISC and SPARC.
_CLOEXEC = 0o2000000
_ENDED = frozenset("ZXx")
#: The end of a reason that does not apply if all network namespaces are queried.
OTHER_NAMESPACE = " in another network namespace: enter it (nsenter --net), or list all of them (--all-namespaces)"


class Tree(Frozen):
    """A process and its descendants."""

    pids: tuple[int, ...] = ()
    """The processes, the root first; none if the root has ended."""
    sockets: frozenset[str] = frozenset()
    """The sockets that they have open, as targets of links: ``socket:[INODE]``."""
    incomplete: tuple[str, ...] = ()
    """What could not be inspected."""


def running(system: System, wanted: Process) -> Process | None:
    """Return a process; None if it has ended, also if its parent has not waited for it (a zombie).

    A process that started at another time than *wanted* is another process, which has the same pid.
    """
    entry = procfs.ProcessReader(system).describe(wanted.pid)
    if entry is None or _has_ended(system, wanted.pid):
        return None
    return entry[0] if may_be_same(entry[0], wanted) else None


def read(system: System, root: Process) -> Tree:
    """Return the tree of processes below *root*, with their sockets."""
    if running(system, root) is None:
        return Tree(incomplete=(_why_missing(system, root.pid),))
    found: dict[int, set[str]] = {}
    refused: list[int] = []
    elsewhere: list[int] = []
    own_network = sockets.network_identity(system)
    for _ in range(_PASSES):
        new = [pid for pid in _descendants(system, root.pid) if pid not in found]
        for pid in new:
            found[pid] = set()
            try:
                found[pid] = _sockets_of(system, pid)
            except PermissionError:
                refused.append(pid)
            if own_network not in (None, _network(system, pid)):
                elsewhere.append(pid)
        # The kernel may skip a process in a list of children if another one ends while the list is read.
        if not new or len(found) == 1:
            break
    incomplete: list[str] = []
    if refused:
        incomplete.append(f"sockets of {_listed(refused)} (permission denied): run as its user, or as root")
    if elsewhere:
        incomplete.append(f"sockets of {_listed(elsewhere)}{OTHER_NAMESPACE}")
    return Tree(tuple(found), frozenset[str]().union(*found.values()), tuple(incomplete))


def inherited(system: System, pids: tuple[int, ...], targets: frozenset[str]) -> frozenset[str]:
    """Return the sockets among *targets* that the processes have only because the caller was forked.

    The caller has them open as well, and each of their descriptors has the flag FD_CLOEXEC: exec() would have closed
    it. A program that passes a socket to another one clears the flag.
    """
    try:
        if int(system.read_link(f"{system.procfs}/self")) in pids:
            return frozenset()
        shared = frozenset(system.find_links(f"{system.procfs}/self/fd", targets).values())
    except (OSError, ValueError):
        return frozenset()  # the caller is in another PID namespace
    kept: set[str] = set()
    for pid in pids if shared else ():
        directory = f"{system.procfs}/{pid}"
        try:
            links = system.find_links(f"{directory}/fd", shared)
            kept.update(target for name, target in links.items() if not _closes_on_exec(system, directory, name))
        except OSError:
            continue  # it has ended
    return shared - kept


def _closes_on_exec(system: System, directory: str, name: str) -> bool:
    lines = system.read(f"{directory}/fdinfo/{name}").decode("ascii", "replace").split("\n")
    flags = next((line.split()[1] for line in lines if line.startswith("flags:")), "0")
    return bool(int(flags, 8) & _CLOEXEC)


# --- processes -------------------------------------------------------------------------------------------------------


def _has_ended(system: System, pid: int) -> bool:
    """Return whether a process is a zombie, all of whose threads have ended."""
    try:
        state = procfs.read_stat(system, f"{system.procfs}/{pid}").state
    except PermissionError:
        return False
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in _ENDED and not procfs.surviving_threads(system, pid)


def _why_missing(system: System, pid: int) -> str:
    shown = procfs.pids(system) or []
    if pid not in shown and procfs.hides_others(system, shown):
        return f"process {pid} does not exist, or procfs hides it (hidepid); processes that it started are unknown"
    return f"process {pid} does not exist or has ended; processes that it started are unknown"


def _descendants(system: System, root: int) -> list[int]:
    """Return a process and its descendants, parents before their children."""
    found = {root: None}
    unread = [root]
    while unread:
        pid = unread.pop(0)
        children = _children(system, pid)
        if children is None:
            return _from_parents(system, root)
        new = [child for child in children if child not in found]
        found.update(dict.fromkeys(new))
        unread += new
    return list(found)


def _children(system: System, pid: int) -> list[int] | None:
    """Return the children of a process; None if the kernel does not list them."""
    directory = f"{system.procfs}/{pid}/task"
    found: list[int] = []
    try:
        threads = procfs.accessed(system.list, directory)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return found  # it has ended
    for thread in threads:
        try:
            content = procfs.accessed(system.read, f"{directory}/{thread}/children")
        except (ProcessLookupError, PermissionError):
            continue
        except FileNotFoundError:
            if procfs.start_ticks(system, pid) is not None and int(thread) == pid:
                return None
            continue  # the thread has ended
        numbers = (parse_decimal(field.decode("ascii", "replace"), procfs.HIGHEST_U32) for field in content.split())
        found += [number for number in numbers if number]
    return found


def _from_parents(system: System, root: int) -> list[int]:
    """Return a process and its descendants, by the parents of all processes."""
    children: dict[int | None, list[int]] = {}
    for pid in procfs.pids(system) or ():
        try:
            parent = procfs.read_stat(system, f"{system.procfs}/{pid}").parent
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        children.setdefault(parent, []).append(pid)
    found = [root]
    for pid in found:
        found += children.get(pid, ())
    return found


def _sockets_of(system: System, pid: int) -> set[str]:
    """Return the sockets of a process, as targets of links; none if it has ended."""
    # A main thread that has ended before the others closed its descriptors, and its directory belongs to root.
    threads = procfs.surviving_threads(system, pid)
    directories = [f"task/{thread}/fd" for thread in threads] or ["fd"]
    found: set[str] = set()
    for directory in directories:
        try:
            links = procfs.accessed(system.read_links, f"{system.procfs}/{pid}/{directory}")
        except (FileNotFoundError, ProcessLookupError):
            continue
        found.update(target for target in links.values() if target.startswith("socket:"))
    return found


def _network(system: System, pid: int) -> int | None:
    try:
        return system.identity_of(f"{system.procfs}/{pid}")
    except OSError:
        return sockets.network_identity(system)  # it has ended


def _listed(pids: list[int]) -> str:
    names = ", ".join(map(str, pids[:_MOST_LISTED]))
    more = f" and {len(pids) - _MOST_LISTED:,} more" if len(pids) > _MOST_LISTED else ""
    return f"process {names}" if len(pids) == 1 else f"processes {names}{more}"
