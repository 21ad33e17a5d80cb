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
def test_where_each_keeps_its_pool(name, first, last, source):
    pool = ephemeral_range(host=RecordedHost(name))
    assert (pool.first, pool.last, pool.source, pool.assumed) == (first, last, source, False)


def test_freebsd_lets_the_administrator_move_the_privileged_ports():
    assert classify(80, host=RecordedHost("freebsd-13.0")).settings.privileged == (Span(1, 1023),)
    assert classify(80, host=RecordedHost("freebsd-13.0-web")).privileged is False


def test_openbsd_never_picks_bad_ports_which_differ_by_protocol():
    host = RecordedHost("openbsd-7.6")
    tcp, udp = ephemeral_range(host=host), ephemeral_range(protocol="udp", host=host)
    assert (587 in tcp, 3784 in tcp, 3784 in udp, 6005 in tcp, 6005 in udp) == (False, True, False, False, True)
    assert len(tcp) == 49151 - 1024 + 1 - 12
    assert classify(6005, host=host).reserved is True


def test_openbsd_keeps_further_ports_for_the_superuser():
    settings = classify(2049, host=RecordedHost("openbsd-7.6")).settings
    assert settings.privileged == (Span(1, 1023), Span(2049, 2049))


def test_what_openbsd_does_not_tell_is_unknown():
    info = classify(2049, host=RecordedHost("openbsd-7.6-pledged"))
    assert (info.privileged, info.reserved, info.ephemeral) == (None, None, None)
    assert [reason.partition(":")[0] for reason in info.settings.incomplete] == [
        "sysctl net.inet.tcp.baddynamic",
        "sysctl net.inet.udp.baddynamic",
        "sysctl net.inet.tcp.rootonly",
        "sysctl net.inet.udp.rootonly",
    ]
    pool = ephemeral_range(host=RecordedHost("openbsd-7.6-pledged"))
    assert (pool.first, pool.last, pool.assumed) == (1024, 49151, True)


def test_netbsd_has_a_pool_of_its_own_for_ipv6():
    host = RecordedHost("netbsd-10.0-split")
    pool = ephemeral_range(family="ipv6", host=host)
    assert (pool.first, pool.last) == (20000, 29999)
    assert pool.source == "sysctl net.inet6.ip6.anonportmin, net.inet6.ip6.anonportmax"
    assert (classify(25000, host=host).ephemeral, classify(50000, host=host).ephemeral) == (True, True)
    assert classify(40000, host=host).ephemeral is False


def test_netbsd_sets_ports_aside_for_each_family():
    host = RecordedHost("netbsd-10.0-split")
    assert ephemeral_range(host=host).reserved == ((50100, 50100),)
    assert ephemeral_range(family="ipv6", host=host).reserved == ((25100, 25100), (50100, 50100))
    info = classify(25100, host=host)
    assert (info.ephemeral, info.reserved) == (False, True)
    assert info.settings.source("reserved").startswith("sysctl net.inet.ip.anonportalgo.reserve")


def test_netbsd_without_that_setting_sets_nothing_aside():
    class Older(RecordedHost):
        def sysctl(self, name):
            if name.endswith(".reserve"):
                raise FileNotFoundError(2, "No such file or directory", name)
            return super().sysctl(name)

    info = classify(50100, host=Older("netbsd-10.0-split"))
    assert (info.ephemeral, info.reserved, info.settings.incomplete) == (True, False, ())


@pytest.mark.parametrize("high", [65536, 70000, 2**31 - 1])
def test_privileged_ports_of_freebsd_are_ports(high):
    class Garbled(RecordedHost):
        def sysctl(self, name):
            return high.to_bytes(4, sys.byteorder) if name.endswith(".reservedhigh") else super().sysctl(name)

    host = Garbled("freebsd-13.0")
    assert classify(80, host=host).privileged is None
    [reason] = classify(80, host=host).settings.incomplete
    assert "reservedhigh: expected ports from 0 to 65535, found" in reason


def test_every_port_of_freebsd_may_be_privileged():
    class All(RecordedHost):
        def sysctl(self, name):
            return (65535).to_bytes(4, sys.byteorder) if name.endswith(".reservedhigh") else super().sysctl(name)

    assert classify(80, host=All("freebsd-13.0")).settings.privileged == ((1, 65535),)


def test_a_pool_of_openbsd_may_begin_at_nothing():
    class FromZero(RecordedHost):
        def sysctl(self, name):
            return bytes(4) if name == (4, 2, 0, 7) else super().sysctl(name)

    pool = ephemeral_range(host=FromZero("openbsd-7.6"))
    assert (pool.first, pool.last, pool.assumed) == (1, 49151, False)


def test_freebsd_picks_ports_for_sctp_too():
    assert ephemeral_range(protocol="sctp", host=RecordedHost("freebsd-13.0")).first == 10000


def test_bounds_that_are_no_ports_are_an_error_that_names_both_settings():
    class Garbled(RecordedHost):
        def sysctl(self, name):
            return (70000).to_bytes(4, "little")

    with pytest.raises(ParseError) as failure:
        ephemeral_range(host=Garbled("freebsd-13.0"))
    assert failure.value.source == "sysctl net.inet.ip.portrange.first, net.inet.ip.portrange.last"
