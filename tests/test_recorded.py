from __future__ import annotations

import errno

import pytest
from recorded import HOSTS, RecordedHost, command_file, names

from portrange._host.system import System


@pytest.mark.parametrize("name", names())
def test_every_recording_states_its_origin(name):
    origin = (HOSTS / name / "ORIGIN").read_text("utf-8")
    assert origin.split()[0] in ("recorded", "synthetic:", "synthetic,")
    assert len(origin) > 40


def test_every_directory_is_a_recording():
    assert names() == sorted(path.name for path in HOSTS.iterdir() if path.is_dir() and path.name != "__pycache__")


def test_unrecorded_source_raises_file_not_found_error():
    host = RecordedHost("darwin-24.4")
    for query in (
        lambda: host.read("/proc/version"),
        lambda: host.run("netstat"),
        lambda: host.sysctl("kern.ostype"),
        lambda: host.list("/proc"),
    ):
        with pytest.raises(FileNotFoundError):
            query()


def test_recorded_host_overrides_every_query_of_host():
    """`RecordedHost` overrides every method of `System` that queries the system."""
    without_system = {"snapshot", "is_snapshot", "cached", "in_network"}
    queries = {name for name in vars(System) if not name.startswith("_")} - without_system
    assert queries <= set(vars(RecordedHost))


def test_denied_path_raises_permission_error():
    with pytest.raises(PermissionError):
        RecordedHost("linux-6.18-denied").read_sysctl("ipv4/ip_local_port_range")


def test_bind_is_recorded_and_fails_for_taken_endpoints():
    host = RecordedHost("darwin-24.4", taken={("tcp", "ipv4", 80): errno.EADDRINUSE})
    host.bind("udp", "ipv4", "0.0.0.0", 80)
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the message differs between systems
        host.bind("tcp", "ipv4", "0.0.0.0", 80)
    assert caught.value.errno == errno.EADDRINUSE
    assert host.bound == [("udp", "ipv4", "0.0.0.0", 80), ("tcp", "ipv4", "0.0.0.0", 80)]


def test_command_file_name_consists_of_the_arguments():
    expected = "netsh-int-ipv4-show-excludedportrange-protocol-tcp.txt"
    arguments = ("int", "ipv4", "show", "excludedportrange", "protocol=tcp")
    assert command_file("C:/Windows/System32/netsh.exe", *arguments) == expected
    assert command_file("/usr/sbin/no", "-a") == "no-a.txt"
