"""Benchmark queries about processes and connections against psutil, on this machine as it is.

    python tests/benchmarks/bench_queries.py

Each pair of calls finds the same sockets in alternating rounds; the results are compared. Times are medians.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import psutil
from report import machine

import portrange

ROUNDS = 25
SERVER = """
import socket, sys, time
time.sleep(0.03)
server = socket.create_server(("127.0.0.1", 0))
print(time.monotonic(), flush=True)
sys.stdin.read()
"""


def seconds(call: Callable[[], object]) -> float:
    before = time.perf_counter()
    call()
    return time.perf_counter() - before


def start() -> subprocess.Popen[str]:
    command = [sys.executable, "-I", "-S", "-c", SERVER]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def psutil_ports(pid: int) -> list[int]:
    root = psutil.Process(pid)
    entries = (entry for process in [root, *root.children(recursive=True)] for entry in process.net_connections())
    return [entry.laddr.port for entry in entries if entry.status == psutil.CONN_LISTEN]


def psutil_users(port: int) -> list[int | None]:
    return [entry.pid for entry in psutil.net_connections() if entry.laddr and entry.laddr.port == port]


def compare(what: str, ours: Callable[[], object], theirs: Callable[[], object]) -> None:
    assert ours() == theirs(), what
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(ROUNDS)]
    own, other = (median(times) * 1e3 for times in zip(*pairs, strict=True))
    print(f"{what:<44}{own:>9.2f} ms  psutil {other:>9.2f} ms  {other / own:>6.1f} times")


def psutil_answers(port: int) -> list[int | None]:
    """Return the process on the most specific address for 127.0.0.1."""
    found = {entry.laddr.ip: entry.pid for entry in psutil.net_connections("tcp") if is_listener(entry, port)}
    return [found[address] for address in ("127.0.0.1", "0.0.0.0", "::") if address in found][:1]


def is_listener(entry: Any, port: int) -> bool:
    return entry.status == psutil.CONN_LISTEN and entry.laddr.port == port


def compare_answers() -> None:
    def answers(port: int) -> list[int | None]:
        return [found.pid for found in portrange.who_answers(port, "127.0.0.1")[0].listeners]

    with start() as server:
        (listener,) = portrange.wait_for_listener(server)
        compare("who_answers()", lambda: answers(listener.port), lambda: psutil_answers(listener.port))
    compare("who_answers(), refused", lambda: answers(listener.port), lambda: psutil_answers(listener.port))


def delay() -> float:
    """Return the seconds from the listen() of a child until it is found."""
    with start() as server:
        portrange.wait_for_listener(server)
        found = time.monotonic()
        assert server.stdout is not None
        return found - float(server.stdout.readline())


def main() -> None:
    print(machine())
    with start() as server:
        pid, (listener,) = server.pid, portrange.wait_for_listener(server)
        with socket.create_connection(("127.0.0.1", listener.port)) as client:
            port, peer = client.getsockname()[1], client.getpeername()
            compare(
                "listeners(process=)",
                lambda: [found.port for found in portrange.listeners(process=pid)],
                lambda: psutil_ports(pid),
            )
            compare("who_uses()", lambda: [used.pid for used in portrange.who_uses(port)], lambda: psutil_users(port))
            compare(
                "who_uses(remote=)",
                lambda: [used.pid for used in portrange.who_uses(port, protocol="tcp", remote=peer)],
                lambda: psutil_users(port),
            )
    compare_answers()
    print(f"{'wait_for_listener(), after listen()':<44}{median(delay() for _ in range(ROUNDS)) * 1e3:>9.2f} ms")


if __name__ == "__main__":
    main()
