"""The bundled IANA registry, compared with IANA's CSV file if available and with known entries."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import portrange
from portrange import Assignment, services
from portrange._registry import lookup, table
from portrange._registry.lookup import PortRecord, registered

CSV = Path(
    os.environ.get("PORTRANGE_IANA_CSV")
    or Path(__file__).resolve().parents[2] / "shared" / "data" / "service-names-port-numbers.csv"
)
needs_csv = pytest.mark.skipif(not CSV.is_file(), reason=f"IANA's file is not at {CSV}; set PORTRANGE_IANA_CSV")

TRANSPORTS = ("tcp", "udp", "sctp", "dccp", "")


def of_transport(entries, transport):
    """Return the services or unnamed entries of *transport*; "" selects those without a transport."""
    return [entry for entry in entries if (transport in entry.protocols if transport else not entry.protocols)]


def state_of(text):
    """Return the assignment that an unnamed row with this description implies."""
    if "any private" in text.lower():
        return Assignment.ASSIGNED
    return Assignment.RESERVED if "reserved" in text.lower() else Assignment.UNASSIGNED


# --- comparison with IANA's file -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def listed():
    """IANA's rows by port and transport, parsed independently: (name, text, remark, bounds, notes)."""
    found = defaultdict(list)
    with CSV.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        for row in rows:
            name, number, transport, text, unauthorized, notes = row[0], row[1], row[2], row[3], row[10], row[11]
            if not number:
                continue
            ends = [int(end) for end in number.split("-")]
            for port in range(ends[0], ends[-1] + 1):
                found[port, transport].append(
                    (name, " ".join(text.split()), " ".join(unauthorized.split()), (ends[0], ends[-1]), notes)
                )
    return found


@needs_csv
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_service_names_match_the_csv_in_order(listed, transport):
    for port in range(65536):
        expected = [(name, bounds) for name, _, _, bounds, _ in listed[port, transport] if name]
        have = of_transport(registered(port).services, transport)
        assert [(service.name, (service.first, service.last)) for service in have] == expected, port


@needs_csv
def test_descriptions_and_notes_contain_the_csv_texts(listed):
    for (port, transport), rows in listed.items():
        have = {service.name: service for service in of_transport(registered(port).services, transport)}
        for name, text, remark, _, _ in rows:
            if name:
                assert text in have[name].description, (port, transport)
                assert remark in have[name].note, (port, transport)


@needs_csv
def test_description_shared_by_all_transports_is_unchanged(listed):
    texts = defaultdict(set)
    for (port, _), rows in listed.items():
        for name, text, *_ in rows:
            texts[port, name].add(text)
    plain = 0
    for port in range(65536):
        for service in registered(port).services:
            if len(texts[port, service.name]) == 1:
                assert {service.description} == texts[port, service.name], port
                plain += 1
    assert plain > 6000


@needs_csv
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_unnamed_entries_match_the_csv(listed, transport):
    for port in range(65536):
        expected = [
            (text, bounds, remark, " ".join(notes.split()))
            for name, text, remark, bounds, notes in listed[port, transport]
            if not name
        ]
        have = of_transport(registered(port).unnamed, transport)
        assert [(entry.description, (entry.first, entry.last)) for entry in have] == [row[:2] for row in expected], port
        for entry, (text, _, remark, notes) in zip(have, expected, strict=True):
            assert entry.assignment is state_of(text)
            assert remark in entry.note
            assert notes in entry.note


@needs_csv
def test_assignments_follow_from_the_csv_rows(listed):
    counted = dict.fromkeys(Assignment, 0)
    for port in range(65536):
        rows = [row for transport in TRANSPORTS for row in listed[port, transport]]
        states = {state_of(text) for name, text, *_ in rows if not name}
        if port >= 49152:
            expected = Assignment.DYNAMIC
        elif any(name for name, *_ in rows) or Assignment.ASSIGNED in states:
            expected = Assignment.ASSIGNED
        elif Assignment.RESERVED in states:
            expected = Assignment.RESERVED
        else:
            expected = Assignment.UNASSIGNED
        assert registered(port).assignment == expected, (port, rows)
        counted[expected] += 1
    assert counted[Assignment.DYNAMIC] == 16384
    assert all(counted.values())


@needs_csv
def test_services_finds_all_ports_of_every_name(listed):
    ports = defaultdict(set)
    for rows in listed.values():
        for name, _, _, bounds, _ in rows:
            if name:
                ports[name.lower()].add((name, *bounds))
    assert len(ports) > 6000
    for name, expected in ports.items():
        assert {(service.name, service.first, service.last) for service in services(name.upper())} == expected


# --- known entries, without IANA's file ----------------------------------------------------------------------------


def names(port):
    return [service.name for service in registered(port).services]


def test_names_of_a_port_keep_the_registry_order():
    assert names(80) == ["http", "www", "www-http"]
    assert [str(service) for service in registered(80).services] == [
        "http (tcp, udp, sctp)",
        "www (tcp, udp)",
        "www-http (tcp, udp)",
    ]


def test_protocols_have_a_fixed_order():
    assert services("ipfixs")[0].protocols == ("tcp", "udp", "sctp")


def test_service_of_a_range_is_found_on_each_port():
    assert names(5999) != ["x11"]
    assert {tuple(names(port)) for port in range(6000, 6064)} == {("x11",)}
    assert names(6064) != ["x11"]
    assert [(service.first, service.last) for service in services("x11")] == [(6000, 6063)]


def test_service_without_transport_has_no_protocols():
    assert {service.protocols for port in range(7300, 7360) for service in registered(port).services} == {()}


def test_experimental_ports_are_assigned_for_every_transport():
    for port, name in ((1021, "exp1"), (1022, "exp2")):
        assert names(port) == [name]
        assert registered(port).services[0].protocols == ("tcp", "udp", "sctp", "dccp")


@pytest.mark.parametrize("port", [0, 1023, 1024, 49151])
def test_band_edges_are_reserved(port):
    assert registered(port).assignment == Assignment.RESERVED
    assert names(port) == []


def test_port_reserved_for_udp_and_assigned_for_tcp_is_assigned():
    record = registered(49150)
    assert record.assignment == Assignment.ASSIGNED
    assert [(entry.assignment, entry.protocols) for entry in record.unnamed] == [(Assignment.RESERVED, ("udp",))]


def test_private_use_port_is_assigned_without_a_name():
    record = registered(24)
    assert record.assignment == Assignment.ASSIGNED
    assert record.services == ()
    assert [str(entry) for entry in record.unnamed] == ["any private mail system (tcp, udp)"]


def test_deregistered_port_keeps_the_registry_text():
    record = registered(585)
    assert record.assignment == Assignment.UNASSIGNED
    assert record.unnamed[0].description == "De-registered"
    assert "993" in record.unnamed[0].note


def test_unauthorized_use_is_noted_for_named_and_unnamed_ports():
    assert "6003" in registered(6000).services[0].note
    assert "100" in registered(100).unnamed[0].note


def test_dynamic_band_shares_one_record():
    assert registered(49152) is registered(65535)
    assert registered(65535) == PortRecord(Assignment.DYNAMIC, (), ())


# --- lookup by name ------------------------------------------------------------------------------------------------


def test_services_ignores_case():
    assert services("postgresql") == services("PostgreSQL") == services("POSTGRESQL")
    assert [service.first for service in services("postgresql")] == [5432]
    assert [service.name for service in services("bESaPI")] == ["BESApi"]


def test_services_lists_several_ports_in_order():
    found = services("bacnet")
    assert [service.first for service in found] == [47808]
    several = next(
        name
        for name, lines in Counter(line.split("\t")[2] for line in table.TABLE.splitlines()).items()
        if lines > 1 and name[0] != "("
    )
    ports = [service.first for service in services(several)]
    assert len(ports) > 1
    assert ports == sorted(ports)


@pytest.mark.parametrize("name", ["", "no such service", "(reserved)", "(unassigned)", "argus", "80", "\0", "http "])
def test_services_of_unregistered_name_is_empty(name):
    assert not services(name)


@pytest.mark.parametrize("name", [80, None, b"http", ["http"]])
def test_services_requires_a_string(name):
    with pytest.raises(TypeError, match="a service name is a string"):
        services(name)


@given(st.integers(0, 65535))
def test_services_by_port_and_by_name_agree(port):
    for service in registered(port).services:
        assert service in services(service.name)


# --- lookup internals ----------------------------------------------------------------------------------------------


def line_span(line):
    return lookup.span_at(line, 0)


class Registry:
    """The package's lookup, in another table."""

    def __init__(self, table):
        self.table = table
        self.records = [None] * 49152

    def at(self, port):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lookup, "_table", lambda: self.table)
            patch.setattr(lookup, "_records", self.records)
            return registered(port)


def test_records_change_exactly_where_the_lines_do():
    small = Registry("7\ttcp\techo\n8-20\t\t(unassigned)\n10-12\tudp\tthree\n12\ttcp\tone\n30\tsctp\t(reserved)\n")
    found = {port: [service.name for service in small.at(port).services] for port in (6, 7, 8, 10, 11, 12, 13)}
    assert found == {6: [], 7: ["echo"], 8: [], 10: ["three"], 11: ["three"], 12: ["three", "one"], 13: []}
    assert small.at(8) is small.at(9)
    assert small.at(13) is small.at(20)
    assert [small.at(port).assignment for port in (0, 21, 29, 30, 31, 49151, 49152)] == [
        *("unassigned", "unassigned", "unassigned", "reserved", "unassigned", "unassigned", "dynamic")
    ]
    assert small.at(21).unnamed == ()


@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.integers(0, 20), st.sampled_from(["tcp", "tcp udp", ""])),
        max_size=12,
    )
)
def test_port_has_exactly_the_table_lines_that_span_it(spans):
    lines = [
        f"{first}-{first + more}\t{protocols}\tname-{number}" for number, (first, more, protocols) in enumerate(spans)
    ]
    small = Registry("".join(f"{line}\n" for line in sorted(lines, key=line_span)))
    for port in range(90):
        expected = {f"name-{number}" for number, (first, more, _) in enumerate(spans) if first <= port <= first + more}
        assert {service.name for service in small.at(port).services} == expected


@pytest.mark.parametrize(
    ("port", "first", "last"), [(0, 0, 6), (6, 0, 6), (10, 10, 19), (25, 22, 49151), (49151, 22, 49151)]
)
def test_port_without_lines_shares_its_record_up_to_the_next_lines(port, first, last):
    table_text = "7-9\ttcp\techo\n20-21\ttcp\tftp\n"
    assert lookup.lines_of(table_text, port) == ((first, last), [])


def test_a_range_is_found_after_all_the_lines_that_it_may_overlap():
    overlapped = "".join(f"{port}\ttcp\tx\n" for port in range(2, 1 + lookup.REACH))
    small = Registry(f"1-99\ttcp\trange\n{overlapped}")
    assert [len(small.at(port).services) for port in (1, 2, lookup.REACH, 99, 100)] == [1, 2, 2, 1, 0]


def test_table_is_well_formed():
    lines = table.TABLE.splitlines()
    assert len(lines) > 8000
    assert [line_span(line)[0] for line in lines] == sorted(line_span(line)[0] for line in lines)
    for line in lines:
        port, protocols, name, *rest = line.split("\t")
        first, last = line_span(line)
        assert port in (f"{first}-{last}", str(first) if first == last else "")
        assert protocols.split() == [known for known in TRANSPORTS if known and known in protocols.split()]
        assert name
        assert len(rest) <= 2
        assert all(cell == " ".join(cell.split()) for cell in line.split("\t"))


def test_table_module_is_at_most_350_kb():
    assert os.path.getsize(table.__file__) <= 350_000


def test_registry_date_matches_the_table():
    assert f"snapshot: {portrange.REGISTRY_DATE} " in (table.__doc__ or "")


def run_python(script):
    return subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=300
    ).stdout


def test_registry_date_does_not_load_the_table():
    loaded = run_python(
        "import sys, portrange; portrange.REGISTRY_DATE; print([m for m in sys.modules if '.table' in m])"
    )
    assert loaded.strip() == "[]"


def test_concurrent_first_lookups_share_one_registry():
    script = """
import sys, threading
from portrange import classify, services
from portrange._registry.lookup import registered
sys.setswitchinterval(1e-6)
barrier = threading.Barrier(8)
found = []
def look_up(number):
    barrier.wait()
    loaded = registered(53)
    found.append((loaded, classify(80).name, len(services("domain")), loaded.services[0].name, number))
threads = [threading.Thread(target=look_up, args=(number,)) for number in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(found), len({row[0] for row in found}), {row[1:4] for row in found})
"""
    assert run_python(script).strip() == "8 1 {('http', 1, 'domain')}"
