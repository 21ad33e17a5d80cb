from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

WORLDS = Path(__file__).with_name("reach.py")
REDIRECT = Path(__file__).with_name("redirect.py")
NAT_PROBE = """
add table ip probe
add chain ip probe output { type nat hook output priority -100; }
add rule ip probe output tcp dport 1 redirect to :2
"""
NOBODY = "65534"


def differences(lines: list[str], seed: int, queries: int, *user: str) -> tuple[list[str], dict[str, int]]:
    command = ["unshare", "--net", sys.executable, str(WORLDS), str(seed), str(queries), *user]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    outcomes = ", ".join(f"{name} {count}" for name, count in result["outcomes"].items())
    lines.append(f"who_answers, seed {seed}, uid {''.join(user) or '0'}: {outcomes}")
    return result["differences"], result["outcomes"]


@pytest.fixture
def veth(root: None, sock_diag: None) -> None:
    command = ["unshare", "--net", "ip", "link", "add", "v0", "type", "veth", "peer", "name", "w0"]
    probe = subprocess.run(command, capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"cannot create a pair of interfaces in a network namespace: {probe.stderr.strip()}")


@pytest.mark.parametrize(("seed", "user"), [(11, ()), (12, (NOBODY,))])
def test_who_answers_names_the_socket_where_a_client_arrives(veth, report, seed, user):
    found, outcomes = differences(report, seed, 5000, *user)
    assert found == []
    assert set(outcomes) == {f"{kind} {end}" for kind in ("tcp", "udp") for end in ("group", "refused", "single")}


@pytest.fixture
def nat(root: None, sock_diag: None) -> None:
    """Skip unless nft can add a redirect in a network namespace."""
    command = ["unshare", "--net", "nft", "-f", "-"]
    probe = subprocess.run(command, input=NAT_PROBE, capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"nft cannot add a redirect in a network namespace: {probe.stderr.strip()}")


def test_who_answers_names_the_listener_although_a_redirect_leads_elsewhere(nat):
    command = ["unshare", "--net", sys.executable, str(REDIRECT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    port, other = report["port"], report["other"]
    assert report["before"] == {"named": [port], "reached": [port]}
    assert report["after"] == {"named": [port], "reached": [other]}
