"""The tour notebook runs completely and shows results about the machine on which it runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import portrange

TOUR = Path(__file__).parents[2] / "docs" / "notebooks" / "tour.ipynb"
CELLS = json.loads(TOUR.read_text(encoding="utf-8"))["cells"]


def output_of(executed, cell_id: str, kind: str = "text/plain") -> str:
    [cell] = [cell for cell in executed.cells if cell.id == cell_id]
    [output] = [output for output in cell.outputs if output.output_type == "execute_result"]
    return output.data[kind]


def test_tour_is_stored_without_outputs():
    code = [cell for cell in CELLS if cell["cell_type"] == "code"]
    assert len(code) > 10
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def test_tour_contains_no_local_paths():
    assert not re.search(r"/home/|/root/|/tmp/|/work/|[A-Z]:\\", TOUR.read_text(encoding="utf-8"))


def test_every_cell_runs_without_errors_or_warnings(executed):
    for cell in executed.cells:
        for output in cell.get("outputs", ()):
            assert output.output_type != "error", cell.source
            assert output.get("name") != "stderr", output


@pytest.mark.parametrize("cell_id", ["classify", "range", "connections", "suggest"])
def test_results_about_ports_have_a_picture_and_text(executed, cell_id):
    html = output_of(executed, cell_id, "text/html")
    assert html.count("max-width:640px") == 1
    assert html.count("<table") + html.count("<p>") >= 1


@pytest.mark.parametrize("cell_id", ["server", "listeners", "why"])
def test_other_results_are_tables(executed, cell_id):
    html = output_of(executed, cell_id, "text/html")
    assert "<table" in html


def test_values_are_those_of_this_machine(executed):
    ephemeral = portrange.ephemeral_range()
    assert output_of(executed, "range-values") == str((len(ephemeral), 60860 in ephemeral, 8080 in ephemeral))
    https = portrange.classify(443)
    assert output_of(executed, "values") == str((https.name, https.ephemeral, https.privileged, https.safe))
    assert output_of(executed, "closing") == "False"
    assert f"Port {portrange.suggest_port('my-service')}" in output_of(executed, "suggest", "text/html")


def test_data_frame_contains_the_server_of_the_tour(executed):
    [pid] = re.findall(r"\((\d+), ", output_of(executed, "owners"))
    assert pid in output_of(executed, "listeners", "text/html")
