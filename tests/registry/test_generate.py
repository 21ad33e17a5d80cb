"""The generator of the registry table: conversion of rows to lines, and rejected input."""

from __future__ import annotations

import ast
import csv
import importlib.util
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from portrange._registry import lookup

GENERATOR = Path(__file__).with_name("generate.py")
PACKAGE = GENERATOR.parents[2] / "portrange" / "_registry"
CSV = Path(
    os.environ.get("PORTRANGE_IANA_CSV") or GENERATOR.parents[3] / "shared" / "data" / "service-names-port-numbers.csv"
)


@pytest.fixture(scope="module")
def generate():
    """The generator as a module; it is a script beside the tests and not part of a package."""
    specification = importlib.util.spec_from_file_location("registry_generator", GENERATOR)
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    yield module
    del sys.modules[specification.name]


def row(name="", port="", protocol="", description="", note="", *, remark="", registered="", modified=""):
    return [name, port, protocol, description, "", "", registered, modified, "", "", note, remark]


def content(generate, *rows):
    file = io.StringIO(newline="")
    csv.writer(file).writerows([generate.COLUMNS, *rows])
    return file.getvalue().encode()


def lines(generate, *rows):
    return [str(line) for line in generate.lines(generate.rows(content(generate, *rows)))]


def test_rows_of_one_port_and_name_form_one_line(generate):
    found = lines(
        generate,
        row("http", "80", "tcp", "World Wide Web HTTP"),
        row("http", "80", "udp", "World Wide Web HTTP"),
        row("www", "80", "udp", "World Wide Web HTTP"),
        row("http", "80", "dccp", "World Wide Web HTTP"),
        row("http", "80", "sctp", "World Wide Web HTTP"),
    )
    assert found == ["80\ttcp udp sctp dccp\thttp\tWorld Wide Web HTTP", "80\tudp\twww\tWorld Wide Web HTTP"]


def test_differing_texts_of_transports_are_all_kept(generate):
    found = lines(
        generate,
        row("http", "80", "tcp", "World Wide Web HTTP", "seen on 80"),
        row("http", "80", "udp", "World Wide Web HTTP"),
        row("http", "80", "sctp", "HTTP"),
        row("http", "80", "dccp", "HTTP"),
    )
    assert found == ["80\ttcp udp sctp dccp\thttp\tWorld Wide Web HTTP; sctp, dccp: HTTP\tseen on 80"]


def test_row_without_transport_has_none(generate):
    assert lines(generate, row("swx", "7300-7359", "", "The Swiss Exchange")) == [
        "7300-7359\t\tswx\tThe Swiss Exchange"
    ]


@pytest.mark.parametrize(
    ("description", "state"),
    [
        ("Reserved", "(reserved)"),
        ("Reserved - IANA", "(reserved)"),
        ("Unassigned", "(unassigned)"),
        ("Unassigned [was netstat]", "(unassigned)"),
        ("(unassigned) Possibly assigned", "(unassigned)"),
        ("De-registered", "(unassigned)"),
        ("any private mail system", "(assigned)"),
    ],
)
def test_unnamed_rows_get_the_state_of_the_port(generate, description, state):
    found = lines(generate, row("", "24", "tcp", description), row("", "24", "udp", description))
    assert found == [f"24\ttcp udp\t{state}\t{description}"]


def test_assignment_notes_are_kept_only_for_unnamed_rows(generate):
    assert lines(generate, row("", "585", "", "De-registered", "seen", remark="use 993")) == [
        "585\t\t(unassigned)\tDe-registered\tseen; use 993"
    ]
    assert lines(generate, row("x", "586", "tcp", "X", "seen", remark="TXT keys")) == ["586\ttcp\tx\tX\tseen"]


def test_names_without_a_port_are_omitted(generate):
    assert lines(generate, row("argus", "", "tcp", "ARGUS Protocol")) == []


def test_wrapped_descriptions_are_joined(generate):
    assert lines(generate, row("x", "1", "tcp", "one\n      two\tthree ")) == ["1\ttcp\tx\tone two three"]


def test_lines_are_sorted_by_port_and_keep_the_registry_order(generate):
    found = lines(generate, row("b", "9", "tcp"), row("z", "10", "tcp"), row("a", "9", "tcp"), row("r", "2-3", "tcp"))
    assert [line.split("\t")[2] for line in found] == ["r", "b", "a", "z"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row("", "5", "tcp", "Something new")], "no rule for its description"),
        ([row("x", "5", "quic", "X")], "an unknown transport"),
        ([row("x", "five", "tcp", "X")], "not a port"),
        ([row("x", "9-5", "tcp", "X")], "not a port"),
        ([row("x", "50000", "tcp", "X")], "not a port"),
        ([row("(x)", "5", "tcp", "X")], "parentheses"),
        ([row("x", "5", "tcp", "X"), row("x", "5", "tcp", "Y")], "the same transport"),
        ([row("x", "5", "tcp", "X"), row("x", "5", "", "X")], "the same transport"),
        ([row("x", "5", "", "X"), row("x", "5", "tcp", "X")], "the same transport"),
    ],
)
def test_row_without_a_rule_stops_the_generator(generate, rows, message):
    with pytest.raises(generate.UnexpectedRegistryError, match=message):
        lines(generate, *rows)


def test_a_range_that_overlaps_too_many_lines_stops_the_generator(generate):
    assert generate.REACH == lookup.REACH
    overlapped = [row("x", str(port), "tcp", "X") for port in range(2, 2 + lookup.REACH)]
    assert len(lines(generate, row("r", "1-99", "tcp", "R"), *overlapped[:-1])) == lookup.REACH
    with pytest.raises(generate.UnexpectedRegistryError, match="overlaps more than 15 lines"):
        lines(generate, row("r", "1-99", "tcp", "R"), *overlapped)


def test_unexpected_columns_stop_the_generator(generate):
    with pytest.raises(generate.UnexpectedRegistryError, match="the columns are"):
        generate.rows(b"Name,Port\nhttp,80\n")


@pytest.mark.parametrize(
    "changed",
    [
        lambda table: b"",
        lambda table: table + b"\xff",
        lambda table: table + b'"never closed',
        lambda table: table + b"one,cell too many,,,,,,,,,,,\n",
        lambda table: table + b"a,cell,too,few,,,,,,,\n",
    ],
)
def test_malformed_csv_stops_the_generator(generate, changed):
    table = content(generate, row("x", "1", "tcp", "X", modified="2020-02-03"))
    generate.table_module(table)
    with pytest.raises(generate.UnexpectedRegistryError):
        generate.table_module(changed(table))


@pytest.mark.parametrize("date", ["", "2021-02", '";import ab', "20200-2-03", "٢٠٢٠-٠٢-٠٣"])
def test_invalid_date_is_not_written_into_date_module(generate, date):
    source = content(generate, row("x", "1", "tcp", "X", modified=date))
    with pytest.raises(generate.UnexpectedRegistryError, match="no row has the date"):
        generate.date_module(source)


def test_nul_character_stops_the_generator(generate):
    # csv.writer rejects NUL before Python 3.11, so it is inserted afterwards.
    source = content(generate, row("x", "1", "tcp", "a?b", modified="2020-02-03")).replace(b"a?b", b"a\0b")
    with pytest.raises(generate.UnexpectedRegistryError):
        generate.table_module(source)


def test_newest_ignores_incomplete_dates(generate):
    listed = generate.rows(
        content(
            generate, row("a", "1", registered="2020-02-03"), row("b", "2", registered="2021-02", modified="2019-12-31")
        )
    )
    assert generate.newest(listed) == "2020-02-03"


@pytest.mark.parametrize("text", ['quotes """so"""', "back\\slash", 'ends with "', "{braces}", "FORTÉ"])
def test_any_text_survives_as_a_python_literal(generate, text):
    source = content(generate, row("x", "1", "tcp", text, modified="2020-02-03"))
    module = ast.parse(generate.table_module(source))
    assignment = next(node for node in module.body if isinstance(node, ast.Assign))
    assert ast.literal_eval(assignment.value) == f"1\ttcp\tx\t{text}\n"


@pytest.mark.skipif(not CSV.is_file(), reason=f"IANA's file is not at {CSV}; set PORTRANGE_IANA_CSV")
def test_documented_command_reproduces_the_package_files(generate, tmp_path):
    recorded = (PACKAGE / "table.py").read_text("utf-8")
    if generate.hashlib.sha256(CSV.read_bytes()).hexdigest() not in recorded:
        pytest.skip(f"{CSV} is not the snapshot that the table was generated from")
    subprocess.run([sys.executable, GENERATOR, CSV, tmp_path], check=True, capture_output=True, timeout=300)
    assert (tmp_path / "table.py").read_text("utf-8") == recorded
    assert (tmp_path / "__init__.py").read_bytes() == (PACKAGE / "__init__.py").read_bytes()
