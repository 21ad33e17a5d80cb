"""Convert the listening sockets reported by `ss`, `lsof` and psutil to a common form."""

from __future__ import annotations

import re
import subprocess
from typing import Any, NamedTuple

SS = ("ss", "-H", "-tulnp")
#: Output fields per file: d is the inode of a socket, T its state, n its address (lsof(8), -F).
LSOF = ("lsof", "-n", "-P", "-i", "-F", "pcftdPTn")


class Row(NamedTuple):
    """A listening socket as reported by one tool; None for fields that the tool does not report."""

    protocol: str
    family: str | None
    address: str
    port: int
    dual_stack: bool | None
    interface: str | None
    pids: tuple[int, ...]
    names: tuple[str, ...] | None = None

    def __str__(self) -> str:
        zone = f"%{self.interface}" if self.interface else ""
        both = " and IPv4" if self.dual_stack else ""
        return f"{self.protocol} {self.address}{zone}:{self.port}{both} owned by {self.pids} {self.names or ''}"


def run(command: tuple[str, ...]) -> str:
    # lsof exits with status 1 if it finds nothing.
    return subprocess.run(command, capture_output=True, check=False, errors="backslashreplace", timeout=300).stdout


def split_family(text: str) -> tuple[str, str]:
    """Return family and address; an IPv4-mapped address counts as IPv4."""
    plain = text.strip("[]")
    if plain.startswith("::ffff:"):
        plain = plain.removeprefix("::ffff:")
    return ("ipv6" if ":" in plain else "ipv4"), plain


# --- ss -------------------------------------------------------------------------------------------------------------

_USER = re.compile(r'\("([^"]*)",pid=(\d+),fd=\d+\)')


def parse_ss(text: str) -> list[Row]:
    """Parse `ss` output; a dual-stack wildcard is ``*``, an IPv6-only one is ``[::]``."""
    rows = []
    for line in text.splitlines():
        protocol, _, _, _, local = line.split()[:5]
        place, _, port = local.rpartition(":")
        place, _, zone = place.partition("%")
        if place.startswith("[") and not place.endswith("]"):
            zone, place = zone.rstrip("]"), f"{place}]"
        family, address = ("ipv6", "::") if place == "*" else split_family(place)
        names = {int(pid): name for name, pid in _USER.findall(line)}
        rows.append(
            Row(
                protocol,
                family,
                address,
                int(port),
                place == "*",
                zone or None,
                tuple(sorted(names)),
                tuple(names[pid] for pid in sorted(names)),
            )
        )
    return rows


# --- lsof -----------------------------------------------------------------------------------------------------------


def parse_lsof(text: str) -> list[Row]:
    """Parse `lsof` output: TCP in state LISTEN and UDP without a peer; one socket per inode."""
    owners: dict[tuple[str, str, str, str], dict[int, str]] = {}
    for pid, command, file in _lsof_files(text):
        listens = file.get("TST") == "LISTEN" if file["P"] == "TCP" else "->" not in file.get("n", "")
        if listens and file["t"] in ("IPv4", "IPv6") and file["P"] in ("TCP", "UDP"):
            key = (file["P"].lower(), file["t"].lower(), file.get("n", ""), file["d"])
            owners.setdefault(key, {})[pid] = command
    rows = []
    for (protocol, family, name, _), names in owners.items():
        place, _, port = name.rpartition(":")
        if not port.isdigit():
            continue  # "*:*": a socket without a port
        visible_family, address = split_family(place)
        if place == "*":
            visible_family, address = family, "::" if family == "ipv6" else "0.0.0.0"
        pids = tuple(sorted(names))
        rows.append(
            Row(protocol, visible_family, address, int(port), None, None, pids, tuple(names[pid] for pid in pids))
        )
    return rows


def _lsof_files(text: str) -> list[tuple[int, str, dict[str, str]]]:
    found: list[tuple[int, str, dict[str, str]]] = []
    pid, command = 0, ""
    for line in text.splitlines():
        letter, value = line[:1], line[1:]
        if letter == "p":
            pid = int(value)
        elif letter == "c":
            command = value
        elif letter == "f":
            found.append((pid, command, {"t": "", "P": "", "d": ""}))
        elif letter == "T":
            kind, _, what = value.partition("=")
            found[-1][2][f"T{kind}"] = what
        elif letter:
            found[-1][2][letter] = value
    return found


# --- psutil ---------------------------------------------------------------------------------------------------------


def ask_psutil() -> list[list[Any]]:
    """Return the psutil connections as JSON-compatible values."""
    import psutil

    return [
        [
            connection.family.name,
            connection.type.name,
            list(connection.laddr),
            list(connection.raddr),
            connection.status,
            connection.pid,
        ]
        for connection in psutil.net_connections("inet")
    ]


def read_psutil(rows: list[list[Any]]) -> list[Row]:
    """Select listeners as psutil users do: status LISTEN, or UDP without a peer."""
    found = []
    for family, kind, local, remote, status, pid in rows:
        is_tcp = kind == "SOCK_STREAM"
        if not local or (status != "LISTEN" if is_tcp else remote):
            continue
        visible_family, address = split_family(local[0]) if family == "AF_INET6" else ("ipv4", local[0])
        pids = () if pid is None else (pid,)
        found.append(Row("tcp" if is_tcp else "udp", visible_family, address, local[1], None, None, pids))
    return found


# --- portrange ------------------------------------------------------------------------------------------------------


def read_own(rows: list[dict[str, Any]]) -> list[Row]:
    return [
        Row(
            row["protocol"],
            row["family"],
            row["address"],
            row["port"],
            row["dual_stack"],
            row["interface"],
            tuple(sorted(owner["pid"] for owner in row["owners"])),
            tuple(owner["name"] for owner in sorted(row["owners"], key=lambda owner: owner["pid"])),
        )
        for row in rows
    ]
