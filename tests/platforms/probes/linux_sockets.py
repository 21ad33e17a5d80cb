"""Real Linux: the ephemeral range, and the addresses of sockets of this process, from both sources."""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator

import probing

import portrange
from portrange._host.system import System

#: The bytes of the long addresses are distinct, so that a wrong byte order changes the address.
_ADDRESSES = ["127.1.2.3", "::1", "fd12:3456:789a:bcde:f013:2457:68ac:e1d9"]
# linux/in.h and linux/in6.h
_IP_FREEBIND, _IPV6_FREEBIND = 15, 78
_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
_SCTP, _SCTP_SOCKOPT_BINDX_ADD = 132, 100  # linux/in.h, linux/sctp.h
# linux/in.h, linux/socket.h (kernel), linux/dccp.h
_DCCP, _SOCK_DCCP, _SOL_DCCP, _DCCP_SOCKOPT_SERVICE = 33, 6, 269, 2


class TablesOnly(System):
    """This machine without sock_diag, which leaves the tables in /proc/net."""

    def sock_diag(self, request: bytes) -> Iterator[bytes]:
        raise OSError(errno.EPROTONOSUPPORT, os.strerror(errno.EPROTONOSUPPORT))


class DiagOnly(System):
    """This machine without the tables in /proc/net."""

    def read(self, path: str) -> bytes:
        if path.startswith("/proc/net/"):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return super().read(path)


def ephemeral() -> None:
    """ephemeral_range matches ip_local_port_range"""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        first, last = map(int, file.read().split())
    for protocol in ("tcp", "udp"):
        for family in ("ipv4", "ipv6"):
            answer = portrange.ephemeral_range(protocol=protocol, family=family)
            assert (answer.first, answer.last, answer.assumed) == (first, last, False), answer
    assert portrange.classify(first).settings.incomplete == ()


def any_source() -> None:
    """who_listens through any source"""
    _own_sockets(portrange.Host())


def tables() -> None:
    """who_listens through /proc/net"""
    _own_sockets(_host(TablesOnly()))


def diag() -> None:
    """who_listens through sock_diag"""
    _own_sockets(_host(DiagOnly()))


def everything() -> None:
    """listeners contains a listener of this process once"""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = [listener for listener in portrange.listeners() if listener.port == port and listener.protocol == "tcp"]
        assert [(listener.address, listener.pid) for listener in found] == [("127.0.0.1", os.getpid())], found


def free_port() -> None:
    """a free port has no listener and no obstacle"""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert [obstacle.kind for obstacle in portrange.why_busy(port, address="127.0.0.1")] == ["listener"]
    assert not portrange.who_listens(port)
    assert not portrange.why_busy(port, address="127.0.0.1")


def sctp() -> None:
    """an SCTP server has each of its addresses, through either source, and each of them is busy"""
    addresses = ["127.0.0.1", "127.1.2.3", "::1"]
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM, _SCTP) as server:
        server.bind(("::1", 0))
        port = server.getsockname()[1]
        ipv4, number = struct.pack("=H", socket.AF_INET), struct.pack("!H", port)
        others = (ipv4 + number + socket.inet_aton(address) + bytes(8) for address in addresses[:2])
        server.setsockopt(_SCTP, _SCTP_SOCKOPT_BINDX_ADD, b"".join(others))
        server.listen()
        for system in (System(), TablesOnly(), DiagOnly()):
            found = portrange.who_listens(port, host=_host(system))
            rows = [(listener.protocol, listener.address, listener.pid) for listener in found]
            assert rows == [("sctp", address, os.getpid()) for address in addresses], rows
        for address in addresses:
            obstacles = portrange.why_busy(port, protocol="sctp", address=address)
            assert [(obstacle.kind, obstacle.socket.address) for obstacle in obstacles] == [("listener", address)]
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, _SCTP) as client:
            client.bind(("127.1.2.3", 0))
            client.connect(("127.1.2.3", port))
            remote = "127.1.2.3", client.getsockname()[1]
            for system in (System(), TablesOnly(), DiagOnly()):
                found = portrange.who_uses(port, protocol="sctp", remote=remote, host=_host(system))
                places = {(use.state, use.address) for use in found}
                assert {("connection", "127.0.0.1"), ("connection", "127.1.2.3")} <= places, found
                assert {(use.remote_address, use.remote_port) for use in found} == {remote}, found
            kinds = [obstacle.kind for obstacle in portrange.why_busy(port, protocol="sctp", address="127.0.0.1")]
            assert kinds == ["listener", "connection"], kinds


def sctp_to_many() -> None:
    """an SCTP socket with several associations is a listener, also after it connects"""
    with socket.socket(socket.AF_INET, socket.SOCK_SEQPACKET, _SCTP) as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        clients = [socket.socket(socket.AF_INET, socket.SOCK_STREAM, _SCTP) for _ in range(2)]
        for client in clients:
            client.connect(("127.0.0.1", port))
        found = [
            (obstacle.kind, obstacle.count)
            for obstacle in portrange.why_busy(port, protocol="sctp", address="127.0.0.1")
        ]
        assert found == [("listener", 1), ("connection", 2)], found
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, _SCTP) as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            server.connect(other.getsockname())
            for system in (System(), TablesOnly(), DiagOnly()):
                [listener] = portrange.who_listens(port, protocol="sctp", host=_host(system))
                assert (listener.address, listener.pid) == ("127.0.0.1", os.getpid()), listener
        for client in clients:
            client.close()


def dccp() -> None:
    """a DCCP server is found through sock_diag, and named as missing where only tables are"""
    with socket.socket(socket.AF_INET, _SOCK_DCCP, _DCCP) as server:
        server.setsockopt(_SOL_DCCP, _DCCP_SOCKOPT_SERVICE, b"test")
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        for system in (System(), DiagOnly()):
            found = portrange.who_listens(port, host=_host(system))
            rows = [(listener.protocol, listener.address, listener.pid) for listener in found]
            assert rows == [("dccp", "127.0.0.1", os.getpid())], rows
        [missing] = portrange.listeners(host=_host(TablesOnly())).incomplete
        assert missing.startswith("dccp sockets"), missing


def unlisted() -> None:
    """an SCTP or DCCP socket that is bound without listening is hidden"""
    for protocol, kind, number in (("sctp", socket.SOCK_STREAM, _SCTP), ("dccp", _SOCK_DCCP, _DCCP)):
        with socket.socket(socket.AF_INET, kind, number) as own:
            own.bind(("127.0.0.1", 0))
            [obstacle] = portrange.why_busy(own.getsockname()[1], protocol=protocol, address="127.0.0.1")
            assert obstacle.kind == "hidden", obstacle
            assert "not list those that are bound without listening" in obstacle.detail, obstacle


def _host(system: System) -> portrange.Host:
    host = portrange.Host()
    host._system = system
    return host


def _own_sockets(host: portrange.Host) -> None:
    """Open a socket for each transport and address; each must be found with this process as its only owner."""
    for protocol, kind in _KINDS.items():
        for address in _ADDRESSES:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            with socket.socket(family, kind) as own:
                _bind(own, address)
                if protocol == "tcp":
                    own.listen()
                port = own.getsockname()[1]
                found = portrange.who_listens(port, protocol=protocol, host=host)
                rows = [
                    (listener.protocol, listener.address, listener.port, listener.pid, listener.uid)
                    for listener in found
                ]
                assert rows == [(protocol, address, port, os.getpid(), os.geteuid())], rows
                assert found[0].owners[0].name, found


def _bind(own: socket.socket, address: str) -> None:
    """Bind any address with IP_FREEBIND, which the socket module lacks."""
    if own.family == socket.AF_INET6:
        own.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
    else:
        own.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
    own.bind((address, 0))


if __name__ == "__main__":
    usual = (ephemeral, any_source, tables, diag, everything, free_port)
    named = {check.__name__: check for check in (*usual, sctp, sctp_to_many, dccp, unlisted)}
    probing.run(*(named[name] for name in sys.argv[1:] or [check.__name__ for check in usual]))
