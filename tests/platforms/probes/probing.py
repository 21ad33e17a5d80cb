"""How a probe tells the check that started it what it found.

A probe runs on the system that is checked. It prints what it runs on, a line for each check, and the number of
checks at its end: an interpreter that dies half-way with exit status 0 does not pass for a success.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable


def run(*checks: Callable[[], None]) -> None:
    """Call each check. What its docstring says is what was checked; a failure is an exception, and ends the probe."""
    print("version", version(), flush=True)
    for check in checks:
        check()
        print("checked", " ".join((check.__doc__ or check.__name__).split()).rstrip("."), flush=True)
    print("complete", len(checks), flush=True)


def refusal(kind: type[Exception], ask: Callable[[], object]) -> Exception:
    """The error of this kind that a question must end in; its message must be one line that says something."""
    try:
        answer = ask()
    except kind as error:
        refused = error
    else:
        raise AssertionError(f"an answer instead of {kind.__name__}: {answer!r}")
    assert str(refused), type(refused)
    assert "\n" not in str(refused), refused
    return refused


def value(name: str, answer: object) -> None:
    """Something that has to be the same on every system."""
    print("value", name, "=", answer, flush=True)


def version() -> str:
    number = ".".join(map(str, sys.version_info[:3]))
    bits = 64 if sys.maxsize > 2**32 else 32
    return f"{platform.python_implementation()} {number} {sys.platform} {bits}-bit {sys.byteorder}-endian"
