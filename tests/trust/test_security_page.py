"""What docs/security.md promises and warns of, by example: each of these is something that an attacker would do."""

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
    """The function of the page."""
    names: dict[str, Any] = {}
    [program] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(program, names)
    return names["end"]


def test_a_name_is_what_a_process_says_and_the_rest_is_the_kernels(world: World):
    child = world.start("""
        made = tcp()
        with open("/proc/self/comm", "w") as file:
            file.write("sshd")
        say(port(made))
        wait()
    """)
    [one] = portrange.who_listens(child.hear())
    [owner] = one.owners
    assert owner.name == "sshd"
    assert (owner.pid, owner.user) == (child.pid, one.user)
    assert os.path.realpath(sys.executable) == owner.exe


def test_a_unit_of_ones_own_can_be_told_by_its_path(cgroups: Cgroups, world: World):
    below = "user-1000.slice/user@1000.service/app.slice/nginx.service"
    child = world.start("join_cgroup(sys.argv[1]); made = tcp(); say(port(made)); wait()", cgroups.make(below))
    [one] = portrange.who_listens(child.hear())
    assert one.unit == "nginx.service"
    assert one.cgroup == cgroups.path(below)


def test_whoever_is_given_a_socket_has_it_and_the_maker_is_still_told(world: World):
    child = world.start("""
        os.seteuid(NOBODY)
        made = tcp()
        os.seteuid(0)
        say(port(made))
        wait()
    """)
    [one] = portrange.who_listens(child.hear())
    assert one.uid == 65534
    assert [owner.user for owner in one.owners] == ["root"]


def test_what_no_process_has_is_told_with_its_user(world: World):
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
    [one] = portrange.who_listens(child.hear())
    assert (one.owners, one.uid) == ((), 65534)


def test_the_way_to_end_an_owner_ends_that_owner(world: World):
    if not hasattr(os, "pidfd_open"):
        pytest.skip("this Python has no pidfd_open()")
    child = world.start("made = tcp(); say([port(made), fork(wait)]); wait()")
    port, worker = child.hear()
    [one] = portrange.who_listens(port)
    by_pid = {owner.pid: owner for owner in one.owners}
    assert end()(by_pid[worker], port) is True
    while any(owner.pid == worker for listener in portrange.who_listens(port) for owner in listener.owners):
        pass
    # Another process of that number, or one that has let go of the port, is left alone.
    imposter = portrange.Process(child.pid, "web", started=1.0)
    assert end()(imposter, port) is False
    os.kill(child.pid, 0)


@pytest.mark.usefixtures("namespaces")
def test_the_way_to_end_an_owner_ends_nobody_where_procfs_counts_otherwise(world: World):
    if not hasattr(os, "pidfd_open"):
        pytest.skip("this Python has no pidfd_open()")
    told = world.ask("""
        import portrange
        from trust.test_security_page import end
        made = tcp()
        unshare(CLONE_NEWPID)
        ready, told = os.pipe()
        def ask():
            [one] = portrange.who_listens(port(made))
            try:
                end()(one.owners[0], port(made))
                os.write(told, b"somebody was ended")
            except RuntimeError as error:
                os.write(told, str(error).encode())
        fork(ask)
        say(os.read(ready, 1000).decode())
    """)
    assert told.startswith("/proc belongs to another PID namespace")
