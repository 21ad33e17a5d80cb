"""What classify says of a port: bands, registry, this host, and the page for people."""

from __future__ import annotations

import json
import pickle
import re
import threading
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import RecordedHost

from portrange import Assignment, Band, EphemeralRange, Host, InvalidPortError, PortInfo, classify
from portrange._registry.lookup import registry


class LinuxHost(Host):
    """A Linux whose settings are given; what is not given cannot be read. Counts how often each is read."""

    def __init__(self, pool="32768\t60999\n", reserved="\n", unprivileged="1024\n"):
        super().__init__()
        named = {
            "ip_local_port_range": pool,
            "ip_local_reserved_ports": reserved,
            "ip_unprivileged_port_start": unprivileged,
        }
        self.files = {f"ipv4/{name}": text.encode() for name, text in named.items() if text is not None}
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


class UnknownHost(Host):
    @property
    def platform(self):
        return "plan9"


LINUX = LinuxHost().snapshot()
ports = st.integers(0, 65535)


# --- the number ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("port", "band"),
    [
        *((port, Band.SYSTEM) for port in (0, 1, 1021, 1022, 1023)),
        *((port, Band.USER) for port in (1024, 1025, 49150, 49151)),
        *((port, Band.DYNAMIC) for port in (49152, 65535)),
    ],
)
def test_the_edges_of_the_bands(port, band):
    info = classify(port, host=LINUX)
    assert info.number == port
    assert info.band is band
    assert band.first <= port <= band.last


def test_the_bands_have_the_sizes_of_rfc_6335():
    counted = Counter(classify(port, host=LINUX).band for port in range(65536))
    assert counted == {Band.SYSTEM: 1024, Band.USER: 48128, Band.DYNAMIC: 16384}


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "uint16", "int32", "uint64"])
def test_integers_of_numpy_are_ports(kind):
    numpy = pytest.importorskip("numpy")
    info = classify(numpy.dtype(kind).type(80), host=LINUX)
    assert info == classify(80, host=LINUX)
    assert type(info.number) is int


@pytest.mark.parametrize("wrong", [True, False, 80.0, "80", None, b"80", (80,)])
def test_what_is_no_whole_number_is_a_type_error(wrong):
    with pytest.raises(TypeError, match="a port is a whole number"):
        classify(wrong, host=LINUX)


def test_a_bool_of_numpy_is_no_number():
    numpy = pytest.importorskip("numpy")
    with pytest.raises(TypeError, match="not a bool"):
        classify(numpy.True_, host=LINUX)


@pytest.mark.parametrize("wrong", [-1, 65536, 10**5000, -(10**5000)], ids=["-1", "65536", "huge", "-huge"])
def test_what_is_out_of_range_is_an_invalid_port(wrong):
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
    assert info.explain().startswith(f"Port {port}\n")
    assert info.safe is not any(risk.severity == "high" for risk in info.risks)


# --- the registry --------------------------------------------------------------------------------------------------


def test_every_port_has_what_the_registry_says():
    for port in range(65536):
        info, record = classify(port, host=LINUX), registry().at(port)
        assert (info.assignment, info.services, info.unnamed) == record
        assert info.name == (record.services[0].name if record.services else None)


def test_the_name_is_that_of_the_primary_service():
    assert classify(80, host=LINUX).name == "http"
    assert classify(443, host=LINUX).name == "https"
    assert classify(5432, host=LINUX).name == "postgresql"
    assert classify(6003, host=LINUX).name == "x11"


def test_a_port_without_a_registered_name_has_none():
    for port, assignment in ((24, "assigned"), (1023, "reserved"), (4, "unassigned"), (50000, "dynamic")):
        info = classify(port, host=LINUX)
        assert info.name is None
        assert info.assignment is Assignment(assignment)
        assert info.services == ()


def test_the_dictionary_has_the_registry_in_plain_values():
    said = classify(49150, host=LINUX).to_dict()
    assert said["assignment"] == "assigned"
    assert said["name"] == "inspider"
    assert said["services"][0]["protocols"] == ["tcp"]
    assert said["unnamed"] == [
        {
            "assignment": "reserved",
            "protocols": ["udp"],
            "description": "Reserved",
            "first": 49150,
            "last": 49150,
            "note": "",
        }
    ]


# --- this host -----------------------------------------------------------------------------------------------------


def test_the_settings_of_the_host_decide():
    host = LinuxHost(pool="2000\t2999\n", reserved="2500-2509\n", unprivileged="81\n")
    facts = {
        port: (info.ephemeral, info.reserved, info.excluded, info.privileged)
        for port in (0, 80, 81, 1999, 2000, 2500, 2509, 2999, 3000)
        for info in [classify(port, host=host)]
    }
    assert facts == {
        0: (False, False, False, False),  # asks for any port, which needs no privilege
        80: (False, False, False, True),
        81: (False, False, False, False),
        1999: (False, False, False, False),
        2000: (True, False, False, False),
        2500: (False, True, False, False),
        2509: (False, True, False, False),
        2999: (True, False, False, False),
        3000: (False, False, False, False),
    }


def test_a_port_that_was_set_aside_is_no_risk_on_this_host_but_elsewhere():
    info = classify(40000, host=LinuxHost(reserved="40000\n"))
    assert [risk.kind for risk in info.risks if risk.severity == "high"] == ["default-range"]


def test_what_could_not_be_read_is_not_known():
    info = classify(33333, host=LinuxHost(pool=None))
    assert info.ephemeral is None
    assert info.privileged is False
    assert info.risks[-1].kind == "unknown"
    assert "unknown if ephemeral" in info.explain()
    assert "not read: /proc/sys/net/ipv4/ip_local_port_range: Permission denied" in info.explain()
    assert "unknown if ephemeral here" in str(info)


def test_an_unreadable_list_of_reserved_ports_leaves_the_pool_unknown_and_the_rest_known():
    host = LinuxHost(reserved=None)
    assert classify(33333, host=host).ephemeral is None
    assert classify(8080, host=host).ephemeral is False
    assert classify(8080, host=host).reserved is None


def test_a_setting_that_makes_no_sense_is_named():
    info = classify(80, host=LinuxHost(unprivileged="many\n"))
    assert info.privileged is None
    assert any("many" in reason for reason in info.settings.incomplete)


def test_an_unknown_platform_still_gets_what_does_not_depend_on_it():
    info = classify(443, host=UnknownHost())
    assert info.name == "https"
    assert (info.ephemeral, info.reserved, info.excluded, info.privileged) == (None, None, None, None)
    assert info.settings.platform == "plan9"
    assert "plan9" in info.settings.incomplete[0]
    assert "not read: " in info.explain()
    assert info == classify(443, host=UnknownHost().snapshot())


def test_the_settings_are_read_anew_for_each_call():
    host = LinuxHost()
    assert classify(2000, host=host).ephemeral is False
    host.files["ipv4/ip_local_port_range"] = b"2000\t2999\n"
    assert classify(2000, host=host).ephemeral is True
    assert set(host.reads.values()) == {2}


def test_a_frozen_host_reads_each_source_once():
    host = LinuxHost()
    frozen = host.snapshot()
    for port in range(0, 65536, 64):
        classify(port, host=frozen)
    assert len(host.reads) == 3
    assert set(host.reads.values()) == {1}


def test_a_frozen_host_gives_the_answers_of_a_fresh_one():
    given_settings = {"pool": "1024\t50000\n", "reserved": "2000-3000,50000\n", "unprivileged": "443\n"}
    frozen = LinuxHost(**given_settings).snapshot()
    for port in range(0, 65536, 61):
        assert classify(port, host=frozen) == classify(port, host=LinuxHost(**given_settings))


def test_threads_get_the_same_answers():
    asked = range(0, 65536, 37)
    expected = [classify(port, host=LINUX) for port in asked]
    shared, found = LinuxHost().snapshot(), {}

    def ask(number):
        found[number] = [classify(port, host=shared) for port in asked]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number] == expected for number in range(4)] == [True] * 4


# --- the page ------------------------------------------------------------------------------------------------------


def page(port, host=LINUX):
    """The page by labels; lines that continue a part belong to its label."""
    title, *lines = classify(port, host=host).explain().splitlines()
    assert title == f"Port {port}"
    parts = {}
    label = ""
    for line in lines:
        label = line[2:14].strip() or label
        parts.setdefault(label, []).append(line[14:])
    return parts


def test_the_page_of_a_port_in_the_pool():
    parts = page(60860)
    assert list(parts) == ["IANA", "This host", "Elsewhere", "Fixed use"]
    assert parts["IANA"] == ["dynamic port (49152-65535): never assigned to anybody, for temporary use"]
    assert parts["This host"] == [
        "ephemeral: handed out automatically (32768-60999, 28,232 ports; /proc/sys/net/ipv4/ip_local_port_range)"
    ]
    assert parts["Elsewhere"] == ["in the default pool of linux, macos, windows, freebsd, netbsd, solaris, aix"]
    assert parts["Fixed use"][0].startswith("not advised: this host may give it to any outgoing connection at any time")
    assert len(parts["Fixed use"]) == len(classify(60860, host=LINUX).risks)


def test_the_page_of_a_registered_port_says_that_it_is_about_the_registry():
    parts = page(80)
    assert list(parts) == ["IANA", "This host", "Fixed use"]
    assert parts["IANA"] == [
        "system port (0-1023), assigned: http (tcp, udp, sctp), www (tcp, udp), www-http (tcp, udp)",
        "http: World Wide Web HTTP; sctp: HTTP",
        "www: World Wide Web HTTP",
        "www-http: World Wide Web HTTP",
        "this is what was registered, not what is running",
    ]
    assert (
        "binding needs privilege (below 1024; /proc/sys/net/ipv4/ip_unprivileged_port_start)" in parts["This host"][0]
    )


def test_the_page_shows_ranges_notes_and_transports_without_an_assignment():
    assert page(6003)["IANA"][0].endswith("assigned: x11 (tcp, udp, 6000-6063)")
    assert "note: Known Unauthorized Use on port 6003" in page(6003)["IANA"]
    assert "besides: Reserved (udp)" in page(49150)["IANA"]
    assert page(7300)["IANA"][0].endswith("assigned: swx (no transport named, 7300-7359)")


def test_the_page_of_a_port_without_a_name_invents_none():
    assert page(24)["IANA"] == [
        "system port (0-1023): assigned without a service name",
        "any private mail system (tcp, udp)",
        "this is what was registered, not what is running",
    ]
    assert page(585)["IANA"] == [
        "system port (0-1023): unassigned",
        "De-registered (no transport named); Use of 585 is not recommended, use 993 instead",
    ]
    assert page(4)["IANA"] == ["system port (0-1023): unassigned"]


def test_the_page_says_that_a_port_was_set_aside_and_where():
    host = LinuxHost(reserved="2000,40000\n")
    source = "/proc/sys/net/ipv4/ip_local_reserved_ports"
    assert f"not ephemeral: set aside ({source}) from the pool (32768-60999" in page(40000, host)["This host"][0]
    assert f"set aside, never handed out ({source})" in page(2000, host)["This host"][0]


def test_the_page_names_the_transports_where_their_pools_differ():
    tcp, udp = EphemeralRange(1024, 2047, source="one"), EphemeralRange(3000, 3999, "udp", source="two")
    also = EphemeralRange(3000, 3999, "udp", "ipv6", source="three")
    info = classify(3500, host=LINUX)

    def said(*pools):
        return replace(info, ephemeral=True, settings=replace(info.settings, pools=pools)).explain()

    assert "(3000-3999, 1,000 ports for udp over ipv4, udp over ipv6; two, three)" in said(tcp, udp, also)
    assert "(3000-3999, 1,000 ports; two, three)" in said(udp, also)


def test_the_page_of_a_port_with_nothing_against_it():
    host = LinuxHost(unprivileged="0\n")
    assert classify(4, host=host).risks == ()
    assert page(4, host)["Fixed use"] == ["fine: nothing is known to speak against it"]
    assert page(8080)["Fixed use"][0].startswith("possible, but registered with IANA for http-alt: ")


def test_the_line_says_what_matters():
    assert str(classify(33333, host=LINUX)) == (
        "port 33333: user port (1024-49151), assigned: dgi-serv (tcp); ephemeral on this host; "
        "not advised for fixed use (host-range, default-range)"
    )
    assert str(classify(8080, host=LINUX)) == (
        "port 8080: user port (1024-49151), assigned: http-alt (tcp, udp); not ephemeral on this host; "
        "fixed use possible"
    )


def test_safe_means_that_no_risk_is_high():
    assert classify(8080, host=LINUX).safe
    assert not classify(33333, host=LINUX).safe
    assert classify(11434, host=LINUX).safe


def test_the_page_names_what_refuses_the_port():
    told = classify(59600, host=RecordedHost("win32-10.0")).explain()
    assert re.search(r"binding is refused \([\d-]+; netsh .*\)", told)


def test_what_the_registry_says_without_a_name_is_shown_in_a_notebook():
    (entry, *_) = classify(0).unnamed
    assert "reserved" in entry._repr_html_()
