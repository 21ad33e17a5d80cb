"""1,000 starts of a child beside a stale server: never a wrong port, never a result before the child listens."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys

import pytest

import portrange
from portrange import NotListeningError

STARTS = 1_000
#: Binds after a random time and reports its port before it listens, or exits without listening.
CHILD = """
import os, socket, sys, time
port, pause, listens = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3] == "True"
time.sleep(pause)
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
try:
    server.bind(("127.0.0.1", port))
except OSError:
    sys.exit(1)
os.write(1, b"%d\\n" % server.getsockname()[1])
if not listens:
    sys.exit(2)
server.listen()
sys.stdin.read()
"""


def start(port: int, pause: float, *, listens: bool) -> subprocess.Popen[str]:
    command = [sys.executable, "-I", "-S", "-c", CHILD, str(port), str(pause), str(listens)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_waiting_is_never_fooled_by_a_stale_server():
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    choose = random.Random(seed)
    with socket.create_server(("127.0.0.1", 0)) as stale:
        taken = stale.getsockname()[1]
        for _ in range(STARTS):
            wants_taken, listens = choose.random() < 0.3, choose.random() < 0.8
            child = start(taken if wants_taken else 0, choose.uniform(0, 0.02), listens=listens)
            with child:
                try:
                    found = portrange.wait_for_listener(child, taken if wants_taken else None, timeout=300)
                except NotListeningError as error:
                    assert wants_taken or not listens, error
                    assert error.reason in ({"taken", "ended"} if wants_taken else {"ended"})
                    assert not wants_taken or f"({os.getpid()})" in str(error)
                else:
                    assert listens
                    assert not wants_taken
                    assert child.stdout is not None
                    assert [(used.port, used.pid) for used in found] == [(int(child.stdout.readline()), child.pid)]
