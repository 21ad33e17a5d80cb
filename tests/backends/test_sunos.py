from __future__ import annotations

import pytest
from recorded import RecordedHost

from portrange import ParseError, Span, classify, ephemeral_range
from portrange._backends.sunos import parse_port, parse_ports, parse_properties


class Refusing(RecordedHost):
    def run(self, *command):
        raise OSError("exit status 1: Insufficient privileges")


class Silent(RecordedHost):
    def run(self, *command):
        return b"cong_default:newreno\n"


@pytest.mark.parametrize(
    ("name", "source"),
    [("sunos-5.11", "ipadm show-prop tcp"), ("sunos-5.10", "ndd -get /dev/tcp tcp_smallest_anon_port")],
)
def test_ephemeral_range_is_read_from_ipadm_or_ndd(name, source):
    ephemeral = ephemeral_range(host=RecordedHost(name))
    assert (ephemeral.first, ephemeral.last, ephemeral.source, ephemeral.assumed) == (32768, 65535, source, False)


def test_property_names_may_contain_hyphens():
    host = RecordedHost("sunos-5.11.4")
    assert (ephemeral_range(host=host).first, ephemeral_range(host=host, protocol="udp").first) == (9000, 20000)


@pytest.mark.parametrize("name", ["sunos-5.11", "sunos-5.10"])
def test_extra_priv_ports_are_privileged(name):
    settings = classify(80, host=RecordedHost(name)).settings
    assert settings.privileged == (Span(1, 1023), Span(2049, 2049), Span(4045, 4045))


def test_extra_priv_ports_of_any_protocol_are_privileged():
    assert classify(3001, host=RecordedHost("sunos-5.11.4")).privileged is True


def test_sctp_has_an_ephemeral_range():
    assert ephemeral_range(protocol="sctp", host=RecordedHost("sunos-5.11")).source == "ipadm show-prop sctp"


def test_ephemeral_range_is_the_default_when_commands_fail():
    host = Refusing("sunos-5.11")
    ephemeral = ephemeral_range(host=host)
    assert (ephemeral.first, ephemeral.last, ephemeral.assumed) == (32768, 65535, True)
    info = classify(40000, host=host)
    assert (info.ephemeral, info.privileged) == (None, None)
    assert info.settings.incomplete == tuple(
        f"ipadm show-prop {protocol}: exit status 1: Insufficient privileges" for protocol in ("tcp", "udp")
    )


def test_parse_error_names_missing_property():
    host = Silent("sunos-5.11")
    with pytest.raises(ParseError, match="smallest_anon_port"):
        ephemeral_range(host=host)
    with pytest.raises(ParseError):
        parse_properties("PROTO PROPERTY\n", "ipadm")


def test_parse_properties_skips_empty_lines_and_splits_at_the_first_colon():
    assert parse_properties("\na:1\n \nb:2:3\n", "ipadm") == {"a": "1", "b": "2:3"}


def test_parse_port_accepts_the_number_after_the_last_port():
    assert parse_port("65536\n", "ndd") == 65536
    with pytest.raises(ParseError):
        parse_port("65537", "ndd")


def test_parse_ports():
    assert parse_ports("", "ipadm") == ()
    assert parse_ports("65535", "ipadm") == (Span(65535, 65535),)
    assert parse_ports("2049\n4045\n", "ndd") == parse_ports("4045,2049", "ipadm")
    with pytest.raises(ParseError):
        parse_ports("2049,nfs", "ipadm")
