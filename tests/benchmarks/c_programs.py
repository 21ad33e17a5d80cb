"""Compile and run the C programs of this directory, which are lower bounds for measurements."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Runs a program with numbers as arguments; returns its seconds, without its start, and the numbers that it found.
Program = Callable[..., "tuple[float, list[int]]"]


@contextmanager
def compiled(name: str) -> Iterator[Program]:
    """Compile a C program, which prints its seconds and then numbers, and yield a function that runs it.

    Raises `FileNotFoundError` if no C compiler is installed.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise FileNotFoundError("no C compiler (cc) is installed")
    with tempfile.TemporaryDirectory() as directory:
        program = os.path.join(directory, name)
        source = os.path.join(os.path.dirname(__file__), f"{name}.c")
        subprocess.run([compiler, "-O2", "-o", program, source], check=True)

        def run(*arguments: int) -> tuple[float, list[int]]:
            command = [program, *map(str, arguments)]
            seconds, *numbers = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
            return float(seconds), list(map(int, numbers))

        yield run
