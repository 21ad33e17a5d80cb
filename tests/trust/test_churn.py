"""Answers given while processes fork, exit and exchange sockets: none invents an owner or leaves out what was there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from trust.churn import leaks
from trust.holding_log import Answer, Endpoint, Log, Owner

CHURN = Path(__file__).with_name("churn.py")
#: A short version; the long one is a command (docs/trust.md).
SECONDS = 10
_SECONDS_AT_MOST = 300


@pytest.mark.usefixtures("namespaces", "sock_diag")
def test_no_answer_is_wrong_while_everything_changes(report: list[str]):
    done = subprocess.run(
        [sys.executable, CHURN, f"--seconds={SECONDS}"],
        capture_output=True,
        check=False,
        text=True,
        timeout=_SECONDS_AT_MOST,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report += done.stdout.splitlines()
    answers, listeners, owners = map(int, re.search(r"answers (\d+), listeners (\d+), .* (\d+)", done.stdout).groups())
    holdings, processes, numbers = map(int, re.search(r"holdings (\d+) by (\d+) .* (\d+)", done.stdout).groups())
    # It did churn, and it was asked: even a machine that is busy with other things comes this far.
    assert min(answers, listeners, owners, holdings) > 20, done.stdout
    assert processes > 2 * numbers, done.stdout


# --- the judge itself: it must see a lie ------------------------------------------------------------------------------

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


def faults(began: int, ended: int, *owners: Owner, complete: bool = False, told: bool = True) -> list[str]:
    log = Log()
    log.read(NOTES.splitlines())
    answer = Answer(began, ended, None, {PORT: list(owners)} if told else {}, {PORT} if complete else set())
    [(judged, found)] = log.judge([answer])
    assert judged is answer
    return found


@pytest.mark.parametrize(
    ("began", "ended", "owners"),
    [(42, 48, [WEB, WORKER]), (12, 13, [WEB]), (55, 58, [WEB]), (32, 35, [WEB, WORKER]), (5, 99, [WEB, WORKER])],
)
def test_what_may_have_been_is_no_lie(began: int, ended: int, owners: list[Owner]):
    assert faults(began, ended, *owners) == []


@pytest.mark.parametrize(
    ("began", "ended", "owner"),
    [
        (61, 70, WEB),  # has closed it
        (21, 29, WORKER),  # was not there yet
        (42, 48, Owner(9, 100, "web")),  # somebody else
        (42, 48, Owner(7, 101, "web")),  # another process of the same number
        (42, 48, Owner(7, 100, "wet")),  # is not called so
    ],
)
def test_an_owner_that_did_not_hold_it_is_a_lie(began: int, ended: int, owner: Owner):
    assert len(faults(began, ended, owner)) == 1


def test_an_endpoint_that_was_not_there_is_a_lie():
    assert faults(96, 99) == ["Endpoint(protocol='tcp', port=80) was not there"]


def test_leaving_out_what_was_certainly_there_is_a_lie():
    assert faults(41, 49, told=False) == ["Endpoint(protocol='tcp', port=80) was there all the time and was not told"]
    assert faults(15, 45, told=False) == []


def test_leaving_out_a_holder_is_a_lie_only_where_everybody_was_searched():
    assert faults(42, 48, WEB) == []
    assert len(faults(42, 48, WEB, complete=True)) == 1
    assert faults(42, 58, WORKER, complete=True) == []


def test_notes_of_several_writers_are_put_in_order():
    log = Log()
    log.read(reversed(NOTES.splitlines()))
    [(_, found)] = log.judge([Answer(61, 62, None, {PORT: [WEB]}, set())])
    assert found == [f"{WEB} did not hold {PORT}"]


def test_what_was_received_when_it_was_sent_is_not_on_its_way_for_ever():
    log = Log()
    log.read(["release 10 30 0 0 10 tcp 80", "take 10 20 0 0 10 tcp 80"])
    assert [found for _, found in log.judge([Answer(50, 60, None, {}, set())])] == [[]]


def test_lives_of_one_number_within_one_tick_are_kept_apart():
    log = Log()
    log.read(["take 10 20 7 100 1 tcp 80", "take 15 25 7 100 2 tcp 80", "release 30 40 7 100 2 tcp 80"])
    log.read(["release 35 45 7 100 1 tcp 80", "name 0 0 7 100 1 web"])
    assert [found for _, found in log.judge([Answer(50, 60, None, {}, set())])] == [[]]
    assert [found for _, found in log.judge([Answer(32, 33, None, {}, set())])] != [[]]


def test_what_was_always_held_by_one_or_another_is_known():
    log = Log()
    log.read(NOTES.splitlines())
    assert log.always_held(PORT, 21, 49)
    assert log.always_held(PORT, 25, 80)  # first by the one, then by the other
    assert not log.always_held(PORT, 5, 49)
    assert not log.always_held(PORT, 45, 91)


def test_a_leak_is_seen():
    before = {"descriptors": 9, "threads": 1, "traced": 1000, "resident": 1}
    assert leaks(before, before) == []
    assert leaks(before, before | {"descriptors": 10}) == ["descriptors were 9 and are 10"]
    assert len(leaks(before, before | {"threads": 2, "traced": 10**7})) == 2
