"""A machine from a directory: `RecordedHost("linux-6.18")` reads tests/hosts/linux-6.18.

    ORIGIN          where the recording comes from; its first word is "recorded" or "synthetic"
    host.json       {"platform": "linux", "uid": 1000, ...}: see `_Facts`; only "platform" is needed
    files/          the file system: files/proc/stat is /proc/stat; symbolic links stand for themselves
    commands/       what programs print: netsh-int-ipv4-show-dynamicport-tcp.txt is the output of that command
    sysctl.json     sysctl by name or by MIB ("4.2.0.7"): a number is a C int, {"hex": ...} are bytes
                    (with "size", the number that the kernel requested for them), {"errno": ...} is an error,
                    {"ports": [...]} is a bitmap of 65,536 bits in 32-bit integers
    sock_diag.json  the datagrams of each reply of NETLINK_SOCK_DIAG, by its request (see `sock_diag_key`)
    psutil.json     what psutil shows: the sockets of the system, and of each process, as rows of `SocketRow`, or the
                    name of the error

tests/hosts/record.py writes such a directory. What was not recorded does not exist: `FileNotFoundError`. The machine
that runs the tests is not read, and no socket is bound: every port can be bound except those in `taken`.
"""

from __future__ import annotations

import errno
import ipaddress
import json
import os
import re
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict, TypeVar, cast

from fakes import SystemHost

from portrange import Process, SourceError
from portrange._backends.portable.psutil_table import SocketRow
from portrange._host.binding import HeldProbes

HOSTS = Path(__file__).parent / "hosts"
T = TypeVar("T")


class _Facts(TypedDict, total=False):
    """What host.json may hold."""

    platform: str
    uid: int | None
    users: dict[str, str]
    interfaces: dict[str, str]
    console_encoding: str
    is_v6only: bool
    #: Paths below which everything may not be read (EACCES).
    denied: list[str]
    #: The pid of the recording process, and the ports of its probe sockets.
    probes: dict[str, int]


def names() -> list[str]:
    """All recorded machines."""
    return sorted(path.name for path in HOSTS.iterdir() if (path / "host.json").exists())


class RecordedHost(SystemHost):
    """See the module. `taken` maps (protocol, family, port) to the error that binding there raises."""

    def __init__(self, name: str, *, taken: dict[tuple[str, str, int], int] | None = None, hosts: Path = HOSTS) -> None:
        super().__init__()
        self.directory = hosts / name
        self.facts = cast("_Facts", json.loads((self.directory / "host.json").read_text("utf-8")))
        self.taken = taken or {}
        self.bound: list[tuple[str, str, str, int]] = []

    def __repr__(self) -> str:
        return f"RecordedHost({self.directory.name!r})"

    @property
    def platform(self) -> str:
        return self.facts["platform"]

    @property
    def is_synthetic(self) -> bool:
        return (self.directory / "ORIGIN").read_text("utf-8").lower().startswith("synthetic")

    # --- files ---

    def _path(self, path: str) -> str:
        if any(path == denied or path.startswith(denied + "/") for denied in self.facts.get("denied", ())):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return f"{self.directory}/files{path}"

    def read(self, path: str) -> bytes:
        return super().read(self._path(path))

    def read_start(self, path: str, size: int) -> bytes:
        return super().read_start(self._path(path), size)

    def read_sysctl(self, name: str) -> bytes:
        return self.read(f"{self.procfs}/sys/net/{name}")

    def list(self, path: str) -> list[str]:
        return super().list(self._path(path))

    def inode(self, path: str) -> int:
        return super().inode(self._path(path))

    def link_count(self, path: str) -> int:
        return super().link_count(self._path(path))

    def read_link(self, path: str) -> str:
        return super().read_link(self._path(path))

    def find_links(self, directory: str, *arguments: Any) -> dict[str, str]:
        return super().find_links(self._path(directory), *arguments)

    def read_links(self, directory: str, *arguments: Any) -> dict[str, str]:
        return super().read_links(self._path(directory), *arguments)

    def subdirectories(self, path: str) -> list[str]:
        return super().subdirectories(self._path(path))

    def find_directories(self, top: str, inodes: Collection[int]) -> dict[int, str]:
        found = super().find_directories(self._path(top), inodes)
        return {inode: directory.removeprefix(self._path("")) for inode, directory in found.items()}

    # --- names and numbers ---

    @property
    def ticks_per_second(self) -> int:
        return 100

    @property
    def uid(self) -> int | None:
        return self.facts.get("uid", 1000)

    @property
    def can_bind_privileged(self) -> bool:
        return self.uid == 0

    @property
    def console_encoding(self) -> str:
        return self.facts.get("console_encoding", "ascii")

    def user_name(self, uid: int) -> str | None:
        return self.facts.get("users", {}).get(str(uid))

    def interface_name(self, index: int) -> str:
        return self.facts.get("interfaces", {}).get(str(index), f"#{index}")

    def interface_index(self, name: str) -> int:
        indexes = {known: int(index) for index, known in self.facts.get("interfaces", {}).items()}
        if name not in indexes:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        return indexes[name]

    def local_interface(self, packed: bytes, zone: int = 0) -> int | None:
        return zone if ipaddress.ip_address(packed).is_loopback else None

    @property
    def is_v6only(self) -> bool:
        return self.facts.get("is_v6only", False)

    def identity_of(self, process: str) -> int:
        return 1

    def sysctl(self, name: str | tuple[int, ...]) -> bytes:
        key = name if isinstance(name, str) else ".".join(map(str, name))
        recorded = self.directory / "sysctl.json"
        known = json.loads(recorded.read_text("utf-8")) if recorded.exists() else {}
        if key not in known:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), key)
        return _sysctl_bytes(known[key])

    def sysctl_with_size(self, name: str) -> tuple[bytes, int]:
        value = self.sysctl(name)
        known = json.loads((self.directory / "sysctl.json").read_text("utf-8"))[name]
        return value, known.get("size", len(value)) if isinstance(known, dict) else len(value)

    # --- the network ---

    def within_network(self, function: Callable[..., T], *args: object) -> T:
        return function(*args)

    def sock_diag(self, request: bytes) -> Iterator[bytes]:
        """Yield the recorded reply; for one port, the sockets with that port, as the kernel filters them."""
        recorded = self.directory / "sock_diag.json"
        known = json.loads(recorded.read_text("utf-8")) if recorded.exists() else {}
        key, sequence, port = sock_diag_key(request)
        if key not in known:
            raise OSError(errno.EPROTONOSUPPORT, os.strerror(errno.EPROTONOSUPPORT))
        for datagram in known[key]:
            yield _with_sequence(bytes.fromhex(datagram), sequence, port)

    @contextmanager
    def held_probes(self) -> Iterator[HeldProbes]:
        probes = self.facts.get("probes", {"pid": 4242, "tcp": 60001, "udp": 60002})
        yield HeldProbes(probes["pid"], {protocol: probes[protocol] for protocol in ("tcp", "udp")})

    def bind(self, protocol: str, family: str, address: str, port: int) -> None:
        self.bound.append((protocol, family, address, port))
        number = self.taken.get((protocol, family, port))
        if number is not None:
            raise OSError(number, os.strerror(number))

    def source_address(self, address: str, port: int) -> str:
        return address

    def can_share(self, protocol: str, address: str, port: int) -> bool:
        return False

    # --- processes ---

    def exit_descriptor(self, pid: int) -> int | None:
        return None

    def exit_status(self, pid: int) -> int | None:
        return None

    # --- programs ---

    def run(self, *command: str) -> bytes:
        path = self.directory / "commands" / command_file(*command)
        if not path.exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), command[0])
        return path.read_bytes()


class RecordedTable:
    """The processes and sockets of psutil.json, in place of psutil."""

    def __init__(self, directory: Path) -> None:
        self.known = json.loads((directory / "psutil.json").read_text("utf-8"))

    def sockets(self, protocols: tuple[str, ...]) -> list[SocketRow]:
        return _rows(self.known["system"], protocols)

    def pids(self) -> list[int]:
        return [int(pid) for pid in self.known["processes"]]

    def sockets_of(self, pid: int, protocols: tuple[str, ...]) -> list[SocketRow]:
        return _rows(self.known["processes"][str(pid)]["sockets"], protocols)

    def describe(self, pid: int) -> Process | None:
        found = self.known["processes"].get(str(pid))
        return found and Process(pid, found["name"], user=found["user"], started=found["started"])

    def is_same(self, pid: int) -> bool:
        return str(pid) in self.known["processes"]


def _rows(recorded: list[list[Any]] | str, protocols: tuple[str, ...]) -> list[SocketRow]:
    if recorded == "PermissionError":
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    if isinstance(recorded, str):
        raise SourceError("psutil", recorded)
    return [SocketRow(*row) for row in recorded if row[0] in protocols]


def command_file(program: str, *arguments: str) -> str:
    """The file with a command's output: directories and .exe left out, what is no letter or digit as one hyphen."""
    name = re.split(r"[/\\]", program)[-1].removesuffix(".exe")
    return re.sub(r"[^a-z0-9]+", "-", " ".join((name, *arguments)).lower()).strip("-") + ".txt"


def sock_diag_key(request: bytes) -> tuple[str, bytes, bytes]:
    """Return the request without its sequence number and local port, as text, and these two numbers.

    See `portrange._backends.linux.sock_diag.request`: 16 bytes of struct nlmsghdr, then struct inet_diag_req_v2.
    """
    key = request[:8] + bytes(4) + request[12:24] + bytes(2) + request[26:]
    return key.hex(), request[8:12], request[24:26]


def _with_sequence(datagram: bytes, sequence: bytes, port: bytes) -> bytes:
    """Return the messages of a reply with this sequence number and, except for 0, with this local port."""
    kept, position = b"", 0
    while position < len(datagram):
        length = int.from_bytes(datagram[position : position + 4], sys.byteorder)
        end = position + ((length + 3) & ~3)
        message = datagram[position:end]
        is_socket = int.from_bytes(message[4:6], sys.byteorder) == 20
        if not is_socket or port in (bytes(2), message[20:22]):
            kept += message[:8] + sequence + message[12:]
        position = end
    return kept


def _sysctl_bytes(value: int | dict[str, str] | dict[str, list[int]]) -> bytes:
    if isinstance(value, int):
        return value.to_bytes(4, sys.byteorder, signed=True)
    if "errno" in value:
        number = cast("dict[str, int]", value)["errno"]
        raise OSError(number, os.strerror(number))
    if "hex" in value:
        return bytes.fromhex(cast("dict[str, str]", value)["hex"])
    units = [0] * (65536 // 32)
    for port in cast("dict[str, list[int]]", value)["ports"]:
        units[port // 32] |= 1 << port % 32
    return b"".join(unit.to_bytes(4, sys.byteorder) for unit in units)
