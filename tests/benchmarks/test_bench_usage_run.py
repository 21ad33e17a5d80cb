from __future__ import annotations

import re
import shutil

import pytest


@pytest.fixture(scope="module")
def small_run(run_small) -> dict:
    return run_small("bench_usage")


def test_both_sizes_are_measured(small_run):
    few, many = small_run["rows"][:2]
    assert {"100", "400"} == {re.search(r"(\d+) connections$", row["query"])[1] for row in (few, many)}
    assert {"portrange", "psutil"} <= set(few["medians"]) <= set(many["medians"])


def test_every_contender_counts_each_connection(small_run):
    few, many = small_run["rows"][:2]
    assert set(few["answers"].values()) == {100}
    assert set(many["answers"].values()) == {400}


def test_large_host_has_the_dump_in_c_as_limit(small_run):
    if shutil.which("cc") is None:
        pytest.skip("no C compiler (cc) is installed")
    few, many = small_run["rows"][:2]
    assert "C dump" not in few["medians"]
    assert many["medians"]["C dump"] > 0
    assert [target["faster"] for target in many["targets"] if target["against"] == "C dump"] == [False]


def test_many_cgroups_are_compared_with_one(small_run):
    left_out = [note for note in small_run["notes"] if "cgroups" in note]
    if left_out:
        pytest.skip(left_out[0])
    row = small_run["rows"][2]
    assert row["query"].endswith("400 connections, 1 → 8 cgroups")
    assert list(row["medians"]) == ["one cgroup", "portrange"]
    assert [len(times) for times in row["samples"].values()] == [6, 6]


def test_memory_is_reported_and_independent_of_size(small_run):
    memory = re.search(r"([\d,]+) kB with 100 connections, ([\d,]+) kB with 400 connections", small_run["document"])
    few, many = (int(figure.replace(",", "")) for figure in memory.groups())
    assert few > 0
    assert many < 1.1 * few


def test_table_in_the_document_is_replaced(small_run):
    assert "| the ephemeral range's usage, 100 connections |" in small_run["document"]
    assert "old" not in small_run["document"]
