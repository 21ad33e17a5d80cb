"""Start a server on port 0 for a test, and find out which port the system allocated."""

import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest

import portrange


@pytest.fixture
def server() -> Iterator[portrange.Listener]:
    command = [sys.executable, "-m", "http.server", "0", "--bind", "127.0.0.1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield portrange.wait_for_listener(process, timeout=30)[0]
        finally:
            process.terminate()


def test_server_lists_its_directory(server: portrange.Listener) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/", timeout=30) as response:
        assert response.status == 200
