from __future__ import annotations

import pytest
from recorded import RecordedHost

from portrange import ParseError, Span, classify, ephemeral_range
from portrange._backends.windows import Exclusions, parse_dynamic_ports, parse_exclusions

LANGUAGES = ["", "-de", "-es", "-fr", "-ja"]
HEAD = "Start Port    End Port\n----------    --------\n"


@pytest.mark.parametrize("language", LANGUAGES)
def test_ephemeral_range_is_read_in_every_language(language):
    ephemeral = ephemeral_range(host=RecordedHost(f"win32-10.0{language}"))
    assert (ephemeral.first, ephemeral.last, ephemeral.assumed) == (49152, 65535, False)
    assert ephemeral.source == "netsh int ipv4 show dynamicport tcp"


@pytest.mark.parametrize("language", [*LANGUAGES, "-zh"])
def test_exclusions_are_read_in_every_language(language):
    info = classify(5357, host=RecordedHost(f"win32-10.0{language}"))
    assert (info.excluded, info.reserved, info.settings.incomplete) == (True, False, ())


def test_ephemeral_range_is_low_with_hyper_v():
    ephemeral = ephemeral_range(host=RecordedHost("win32-10.0-zh"))
    assert (ephemeral.first, ephemeral.last) == (1024, 15000)


def test_each_protocol_and_family_has_its_own_ephemeral_range():
    host = RecordedHost("win32-10.0-split")
    ranges = {
        (protocol, family): ephemeral_range(protocol=protocol, family=family, host=host)
        for protocol in ("tcp", "udp")
        for family in ("ipv4", "ipv6")
    }
    assert {key: (ephemeral.first, ephemeral.last) for key, ephemeral in ranges.items()} == {
        ("tcp", "ipv4"): (1024, 65534),
        ("tcp", "ipv6"): (10000, 10999),
        ("udp", "ipv4"): (49152, 65535),
        ("udp", "ipv6"): (20000, 20254),
    }
    assert len({ephemeral.source for ephemeral in ranges.values()}) == 4
    assert len(classify(1, host=host).settings.pools or ()) == 4


def test_administered_exclusions_are_reserved_and_runtime_exclusions_excluded():
    host = RecordedHost("win32-10.0")
    administered, runtime = classify(50000, host=host), classify(49671, host=host)
    assert (administered.reserved, administered.excluded) == (True, False)
    assert (runtime.reserved, runtime.excluded) == (False, True)


def test_excluded_ports_are_not_ephemeral():
    ephemeral = ephemeral_range(host=RecordedHost("win32-10.0"))
    assert (50000 in ephemeral, 49671 in ephemeral, 49152 in ephemeral) == (False, False, True)
    assert len(ephemeral) == 16384 - 100 - 60 - 100


def test_no_port_is_privileged():
    assert classify(80, host=RecordedHost("win32-10.0")).privileged is False


def test_ephemeral_range_is_the_documented_default_when_netsh_prints_nothing():
    host = RecordedHost("win32-10.0-wine")
    ephemeral = ephemeral_range(host=host)
    assert (ephemeral.first, ephemeral.last, ephemeral.assumed, ephemeral.source) == (
        49152,
        65535,
        True,
        "documented default",
    )
    info = classify(60000, host=host)
    assert (info.ephemeral, info.reserved, info.excluded) == (None, None, None)
    assert any("printed nothing" in reason for reason in info.settings.incomplete)


def test_cygwin_uses_windows_settings():
    host = RecordedHost("cygwin-3.5")
    assert ephemeral_range(host=host).first == 49152
    assert classify(5357, host=host).excluded is True


def test_settings_are_read_with_an_unknown_code_page():
    host = RecordedHost("win32-10.0-de")
    host.facts["console_encoding"] = "cp99999"
    assert ephemeral_range(host=host).first == 49152


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (HEAD, Exclusions((), ())),
        (HEAD + "\n80 80\n\n65535 65535\n", Exclusions((), (Span(80, 80), Span(65535, 65535)))),
        (HEAD + "   80   80\n", Exclusions((), (Span(80, 80),))),
        (HEAD + "   80   80   *\n   81   89\n", Exclusions((Span(80, 80),), (Span(81, 89),))),
        ((HEAD + "   80   80*\n").replace("\n", "\r\n"), Exclusions((Span(80, 80),), ())),
        ("\ufeff" + HEAD + "1 2\n2 3\n", Exclusions((), (Span(1, 3),))),
    ],
)
def test_parse_exclusions(text, rows):
    assert parse_exclusions(text, "netsh") == rows


@pytest.mark.parametrize(
    "text", ["", "The following command was not found.\n", HEAD + "9 8\n", HEAD + "70000 70001\n", HEAD + "80\n"]
)
def test_parse_exclusions_rejects_invalid_tables(text):
    with pytest.raises(ParseError) as caught:
        parse_exclusions(text, "netsh")
    assert caught.value.source == "netsh"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Start Port : 49152\n",
        "Start Port : 49152\nNumber of Ports : 0\n",
        "Start Port : 65000\nNumber of Ports : 16384\n",
        "Start Port : 1\nNumber of Ports : 2\nSomething : 3\n",
        "Start Port : ٤٩١٥٢\nNumber of Ports : ١٦\n",
        "Start Port : 0\nNumber of Ports : 5\n",
    ],
)
def test_parse_dynamic_ports_rejects_invalid_output(text):
    with pytest.raises(ParseError) as caught:
        parse_dynamic_ports(text, "netsh")
    assert (caught.value.source, caught.value.text) == ("netsh", text)


def test_parse_dynamic_ports_accepts_a_single_port():
    assert parse_dynamic_ports("Start Port : 65535\nNumber of Ports : 1\n", "netsh") == Span(65535, 65535)


def test_parse_dynamic_ports_ignores_numbers_of_more_digits_than_a_port():
    text = "Start Port : 5000\nNumber of Ports : 2\nBuild : 100000\n"
    assert parse_dynamic_ports(text, "netsh") == Span(5000, 5001)
