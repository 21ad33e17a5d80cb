"""Linux settings: parsers, and results when a file is missing, garbled or changed."""

from __future__ import annotations

import errno

import pytest
from fakes import SystemHost
from hypothesis import given
from hypothesis import strategies as st

import portrange
from portrange import ParseError, Span
from portrange._backends.linux.settings import parse_range, parse_reserved, parse_unprivileged_start

RANGE = "ipv4/ip_local_port_range"
RESERVED = "ipv4/ip_local_reserved_ports"
START = "ipv4/ip_unprivileged_port_start"


class SysctlHost(SystemHost):
    """A fake Linux host whose sysctl files have the given or default contents."""

    def __init__(self, **files: str | OSError) -> None:
        super().__init__()
        self.files = {RANGE: "32768\t60999\n", RESERVED: "\n", START: "1024\n"}
        self.reads: list[str] = []
        for name, content in files.items():
            path = {"range": RANGE, "reserved": RESERVED, "start": START}[name]
            self.files[path] = content

    @property
    def platform(self):
        return "linux"

    def read(self, path):
        assert path == "/proc/sys/kernel/osrelease"
        return b"6.18.44\n"

    def read_sysctl(self, name):
        self.reads.append(name)
        content = self.files[name]
        if isinstance(content, OSError):
            raise content
        return content.encode()


MISSING = FileNotFoundError(errno.ENOENT, "No such file or directory")


@pytest.mark.parametrize(
    ("text", "bounds"),
    [("32768\t60999\n", (32768, 60999)), ("1 65535", (1, 65535)), ("1024\t1024\n", (1024, 1024)), ("0\t9\r\n", (0, 9))],
)
def test_parse_range(text, bounds):
    assert parse_range(text, "file") == bounds


@pytest.mark.parametrize(
    "text", ["", "\n", "32768", "32768 60999 7", "60999 32768", "32768 65536", "-1 5", "a b", "٣ ٤", "32768\t6099x"]
)
def test_parse_range_rejects_invalid_text(text):
    with pytest.raises(ParseError, match=r"^the file: expected two ascending port numbers"):
        parse_range(text, "the file")


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("\n", ()),
        ("", ()),
        ("8080,9148-9150\n", (Span(8080, 8080), Span(9148, 9150))),
        ("1,2-4,10-10\n", (Span(1, 4), Span(10, 10))),
        ("10,1-4", (Span(1, 4), Span(10, 10))),
        ("0-65535\n", (Span(0, 65535),)),
        (",".join(map(str, range(1, 65536, 2))), tuple(Span(port, port) for port in range(1, 65536, 2))),
    ],
)
def test_parse_reserved(text, spans):
    assert parse_reserved(text, "file") == spans


@pytest.mark.parametrize("text", ["1,", ",", "1;2", "5-1", "65536", "1-", "-1", "1--2", "all", "1,2 x"])
def test_parse_reserved_rejects_invalid_text(text):
    with pytest.raises(ParseError, match=r"^the file: expected port numbers and ranges"):
        parse_reserved(text, "the file")


@pytest.mark.parametrize("text", ["", "-1", "65537", "1024 1", "0x400", "²"])
def test_parse_unprivileged_start_rejects_invalid_text(text):
    with pytest.raises(ParseError, match=r"^the file: expected one number"):
        parse_unprivileged_start(text, "the file")


@given(st.text())
def test_arbitrary_text_gives_a_value_or_a_parse_error(text):
    for parse in (parse_range, parse_reserved, parse_unprivileged_start):
        try:
            parse(text, "file")
        except ParseError as error:
            assert error.source == "file"


def test_reserved_ports_are_not_ephemeral():
    ephemeral = portrange.ephemeral_range(host=SysctlHost(range="40000 40009", reserved="39999-40001,40005,50000"))
    assert (ephemeral.first, ephemeral.last, len(ephemeral)) == (40000, 40009, 7)
    assert list(ephemeral) == [40002, 40003, 40004, 40006, 40007, 40008, 40009]
    assert 40005 not in ephemeral
    assert not ephemeral.assumed
    assert ephemeral.source == "/proc/sys/net/ipv4/ip_local_port_range"


def test_range_is_empty_but_true_when_all_ports_are_reserved():
    ephemeral = portrange.ephemeral_range(host=SysctlHost(range="40000 40009", reserved="0-65535"))
    assert (len(ephemeral), list(ephemeral), bool(ephemeral)) == (0, [], True)


def test_unreadable_range_falls_back_to_the_documented_default():
    ephemeral = portrange.ephemeral_range(host=SysctlHost(range=MISSING))
    assert (ephemeral.first, ephemeral.last, ephemeral.assumed, ephemeral.source) == (
        32768,
        60999,
        True,
        "documented default",
    )


def test_range_is_assumed_when_reserved_ports_are_unreadable():
    ephemeral = portrange.ephemeral_range(host=SysctlHost(reserved=PermissionError(errno.EACCES, "Permission denied")))
    assert (ephemeral.reserved, ephemeral.assumed) == ((), True)


@pytest.mark.parametrize(("name", "path"), [("range", RANGE), ("reserved", RESERVED)])
def test_parse_error_names_garbled_file(name, path):
    with pytest.raises(ParseError, match=f"^/proc/sys/net/{path}: expected .*, found 'garbage"):
        portrange.ephemeral_range(host=SysctlHost(**{name: "garbage"}))


@pytest.mark.parametrize("content", [MISSING, "garbage", "32768"])
def test_ephemeral_is_none_when_the_range_is_unreadable(content):
    info = portrange.classify(40000, host=SysctlHost(range=content))
    assert info.ephemeral is None
    assert "ip_local_port_range" in info.settings.incomplete[0]


def test_ephemeral_is_known_only_outside_the_range_without_reserved_ports():
    host = SysctlHost(reserved=MISSING)
    assert portrange.classify(40000, host=host).ephemeral is None
    assert portrange.classify(40000, host=host).reserved is None
    assert portrange.classify(1000, host=host).ephemeral is False


@pytest.mark.parametrize(
    ("start", "privileged"),
    [("1024", [1, 80, 1023]), ("0", []), ("1", []), ("81", [1, 80]), ("65536", [1, 80, 1023, 1024, 65535])],
)
def test_privileged_ports_follow_ip_unprivileged_port_start(start, privileged):
    host = SysctlHost(start=start)
    edges = [0, 1, 80, 1023, 1024, 65535]
    assert [port for port in edges if portrange.classify(port, host=host).privileged] == privileged


def test_settings_are_read_for_each_query():
    host = SysctlHost()
    assert portrange.classify(40000, host=host).ephemeral is True
    host.files[RANGE] = "50000 50001"
    assert portrange.classify(40000, host=host).ephemeral is False


def test_snapshot_reads_each_source_once():
    host = SysctlHost().snapshot()
    assert portrange.classify(40000, host=host).ephemeral is True
    host.files[RANGE] = "50000 50001"
    assert portrange.classify(40000, host=host).ephemeral is True
    assert portrange.ephemeral_range(host=host).first == 32768
    assert portrange.ephemeral_range(protocol="udp", family="ipv6", host=host).first == 32768
    assert sorted(host.reads) == sorted([RANGE, RESERVED, START])


def test_snapshot_caches_failures():
    host = SysctlHost(range=MISSING).snapshot()
    for _ in range(3):
        assert portrange.ephemeral_range(host=host).assumed
    assert host.reads.count(RANGE) == 1


def test_snapshot_does_not_change_the_host():
    host = SysctlHost()
    snapshot = host.snapshot()
    assert portrange.ephemeral_range(host=snapshot).first == 32768
    host.files[RANGE] = "50000 50001"
    assert portrange.ephemeral_range(host=host).first == 50000
    assert snapshot.snapshot() is snapshot


def test_reserved_list_longer_than_a_buffer_is_read_completely(tmp_path):
    """A file replaces the kernel's list of all odd ports; tests/live reads the real one."""
    odd = range(1, 65536, 2)
    directory = tmp_path / "sys" / "net" / "ipv4"
    directory.mkdir(parents=True)
    (directory / "ip_local_reserved_ports").write_text(",".join(map(str, odd)) + "\n")
    (directory / "ip_local_port_range").write_text("1 65535")

    class Mounted(SystemHost):
        platform = "linux"

        def within_network(self, function, *arguments):
            return function(*arguments)

    ephemeral = portrange.ephemeral_range(host=Mounted(str(tmp_path)))
    assert len(ephemeral.reserved) == len(odd)
    assert len(ephemeral) == 32767
