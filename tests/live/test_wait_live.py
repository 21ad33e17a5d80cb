"""wait_for_listener() with real processes."""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from live.world import World

import portrange
from portrange import NotListeningError, wait_for_listener

HOSTS = pytest.mark.parametrize("host", [None, portrange.Host(backend="portable")], ids=["linux", "portable"])
SLOW_SERVER = """
import socket, time
time.sleep(0.1)
server = socket.create_server(("127.0.0.1", {port}))
time.sleep(60)
"""


class Programs:
    """Python programs that end with the test."""

    def __init__(self) -> None:
        self.started: list[subprocess.Popen[bytes]] = []

    def __call__(self, source: str) -> subprocess.Popen[bytes]:
        program = subprocess.Popen([sys.executable, "-I", "-S", "-c", source], stderr=subprocess.DEVNULL)
        self.started.append(program)
        return program


@pytest.fixture
def programs() -> Iterator[Programs]:
    started = Programs()
    yield started
    for program in started.started:
        program.kill()
        program.wait()


@pytest.fixture
def stale() -> Iterator[int]:
    """Yield the port of a listener of this process, which children do not inherit."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def ports(found: portrange.Listeners) -> list[int]:
    return [listener.port for listener in found]


@HOSTS
def test_server_on_port_0_is_found(programs: Programs, host: portrange.Host | None):
    server = programs(SLOW_SERVER.format(port=0))
    found = wait_for_listener(server, host=host)
    assert [owner.pid for listener in found for owner in listener.owners] == [server.pid]
    with socket.create_connection(("127.0.0.1", found[0].port)):
        pass


def test_server_on_a_given_port_is_found(programs: Programs):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert ports(wait_for_listener(programs(SLOW_SERVER.format(port=port)), port)) == [port]


def test_udp_socket_is_found(world: World):
    child = world.start("other, server = tcp(), udp()\nsay(port(server))\nwait()")
    port = child.hear()
    assert ports(wait_for_listener(child, protocol="udp")) == [port]


@pytest.mark.parametrize("status", [0, 3])
@HOSTS
def test_process_that_exits_has_ended(programs: Programs, status: int, host: portrange.Host | None):
    program = programs(f"import sys; sys.exit({status})")
    with pytest.raises(NotListeningError, match="exited with status") as caught:
        wait_for_listener(program, timeout=math.inf, host=host)
    assert caught.value.reason == "ended"
    assert f"exited with status {status}" in str(caught.value)
    assert program.returncode is None  # it was not waited for
    assert program.wait() == status
    with pytest.raises(NotListeningError, match=f"exited with status {status}"):
        wait_for_listener(program, timeout=math.inf, host=host)


def test_process_that_a_signal_ended_has_ended(programs: Programs):
    program = programs("import time; time.sleep(60)")
    threading.Timer(0.1, program.send_signal, [signal.SIGKILL]).start()
    with pytest.raises(NotListeningError, match="ended by signal 9") as caught:
        wait_for_listener(program, timeout=math.inf)
    assert caught.value.reason == "ended"


def test_pid_that_does_not_exist_has_ended(programs: Programs):
    program = programs("")
    program.wait()
    with pytest.raises(NotListeningError, match="does not exist") as caught:
        wait_for_listener(program.pid, 8000, timeout=math.inf)
    assert caught.value.reason == "ended"


@HOSTS
def test_stale_server_has_the_port(programs: Programs, stale: int, host: portrange.Host | None):
    program = programs("import time; time.sleep(60)")
    with pytest.raises(NotListeningError, match=rf"tcp port {stale} is in use by .*\({os.getpid()}\)") as caught:
        wait_for_listener(program, stale, timeout=math.inf, host=host)
    assert caught.value.reason == "taken"


def test_stale_server_is_not_found_without_a_port(programs: Programs, stale: int):
    assert stale not in wait_for_listener(programs(SLOW_SERVER.format(port=0)))


def test_stale_server_is_named_when_the_process_has_ended(programs: Programs, stale: int):
    program = programs("")
    os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(NotListeningError, match=rf"exited with status 0 .*{stale} is in use by") as caught:
        wait_for_listener(program, stale)
    assert caught.value.reason == "ended"


def test_server_on_another_address_does_not_take_the_port(programs: Programs):
    with socket.create_server(("127.0.0.2", 0)) as other:
        port = other.getsockname()[1]
        found = wait_for_listener(programs(SLOW_SERVER.format(port=port)), port)
    assert [listener.address for listener in found] == ["127.0.0.1"]


def test_server_that_shares_its_port_does_not_take_it(programs: Programs):
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as other:
        port = other.getsockname()[1]
        source = SLOW_SERVER.replace("))", "), reuse_port=True)").format(port=port)
        program = programs(source)
        found = wait_for_listener(program, port)
    assert [owner.pid for listener in found for owner in listener.owners] == [program.pid]


def test_timeout_names_where_the_process_listens(world: World):
    child = world.start("server = tcp()\nsay(port(server))\nwait()")
    port = child.hear()
    wanted = port + 1 if port < 65535 else port - 1
    with pytest.raises(NotListeningError, match=rf"it listens on tcp 127\.0\.0\.1:{port}") as caught:
        wait_for_listener(child, wanted, protocol="udp", timeout=0)
    assert caught.value.reason == "timeout"


def test_process_of_another_user_is_named_in_the_timeout(root: None, world: World):
    child = world.start("server = tcp()\nsay(port(server))\nwait()")
    child.hear()
    reason, text = world.ask(
        """
        import portrange
        become_nobody()
        try:
            portrange.wait_for_listener(int(sys.argv[1]), timeout=0)
        except portrange.NotListeningError as error:
            say([error.reason, str(error)])
        """,
        child.pid,
    )
    assert reason == "timeout"
    assert "permission denied" in text


def test_hidden_owner_of_the_port_is_a_process_that_cannot_be_inspected(several_users: None, world: World):
    server = world.start("server = tcp()\nsay(port(server))\nwait()")
    reason, text = world.ask(
        """
        import portrange
        become_nobody()
        try:
            portrange.wait_for_listener(os.getpid(), int(sys.argv[1]), timeout=0)
        except portrange.NotListeningError as error:
            say([error.reason, str(error)])
        """,
        server.hear(),
    )
    assert reason == "taken"
    assert "in use by a process of user root that cannot be inspected" in text


def test_hidden_owner_of_the_port_may_be_the_process_itself(several_users: None, world: World):
    server = world.start("server = tcp()\nsay(port(server))\nwait()")
    number = server.hear()
    reason, text = world.ask(
        """
        import portrange
        become_nobody()
        try:
            portrange.wait_for_listener(int(sys.argv[1]), int(sys.argv[2]), timeout=0)
        except portrange.NotListeningError as error:
            say([error.reason, str(error)])
        """,
        server.pid,
        number,
    )
    assert reason == "timeout"
    assert f"tcp port {number} is in use by a process of user root that cannot be inspected" in text
    assert f"incomplete: sockets of process {server.pid} (permission denied)" in text


def test_socket_that_fork_copied_does_not_count():
    """A child made by fork() has the listeners of its parent until it closes them; here, a stale server."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        pid = os.fork()
        if not pid:
            signal.pause()
            os._exit(0)
        try:
            with pytest.raises(NotListeningError):
                wait_for_listener(pid, port, timeout=0)
            with pytest.raises(NotListeningError):
                wait_for_listener(pid, timeout=0)
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def test_socket_that_was_passed_on_counts():
    with socket.create_server(("127.0.0.1", 0)) as server:
        child = subprocess.Popen(["sleep", "60"], pass_fds=[server.fileno()])
        try:
            assert ports(wait_for_listener(child, timeout=0)) == [server.getsockname()[1]]
        finally:
            child.kill()
            child.wait()


def test_event_loop_runs_while_a_thread_waits(programs: Programs):
    async def main() -> portrange.Listeners:
        server = programs(SLOW_SERVER.format(port=0))
        waiting = asyncio.create_task(asyncio.to_thread(wait_for_listener, server))
        await asyncio.sleep(0)
        assert not waiting.done()
        return await waiting

    assert len(asyncio.run(main())) == 1


def test_threads_wait_for_different_processes(programs: Programs):
    servers = [programs(SLOW_SERVER.format(port=0)) for _ in range(3)]
    found: dict[int, int | None] = {}
    threads = [
        threading.Thread(target=lambda server=server: found.update({server.pid: wait_for_listener(server)[0].pid}))
        for server in servers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {server.pid: server.pid for server in servers}


def test_error_is_a_timeout_and_can_be_pickled():
    error = NotListeningError("process 7 does not listen", "taken")
    assert isinstance(error, (TimeoutError, portrange.PortrangeError))
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.reason) == ("process 7 does not listen", "taken")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"timeout": -1}, ValueError),
        ({"timeout": math.nan}, ValueError),
        ({"timeout": 10**400}, ValueError),
        ({"timeout": True}, TypeError),
        ({"timeout": "5"}, TypeError),
        ({"timeout": None}, TypeError),
        ({"port": 0}, portrange.InvalidPortError),
        ({"port": 65536}, portrange.InvalidPortError),
        ({"port": "80"}, TypeError),
        ({"protocol": "icmp"}, ValueError),
        ({"process": "python"}, TypeError),
        ({"process": multiprocessing.Process()}, ValueError),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, object], error: type[Exception]):
    with pytest.raises(error):
        wait_for_listener(**{"process": os.getpid(), **arguments})  # type: ignore[arg-type]
