from __future__ import annotations

import pytest
from recorded import RecordedHost

from portrange import ParseError, Span, classify, ephemeral_range
from portrange._backends.aix import parse_tunable


def test_ephemeral_range_is_read_from_two_tunables_per_protocol():
    host = RecordedHost("aix-7.2-oracle")
    tcp, udp = ephemeral_range(host=host), ephemeral_range(protocol="udp", host=host)
    assert (tcp.first, tcp.last, udp.first, udp.last) == (9000, 65500, 10000, 65000)
    assert tcp.source == "no -o tcp_ephemeral_low -o tcp_ephemeral_high"


def test_default_settings():
    info = classify(40000, host=RecordedHost("aix-7.2"))
    assert (info.ephemeral, info.excluded, info.privileged) == (True, False, False)
    assert info.settings.privileged == (Span(1, 1023),)


@pytest.mark.parametrize(
    "text", ["", "tcp_ephemeral_low = \n", "tcp_ephemeral_low = n/a\n", "my_tcp_ephemeral_low = 1\n"]
)
def test_parse_tunable_rejects_missing_tunable(text):
    with pytest.raises(ParseError) as caught:
        parse_tunable(text, "tcp_ephemeral_low", "no -a")
    assert caught.value.source == "no -a"
