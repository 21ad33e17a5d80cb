"""The sources of sockets: sock_diag, the tables of procfs in its place, and the errors if both fail."""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
import threading
from collections.abc import Iterator, Mapping

import pytest
from fakes import FakeHost
from inet_diag import done, message, socket_body

from portrange import ParseError, SourceError
from portrange._backends.linux import sock_diag, sockets
from portrange._backends.linux.sock_diag import ANY_STATE, CLOSE, ESTABLISHED, LISTEN, Address, SocketFilter
from portrange._host.system import System

LOOPBACK = f"{int.from_bytes(bytes([127, 0, 0, 1]), sys.byteorder):08X}"
NOWHERE = "00000000:0000"
HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
SCTP = (
    " ENDPT     SOCK   STY SST HBKT LPORT   UID INODE LADDRS\n"
    "ffff8801 ffff8802 2   10  29   2905    0 3214 127.0.0.1 *::1 \n"
)
PROTOCOLS = (
    b"protocol  size sockets  memory press maxhdr  slab module     cl co di ac io in de sh ss gs se re sp bi br ha uh\n"
    b"SCTP      1600      0       0   no      0   yes  sctp         y y y\n"
    b"DCCP      1400      0      -1   NI    200   yes  dccp         y y y\n"
    b"UDP       1344      3       2   NI      0   yes  kernel       y y y\n"
)
DENIED = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
REFUSED = PermissionError(errno.EPERM, os.strerror(errno.EPERM))
OPTIONAL_NUMBERS = {132: "sctp", 33: "dccp"}


def row(port: int, inode: int, *, state: int = LISTEN, remote: str = NOWHERE, queue: int = 0) -> str:
    """Return a row of /proc/net/tcp or udp, for a socket on 127.0.0.1."""
    return (
        f"   0: {LOOPBACK}:{port:04X} {remote} {state:02X} 00000000:{queue:08X} 00:00000000 00000000  1000        0 "
        f"{inode} 1 0000000000000000 100 0 0 10 0\n"
    )


class Kernel(FakeHost):
    """A host whose sock_diag fails with errors or replies in turn; the last one is repeated.

    A reply is the messages of sockets, to which the header with the right sequence number is added.
    """

    def __init__(self, files: Mapping[str, bytes | OSError], *replies: OSError | list[bytes]) -> None:
        super().__init__({"/proc/sys/kernel/osrelease": b"6.1.0\n", **files})
        self.replies = list(replies or [REFUSED])
        self.sequences: list[int] = []

    def sock_diag(self, request: bytes) -> Iterator[bytes]:
        [sequence] = struct.unpack_from("=I", request, 8)
        self.sequences.append(sequence)
        reply = self.replies[0]
        if len(self.replies) > 1:
            del self.replies[0]
        if isinstance(reply, OSError):
            raise reply
        for body in reply if request[16] == socket.AF_INET else []:
            yield message(body, sequence)
        yield done(sequence)


def body(port: int, inode: int, *, state: int = LISTEN, remote_port: int = 0) -> bytes:
    """Return the body of a message about a socket on 127.0.0.1 (struct inet_diag_msg)."""
    return socket_body("127.0.0.1", port, "127.0.0.1", remote_port, state=state, uid=1000, inode=inode)


def inodes(host: FakeHost, *protocols: str, port: int = 0) -> list[int]:
    return [record.inode for record in sockets.listening(host, protocols, port)[0]]


# --- sock_diag -------------------------------------------------------------------------------------------------------


def test_listening_sockets_of_all_ports_are_the_default():
    host = Kernel({}, [body(80, 1), body(443, 2)])
    assert [record.inode for record in sockets.listening(host, ("tcp",))[0]] == [1, 2]


def test_bound_sockets_on_other_ports_are_left_out():
    host = Kernel({}, [body(80, 1), body(443, 2)])
    records = sockets.matching(host, SocketFilter("tcp", ANY_STATE, 443))
    assert [record.inode for record in records] == [2]


def test_udp_sockets_without_a_port_or_with_a_peer_do_not_listen():
    host = Kernel({}, [body(53, 1, state=CLOSE), body(0, 2, state=CLOSE), body(53, 3, state=CLOSE, remote_port=9)])
    assert inodes(host, "udp") == [1]


def test_each_list_has_a_sequence_number_of_its_own_in_32_bits():
    host = Kernel({}, [body(80, 1), body(0, 0, state=CLOSE)])
    inodes(host, "tcp")
    assert len(host.sequences) == sockets._LISTS + 1
    of_ipv4, [of_ipv6] = set(host.sequences[:-1]), host.sequences[-1:]
    assert len(of_ipv4) == 1, "the repetitions of a list are comparable"
    assert of_ipv6 == of_ipv4.pop() + 1
    assert 0 < of_ipv6 < 1 << 32


def test_lost_parts_are_requested_again():
    lost = OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
    host = Kernel({}, lost, [body(80, 1)])
    assert inodes(host, "tcp") == [1]
    assert len(host.sequences) == 3


def test_interrupted_dump_is_requested_again():
    class Interrupted(Kernel):
        def sock_diag(self, request: bytes) -> Iterator[bytes]:
            for datagram in super().sock_diag(request):
                # NLM_F_DUMP_INTR in the first reply
                flags = struct.pack("=H", 0x12)
                yield datagram[:6] + flags + datagram[8:] if len(self.sequences) == 1 else datagram

    host = Interrupted({}, [body(80, 1)])
    assert inodes(host, "tcp") == [1]
    assert len(host.sequences) == 3


def test_dump_that_never_completes_is_an_error():
    def read(datagrams: Iterator[bytes], sequence: int) -> None:
        assert len(list(datagrams)) == 1
        raise sockets.sock_diag.DumpInterruptedError

    host = Kernel({}, [])
    with pytest.raises(SourceError) as caught:
        sockets.dump(host, lambda sequence: bytes(8) + struct.pack("=I", sequence) + bytes(8), read)
    assert str(caught.value) == "NETLINK_SOCK_DIAG: the sockets changed during each of 5 dumps; try again"
    assert caught.value.errno == errno.EAGAIN
    assert len(set(host.sequences)) == 5


def test_other_errors_of_a_dump_are_raised_at_once():
    host = Kernel({}, REFUSED)
    with pytest.raises(PermissionError):
        sockets.dump(host, lambda sequence: bytes(20), lambda datagrams, sequence: list(datagrams))
    assert len(host.sequences) == 1


# --- one socket ------------------------------------------------------------------------------------------------------

NEEDS_SOCK_DIAG = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has sock_diag")


@NEEDS_SOCK_DIAG
@pytest.mark.usefixtures("sock_diag")
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_connection_is_the_socket_of_its_ends(address, request):
    family = socket.AF_INET
    if address == "::1":
        request.getfixturevalue("ipv6")
        family = socket.AF_INET6
    with (
        socket.create_server((address, 0), family=family) as server,
        socket.create_connection(server.getsockname()[:2]) as client,
    ):
        accepted, _ = server.accept()
        with accepted:
            here, there = client.getsockname()[:2], server.getsockname()[:2]
            found = sockets.connection(System(), "tcp", here[1], there)
            assert found is not None
            assert (found.inode, found.state) == (os.fstat(client.fileno()).st_ino, ESTABLISHED)
            other = sockets.connection(System(), "tcp", there[1], here)
            assert other is not None
            assert other.inode == os.fstat(accepted.fileno()).st_ino
            # A listener accepts packets from this address, but it has no connection with it.
            assert sockets.connection(System(), "tcp", there[1], (address, 1)) is None
            assert sockets.connection(System(), "udp", here[1], there) is None


@NEEDS_SOCK_DIAG
@pytest.mark.usefixtures("sock_diag")
def test_exact_socket_of_each_remote_end():
    loopback = socket.inet_aton("127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        local = Address(loopback, server.getsockname()[1])
        remotes = [Address(loopback, 1), Address(loopback, client.getsockname()[1])]
        accepted, _ = server.accept()
        with accepted:
            found = sockets.exact(System(), "tcp", local, remotes)
            expected = [os.fstat(end.fileno()).st_ino for end in (server, accepted)]
            assert [record and record.inode for record in found] == expected
            assert {record and record.protocol for record in found} == {"tcp"}


@pytest.mark.parametrize(("options", "interface"), [({}, 0), ({"interface": 3}, 3)])
def test_exact_asks_at_the_interface_where_packets_arrive(options, interface):
    class Requested(Kernel):
        def sock_diag(self, request: bytes) -> Iterator[bytes]:
            assert request == sock_diag.request_exact(
                "udp", *ends, int.from_bytes(request[8:12], sys.byteorder), interface=interface
            )
            raise REFUSED

    ends = Address(bytes([127, 0, 0, 1]), 53), Address(bytes([127, 0, 0, 1]), 9)
    with pytest.raises(PermissionError):
        sockets.exact(Requested({}), "udp", ends[0], [ends[1]], **options)


def test_sctp_association_is_found_in_the_list_alone():
    """The kernel's reply to a request for one association is one message, for a record for each local address."""
    host = Kernel({}, [body(80, 1, state=ESTABLISHED, remote_port=9)])
    assert sockets.connection(host, "sctp", 80, ("127.0.0.1", 9)) is None
    assert host.sequences == []


def test_connection_is_unknown_without_sock_diag():
    class Routed(Kernel):
        def source_address(self, address: str, port: int) -> str:
            return "127.0.0.1"

    assert sockets.connection(Routed({}), "tcp", 80, ("127.0.0.1", 9)) is None


# --- tables of procfs ------------------------------------------------------------------------------------------------


def test_tables_replace_sock_diag():
    tables = {"/proc/net/tcp": f"{HEADER}{row(80, 7, queue=31)}{row(80, 8, state=ESTABLISHED, queue=9)}".encode()}
    [record] = sockets.listening(Kernel(tables), ("tcp",))[0]
    assert (record.inode, record.port, record.queued) == (7, 80, 31)
    [other] = sockets.matching(Kernel(tables), SocketFilter("tcp", frozenset({ESTABLISHED})))
    assert (other.inode, other.queued) == (8, None)
    tables["/proc/net/udp"] = f"{HEADER}{row(53, 9, state=CLOSE, queue=4)}".encode()
    [bound] = sockets.listening(Kernel(tables), ("udp",))[0]
    assert (bound.inode, bound.queued) == (9, None)


def test_sctp_endpoints_come_from_their_table():
    host = Kernel({"/proc/net/protocols": PROTOCOLS, "/proc/net/sctp/eps": SCTP.encode()})
    records = sockets.listening(host, ("sctp",))[0]
    assert [(str(record.local), record.local.port, record.inode) for record in records] == [
        ("127.0.0.1", 2905, 3214),
        ("::1", 2905, 3214),
    ]


def test_sctp_associations_come_from_a_table_beside_that_of_endpoints():
    associations = (
        " ASSOC     SOCK   STY SST ST HBKT ASSOC-ID TX_QUEUE RX_QUEUE UID INODE LPORT RPORT LADDRS <-> RADDRS HBINT\n"
        "ffff8803 ffff8802 1   10  3  0       5        0        0       0  3214 2905  9001  ::1 <-> *::2 \t  3000\n"
    )
    tables = {"/proc/net/sctp/eps": SCTP.encode(), "/proc/net/sctp/assocs": associations.encode()}
    host = Kernel({"/proc/net/protocols": PROTOCOLS, **tables})
    records = sockets.matching(host, SocketFilter("sctp", ANY_STATE, 2905))
    assert [(str(record.local), record.state, record.remote.port) for record in records] == [
        ("127.0.0.1", LISTEN, 0),
        ("::1", LISTEN, 0),
        ("::1", ESTABLISHED, 9001),
    ]
    assert {record.remote.port for record in sockets.listening(host, ("sctp",))[0]} == {0}


def test_sctp_associations_are_not_read_for_listeners():
    tables = {"/proc/net/sctp/eps": SCTP.encode(), "/proc/net/sctp/assocs": b"?"}
    host = Kernel({"/proc/net/protocols": PROTOCOLS, **tables})
    assert len(sockets.listening(host, ("sctp",))[0]) == 2
    with pytest.raises(ParseError, match=r"^/proc/net/sctp/assocs: "):
        sockets.matching(host, SocketFilter("sctp", frozenset({ESTABLISHED})))


def test_protocol_that_the_kernel_does_not_have_has_no_sockets():
    host = Kernel({"/proc/net/protocols": PROTOCOLS.replace(b"SCTP", b"MPTCP")})
    assert sockets.available(host) == ("tcp", "udp", "dccp")
    assert sockets.listening(host, ("sctp",)) == ([], [])


def test_all_protocols_count_as_available_if_their_list_is_unreadable():
    assert sockets.available(Kernel({})) == ("tcp", "udp", "sctp", "dccp")


@pytest.mark.parametrize("protocol", ["tcp", "sctp"])
def test_invalid_table_is_named(protocol):
    table = {"tcp": "tcp", "sctp": "sctp/eps"}[protocol]
    host = Kernel({"/proc/net/protocols": PROTOCOLS, f"/proc/net/{table}": "ÿ\n".encode("latin-1")})
    with pytest.raises(ParseError, match=rf"^/proc/net/{table}: expected .*, found '\\\\xff'$"):
        sockets.listening(host, (protocol,))


def test_table_that_fills_a_part_is_read_again():
    """Linux ends a part when its buffer of 4,096 bytes is full: 31 UDP sockets are 3,968 and 128 bytes."""

    class Counting(Kernel):
        reads = 0

        def read(self, path: str) -> bytes:
            self.reads += path == "/proc/net/udp"
            return super().read(path)

    def reads(count: int) -> int:
        lines = [HEADER, *(row(1000 + number, number, state=CLOSE) for number in range(1, count + 1))]
        host = Counting({"/proc/net/udp": "".join(line.rstrip("\n").ljust(127) + "\n" for line in lines).encode()})
        assert inodes(host, "udp") == list(range(1, count + 1))
        return host.reads

    assert reads(30) == 1
    assert reads(31) == 2


def test_table_of_a_procfs_that_shows_processes_only_is_below_self():
    text = f"{HEADER}{row(80, 7)}".encode()
    assert inodes(Kernel({"/proc/self/net/tcp": text}), "tcp") == [7]


def test_other_network_has_no_second_place_of_its_tables():
    text = f"{HEADER}{row(80, 7)}".encode()
    host = Kernel({"/proc/42/net/tcp": text, "/proc/self/net/udp": text}).in_network("/proc/42")
    assert inodes(host, "tcp") == [7]
    with pytest.raises(SourceError, match=r"^NETLINK_SOCK_DIAG and /proc/42/net: cannot list udp sockets"):
        inodes(host, "udp")


# --- errors ----------------------------------------------------------------------------------------------------------

SOURCES = "NETLINK_SOCK_DIAG and /proc/net"
EITHER = "allow AF_NETLINK sockets or mount procfs"
NO_FILES = "close files, or raise the limit of open files (RLIMIT_NOFILE, ulimit -n)"


@pytest.mark.parametrize(
    ("refusal", "error", "text"),
    [
        (REFUSED, DENIED, f"(Operation not permitted; Permission denied); {EITHER}"),
        (DENIED, DENIED, f"(Permission denied); {EITHER}"),
        (OSError("no netlink"), OSError("no table"), f"(no netlink; no table); {EITHER}"),
        (REFUSED, OSError(errno.EMFILE, "Too many"), f"(Operation not permitted; Too many); {NO_FILES}"),
    ],
)
def test_error_names_both_sources_and_a_remedy(refusal, error, text):
    with pytest.raises(SourceError) as caught:
        inodes(Kernel({"/proc/net/tcp": error}, refusal), "tcp")
    assert str(caught.value) == f"{SOURCES}: cannot list tcp sockets {text}"
    assert (caught.value.source, caught.value.errno) == (SOURCES, error.errno)


def test_error_without_a_table_names_its_absence():
    with pytest.raises(SourceError) as caught:
        inodes(Kernel({"/proc/net/protocols": PROTOCOLS}), "dccp")
    reason = "cannot list dccp sockets (Operation not permitted; procfs has no table of dccp sockets)"
    assert str(caught.value) == f"{SOURCES}: {reason}; {EITHER}"
    assert caught.value.errno == errno.ENOENT


def test_error_on_wsl_1_names_windows():
    release = {"/proc/sys/kernel/osrelease": b"4.4.0-19041-Microsoft\n"}
    with pytest.raises(SourceError) as caught:
        inodes(Kernel({**release, "/proc/net/tcp": f"{HEADER}{row(80, 7)}".encode()}), "tcp")
    reason = "cannot list sockets on WSL 1, where Windows owns them; use Python for Windows"
    assert (str(caught.value), caught.value.source) == (f"{SOURCES}: {reason}", SOURCES)


def test_optional_protocols_that_fail_are_named_beside_the_others():
    tables = {
        "/proc/net/protocols": PROTOCOLS,
        "/proc/net/tcp": f"{HEADER}{row(80, 7)}".encode(),
        "/proc/net/udp": HEADER.encode(),
        "/proc/net/sctp/eps": DENIED,
    }
    records, missing = sockets.listening(Kernel(tables))
    assert [record.inode for record in records] == [7]
    assert missing == [f"sctp and dccp sockets ({SOURCES}: Permission denied)"]
    tables["/proc/net/sctp/eps"] = SCTP.encode()
    records, missing = sockets.listening(Kernel(tables))
    assert [record.inode for record in records] == [7, 3214, 3214]
    assert missing == [f"dccp sockets ({SOURCES}: No such file or directory)"]
    for protocol in ("sctp", "dccp"):
        tables["/proc/net/sctp/eps"] = DENIED
        with pytest.raises(SourceError):
            sockets.listening(Kernel(tables), (protocol,))
    tables["/proc/net/udp"] = DENIED
    with pytest.raises(SourceError, match="cannot list udp sockets"):
        sockets.listening(Kernel(tables))


def test_failure_without_an_error_number_has_its_text():
    tables = {"/proc/net/protocols": PROTOCOLS, "/proc/net/tcp": HEADER.encode(), "/proc/net/udp": HEADER.encode()}
    tables["/proc/net/sctp/eps"] = OSError("no table")
    _, missing = sockets.listening(Kernel(tables, OSError("no netlink")))
    reason = f"cannot list sctp sockets (no netlink; no table); {EITHER}"
    assert missing == [f"sctp and dccp sockets ({SOURCES}: {reason})"]


# --- networks --------------------------------------------------------------------------------------------------------


class Networks(Kernel):
    """A host with network namespaces by process."""

    def __init__(self, identities: Mapping[str, int | OSError]) -> None:
        super().__init__({})
        self.identities = identities
        self.looked_up: list[str] = []

    def identity_of(self, process: str) -> int:
        self.looked_up.append(process)
        found = self.identities[process]
        if isinstance(found, OSError):
            raise found
        return found


def in_another_thread(host: Networks) -> str:
    directories: list[str] = []
    thread = threading.Thread(target=lambda: directories.append(sockets._own_directory(host)))
    thread.start()
    thread.join()
    return directories[0]


@pytest.mark.skipif(
    getattr(threading.main_thread(), "native_id", None) != os.getpid(),
    reason="the main thread of this system does not have the ID of the process",
)
def test_main_thread_is_not_looked_up():
    host = Networks({})
    assert sockets._own_directory(host) == "/proc"
    assert host.looked_up == []


GONE = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


@pytest.mark.parametrize(
    ("thread", "process", "directory"),
    [
        (1, 1, "/proc"),
        (2, 1, "/proc/thread-self"),
        (GONE, 1, "/proc"),
        (ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH)), 1, "/proc"),
        (DENIED, 1, "/proc/thread-self"),
        (1, DENIED, "/proc/thread-self"),
    ],
)
def test_directory_of_another_thread(thread, process, directory):
    assert in_another_thread(Networks({"/proc/thread-self": thread, "/proc/self": process})) == directory


def test_network_identity_is_that_of_the_queried_network():
    # Compared by a system whose main thread does not have the ID of the process.
    own = {"/proc/thread-self": 5, "/proc/self": 5}
    host = Networks({"/proc": 5, "/proc/42": 6, "/proc/43": DENIED, **own})
    assert sockets.network_identity(host) == 5
    assert sockets.network_identity(host.in_network("/proc/42")) == 6
    assert sockets.network_identity(host.in_network("/proc/43")) is None
