"""Programs of the system, for settings that no system call tells."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

_SECONDS = 10


def run(command: Sequence[str]) -> bytes:
    """The standard output of a program, in its untranslated form where the program knows one.

    Raises the `OSError` of starting it, one with its first words where it failed, `TimeoutError` where it hangs.
    """
    import subprocess

    environment = dict(os.environ, LC_ALL="C", LANG="C")
    try:
        done = subprocess.run(  # noqa: S603 - every caller passes a constant
            command,
            check=False,
            capture_output=True,
            env=environment,
            timeout=_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"no answer within {_SECONDS} seconds") from error
    if done.returncode != 0:
        complaint = (done.stderr or done.stdout).decode("utf-8", "replace").strip().partition("\n")[0]
        raise OSError(f"exit status {done.returncode}: {complaint}")
    return done.stdout


def console_encoding() -> str:
    """In what encoding programs of the system print, by Python's name; "ascii" where that cannot be asked."""
    if sys.platform == "win32":
        import ctypes

        # The code page of consoles (OEM), not the one of windows (ANSI); 65001 is Microsoft's number of UTF-8.
        page = ctypes.windll.kernel32.GetOEMCP()
        return "utf-8" if page == 65001 else f"cp{page}"
    return "ascii"
