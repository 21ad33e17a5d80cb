"""Risks of a port: which apply, their severity and order, and their remedies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portrange import EphemeralRange, PortSettings, Span
from portrange._answers.port import RISK_KINDS
from portrange._questions.risks import FIRST, LAST, HostFacts, risks, section_of, setting_risks
from portrange._registry.facts import (
    BAD_PORTS,
    COMMON_PORTS,
    DEFAULT_RANGES,
    DEFAULT_TARGETS,
    ORCHESTRATOR_RANGES,
    common_uses,
)
from portrange._registry.lookup import registered

LINUX = PortSettings(
    "linux",
    pools=(EphemeralRange(32768, 60999, source="a file"),),
    reserved=(),
    excluded=(),
    privileged=(Span(1, 1023),),
    sources=(("pools", "a file"), ("privileged", "another file")),
)
MACOS = PortSettings("macos", pools=(EphemeralRange(49152, 65535),))
HIGH = {"excluded", "host-range", "dynamic-band", "reserved"}
EITHER = {"default-range", "unknown"}


def risks_of(port, *, settings=LINUX, targets=DEFAULT_TARGETS, **facts):
    record = registered(port)
    of_settings = setting_risks(
        section_of(port), settings, HostFacts(**facts), targets, is_assignable=record.assignment != "reserved"
    )
    return risks(port, record, of_settings)


def kinds(port, **facts):
    return [risk.kind for risk in risks_of(port, **facts)]


def high(port, **facts):
    return [risk.kind for risk in risks_of(port, **facts) if risk.severity == "high"]


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
        (1024, ["reserved"]),
        (4, []),
        (8080, ["registered", "common-use"]),
        (8123, ["common-use"]),
        (10080, ["registered", "browser"]),
        (10250, ["common-use"]),
        (19997, []),
        (19999, ["registered"]),
        (20005, ["orchestrator", "registered"]),
        (25565, ["orchestrator", "common-use"]),
        (32767, ["orchestrator", "registered"]),
        (32768, ["default-range", "registered"]),
        (33333, ["default-range", "registered"]),
        (49151, ["default-range", "reserved"]),
        (49152, ["default-range", "dynamic-band"]),
        (51820, ["default-range", "dynamic-band", "common-use"]),
        (55555, ["default-range", "dynamic-band", "restricted"]),
        (65535, ["default-range", "dynamic-band"]),
    ],
)
def test_risks_independent_of_the_host(port, expected):
    assert kinds(port) == expected


def test_host_range_is_the_first_risk_of_an_ephemeral_port():
    assert kinds(33333, ephemeral=True)[0] == "host-range"
    assert kinds(60860, ephemeral=True) == ["host-range", "default-range", "dynamic-band"]


def test_host_range_detail_names_the_range_and_the_remedy():
    assert detail(33333, "host-range", ephemeral=True) == (
        "in this host's ephemeral range (32768-60999): use 1024-19999, or reserve it (net.ipv4.ip_local_reserved_ports)"
    )
    assert detail(50000, "host-range", settings=MACOS, ephemeral=True) == (
        "in this host's ephemeral range (49152-65535): use 1024-19999"
    )


@pytest.mark.parametrize(
    ("port", "targets", "helps"),
    [
        (33333, DEFAULT_TARGETS, True),
        (33333, (), True),
        (33333, ("linux", "freebsd"), False),
        (50000, DEFAULT_TARGETS, False),
        (50000, (), False),
        (49151, DEFAULT_TARGETS, False),
    ],
)
def test_reserving_is_advised_only_where_it_makes_the_port_safe(port, targets, helps):
    assert ("reserve it" in detail(port, "host-range", ephemeral=True, targets=targets)) is helps
    assert (high(port, ephemeral=False, reserved=True, targets=targets) == []) is helps


def test_host_range_detail_names_equal_ranges_once():
    same = PortSettings("windows", pools=(EphemeralRange(1024, 2047), EphemeralRange(1024, 2047, "udp")))
    other = PortSettings("windows", pools=(EphemeralRange(1024, 2047), EphemeralRange(1024, 4095, "udp")))
    assert detail(1500, "host-range", settings=same, ephemeral=True).count("1024-2047") == 1
    assert "(1024-2047 and 1024-4095)" in detail(1500, "host-range", settings=other, ephemeral=True)


@pytest.mark.parametrize(
    ("pools", "targets", "advice"),
    [
        ([(32768, 60999)], DEFAULT_TARGETS, "use 1024-19999"),
        ([(10000, 65535)], DEFAULT_TARGETS, "use 1024-9999"),
        ([(1024, 15000)], DEFAULT_TARGETS, "use 15001-19999"),
        ([(5000, 6000), (7000, 65535)], DEFAULT_TARGETS, "use 1024-4999"),
        ([(8001, 11999)], DEFAULT_TARGETS, "use 12000-19999"),
        ([(10001, 11022)], DEFAULT_TARGETS, "use 1024-10000"),
        ([(8001, 11999)], (), "use 12000-19999"),
        ([(1025, 65535)], DEFAULT_TARGETS, "use 1024"),
        ([(32768, 60999)], ("freebsd",), "use 1024-9999"),
        ([(32768, 60999)], ("freebsd", "dragonfly"), "use 5001-9999"),
        ([(32768, 60999)], ("openbsd",), "no port from 1024 to 19999 is outside; bind port 0"),
        ([(1024, 65535)], DEFAULT_TARGETS, "no port from 1024 to 19999 is outside; bind port 0"),
    ],
)
def test_advised_ports_are_outside_of_the_host_range_and_the_targets(pools, targets, advice):
    settings = PortSettings("solaris", pools=tuple(EphemeralRange(*pool) for pool in pools))
    assert detail(60000, "host-range", settings=settings, ephemeral=True, targets=targets).endswith(f": {advice}")


def test_privileged_and_excluded_details_name_their_source():
    assert "another file" in detail(80, "privileged", privileged=True)
    refusing = PortSettings("windows", excluded=(Span(50000, 50059),), sources=(("excluded", "netsh"),))
    assert "netsh" in detail(50000, "excluded", settings=refusing, excluded=True)
    assert kinds(50000, settings=refusing, excluded=True)[0] == "excluded"


def test_privileged_is_low_and_names_the_right_of_the_caller():
    assert high(443, privileged=True) == []
    assert ": run as root, or grant CAP_NET_BIND_SERVICE (" in detail(443, "privileged", privileged=True)
    assert detail(443, "privileged", privileged=True, settings=MACOS).endswith(": run as root")
    assert ": this process has it (" in detail(443, "privileged", privileged=True, may_bind=True)


def test_unknown_settings_that_could_make_a_port_unsafe_are_high():
    [unknown] = [risk for risk in risks_of(8080, ephemeral=None, excluded=None) if risk.kind == "unknown"]
    assert unknown.severity == "high"
    assert unknown.detail == (
        "cannot determine whether this host allocates it automatically or refuses to bind it: check before relying "
        "on it"
    )
    assert "refuses" not in detail(8080, "unknown", ephemeral=None)
    assert "unknown" not in kinds(8080)
    assert "unknown" in high(1024, ephemeral=None)
    # Privileged ports cause a low risk only, and none begins at 1024 by default.
    assert "unknown" not in kinds(8080, privileged=None)


@pytest.mark.parametrize("fact", ["ephemeral", "excluded", "privileged"])
def test_unknown_settings_below_1024_assume_the_documented_default_on_unix(fact):
    [unknown] = [risk for risk in risks_of(443, **{fact: None}) if risk.kind == "unknown"]
    assert unknown.severity == "low"
    assert "the documented defaults are assumed (ports below 1024 are not ephemeral, and need a privilege)" in (
        unknown.detail
    )


@pytest.mark.parametrize("platform", ["windows", "emscripten"])
def test_unknown_settings_below_1024_are_high_elsewhere(platform):
    assert high(443, ephemeral=None, settings=PortSettings(platform)) == ["unknown"]


def test_registered_detail_names_the_service_and_its_aliases():
    assert "registered as http (also www, www-http):" in detail(80, "registered")
    assert "registered as ollama:" in detail(11434, "registered")
    assert "registered for any private mail system" in detail(24, "registered")


def test_registered_detail_names_services_of_different_protocols():
    assert "registered as shell (tcp) and syslog (udp):" in detail(514, "registered")
    assert "registered as login (tcp) and who (udp):" in detail(513, "registered")


def test_common_use_detail_names_programs_and_registration():
    assert detail(9090, "common-use").startswith("commonly used by Prometheus and Cockpit (registered to websm): ")
    assert detail(10250, "common-use").startswith("commonly used by kubelet: ")


EXCLUDING = PortSettings("windows", excluded=(Span(8090, 8099),), sources=(("excluded", "netsh"),))


@pytest.mark.parametrize(
    ("kind", "port", "facts", "text"),
    [
        (
            "excluded",
            8090,
            {"settings": EXCLUDING, "excluded": True},
            "this host refuses to bind it (netsh): choose a port that is not excluded",
        ),
        ("default-range", 33333, {}, "in the default ephemeral range of Linux (32768-60999): use 1024-19999"),
        (
            "dynamic-band",
            60860,
            {},
            "in IANA's dynamic band (49152-65535): it is for temporary use only (RFC 6335), use 1024-19999",
        ),
        (
            "privileged",
            80,
            {"privileged": True},
            "binding it needs a privilege: run as root, or grant CAP_NET_BIND_SERVICE (another file)",
        ),
        (
            "unknown",
            443,
            {"privileged": None},
            (
                "settings of this host could not be read, so the documented defaults are assumed (ports below 1024 are"
                " not ephemeral, and need a privilege): check before relying on it"
            ),
        ),
        (
            "orchestrator",
            20005,
            {},
            "in the default range of Nomad (20000-32000): use 1024-19999 on machines of such a cluster",
        ),
        ("registered", 5432, {}, "registered as postgresql: use it for that, or choose an unassigned port"),
        (
            "common-use",
            25565,
            {},
            "commonly used by Minecraft: choose another for other programs",
        ),
    ],
)
def test_detail_of_a_risk_is_the_reason_and_the_remedy(kind, port, facts, text):
    assert detail(port, kind, **facts) == text


def test_restricted_port_keeps_its_other_low_risks():
    assert kinds(55555, reserved=True, targets=("linux",)) == ["dynamic-band", "default-range", "restricted"]


def test_port_zero_detail_mentions_any_free_port():
    assert "any free port" in detail(0, "reserved")
    assert "any free port" not in detail(1023, "reserved")


def test_default_range_details_name_systems_and_ranges():
    assert "Linux (32768-60999):" in detail(40000, "default-range")
    assert "Linux (32768-60999), macOS (49152-65535) and Windows (49152-65535)" in detail(50000, "default-range")
    assert "Linux" not in detail(61000, "default-range")
    assert "OpenBSD (1024-49151) and DragonFly (1024-5000)" in detail(
        5000, "default-range", targets=("openbsd", "dragonfly")
    )
    assert "DragonFly" not in detail(5001, "default-range", targets=("openbsd", "dragonfly"))


def test_systems_outside_of_the_targets_cause_no_risk():
    assert kinds(4998) == []
    assert kinds(40000, targets=("macos", "windows")) == ["registered"]
    assert high(40000, targets=("openbsd",)) == ["default-range"]
    assert high(50000, targets=()) == ["dynamic-band"]


def test_reservation_of_this_host_leaves_a_low_risk_for_its_system():
    [own] = [risk for risk in risks_of(40000, reserved=True) if risk.kind == "default-range"]
    assert own.severity == "low"
    assert own.detail == (
        "in the default ephemeral range of Linux (32768-60999), reserved on this host: other Linux machines need the "
        "same sysctl"
    )
    assert kinds(40000, reserved=True, targets=("windows",)) == ["registered"]


def test_reservation_of_this_host_does_not_help_other_targets():
    severities = [risk.severity for risk in risks_of(50000, reserved=True) if risk.kind == "default-range"]
    assert severities == ["high", "low"]
    assert high(40000, reserved=True, targets=("linux", "freebsd")) == ["default-range"]
    assert high(40000, reserved=True, settings=MACOS) == ["default-range"]
    assert high(40000, reserved=None) == ["default-range"]


def test_orchestrator_detail_names_each_range():
    assert "Kubernetes NodePort (30000-32767), Nomad (20000-32000) and Docker Swarm (30000-32767):" in (
        detail(30936, "orchestrator")
    )
    assert "Mesos" in detail(31000, "orchestrator")
    assert "Nomad" not in detail(32001, "orchestrator")
    assert min(ports.first for ports in ORCHESTRATOR_RANGES) == LAST + 1
    assert all(ports.source for ports in ORCHESTRATOR_RANGES)


@pytest.mark.parametrize(
    "port",
    [
        *(3000, 5000, 6443, 8000, 8080, 8123, 8472, 8888, 9000, 9042, 9090, 9092, 9100, 9200, 9418, 10250),
        *(11434, 15672, 25565, 27017, 50051, 51820),
    ],
)
def test_widespread_programs_have_a_common_use(port):
    assert common_uses(port)


def test_common_uses_have_a_source_and_occur_once():
    by_port = [(port, use) for port in COMMON_PORTS for use in common_uses(port)]
    uses = [use for _, use in by_port]
    assert 60 <= len(COMMON_PORTS) <= 100
    assert all(": " in use.source and "." in use.source.partition(":")[0] for use in uses)
    assert all(use.protocols and use.program for use in uses)
    assert len(set(by_port)) == len(uses)


def test_thousands_of_unassigned_ports_have_no_risk():
    assert sum(not kinds(port) for port in range(FIRST, LAST + 1)) > 10_000


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
targets = st.lists(st.sampled_from([ports.system for ports in DEFAULT_RANGES]), unique=True).map(tuple)


facts_of_a_port = st.fixed_dictionaries(dict.fromkeys(["ephemeral", "reserved", "excluded", "privileged"], tristate))


@given(st.integers(0, 65535), facts_of_a_port, targets)
def test_risks_are_sorted_by_severity_and_name_a_remedy(port, facts, targets):
    found = risks_of(port, targets=targets, **facts)
    order = [(risk.severity == "low", RISK_KINDS.index(risk.kind)) for risk in found]
    assert order == sorted(set(order))
    for risk in found:
        assert risk.kind in EITHER or risk.severity == ("high" if risk.kind in HIGH else "low")
        assert risk.detail.count(": ") == 1
        assert "\n" not in risk.detail
        assert not risk.detail.endswith(".")
        assert str(risk) == f"{risk.severity}: {risk.detail}"


def test_reserved_port_keeps_the_risks_of_the_host():
    assert kinds(1023, privileged=True) == ["reserved", "privileged"]
