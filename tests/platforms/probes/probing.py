"""The output protocol between a probe and the check that started it.

A probe runs on the checked system. It prints its platform, a line for each check, and finally the number of checks, so
that an interpreter that ends early with exit status 0 is not taken for a success.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable


def run(*checks: Callable[[], None]) -> None:
    """Call each check and print its docstring. An exception is a failure and ends the probe."""
    print("version", version(), flush=True)
    for check in checks:
        check()
        print("checked", " ".join((check.__doc__ or check.__name__).split()).rstrip("."), flush=True)
    print("complete", len(checks), flush=True)


def refusal(kind: type[Exception], ask: Callable[[], object]) -> Exception:
    """Return the error of type *kind* that `ask` must raise; its message must be one non-empty line."""
    try:
        answer = ask()
    except kind as error:
        refused = error
    else:
        raise AssertionError(f"a result instead of {kind.__name__}: {answer!r}")
    assert str(refused), type(refused)
    assert "\n" not in str(refused), refused
    return refused


def value(name: str, answer: object) -> None:
    """Print a value that must be equal on all systems."""
    print("value", name, "=", answer, flush=True)


def version() -> str:
    number = ".".join(map(str, sys.version_info[:3]))
    bits = 64 if sys.maxsize > 2**32 else 32
    return f"{platform.python_implementation()} {number} {sys.platform} {bits}-bit {sys.byteorder}-endian"
