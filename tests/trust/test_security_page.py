"""The guarantees and warnings of docs/security.md, each tested with the action of an attacker."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from live.cgroups import Cgroups
from live.world import World

import portrange

PAGE = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.usefixtures("root", "sock_diag")


def end() -> Any:
    """Return the function `end` of the page."""
    names: dict[str, Any] = {}
    [program] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(program, names)
    return names["end"]


def test_process_name_is_chosen_by_the_process_and_other_fields_by_the_kernel(world: World):
    child = world.start("""
        made = tcp()
        with open("/proc/self/comm", "w") as file:
            file.write("sshd")
        say(port(made))
        wait()
    """)
    [listener] = portrange.who_listens(child.hear())
    [owner] = listener.owners
    assert owner.name == "sshd"
    assert (owner.pid, owner.user) == (child.pid, listener.user)
    assert os.path.realpath(sys.executable) == owner.exe


def test_user_unit_is_recognizable_by_its_cgroup_path(cgroups: Cgroups, world: World):
    below = "user-1000.slice/user@1000.service/app.slice/nginx.service"
    child = world.start("join_cgroup(sys.argv[1]); made = tcp(); say(port(made)); wait()", cgroups.make(below))
    [listener] = portrange.who_listens(child.hear())
    assert listener.unit == "nginx.service"
    assert listener.cgroup == cgroups.path(below)


def test_socket_keeps_the_uid_of_its_creator(world: World):
    child = world.start("""
        os.seteuid(NOBODY)
        made = tcp()
        os.seteuid(0)
        say(port(made))
        wait()
    """)
    [listener] = portrange.who_listens(child.hear())
    assert listener.uid == 65534
    assert [owner.user for owner in listener.owners] == ["root"]


def test_socket_without_a_process_has_a_uid(world: World):
    child = world.start("""
        os.seteuid(NOBODY)
        made = tcp()
        pair = socket.socketpair()
        socket.send_fds(pair[0], [b"x"], [made.fileno()])
        number = port(made)
        made.close()
        say(number)
        wait()
    """)
    [listener] = portrange.who_listens(child.hear())
    assert (listener.owners, listener.uid) == ((), 65534)


def test_documented_end_function_ends_the_owner(world: World):
    if not hasattr(os, "pidfd_open"):
        pytest.skip("this Python has no pidfd_open()")
    child = world.start("made = tcp(); say([port(made), fork(wait)]); wait()")
    port, worker = child.hear()
    [listener] = portrange.who_listens(port)
    by_pid = {owner.pid: owner for owner in listener.owners}
    assert end()(by_pid[worker], port) is True
    while any(owner.pid == worker for listener in portrange.who_listens(port) for owner in listener.owners):
        pass
    # A process that reused the PID, or that closed the port, is not ended.
    imposter = portrange.Process(child.pid, "web", started=1.0)
    assert end()(imposter, port) is False
    os.kill(child.pid, 0)


@pytest.mark.usefixtures("namespaces")
def test_documented_end_function_refuses_a_procfs_of_another_pid_namespace(world: World):
    if not hasattr(os, "pidfd_open"):
        pytest.skip("this Python has no pidfd_open()")
    report = world.ask("""
        import portrange
        from trust.test_security_page import end
        made = tcp()
        unshare(CLONE_NEWPID)
        ready, report = os.pipe()
        def ask():
            [listener] = portrange.who_listens(port(made))
            try:
                end()(listener.owners[0], port(made))
                os.write(report, b"a process was ended")
            except RuntimeError as error:
                os.write(report, str(error).encode())
        fork(ask)
        say(os.read(ready, 1000).decode())
    """)
    assert report.startswith("/proc belongs to another PID namespace")
