"""Entering another network namespace, which always happens in a new thread and never in that of the caller."""

from __future__ import annotations

import errno
import os

import pytest
from live.world import World

import portrange
from portrange._host.system import System

pytestmark = pytest.mark.usefixtures("namespaces", "sock_diag")

SERVE = "new_network(); made = tcp(); say([port(made), os.readlink('/proc/self/ns/net')]); wait()"

#: Replaces the thread functions by ones that start no thread, as gevent and eventlet do.
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


def test_program_with_replaced_threads_keeps_its_namespace_and_gets_listeners(world: World):
    port, name = world.start(SERVE).hear()
    before, found, after, incomplete = world.ask(
        REPLACE_THREADS
        + """
    import portrange
    found = portrange.listeners(namespaces="all")
    after = os.readlink("/proc/thread-self/ns/net")
    say([before, [[listener.port, listener.namespace] for listener in found], after, found.incomplete])
    """
    )
    assert before == after
    assert [port, name] in found
    assert incomplete == []


def test_namespace_is_not_entered_without_a_real_thread(world: World):
    child = world.start(SERVE)
    child.hear()
    before, error, ran, after = world.ask(
        REPLACE_THREADS
        + """
    import portrange
    from portrange._host import netns
    from portrange._host.system import System
    netns._threads = lambda: _thread
    ran, error = [], None
    try:
        System().in_network(f"/proc/{sys.argv[1]}").within_network(lambda: ran.append(1))
    except portrange.SourceError as caught:
        error = str(caught)
    say([before, error, ran, os.readlink("/proc/thread-self/ns/net")])
    """,
        child.pid,
    )
    assert before == after
    assert ran == []
    assert error is not None
    assert error.startswith(f"/proc/{child.pid}/ns/net: cannot enter this network namespace")


def test_unexpected_namespace_is_not_entered(world: World):
    first, second = world.start(SERVE), world.start(SERVE)
    first.hear()
    second.hear()
    host = System()
    expected = host.identity_of(f"/proc/{first.pid}")
    inside = host.in_network(f"/proc/{first.pid}", expected)
    assert inside.within_network(lambda: os.readlink("/proc/thread-self/ns/net")) == os.readlink(
        f"/proc/{first.pid}/ns/net"
    )
    ran: list[int] = []
    with pytest.raises(portrange.SourceError) as caught:
        host.in_network(f"/proc/{second.pid}", expected).within_network(lambda: ran.append(1))
    assert caught.value.errno == errno.ESRCH
    assert ran == []


def test_thread_limit_error_names_the_namespace(world: World):
    child = world.start(SERVE)
    port, name = child.hear()
    error, found = world.ask(
        """
        import portrange, resource
        from portrange._host.system import System
        portrange.listeners(namespaces="all")  # imports all modules
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        # No room for a thread's stack, and enough for everything else.
        threading.stack_size(256 << 20)
        resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), resource.RLIM_INFINITY))
        target, error = System().in_network(f"/proc/{sys.argv[1]}"), None
        try:
            target.within_network(os.getpid)
        except portrange.SourceError as caught:
            error = str(caught)
        say([error, [[listener.port, listener.namespace] for listener in portrange.listeners(namespaces="all")]])
        """,
        child.pid,
    )
    assert error is not None
    assert error.startswith(f"/proc/{child.pid}/ns/net: cannot enter this network namespace")
    assert "thread" in error
    assert [port, name] in found, "reading the procfs tables needs no thread"


def test_listeners_work_in_an_atexit_handler(world: World):
    """Python 3.12 and later start no threads at this point."""
    port, name = world.start(SERVE).hear()
    found = world.ask("""
        import atexit, portrange
        def ask():
            say([[listener.port, listener.namespace] for listener in portrange.listeners(namespaces="all")])
        atexit.register(ask)
    """)
    assert [port, name] in found
