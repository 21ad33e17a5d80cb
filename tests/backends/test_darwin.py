from __future__ import annotations

import pytest
from recorded import RecordedHost

from portrange import ParseError, Span, UnsupportedPlatformError, classify, ephemeral_range


def test_ephemeral_range_is_read_from_two_sysctls():
    ephemeral = ephemeral_range(host=RecordedHost("darwin-24.4"))
    assert (ephemeral.first, ephemeral.last, ephemeral.assumed) == (49152, 65535, False)
    assert ephemeral.source == "sysctl net.inet.ip.portrange.first, net.inet.ip.portrange.last"


def test_descending_range_is_reported_ascending():
    ephemeral = ephemeral_range(host=RecordedHost("darwin-24.4-root"))
    assert (ephemeral.first, ephemeral.last) == (16384, 32767)


def test_restricted_ports_are_excluded_and_not_ephemeral():
    host = RecordedHost("darwin-24.4")
    assert 55555 not in ephemeral_range(host=host)
    assert len(ephemeral_range(host=host)) == 16383
    info = classify(55555, host=host)
    assert (info.ephemeral, info.excluded, info.reserved) == (False, True, False)
    assert info.settings.source("excluded") == "sysctl net.restricted_port.bitmap"


def test_no_ports_are_excluded_without_the_bitmap_sysctl():
    info = classify(55555, host=RecordedHost("darwin-18.7-no-bitmap"))
    assert (info.ephemeral, info.excluded) == (True, False)
    assert info.settings.incomplete == ()


def test_ios_excludes_more_ports():
    excluded = classify(1, host=RecordedHost("ios-18.4")).settings.excluded
    assert excluded == (Span(55555, 55555), Span(61314, 61315), Span(62742, 62743))


def test_source_of_privileged_ports_mentions_the_wildcard_address():
    settings = classify(80, host=RecordedHost("darwin-24.4")).settings
    assert settings.privileged == (Span(1, 1023),)
    assert "no privilege on the wildcard address" in (settings.source("privileged") or "")


def test_sysctls_of_wrong_size_are_rejected():
    host = RecordedHost("darwin-24.4-garbled")
    with pytest.raises(ParseError) as caught:
        ephemeral_range(host=host)
    assert (caught.value.source, caught.value.text) == ("sysctl net.inet.ip.portrange.first", "00c0")
    settings = classify(80, host=host).settings
    assert (settings.pools, settings.excluded) == (None, None)
    assert len(settings.incomplete) == 2


def test_macos_does_not_support_sctp():
    with pytest.raises(UnsupportedPlatformError, match="macos has no ephemeral range for sctp"):
        ephemeral_range(protocol="sctp", host=RecordedHost("darwin-24.4"))
