"""Run the code blocks of one page in reading order. Started by test_pages.py in a new network namespace.

- `pycon` blocks are one Python session.
- `console` blocks are commands after `$ `, each with its output; they see the listeners of the session. A nonzero exit
  status is shown in a last line, as `[exit status 1]`.

"..." in an output matches any text, as in doctest. Values that differ between runs have placeholders: 4242 for the pid
of the session, python for the name of its process.
"""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

SESSION_PID = "4242"
SESSION_NAME = "python"
_BLOCK = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FLAGS = doctest.ELLIPSIS
_GAP = re.compile(r"(?<=\S) {2,}")


class Block(NamedTuple):
    """A fenced block: its language (or directive), its text, and the line where the text begins."""

    kind: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(match[1].strip(), match[2], text.count("\n", 0, match.start(2)) + 1) for match in _BLOCK.finditer(text)
    ]


def run_script(script: str, cwd: Path, environment: Mapping[str, str], timeout: float | None = None) -> str:
    """Run commands as in a shell in which the environment of the tests is active; return their output."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**environment, "PATH": path},
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run(page: Path) -> list[str]:
    """Run the blocks of *page* and return one text for each failure."""
    with open("/proc/self/comm", "w", encoding="ascii") as name:
        name.write(SESSION_NAME)
    session: dict[str, object] = {"__name__": "__main__"}
    failures: list[str] = []
    for block in blocks(page):
        if block.kind == "pycon":
            failures += _run_session(page, block, session)
        elif block.kind == "console":
            failures += _run_commands(page, block)
    return failures


class _Checker(doctest.OutputChecker):
    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return super().check_output(*comparable(want, got), optionflags)


def comparable(want: str, got: str) -> tuple[str, str]:
    """Return two outputs with placeholders; where the pid differs in length, so do the gaps between columns."""
    if SESSION_PID not in want:
        return want, got  # a small pid also occurs as another number
    shown = re.sub(rf"\b{os.getpid()}\b", SESSION_PID, got)
    return (want, got) if shown == got else (_GAP.sub("  ", want), _GAP.sub("  ", shown))


def _run_session(page: Path, block: Block, session: dict[str, object]) -> Iterator[str]:
    failures: list[str] = []
    test = doctest.DocTestParser().get_doctest(block.text, session, page.name, str(page), block.line - 1)
    test.globs = session  # later blocks use the names of earlier ones
    runner = doctest.DocTestRunner(_Checker(), verbose=False, optionflags=_FLAGS)
    runner.run(test, out=failures.append, clear_globs=False)
    yield from ["".join(failures)] if failures else []


def commands(text: str) -> list[tuple[str, str]]:
    r"""Return each command with the output shown below it.

    >>> commands("$ true\n$ echo a\na\n")
    [('true', ''), ('echo a', 'a\n')]
    """
    parts = re.split(r"^\$ (.*)\n", text, flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2], strict=True))


def _run_commands(page: Path, block: Block) -> Iterator[str]:
    for command, wanted in commands(block.text):
        done = subprocess.run(
            ["bash", "-c", command],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        got = done.stdout + (f"[exit status {done.returncode}]\n" if done.returncode else "")
        if not doctest.OutputChecker().check_output(*comparable(wanted, got), _FLAGS):
            yield f"{page.name}, line {block.line}: $ {command}\nshown:\n{wanted}\nprinted:\n{got}"


if __name__ == "__main__":
    sys.exit("\n".join(run(Path(sys.argv[1]))) or 0)
