from __future__ import annotations

import sys

import pytest
from recorded import RecordedHost

from portrange import ParseError, Span, classify, ephemeral_range


@pytest.mark.parametrize(
    ("name", "first", "last", "source"),
    [
        ("freebsd-13.0", 10000, 65535, "sysctl net.inet.ip.portrange.first, net.inet.ip.portrange.last"),
        ("freebsd-13.0-web", 20000, 21999, "sysctl net.inet.ip.portrange.first, net.inet.ip.portrange.last"),
        ("dragonfly-6.4", 1024, 5000, "sysctl net.inet.ip.portrange.first, net.inet.ip.portrange.last"),
        ("openbsd-7.6", 1024, 49151, "sysctl net.inet.ip.portfirst, net.inet.ip.portlast"),
        ("netbsd-10.0", 49152, 65535, "sysctl net.inet.ip.anonportmin, net.inet.ip.anonportmax"),
    ],
)
def test_ephemeral_range(name, first, last, source):
    ephemeral = ephemeral_range(host=RecordedHost(name))
    assert (ephemeral.first, ephemeral.last, ephemeral.source, ephemeral.assumed) == (first, last, source, False)


def test_freebsd_privileged_ports_are_configurable():
    assert classify(80, host=RecordedHost("freebsd-13.0")).settings.privileged == (Span(1, 1023),)
    assert classify(80, host=RecordedHost("freebsd-13.0-web")).privileged is False


def test_openbsd_baddynamic_ports_are_per_protocol():
    host = RecordedHost("openbsd-7.6")
    tcp, udp = ephemeral_range(host=host), ephemeral_range(protocol="udp", host=host)
    assert (587 in tcp, 3784 in tcp, 3784 in udp, 6005 in tcp, 6005 in udp) == (False, True, False, False, True)
    assert len(tcp) == 49151 - 1024 + 1 - 12
    assert classify(6005, host=host).reserved is True


def test_openbsd_rootonly_ports_are_privileged():
    settings = classify(2049, host=RecordedHost("openbsd-7.6")).settings
    assert settings.privileged == (Span(1, 1023), Span(2049, 2049))


def test_openbsd_settings_are_unknown_when_sysctls_are_unreadable():
    info = classify(2049, host=RecordedHost("openbsd-7.6-pledged"))
    assert (info.privileged, info.reserved, info.ephemeral) == (None, None, None)
    assert [reason.partition(":")[0] for reason in info.settings.incomplete] == [
        "sysctl net.inet.tcp.baddynamic",
        "sysctl net.inet.udp.baddynamic",
        "sysctl net.inet.tcp.rootonly",
        "sysctl net.inet.udp.rootonly",
    ]
    ephemeral = ephemeral_range(host=RecordedHost("openbsd-7.6-pledged"))
    assert (ephemeral.first, ephemeral.last, ephemeral.assumed) == (1024, 49151, True)


def test_netbsd_has_a_separate_range_for_ipv6():
    host = RecordedHost("netbsd-10.0-split")
    ephemeral = ephemeral_range(family="ipv6", host=host)
    assert (ephemeral.first, ephemeral.last) == (20000, 29999)
    assert ephemeral.source == "sysctl net.inet6.ip6.anonportmin, net.inet6.ip6.anonportmax"
    assert (classify(25000, host=host).ephemeral, classify(50000, host=host).ephemeral) == (True, True)
    assert classify(40000, host=host).ephemeral is False


def test_netbsd_reserved_ports_are_per_family():
    host = RecordedHost("netbsd-10.0-split")
    assert ephemeral_range(host=host).reserved == ((50100, 50100),)
    assert ephemeral_range(family="ipv6", host=host).reserved == ((25100, 25100), (50100, 50100))
    info = classify(25100, host=host)
    assert (info.ephemeral, info.reserved) == (False, True)
    assert info.settings.source("reserved").startswith("sysctl net.inet.ip.anonportalgo.reserve")


def test_netbsd_without_reserve_sysctl_has_no_reserved_ports():
    class Older(RecordedHost):
        def sysctl(self, name):
            if name.endswith(".reserve"):
                raise FileNotFoundError(2, "No such file or directory", name)
            return super().sysctl(name)

    info = classify(50100, host=Older("netbsd-10.0-split"))
    assert (info.ephemeral, info.reserved, info.settings.incomplete) == (True, False, ())


@pytest.mark.parametrize("high", [65536, 70000, 2**31 - 1])
def test_freebsd_privileged_ports_out_of_range_are_rejected(high):
    class Garbled(RecordedHost):
        def sysctl(self, name):
            return high.to_bytes(4, sys.byteorder) if name.endswith(".reservedhigh") else super().sysctl(name)

    host = Garbled("freebsd-13.0")
    assert classify(80, host=host).privileged is None
    [reason] = classify(80, host=host).settings.incomplete
    assert "reservedhigh: expected ports from 0 to 65535, found" in reason


def test_freebsd_all_ports_can_be_privileged():
    class All(RecordedHost):
        def sysctl(self, name):
            return (65535).to_bytes(4, sys.byteorder) if name.endswith(".reservedhigh") else super().sysctl(name)

    assert classify(80, host=All("freebsd-13.0")).settings.privileged == ((1, 65535),)


def test_openbsd_range_can_start_at_port_0():
    class FromZero(RecordedHost):
        def sysctl(self, name):
            return bytes(4) if name == (4, 2, 0, 7) else super().sysctl(name)

    ephemeral = ephemeral_range(host=FromZero("openbsd-7.6"))
    assert (ephemeral.first, ephemeral.last, ephemeral.assumed) == (1, 49151, False)


def test_freebsd_has_an_ephemeral_range_for_sctp():
    assert ephemeral_range(protocol="sctp", host=RecordedHost("freebsd-13.0")).first == 10000


def test_parse_error_for_invalid_bounds_names_both_sysctls():
    class Garbled(RecordedHost):
        def sysctl(self, name):
            return (70000).to_bytes(4, sys.byteorder)

    with pytest.raises(ParseError) as failure:
        ephemeral_range(host=Garbled("freebsd-13.0"))
    assert failure.value.source == "sysctl net.inet.ip.portrange.first, net.inet.ip.portrange.last"
