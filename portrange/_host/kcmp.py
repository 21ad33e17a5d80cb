"""Whether two threads have one table of open descriptors (kcmp(2), Linux).

The threads of a program mostly share one; a thread may have given that up (unshare(2), CLONE_FILES).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cache, partial
from typing import Any

# linux/kcmp.h
_KCMP_FILES = 2
#: The number of the system call, by machine: arch/*/entry/syscalls/*.tbl, include/uapi/asm-generic/unistd.h.
_NUMBERS = {
    "x86_64": 312,
    "i386": 349,
    "i686": 349,
    "aarch64": 272,
    "riscv64": 272,
    "loongarch64": 272,
    "armv7l": 378,
    "armv8l": 378,
    "ppc64": 354,
    "ppc64le": 354,
    "s390x": 343,
}
_NARROW = {"x86_64": "i386", "aarch64": "armv8l"}


def share_descriptors(first: int, second: int) -> bool | None:
    """The answer for two thread ids; None where the kernel does not tell it, or not to this caller."""
    call = _system_call()
    result = -1 if call is None else call(first, second, _KCMP_FILES, 0, 0)
    return None if result < 0 else result == 0


@cache
def _system_call() -> Callable[..., int] | None:
    """kcmp(2), which the C library has no function for; None where its number is not known."""
    import ctypes

    uname: Any = getattr(os, "uname", None)
    machine = "" if uname is None else uname().machine
    if sys.maxsize < 1 << 32:
        # A 32-bit program on a 64-bit kernel has the numbers of its own kind.
        machine = _NARROW.get(machine, machine)
    number = _NUMBERS.get(machine)
    return None if number is None else partial(ctypes.CDLL(None).syscall, ctypes.c_long(number))
