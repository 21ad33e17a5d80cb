from __future__ import annotations

import errno

import pytest
from recorded import HOSTS, RecordedHost, command_file, names

from portrange import Host


@pytest.mark.parametrize("name", names())
def test_every_recording_says_where_it_comes_from(name):
    origin = (HOSTS / name / "ORIGIN").read_text("utf-8")
    assert origin.split()[0] in ("recorded", "synthetic:", "synthetic,")
    assert len(origin) > 40


def test_every_directory_is_a_recording():
    assert names() == sorted(path.name for path in HOSTS.iterdir() if path.is_dir())


def test_what_was_not_recorded_is_missing():
    host = RecordedHost("darwin-24.4")
    for ask in (
        lambda: host.read("/proc/version"),
        lambda: host.run("netstat"),
        lambda: host.sysctl("kern.ostype"),
        lambda: host.list("/proc"),
    ):
        with pytest.raises(FileNotFoundError):
            ask()


def test_nothing_of_this_machine_is_looked_at():
    """Whatever `Host` can ask a system for is answered from the recording."""
    without_system = {"snapshot", "is_snapshot", "once", "in_network"}
    asking = {name for name in vars(Host) if not name.startswith("_")} - without_system
    assert asking <= set(vars(RecordedHost))


def test_denied_paths_are_refused():
    with pytest.raises(PermissionError):
        RecordedHost("linux-6.18-denied").read_sysctl("ipv4/ip_local_port_range")


def test_binding_is_recorded_and_fails_where_the_test_says_so():
    host = RecordedHost("darwin-24.4", taken={("tcp", "ipv4", 80): errno.EADDRINUSE})
    host.bind("udp", "ipv4", "0.0.0.0", 80)
    with pytest.raises(OSError) as caught:  # noqa: PT011 - every system has another text for the number
        host.bind("tcp", "ipv4", "0.0.0.0", 80)
    assert caught.value.errno == errno.EADDRINUSE
    assert host.bound == [("udp", "ipv4", "0.0.0.0", 80), ("tcp", "ipv4", "0.0.0.0", 80)]


def test_commands_are_found_by_their_words():
    expected = "netsh-int-ipv4-show-excludedportrange-protocol-tcp.txt"
    words = ("int", "ipv4", "show", "excludedportrange", "protocol=tcp")
    assert command_file("C:/Windows/System32/netsh.exe", *words) == expected
    assert command_file("/usr/sbin/no", "-a") == "no-a.txt"
