from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

WORLDS = Path(__file__).with_name("reach.py")
NOBODY = "65534"


def differences(seed: int, queries: int, *user: str) -> tuple[list[str], dict[str, int]]:
    command = ["unshare", "--net", sys.executable, str(WORLDS), str(seed), str(queries), *user]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    report = json.loads(done.stdout)
    return report["differences"], report["outcomes"]


@pytest.fixture
def veth(root: None, sock_diag: None) -> None:
    command = ["unshare", "--net", "ip", "link", "add", "v0", "type", "veth", "peer", "name", "w0"]
    probe = subprocess.run(command, capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"cannot create a pair of interfaces in a network namespace: {probe.stderr.strip()}")


@pytest.mark.parametrize(("seed", "user"), [(1, ()), (2, (NOBODY,))])
def test_who_answers_names_the_socket_where_a_client_arrives(veth, seed, user):
    found, outcomes = differences(seed, 1000, *user)
    assert found == []
    assert set(outcomes) == {f"{kind} {end}" for kind in ("tcp", "udp") for end in ("group", "refused", "single")}


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "user"), [(11, ()), (12, (NOBODY,))])
def test_who_answers_has_no_difference_in_thousands_of_queries(veth, seed, user):
    assert differences(seed, 5000, *user)[0] == []
