"""Queries while processes fork, exit and exchange sockets: no result has wrong owners or omits a socket."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from trust.churn import CLIENTS, leaks
from trust.holding_log import Answer, Endpoint, Log, Owner

CHURN = Path(__file__).with_name("churn.py")
#: Of each thread; docs/trust.md describes the command for longer runs.
QUERIES = 100
#: Against hanging only.
_SECONDS_AT_MOST = 600


@pytest.mark.usefixtures("namespaces", "sock_diag")
def test_no_result_is_wrong_during_churn(report: list[str]):
    done = subprocess.run(
        [sys.executable, CHURN, f"--queries={QUERIES}"],
        capture_output=True,
        check=False,
        text=True,
        timeout=_SECONDS_AT_MOST,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report += done.stdout.splitlines()
    answers, listeners, owners = map(int, re.search(r"answers (\d+), listeners (\d+), .* (\d+)", done.stdout).groups())
    holdings, processes, numbers = map(int, re.search(r"holdings (\d+) by (\d+) .* (\d+)", done.stdout).groups())
    # How often sockets are transferred and PIDs are reused depends on the machine, so it is only reported.
    assert answers == QUERIES * sum(threads for threads, _ in CLIENTS.values()), done.stdout
    assert min(listeners, owners, holdings) > 0, done.stdout
    assert processes >= numbers > 0, done.stdout


# --- the log itself must detect wrong results -------------------------------------------------------------------------

NOTES = """\
name 0 0 7 100 1 web
name 0 0 8 100 1 worker
take 10 20 7 100 1 tcp 80
take 30 40 8 100 1 tcp 80
release 50 60 7 100 1 tcp 80
release 90 95 8 100 1 tcp 80
"""
WEB, WORKER = Owner(7, 100, "web"), Owner(8, 100, "worker")
PORT = Endpoint("tcp", 80)


def faults(
    began: int,
    ended: int,
    *owners: Owner,
    complete: bool = False,
    ownerless: bool = False,
    reported: bool = True,
) -> list[str]:
    log = Log()
    log.read(NOTES.splitlines())
    answer = Answer(began, ended, None, {PORT: list(owners)} if reported else {})
    answer.complete |= {PORT} if complete else set()
    answer.ownerless |= {PORT} if ownerless else set()
    [(checked, found)] = log.check([answer])
    assert checked is answer
    return found


@pytest.mark.parametrize(
    ("began", "ended", "owners"),
    [(42, 48, [WEB, WORKER]), (12, 13, [WEB]), (55, 58, [WEB]), (32, 35, [WEB, WORKER]), (5, 99, [WEB, WORKER])],
)
def test_possible_owners_are_not_a_fault(began: int, ended: int, owners: list[Owner]):
    assert faults(began, ended, *owners) == []


@pytest.mark.parametrize(
    ("began", "ended", "owner"),
    [
        (61, 70, WEB),  # closed it before
        (21, 29, WORKER),  # did not have it yet
        (42, 48, Owner(9, 100, "web")),  # another process
        (42, 48, Owner(7, 101, "web")),  # another process with the same PID
        (42, 48, Owner(7, 100, "wet")),  # wrong name
    ],
)
def test_owner_without_the_socket_is_a_fault(began: int, ended: int, owner: Owner):
    assert len(faults(began, ended, owner)) == 1


def test_nonexistent_endpoint_is_a_fault():
    assert faults(96, 99) == ["Endpoint(protocol='tcp', port=80) did not exist"]


def test_omitted_existing_endpoint_is_a_fault():
    assert faults(41, 49, reported=False) == [
        "Endpoint(protocol='tcp', port=80) existed all the time and was not reported"
    ]
    assert faults(15, 45, reported=False) == []


def test_omitted_owner_is_a_fault_only_for_a_complete_search():
    assert faults(42, 48, WEB) == []
    assert len(faults(42, 48, WEB, complete=True)) == 1
    assert faults(42, 58, WORKER, complete=True) == []


def test_ownerless_endpoint_is_a_fault_only_if_one_process_owned_it_all_the_time():
    [found] = faults(42, 58, ownerless=True)
    assert "pid=8," in found
    assert faults(25, 58, ownerless=True) == []  # passed from one process to another


def test_log_lines_of_several_writers_are_sorted_by_time():
    log = Log()
    log.read(reversed(NOTES.splitlines()))
    [(_, found)] = log.check([Answer(61, 62, None, {PORT: [WEB]}, set())])
    assert found == [f"{WEB} did not own {PORT}"]


def test_socket_received_when_sent_is_no_longer_in_flight():
    log = Log()
    log.read(["release 10 30 0 0 10 tcp 80", "take 10 20 0 0 10 tcp 80"])
    assert [found for _, found in log.check([Answer(50, 60, None, {}, set())])] == [[]]


def test_processes_reusing_a_pid_within_one_tick_are_distinguished():
    log = Log()
    log.read(["take 10 20 7 100 1 tcp 80", "take 15 25 7 100 2 tcp 80", "release 30 40 7 100 2 tcp 80"])
    log.read(["release 35 45 7 100 1 tcp 80", "name 0 0 7 100 1 web"])
    assert [found for _, found in log.check([Answer(50, 60, None, {}, set())])] == [[]]
    assert [found for _, found in log.check([Answer(32, 33, None, {}, set())])] != [[]]


def test_always_held_accepts_consecutive_owners():
    log = Log()
    log.read(NOTES.splitlines())
    assert log.always_held(PORT, 21, 49)
    assert log.always_held(PORT, 25, 80)  # first owned by 7, then by 8
    assert not log.always_held(PORT, 5, 49)
    assert not log.always_held(PORT, 45, 91)


def test_leaks_are_detected():
    before = {"descriptors": 9, "threads": 1, "traced": 1000, "resident": 1}
    assert leaks(before, before) == []
    assert leaks(before, before | {"descriptors": 10}) == ["descriptors were 9 and are 10"]
    assert len(leaks(before, before | {"threads": 2, "traced": 10**7})) == 2
