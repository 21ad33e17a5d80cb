"""The programs that are asked for settings: what exactly is run, and how what they print is read."""

from __future__ import annotations

import errno
import sys

import pytest
from stand_in import StandIn

from portrange import ParseError, SourceError, Span, UnsupportedPlatformError
from portrange._backends import aix, bsd, darwin, settings, sunos, sysctl, windows
from portrange._backends.linux import settings as linux

MISSING = FileNotFoundError(errno.ENOENT, "No such file or directory")


# --- netsh ---

NETSH = "X:/Windows/System32/netsh.exe"
POOL = b"Start Port      : 49152\r\nNumber of Ports : 16384\r\n"
EXCLUDED = b"Start Port    End Port\n----------    --------\n 5357 5357\n 50000 50059 *\n"


@pytest.fixture(autouse=True)
def _windows_on_x(monkeypatch):
    monkeypatch.setenv("SYSTEMROOT", r"X:\Windows")


def netsh(printed: bytes, *arguments: str, encoding: str = "ascii") -> StandIn:
    return StandIn(programs={(NETSH, *arguments): printed}, encoding=encoding)


def test_the_pool_of_windows():
    host = netsh(POOL, "int", "ipv6", "show", "dynamicport", "udp")
    found = windows.SETTINGS.bounds(host, "udp", "ipv6")
    assert found == settings.Found(settings.Bounds(49152, 65535), "netsh int ipv6 show dynamicport udp")


def test_the_exclusions_of_windows():
    host = netsh(EXCLUDED, "int", "ipv4", "show", "excludedportrange", "protocol=tcp")
    source = "netsh int ipv4 show excludedportrange protocol=tcp"
    assert windows.SETTINGS.reserved(host, "tcp", "ipv4") == settings.Found((Span(50000, 50059),), source)
    assert windows.SETTINGS.excluded(host, "tcp", "ipv4") == settings.Found((Span(5357, 5357),), source)


def test_windows_is_looked_for_where_it_says_and_else_where_it_usually_is(monkeypatch):
    monkeypatch.delenv("SYSTEMROOT")
    host = StandIn()
    with pytest.raises(SourceError):
        windows.SETTINGS.bounds(host, "tcp", "ipv4")
    assert host.ran == [("C:/Windows/System32/netsh.exe", "int", "ipv4", "show", "dynamicport", "tcp")]


@pytest.mark.parametrize("encoding", ["ascii", "cp850", "utf-8", "no such encoding"])
@pytest.mark.parametrize("printed", [b"\xd8\xff: 49152\n\x81: 16384\n", b"a: 49152\nb: 16384\n"])
def test_the_numbers_are_read_whatever_the_language(encoding, printed):
    host = netsh(printed, "int", "ipv4", "show", "dynamicport", "tcp", encoding=encoding)
    assert windows.SETTINGS.bounds(host, "tcp", "ipv4").value == (49152, 65535)


def test_a_mark_of_byte_order_is_no_part_of_the_first_line():
    rule = "\ufeff---------- ----------\n 80 81\n".encode()
    host = netsh(rule, "int", "ipv4", "show", "excludedportrange", "protocol=tcp", encoding="utf-8")
    assert windows.SETTINGS.excluded(host, "tcp", "ipv4").value == (Span(80, 81),)


def test_a_netsh_that_prints_nothing_is_named():
    host = netsh(b" \r\n", "int", "ipv4", "show", "dynamicport", "tcp")
    with pytest.raises(SourceError) as caught:
        windows.SETTINGS.bounds(host, "tcp", "ipv4")
    assert str(caught.value) == "netsh int ipv4 show dynamicport tcp: printed nothing; is this Wine?"


@pytest.mark.parametrize("fact", [windows.SETTINGS.bounds, windows.SETTINGS.reserved, windows.SETTINGS.excluded])
def test_what_netsh_says_in_other_words_names_its_command(fact):
    commands = [("dynamicport", "tcp"), ("excludedportrange", "protocol=tcp")]
    host = StandIn(programs={(NETSH, "int", "ipv4", "show", *command): b"?" for command in commands})
    with pytest.raises(ParseError, match=r"^netsh int ipv4 show (dynamicport|excludedportrange) (protocol=)?tcp: "):
        fact(host, "tcp", "ipv4")


# --- ipadm and ndd ---

IPADM = ("/usr/sbin/ipadm", "show-prop", "-c", "-o", "property,current", "tcp")
PROPERTIES = b"smallest_anon_port:32768\nlargest_anon_port:65535\nsmallest_nonpriv_port:1024\nextra_priv_ports:2049\n"


def ndd(**values: bytes) -> StandIn:
    programs = {("/usr/sbin/ndd", "-get", "/dev/tcp", f"tcp_{name}"): value for name, value in values.items()}
    return StandIn(programs={IPADM: MISSING, **programs})


def test_the_settings_of_solaris():
    host = StandIn(programs={IPADM: PROPERTIES})
    source = "ipadm show-prop tcp"
    assert sunos.SETTINGS.bounds(host, "tcp", "ipv4") == settings.Found(settings.Bounds(32768, 65535), source)
    privileged = settings.Found((Span(1, 1023), Span(2049, 2049)), source)
    assert sunos.SETTINGS.privileged(host, "tcp", "ipv4") == privileged
    assert sunos.SETTINGS.reserved(host, "tcp", "ipv4") == settings.Found((Span(2049, 2049),), source)


@pytest.mark.parametrize(
    ("privileged", "first"), [(b"1024", 32768), (b"32768", 32768), (b"40000", 40000), (b"65535", 65535)]
)
def test_solaris_hands_out_no_port_that_needs_a_privilege(privileged, first):
    host = StandIn(programs={IPADM: PROPERTIES.replace(b"1024", privileged)})
    assert sunos.SETTINGS.bounds(host, "tcp", "ipv4").value == settings.Bounds(first, 65535)


def test_the_settings_of_solaris_before_11():
    host = ndd(smallest_anon_port=b"32768\n", largest_anon_port=b"65535\n", smallest_nonpriv_port=b"1024\n")
    found = sunos.SETTINGS.bounds(host, "tcp", "ipv4")
    assert found == settings.Found(settings.Bounds(32768, 65535), "ndd -get /dev/tcp tcp_smallest_anon_port")


def test_without_ndd_either_its_command_is_named():
    with pytest.raises(SourceError, match=r"^ndd -get /dev/tcp tcp_smallest_anon_port: No such file"):
        sunos.SETTINGS.bounds(StandIn(), "tcp", "ipv4")


@pytest.mark.parametrize(
    ("fact", "changed", "message"),
    [
        ("bounds", PROPERTIES.replace(b"32768", b"x"), "ipadm show-prop tcp: expected a port number"),
        (
            "bounds",
            PROPERTIES.replace(b"32768", b"\xff"),
            r"ipadm show-prop tcp: expected a port number, found '\\\\xff'",
        ),
        ("bounds", PROPERTIES.replace(b"32768", b"0"), "ipadm show-prop tcp: expected ports from 1"),
        (
            "bounds",
            PROPERTIES.replace(b"65535", b"40000").replace(b"1024", b"40001"),
            r"ipadm show-prop tcp: expected a pool with ports from smallest_nonpriv_port on \(40001\)",
        ),
        ("reserved", PROPERTIES.replace(b"2049", b"x"), "ipadm show-prop tcp: expected a port number"),
        ("bounds", b"a:1\n", "ipadm show-prop tcp: expected a property smallest_anon_port"),
        ("bounds", b"?\n", "ipadm show-prop tcp: expected lines of a property"),
        ("privileged", PROPERTIES.replace(b"1024", b"x"), "ipadm show-prop tcp: expected a port number"),
        ("privileged", PROPERTIES.replace(b"2049", b"x"), "ipadm show-prop tcp: expected a port number"),
        ("privileged", PROPERTIES.replace(b"2049", b"65536"), "ipadm show-prop tcp: expected port numbers"),
    ],
)
def test_what_ipadm_says_in_other_words_names_its_command(fact, changed, message):
    with pytest.raises(ParseError, match="^" + message):
        getattr(sunos.SETTINGS, fact)(StandIn(programs={IPADM: changed}), "tcp", "ipv4")


# --- no ---

NO = ("/usr/sbin/no", "-a")


def test_the_settings_of_aix():
    host = StandIn(programs={NO: b"udp_ephemeral_low = 40000\nudp_ephemeral_high = 50000\n\xff\n"})
    found = aix.SETTINGS.bounds(host, "udp", "ipv4")
    source = "no -o udp_ephemeral_low -o udp_ephemeral_high"
    assert found == settings.Found(settings.Bounds(40000, 50000), source)


@pytest.mark.parametrize("low", [b"x", b"0"])
def test_what_no_says_in_other_words_names_its_command(low):
    host = StandIn(programs={NO: b"tcp_ephemeral_low = " + low + b"\ntcp_ephemeral_high = 65535\n"})
    with pytest.raises(ParseError, match=r"^no -o tcp_ephemeral_low -o tcp_ephemeral_high: "):
        aix.SETTINGS.bounds(host, "tcp", "ipv4")


# --- sysctl ---


class Sysctls(StandIn):
    def __init__(self, values):
        super().__init__()
        self.values = values

    def sysctl(self, name):
        return self.values[name]


def number(value: int) -> bytes:
    return value.to_bytes(4, sys.byteorder, signed=True)


def test_numbers_have_a_sign():
    assert sysctl.parse_number(b"\xff\xff\xff\xff", "sysctl", "big") == -1


def test_a_setting_without_a_name_is_called_by_its_numbers():
    with pytest.raises(ParseError, match=r"^sysctl 4\.2\.0\.7: "):
        sysctl.number(Sysctls({(4, 2, 0, 7): b""}), (4, 2, 0, 7))
    with pytest.raises(ParseError, match=r"^sysctl net\.a: "):
        sysctl.ports(Sysctls({"net.a": b""}), "net.a")


def test_a_pool_that_cannot_be_names_both_of_its_settings():
    host = Sysctls({darwin.FIRST: number(0), darwin.LAST: number(5)})
    with pytest.raises(ParseError, match=f"^sysctl {darwin.FIRST}, {darwin.LAST}: expected ports from 1"):
        darwin.SETTINGS.bounds(host, "tcp", "ipv4")


@pytest.mark.parametrize(
    ("low", "high", "ports"),
    [(0, 1023, (Span(1, 1023),)), (0, 1, (Span(1, 1),)), (5, 4, ()), (0, 0, ()), (80, 80, (Span(80, 80),))],
)
def test_the_privileged_ports_of_freebsd(low, high, ports):
    names = [f"net.inet.ip.portrange.reserved{end}" for end in ("low", "high")]
    host = Sysctls(dict(zip(names, map(number, (low, high)), strict=True)))
    found = bsd.FREEBSD.privileged(host, "tcp", "ipv4")
    assert found == settings.Found(ports, f"sysctl {names[0]}, {names[1]}")


def test_the_privileged_ports_of_openbsd_name_both_sources():
    host = Sysctls({(4, 2, 6, 24): bytes(8192)})
    found = bsd.OPENBSD.privileged(host, "tcp", "ipv4")
    source = "IPPORT_RESERVED, netinet/in.h, and sysctl net.inet.tcp.rootonly"
    assert found == settings.Found((Span(1, 1023),), source)


# --- what all of them share ---


def test_a_transport_without_a_pool_is_told_with_those_that_have_one():
    with pytest.raises(UnsupportedPlatformError) as caught:
        sunos.SETTINGS.pool(StandIn(), "dccp", "ipv4")
    assert str(caught.value) == "solaris keeps no ephemeral range of dccp; ask for one of tcp, udp, sctp"


def test_a_pool_may_begin_with_the_first_port_and_end_with_the_last():
    assert settings.bounds(1, 65535, "a source") == (1, 65535)
    assert settings.bounds(65535, 1, "a source") == (1, 65535)


@pytest.mark.parametrize(("first_free", "ports"), [(0, ()), (1, ()), (2, (Span(1, 1),)), (1024, (Span(1, 1023),))])
def test_the_ports_below_a_number(first_free, ports):
    assert settings.below(first_free) == ports


@pytest.mark.parametrize(
    ("fact", "name", "content"),
    [
        ("bounds", "ip_local_port_range", b"1 \xff"),
        ("bounds", "ip_local_port_range", b"1 100000"),
        ("reserved", "ip_local_reserved_ports", b"\xff"),
        ("privileged", "ip_unprivileged_port_start", b"\xff"),
    ],
)
def test_what_linux_says_in_other_words_names_its_file(fact, name, content):
    path = f"/proc/sys/net/ipv4/{name}"
    with pytest.raises(ParseError, match=f"^{path}: expected "):
        getattr(linux.SETTINGS, fact)(StandIn({path: content}), "tcp", "ipv4")


@pytest.mark.parametrize(
    ("release", "pool"),
    [
        (b"4.4.0-19041-Microsoft\n", (49152, 65535)),
        (b"\xff-Microsoft\n", (49152, 65535)),
        (b"5.15.0-microsoft-standard-WSL2\n", (32768, 60999)),
        (b"6.18.0\n", (32768, 60999)),
    ],
)
def test_the_documented_default_of_linux(release, pool):
    assert linux.SETTINGS.default(StandIn({"/proc/sys/kernel/osrelease": release})) == pool


def test_without_a_release_it_is_the_default_of_linux():
    assert linux.SETTINGS.default(StandIn()) == (32768, 60999)


@pytest.mark.parametrize("fact", ["reserved", "excluded"])
def test_a_pool_is_assumed_where_one_of_the_lists_is_unread(fact):
    from dataclasses import replace

    def fails(_host, _protocol, _family):
        raise SourceError("a list", "may not be read")

    nothing = settings.always(())
    reader = settings.SettingsReader(
        platform="linux",
        protocols=("tcp",),
        apart=settings.TOGETHER,
        default=lambda _host: settings.Bounds(1, 2),
        bounds=settings.always(settings.Bounds(10, 20), "a source"),
        reserved=nothing,
        excluded=nothing,
        privileged=nothing,
    )
    whole = reader.settings(StandIn())
    assert [pool.assumed for pool in whole.pools] == [False]
    part = replace(reader, **{fact: fails})
    found = part.settings(StandIn())
    assert [pool.assumed for pool in found.pools] == [True]
    assert found.incomplete == ("a list: may not be read",)
    assert part.pool(StandIn(), "tcp", "ipv4").assumed
