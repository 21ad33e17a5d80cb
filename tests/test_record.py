"""tests/hosts/record.py on this machine, and the recordings that it made."""

from __future__ import annotations

import importlib.util
import ipaddress
import json
import os
import socket
import struct
import subprocess
import sys

import psutil
import pytest
from pcblist_tables import ROWS, Row, table
from recorded import HOSTS, RecordedHost, RecordedTable, names
from this_system import IS_WINE

from portrange import Host, classify, who_listens
from portrange._backends.base import SocketQuery
from portrange._backends.pcblist import parse_table
from portrange._backends.portable import EVERYTHING, WHOLE_TABLE, PortableBackend
from portrange._backends.select import backend_for, settings_of

RECORDINGS = [name for name in names() if (HOSTS / name / "psutil.json").exists()]


def load():
    spec = importlib.util.spec_from_file_location("record", HOSTS / "record.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


record = load()


# --- recordings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECORDINGS)
def test_recorded_listeners_include_the_probe_socket_of_the_recorder(name):
    host = RecordedHost(name)
    backend = backend_for(host)
    view = backend.view if isinstance(backend, PortableBackend) else EVERYTHING
    reader = backend_for(RecordedHost("darwin-24.4")).reader
    found = PortableBackend(reader, view, RecordedTable(host.directory)).listeners(host, SocketQuery())
    probes = host.facts["probes"]
    [listener] = [listener for listener in found if listener.port == probes["udp"]]
    assert (listener.protocol, listener.address) == ("udp", "127.0.0.1")
    # Wine names no process for a socket that was not used yet.
    assert (listener.pid, listener.hidden) == ((None, True) if "wine" in name else (probes["pid"], False))
    assert {8000, 8443, 5353} <= {listener.port for listener in found}


def test_recorded_shared_socket_has_both_owners():
    host = RecordedHost("linux-6.18-recorded")
    backend = PortableBackend(
        backend_for(RecordedHost("darwin-24.4")).reader, EVERYTHING, RecordedTable(host.directory)
    )
    [listener] = backend.listeners(host, SocketQuery(8443))
    assert len(listener.owners) == 2


def test_recorded_windows_table_has_hidden_owners():
    host = RecordedHost("win32-10.0-wine-recorded")
    backend = PortableBackend(backend_for(host).reader, WHOLE_TABLE, RecordedTable(host.directory))
    assert {
        listener.port: listener.hidden for listener in backend.listeners(host, SocketQuery(protocols=("tcp",)))
    } == {
        8000: False,
        8443: True,
    }


# --- the recorder ----------------------------------------------------------------------------------------------------


def test_recording_of_this_machine_has_its_settings_and_sockets(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        record.record(tmp_path / "this")
        port = server.getsockname()[1]
    host = RecordedHost("this", hosts=tmp_path)
    assert settings_of(host).pools == settings_of(Host()._system).pools
    assert classify(port, host=host).ephemeral == classify(port).ephemeral
    rows = RecordedTable(host.directory).sockets(("tcp",))
    assert [row.state for row in rows if row.port == port and not row.remote_port] == ["listen"]
    if host.platform.startswith("linux"):
        assert [listener.address for listener in who_listens(port, protocol="tcp", host=host)] == ["127.0.0.1"]


@pytest.mark.skipif(IS_WINE, reason="psutil cannot read the program of a process under Wine")
def test_recording_has_no_names_and_no_addresses_of_this_machine(tmp_path):
    record.record(tmp_path / "this")
    text = "".join(path.read_text("utf-8") for path in (tmp_path / "this").rglob("*") if path.is_file())
    known = json.loads((tmp_path / "this" / "psutil.json").read_text("utf-8"))["processes"]
    process = psutil.Process()
    assert known[str(os.getpid())]["name"].startswith("program")
    assert process.exe() not in text
    assert f'"{socket.gethostname()}"' not in text
    assert {found["user"] for found in known.values()} <= {
        "root",
        None,
        *(f"user{number}" for number in range(1, 1000)),
    }
    for addresses in psutil.net_if_addrs().values():
        for address in addresses:
            if address.family in (socket.AF_INET, socket.AF_INET6):
                plain = ipaddress.ip_address(address.address.partition("%")[0])
                assert plain.is_loopback or f'"{plain}"' not in text


def test_addresses_are_replaced_by_the_same_address_of_the_same_kind():
    replaced = record.Names()
    for kept in ("0.0.0.0", "::", "127.0.0.1", "::1", ""):
        assert replaced.address(kept) == kept
    first = replaced.address("93.184.216.34")
    assert first == replaced.address("93.184.216.34") == "198.18.0.1"
    assert replaced.address("93.184.216.35") == "198.18.0.2"
    assert replaced.address("2a00:1450::1") == "2001:db8::1"
    assert ipaddress.ip_address(replaced.address("fe80::dead:beef")).is_link_local
    assert ipaddress.ip_address(replaced.address("127.0.0.53")).is_loopback
    assert replaced.address("::ffff:93.184.216.34") == "::ffff:198.18.0.1"


def test_names_are_replaced_except_root():
    replaced = record.Names()
    assert [replaced.name("user", name) for name in ("root", "alice", "bob", "alice", None)] == [
        "root",
        "user1",
        "user2",
        "user1",
        None,
    ]


@pytest.mark.skipif(sys.byteorder == "big", reason="the table is of a little-endian machine")
def test_proc_net_keeps_everything_but_addresses():
    line = "   0: 22D8B85D:1F40 0100007F:AE26 01 00000000:00000000 00:0 00000000  1000  0 4711 2 00000000ca4a68d7\n"
    assert record.replace_proc_net(line, record.Names()) == line.replace("22D8B85D", "010012C6").replace(
        "00000000ca4a68d7", "0" * 16
    )


@pytest.mark.skipif(sys.byteorder == "big", reason="the datagram is of a little-endian machine")
def test_sock_diag_keeps_everything_but_addresses_cookies_and_other_attributes():
    """Attribute 18 is INET_DIAG_MD5SIG, with the key of a connection."""
    ends = socket.inet_aton("93.184.216.34") + bytes(12) + socket.inet_aton("127.0.0.1") + bytes(12)
    before = struct.pack("=BBBBHH", 2, 1, 0, 0, 0x401F, 0x26AE) + ends + struct.pack("=I8s", 4, b"a cookie")
    numbers = struct.pack("=5I", 0, 0, 0, 1000, 4711)
    cgroup = struct.pack("=HHQ", 12, 21, 4242)
    key = struct.pack("=HH8s", 12, 18, b"the keys")
    end = struct.pack("=IHHII", 16, 3, 2, 9, 7)

    def message(body):
        return struct.pack("=IHHII", 16 + len(body), 20, 2, 9, 7) + body

    value = record.replace_sock_diag(message(before + numbers + key + cgroup) + end, record.Names())
    expected = before.replace(b"a cookie", bytes(8)).replace(
        socket.inet_aton("93.184.216.34"), socket.inet_aton("198.18.0.1")
    )
    without_sequence = (message(expected + numbers + cgroup) + end).replace(struct.pack("=II", 9, 7), bytes(8))
    assert value == without_sequence


@pytest.mark.parametrize("protocol", ROWS)
def test_pcblist_keeps_everything_but_addresses_and_identities(protocol):
    rows = (*ROWS[protocol], Row("93.184.216.34", 9999), Row("2a00:1450::1", 9998))
    before = parse_table(table(rows, protocol), protocol, "before")
    value = record.replace_pcblist(table(rows, protocol), record.Names())
    after = parse_table(value, protocol, "after")

    def others(found):
        return [(pcb.port, pcb.remote_port, pcb.state, pcb.uid, pcb.last_pid, pcb.versions) for pcb in found.pcbs]

    assert others(after) == others(before)
    addresses = {pcb.port: pcb.address for pcb in after.pcbs}
    assert addresses[9999] == bytes(12) + ipaddress.ip_address("198.18.0.2").packed
    assert addresses[9998] == ipaddress.ip_address("2001:db8::1").packed
    assert socket.inet_aton("93.184.216.34") not in value


def test_recorder_rejects_names_that_are_no_directory_names():
    for name in ("../x", "A", "linux-6.18"):
        done = subprocess.run([sys.executable, HOSTS / "record.py", name], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "NAME" in done.stderr
