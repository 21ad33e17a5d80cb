"""Failures while the system is read: each call in turn, and real descriptor exhaustion.

An incomplete result is an error that names its source, or a subset of the complete result, and never a wrong one.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fakes import SystemHost
from live.world import World

import portrange
from portrange import Host

#: Methods of Host that call the system.
_CALLS = (
    "read",
    "read_start",
    "read_sysctl",
    "list",
    "inode",
    "link_count",
    "read_link",
    "read_links",
    "find_links",
    "find_directories",
    "subdirectories",
    "identity_of",
)
#: An exhausted resource, and an I/O failure.
NUMBERS = (errno.EMFILE, errno.EIO)


class Failing(SystemHost):
    """A host on which one call fails, counted from 0; `failed` names it."""

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

    def sock_diag(self, request: bytes) -> Iterator[bytes]:  # type: ignore[override]  # also a generator
        self.count("sock_diag", "")
        yield from super().sock_diag(request)


def _counting(name: str) -> Callable[..., Any]:
    original = getattr(SystemHost, name)

    def call(self: Failing, *arguments: Any) -> Any:
        self.count(name, arguments[0])
        return original(self, *arguments)

    return call


for _name in _CALLS:
    setattr(Failing, _name, _counting(_name))


def is_subset(result: portrange.Listeners, whole: portrange.Listeners) -> bool:
    """Return whether *result* has all listeners of *whole*, and no facts that differ."""
    return len(result) == len(whole) and all(
        _is_subset(listener.to_dict(), full.to_dict()) for listener, full in zip(result, whole, strict=True)
    )


def _is_subset(result: dict[str, Any], whole: dict[str, Any]) -> bool:
    facts = ("dual_stack", "interface", "cgroup", "unit", "container", "uid", "user")
    if any(result[name] != whole[name] for name in ("protocol", "family", "address", "port")):
        return False
    if any(result[name] not in (whole[name], None) for name in facts):
        return False
    if not result["owners"] and whole["owners"] and not result["hidden"]:
        return False  # a missing owner must be marked as hidden
    known = {owner["pid"]: owner for owner in whole["owners"]}
    return all(_is_subset_of_process(owner, known.get(owner["pid"], {})) for owner in result["owners"])


def _is_subset_of_process(result: dict[str, Any], whole: dict[str, Any]) -> bool:
    return all(value in (whole.get(name), None) for name, value in result.items())


@pytest.fixture
def port(world: World, sock_diag: None) -> int:
    """The port of a server with two processes."""
    return world.start("made = tcp(); fork(wait); say(port(made)); wait()").hear()


def every_failure(ask: Callable[[Host], Any], number: int) -> Iterator[tuple[str, Any]]:
    """Yield the failed call and the result or error, once for each call that `ask` makes."""
    for at in range(10**6):
        host = Failing(at, number)
        try:
            result = ask(host)
        except Exception as error:  # noqa: BLE001 - the tests check its type
            result = error
        if not host.failed:
            return
        yield host.failed, result


@pytest.mark.parametrize("exhaustive", [False, True])
@pytest.mark.parametrize("number", NUMBERS)
def test_failed_call_gives_complete_listeners_a_subset_or_source_error(port: int, number: int, *, exhaustive: bool):
    whole = portrange.who_listens(port, exhaustive=exhaustive)
    assert len(whole[0].owners) == 2
    tried = 0
    for failed, result in every_failure(
        lambda host: portrange.who_listens(port, exhaustive=exhaustive, host=host), number
    ):
        tried += 1
        if isinstance(result, Exception):
            assert isinstance(result, portrange.SourceError), failed
            assert result.errno == number, failed
            assert result.source, failed
        else:
            assert is_subset(result, whole), failed
    assert tried > 10


@pytest.mark.parametrize("number", NUMBERS)
def test_failed_call_never_makes_a_busy_port_free(port: int, number: int):
    for failed, result in every_failure(lambda host: portrange.why_busy(port, address="127.0.0.1", host=host), number):
        if isinstance(result, Exception):
            assert isinstance(result, portrange.SourceError), failed
        else:
            assert any(obstacle.blocks for obstacle in result), failed


@pytest.mark.parametrize("number", NUMBERS)
def test_failed_call_gives_correct_or_unknown_settings(number: int):
    whole = portrange.classify(40000)
    for failed, result in every_failure(lambda host: portrange.classify(40000, host=host), number):
        assert isinstance(result, portrange.PortInfo), failed
        for name in ("ephemeral", "reserved", "excluded", "privileged"):
            assert getattr(result, name) in (getattr(whole, name), None), failed
        assert result.settings.incomplete, failed
    ephemeral = portrange.ephemeral_range()
    for failed, result in every_failure(lambda host: portrange.ephemeral_range(host=host), number):
        assert result == ephemeral or result.assumed, failed


def test_failed_call_gives_all_namespaces_or_an_incomplete_result(port: int):
    def ask(host: Host) -> portrange.Listeners:
        return portrange.listeners(namespaces="all", protocol="tcp", host=host).on(port)

    for failed, result in every_failure(ask, NUMBERS[0]):
        if isinstance(result, Exception):
            assert isinstance(result, portrange.SourceError), failed
        else:
            assert result.incomplete or [listener.port for listener in result] == [port], failed


@pytest.mark.parametrize("number", NUMBERS)
def test_failed_call_gives_ephemeral_usage_or_source_error(number: int):
    for failed, result in every_failure(lambda host: portrange.ephemeral_usage(host=host), number):
        assert isinstance(result, portrange.EphemeralUsage | portrange.SourceError), failed


# --- descriptor exhaustion --------------------------------------------------------------------------------------------

#: Runs all queries with 0 to 3 descriptors left, and counts the descriptors that are left afterwards.
EXHAUSTED = """
    import portrange, resource
    new_network()
    new_processes()
    made = tcp()
    number = port(made)
    queries = {
        "who": lambda: portrange.who_listens(number).to_dicts(),
        "all": lambda: portrange.listeners(exhaustive=True).to_dicts(),
        "busy": lambda: [obstacle.to_dict() for obstacle in portrange.why_busy(number)],
        "namespaces": lambda: portrange.listeners(namespaces="all").to_dicts(),
        "range": lambda: portrange.ephemeral_range().to_dict(),
        "classify": lambda: portrange.classify(80).to_dict(),
        "usage": lambda: portrange.ephemeral_usage().to_dict(),
    }
    whole = {name: ask() for name, ask in queries.items()}
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    results = []
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
        for name, ask in queries.items():
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
        results.append([answers, spare])
    say(results)
"""


@pytest.mark.usefixtures("namespaces", "sock_diag")
def test_descriptor_exhaustion_is_reported_and_leaks_no_descriptor(world: World):
    results = world.ask(EXHAUSTED)
    assert [spare for _, spare in results] == [0, 1, 2, 3]
    none_left, *_ = (answers for answers, _ in results)
    for name in ("who", "all", "busy", "usage", "namespaces"):
        kind, number, sentence = none_left[name]
        assert (kind, number) == ("SourceError", errno.EMFILE), name
        assert "Too many open files" in sentence, name
    assert "RLIMIT_NOFILE" in none_left["who"][2]
    # The settings are unknown instead of wrong.
    assert none_left["range"]["assumed"] is True
    assert none_left["classify"]["ephemeral"] is None
    for answers, _ in results[1:]:
        for name, answer in answers.items():
            assert answer == "whole" or answer[:2] == ["SourceError", errno.EMFILE], (name, answer)
    # Two descriptors are enough: one for the directory being listed, and one for the file being read.
    assert {name for name, answer in results[2][0].items() if answer != "whole"} == set()
