"""Socket dumps in several parts: sockets can close between parts, and the kernel continues by position."""

from __future__ import annotations

import struct
import sys

import inet_diag
from fakes import SystemHost
from inet_diag import socket_body

from portrange._backends.linux import sockets

PORT = 8080
#: 127.0.0.1 in /proc/net: an integer of the kernel.
LOOPBACK = f"{int.from_bytes(bytes([127, 0, 0, 1]), sys.byteorder):08X}"


def message(inode: int, sequence: int) -> bytes:
    """Return the sock_diag message of a TCP socket that listens on 127.0.0.1; without inode, one that is closed."""
    state, port = (10, PORT) if inode else (7, 0)
    body = socket_body("127.0.0.1", port, state=state, uid=1000, inode=inode)
    return inet_diag.message(body, sequence)


class Listing(SystemHost):
    """A fake kernel that returns these inodes, dump by dump and part by part; it repeats the last dump."""

    def __init__(self, *dumps: list[list[int]]) -> None:
        super().__init__()
        self.dumps = list(dumps)
        self.dump_count = 0

    def sock_diag(self, request):
        family, sequence = request[16], struct.unpack_from("=I", request, 8)[0]
        if family == 2:
            self.dump_count += 1
            for part in self.dumps[0]:
                yield b"".join(message(inode, sequence) for inode in part)
            if len(self.dumps) > 1:
                del self.dumps[0]
        yield struct.pack("=IHHIIi", 20, 3, 2, sequence, 0, 0)


def listed(host: SystemHost) -> list[int]:
    return [record.inode for record in sockets.listening(host, ("tcp",), PORT)[0]]


def test_dump_in_one_part_is_complete():
    host = Listing([[1, 2, 3]])
    assert listed(host) == [1, 2, 3]
    assert host.dump_count == 1


def test_two_equal_dumps_are_complete():
    host = Listing([[1, 2], [3]])
    assert listed(host) == [1, 2, 3]
    assert host.dump_count == 2


def test_sockets_missed_between_parts_are_found_in_the_next_dump():
    host = Listing([[1, 2], [4]], [[1, 2], [3, 4]], [[1, 2], [3, 4]])
    assert listed(host) == [1, 2, 4, 3]
    assert host.dump_count == 3


def test_socket_that_loses_its_port_during_a_dump_is_in_the_next():
    """The kernel chooses a socket, and writes its message later: state CLOSE and port 0 after tcp_time_wait()."""
    host = Listing([[1, 0]], [[1, 2]])
    assert listed(host) == [1, 2]
    assert host.dump_count == 2


def test_sockets_that_lose_their_ports_in_every_dump_are_left_out():
    host = Listing([[1, 0]])
    assert listed(host) == [1]
    assert host.dump_count == sockets._LISTS


def test_duplicate_sockets_are_merged():
    assert listed(Listing([[1, 2], [2, 3]])) == [1, 2, 3]


def test_number_of_dumps_is_bounded():
    host = Listing(*([[number], [number + 100]] for number in range(1, 50)))
    assert {1, 101} <= set(listed(host))
    assert host.dump_count == sockets._LISTS


def test_long_procfs_tables_are_read_again(tmp_path):
    lines = [
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode".ljust(149)
    ]
    lines += [
        f"{number:4}: {LOOPBACK}:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 "
        f"{1000 + number} 1 0000000000000000 100 0 0 10 0".ljust(149)
        for number in range(40)
    ]
    (tmp_path / "net").mkdir()

    class Tables(SystemHost):
        """A host without netlink; the first read of the table misses two sockets."""

        reads = 0

        def sock_diag(self, request):
            raise PermissionError

        def read(self, path):
            if not path.endswith("/net/tcp"):
                return super().read(path)
            self.reads += 1
            shown = lines if self.reads > 1 else lines[:20] + lines[22:]
            return "\n".join([*shown, ""]).encode()

    host = Tables(str(tmp_path))
    assert sorted(listed(host)) == [1000 + number for number in range(40)]
    assert host.reads == 3


def test_has_sockets():
    end = struct.pack("=IHHIIi", 20, 3, 2, 7, 0, 0)
    assert sockets.sock_diag.records([message(1, 7), end], 7, "tcp")[1] == 1
    assert sockets.sock_diag.records([end], 7, "tcp")[1] == 0
    assert sockets.sock_diag.records([b"", end], 7, "tcp")[1] == 0
