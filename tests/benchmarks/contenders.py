"""The contenders: portrange, programs and packages with the same queries, and a minimal C program.

Each contender has two queries, in its usual form; those of programs include their start:

- `who(port)`: the PIDs of the owners of the listener on a port;
- `everyone()`: every listener of the host, as pairs of port and pid.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from busy_host import Service

import portrange

_PID = re.compile(r"pid=(\d+)")

Pids = set[int]
Pairs = set[tuple[int, int]]


@dataclass(frozen=True)
class Contender:
    """A compared tool; `is_program` if each query starts a process."""

    name: str
    version: str
    who: Callable[[int], Pids]
    everyone: Callable[[], Pairs]
    is_program: bool = False


def portrange_itself() -> Contender:
    return Contender("portrange", portrange.__version__, _portrange_who, _portrange_everyone)


def rivals() -> tuple[list[Contender], list[str]]:
    """Return the installed contenders, and a reason for each missing one."""
    present: list[Contender] = []
    left_out: list[str] = []
    for load in (_ss, _lsof, _psutil, _portsight):
        try:
            present.append(load())
        except (FileNotFoundError, ImportError, importlib.metadata.PackageNotFoundError) as error:
            left_out.append(str(error))
    return present, left_out


# --- portrange -------------------------------------------------------------------------------------------------


def _portrange_who(port: int) -> Pids:
    return _pids(portrange.who_listens(port))


def ask_first_query(port: int) -> Pids:
    """Run `who` with a new `Host`, whose cgroup cache is empty."""
    return _pids(portrange.who_listens(port, host=portrange.Host()))


@contextmanager
def fresh_python() -> Iterator[Callable[[int], Pids]]:
    """Yield a `who` that starts a Python for each query.

    Modules are compiled once, as for an installed package, even if the environment disables bytecode.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    code = "import portrange, sys; print(*(found.pid for found in portrange.who_listens(int(sys.argv[1]))))"
    with tempfile.TemporaryDirectory() as compiled:
        environment["PYTHONPYCACHEPREFIX"] = compiled

        def ask(port: int) -> Pids:
            command = (sys.executable, "-c", code, str(port))
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
            return set(map(int, done.stdout.split()))

        ask(0)
        yield ask


def _pids(listeners: portrange.Listeners) -> Pids:
    return {owner.pid for listener in listeners for owner in listener.owners}


def _portrange_everyone() -> Pairs:
    return {(listener.port, owner.pid) for listener in portrange.listeners() for owner in listener.owners}


# --- programs --------------------------------------------------------------------------------------------------


def _ss() -> Contender:
    _need("ss")

    def listed(*condition: str) -> Iterator[tuple[int, int]]:
        for line in _output("ss", "-tulnpH", *condition).splitlines():
            port = int(line.split()[4].rpartition(":")[2])
            for match in _PID.finditer(line):
                yield port, int(match[1])

    version = _output("ss", "-V").rpartition("iproute2-")[2].strip().rstrip(",")
    return Contender(
        "ss",
        version,
        lambda port: {pid for _, pid in listed(f"sport = :{port}")},
        lambda: set(listed()),
        is_program=True,
    )


def _lsof() -> Contender:
    _need("lsof")

    def listed(*selection: str) -> Iterator[tuple[int, int]]:
        # COMMAND PID USER FD TYPE DEVICE SIZE/OFF NODE NAME; a connection's NAME has an arrow.
        for line in _output("lsof", "-nP", *selection).splitlines()[1:]:
            fields = line.split()
            if "->" not in fields[8]:
                yield int(fields[8].rpartition(":")[2]), int(fields[1])

    version = re.search(r"revision: ([\d.]+)", _output("lsof", "-v", errors_too=True))
    return Contender(
        "lsof",
        version[1] if version else "of unknown version",
        lambda port: {pid for found, pid in listed("-i", f":{port}") if found == port},
        # With -sTCP:LISTEN, lsof omits UDP.
        lambda: set(listed("-i", "-sTCP:^ESTABLISHED")),
        is_program=True,
    )


def _need(program: str) -> None:
    if shutil.which(program) is None:
        raise FileNotFoundError(f"{program} is not installed")


def _output(*command: str, errors_too: bool = False) -> str:
    # lsof exits with status 1 if it finds nothing.
    errors = subprocess.STDOUT if errors_too else subprocess.DEVNULL
    return subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=errors, text=True).stdout


# --- packages --------------------------------------------------------------------------------------------------


def _psutil() -> Contender:
    try:
        import psutil
    except ImportError:
        raise ImportError("psutil is not installed") from None

    def listed() -> Pairs:
        waiting = (psutil.CONN_LISTEN, psutil.CONN_NONE)
        return {
            (connection.laddr.port, connection.pid)
            for connection in psutil.net_connections(kind="inet")
            if connection.laddr and not connection.raddr and connection.status in waiting and connection.pid
        }

    return Contender(
        "psutil", psutil.__version__, lambda port: {pid for found, pid in listed() if found == port}, listed
    )


def _portsight() -> Contender:
    try:
        from portsight.inventory import build_inventory
        from portsight.lookup import lookup_port
    except ImportError:
        raise ImportError("portsight is not installed") from None

    def who(port: int) -> Pids:
        return {row.pid for row in lookup_port(port, build_inventory(include_docker=False)).listeners if row.pid}

    def everyone() -> Pairs:
        return {(row.port, row.pid) for row in build_inventory(include_docker=False).listening if row.pid}

    return Contender("portsight", importlib.metadata.version("portsight"), who, everyone)


# --- the floor -------------------------------------------------------------------------------------------------


@contextmanager
def compiled_floor() -> Iterator[Callable[[Service], tuple[float, Pids]]]:
    """Compile the C program and yield a function that returns the seconds of its scan, without its start, and PIDs.

    Raises `FileNotFoundError` if no C compiler is installed.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise FileNotFoundError("no C compiler (cc) is installed")
    with tempfile.TemporaryDirectory() as directory:
        program = os.path.join(directory, "floor")
        source = os.path.join(os.path.dirname(__file__), "floor.c")
        subprocess.run([compiler, "-O2", "-o", program, source], check=True)

        def scan(service: Service) -> tuple[float, Pids]:
            seconds, *pids = _output(program, str(service.inode)).split()
            return float(seconds), set(map(int, pids))

        yield scan
