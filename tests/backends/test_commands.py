"""Commands that read settings: exact command lines and the parsing of their output."""

from __future__ import annotations

import errno
import sys

import pytest
from fakes import FakeHost

from portrange import ParseError, SourceError, Span, UnsupportedPlatformError
from portrange._backends import aix, bsd, darwin, settings, sunos, sysctl, windows
from portrange._backends.linux import settings as linux

MISSING = FileNotFoundError(errno.ENOENT, "No such file or directory")


# --- netsh ---

NETSH = "X:/Windows/System32/netsh.exe"
DYNAMIC_PORTS = b"Start Port      : 49152\r\nNumber of Ports : 16384\r\n"
EXCLUDED = b"Start Port    End Port\n----------    --------\n 5357 5357\n 50000 50059 *\n"


@pytest.fixture(autouse=True)
def _windows_on_x(monkeypatch):
    monkeypatch.setenv("SYSTEMROOT", r"X:\Windows")


def netsh(printed: bytes, *arguments: str, encoding: str = "ascii") -> FakeHost:
    return FakeHost(programs={(NETSH, *arguments): printed}, encoding=encoding)


def test_windows_bounds():
    host = netsh(DYNAMIC_PORTS, "int", "ipv6", "show", "dynamicport", "udp")
    found = windows.SETTINGS.bounds(host, "udp", "ipv6")
    assert found == (Span(49152, 65535), "netsh int ipv6 show dynamicport udp")


def test_windows_exclusions():
    host = netsh(EXCLUDED, "int", "ipv4", "show", "excludedportrange", "protocol=tcp")
    source = "netsh int ipv4 show excludedportrange protocol=tcp"
    assert windows.SETTINGS.reserved(host, "tcp", "ipv4") == ((Span(50000, 50059),), source)
    assert windows.SETTINGS.excluded(host, "tcp", "ipv4") == ((Span(5357, 5357),), source)


def test_netsh_path_defaults_to_c_windows_without_systemroot(monkeypatch):
    monkeypatch.delenv("SYSTEMROOT")
    host = FakeHost()
    with pytest.raises(SourceError):
        windows.SETTINGS.bounds(host, "tcp", "ipv4")
    assert host.ran == [("C:/Windows/System32/netsh.exe", "int", "ipv4", "show", "dynamicport", "tcp")]


@pytest.mark.parametrize("encoding", ["ascii", "cp850", "utf-8", "no such encoding"])
@pytest.mark.parametrize("printed", [b"\xd8\xff: 49152\n\x81: 16384\n", b"a: 49152\nb: 16384\n"])
def test_netsh_numbers_are_read_in_any_language_and_encoding(encoding, printed):
    host = netsh(printed, "int", "ipv4", "show", "dynamicport", "tcp", encoding=encoding)
    assert windows.SETTINGS.bounds(host, "tcp", "ipv4")[0] == (49152, 65535)


def test_byte_order_mark_is_ignored():
    rule = "\ufeff---------- ----------\n 80 81\n".encode()
    host = netsh(rule, "int", "ipv4", "show", "excludedportrange", "protocol=tcp", encoding="utf-8")
    assert windows.SETTINGS.excluded(host, "tcp", "ipv4")[0] == (Span(80, 81),)


def test_source_error_when_netsh_prints_nothing():
    host = netsh(b" \r\n", "int", "ipv4", "show", "dynamicport", "tcp")
    with pytest.raises(SourceError) as caught:
        windows.SETTINGS.bounds(host, "tcp", "ipv4")
    assert str(caught.value) == "netsh int ipv4 show dynamicport tcp: printed nothing (Wine does not implement it)"


@pytest.mark.parametrize("fact", [windows.SETTINGS.bounds, windows.SETTINGS.reserved, windows.SETTINGS.excluded])
def test_parse_error_names_netsh_command(fact):
    commands = [("dynamicport", "tcp"), ("excludedportrange", "protocol=tcp")]
    host = FakeHost(programs={(NETSH, "int", "ipv4", "show", *command): b"?" for command in commands})
    with pytest.raises(ParseError, match=r"^netsh int ipv4 show (dynamicport|excludedportrange) (protocol=)?tcp: "):
        fact(host, "tcp", "ipv4")


# --- ipadm and ndd ---

IPADM = ("/usr/sbin/ipadm", "show-prop", "-c", "-o", "property,current", "tcp")
PROPERTIES = b"smallest_anon_port:32768\nlargest_anon_port:65535\nsmallest_nonpriv_port:1024\nextra_priv_ports:2049\n"


def ndd(**values: bytes) -> FakeHost:
    programs = {("/usr/sbin/ndd", "-get", "/dev/tcp", f"tcp_{name}"): value for name, value in values.items()}
    return FakeHost(programs={IPADM: MISSING, **programs})


def test_solaris_settings():
    host = FakeHost(programs={IPADM: PROPERTIES})
    source = "ipadm show-prop tcp"
    assert sunos.SETTINGS.bounds(host, "tcp", "ipv4") == (Span(32768, 65535), source)
    privileged = ((Span(1, 1023), Span(2049, 2049)), source)
    assert sunos.SETTINGS.privileged(host, "tcp", "ipv4") == privileged
    assert sunos.SETTINGS.reserved(host, "tcp", "ipv4") == ((Span(2049, 2049),), source)


@pytest.mark.parametrize(
    ("privileged", "first"), [(b"1024", 32768), (b"32768", 32768), (b"40000", 40000), (b"65535", 65535)]
)
def test_solaris_range_starts_after_privileged_ports(privileged, first):
    host = FakeHost(programs={IPADM: PROPERTIES.replace(b"1024", privileged)})
    assert sunos.SETTINGS.bounds(host, "tcp", "ipv4")[0] == Span(first, 65535)


def test_solaris_10_settings():
    host = ndd(smallest_anon_port=b"32768\n", largest_anon_port=b"65535\n", smallest_nonpriv_port=b"1024\n")
    found = sunos.SETTINGS.bounds(host, "tcp", "ipv4")
    assert found == (Span(32768, 65535), "ndd -get /dev/tcp tcp_smallest_anon_port")


def test_source_error_names_ndd_when_both_commands_are_missing():
    with pytest.raises(SourceError, match=r"^ndd -get /dev/tcp tcp_smallest_anon_port: No such file"):
        sunos.SETTINGS.bounds(FakeHost(), "tcp", "ipv4")


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
            r"ipadm show-prop tcp: expected .* smallest_nonpriv_port \(40001\) up, found '32768-40000'",
        ),
        ("reserved", PROPERTIES.replace(b"2049", b"x"), "ipadm show-prop tcp: expected a port number"),
        ("bounds", b"a:1\n", "ipadm show-prop tcp: expected a property smallest_anon_port"),
        ("bounds", b"?\n", "ipadm show-prop tcp: expected lines of a property"),
        ("privileged", PROPERTIES.replace(b"1024", b"x"), "ipadm show-prop tcp: expected a port number"),
        ("privileged", PROPERTIES.replace(b"2049", b"x"), "ipadm show-prop tcp: expected a port number"),
        ("privileged", PROPERTIES.replace(b"2049", b"65536"), "ipadm show-prop tcp: expected port numbers"),
    ],
)
def test_parse_error_names_ipadm_command(fact, changed, message):
    with pytest.raises(ParseError, match="^" + message):
        getattr(sunos.SETTINGS, fact)(FakeHost(programs={IPADM: changed}), "tcp", "ipv4")


# --- no ---

NO = ("/usr/sbin/no", "-a")


def test_aix_settings():
    host = FakeHost(programs={NO: b"udp_ephemeral_low = 40000\nudp_ephemeral_high = 50000\n\xff\n"})
    found = aix.SETTINGS.bounds(host, "udp", "ipv4")
    source = "no -o udp_ephemeral_low -o udp_ephemeral_high"
    assert found == (Span(40000, 50000), source)


@pytest.mark.parametrize("low", [b"x", b"0"])
def test_parse_error_names_aix_no_command(low):
    host = FakeHost(programs={NO: b"tcp_ephemeral_low = " + low + b"\ntcp_ephemeral_high = 65535\n"})
    with pytest.raises(ParseError, match=r"^no -o tcp_ephemeral_low -o tcp_ephemeral_high: "):
        aix.SETTINGS.bounds(host, "tcp", "ipv4")


# --- sysctl ---


class Sysctls(FakeHost):
    def __init__(self, values):
        super().__init__()
        self.values = values

    def sysctl(self, name):
        return self.values[name]


def number(value: int) -> bytes:
    return value.to_bytes(4, sys.byteorder, signed=True)


def test_parse_number_is_signed():
    assert sysctl.parse_number(b"\xff\xff\xff\xff", "sysctl") == -1


def test_parse_error_names_sysctl_by_name_or_mib():
    with pytest.raises(ParseError, match=r"^sysctl 4\.2\.0\.7: "):
        sysctl.number(Sysctls({(4, 2, 0, 7): b""}), (4, 2, 0, 7))
    with pytest.raises(ParseError, match=r"^sysctl net\.a: "):
        sysctl.ports(Sysctls({"net.a": b""}), "net.a")


def test_parse_error_for_invalid_bounds_names_both_sysctls():
    host = Sysctls({darwin.FIRST: number(0), darwin.LAST: number(5)})
    with pytest.raises(ParseError, match=f"^sysctl {darwin.FIRST}, {darwin.LAST}: expected ports from 1"):
        darwin.SETTINGS.bounds(host, "tcp", "ipv4")


@pytest.mark.parametrize(
    ("low", "high", "ports"),
    [(0, 1023, (Span(1, 1023),)), (0, 1, (Span(1, 1),)), (5, 4, ()), (0, 0, ()), (80, 80, (Span(80, 80),))],
)
def test_freebsd_privileged_ports(low, high, ports):
    names = [f"net.inet.ip.portrange.reserved{end}" for end in ("low", "high")]
    host = Sysctls(dict(zip(names, map(number, (low, high)), strict=True)))
    found = bsd.FREEBSD.privileged(host, "tcp", "ipv4")
    assert found == (ports, f"sysctl {names[0]}, {names[1]}")


def test_openbsd_privileged_ports_name_both_sources():
    host = Sysctls({(4, 2, 6, 24): bytes(8192)})
    found = bsd.OPENBSD.privileged(host, "tcp", "ipv4")
    source = "IPPORT_RESERVED, netinet/in.h, and sysctl net.inet.tcp.rootonly"
    assert found == ((Span(1, 1023),), source)


# --- shared code ---


def test_unsupported_transport_error_lists_supported_transports():
    with pytest.raises(UnsupportedPlatformError) as caught:
        sunos.SETTINGS.ephemeral_range(FakeHost(), "dccp", "ipv4")
    assert str(caught.value) == "solaris has no ephemeral range for dccp: use tcp, udp or sctp"


def test_bounds_accepts_first_and_last_port():
    assert settings.range_between(1, 65535, "a source") == (1, 65535)
    assert settings.range_between(65535, 1, "a source") == (1, 65535)


@pytest.mark.parametrize(("first_free", "ports"), [(0, ()), (1, ()), (2, (Span(1, 1),)), (1024, (Span(1, 1023),))])
def test_below(first_free, ports):
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
def test_parse_error_names_linux_file(fact, name, content):
    path = f"/proc/sys/net/ipv4/{name}"
    with pytest.raises(ParseError, match=f"^{path}: expected "):
        getattr(linux.SETTINGS, fact)(FakeHost({path: content}), "tcp", "ipv4")


@pytest.mark.parametrize(
    ("release", "bounds"),
    [
        (b"4.4.0-19041-Microsoft\n", (49152, 65535)),
        (b"\xff-Microsoft\n", (49152, 65535)),
        (b"5.15.0-microsoft-standard-WSL2\n", (32768, 60999)),
        (b"6.18.0\n", (32768, 60999)),
    ],
)
def test_linux_default_depends_on_release(release, bounds):
    assert linux.SETTINGS.default(FakeHost({"/proc/sys/kernel/osrelease": release})) == bounds


def test_linux_default_without_release():
    assert linux.SETTINGS.default(FakeHost()) == (32768, 60999)


@pytest.mark.parametrize("fact", ["reserved", "excluded"])
def test_range_is_assumed_when_a_port_list_is_unreadable(fact):
    from portrange._frozen import replace

    def fails(_host, _protocol, _family):
        raise SourceError("a list", "may not be read")

    nothing = settings.always(())
    reader = settings.SettingsReader(
        platform="linux",
        protocols=("tcp",),
        apart=settings.TOGETHER,
        default=lambda _host: Span(1, 2),
        bounds=settings.always(Span(10, 20), "a source"),
        reserved=nothing,
        excluded=nothing,
        privileged=nothing,
    )
    complete = reader.port_settings(FakeHost())
    assert [ephemeral.assumed for ephemeral in complete.pools] == [False]
    partial = replace(reader, **{fact: fails})
    found = partial.port_settings(FakeHost())
    assert [ephemeral.assumed for ephemeral in found.pools] == [True]
    assert found.incomplete == ("a list: may not be read",)
    assert partial.ephemeral_range(FakeHost(), "tcp", "ipv4").assumed


def test_settings_have_the_reserved_ports_of_every_protocol():
    reserved = {"tcp": (Span(80, 80), Span(90, 90)), "udp": (Span(81, 82),)}
    reader = settings.SettingsReader(
        platform="openbsd",
        protocols=("tcp", "udp"),
        apart=settings.BY_PROTOCOL,
        default=lambda _host: Span(1, 2),
        bounds=settings.always(Span(10, 20)),
        reserved=lambda _host, protocol, _family: (reserved[protocol], ""),
        excluded=settings.always(()),
        privileged=settings.always(()),
    )
    assert reader.port_settings(FakeHost()).reserved == (Span(80, 82), Span(90, 90))
