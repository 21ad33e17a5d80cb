"""IANA's registry, as the package has it: against IANA's own file where that is at hand, and against known entries."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import portrange
from portrange import Assignment, services
from portrange._registry import lookup, table
from portrange._registry.lookup import Registry, registry

CSV = Path(
    os.environ.get("PORTRANGE_IANA_CSV")
    or Path(__file__).resolve().parents[2] / "shared" / "data" / "service-names-port-numbers.csv"
)
needs_csv = pytest.mark.skipif(not CSV.is_file(), reason=f"IANA's file is not at {CSV}; set PORTRANGE_IANA_CSV")

TRANSPORTS = ("tcp", "udp", "sctp", "dccp", "")


def of_transport(said, transport):
    """Those of the services or entries that are said of a transport; "" stands for none."""
    return [one for one in said if (transport in one.protocols if transport else not one.protocols)]


def state_of(text):
    """What a row without a name says of its port."""
    if "any private" in text.lower():
        return Assignment.ASSIGNED
    return Assignment.RESERVED if "reserved" in text.lower() else Assignment.UNASSIGNED


# --- against IANA's file -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def listed():
    """IANA's rows by port and transport, read in another way than the generator does: (name, text, remark, bounds)."""
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
def test_every_port_has_the_names_of_the_registry_in_its_order(listed, transport):
    for port in range(65536):
        expected = [(name, bounds) for name, _, _, bounds, _ in listed[port, transport] if name]
        have = of_transport(registry().at(port).services, transport)
        assert [(service.name, (service.first, service.last)) for service in have] == expected, port


@needs_csv
def test_no_description_and_no_remark_of_a_service_is_lost(listed):
    for (port, transport), rows in listed.items():
        have = {service.name: service for service in of_transport(registry().at(port).services, transport)}
        for name, text, remark, _, _ in rows:
            if name:
                assert text in have[name].description, (port, transport)
                assert remark in have[name].note, (port, transport)


@needs_csv
def test_a_description_that_all_transports_share_stands_as_it_is(listed):
    texts = defaultdict(set)
    for (port, _), rows in listed.items():
        for name, text, *_ in rows:
            texts[port, name].add(text)
    plain = 0
    for port in range(65536):
        for service in registry().at(port).services:
            if len(texts[port, service.name]) == 1:
                assert {service.description} == texts[port, service.name], port
                plain += 1
    assert plain > 6000


@needs_csv
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_what_is_said_without_a_name_is_said_for_the_same_transports(listed, transport):
    for port in range(65536):
        expected = [
            (text, bounds, remark, " ".join(notes.split()))
            for name, text, remark, bounds, notes in listed[port, transport]
            if not name
        ]
        have = of_transport(registry().at(port).unnamed, transport)
        assert [(entry.description, (entry.first, entry.last)) for entry in have] == [row[:2] for row in expected], port
        for entry, (text, _, remark, notes) in zip(have, expected, strict=True):
            assert entry.assignment is state_of(text)
            assert remark in entry.note
            assert notes in entry.note


@needs_csv
def test_every_assignment_follows_from_the_rows(listed):
    counted = dict.fromkeys(Assignment, 0)
    for port in range(65536):
        rows = [row for transport in TRANSPORTS for row in listed[port, transport]]
        said = {state_of(text) for name, text, *_ in rows if not name}
        if port >= 49152:
            expected = Assignment.DYNAMIC
        elif any(name for name, *_ in rows) or Assignment.ASSIGNED in said:
            expected = Assignment.ASSIGNED
        elif Assignment.RESERVED in said:
            expected = Assignment.RESERVED
        else:
            expected = Assignment.UNASSIGNED
        assert registry().at(port).assignment is expected, (port, rows)
        counted[expected] += 1
    assert counted[Assignment.DYNAMIC] == 16384
    assert all(counted.values())


@needs_csv
def test_every_name_finds_its_ports(listed):
    ports = defaultdict(set)
    for rows in listed.values():
        for name, _, _, bounds, _ in rows:
            if name:
                ports[name.lower()].add((name, *bounds))
    assert len(ports) > 6000
    for name, expected in ports.items():
        assert {(service.name, service.first, service.last) for service in services(name.upper())} == expected


# --- known entries, wherever this runs -----------------------------------------------------------------------------


def names(port):
    return [service.name for service in registry().at(port).services]


def test_all_names_of_a_port_stand_in_the_order_of_the_registry():
    assert names(80) == ["http", "www", "www-http"]
    assert [str(service) for service in registry().at(80).services] == [
        "http (tcp, udp, sctp)",
        "www (tcp, udp)",
        "www-http (tcp, udp)",
    ]


def test_transports_stand_in_one_order_although_the_registry_has_another():
    assert services("ipfixs")[0].protocols == ("tcp", "udp", "sctp")


def test_a_range_belongs_to_each_of_its_ports():
    assert names(5999) != ["x11"]
    assert {tuple(names(port)) for port in range(6000, 6064)} == {("x11",)}
    assert names(6064) != ["x11"]
    assert [(service.first, service.last) for service in services("x11")] == [(6000, 6063)]


def test_an_unknown_transport_does_not_become_tcp():
    assert {service.protocols for port in range(7300, 7360) for service in registry().at(port).services} == {()}


def test_ports_for_experiments_are_assigned_for_every_transport():
    for port, name in ((1021, "exp1"), (1022, "exp2")):
        assert names(port) == [name]
        assert registry().at(port).services[0].protocols == ("tcp", "udp", "sctp", "dccp")


@pytest.mark.parametrize("port", [0, 1023, 1024, 49151])
def test_the_edges_of_the_bands_are_reserved(port):
    assert registry().at(port).assignment is Assignment.RESERVED
    assert names(port) == []


def test_a_port_that_is_reserved_for_one_transport_is_assigned_if_it_is_for_another():
    record = registry().at(49150)
    assert record.assignment is Assignment.ASSIGNED
    assert [(entry.assignment, entry.protocols) for entry in record.unnamed] == [(Assignment.RESERVED, ("udp",))]


def test_a_port_for_private_use_is_assigned_without_a_name():
    record = registry().at(24)
    assert record.assignment is Assignment.ASSIGNED
    assert record.services == ()
    assert [str(entry) for entry in record.unnamed] == ["any private mail system (tcp, udp)"]


def test_what_was_taken_back_says_so_in_the_words_of_the_registry():
    record = registry().at(585)
    assert record.assignment is Assignment.UNASSIGNED
    assert record.unnamed[0].description == "De-registered"
    assert "993" in record.unnamed[0].note


def test_unauthorized_use_is_told_with_a_name_and_without():
    assert "6003" in registry().at(6000).services[0].note
    assert "100" in registry().at(100).unnamed[0].note


def test_the_dynamic_band_is_one_record():
    assert registry().at(49152) is registry().at(65535)
    assert registry().at(65535) == (Assignment.DYNAMIC, (), ())


# --- lookup by name ------------------------------------------------------------------------------------------------


def test_a_name_is_found_in_any_case():
    assert services("postgresql") == services("PostgreSQL") == services("POSTGRESQL")
    assert [service.first for service in services("postgresql")] == [5432]
    assert [service.name for service in services("bESaPI")] == ["BESApi"]


def test_a_name_on_several_ports_is_there_several_times_in_their_order():
    found = services("bacnet")
    assert [service.first for service in found] == [47808]
    several = next(
        name
        for name, ports in lookup.ports_by_name(table.TABLE.splitlines()).items()
        if len(ports) > 1 and name[0] != "("
    )
    ports = [service.first for service in services(several)]
    assert len(ports) > 1
    assert ports == sorted(ports)


@pytest.mark.parametrize("name", ["", "no such service", "(reserved)", "(unassigned)", "argus", "80", "\0", "http "])
def test_what_has_no_registered_port_finds_nothing(name):
    assert services(name) == ()


@pytest.mark.parametrize("name", [80, None, b"http", ["http"]])
def test_a_name_is_a_string(name):
    with pytest.raises(TypeError, match="a service name is a string"):
        services(name)


@given(st.integers(0, 65535))
def test_a_service_is_found_by_port_and_by_name_alike(port):
    for service in registry().at(port).services:
        assert service in services(service.name)


# --- the machinery -------------------------------------------------------------------------------------------------


def test_records_change_exactly_where_the_lines_do():
    small = Registry("7\ttcp\techo\n8-20\t\t(unassigned)\n10-12\tudp\tthree\n12\ttcp\tone\n30\tsctp\t(reserved)\n")
    found = {port: [service.name for service in small.at(port).services] for port in (6, 7, 8, 10, 11, 12, 13)}
    assert found == {6: [], 7: ["echo"], 8: [], 10: ["three"], 11: ["three"], 12: ["three", "one"], 13: []}
    assert small.at(8) is small.at(9)
    assert small.at(13) is small.at(20)
    assert [small.at(port).assignment.value for port in (0, 21, 29, 30, 31, 49151, 49152)] == [
        *("unassigned", "unassigned", "unassigned", "reserved", "unassigned", "unassigned", "dynamic")
    ]
    assert small.at(21).unnamed == ()


@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.integers(0, 20), st.sampled_from(["tcp", "tcp udp", ""])),
        max_size=12,
    )
)
def test_every_port_has_exactly_the_lines_that_span_it(spans):
    lines = [
        f"{first}-{first + more}\t{protocols}\tname-{number}" for number, (first, more, protocols) in enumerate(spans)
    ]
    small = Registry("".join(f"{line}\n" for line in sorted(lines, key=lookup.span)))
    for port in range(90):
        expected = {f"name-{number}" for number, (first, more, _) in enumerate(spans) if first <= port <= first + more}
        assert {service.name for service in small.at(port).services} == expected


def test_the_table_is_well_formed():
    lines = table.TABLE.splitlines()
    assert len(lines) > 8000
    assert [lookup.span(line)[0] for line in lines] == sorted(lookup.span(line)[0] for line in lines)
    for line in lines:
        port, protocols, name, *rest = line.split("\t")
        first, last = lookup.span(line)
        assert port in (f"{first}-{last}", str(first) if first == last else "")
        assert protocols.split() == [one for one in TRANSPORTS if one and one in protocols.split()]
        assert name
        assert len(rest) <= 2
        assert all(cell == " ".join(cell.split()) for cell in line.split("\t"))


def test_the_module_of_the_table_keeps_within_its_size():
    assert os.path.getsize(table.__file__) <= 350_000


def test_the_date_is_that_of_the_table():
    assert f"snapshot: {portrange.REGISTRY_DATE} " in (table.__doc__ or "")


def run_python(script):
    return subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60).stdout


def test_importing_the_package_and_asking_the_date_does_not_load_the_table():
    loaded = run_python(
        "import sys, portrange; portrange.REGISTRY_DATE; print([m for m in sys.modules if '.table' in m])"
    )
    assert loaded.strip() == "[]"


def test_threads_that_ask_first_get_the_same_registry():
    script = """
import sys, threading
from portrange import classify, services
from portrange._registry.lookup import registry
sys.setswitchinterval(1e-6)
together = threading.Barrier(8)
found = []
def ask(number):
    together.wait()
    one = registry()
    found.append((id(one), classify(80).name, len(services("domain")), one.at(53).services[0].name, number))
threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(found), len({one[0] for one in found}), {one[1:4] for one in found})
"""
    assert run_python(script).strip() == "8 1 {('http', 1, 'domain')}"
