"""Entering another network namespace: with a thread of its own, which never is the caller's, or not at all."""

from __future__ import annotations

import errno
import os

import pytest
from live.world import World

import portrange

pytestmark = pytest.mark.usefixtures("namespaces", "sock_diag")

SERVE = "new_network(); made = tcp(); say([port(made), os.readlink('/proc/self/ns/net')]); wait()"

#: Functions that start no thread, as gevent and eventlet put them into the modules for threads.
REPLACE_THREADS = """
    import _thread
    class Replaced(threading.Thread):
        def start(self):
            self.run()
        def join(self, timeout=None):
            pass
    def run(function, arguments, options={}):
        function(*arguments, **options)
        return 1
    threading.Thread = Replaced
    threading._start_new_thread = _thread.start_new_thread = _thread.start_new = run
    before = os.readlink("/proc/thread-self/ns/net")
"""


def test_programs_that_replace_threads_stay_where_they_are_and_get_the_answer(world: World):
    port, name = world.start(SERVE).hear()
    before, found, after, gaps = world.ask(
        REPLACE_THREADS
        + """
    import portrange
    found = portrange.listeners(namespaces="all")
    after = os.readlink("/proc/thread-self/ns/net")
    say([before, [[one.port, one.namespace] for one in found], after, found.incomplete])
    """
    )
    assert before == after
    assert [port, name] in found
    assert gaps == []


def test_where_no_thread_can_be_had_nothing_is_entered(world: World):
    child = world.start(SERVE)
    child.hear()
    before, error, ran, after = world.ask(
        REPLACE_THREADS
        + """
    import portrange
    from portrange._host import netns
    netns._threads = lambda: _thread
    ran, error = [], None
    try:
        portrange.Host().in_network(f"/proc/{sys.argv[1]}").within_network(lambda: ran.append(1))
    except portrange.SourceError as caught:
        error = str(caught)
    say([before, error, ran, os.readlink("/proc/thread-self/ns/net")])
    """,
        child.pid,
    )
    assert before == after
    assert ran == []
    assert error is not None
    assert error.startswith(f"/proc/{child.pid}/ns/net: this network namespace cannot be entered")


def test_another_namespace_than_the_expected_one_is_not_looked_at_from(world: World):
    first, second = world.start(SERVE), world.start(SERVE)
    first.hear()
    second.hear()
    host = portrange.Host()
    expected = host.network_identity(f"/proc/{first.pid}")
    inside = host.in_network(f"/proc/{first.pid}", expected)
    assert inside.within_network(lambda: os.readlink("/proc/thread-self/ns/net")) == os.readlink(
        f"/proc/{first.pid}/ns/net"
    )
    ran: list[int] = []
    with pytest.raises(portrange.SourceError) as caught:
        host.in_network(f"/proc/{second.pid}", expected).within_network(lambda: ran.append(1))
    assert caught.value.errno == errno.ESRCH
    assert ran == []


def test_the_limit_of_threads_is_an_error_that_names_the_namespace(world: World):
    child = world.start(SERVE)
    port, name = child.hear()
    error, found = world.ask(
        """
        import portrange, resource
        portrange.listeners(namespaces="all")  # loads what it needs
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        # No room for a thread's stack, and enough for everything else.
        threading.stack_size(256 << 20)
        resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), resource.RLIM_INFINITY))
        there, error = portrange.Host().in_network(f"/proc/{sys.argv[1]}"), None
        try:
            there.within_network(os.getpid)
        except portrange.SourceError as caught:
            error = str(caught)
        say([error, [[one.port, one.namespace] for one in portrange.listeners(namespaces="all")]])
        """,
        child.pid,
    )
    assert error is not None
    assert error.startswith(f"/proc/{child.pid}/ns/net: this network namespace cannot be entered")
    assert "thread" in error
    assert [port, name] in found, "the tables of procfs need no thread"


def test_a_program_that_is_about_to_end_gets_the_answer(world: World):
    """From Python 3.12 on no thread can be started any more."""
    port, name = world.start(SERVE).hear()
    found = world.ask("""
        import atexit, portrange
        def ask():
            say([[one.port, one.namespace] for one in portrange.listeners(namespaces="all")])
        atexit.register(ask)
    """)
    assert [port, name] in found
