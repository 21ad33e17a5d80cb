"""Random worlds, in which portrange must say the truth and every difference of other tools has its rule."""

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
#: A world takes a fifth of a second; this is for a machine that does much else.
_SECONDS = 600


@pytest.mark.usefixtures("namespaces", "ipv6", "sock_diag")
def test_random_worlds_are_described_as_they_are(report: list[str]):
    """`PORTRANGE_SEED=N` makes the same worlds again, beginning with that of seed N."""
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
    # Nearly certain with so many worlds: each kind of socket was among them.
    for kind in ("tcp", "udp", "multipath", "shared port", "bound tcp", "connected udp", "connection", "multicast"):
        assert made[kind], (kind, made)


def _line(done: subprocess.CompletedProcess[str], name: str) -> str:
    return next(
        line.removeprefix(f"{name}: ") for line in done.stdout.splitlines(keepends=True) if line.startswith(name)
    )


def test_every_rule_is_explained_to_users():
    page = (ROOT / "docs" / "trust.md").read_text(encoding="utf-8")
    for rule in rivals.RULES:
        assert f"| {rule.about}" in page, rule.about


# --- the oracle itself: it must see a lie ---------------------------------------------------------------------------


WEB = Made("tcp", "tcp", "ipv4", "127.0.0.1", 80, listens=True, holders={1: "init", 7: "web"})


def told(**changes: object) -> dict[str, object]:
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


def verdict(*rows: dict[str, object], made: tuple[Made, ...] = (WEB,)) -> list[str]:
    table = [{**row, "interface": None, "dual_stack": None if row["address"] == "::" else False} for row in rows]
    said = {name: list(rows) for name in ("listeners", "exhaustive", "who_listens", "frozen")}
    said["tables"] = table
    return compare(0, {"truth": as_plain(list(made)), **said}).unexplained


def test_the_truth_passes():
    assert verdict(told()) == []


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [told(), told()],
        [told(port=81)],
        [told(address="0.0.0.0")],
        [told(protocol="udp")],
        [told(family="ipv6")],
        [told(dual_stack=True)],
        [told(interface="lo")],
        [told(uid=1)],
        [told(hidden=True)],
        [told(owners=[{"pid": 7, "name": "web"}])],
        [told(owners=[])],
        [told(owners=[{"pid": 1, "name": "init"}, {"pid": 7, "name": "wet"}])],
        [told(owners=[{"pid": 1, "name": "init"}, {"pid": 7, "name": "web"}, {"pid": 8, "name": "web"}])],
        [told(scope="service")],
    ],
)
def test_a_lie_does_not(rows: list[dict[str, object]]):
    assert verdict(*rows)


@pytest.mark.parametrize("kind", ["connection", "bound tcp"])
def test_what_is_no_listener_must_not_be_said(kind: str):
    noise = Made(kind, "tcp", "ipv4", "127.0.0.1", 81, listens=False, holders={7: "web"})
    assert verdict(told(), made=(WEB, noise)) == []
    assert verdict(told(), told(port=81), made=(WEB, noise))


ROW = Row("tcp", "ipv4", "127.0.0.1", 80, dual_stack=False, interface=None, pids=(1, 7), names=("init", "we)b"))


def test_a_known_difference_is_explained_by_its_rule_alone():
    said = parse_ss('tcp LISTEN 0 5 127.0.0.1:80 0.0.0.0:* users:(("we",pid=7,fd=3),("init",pid=1,fd=3))')
    needed, unexplained = rivals.judge("ss", [ROW], said)
    assert (list(needed), unexplained) == (["ss cuts a name at its first closing parenthesis"], [])


def test_an_unknown_difference_is_not():
    said = parse_ss('tcp LISTEN 0 5 127.0.0.1:80 0.0.0.0:* users:(("we",pid=7,fd=3))')
    needed, unexplained = rivals.judge("ss", [ROW], said)
    assert not needed
    assert len(unexplained) == 2


def test_a_rival_that_is_right_needs_no_rule():
    said = parse_lsof(
        "p1\ncinit\nf3\ntIPv4\nd77\nPTCP\nn127.0.0.1:80\nTST=LISTEN\n"
        "p7\ncwe)b\nf4\ntIPv4\nd77\nPTCP\nn127.0.0.1:80\nTST=LISTEN\nf5\ntIPv4\nd78\nPTCP\nn127.0.0.1:9->127.0.0.1:80\n"
    )
    assert rivals.judge("lsof", [ROW], said) == (Counter(), [])
