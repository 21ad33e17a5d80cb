"""Random worlds: portrange must be exact, and rules must explain every difference of the other tools."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from trust import rivals
from trust.oracle import compare
from trust.random_world import Made, as_plain
from trust.witnesses import Row, parse_lsof, parse_ss

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
WORLDS = 200
#: A world takes 0.2 seconds; the limit allows for a busy machine.
_SECONDS = 600


@pytest.mark.usefixtures("namespaces", "ipv6", "sock_diag")
def test_random_worlds_are_described_correctly(report: list[str]):
    """Set `PORTRANGE_SEED=N` to repeat the worlds from seed N on."""
    chosen = os.environ.get("PORTRANGE_SEED")
    done = subprocess.run(
        [sys.executable, HERE / "oracle.py", f"--worlds={WORLDS}", *(["--first", chosen] if chosen else [])],
        capture_output=True,
        check=False,
        text=True,
        timeout=_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report += done.stdout.splitlines()
    assert re.search(rf"^worlds {WORLDS}, seeds \d+ to \d+", done.stdout)
    made = Counter({kind: int(count) for kind, count in re.findall(r"([a-z, ]+?) (\d+)(?:, |\n)", _line(done, "made"))})
    # With this many worlds, each kind of socket occurs almost certainly.
    for kind in ("tcp", "udp", "multipath", "shared port", "bound tcp", "connected udp", "connection", "multicast"):
        assert made[kind], (kind, made)


def _line(done: subprocess.CompletedProcess[str], name: str) -> str:
    return next(
        line.removeprefix(f"{name}: ") for line in done.stdout.splitlines(keepends=True) if line.startswith(name)
    )


def test_every_rule_is_documented():
    page = (ROOT / "docs" / "trust.md").read_text(encoding="utf-8")
    for rule in rivals.RULES:
        assert f"| {rule.about}" in page, rule.about


# --- the oracle itself must detect wrong results --------------------------------------------------------------------


WEB = Made("tcp", "tcp", "ipv4", "127.0.0.1", 80, listens=True, owners={1: "init", 7: "web"})


def reported_row(**changes: object) -> dict[str, object]:
    row = {
        "protocol": "tcp",
        "family": "ipv4",
        "address": "127.0.0.1",
        "port": 80,
        "dual_stack": False,
        "interface": None,
        "uid": 0,
        "cgroup": None,
        "scope": "host",
        "hidden": False,
        "possible_owners": [],
        "owners": [{"pid": 1, "name": "init"}, {"pid": 7, "name": "web"}],
    }
    return {**row, **changes}


def unexplained_differences(*rows: dict[str, object], made: tuple[Made, ...] = (WEB,)) -> list[str]:
    table = [{**row, "interface": None, "dual_stack": None if row["address"] == "::" else False} for row in rows]
    reported = {name: list(rows) for name in ("listeners", "exhaustive", "who_listens", "snapshot")}
    reported["tables"] = table
    return compare(0, {"truth": as_plain(list(made)), **reported}).unexplained


def test_true_rows_have_no_differences():
    assert unexplained_differences(reported_row()) == []


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [reported_row(), reported_row()],
        [reported_row(port=81)],
        [reported_row(address="0.0.0.0")],
        [reported_row(protocol="udp")],
        [reported_row(family="ipv6")],
        [reported_row(dual_stack=True)],
        [reported_row(interface="lo")],
        [reported_row(uid=1)],
        [reported_row(hidden=True)],
        [reported_row(owners=[{"pid": 7, "name": "web"}])],
        [reported_row(owners=[])],
        [reported_row(owners=[{"pid": 1, "name": "init"}, {"pid": 7, "name": "wet"}])],
        [reported_row(owners=[{"pid": 1, "name": "init"}, {"pid": 7, "name": "web"}, {"pid": 8, "name": "web"}])],
        [reported_row(scope="service")],
    ],
)
def test_wrong_rows_are_unexplained(rows: list[dict[str, object]]):
    assert unexplained_differences(*rows)


@pytest.mark.parametrize("kind", ["connection", "bound tcp"])
def test_reported_non_listener_is_unexplained(kind: str):
    noise = Made(kind, "tcp", "ipv4", "127.0.0.1", 81, listens=False, owners={7: "web"})
    assert unexplained_differences(reported_row(), made=(WEB, noise)) == []
    assert unexplained_differences(reported_row(), reported_row(port=81), made=(WEB, noise))


ROW = Row("tcp", "ipv4", "127.0.0.1", 80, dual_stack=False, interface=None, pids=(1, 7), names=("init", "we)b"))


def test_known_difference_is_explained_by_its_rule_alone():
    reported = parse_ss('tcp LISTEN 0 5 127.0.0.1:80 0.0.0.0:* users:(("we",pid=7,fd=3),("init",pid=1,fd=3))')
    needed, unexplained = rivals.explain("ss", [ROW], reported)
    assert (list(needed), unexplained) == (["ss cuts a name at its first closing parenthesis"], [])


def test_unknown_difference_is_unexplained():
    reported = parse_ss('tcp LISTEN 0 5 127.0.0.1:80 0.0.0.0:* users:(("we",pid=7,fd=3))')
    needed, unexplained = rivals.explain("ss", [ROW], reported)
    assert not needed
    assert len(unexplained) == 2


def test_correct_tool_output_needs_no_rule():
    reported = parse_lsof(
        "p1\ncinit\nf3\ntIPv4\nd77\nPTCP\nn127.0.0.1:80\nTST=LISTEN\n"
        "p7\ncwe)b\nf4\ntIPv4\nd77\nPTCP\nn127.0.0.1:80\nTST=LISTEN\nf5\ntIPv4\nd78\nPTCP\nn127.0.0.1:9->127.0.0.1:80\n"
    )
    assert rivals.explain("lsof", [ROW], reported) == (Counter(), [])
