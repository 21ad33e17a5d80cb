"""Why a port is risky: which risks a port has, how bad they are, and that each says what to do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portrange import EphemeralRange, PortSettings, Span
from portrange._questions.risks import host_risks, risks, stretch
from portrange._registry.lookup import registry
from portrange._registry.pools import DEFAULT_POOLS
from portrange._registry.refused import BAD_PORTS

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


def judged(port, *, settings=LINUX, ephemeral=False, excluded=False, privileged=False):
    here = host_risks(settings, ephemeral=ephemeral, excluded=excluded, privileged=privileged)
    return risks(port, registry().at(port), stretch(port), here)


def kinds(port, **here):
    return [risk.kind for risk in judged(port, **here)]


def detail(port, kind, **here):
    return next(risk.detail for risk in judged(port, **here) if risk.kind == kind)


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
def test_the_risks_that_hold_on_every_host(port, expected):
    assert kinds(port) == expected


def test_the_pool_of_this_host_is_the_worst_that_can_be_bound():
    assert kinds(33333, ephemeral=True)[0] == "host-range"
    assert kinds(60860, ephemeral=True)[:3] == ["host-range", "dynamic-band", "default-range"]


def test_a_port_in_the_pool_is_told_how_to_leave_it():
    said = detail(33333, "host-range", settings=LINUX, ephemeral=True)
    assert "32768-60999" in said
    assert "ip_local_reserved_ports" in said
    elsewhere = PortSettings("darwin", pools=(EphemeralRange(49152, 65535),))
    said = detail(50000, "host-range", settings=elsewhere, ephemeral=True)
    assert "49152-65535" in said
    assert "ip_local_reserved_ports" not in said


def test_pools_of_several_transports_are_named_once():
    same = PortSettings("win32", pools=(EphemeralRange(1024, 2047), EphemeralRange(1024, 2047, "udp")))
    other = PortSettings("win32", pools=(EphemeralRange(1024, 2047), EphemeralRange(1024, 4095, "udp")))
    assert detail(1500, "host-range", settings=same, ephemeral=True).count("1024-2047") == 1
    assert "(1024-2047 and 1024-4095)" in detail(1500, "host-range", settings=other, ephemeral=True)


def test_a_privilege_and_a_refusal_name_their_source():
    assert "another file" in detail(80, "privileged", settings=LINUX, privileged=True)
    refusing = PortSettings("win32", excluded=(Span(50000, 50059),), sources=(("excluded", "netsh"),))
    assert "netsh" in detail(50000, "excluded", settings=refusing, excluded=True)
    assert kinds(50000, settings=refusing, excluded=True)[0] == "excluded"


def test_what_this_host_did_not_tell_is_a_low_risk_that_names_it():
    unknown = judged(8080, ephemeral=None, excluded=None, privileged=None)
    assert [(risk.kind, risk.severity) for risk in unknown][-1] == ("unknown", "low")
    assert "hands it out, refuses to bind it or asks a privilege" in unknown[-1].detail
    assert "refuses" not in detail(8080, "unknown", ephemeral=None)
    assert "unknown" not in kinds(8080)


def test_the_service_is_named_with_its_other_names():
    assert "for http (also www, www-http)" in detail(80, "registered")
    assert "for ollama:" in detail(11434, "registered")
    assert "any private mail system" in detail(24, "registered")


def test_port_zero_is_no_port_to_wait_on():
    assert "any free port" in detail(0, "reserved")
    assert "any free port" not in detail(1023, "reserved")


def test_other_systems_are_named_with_their_pools():
    assert "Linux (32768-60999):" in detail(40000, "default-range").replace(", which", ":")
    assert "Linux (32768-60999), macOS (49152-65535) and Windows (49152-65535)" in detail(50000, "default-range")
    assert "Linux" not in detail(61000, "default-range")
    assert "OpenBSD (1024-49151) and DragonFly (1024-5000)" in detail(5000, "other-range")
    assert "DragonFly" not in detail(5001, "other-range")


@pytest.mark.parametrize("pool", DEFAULT_POOLS, ids=lambda pool: pool.system)
def test_the_bounds_of_a_default_pool_belong_to_it(pool):
    for port in (pool.first, pool.last):
        assert pool.system in stretch(port).ephemeral_by_default_on
    for port in {pool.first - 1, pool.last + 1} & set(range(65536)):
        assert pool.system not in stretch(port).ephemeral_by_default_on


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
def test_default_pools_stand_in_one_order(port, systems):
    assert list(stretch(port).ephemeral_by_default_on) == systems


def test_browsers_refuse_as_many_ports_as_the_standard_lists():
    assert len(BAD_PORTS) == 83
    assert {port for port in range(65536) if "browser" in kinds(port)} == BAD_PORTS


answers = st.sampled_from([True, False, None])


@given(st.integers(0, 65535), answers, answers, answers)
def test_the_worst_comes_first_and_every_risk_says_what_to_do(port, ephemeral, excluded, privileged):
    found = judged(port, settings=LINUX, ephemeral=ephemeral, excluded=excluded, privileged=privileged)
    order = [*HIGH, *LOW]
    assert [order.index(risk.kind) for risk in found] == sorted({order.index(risk.kind) for risk in found})
    for risk in found:
        assert risk.severity == ("high" if risk.kind in HIGH else "low")
        assert ": " in risk.detail
        assert "\n" not in risk.detail
        assert not risk.detail.endswith(".")
        assert str(risk) == f"{risk.severity}: {risk.detail}"


def test_what_to_do_depends_on_the_system():
    pools = (EphemeralRange(100, 199, source="a setting"),)
    told = {
        platform: host_risks(
            PortSettings(platform=platform, pools=pools), ephemeral=True, excluded=True, privileged=False
        ).high
        for platform in ("linux", "windows")
    }
    assert told["windows"][0].detail == "this host refuses to bind it: choose a port outside its exclusions"
    assert told["windows"][1].detail == (
        "this host may give it to any outgoing connection at any time: choose a port outside its pool (100-199)"
    )
    assert told["linux"][1].detail == (
        "this host may give it to any outgoing connection at any time: choose a port outside its pool (100-199), "
        "or set it aside in net.ipv4.ip_local_reserved_ports"
    )


def test_what_iana_reserves_hides_nothing_that_this_host_has_against_a_port():
    assert kinds(1023, privileged=True) == ["privileged", "reserved"]
