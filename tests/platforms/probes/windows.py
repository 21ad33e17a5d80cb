"""Windows or Wine: the native socket tables, and a netsh without output.

The first argument is a TCP port on which a Linux process listens.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys

import probing

import portrange

_CHILD = """
import contextlib, socket, sys
with socket.create_server(("127.0.0.1", 0)) as server:
    server.setblocking(False)
    with contextlib.suppress(OSError):
        server.recv(1)  # see _touch
    print(server.getsockname()[1], flush=True)
    sys.stdin.read()
"""


def own_listeners() -> None:
    """who_listens finds this process through GetExtendedTcpTable and GetExtendedUdpTable"""
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        for kind, protocol in ((socket.SOCK_STREAM, "tcp"), (socket.SOCK_DGRAM, "udp")):
            with socket.socket(family, kind) as own:
                own.bind((address, 0))
                if protocol == "tcp":
                    own.listen()
                _touch(own)
                port = own.getsockname()[1]
                found = portrange.who_listens(port, protocol=protocol)
                assert [(listener.address, listener.port) for listener in found] == [(address, port)], found
                if (protocol, address) == ("tcp", "::1") and found[0].hidden:
                    continue  # Wine 8 reports no process for TCP over IPv6
                assert [owner.pid for owner in found[0].owners] == [os.getpid()], found
                assert found[0].process in ("python.exe", None), found  # Wine may not report the name
                assert found[0].owners[0].started is not None, found


def unknown_owners() -> None:
    """a listener without an owner in the table is returned as hidden"""
    foreign = int(sys.argv[1])
    found = portrange.who_listens(foreign)
    assert [(listener.address, listener.port, listener.owners, listener.hidden) for listener in found] == [
        ("127.0.0.1", foreign, (), True)
    ]


def other_process() -> None:
    """who_listens finds another process by its Windows PID"""
    command = [sys.executable, "-c", _CHILD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        port = int(child.stdout.readline())
        found = portrange.who_listens(port)
        assert [listener.pid for listener in found] == [child.pid], (found, child.pid)
        assert [row["pid"] for row in portrange.listeners(protocol="tcp").on(port).to_dicts()] == [child.pid]
        child.stdin.close()
    assert not portrange.who_listens(port)


def busy_port() -> None:
    """why_busy names the listener that makes bind fail"""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        kinds = [obstacle.kind for obstacle in portrange.why_busy(port, address="127.0.0.1")]
        assert kinds == ["listener"], kinds
    assert not portrange.why_busy(port, address="127.0.0.1")


def silent_netsh() -> None:
    """without netsh output: the documented default, marked as assumed, and unknown facts of ports"""
    for protocol in ("tcp", "udp"):
        for family in ("ipv4", "ipv6"):
            ephemeral = portrange.ephemeral_range(protocol=protocol, family=family)
            assert (ephemeral.first, ephemeral.last, ephemeral.assumed) == (49152, 65535, True), ephemeral
            assert ephemeral.source == "documented default", ephemeral
    info = portrange.classify(60860)
    assert (info.ephemeral, info.reserved, info.excluded) == (None, None, None), info
    assert info.privileged is False, info  # Winsock has no privileged ports
    assert any("netsh" in reason for reason in info.settings.incomplete), info.settings.incomplete


def _touch(own: socket.socket) -> None:
    """Use a socket once; Wine reports no owner before."""
    own.setblocking(False)
    with contextlib.suppress(OSError):
        own.recv(1)


if __name__ == "__main__":
    probing.run(own_listeners, unknown_owners, other_process, busy_port, silent_netsh)
