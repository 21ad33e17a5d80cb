"""Lists of sockets that come in several parts, between which sockets may go: those of the kernel go on by place."""

from __future__ import annotations

import struct

import portrange
from portrange._backends.linux import sockets

PORT = 8080


def message(inode: int, sequence: int) -> bytes:
    """A TCP socket that listens on 127.0.0.1, as sock_diag shows it."""
    body = struct.pack("=BBBB2s2s16s16sI8sIIIII", 2, 10, 0, 0, PORT.to_bytes(2, "big"), b"",
                       bytes([127, 0, 0, 1]), b"", 0, b"", 0, 0, 0, 1000, inode)  # fmt: skip
    return struct.pack("=IHHII", 16 + len(body), 20, 2, sequence, 0) + body


class Listing(portrange.Host):
    """A kernel that shows these inodes, dump after dump and part after part; the last dump again and again."""

    def __init__(self, *dumps: list[list[int]]) -> None:
        super().__init__()
        self.dumps = list(dumps)
        self.asked = 0

    def sock_diag(self, request):
        family, sequence = request[16], struct.unpack_from("=I", request, 8)[0]
        if family == 2:
            self.asked += 1
            for part in self.dumps[0]:
                yield b"".join(message(inode, sequence) for inode in part)
            if len(self.dumps) > 1:
                del self.dumps[0]
        yield struct.pack("=IHHIIi", 20, 3, 2, sequence, 0, 0)


def listed(host: portrange.Host) -> list[int]:
    return [record.inode for record in sockets.listening(host, "tcp", PORT)]


def test_one_part_is_whole():
    host = Listing([[1, 2, 3]])
    assert listed(host) == [1, 2, 3]
    assert host.asked == 1


def test_what_two_lists_agree_on_is_all():
    host = Listing([[1, 2], [3]])
    assert listed(host) == [1, 2, 3]
    assert host.asked == 2


def test_what_is_left_out_between_two_parts_is_found_in_the_next_list():
    host = Listing([[1, 2], [4]], [[1, 2], [3, 4]], [[1, 2], [3, 4]])
    assert listed(host) == [1, 2, 4, 3]
    assert host.asked == 3


def test_what_is_named_twice_is_one_socket():
    assert listed(Listing([[1, 2], [2, 3]])) == [1, 2, 3]


def test_it_comes_to_an_end_where_nothing_agrees():
    host = Listing(*([[number], [number + 100]] for number in range(1, 50)))
    assert {1, 101} <= set(listed(host))
    assert host.asked == sockets._LISTS


def test_the_tables_of_procfs_are_read_again_where_they_are_long(tmp_path):
    lines = [
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode".ljust(149)
    ]
    lines += [
        f"{number:4}: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 "
        f"{1000 + number} 1 0000000000000000 100 0 0 10 0".ljust(149)
        for number in range(40)
    ]
    (tmp_path / "net").mkdir()

    class Tables(portrange.Host):
        """Without netlink; in the table as it is first read, two sockets are left out."""

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


def test_what_begins_with_no_socket_is_told_from_what_does():
    assert sockets.sock_diag.has_sockets(message(1, 7))
    assert not sockets.sock_diag.has_sockets(struct.pack("=IHHIIi", 20, 3, 2, 7, 0, 0))
    assert not sockets.sock_diag.has_sockets(b"")
