"""Run a test as root of its own namespaces (user_namespaces(7)), for a user who is not root."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable

import pytest
from live.world import World


@functools.cache
def missing() -> str | None:
    """Return why this user cannot create namespaces and mount procfs in them, or None."""
    return _failure("new_network(); new_processes()")


@functools.cache
def missing_users() -> str | None:
    """Return why a process that has namespaces of its own cannot become several users, or None."""
    return _failure("os.setgroups([]); os.setresuid(NOBODY, NOBODY, NOBODY)")


def _failure(program: str) -> str | None:
    world = World()
    try:
        return world.ask(f"""
            try:
                new_root()
                {program}
                say(None)
            except OSError as error:
                say(str(error))
        """)
    finally:
        world.close()


def inside(test: Callable[..., None]) -> Callable[..., None]:
    """Return *test* as a function that calls it in a forked process, which is root and process 1 of new namespaces."""

    @functools.wraps(test)
    def run(**fixtures: object) -> None:
        outcome, report = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(outcome)
                with open(report, "w", encoding="utf-8") as file:
                    json.dump(_call(test, fixtures), file)
            finally:
                os._exit(0)
        os.close(report)
        with open(outcome, "rb") as file:
            written = file.read()
        os.waitpid(pid, 0)
        result, text = json.loads(written or '["failed", "the process of the test ended early"]')
        if result == "skipped":
            pytest.skip(text)
        if result != "passed":
            pytest.fail(text, pytrace=False)

    return run


def _call(test: Callable[..., None], fixtures: dict[str, object]) -> tuple[str, str]:
    """Enter the namespaces, call *test*, and return its result with the text of a failure or skip."""
    from live import stage  # Windows, which runs the portable tests, has no fcntl

    try:
        stage.new_root()
        stage.new_network()
        stage.new_processes()
        stage.mount("tmpfs", "/run", "tmpfs")  # `ip netns` writes there
        test(**fixtures)
    except pytest.skip.Exception as reason:
        return "skipped", str(reason)
    except BaseException:  # noqa: BLE001 - the process must not go on with the other tests
        return "failed", str(pytest.ExceptionInfo.from_current().getrepr())
    return "passed", ""
