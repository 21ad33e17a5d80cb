"""The exporter of docs/howto/exporter.md reports the usage at the time of each scrape."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest

import portrange

HOWTO = Path(__file__).parents[3] / "docs" / "howto"
ENVIRONMENT = dict(os.environ, PYTHONPATH=str(HOWTO.parents[1]))


@pytest.fixture
def exporter():
    """Start an exporter and return its URL."""
    if find_spec("prometheus_client") is None:
        pytest.skip("prometheus-client is not installed: pip install --group docs")
    program = subprocess.Popen(
        [sys.executable, HOWTO / "exporter.py", "0"], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    assert program.stdout is not None
    yield program.stdout.readline().strip()
    program.kill()
    program.communicate(timeout=300)


def scrape(url: str) -> dict[str, float]:
    with urllib.request.urlopen(url, timeout=300) as reply:
        text = reply.read().decode()
    return {name: float(value) for name, value in re.findall(r"^(\w+(?:\{.*\})?) (\S+)$", text, re.MULTILINE)}


def test_exporter_reports_current_usage_at_each_scrape(exporter):
    size = len(portrange.ephemeral_range())
    before = scrape(exporter)
    assert before['portrange_ephemeral_ports{protocol="tcp"}'] == size
    assert before['portrange_ephemeral_ports{protocol="udp"}'] == size
    with socket.create_server(("127.0.0.1", 0)) as server:
        address, port = server.getsockname()
        connections = [socket.create_connection((address, port)) for _ in range(20)]
        after = scrape(exporter)
        for connection in connections:
            connection.close()
    assert after['portrange_ephemeral_ports_used{protocol="tcp"}'] >= 20
    owned = [value for name, value in after.items() if name.startswith('portrange_owner_sockets{container="')]
    assert sum(owned) >= 20 or not portrange.ephemeral_usage().by_owner
    [full] = [
        value
        for name, value in after.items()
        if name.startswith("portrange_destination_share") and f'destination="127.0.0.1:{port}"' in name
    ]
    assert full == pytest.approx(20 / size, rel=0.01)  # ports of listeners reduce the limit
    assert not any(f'destination="127.0.0.1:{port}"' in name for name in before)
