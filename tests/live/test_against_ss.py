"""Listeners compared with the output of `ss` (iproute2), if it is installed."""

from __future__ import annotations

import re
import shutil
from typing import Any

import pytest
from live.world import World

MAKE = """
    import portrange, subprocess
    new_network()
    new_processes()
    sockets = [
        tcp(), tcp("0.0.0.0"), tcp("::1"), tcp("::", v6only=False), tcp("::", v6only=True), tcp("::ffff:127.0.0.1"),
        tcp("0.0.0.0", device="lo"),
        udp(), udp("0.0.0.0"), udp("::1"), udp("::", v6only=False), udp("::", v6only=True), udp("::ffff:127.0.0.1"),
    ]
    shared = tcp(reuse_port=True)
    sockets += [shared, tcp("127.0.0.1", port(shared), reuse_port=True)]
    client = socket.create_connection(sockets[0].getsockname())
    sender = udp()
    sender.connect(sockets[7].getsockname())
    quiet = bound()  # not a listener
    for _ in range(2):
        fork(wait)
    ss = lambda options: subprocess.run([sys.argv[1], options], capture_output=True, text=True).stdout
    say([portrange.listeners().to_dicts(), ss("-Hltnp"), ss("-Hlunp")])
"""


def parse_ss(text: str, protocol: str) -> list[list[Any]]:
    """Return rows of protocol, address, port and PIDs; ss shows a dual-stack wildcard as ``*``."""
    rows = []
    for line in text.splitlines():
        address, _, port = line.split()[3].rpartition(":")
        plain = address.strip("[]").partition("%")[0].removeprefix("::ffff:")
        rows.append([protocol, plain, int(port), sorted({int(pid) for pid in re.findall(r"pid=(\d+)", line)})])
    return sorted(rows)


@pytest.fixture(scope="module")
def ss(namespaces: None, ipv6: None, sock_diag: None) -> str:
    found = shutil.which("ss")
    if found is None:
        pytest.skip("ss is not installed")
    return found


def test_listeners_and_owners_match_ss(world: World, ss: str):
    rows, tcp, udp = world.ask(MAKE, ss)
    ours = sorted(
        [
            row["protocol"],
            "*" if row["dual_stack"] else row["address"],
            row["port"],
            sorted(owner["pid"] for owner in row["owners"]),
        ]
        for row in rows
    )
    assert len(ours) == 15
    assert ours == sorted(parse_ss(tcp, "tcp") + parse_ss(udp, "udp"))
