"""The contenders: portrange, and programs and packages with the same queries.

Each contender has two queries, in its usual form; those of programs include their start:

- `who(port)`: the PIDs of the owners of the listener on a port;
- `everyone()`: every listener of the host, as pairs of port and pid.

Some have more:

- `program(environment)`: the seconds of the program that prints every listener, and these as pairs;
- `users(port, peer)`: the PIDs of the owners of all sockets on a local port, or of its connections with a peer;
- `reached(port)`: the PIDs of the owners of the listener that a connection to 127.0.0.1 reaches;
- `ports(pid)`: the ports on which a process and its descendants listen.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from measuring import timed_program

import portrange

_PID = re.compile(r"pid=(\d+)")

Pids = set[int]
Pairs = set[tuple[int, int]]
Peer = tuple[str, int]


@dataclass(frozen=True)
class Contender:
    """A compared tool; `is_program` if each query starts a process."""

    name: str
    version: str
    who: Callable[[int], Pids]
    everyone: Callable[[], Pairs]
    is_program: bool = False
    program: Callable[[dict[str, str]], tuple[float, Pairs]] | None = None
    users: Callable[[int, Peer | None], Pids] | None = None
    reached: Callable[[int], Pids] | None = None
    ports: Callable[[int], set[int]] | None = None


def portrange_itself() -> Contender:
    return Contender(
        "portrange",
        portrange.__version__,
        _portrange_who,
        _portrange_everyone,
        program=_portrange_program,
        users=_portrange_users,
        reached=_portrange_reached,
        ports=_portrange_ports,
    )


def rivals(*names: str) -> tuple[list[Contender], list[str]]:
    """Return the installed contenders (all, without names), and a reason for each missing one."""
    present: list[Contender] = []
    left_out: list[str] = []
    for name in names or _RIVALS:
        try:
            present.append(_RIVALS[name]())
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
def compiled_modules() -> Iterator[dict[str, str]]:
    """Yield an environment in which the modules are compiled, even if that of the caller disables bytecode."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as directory:
        environment["PYTHONPYCACHEPREFIX"] = directory
        timed_program(sys.executable, "-m", "portrange", environment=environment)
        yield environment


def ask_new_python(port: int, environment: dict[str, str]) -> Pids:
    """Run `who` in a new Python."""
    code = "import portrange, sys; print(*(found.pid for found in portrange.who_listens(int(sys.argv[1]))))"
    command = (sys.executable, "-c", code, str(port))
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return set(map(int, done.stdout.split()))


def _pids(sockets: Iterable[portrange.Listener | portrange.BoundSocket]) -> Pids:
    return {owner.pid for found in sockets for owner in found.owners}


def _portrange_everyone() -> Pairs:
    return {(listener.port, owner.pid) for listener in portrange.listeners() for owner in listener.owners}


def _portrange_program(environment: dict[str, str]) -> tuple[float, Pairs]:
    seconds, (heading, *lines) = timed_program(sys.executable, "-m", "portrange", environment=environment)
    # The name of a process, then its PID.
    process = slice(heading.index("PROCESS"), heading.index("USER"))
    return seconds, {(int(line.split()[1]), int(line[process].split()[-1])) for line in lines}


def _portrange_users(port: int, peer: Peer | None) -> Pids:
    return _pids(portrange.who_uses(port, protocol="tcp" if peer else None, remote=peer))


def _portrange_reached(port: int) -> Pids:
    [answer] = portrange.who_answers(port, "127.0.0.1")
    return _pids(answer.listeners)


def _portrange_ports(pid: int) -> set[int]:
    return {listener.port for listener in portrange.listeners(process=pid)}


# --- programs --------------------------------------------------------------------------------------------------


def _ss() -> Contender:
    _need("ss")

    def listed(*condition: str) -> Iterator[tuple[int, int]]:
        return listed_in(_output("ss", "-tulnpH", *condition).splitlines())

    def listed_in(lines: list[str]) -> Iterator[tuple[int, int]]:
        for line in lines:
            port = int(line.split()[4].rpartition(":")[2])
            for match in _PID.finditer(line):
                yield port, int(match[1])

    def program(environment: dict[str, str]) -> tuple[float, Pairs]:
        seconds, lines = timed_program("ss", "-tulnp", environment=environment)
        return seconds, set(listed_in(lines[1:]))

    def users(port: int, peer: Peer | None) -> Pids:
        remote = f" and dst = {peer[0]}:{peer[1]}" if peer else ""
        return {int(pid) for pid in _PID.findall(_output("ss", "-tuanpH", f"sport = :{port}{remote}"))}

    version = _output("ss", "-V").rpartition("iproute2-")[2].strip().rstrip(",")
    return Contender(
        "ss",
        version,
        lambda port: {pid for _, pid in listed(f"sport = :{port}")},
        lambda: set(listed()),
        is_program=True,
        program=program,
        users=users,
    )


def _lsof() -> Contender:
    _need("lsof")

    def listed(*selection: str) -> Iterator[tuple[int, int, str]]:
        # COMMAND PID USER FD TYPE DEVICE SIZE/OFF NODE NAME; a connection's NAME has an arrow and its peer.
        for line in _output("lsof", "-nP", *selection).splitlines()[1:]:
            fields = line.split()
            local, _, peer = fields[8].partition("->")
            yield int(local.rpartition(":")[2]), int(fields[1]), peer

    def users(port: int, peer: Peer | None) -> Pids:
        wanted = f"{peer[0]}:{peer[1]}" if peer else None
        return {pid for found, pid, other in listed("-i", f":{port}") if found == port and wanted in (None, other)}

    version = re.search(r"revision: ([\d.]+)", _output("lsof", "-v", errors_too=True))
    return Contender(
        "lsof",
        version[1] if version else "of unknown version",
        lambda port: {pid for found, pid, peer in listed("-i", f":{port}") if found == port and not peer},
        # With -sTCP:LISTEN, lsof omits UDP.
        lambda: {(port, pid) for port, pid, peer in listed("-i", "-sTCP:^ESTABLISHED") if not peer},
        is_program=True,
        users=users,
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

    def users(port: int, peer: Peer | None) -> Pids:
        return {
            connection.pid
            for connection in psutil.net_connections(kind="inet")
            if connection.laddr and connection.laddr.port == port and peer in (None, tuple(connection.raddr))
        }

    def reached(port: int) -> Pids:
        found: dict[str, Pids] = {}
        for connection in psutil.net_connections(kind="tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                found.setdefault(connection.laddr.ip, set()).add(connection.pid)
        return next((found[address] for address in ("127.0.0.1", "0.0.0.0", "::") if address in found), set())

    def ports(pid: int) -> set[int]:
        root = psutil.Process(pid)
        return {
            connection.laddr.port
            for process in [root, *root.children(recursive=True)]
            for connection in process.net_connections()
            if connection.status == psutil.CONN_LISTEN
        }

    return Contender(
        "psutil",
        psutil.__version__,
        lambda port: {pid for found, pid in listed() if found == port},
        listed,
        users=users,
        reached=reached,
        ports=ports,
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


_RIVALS = {"ss": _ss, "lsof": _lsof, "psutil": _psutil, "portsight": _portsight}
