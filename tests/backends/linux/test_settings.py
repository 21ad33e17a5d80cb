"""Linux settings: the parsers, and what is answered where a file is missing, garbled or changed."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

import portrange
from portrange import Host, ParseError, Span
from portrange._backends.linux.settings import parse_range, parse_reserved, parse_unprivileged_start

RANGE = "ipv4/ip_local_port_range"
RESERVED = "ipv4/ip_local_reserved_ports"
START = "ipv4/ip_unprivileged_port_start"


class SysctlHost(Host):
    """A Linux whose sysctl files hold what a test says; a file that is not mentioned is missing."""

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
def test_ranges(text, bounds):
    assert parse_range(text, "file") == bounds


@pytest.mark.parametrize(
    "text", ["", "\n", "32768", "32768 60999 7", "60999 32768", "32768 65536", "-1 5", "a b", "٣ ٤", "32768\t6099x"]
)
def test_what_is_no_range(text):
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
def test_reserved_ports(text, spans):
    assert parse_reserved(text, "file") == spans


@pytest.mark.parametrize("text", ["1,", ",", "1;2", "5-1", "65536", "1-", "-1", "1--2", "all", "1,2 x"])
def test_what_are_no_reserved_ports(text):
    with pytest.raises(ParseError, match=r"^the file: expected port numbers and ranges"):
        parse_reserved(text, "the file")


@pytest.mark.parametrize("text", ["", "-1", "65537", "1024 1", "0x400", "²"])
def test_what_is_no_start(text):
    with pytest.raises(ParseError, match=r"^the file: expected one number"):
        parse_unprivileged_start(text, "the file")


@given(st.text())
def test_any_text_gives_a_value_or_a_parse_error(text):
    for parse in (parse_range, parse_reserved, parse_unprivileged_start):
        try:
            parse(text, "file")
        except ParseError as error:
            assert error.source == "file"


def test_reserved_ports_inside_the_pool_are_not_handed_out():
    pool = portrange.ephemeral_range(host=SysctlHost(range="40000 40009", reserved="39999-40001,40005,50000"))
    assert (pool.first, pool.last, len(pool)) == (40000, 40009, 7)
    assert list(pool) == [40002, 40003, 40004, 40006, 40007, 40008, 40009]
    assert 40005 not in pool
    assert not pool.assumed
    assert pool.source == "/proc/sys/net/ipv4/ip_local_port_range"


def test_everything_reserved_leaves_nothing_and_is_still_an_answer():
    pool = portrange.ephemeral_range(host=SysctlHost(range="40000 40009", reserved="0-65535"))
    assert (len(pool), list(pool), bool(pool)) == (0, [], True)


def test_an_unreadable_range_is_the_documented_default_and_says_so():
    pool = portrange.ephemeral_range(host=SysctlHost(range=MISSING))
    assert (pool.first, pool.last, pool.assumed, pool.source) == (32768, 60999, True, "documented default")


def test_unreadable_reserved_ports_make_the_answer_assumed():
    pool = portrange.ephemeral_range(host=SysctlHost(reserved=PermissionError(errno.EACCES, "Permission denied")))
    assert (pool.reserved, pool.assumed) == ((), True)


@pytest.mark.parametrize(("name", "path"), [("range", RANGE), ("reserved", RESERVED)])
def test_a_garbled_file_is_named(name, path):
    with pytest.raises(ParseError, match=f"^/proc/sys/net/{path}: expected .*, found 'garbage"):
        portrange.ephemeral_range(host=SysctlHost(**{name: "garbage"}))


@pytest.mark.parametrize("content", [MISSING, "garbage", "32768"])
def test_classify_says_unknown_rather_than_guess(content):
    info = portrange.classify(40000, host=SysctlHost(range=content))
    assert info.ephemeral is None
    assert "ip_local_port_range" in info.settings.incomplete[0]


def test_without_the_reserved_ports_only_what_lies_outside_is_known():
    host = SysctlHost(reserved=MISSING)
    assert portrange.classify(40000, host=host).ephemeral is None
    assert portrange.classify(40000, host=host).reserved is None
    assert portrange.classify(1000, host=host).ephemeral is False


@pytest.mark.parametrize(
    ("start", "privileged"),
    [("1024", [1, 80, 1023]), ("0", []), ("1", []), ("81", [1, 80]), ("65536", [1, 80, 1023, 1024, 65535])],
)
def test_the_real_threshold(start, privileged):
    host = SysctlHost(start=start)
    edges = [0, 1, 80, 1023, 1024, 65535]
    assert [port for port in edges if portrange.classify(port, host=host).privileged] == privileged


def test_settings_are_read_anew_for_each_question():
    host = SysctlHost()
    assert portrange.classify(40000, host=host).ephemeral is True
    host.files[RANGE] = "50000 50001"
    assert portrange.classify(40000, host=host).ephemeral is False


def test_a_frozen_host_reads_each_source_once():
    host = SysctlHost().snapshot()
    assert portrange.classify(40000, host=host).ephemeral is True
    host.files[RANGE] = "50000 50001"
    assert portrange.classify(40000, host=host).ephemeral is True
    assert portrange.ephemeral_range(host=host).first == 32768
    assert portrange.ephemeral_range(protocol="udp", family="ipv6", host=host).first == 32768
    assert sorted(host.reads) == sorted([RANGE, RESERVED, START])


def test_a_frozen_host_remembers_failures_too():
    host = SysctlHost(range=MISSING).snapshot()
    for _ in range(3):
        assert portrange.ephemeral_range(host=host).assumed
    assert host.reads.count(RANGE) == 1


def test_freezing_leaves_the_host_itself_alone():
    host = SysctlHost()
    frozen = host.snapshot()
    assert portrange.ephemeral_range(host=frozen).first == 32768
    host.files[RANGE] = "50000 50001"
    assert portrange.ephemeral_range(host=host).first == 50000
    assert frozen.snapshot() is frozen


def test_a_list_that_is_longer_than_a_buffer_is_read_whole(tmp_path):
    """A file stands in for the kernel's list of all odd ports; tests/live has the real one."""
    odd = range(1, 65536, 2)
    directory = tmp_path / "sys" / "net" / "ipv4"
    directory.mkdir(parents=True)
    (directory / "ip_local_reserved_ports").write_text(",".join(map(str, odd)) + "\n")
    (directory / "ip_local_port_range").write_text("1 65535")

    class Mounted(Host):
        platform = "linux"

        def within_network(self, function):
            return function()

    pool = portrange.ephemeral_range(host=Mounted(str(tmp_path)))
    assert len(pool.reserved) == len(odd)
    assert len(pool) == 32767
