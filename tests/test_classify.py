"""classify: bands, registry, settings of the host, and explain()."""

from __future__ import annotations

import json
import pickle
import re
import threading
from collections import Counter

import pytest
from fakes import SystemHost
from hypothesis import given
from hypothesis import strategies as st
from recorded import RecordedHost

from portrange import Assignment, Band, EphemeralRange, InvalidPortError, PortInfo, classify
from portrange._frozen import replace
from portrange._registry.lookup import registered


class LinuxHost(SystemHost):
    """A Linux host with the given settings; None means unreadable. Counts the reads of each setting."""

    def __init__(self, ephemeral="32768\t60999\n", reserved="\n", unprivileged="1024\n"):
        super().__init__()
        settings = {
            "ip_local_port_range": ephemeral,
            "ip_local_reserved_ports": reserved,
            "ip_unprivileged_port_start": unprivileged,
        }
        self.files = {f"ipv4/{name}": text.encode() for name, text in settings.items() if text is not None}
        self.reads = Counter()

    @property
    def platform(self):
        return "linux"

    def read(self, path):
        assert path == "/proc/sys/kernel/osrelease"
        return b"6.18.44\n"

    def read_sysctl(self, name):
        self.reads[name] += 1
        if name not in self.files:
            raise PermissionError(13, "Permission denied")
        return self.files[name]


class UnknownHost(SystemHost):
    @property
    def platform(self):
        return "plan9"


LINUX = LinuxHost().snapshot()
ports = st.integers(0, 65535)


# --- number --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("port", "band"),
    [
        *((port, Band.SYSTEM) for port in (0, 1, 1021, 1022, 1023)),
        *((port, Band.USER) for port in (1024, 1025, 49150, 49151)),
        *((port, Band.DYNAMIC) for port in (49152, 65535)),
    ],
)
def test_band_at_its_edges(port, band):
    info = classify(port, host=LINUX)
    assert info.number == port
    assert info.band is band
    assert band.first <= port <= band.last


def test_enumerations_equal_the_names_that_they_are_read_from():
    info = classify(443, host=LINUX)
    same = replace(info, band=Band.SYSTEM, assignment=Assignment.ASSIGNED)
    assert same == info
    assert hash(same) == hash(info)
    for copied in (same, pickle.loads(pickle.dumps(info))):
        assert copied.band is Band.SYSTEM
        assert copied.assignment is Assignment.ASSIGNED


def test_band_sizes_match_rfc_6335():
    counted = Counter(classify(port, host=LINUX).band for port in range(65536))
    assert counted == {Band.SYSTEM: 1024, Band.USER: 48128, Band.DYNAMIC: 16384}


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "uint16", "int32", "uint64"])
def test_numpy_integers_are_valid_ports(kind):
    numpy = pytest.importorskip("numpy")
    info = classify(numpy.dtype(kind).type(80), host=LINUX)
    assert info == classify(80, host=LINUX)
    assert type(info.number) is int


@pytest.mark.parametrize("wrong", [True, False, 80.0, "80", None, b"80", (80,)])
def test_non_integer_port_raises_type_error(wrong):
    with pytest.raises(TypeError, match="a port is a whole number"):
        classify(wrong, host=LINUX)


def test_numpy_bool_raises_type_error():
    numpy = pytest.importorskip("numpy")
    with pytest.raises(TypeError, match="not a bool"):
        classify(numpy.True_, host=LINUX)


@pytest.mark.parametrize("wrong", [-1, 65536, 10**5000, -(10**5000)], ids=["-1", "65536", "huge", "-huge"])
def test_port_out_of_range_raises_invalid_port_error(wrong):
    with pytest.raises(InvalidPortError, match="0 to 65535"):
        classify(wrong, host=LINUX)


@given(ports)
def test_classify_is_total_and_pure(port):
    info = classify(port, host=LINUX)
    assert isinstance(info, PortInfo)
    assert info == classify(port, host=LINUX) == classify(port, host=LinuxHost())
    assert hash(info) == hash(classify(port, host=LINUX))
    assert pickle.loads(pickle.dumps(info)) == info
    assert json.loads(json.dumps(info.to_dict()))["number"] == port
    assert str(info).startswith(f"port {port}: ")
    assert info.explain().startswith(f"Port {port}    ")
    assert info.safe is not any(risk.severity == "high" for risk in info.risks)


# --- registry ------------------------------------------------------------------------------------------------------


def test_classify_matches_the_registry_for_every_port():
    for port in range(65536):
        info, record = classify(port, host=LINUX), registered(port)
        assert (info.assignment, info.services, info.unnamed) == (record.assignment, record.services, record.unnamed)
        assert info.name == (record.services[0].name if record.services else None)


def test_name_is_that_of_the_primary_service():
    assert classify(80, host=LINUX).name == "http"
    assert classify(443, host=LINUX).name == "https"
    assert classify(5432, host=LINUX).name == "postgresql"
    assert classify(6003, host=LINUX).name == "x11"


def test_name_is_none_without_a_registered_service():
    for port, assignment in ((24, "assigned"), (1023, "reserved"), (4, "unassigned"), (50000, "dynamic")):
        info = classify(port, host=LINUX)
        assert info.name is None
        assert info.assignment is Assignment(assignment)
        assert info.services == ()


def test_to_dict_has_registry_data_in_plain_values():
    info = classify(49150, host=LINUX).to_dict()
    assert info["assignment"] == "assigned"
    assert info["name"] == "inspider"
    assert info["services"][0]["protocols"] == ["tcp"]
    assert info["unnamed"] == [
        {
            "assignment": "reserved",
            "protocols": ["udp"],
            "description": "Reserved",
            "first": 49150,
            "last": 49150,
            "note": "",
        }
    ]


# --- host ----------------------------------------------------------------------------------------------------------


def test_host_settings_determine_ephemeral_reserved_and_privileged():
    host = LinuxHost(ephemeral="2000\t2999\n", reserved="2500-2509\n", unprivileged="81\n")
    facts = {
        port: (info.ephemeral, info.reserved, info.excluded, info.privileged)
        for port in (0, 80, 81, 1999, 2000, 2500, 2509, 2999, 3000)
        for info in [classify(port, host=host)]
    }
    assert facts == {
        0: (False, False, False, False),  # requests any free port, which needs no privilege
        80: (False, False, False, True),
        81: (False, False, False, False),
        1999: (False, False, False, False),
        2000: (True, False, False, False),
        2500: (False, True, False, False),
        2509: (False, True, False, False),
        2999: (True, False, False, False),
        3000: (False, False, False, False),
    }


def test_reserved_port_is_safe_with_a_low_risk_for_other_machines():
    info = classify(40000, host=LinuxHost(reserved="40000\n"))
    assert info.safe
    assert [risk.kind for risk in info.risks] == ["default-range", "registered"]
    assert "other Linux machines need the same sysctl" in info.risks[0].detail
    assert not classify(40001, host=LinuxHost(reserved="40000\n")).safe


@pytest.mark.parametrize("port", [22, 80, 443, 8080, 5432, 11434])
def test_registered_ports_are_safe(port):
    assert classify(port, host=LINUX).safe


def test_targets_decide_which_default_ranges_are_a_risk():
    assert classify(12000, host=LINUX).safe
    assert not classify(12000, targets=["freebsd"], host=LINUX).safe
    assert not classify(12000, targets=("linux", "OpenBSD"), host=LINUX).safe
    assert classify(62000, targets=["linux"], host=LINUX).risks[0].kind == "dynamic-band"
    assert classify(4998, targets=iter({"linux", "macos"}), host=LINUX).risks == ()
    assert classify(4998, targets=[], host=LINUX).risks == ()


@pytest.mark.parametrize(
    ("targets", "error", "message"),
    [
        ("linux", TypeError, "targets is a collection of operating systems, .* not 'linux'"),
        (None, TypeError, "targets is a collection"),
        ([1], TypeError, "targets is a collection"),
        (["plan9"], ValueError, "unknown target 'plan9': use one of 'linux', 'macos', 'windows', 'freebsd', .*'aix'"),
    ],
)
def test_invalid_targets_raise_error(targets, error, message):
    with pytest.raises(error, match=message):
        classify(80, targets=targets, host=LINUX)


@pytest.mark.parametrize("unreadable", ["ephemeral", "reserved", "unprivileged"])
def test_unreadable_settings_never_make_a_port_safe(unreadable):
    host = LinuxHost(**{unreadable: None})
    unsafe = [port for port in range(65536) if not classify(port, host=LINUX).safe]
    assert not any(classify(port, host=host).safe for port in unsafe[::50])
    assert classify(8080, host=host).safe is (unreadable != "ephemeral")


def test_unreadable_settings_below_1024_assume_the_documented_defaults():
    info = classify(443, host=LinuxHost(ephemeral=None, unprivileged=None))
    assert info.safe
    assert (info.ephemeral, info.privileged) == (None, None)
    assert "the documented defaults are assumed" in info.explain(None)


def test_common_uses_name_program_protocols_and_source():
    [prometheus, _] = classify(9090, host=LINUX).common_uses
    assert (prometheus.program, prometheus.protocols) == ("Prometheus", ("tcp",))
    assert prometheus.source == "github.com/prometheus/prometheus: documentation/examples/prometheus.yml"
    assert classify(9090, host=LINUX).to_dict()["common_uses"][0] == prometheus.to_dict()
    assert classify(4998, host=LINUX).common_uses == ()


def test_explain_distinguishes_common_use_from_registration():
    assert page(9090)["Registered"] == [
        "websm (tcp, udp): WebSM",
        "commonly used by Prometheus and Cockpit",
    ]


def test_unreadable_port_range_leaves_ephemeral_unknown():
    info = classify(33333, host=LinuxHost(ephemeral=None))
    assert info.ephemeral is None
    assert info.privileged is False
    assert [risk.kind for risk in info.risks] == ["default-range", "unknown", "registered"]
    assert "unknown if ephemeral" in info.explain(None)
    assert "incomplete: /proc/sys/net/ipv4/ip_local_port_range: Permission denied" in info.explain(None)
    assert "unknown if ephemeral here" in str(info)


def test_unreadable_reserved_ports_leave_only_the_ephemeral_range_unknown():
    host = LinuxHost(reserved=None)
    assert classify(33333, host=host).ephemeral is None
    assert classify(8080, host=host).ephemeral is False
    assert classify(8080, host=host).reserved is None


def test_malformed_setting_is_quoted_in_incomplete():
    info = classify(80, host=LinuxHost(unprivileged="many\n"))
    assert info.privileged is None
    assert any("many" in reason for reason in info.settings.incomplete)


def test_unknown_platform_reports_only_platform_independent_facts():
    info = classify(443, host=UnknownHost())
    assert info.name == "https"
    assert (info.ephemeral, info.reserved, info.excluded, info.privileged) == (None, None, None, None)
    assert info.settings.platform == "plan9"
    assert "plan9" in info.settings.incomplete[0]
    assert "incomplete: " in info.explain(None)
    assert info == classify(443, host=UnknownHost().snapshot())


def test_settings_are_read_for_each_call():
    host = LinuxHost()
    assert classify(2000, host=host).ephemeral is False
    host.files["ipv4/ip_local_port_range"] = b"2000\t2999\n"
    assert classify(2000, host=host).ephemeral is True
    assert set(host.reads.values()) == {2}


def test_snapshot_reads_each_source_once():
    host = LinuxHost()
    snapshot = host.snapshot()
    for port in range(0, 65536, 64):
        classify(port, host=snapshot)
    assert len(host.reads) == 3
    assert set(host.reads.values()) == {1}


def test_snapshot_and_host_give_equal_results():
    given_settings = {"ephemeral": "1024\t50000\n", "reserved": "2000-3000,50000\n", "unprivileged": "443\n"}
    snapshot = LinuxHost(**given_settings).snapshot()
    for port in range(0, 65536, 61):
        assert classify(port, host=snapshot) == classify(port, host=LinuxHost(**given_settings))


def test_classify_in_threads_returns_equal_results():
    sampled = range(0, 65536, 37)
    expected = [classify(port, host=LINUX) for port in sampled]
    shared, found = LinuxHost().snapshot(), {}

    def classify_all(number):
        found[number] = [classify(port, host=shared) for port in sampled]

    threads = [threading.Thread(target=classify_all, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number] == expected for number in range(4)] == [True] * 4


# --- explain -------------------------------------------------------------------------------------------------------


def page(port, host=LINUX):
    """Return the lines of explain() by label; continuation lines belong to the label above."""
    title, *lines = classify(port, host=host).explain(None).splitlines()
    assert title.startswith(f"Port {port}    ")
    parts = {"": title.partition("    ")[2]}
    label = ""
    for line in lines:
        label = line[2:15].strip() or label
        parts.setdefault(label, []).append(line[15:])
    return parts


def test_explain_ephemeral_port():
    assert page(60860) == {
        "": "not safe to hard-code",
        "Registered": ["no: IANA's band for temporary use (49152-65535)"],
        "This host": [
            "ephemeral: allocated automatically (32768-60999, 28,232 ports; /proc/sys/net/ipv4/ip_local_port_range)"
        ],
        "Elsewhere": ["ephemeral by default on macos, windows, freebsd, netbsd, solaris, aix"],
        "Instead": ["1024-19999"],
    }


def test_explain_fits_80_columns_and_names_no_range_twice():
    text = classify(60860, host=LINUX).explain()
    assert max(map(len, text.splitlines())) <= 80
    ranges = re.findall(r"\d{4,5}-\d{4,5}", text)
    assert len(ranges) == len(set(ranges)) == 3


def test_explain_registered_port():
    parts = page(80)
    assert list(parts) == ["", "Registered", "This host", "Instead"]
    assert parts["Registered"] == [
        "http (tcp, udp, sctp): World Wide Web HTTP; sctp: HTTP",
        "www (tcp, udp): World Wide Web HTTP",
        "www-http (tcp, udp): World Wide Web HTTP",
    ]
    assert "binding needs privilege (below 1024; /proc/sys/net/ipv4/ip_unprivileged_port_start)" in parts["This host"]


def test_explain_shows_ranges_notes_and_unassigned_transports():
    assert page(6003)["Registered"][0] == "x11 (tcp, udp, 6000-6063): X Window System"
    assert "note: Known Unauthorized Use on port 6003" in page(6003)["Registered"]
    assert "also: Reserved (udp)" in page(49150)["Registered"]
    assert page(7300)["Registered"][0].startswith("swx (no protocol given, 7300-7359): ")


def test_explain_unnamed_port_has_no_service_name():
    assert page(24)["Registered"] == ["yes, without a service name; any private mail system (tcp, udp)"]
    assert page(585)["Registered"] == [
        "no; De-registered (no protocol given); Use of 585 is not recommended, use 993 instead"
    ]
    assert page(4)["Registered"] == ["no"]


def test_explain_names_orchestrators_and_browsers_elsewhere():
    assert page(30100)["Elsewhere"][1].startswith("in the default range of Kubernetes NodePort (30000-32767)")
    assert page(6000)["Elsewhere"] == ["ephemeral by default on openbsd", "refused by browsers in http and https URLs"]


@pytest.mark.parametrize(
    ("port", "remedies"),
    [
        (33333, ["1024-19999, or reserve it (net.ipv4.ip_local_reserved_ports)"]),
        (8080, ["for other programs: an unassigned port"]),
        (0, ["choose another"]),
        (4998, None),
    ],
)
def test_explain_names_each_remedy_once(port, remedies):
    assert page(port).get("Instead") == remedies


def test_explain_reserved_port_names_the_source():
    host = LinuxHost(reserved="2000,40000\n")
    source = "/proc/sys/net/ipv4/ip_local_reserved_ports"
    assert (
        f"not ephemeral: reserved ({source}) in the ephemeral range (32768-60999" in page(40000, host)["This host"][0]
    )
    assert f"reserved, never allocated automatically ({source})" in page(2000, host)["This host"]


def test_explain_names_transports_if_their_ranges_differ():
    tcp, udp = EphemeralRange(1024, 2047, source="one"), EphemeralRange(3000, 3999, "udp", source="two")
    udp_ipv6 = EphemeralRange(3000, 3999, "udp", "ipv6", source="three")
    info = classify(3500, host=LINUX)

    def explain(*pools):
        return replace(info, ephemeral=True, settings=replace(info.settings, pools=pools)).explain(None)

    assert "(3000-3999, 1,000 ports for udp over ipv4, udp over ipv6; two, three)" in explain(tcp, udp, udp_ipv6)
    assert "(3000-3999, 1,000 ports; two, three)" in explain(udp, udp_ipv6)


def test_explain_port_without_risks_is_fine():
    host = LinuxHost(unprivileged="0\n")
    assert classify(4, host=host).risks == ()
    assert page(4, host)[""] == "safe to hard-code"
    assert page(8080)[""] == "safe to hard-code, with low risks"


def test_str_summarizes_registration_ephemeral_and_fixed_use():
    assert str(classify(33333, host=LINUX)) == (
        "port 33333: user port (1024-49151), assigned: dgi-serv (tcp); ephemeral on this host; "
        "not advised for fixed use (host-range, default-range)"
    )
    assert str(classify(8080, host=LINUX)) == (
        "port 8080: user port (1024-49151), assigned: http-alt (tcp, udp); not ephemeral on this host; "
        "fixed use possible"
    )


def test_safe_is_false_only_with_a_high_risk():
    assert classify(8080, host=LINUX).safe
    assert not classify(33333, host=LINUX).safe
    assert classify(11434, host=LINUX).safe


def test_explain_excluded_port_names_the_source():
    text = classify(59600, host=RecordedHost("win32-10.0")).explain(None)
    assert re.search(r"binding is refused \([\d-]+; netsh .*\)", text)


def test_repr_html_of_unnamed_entry_shows_its_assignment():
    (entry, *_) = classify(0).unnamed
    assert "reserved" in entry._repr_html_()
