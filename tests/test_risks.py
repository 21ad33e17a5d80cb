"""Risks of a port: which apply, their severity and order, and their remedies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portrange import EphemeralRange, PortSettings, Span
from portrange._questions.risks import host_risks, risks, section_of
from portrange._registry.facts import BAD_PORTS, DEFAULT_RANGES
from portrange._registry.lookup import registered

LINUX = PortSettings(
    "linux",
    pools=(EphemeralRange(32768, 60999, source="a file"),),
    reserved=(),
    excluded=(),
    privileged=(Span(1, 1023),),
    sources=(("pools", "a file"), ("privileged", "another file")),
)
HIGH = ["excluded", "host-range", "privileged", "reserved", "dynamic-band", "default-range"]
LOW = ["registered", "browser", "restricted", "other-range", "unknown"]


def risks_of(port, *, settings=LINUX, ephemeral=False, excluded=False, privileged=False):
    facts = host_risks(settings, ephemeral=ephemeral, excluded=excluded, privileged=privileged)
    return risks(port, registered(port), section_of(port), facts)


def kinds(port, **facts):
    return [risk.kind for risk in risks_of(port, **facts)]


def detail(port, kind, **facts):
    return next(risk.detail for risk in risks_of(port, **facts) if risk.kind == kind)


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        (0, ["reserved", "browser"]),
        (80, ["registered"]),
        (22, ["registered", "browser"]),
        (24, ["registered"]),
        (1023, ["reserved"]),
        (1024, ["reserved", "other-range"]),
        (4, []),
        (8080, ["registered", "other-range"]),
        (10080, ["registered", "browser", "other-range"]),
        (32767, ["registered", "other-range"]),
        (32768, ["default-range", "registered", "other-range"]),
        (33333, ["default-range", "registered", "other-range"]),
        (49151, ["reserved", "default-range", "other-range"]),
        (49152, ["dynamic-band", "default-range", "other-range"]),
        (55555, ["dynamic-band", "default-range", "restricted", "other-range"]),
        (65535, ["dynamic-band", "default-range", "other-range"]),
    ],
)
def test_risks_independent_of_the_host(port, expected):
    assert kinds(port) == expected


def test_host_range_is_the_first_risk_of_an_ephemeral_port():
    assert kinds(33333, ephemeral=True)[0] == "host-range"
    assert kinds(60860, ephemeral=True)[:3] == ["host-range", "dynamic-band", "default-range"]


def test_host_range_detail_names_the_range_and_the_remedy():
    text = detail(33333, "host-range", settings=LINUX, ephemeral=True)
    assert "32768-60999" in text
    assert "ip_local_reserved_ports" in text
    macos = PortSettings("darwin", pools=(EphemeralRange(49152, 65535),))
    text = detail(50000, "host-range", settings=macos, ephemeral=True)
    assert "49152-65535" in text
    assert "ip_local_reserved_ports" not in text


def test_host_range_detail_names_equal_ranges_once():
    same = PortSettings("win32", pools=(EphemeralRange(1024, 2047), EphemeralRange(1024, 2047, "udp")))
    other = PortSettings("win32", pools=(EphemeralRange(1024, 2047), EphemeralRange(1024, 4095, "udp")))
    assert detail(1500, "host-range", settings=same, ephemeral=True).count("1024-2047") == 1
    assert "(1024-2047 and 1024-4095)" in detail(1500, "host-range", settings=other, ephemeral=True)


def test_privileged_and_excluded_details_name_their_source():
    assert "another file" in detail(80, "privileged", settings=LINUX, privileged=True)
    refusing = PortSettings("win32", excluded=(Span(50000, 50059),), sources=(("excluded", "netsh"),))
    assert "netsh" in detail(50000, "excluded", settings=refusing, excluded=True)
    assert kinds(50000, settings=refusing, excluded=True)[0] == "excluded"


def test_unknown_facts_are_a_low_risk_that_names_them():
    unknown = risks_of(8080, ephemeral=None, excluded=None, privileged=None)
    assert [(risk.kind, risk.severity) for risk in unknown][-1] == ("unknown", "low")
    assert "allocates it automatically, refuses to bind it or requires a privilege" in unknown[-1].detail
    assert "refuses" not in detail(8080, "unknown", ephemeral=None)
    assert "unknown" not in kinds(8080)


def test_registered_detail_names_the_service_and_its_aliases():
    assert "for http (also www, www-http)" in detail(80, "registered")
    assert "for ollama:" in detail(11434, "registered")
    assert "any private mail system" in detail(24, "registered")


def test_port_zero_detail_mentions_any_free_port():
    assert "any free port" in detail(0, "reserved")
    assert "any free port" not in detail(1023, "reserved")


def test_default_range_details_name_systems_and_ranges():
    assert "Linux (32768-60999):" in detail(40000, "default-range").replace(", which", ":")
    assert "Linux (32768-60999), macOS (49152-65535) and Windows (49152-65535)" in detail(50000, "default-range")
    assert "Linux" not in detail(61000, "default-range")
    assert "OpenBSD (1024-49151) and DragonFly (1024-5000)" in detail(5000, "other-range")
    assert "DragonFly" not in detail(5001, "other-range")


@pytest.mark.parametrize("default", DEFAULT_RANGES, ids=lambda default: default.system)
def test_default_range_includes_its_bounds(default):
    for port in (default.first, default.last):
        assert default.system in section_of(port).ephemeral_by_default_on
    for port in {default.first - 1, default.last + 1} & set(range(65536)):
        assert default.system not in section_of(port).ephemeral_by_default_on


@pytest.mark.parametrize(
    ("port", "systems"),
    [
        (1023, []),
        (1024, ["openbsd", "dragonfly"]),
        (10000, ["freebsd", "openbsd"]),
        (49151, ["linux", "freebsd", "openbsd", "solaris", "aix"]),
        (49152, ["linux", "macos", "windows", "freebsd", "netbsd", "solaris", "aix"]),
        (61000, ["macos", "windows", "freebsd", "netbsd", "solaris", "aix"]),
    ],
)
def test_ephemeral_by_default_on_has_a_fixed_order(port, systems):
    assert list(section_of(port).ephemeral_by_default_on) == systems


def test_browser_risk_matches_the_bad_ports_of_the_standard():
    assert len(BAD_PORTS) == 83
    assert {port for port in range(65536) if "browser" in kinds(port)} == BAD_PORTS


tristate = st.sampled_from([True, False, None])


@given(st.integers(0, 65535), tristate, tristate, tristate)
def test_risks_are_sorted_by_severity_and_name_a_remedy(port, ephemeral, excluded, privileged):
    found = risks_of(port, settings=LINUX, ephemeral=ephemeral, excluded=excluded, privileged=privileged)
    order = [*HIGH, *LOW]
    assert [order.index(risk.kind) for risk in found] == sorted({order.index(risk.kind) for risk in found})
    for risk in found:
        assert risk.severity == ("high" if risk.kind in HIGH else "low")
        assert ": " in risk.detail
        assert "\n" not in risk.detail
        assert not risk.detail.endswith(".")
        assert str(risk) == f"{risk.severity}: {risk.detail}"


def test_remedy_depends_on_the_system():
    pools = (EphemeralRange(100, 199, source="a setting"),)
    high_risks = {
        platform: host_risks(
            PortSettings(platform=platform, pools=pools), ephemeral=True, excluded=True, privileged=False
        ).high
        for platform in ("linux", "windows")
    }
    assert high_risks["windows"][0].detail == "this host refuses to bind it: choose a port that is not excluded"
    assert high_risks["windows"][1].detail == (
        "this host may allocate it to any outgoing connection at any time: choose a port outside its ephemeral range "
        "(100-199)"
    )
    assert high_risks["linux"][1].detail == (
        "this host may allocate it to any outgoing connection at any time: choose a port outside its ephemeral range "
        "(100-199), or reserve it in net.ipv4.ip_local_reserved_ports"
    )


def test_reserved_port_keeps_the_risks_of_the_host():
    assert kinds(1023, privileged=True) == ["privileged", "reserved"]
