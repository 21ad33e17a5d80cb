from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_HERE = Path(__file__).parent
_SHAPE = ("--processes", "6", "--descriptors", "20", "--cgroups", "3", "--listeners", "4", "--connections", "12")


@pytest.fixture
def busy_host(own_network) -> Iterator[tuple[subprocess.Popen[str], dict]]:
    """The process of a small host, and its description."""
    command = [sys.executable, _HERE / "busy_host.py", *_SHAPE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())
        process.kill()


@pytest.fixture(scope="module")
def small_run(run_small) -> dict:
    """The figures of a small run, which fails if the result of a contender is wrong."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler (cc) is installed")
    return run_small("bench_listen")


def test_every_query_is_measured(small_run):
    assert len(small_run["rows"]) == 12
    assert all(row["medians"]["portrange"] > 0 for row in small_run["rows"])


def test_installed_tools_take_part(small_run):
    first_row = small_run["rows"][0]
    installed = {program for program in ("ss", "lsof") if shutil.which(program)} | {"psutil", "portrange"}
    assert installed <= set(first_row["medians"])


def test_all_contenders_return_the_same_processes(small_run):
    # All rows except the two about growth are measured on one host.
    same_host = [row for row in small_run["rows"] if row["answers"]]
    assert len(same_host) == 10
    for row in same_host:
        assert set(row["answers"]) == set(row["medians"])
        assert len({json.dumps(answer) for answer in row["answers"].values()}) == 1, row["query"]


def test_owner_result_is_one_process(small_run):
    owner_rows = [row for row in small_run["rows"] if row["answers"] and row["query"].startswith("the owner")]
    owners = [row["answers"]["portrange"] for row in owner_rows]
    assert len(owners) == 4
    assert all(len(answer) == 1 and answer[0] > 1 for answer in owners)


def test_free_port_result_is_empty(small_run):
    assert small_run["rows"][0]["answers"]["portrange"] == []


def test_listeners_outnumber_cgroups_in_the_worst_case(small_run):
    [row] = [row for row in small_run["rows"] if row["query"].startswith("all listeners: 16 sockets")]
    assert len(row["answers"]["portrange"]) == 16


def test_row_of_the_command_shows_the_ratio_to_ss(small_run):
    if shutil.which("ss") is None:
        pytest.skip("ss is not installed")
    [row] = [row for row in small_run["rows"] if row["query"].startswith("the command")]
    [line] = [line for line in small_run["document"].splitlines() if line.startswith("| the command")]
    assert [(target["against"], target["faster"]) for target in row["targets"]] == [("ss", False)]
    assert re.search(r" ms \([\d.,]+×\) \|.* ≤ 2.5× ss \|", line)  # the time of ss is shown with its ratio


def test_table_in_the_document_is_replaced(small_run):
    before, _, rest = small_run["document"].partition("<!-- bench_listen: begin -->\n")
    table, _, after = rest.partition("<!-- bench_listen: end -->\n")
    assert (before, after) == ("before\n", "after\n")
    assert "| no listener |" in table
    assert "old" not in table


def test_each_worker_has_the_requested_descriptors(busy_host):
    _, built = busy_host
    assert len(built["pids"]) == 6
    # A worker closes the descriptor of its report pipe after the report.
    assert _comes_true(lambda: {len(os.listdir(f"/proc/{pid}/fd")) for pid in built["pids"]} == {20})


def test_each_listener_is_owned_by_the_reported_process(busy_host):
    _, built = busy_host
    assert len(built["services"]) == 4
    for service in built["services"]:
        directory = f"/proc/{service['pid']}/fd"
        held = {os.readlink(f"{directory}/{name}") for name in os.listdir(directory)}
        assert f"socket:[{service['inode']}]" in held


def test_connections_are_established(busy_host):
    _, built = busy_host
    tables = Path(f"/proc/{built['pids'][0]}/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    established = [line for line in tables if line.split()[3] == "01"]
    assert len(established) == 2 * 12


def test_workers_are_in_separate_cgroups(busy_host):
    _, built = busy_host
    if not built["cgroups"]:
        pytest.skip(f"cannot create cgroups: {built['why_no_cgroups']}")
    assert len(set(map(_cgroup, built["pids"]))) == 3


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda end: end.name)
def test_cleanup_is_complete_after_the_caller_is_killed(end, busy_host):
    process, built = busy_host
    before = {_cgroup(pid) for pid in built["pids"]} if built["cgroups"] else set()
    process.send_signal(end)
    process.wait(60)
    assert _comes_true(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in built["pids"]))
    assert _comes_true(lambda: not any(os.path.exists(group) for group in before))


def test_no_worker_outlives_its_builder(busy_host):
    process, built = busy_host
    status = Path(f"/proc/{built['pids'][0]}/status").read_text(encoding="utf-8")
    builder = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("PPid:"))
    groups = {_cgroup(pid) for pid in built["pids"]} if built["cgroups"] else set()
    os.kill(builder, signal.SIGKILL)
    process.communicate()
    assert process.returncode != 0
    assert _comes_true(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in built["pids"]))
    # The builder was killed and cannot remove the cgroups.
    for group in sorted({*groups, *map(os.path.dirname, groups)}, reverse=True):
        os.rmdir(group)


def _cgroup(pid: int) -> str:
    """Return the directory of the cgroup of a process."""
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    mount = next(line.split()[4] for line in mounts if " - cgroup2 " in line)
    groups = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines()
    return mount + next(line.removeprefix("0::") for line in groups if line.startswith("0::"))


def _comes_true(condition, seconds: float = 30) -> bool:
    """Wait until the condition is true, up to a timeout."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_busy_host_runs_a_command_among_its_listeners(own_network):
    tables = "/proc/self/net/tcp /proc/self/net/tcp6 /proc/self/net/udp /proc/self/net/udp6"
    program = f"import sys; [sys.stderr.write(open(table).read()) for table in {tables.split()}]"
    command = [sys.executable, _HERE / "busy_host.py", *_SHAPE, "--", sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    services = json.loads(done.stdout)["services"]
    assert len(services) == 4
    assert [service for service in services if f":{service['port']:04X} " not in done.stderr] == []
