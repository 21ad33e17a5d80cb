"""Concurrent queries: each returns the same result as a single query, and only caches are shared."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
import sys
import sysconfig
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from types import FunctionType, ModuleType
from typing import Any

import pytest
from live.world import World

import portrange
from portrange import Host

THREADS = 8
QUERIES = 400
#: psutil reads every process for each query about sockets.
PORTABLE_QUERIES = 48
#: Two listeners with two processes each, and a client.
SERVE = """
    made = [tcp("0.0.0.0"), udp()]
    client = socket.create_connection(made[0].getsockname())
    fork(wait)
    say([os.getpid(), *map(port, made), port(client)])
    wait()
"""

pytestmark = pytest.mark.usefixtures("sock_diag", "often_switched")


@pytest.fixture
def often_switched() -> Iterator[None]:
    """Switch threads after each microsecond; check that nothing enables the GIL on a Python that runs without it."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)
    has_gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    assert has_gil is not bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def all_queries(world: World, host_of: Callable[[], Host]) -> dict[str, Callable[[], Any]]:
    """Return all queries about sockets that do not change; each queries a host that *host_of* returns."""
    pid, tcp, udp, client = world.start(SERVE).hear()
    free = world.ask("say(port(tcp()))")
    return {
        "classify": lambda: [portrange.classify(port, host=host_of()) for port in (0, 80, 6010, 11434, 60860)],
        "services": lambda: [portrange.services(name) for name in ("https", "X11", "no-such-name")],
        "suggest_port": lambda: portrange.suggest_port("some name", host=host_of()),
        "ephemeral_range": lambda: [
            portrange.ephemeral_range(protocol=name, host=host_of()) for name in ("tcp", "udp")
        ],
        "who_listens": lambda: [portrange.who_listens(port, host=host_of()) for port in (tcp, udp, client, free)],
        "exhaustive": lambda: portrange.who_listens(tcp, exhaustive=True, host=host_of()),
        # Without bound sockets: another thread may bind the port for a probe of why_busy.
        "who_uses": lambda: [
            [use for use in portrange.who_uses(port, host=host_of()) if use.state != "bound"]
            for port in (tcp, udp, client, free)
        ],
        "who_answers": lambda: [portrange.who_answers(port, "127.0.0.1", host=host_of()) for port in (tcp, free)],
        "listeners": lambda: [portrange.listeners(host=host_of()).on(port) for port in (tcp, udp)],
        "of a process": lambda: portrange.listeners(process=pid, host=host_of()),
        "wait_for_listener": lambda: portrange.wait_for_listener(pid, tcp, host=host_of()),
        # Only the worst obstacle: another thread may bind the port for the same query.
        "why_busy": lambda: [portrange.why_busy(port, host=host_of())[0] for port in (tcp, client)],
        "free": lambda: portrange.why_busy(free, host=host_of()),
        "ephemeral_usage": lambda: portrange.ephemeral_usage(host=host_of()).pool,
        "namespaces": lambda: portrange.listeners(namespaces="all", host=host_of()).on(tcp),
        "output": lambda: [str(portrange.who_listens(tcp, host=host_of())), portrange.classify(80)._repr_html_()],
    }


def same(host: Host) -> Callable[[], Host]:
    return lambda: host


def test_queries_contain_every_public_function(world: World):
    public = {name for name in portrange.__all__ if isinstance(getattr(portrange, name), FunctionType)}
    assert public <= all_queries(world, Host).keys()


@pytest.mark.parametrize(
    ("host_of", "number"),
    [
        pytest.param(lambda: same(Host()), QUERIES, id="one host"),
        pytest.param(lambda: Host, QUERIES, id="a host for each query"),
        pytest.param(lambda: same(Host().snapshot()), QUERIES, id="one snapshot"),
        pytest.param(lambda: same(Host(backend="portable")), PORTABLE_QUERIES, id="psutil"),
    ],
)
def test_threads_get_the_results_of_a_single_thread(
    world: World, host_of: Callable[[], Callable[[], Host]], number: int
):
    queries = all_queries(world, host_of())
    queries["namespaces"]()  # a snapshot reads the sockets before other queries bind any
    alone = {name: ask() for name, ask in queries.items()}
    names = list(islice(cycle(queries), number))
    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(lambda name: queries[name](), names))
    for name, answer in zip(names, answers, strict=True):
        assert answer == alone[name], name


#: Eight threads make the first queries of a process at the same moment, each in another order.
COLD = """
    import threading
    import portrange
    new_network()
    made = tcp()
    number, pid = port(made), os.getpid()
    queries = [
        lambda: portrange.classify(443),
        lambda: portrange.services("https"),
        lambda: portrange.suggest_port("some name"),
        lambda: portrange.ephemeral_range(),
        lambda: portrange.who_listens(number),
        lambda: [use for use in portrange.who_uses(number) if use.state != "bound"],  # that is a probe of why_busy
        lambda: portrange.who_answers(number, "127.0.0.1"),
        lambda: portrange.listeners(),
        lambda: portrange.listeners(process=pid),
        lambda: portrange.wait_for_listener(pid, number),
        lambda: portrange.why_busy(number)[0],
        lambda: portrange.ephemeral_usage().pool,
        lambda: portrange.listeners(host=portrange.Host(backend="portable")),
        lambda: portrange.classify(443)._repr_html_(),
    ]
    together, answers = threading.Barrier(8), {}
    def ask(first):
        together.wait()
        order = [(first + step) % len(queries) for step in range(len(queries))]
        answers[first] = {index: queries[index]() for index in order}
    threads = [threading.Thread(target=ask, args=(2 * number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone = {index: query() for index, query in enumerate(queries)}
    say([len(answers), [index for found in answers.values() for index in alone if found[index] != alone[index]]])
"""


@pytest.mark.usefixtures("namespaces")
def test_first_queries_of_a_process_can_be_concurrent(world: World):
    for _ in range(3):
        assert world.ask(COLD) == [THREADS, []]


def test_coroutines_get_the_results_of_a_single_thread(world: World):
    queries = all_queries(world, same(Host()))
    alone = {name: ask() for name, ask in queries.items()}
    names = list(islice(cycle(queries), QUERIES // 4))

    async def ask_all() -> list[Any]:
        return await asyncio.gather(*(asyncio.to_thread(queries[name]) for name in names))

    for name, answer in zip(names, asyncio.run(ask_all()), strict=True):
        assert answer == alone[name], name


def test_concurrent_why_busy_does_not_report_its_own_bind_probes(world: World):
    """Each query binds the port briefly and must not report the probe socket of another query."""
    free = world.ask("say(port(tcp()))")
    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(lambda _: portrange.why_busy(free), range(QUERIES)))
    assert [answer for answer in answers if answer or answer.incomplete] == []


FORK = """
    import portrange, threading
    from portrange import Host
    new_network()
    made = tcp()
    number = port(made)
    host, snapshot, stop = Host(), Host().snapshot(), []
    def ask():
        return [
            [[owner.pid for owner in listener.owners] for listener in portrange.who_listens(number, host=host)][0][0],
            portrange.classify(6010, host=host).name,
            portrange.classify(80, host=snapshot).name,
            [obstacle.kind for obstacle in portrange.why_busy(number, host=host)],
            portrange.ephemeral_range(host=host).first,
        ]
    def keep_asking():
        while not stop:
            ask()
    alone = ask()
    threads = [threading.Thread(target=keep_asking) for _ in range(4)]
    for thread in threads:
        thread.start()
    ready, report = os.pipe()
    children = 25
    for _ in range(children):
        pid = fork(lambda: os.write(report, json.dumps(ask()).encode() + b"\\n"))
        os.waitpid(pid, 0)
    stop.append(True)
    for thread in threads:
        thread.join()
    os.close(report)
    say([alone, children, answers_in(ready)])
"""


@pytest.mark.usefixtures("namespaces")
def test_process_forked_during_queries_can_query(world: World):
    """The child inherits no held lock and no partial cache. The test fails if a child hangs."""
    alone, children, answers = world.ask(FORK)
    assert len(answers) == children
    assert [answer for answer in answers if answer != alone] == []


#: Newest first: the public module, then its private predecessors.
INTERPRETERS = """
    import threading
    def new():
        try:
            from concurrent import interpreters
            return interpreters.create().exec
        except ImportError:
            pass
        for name in ("_interpreters", "_xxsubinterpreters"):
            try:
                module = importlib.import_module(name)
            except ImportError:
                continue
            number = module.create()
            return lambda program: raised(getattr(module, "exec", module.run_string)(number, program))
        return None
    def raised(failure):
        if failure is not None:
            raise RuntimeError(failure)
    made = tcp()
    number, (ready, report) = port(made), os.pipe()
    program = f'''if True:
        import sys
        sys.path[:] = {sys.path!r}
        import json, os, portrange
        answer = [
            [owner.pid for listener in portrange.who_listens({number}) for owner in listener.owners],
            portrange.classify(80).name,
            portrange.ephemeral_range().first,
            [obstacle.kind for obstacle in portrange.why_busy({number}, address="127.0.0.1")],
            bool(portrange.ephemeral_usage().pool),
        ]
        os.write({report}, json.dumps(answer).encode() + bytes([10]))
    '''
    if new() is None:
        say(None)
    failures = []
    def run():
        try:
            new()(program)
        except BaseException as error:
            failures.append(repr(error))
    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.close(report)
    say([os.getpid(), failures, answers_in(ready)])
"""


def test_subinterpreters_get_the_same_results(world: World):
    result = world.ask(INTERPRETERS)
    if result is None:
        pytest.skip(f"Python {sys.version.split()[0]} has no module for subinterpreters")
    pid, failures, answers = result
    assert failures == []
    first = portrange.ephemeral_range().first
    assert answers == [[[pid], "http", first, ["listener"], True]] * 3


# --- shared state -----------------------------------------------------------------------------------------------------

#: The shared state of the package, and why concurrent use of it is safe.
SHARED = {
    "_registry.lookup._lowered": "the registry in lower case; concurrent first calls append equal text",
    "_registry.lookup._protocols": "equal tuples for equal names",
    "_registry.lookup._records": "equal records for equal ports",
    "_questions.risks._common_uses": "equal risks for equal ports",
    "_host.host._THIS_HOST": "caches only facts that cannot change (System.constants)",
    "_host.netns._threads": "a copy of the module `_thread`; concurrent first calls get equivalent copies",
    "_backends.linux.sockets._sequence": "sequence numbers of requests; each request uses its own socket",
}


def modules() -> dict[str, ModuleType]:
    found = {}
    for entry in pkgutil.walk_packages(portrange.__path__, f"{portrange.__name__}."):
        if not entry.name.endswith("__main__"):
            found[entry.name.partition(".")[2]] = importlib.import_module(entry.name)
    return found


def state(value: object) -> object:
    """Return a value that changes with the state of *value*, or None if it is immutable."""
    if hasattr(value, "cache_info"):
        return str(value.cache_info())
    if isinstance(value, (dict, list, set, bytearray)):
        return repr(value)
    if isinstance(value, type) or callable(value) or isinstance(value, (str, bytes, int, float, tuple, frozenset)):
        return None
    if type(value).__module__.partition(".")[0] == portrange.__name__ and hasattr(value, "__dict__"):
        return repr(vars(value))
    return repr(value) if type(value).__module__ == "itertools" else None


def mutable_state() -> dict[str, object]:
    """Return the mutable state of all modules, each by the first module that contains it."""
    found: dict[str, object] = {}
    visited: set[int] = set()
    for name, module in modules().items():
        for key, value in vars(module).items():
            current = None if key.startswith("__") or id(value) in visited else state(value)
            if current is not None:
                visited.add(id(value))
                found[f"{name}.{key}"] = current
    return found


def changes(world: World) -> list[str]:
    """Return the names of the package state that the queries changed."""
    before = mutable_state()
    for ask in all_queries(world, same(Host())).values():
        ask()
    portrange.listeners()
    portrange.listeners(host=Host(backend="portable"))
    after = mutable_state()
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def test_queries_change_only_the_caches_of_the_package(world: World):
    # In a new process, whose caches are empty.
    changed = world.ask("""
        from live.world import World
        from trust.test_concurrency import changes
        within = World()
        try:
            say(changes(within))
        finally:
            within.close()
    """)
    assert set(changed) <= SHARED.keys()
    assert "_registry.lookup._records" in changed


def test_shared_names_exist():
    known = {f"{name}.{key}" for name, module in modules().items() for key in vars(module)}
    assert SHARED.keys() <= known
