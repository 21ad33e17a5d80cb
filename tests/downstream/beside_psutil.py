"""A pytest plugin for the tests of psutil: every result of psutil is compared with portrange.

`psutil.net_connections` and `psutil.Process.net_connections` become functions that return the same rows, after the
queries of portrange for these sockets returned them as well. Needs a network namespace that only the tests use.
"""

from __future__ import annotations

import functools
import re
import socket
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import psutil
import pytest

import portrange

#: Protocol, address, port, peer, state of TCP, owner.
Row = tuple[str, str, int, tuple[str, int], str, "int | None"]

_PROTOCOLS = {socket.SOCK_STREAM: "tcp", socket.SOCK_DGRAM: "udp"}
_FAMILIES = {socket.AF_INET: "ipv4", socket.AF_INET6: "ipv6"}
_STATES = {"SYN_RECV": "syn-received", "FIN_WAIT1": "fin-wait-1", "FIN_WAIT2": "fin-wait-2"}
_NO_PEER = ("", 0)
#: A process can open or close a socket between the two queries.
_ATTEMPTS = 3

compared: Counter[str] = Counter()


def rows_of_psutil(connections: Iterable[Any], pid: int | None = None) -> set[Row]:
    """Return the TCP and UDP sockets among results of psutil; *pid* is their owner if they do not name it."""
    return {
        (
            _PROTOCOLS[found.type],
            found.laddr.ip,
            found.laddr.port,
            tuple(found.raddr) or _NO_PEER,
            _STATES.get(found.status, found.status.lower().replace("_", "-"))
            if found.type == socket.SOCK_STREAM
            else "",
            found.pid if pid is None else pid,
        )
        for found in connections
        if found.family in _FAMILIES
    }


def rows_of_portrange(sockets: Iterable[Any], kind: str, pid: int | None = None) -> set[Row]:
    """Return the sockets of a kind, such as "udp4", once for each owner; with *pid* only those of this process."""
    rows = set()
    for found in sockets:
        peer = (getattr(found, "remote_address", ""), getattr(found, "remote_port", 0))
        state = getattr(found, "state", "listen") if found.protocol == "tcp" else ""
        in_kind = kind in ("all", "inet") or kind in (found.protocol, f"{found.protocol}{found.family[-1]}")
        if not in_kind and kind != f"inet{found.family[-1]}":
            continue
        for owner in [process.pid for process in found.owners] or [None]:
            if pid in (None, owner):
                rows.add((found.protocol, found.address, found.port, peer, state, owner))
    return rows


def is_listener(row: Row) -> bool:
    return row[4] == "listen" or (row[0] == "udp" and row[3] == _NO_PEER)


def listening(rows: set[Row]) -> set[Row]:
    return set(filter(is_listener, rows))


def differences(rows: set[Row], kind: str, pid: int | None = None) -> list[str]:
    """Return the differences between rows of psutil and the queries of portrange for the same sockets."""
    queries: dict[str, tuple[set[Row], Iterable[Any]]] = {
        "listeners()": (listening(rows), portrange.listeners()),
    }
    if pid is not None:
        queries[f"listeners(process={pid})"] = (listening(rows), portrange.listeners(process=pid))
    for port in {row[2] for row in rows}:
        here = {row for row in rows if row[2] == port}
        queries[f"who_listens({port})"] = (listening(here), portrange.who_listens(port))
        queries[f"who_uses({port})"] = (here, portrange.who_uses(port))
    compared.update(re.sub(r"\d+", "", query) for query, (expected, _) in queries.items() if expected)
    found = []
    for query, (expected, sockets) in queries.items():
        answer = rows_of_portrange(sockets, kind, pid)
        found += [f"{query} lacks {row}" for row in expected - answer]
        found += [f"{query} has, and psutil lacks {row}" for row in answer - expected]
    return found


def beside(query: Callable[..., list[Any]], *, of_process: bool) -> Callable[..., list[Any]]:
    """Return a function that returns what *query* returns, and fails if portrange returns something else."""

    @functools.wraps(query)
    def both(*arguments: Any, kind: str = "inet") -> list[Any]:
        *process, kind = arguments if len(arguments) > of_process else (*arguments, kind)
        pid = process[0].pid if of_process else None
        for _ in range(_ATTEMPTS):
            connections = query(*process, kind=kind)
            found = [] if kind == "unix" else differences(rows_of_psutil(connections, pid), kind, pid)
            if not found:
                return connections
        raise AssertionError("\n".join(found))

    return both


def pytest_configure() -> None:
    psutil.net_connections = beside(psutil.net_connections, of_process=False)
    psutil.Process.net_connections = beside(psutil.Process.net_connections, of_process=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.line(f"compared: {dict(compared)}")
