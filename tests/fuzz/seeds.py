"""Real input of each parser, from which fuzzing starts."""

from __future__ import annotations

import errno
import struct
from pathlib import Path

import pcblist_tables
from registry import generate as generator

HOSTS = Path(__file__).parents[1] / "hosts"
SEQUENCE = 7


def recorded(pattern: str) -> tuple[bytes, ...]:
    """Return the distinct contents of the matching files of recorded hosts."""
    return tuple(sorted({path.read_bytes() for path in HOSTS.glob(pattern)}))


def socket_tables(protocol: str) -> tuple[bytes, ...]:
    """Return tables of sockets of macOS: in each layout, without sockets, and with the caller's probe socket only."""
    whole = [pcblist_tables.table(pcblist_tables.ROWS[protocol], protocol, layout) for layout in pcblist_tables.LAYOUTS]
    return (*whole, *(pcblist_tables.table(rows, protocol) for rows in ([], [pcblist_tables.probe(protocol)])))


def lines(*texts: str) -> bytes:
    return "".join(f"{text}\n" for text in texts).encode()


# --- sock_diag: each input begins with the size of its datagrams ----------------------------------------------------


def replies(order: str) -> tuple[bytes, ...]:
    """Return replies in one byte order: empty, a listener, connections, interrupted, refused."""
    attribute = struct.Struct(order + "HH").pack
    v6only = attribute(5, 11) + b"\1\0\0\0"
    group = attribute(12, 21) + struct.pack(order + "Q", 1 << 32)
    ipv4 = b"\x1f\x90\x01\xbb" + bytes([127, 0, 0, 1]) + bytes(12) + bytes([127, 0, 0, 2]) + bytes(12)
    mapped = b"\xc0\x00\x01\xbb" + (bytes(10) + b"\xff\xff\x7f\0\0\1") * 2
    listening = _message(order, 20, _socket(order, 10, 10, b"\x1f\x90" + bytes(34), v6only + group))
    connected = _message(order, 20, _socket(order, 2, 1, ipv4, group))
    time_wait = _message(order, 18, _socket(order, 10, 6, mapped))
    end = _message(order, 3, bytes(4))
    refusal = _message(order, 2, struct.pack(order + "i", -errno.ENOENT) + bytes(16))
    interrupted = _message(order, 3, bytes(4), flags=0x12)
    complete = (end, listening + end, connected * 2 + time_wait + end, connected + interrupted, refusal)
    return (*(b"\0" + reply for reply in complete), bytes([len(listening) // 4]) + listening + end)


def _message(order: str, kind: int, body: bytes, flags: int = 2) -> bytes:
    return struct.pack(order + "IHHII", 16 + len(body), kind, flags, SEQUENCE, 0) + body


def _socket(order: str, family: int, state: int, ends: bytes, attributes: bytes = b"") -> bytes:
    fixed = struct.pack(order + "BBBB36sI8sIIIII", family, state, 0, 0, ends, 3, b"\1" * 8, 5000, 0, 128, 1000, 4711)
    return fixed + attributes


# --- procfs ---------------------------------------------------------------------------------------------------------

TCP = lines(
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
    "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0 100 0 0 10 0",
    "   1: 0100007F:1F90 0200007F:C000 06 00000000:00000000 03:00000ABC 00000000     0        0 0 3 0",
)
TCP6 = lines(
    "  sl  local_address                         remote_address                        st tx_queue rx_queue",
    f"   0: {'0' * 32}:0050 {'0' * 32}:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4712 1 0",
)
SCTP_ENDPOINTS = lines(
    " ENDPT     SOCK   STY SST HBKT LPORT   UID INODE LADDRS",
    "ffff0000 ffff0001 2   10  29   11165  1000 4711  *127.0.0.1 ::1",
)
SCTP_ASSOCIATIONS = lines(
    " ASSOC     SOCK   STY SST ST HBKT ASSOC-ID TX_QUEUE RX_QUEUE UID INODE LPORT RPORT LADDRS <-> RADDRS HBINT",
    "ffff0002 ffff0001 2   1   3  0  5 0 0 1000  4712 11165  36412  127.0.0.1 <-> *127.0.0.2 \t 3000",
)
PROTOCOLS = lines("protocol  size sockets", "SCTP      1536      0", "TCP       2304      6")
BOOT_TIME = lines("cpu 1 2", "btime 1700000000", "processes 5")
PID_STAT = b"7 (a) b) S 1 7 7 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0\n"
PID_STATUS = lines(
    "Name:\tsshd", "Umask:\t0022", "Pid:\t7", "Uid:\t0\t33\t0\t0", "NSpid:\t7\t1", "CapEff:\t000001ffffffffff"
)
UID_MAPS = (lines("         0          0 4294967295"), lines("0 1000 1", "1 100000 65536"))
MEMBERSHIPS = (
    lines("0::/system.slice/nginx.service"),
    lines("4:cpu,cpuacct:/", "1:name=systemd:/docker/" + "2c" * 32, "0::/"),
)
CMDLINES = (b"python3\0-m\0http.server\0", b"\xff\0\0a")
MOUNTINFO = lines(
    "22 1 0:21 / /proc rw,nosuid - proc proc rw,hidepid=2",
    r"42 35 0:39 / /sys/fs/cg\040roup rw shared:9 - cgroup2 cgroup2 rw,nsdelegate",
)
CGROUPS = (
    b"/system.slice/nginx.service",
    rb"/system.slice/_my\x2dapp\xc3\xa4.service",
    b"/system.slice/docker-" + b"0a" * 32 + b".scope",
    b"/kubepods.slice/kubepods-pod0.slice/cri-containerd-" + b"1b" * 32 + b".scope/init",
    b"/docker/" + b"2c" * 32,
    b"/lxc.payload.web/init.scope",
    b"/lxc/web",
    b"/",
)

# --- input from people ----------------------------------------------------------------------------------------------


def registries() -> tuple[bytes, ...]:
    """Return small registry files: services, rows without a name, and texts that are hard to quote."""
    rows = (
        "http,80,tcp,World Wide Web HTTP,[IESG],[IETF],,2021-10-01,[RFC9110],,,",
        "http,80,udp,World Wide Web HTTP,[IESG],[IETF],,2021-10-01,[RFC9110],,,",
        "http,80,sctp,HTTP,[R],[R],,,[RFC9260],,,",
        ",81,,Unassigned,,,,,,,,",
        r',100-102,tcp,"Reserved for \ ""a""","x' + "\ny" + '",,2001-02-03,,,,used without registration,a note',
    )
    head = ",".join(generator.COLUMNS)
    return tuple("\r\n".join([head, *body, ""]).encode() for body in (rows, rows[:1], ()))


#: As printed by ``docker compose config --format json`` and ``kubectl get -o json``, shortened.
MANIFESTS = (
    b'{"services": {"web": {"ports": [{"target": 80, "published": "8080", "protocol": "tcp", "host_ip": "::1"}]}}}',
    b'{"services": {"db": {"ports": [{"target": 1, "published": "9000-9002"}]}, "none": {}}}',
    (
        b'{"apiVersion": "v1", "kind": "List", "items": [{"kind": "Service", "metadata": {"name": "a"}, '
        b'"spec": {"ports": [{"port": 80, "nodePort": 30080}]}}, {"kind": "Pod", "spec": {"nodeName": "n", '
        b'"containers": [{"ports": [{"hostPort": 53, "protocol": "UDP", "hostIP": "127.0.0.1"}]}]}}]}'
    ),
)

COMMAND_LINES = (
    b"60860",
    b"--json\0--protocol\0tcp",
    b"check\08080\0--strict",
    b"busy\x0053\0--address\0::1",
    b"suggest\0a\0--avoid\08000-8999\0-h",
    b"range\0--family=ipv6\0--version",
)
