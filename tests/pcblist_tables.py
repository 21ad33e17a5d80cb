"""Tables of sockets in the layout of macOS, made by hand from the sources that `portrange._backends.pcblist` names.

    python tests/pcblist_tables.py      writes the tables of tests/hosts/darwin-*-pcblist* again

The layouts are those of Darwin 14 to 21 ("12", macOS 10.10 to 12), Darwin 22 to 24 ("13", macOS 13 to 15), and "later",
an invented one: longer records, records of unknown kind, and a buffer record of kind 0.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

HOSTS = Path(__file__).parent / "hosts"
LAYOUTS = ("12", "13", "later")
#: The caller of the recorded hosts, and its probe sockets (`RecordedHost.held_probes`).
PID, UID = 4242, 501
PROBE_PORTS = {"tcp": 60001, "udp": 60002}
LISTEN, ESTABLISHED, TIME_WAIT = 1, 4, 10
NUMBERS = {"tcp": (6, 1), "udp": (17, 2)}
GENERATION = 900


@dataclass(frozen=True)
class Row:
    """A socket; `family`, `vflag`, `options`, `kind` and `number` follow from the other fields unless given."""

    address: str = "127.0.0.1"
    port: int = 0
    state: int = 0
    uid: int = UID
    last_pid: int = PID
    remote_port: int = 0
    family: int | None = None
    vflag: int | None = None
    options: int | None = None
    kind: int | None = None
    number: int | None = None
    queued: int = 0
    backlog: int = 128
    generation: int = 5


#: A PCB whose socket is being freed.
GONE = Row("127.0.0.1", 8999, family=0, kind=0, number=0, uid=0, last_pid=0)


def probe(protocol: str) -> Row:
    """The probe socket of the caller."""
    return Row(port=PROBE_PORTS[protocol])


def flow(address: str, port: int, **more: int) -> Row:
    """A user-space flow (Skywalk): user, type and family are 0."""
    return Row(address, port, **{"family": 0, "kind": 0, "uid": 0, "options": 0, **more})


def table(
    rows: Iterable[Row], protocol: str, layout: str = "13", *, count: int | None = None, swap_ports: bool = False
) -> bytes:
    """Return the bytes of a table; *count* is the number of sockets in the header, if it is not that of the rows."""
    return joined([group(row, protocol, layout, swap_ports=swap_ports) for row in rows], count)


def joined(groups: list[bytes], count: int | None = None) -> bytes:
    """Return the bytes of a table with these groups of records."""
    number = len(groups) if count is None else count
    header = struct.pack("<IIQQ", 24, number, GENERATION, 7)
    trailer = struct.pack("<IIQQ", 24, number, GENERATION + 3, 9)
    return header + b"".join(groups) + (trailer if groups else b"")


def requested(sockets: int, protocol: str, layout: str = "13") -> int:
    """Return the size that the kernel requests for a number of sockets (get_pcblist_n of in_pcblist.c)."""
    return 48 + (sockets + sockets // 8 + 1) * len(group(Row(), protocol, layout))


def group(row: Row, protocol: str, layout: str, *, swap_ports: bool = False) -> bytes:
    """Return the records of a socket."""
    address = ip_address(row.address)
    number, kind = NUMBERS[protocol]
    family = row.family if row.family is not None else 2 if address.version == 4 else 30
    vflag = row.vflag if row.vflag is not None else 1 if address.version == 4 else 2
    options = row.options if row.options is not None else 2 if row.state == LISTEN else 0
    order = "<" if swap_ports else ">"
    inpcb = bytearray(104)
    struct.pack_into(f"{order}HH", inpcb, 16, row.remote_port, row.port)
    struct.pack_into("<Q", inpcb, 28, row.generation)
    inpcb[44], inpcb[45], inpcb[46] = vflag, 64, number
    inpcb[64:80] = bytes(16 - len(address.packed)) + address.packed
    xsocket = bytearray(76 if layout == "12" else 104)
    struct.pack_into("<Q", xsocket, 8, 0xFEED_0000 + row.port)
    struct.pack_into("<hxxI", xsocket, 16, kind if row.kind is None else row.kind, options)
    struct.pack_into("<ii", xsocket, 36, number if row.number is None else row.number, family)
    struct.pack_into("<hhh", xsocket, 44, row.queued, 0, row.backlog if row.state == LISTEN else 0)
    struct.pack_into("<Iii", xsocket, 64, row.uid, row.last_pid, 0)
    tcpcb = bytearray(204)
    struct.pack_into("<i", tcpcb, 36, row.state)
    buffers = [(0x002, bytearray(32)), (0x004, bytearray(32)), (0x008, bytearray(136))]
    records = [(0x010, inpcb), (0x001, xsocket), *buffers, *([(0x020, tcpcb)] if protocol == "tcp" else [])]
    if layout == "later":
        records = [(kind, record + bytes(12)) for kind, record in records]
        records[2:3] = [(0x400, bytearray(40)), (0, bytearray(32))]
    return b"".join(_record(kind, record) for kind, record in records)


def _record(kind: int, content: bytearray) -> bytes:
    struct.pack_into("<II", content, 0, len(content), kind)
    return bytes(content) + bytes(-len(content) % 8)


#: The sockets of a small Mac, with one row of each kind that the kernel writes.
TCP = (
    probe("tcp"),
    Row("0.0.0.0", 22, LISTEN, uid=0, last_pid=1),  # launchd listens until the first connection
    Row("127.0.0.1", 631, LISTEN, uid=0, last_pid=410),  # a service that launchd started; both have the socket
    Row("::", 80, LISTEN, uid=0, vflag=3, last_pid=701, queued=2, backlog=511),  # a server and its workers (prefork)
    Row("127.0.0.1", 5432, LISTEN, uid=216, last_pid=650),
    Row("127.0.0.1", 8080, LISTEN, last_pid=900),
    Row("::", 8443, LISTEN, vflag=2, last_pid=900),  # IPV6_V6ONLY
    Row("127.0.0.1", 8444, LISTEN, last_pid=902),  # a worker of the caller used it last (prefork)
    Row("127.0.0.1", 8081, LISTEN, family=30, vflag=1, last_pid=900),  # ::ffff:127.0.0.1
    Row("fe80:4::1", 8082, LISTEN, last_pid=900),
    Row("0.0.0.0", 2049, LISTEN, uid=0, last_pid=0),  # the NFS server of the kernel
    flow("192.0.2.5", 61000, state=LISTEN, last_pid=333),
    flow("192.0.2.5", 61001, state=ESTABLISHED, remote_port=443, last_pid=333),
    Row("192.0.2.5", 50000, ESTABLISHED, remote_port=443, last_pid=900),
    Row("127.0.0.1", 50001, TIME_WAIT, remote_port=80, uid=0, last_pid=0),
    Row("127.0.0.1", 50002, last_pid=900),  # bound
    GONE,
)
UDP = (
    probe("udp"),
    Row("::", 5353, uid=65, vflag=3, last_pid=210),
    Row("127.0.0.1", 8125, family=30, vflag=5, last_pid=900),  # ::ffff:127.0.0.1
    Row("0.0.0.0", 0, uid=0, last_pid=77),  # without a port
    Row("192.0.2.5", 50003, remote_port=53, last_pid=900),
    flow("192.0.2.5", 61002, remote_port=443, last_pid=333),
    flow("192.0.2.5", 61003, last_pid=333),
    GONE,
)
ROWS = {"tcp": TCP, "udp": UDP}
_SETTINGS = json.loads((HOSTS / "darwin-24.4" / "sysctl.json").read_text("utf-8"))


def hosts() -> dict[str, tuple[dict[str, object], dict[str, object]]]:
    """Return host.json and sysctl.json of each recorded host with such tables."""
    facts = {
        "platform": "darwin",
        "uid": UID,
        "users": {"0": "root", "65": "_mdnsresponder", "216": "_postgres", "501": "alice"},
    }
    facts |= {"interfaces": {"4": "en0"}, "probes": {"pid": PID, **PROBE_PORTS}}
    root = {protocol: tuple(_of_root(row) for row in rows) for protocol, rows in ROWS.items()}
    own = {
        protocol: tuple(row for row in rows if row.uid == UID and row != GONE and row.family != 0)
        for protocol, rows in ROWS.items()
    }
    return {
        "darwin-21.6-pcblist": (facts, _sysctls("21.6.0", ROWS, "12")),
        "darwin-24.6-pcblist": (facts, _sysctls("24.6.0", ROWS, "13")),
        "darwin-24.6-pcblist-root": (facts | {"uid": 0}, _sysctls("24.6.0", root, "13")),
        "darwin-27.0-pcblist-filtered": (facts, _sysctls("27.0.0", own, "13", sockets=300)),
    }


def _of_root(row: Row) -> Row:
    return replace(row, uid=0) if row.last_pid == PID else row


def _sysctls(
    release: str, rows: dict[str, tuple[Row, ...]], layout: str, sockets: int | None = None
) -> dict[str, object]:
    values: dict[str, object] = {**_SETTINGS, "kern.osrelease": {"hex": f"{release}\0".encode().hex()}}
    for protocol, sockets_of in rows.items():
        size = requested(len(sockets_of) if sockets is None else sockets, protocol, layout)
        value = {"hex": table(sockets_of, protocol, layout).hex(), "size": size}
        values[f"net.inet.{protocol}.pcblist_n"] = value
    return values


def write() -> None:
    for name, (facts, values) in hosts().items():
        (HOSTS / name).mkdir(exist_ok=True)
        (HOSTS / name / "host.json").write_text(json.dumps(facts) + "\n", "utf-8")
        (HOSTS / name / "sysctl.json").write_text(json.dumps(values, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    write()
