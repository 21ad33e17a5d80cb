"""The machine that a query is about: public configuration around a private `System`."""

from __future__ import annotations

import os

from .system import System

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Self


class Host:
    """The machine to query. Reads are lazy and results are not cached.

    - `procfs`: where procfs is mounted. A monitoring container that has the host's mounted passes ``"/host/proc"``;
      results then describe the network of that procfs's process 1.
    - `backend`: the name of the backend to use in place of the platform's own; "portable" uses psutil everywhere.

    >>> import portrange
    >>> host = portrange.Host().snapshot()          # reads each source once: for loops over many ports
    >>> sum(not portrange.classify(port, host=host).services for port in range(8000, 8100))
    45
    """

    def __init__(self, procfs: str | os.PathLike[str] = "/proc", *, backend: str | None = None) -> None:
        path = os.fspath(procfs)
        if not isinstance(path, str):  # pyright: ignore[reportUnnecessaryIsInstance] - bytes
            raise TypeError(f"procfs is a path such as '/host/proc', not {type(path).__name__}: {path!r}")
        if not path or "\0" in path:
            raise ValueError(f"procfs is a path such as '/host/proc', not {path!r}")
        self._system = System(path.rstrip("/") or "/", backend)

    @property
    def procfs(self) -> str:
        """Where procfs is mounted."""
        return self._system.procfs

    @property
    def backend(self) -> str | None:
        """The name of the backend, None for the platform's own."""
        return self._system.backend

    def __repr__(self) -> str:
        backend = f", backend={self.backend!r}" if self.backend else ""
        return f"{type(self).__name__}({self.procfs!r}{backend})"

    @property
    def is_snapshot(self) -> bool:
        """True if each source is read only once."""
        return self._system.is_snapshot

    def snapshot(self) -> Self:
        """Return a copy of this host that reads each source once, when it is first needed.

        All results about settings from one snapshot are consistent, and so are all results about listeners. `why_busy`
        binds a probe socket each time. Take a new snapshot to see changes of the machine.
        """
        if self.is_snapshot:
            return self
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__, _system=self._system.snapshot())
        return other


#: The machine that Python runs on, queried wherever no other host is given.
_THIS_HOST = Host()


def system_of(host: object) -> System:
    """Return the system of a host, the machine that Python runs on if it is None; `TypeError` for anything else."""
    if host is None:
        return _THIS_HOST._system  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - the other half of Host
    if not isinstance(host, Host):
        raise TypeError(f"host is a portrange.Host, such as Host('/host/proc'), not {type(host).__name__}: {host!r}")
    return host._system  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
