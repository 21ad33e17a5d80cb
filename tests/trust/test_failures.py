"""Whatever fails while the system is read: each call in turn, and descriptors that have run out for real.

An answer that could not be had in full is an error that names its source, or it claims less; it never says something
else.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from live.world import World

import portrange
from portrange import Host

#: The calls of a host that reach the system.
_CALLS = (
    "read",
    "read_start",
    "read_sysctl",
    "list",
    "inode",
    "link_count",
    "read_link",
    "find_links",
    "find_directory",
    "network_identity",
)
#: A machine that is short of something, and one that fails.
NUMBERS = (errno.EMFILE, errno.EIO)


class Failing(Host):
    """A machine on which one call fails, counted from 0: the `failed` one."""

    def __init__(self, at: int, number: int) -> None:
        super().__init__()
        self.left = at
        self.number = number
        self.failed = ""

    def count(self, name: str, what: object) -> None:
        self.left -= 1
        if self.left == -1:
            self.failed = f"{name} {what}"
            raise OSError(self.number, os.strerror(self.number), str(what))

    def sock_diag(self, request: bytes) -> Iterator[bytes]:  # type: ignore[override]  # a generator all the same
        self.count("sock_diag", "")
        yield from super().sock_diag(request)


def _counting(name: str) -> Callable[..., Any]:
    original = getattr(Host, name)

    def call(self: Failing, *arguments: Any) -> Any:
        self.count(name, arguments[0])
        return original(self, *arguments)

    return call


for _name in _CALLS:
    setattr(Failing, _name, _counting(_name))


def claims_less(told: portrange.Listeners, whole: portrange.Listeners) -> bool:
    """Whether all listeners are there, and nothing about them is said that the whole answer does not say."""
    return len(told) == len(whole) and all(
        _says_less(one.to_dict(), full.to_dict()) for one, full in zip(told, whole, strict=True)
    )


def _says_less(told: dict[str, Any], whole: dict[str, Any]) -> bool:
    facts = ("dual_stack", "interface", "cgroup", "unit", "container", "uid", "user")
    if any(told[name] != whole[name] for name in ("protocol", "family", "address", "port")):
        return False
    if any(told[name] not in (whole[name], None) for name in facts):
        return False
    if not told["owners"] and whole["owners"] and not told["hidden"]:
        return False  # "nobody" is not less, it is something else
    known = {owner["pid"]: owner for owner in whole["owners"]}
    return all(_says_less_of_a_process(owner, known.get(owner["pid"], {})) for owner in told["owners"])


def _says_less_of_a_process(told: dict[str, Any], whole: dict[str, Any]) -> bool:
    return all(value in (whole.get(name), None) for name, value in told.items())


@pytest.fixture
def port(world: World, sock_diag: None) -> int:
    """That of a server with two processes."""
    return world.start("made = tcp(); fork(wait); say(port(made)); wait()").hear()


def every_failure(ask: Callable[[Host], Any], number: int) -> Iterator[tuple[str, Any]]:
    """What failed, and the answer or the error; once for each call that `ask` makes."""
    for at in range(10**6):
        host = Failing(at, number)
        try:
            told = ask(host)
        except Exception as error:  # noqa: BLE001 - which one it is is what the tests look at
            told = error
        if not host.failed:
            return
        yield host.failed, told


@pytest.mark.parametrize("exhaustive", [False, True])
@pytest.mark.parametrize("number", NUMBERS)
def test_listeners_are_whole_or_claim_less_or_the_source_is_named(port: int, number: int, *, exhaustive: bool):
    whole = portrange.who_listens(port, exhaustive=exhaustive)
    assert len(whole[0].owners) == 2
    tried = 0
    for failed, told in every_failure(
        lambda host: portrange.who_listens(port, exhaustive=exhaustive, host=host), number
    ):
        tried += 1
        if isinstance(told, Exception):
            assert isinstance(told, portrange.SourceError), failed
            assert told.errno == number, failed
            assert told.source, failed
        else:
            assert claims_less(told, whole), failed
    assert tried > 10


@pytest.mark.parametrize("number", NUMBERS)
def test_a_busy_port_is_never_called_free(port: int, number: int):
    for failed, told in every_failure(lambda host: portrange.why_busy(port, address="127.0.0.1", host=host), number):
        if isinstance(told, Exception):
            assert isinstance(told, portrange.SourceError), failed
        else:
            assert any(one.blocks for one in told), failed


@pytest.mark.parametrize("number", NUMBERS)
def test_settings_are_what_they_are_or_unknown(number: int):
    whole = portrange.classify(40000)
    for failed, told in every_failure(lambda host: portrange.classify(40000, host=host), number):
        assert isinstance(told, portrange.PortInfo), failed
        for name in ("ephemeral", "reserved", "excluded", "privileged"):
            assert getattr(told, name) in (getattr(whole, name), None), failed
        assert told.settings.incomplete, failed
    pool = portrange.ephemeral_range()
    for failed, told in every_failure(lambda host: portrange.ephemeral_range(host=host), number):
        assert told == pool or told.assumed, failed


def test_all_namespaces_are_told_or_the_gap_is(port: int):
    def ask(host: Host) -> portrange.Listeners:
        return portrange.listeners(namespaces="all", protocol="tcp", host=host).on(port)

    for failed, told in every_failure(ask, NUMBERS[0]):
        if isinstance(told, Exception):
            assert isinstance(told, portrange.SourceError), failed
        else:
            assert told.incomplete or [one.port for one in told] == [port], failed


@pytest.mark.parametrize("number", NUMBERS)
def test_the_usage_of_the_pool_is_an_answer_or_an_error(number: int):
    for failed, told in every_failure(lambda host: portrange.ephemeral_usage(host=host), number):
        assert isinstance(told, portrange.EphemeralUsage | portrange.SourceError), failed


# --- descriptors that have run out ------------------------------------------------------------------------------------

#: Asks with so many descriptors left; each time all of them are there again afterwards.
EXHAUSTED = """
    import portrange, resource
    new_network()
    new_processes()
    made = tcp()
    number = port(made)
    questions = {
        "who": lambda: portrange.who_listens(number).to_dicts(),
        "all": lambda: portrange.listeners(exhaustive=True).to_dicts(),
        "busy": lambda: [one.to_dict() for one in portrange.why_busy(number)],
        "namespaces": lambda: portrange.listeners(namespaces="all").to_dicts(),
        "range": lambda: portrange.ephemeral_range().to_dict(),
        "classify": lambda: portrange.classify(80).to_dict(),
        "usage": lambda: portrange.ephemeral_usage().to_dict(),
    }
    whole = {name: ask() for name, ask in questions.items()}
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    told = []
    for left in range(4):
        filled = []
        try:
            while True:
                filled.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
        for _ in range(left):
            os.close(filled.pop())
        answers = {}
        for name, ask in questions.items():
            try:
                answer = ask()
            except Exception as error:
                answers[name] = [type(error).__name__, getattr(error, "errno", None), str(error)]
            else:
                answers[name] = "whole" if answer == whole[name] else answer
        spare = 0
        try:
            while True:
                filled.append(os.open("/dev/null", os.O_RDONLY))
                spare += 1
        except OSError:
            pass
        for descriptor in filled:
            os.close(descriptor)
        told.append([answers, spare])
    say(told)
"""


@pytest.mark.usefixtures("namespaces", "sock_diag")
def test_without_descriptors_the_error_says_so_and_none_is_lost(world: World):
    told = world.ask(EXHAUSTED)
    assert [spare for _, spare in told] == [0, 1, 2, 3]
    none_left, *_ = (answers for answers, _ in told)
    for name in ("who", "all", "busy", "usage", "namespaces"):
        kind, number, sentence = none_left[name]
        assert (kind, number) == ("SourceError", errno.EMFILE), name
        assert "Too many open files" in sentence, name
    assert "RLIMIT_NOFILE" in none_left["who"][2]
    # The settings are unknown, and are not said to be something else.
    assert none_left["range"]["assumed"] is True
    assert none_left["classify"]["ephemeral"] is None
    for answers, _ in told[1:]:
        for name, answer in answers.items():
            assert answer == "whole" or answer[:2] == ["SourceError", errno.EMFILE], (name, answer)
    # Two are enough for everything: one that is listed, and one to read through.
    assert {name for name, answer in told[2][0].items() if answer != "whole"} == set()
