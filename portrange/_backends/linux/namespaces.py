"""Which network namespaces there are (namespaces(7)): each one that a visible process is in."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from . import processes

if TYPE_CHECKING:
    from ..._host import Host


class Namespace(NamedTuple):
    """A network namespace: the host as seen from it, and its name, such as ``net:[4026531840]``."""

    host: Host
    name: str


def find_all(host: Host) -> tuple[list[Namespace], list[str]]:
    """Every namespace once, by its process with the lowest pid, and a sentence for each process that kept its own.

    The kernel tells anybody which processes share one (see `Host.network_identity`); its name needs the rights to
    inspect a process of it, and is "of process PID" without them.
    """
    first: dict[int, list[int]] = {}
    gaps: list[str] = []
    for pid in processes.pids(host):
        directory = f"{host.procfs}/{pid}"
        try:
            first.setdefault(host.network_identity(directory), []).append(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended meanwhile, or a zombie, which has left its namespace
        except OSError as error:
            gaps.append(f"the network namespace of process {pid} ({error.strerror or error})")
    found = [Namespace(host.in_network(f"{host.procfs}/{pids[0]}"), _name(host, pids)) for pids in first.values()]
    return found, gaps


def _name(host: Host, pids: list[int]) -> str:
    for pid in pids:
        try:
            return host.read_link(f"{host.procfs}/{pid}/ns/net")
        except OSError:
            continue
    return f"of process {pids[0]}"
