from __future__ import annotations

import json
import shutil

import pytest

_QUERIES = [
    "listeners(process=)",
    "who_uses(port)",
    "who_uses(port, remote=)",
    "who_answers(port)",
    "who_answers(port), refused",
]


@pytest.fixture(scope="module")
def small_run(run_small) -> dict:
    return run_small("bench_queries")


def test_each_query_is_measured(small_run):
    assert [row["query"] for row in small_run["rows"]] == _QUERIES
    assert all(row["medians"]["portrange"] > 0 for row in small_run["rows"])


def test_contenders_with_the_query_return_the_same_result(small_run):
    for row in small_run["rows"]:
        assert {"portrange", "psutil"} <= set(row["answers"])
        assert len({json.dumps(answer) for answer in row["answers"].values()}) == 1, row["query"]


def test_programs_take_part_in_queries_for_sockets(small_run):
    installed = {program for program in ("ss", "lsof") if shutil.which(program)}
    assert [installed <= set(row["answers"]) for row in small_run["rows"]] == [False, True, True, False, False]


def test_each_result_is_one_port_or_process_unless_refused(small_run):
    assert [len(row["answers"]["portrange"]) for row in small_run["rows"]] == [1, 1, 1, 1, 0]


def test_delay_of_wait_for_listener_is_a_remark(small_run):
    assert any("wait_for_listener()" in note for note in small_run["notes"])


def test_table_in_the_document_is_replaced(small_run):
    assert "| who_answers(port) |" in small_run["document"]
    assert "old" not in small_run["document"]
