"""A child process that is forked while another thread makes its first call can call as well."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import portrange

#: Every public call, as code.
CALLS = {
    "classify": "package.classify(443)",
    "ephemeral_range": "package.ephemeral_range()",
    "who_listens": "package.who_listens(PORT)",
    "who_answers": "package.who_answers(PORT, '127.0.0.1')",
    "listeners": "package.listeners()",
    "why_busy": "package.why_busy(PORT)",
    "ephemeral_usage": "package.ephemeral_usage()",
    "who_uses": "package.who_uses(PORT)",
    "wait_for_listener": "package.wait_for_listener(os.getpid(), PORT)",
    "services": "package.services('https')",
    "suggest_port": "package.suggest_port('a name')",
    "html": "package.classify(443)._repr_html_()",
    "explain": "package.ephemeral_usage().explain()",
}
#: A child process that makes a call, for the programs below.
CHILD = """
import contextlib, io, os, signal, socket, sys, threading, time
import {package} as package
def fork(call):
    pid = os.fork()
    if not pid:
        signal.alarm(60)                        # a child that hangs ends by this signal
        try:
            call()
        finally:
            os._exit(0 if sys.exc_info()[0] is None else 1)
    return pid
"""
#: A process forks again and again while a thread makes its first call, which pauses at each import.
PROGRAM = (
    CHILD
    + """
server = socket.create_server(("127.0.0.1", 0))
PORT = server.getsockname()[1]
importing = threading.Event()
def pause(event, _arguments):
    if event == "import" and threading.current_thread() is first:
        importing.set()
        time.sleep(0.001)
def call():
    with contextlib.redirect_stdout(io.StringIO()):
        {call}
first = threading.Thread(target=call)
children = []
sys.addaudithook(pause)
first.start()
importing.wait()
while first.is_alive() and len(children) < 12:
    children.append(fork(call))
first.join()
print([os.waitpid(pid, 0)[1] for pid in children])
"""
)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")
@pytest.mark.parametrize("name", CALLS)
def test_child_forked_during_a_first_call_does_not_hang(name):
    program = PROGRAM.format(package=portrange.__name__, call=CALLS[name])
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE_")}
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program]
    # On a busy machine the first call can end before a child is forked: repeat it in a new process.
    for _ in range(20):
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
        statuses = eval(done.stdout)
        if statuses:
            break
    assert statuses, "the first call always ended before a child could be forked"
    assert set(statuses) == {0}, done.stderr


#: A process forks; while the functions before a fork are called, a thread starts its first bind probe.
PROBE = (
    CHILD
    + """
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
bound = threading.Event()
def pause(event, _arguments):
    if event == "socket.bind" and threading.current_thread() is first:
        bound.set()
        time.sleep(0.2)
first = threading.Thread(target=package.why_busy, args=(port,))
def start():
    if first.ident is None:
        first.start()
        bound.wait()
sys.addaudithook(pause)
os.register_at_fork(before=start)
pid = fork(lambda: package.why_busy(port))
first.join()
print(os.waitpid(pid, 0)[1])
"""
)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")
def test_child_forked_during_a_first_bind_probe_does_not_hang():
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PROBE.format(package=portrange.__name__)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert (done.stdout, done.stderr) == ("0\n", "")
