"""Asked from many places at once: each gets the answer that it would get alone, and nothing is shared but caches."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from types import ModuleType
from typing import Any

import pytest
from live.world import World

import portrange
from portrange import Host

THREADS = 8
QUESTIONS = 400
#: Two listeners, one of them with several processes, and a client.
SERVE = """
    made = [tcp("0.0.0.0"), udp()]
    client = socket.create_connection(made[0].getsockname())
    fork(wait)
    say([*map(port, made), port(client)])
    wait()
"""

pytestmark = pytest.mark.usefixtures("sock_diag")


def questions(world: World, host: Host) -> dict[str, Callable[[], Any]]:
    """Everything that can be asked about sockets that stay as they are."""
    tcp, udp, client = world.start(SERVE).hear()
    free = world.ask("say(port(tcp()))")
    return {
        "classify": lambda: [portrange.classify(port, host=host) for port in (0, 80, 6010, 11434, 60860)],
        "services": lambda: [portrange.services(name) for name in ("https", "X11", "nobody")],
        "suggest": lambda: portrange.suggest_port("somebody", host=host),
        "range": lambda: [portrange.ephemeral_range(protocol=name, host=host) for name in ("tcp", "udp")],
        "who": lambda: [portrange.who_listens(port, host=host) for port in (tcp, udp, client, free)],
        "exhaustive": lambda: portrange.who_listens(tcp, exhaustive=True, host=host),
        "listeners": lambda: [portrange.listeners(host=host).on(port) for port in (tcp, udp)],
        # The worst obstacle: beside it may stand the port that another thread binds for a moment, asking the same.
        "busy": lambda: [portrange.why_busy(port, host=host)[0] for port in (tcp, client)],
        "free": lambda: portrange.why_busy(free, host=host),
        "usage": lambda: portrange.ephemeral_usage(host=host).pool,
        "namespaces": lambda: portrange.listeners(namespaces="all", host=host).on(tcp),
    }


@pytest.mark.parametrize("frozen", [False, True])
def test_threads_get_the_answers_of_one_that_is_alone(world: World, *, frozen: bool):
    host = Host().snapshot() if frozen else Host()
    asked = questions(world, host)
    if frozen:
        asked["namespaces"]()  # its picture is of before the others bind anything
    alone = {name: ask() for name, ask in asked.items()}
    names = list(islice(cycle(asked), QUESTIONS))
    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(lambda name: asked[name](), names))
    for name, answer in zip(names, answers, strict=True):
        assert answer == alone[name], name


def test_coroutines_get_the_answers_of_one_that_is_alone(world: World):
    asked = questions(world, Host())
    alone = {name: ask() for name, ask in asked.items()}
    names = list(islice(cycle(asked), QUESTIONS // 4))

    async def ask_all() -> list[Any]:
        return await asyncio.gather(*(asyncio.to_thread(asked[name]) for name in names))

    for name, answer in zip(names, asyncio.run(ask_all()), strict=True):
        assert answer == alone[name], name


def test_asking_at_the_same_moment_makes_no_port_busy(world: World):
    """Each question binds the port for a moment: none may take another one's socket for an obstacle."""
    free = world.ask("say(port(tcp()))")
    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(lambda _: portrange.why_busy(free), range(QUESTIONS)))
    assert set(answers) == {()}


FORK = """
    import portrange, threading
    from portrange import Host
    new_network()
    made = tcp()
    number = port(made)
    host, frozen, stop = Host(), Host().snapshot(), []
    def ask():
        return [
            [[owner.pid for owner in one.owners] for one in portrange.who_listens(number, host=host)][0][0],
            portrange.classify(6010, host=host).name,
            portrange.classify(80, host=frozen).name,
            [one.kind for one in portrange.why_busy(number, host=host)],
            portrange.ephemeral_range(host=host).first,
        ]
    def keep_asking():
        while not stop:
            ask()
    alone = ask()
    threads = [threading.Thread(target=keep_asking) for _ in range(4)]
    for thread in threads:
        thread.start()
    ready, tell = os.pipe()
    children = 25
    for _ in range(children):
        pid = fork(lambda: os.write(tell, json.dumps(ask()).encode() + b"\\n"))
        os.waitpid(pid, 0)
    stop.append(True)
    for thread in threads:
        thread.join()
    os.close(tell)
    say([alone, children, answers_in(ready)])
"""


@pytest.mark.usefixtures("namespaces")
def test_a_fork_in_the_midst_of_questions_can_ask(world: World):
    """No lock and no half-made cache is inherited. A child that hangs is ended by the world, which fails here."""
    alone, children, answers = world.ask(FORK)
    assert len(answers) == children
    assert [answer for answer in answers if answer != alone] == []


#: Newest first: the public module, then what went before it.
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
    number, (ready, tell) = port(made), os.pipe()
    program = f'''if True:
        import sys
        sys.path[:] = {sys.path!r}
        import json, os, portrange
        answer = [
            [owner.pid for one in portrange.who_listens({number}) for owner in one.owners],
            portrange.classify(80).name,
            portrange.ephemeral_range().first,
            [one.kind for one in portrange.why_busy({number}, address="127.0.0.1")],
            bool(portrange.ephemeral_usage().pool),
        ]
        os.write({tell}, json.dumps(answer).encode() + bytes([10]))
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
    os.close(tell)
    say([os.getpid(), failures, answers_in(ready)])
"""


def test_subinterpreters_get_the_same_answers(world: World):
    told = world.ask(INTERPRETERS)
    if told is None:
        pytest.skip(f"Python {sys.version.split()[0]} has no module for subinterpreters")
    pid, failures, answers = told
    assert failures == []
    first = portrange.ephemeral_range().first
    assert answers == [[[pid], "http", first, ["listener"], True]] * 3


# --- what is shared ---------------------------------------------------------------------------------------------------

#: The caches of the package, and why several may use each at once.
SHARED = {
    "_registry.lookup._loaded": "the registry, read once and never changed; two that ask first get equal ones",
    "_registry.lookup.transports_of": "equal tuples for equal words",
    "_questions.arguments.THIS_HOST": "keeps only what cannot change once it was seen (Host.proven)",
    "_host.binding._turn": "a lock, which is there to be shared",
    "_host.netns._threads": "a copy of Python's own module `_thread`; two that ask first get copies that do the same",
    "_backends.linux.sockets._sequence": "numbers of questions; each is asked on a socket of its own",
}


def modules() -> dict[str, ModuleType]:
    found = {}
    for entry in pkgutil.walk_packages(portrange.__path__, f"{portrange.__name__}."):
        if not entry.name.endswith("__main__"):
            found[entry.name.partition(".")[2]] = importlib.import_module(entry.name)
    return found


def state(value: object) -> object:
    """Something that differs if the value was changed; None for what cannot be."""
    if hasattr(value, "cache_info"):
        return str(value.cache_info())
    if isinstance(value, (dict, list, set, bytearray)):
        return repr(value)
    if isinstance(value, type) or callable(value) or isinstance(value, (str, bytes, int, float, tuple, frozenset)):
        return None
    if type(value).__module__.partition(".")[0] == portrange.__name__ and hasattr(value, "__dict__"):
        return repr(vars(value))
    return repr(value) if type(value).__module__ == "itertools" else None


def snapshot() -> dict[str, object]:
    """Whatever can change, by the first module that has it: others import it from there."""
    found: dict[str, object] = {}
    seen: set[int] = set()
    for name, module in modules().items():
        for key, value in vars(module).items():
            told = None if key.startswith("__") or id(value) in seen else state(value)
            if told is not None:
                seen.add(id(value))
                found[f"{name}.{key}"] = told
    return found


def changes(world: World) -> list[str]:
    """What of the package is not as it was before everything was asked."""
    before = snapshot()
    for ask in questions(world, Host()).values():
        ask()
    portrange.listeners()
    portrange.listeners(host=Host(backend="portable"))
    after = snapshot()
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def test_questions_change_nothing_of_the_package_but_its_caches(world: World):
    # In a process of its own, which nobody has asked anything yet.
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
    assert "_registry.lookup._loaded" in changed


def test_what_is_shared_is_there():
    known = {f"{name}.{key}" for name, module in modules().items() for key in vars(module)}
    assert SHARED.keys() <= known
