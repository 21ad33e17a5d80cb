from __future__ import annotations

import pytest
from recorded import RecordedHost

from portrange import ParseError, Span, UnsupportedPlatformError, classify, ephemeral_range


def test_the_pool_stands_in_two_sysctls():
    pool = ephemeral_range(host=RecordedHost("darwin-24.4"))
    assert (pool.first, pool.last, pool.assumed) == (49152, 65535, False)
    assert pool.source == "sysctl net.inet.ip.portrange.first, net.inet.ip.portrange.last"


def test_a_pool_that_counts_down_is_given_upwards():
    pool = ephemeral_range(host=RecordedHost("darwin-24.4-root"))
    assert (pool.first, pool.last) == (16384, 32767)


def test_restricted_ports_are_never_handed_out_and_refused_to_everybody():
    host = RecordedHost("darwin-24.4")
    assert 55555 not in ephemeral_range(host=host)
    assert len(ephemeral_range(host=host)) == 16383
    info = classify(55555, host=host)
    assert (info.ephemeral, info.excluded, info.reserved) == (False, True, False)
    assert info.settings.source("excluded") == "sysctl net.restricted_port.bitmap"


def test_before_there_were_restricted_ports_none_is_refused():
    info = classify(55555, host=RecordedHost("darwin-18.7-no-bitmap"))
    assert (info.ephemeral, info.excluded) == (True, False)
    assert info.settings.incomplete == ()


def test_ios_restricts_more_ports():
    excluded = classify(1, host=RecordedHost("ios-18.4")).settings.excluded
    assert excluded == (Span(55555, 55555), Span(61314, 61315), Span(62742, 62743))


def test_the_privilege_is_about_addresses_and_the_source_says_so():
    settings = classify(80, host=RecordedHost("darwin-24.4")).settings
    assert settings.privileged == (Span(1, 1023),)
    assert "no privilege on the wildcard address" in (settings.source("privileged") or "")


def test_sysctls_of_another_size_are_no_values():
    host = RecordedHost("darwin-24.4-garbled")
    with pytest.raises(ParseError) as caught:
        ephemeral_range(host=host)
    assert (caught.value.source, caught.value.text) == ("sysctl net.inet.ip.portrange.first", "00c0")
    settings = classify(80, host=host).settings
    assert (settings.pools, settings.excluded) == (None, None)
    assert len(settings.incomplete) == 2


def test_macos_has_no_other_transports():
    with pytest.raises(UnsupportedPlatformError, match="macos keeps no ephemeral range of sctp"):
        ephemeral_range(protocol="sctp", host=RecordedHost("darwin-24.4"))
