"""The tour runs from its first cell to its last, and shows answers about the machine it ran on."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import portrange

TOUR = Path(__file__).parents[2] / "docs" / "notebooks" / "tour.ipynb"
CELLS = json.loads(TOUR.read_text(encoding="utf-8"))["cells"]


def shown(executed, cell_id: str, kind: str = "text/plain") -> str:
    [cell] = [cell for cell in executed.cells if cell.id == cell_id]
    [output] = [output for output in cell.outputs if output.output_type == "execute_result"]
    return output.data[kind]


def test_it_is_stored_without_answers_because_they_would_be_of_another_machine():
    code = [cell for cell in CELLS if cell["cell_type"] == "code"]
    assert len(code) > 10
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def test_it_names_no_place_of_the_machine_it_was_written_on():
    assert not re.search(r"/home/|/root/|/tmp/|/work/|[A-Z]:\\", TOUR.read_text(encoding="utf-8"))


def test_every_cell_runs_and_no_cell_complains(executed):
    for cell in executed.cells:
        for output in cell.get("outputs", ()):
            assert output.output_type != "error", cell.source
            assert output.get("name") != "stderr", output


@pytest.mark.parametrize("cell_id", ["classify", "range", "connections", "suggest"])
def test_answers_about_ports_are_a_picture_and_words(executed, cell_id):
    html = shown(executed, cell_id, "text/html")
    assert html.count('<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="') >= 1
    assert html.count("<table>") + html.count("<p>") >= 1


@pytest.mark.parametrize("cell_id", ["server", "listeners", "why"])
def test_the_other_answers_are_tables(executed, cell_id):
    html = shown(executed, cell_id, "text/html")
    assert "<table>" in html


def test_what_it_says_of_this_machine_is_true(executed):
    pool = portrange.ephemeral_range()
    assert shown(executed, "range-values") == str((len(pool), 60860 in pool, 8080 in pool))
    https = portrange.classify(443)
    assert shown(executed, "values") == str((https.name, https.ephemeral, https.privileged, https.safe))
    assert shown(executed, "closing") == "False"
    assert f"Port {portrange.suggest_port('my-service')}" in shown(executed, "suggest", "text/html")


def test_the_data_frame_holds_the_server_of_the_tour(executed):
    [pid] = re.findall(r"\((\d+), ", shown(executed, "owners"))
    assert pid in shown(executed, "listeners", "text/html")
